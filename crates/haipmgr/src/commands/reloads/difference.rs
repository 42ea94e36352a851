//! What a new configuration changes in the one that runs, cluster by cluster, by name. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use decide::net::VipId;

use super::words;
use crate::config::{Cluster, Config};

/// Each cluster of the new configuration, in its order, and then those that it does not have any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Difference {
    pub(super) clusters: Vec<Change>,
    /// Keys of the whole file that are other, in words.
    pub(super) whole_file: Vec<String>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) what: What,
    /// VIPs that it had, and that no cluster has any more.
    pub(super) gives_up: BTreeMap<VipId, IpAddr>,
    /// VIPs that it has, and that no cluster had.
    pub(super) takes: BTreeSet<IpAddr>,
}

/// What becomes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Its agent goes on as if nothing had been.
    Unchanged,
    /// Its agent begins anew; in words, what is other.
    Changed(Vec<String>),
    New,
    Removed,
}

impl Difference {
    /// Of what the files say, before a lease is made shorter to fit the group.
    pub(super) fn between(old: &[Cluster], new: &[Cluster]) -> Self {
        let (had, has) = (vips(old), vips(new));
        let change = |cluster: &Cluster, before: Option<&Cluster>| {
            let gone = before.into_iter().flat_map(|before| &before.policy.vips);
            let gone = gone.filter(|(_, vip)| !has.contains(&vip.address));
            let here = cluster.policy.vips.values().map(|vip| vip.address);
            Change {
                name: cluster.name.clone(),
                what: what(cluster, before),
                gives_up: gone.map(|(id, vip)| (*id, vip.address)).collect(),
                takes: here.filter(|vip| !had.contains(vip)).collect(),
            }
        };
        let mut clusters: Vec<_> =
            new.iter().map(|cluster| change(cluster, find(old, &cluster.name))).collect();
        let removed = old.iter().filter(|cluster| find(new, &cluster.name).is_none());
        clusters.extend(removed.map(|cluster| Change {
            what: What::Removed,
            takes: BTreeSet::new(),
            ..change(cluster, Some(cluster))
        }));
        Self { clusters, whole_file: Vec::new() }
    }

    /// Of the whole configuration, and not of its clusters alone.
    pub(super) fn of_all(old: &Config, new: &Config) -> Self {
        let (was, is) = (old.drain_on_shutdown, new.drain_on_shutdown);
        let drain = (was != is).then(|| format!("drain_on_shutdown: {was} → {is}"));
        let place = |config: &Config| {
            config.listen.as_ref().map_or_else(|| "nowhere".to_owned(), |listen| listen.at.to_string())
        };
        let listen = (old.listen != new.listen).then(|| match (place(old), place(new)) {
            (was, is) if was == is => format!("listen: {is}, with another token or certificate"),
            (was, is) => format!("listen: {was} → {is}"),
        });
        let whole_file = drain.into_iter().chain(listen).collect();
        Self { whole_file, ..Self::between(&old.clusters, &new.clusters) }
    }

    /// Nothing is other than it was.
    pub(super) fn is_none(&self) -> bool {
        self.whole_file.is_empty() && self.clusters.iter().all(|change| change.what == What::Unchanged)
    }

    /// The names of those of which this is so.
    pub(super) fn names(&self, so: impl Fn(&What) -> bool) -> BTreeSet<String> {
        self.clusters.iter().filter(|change| so(&change.what)).map(|change| change.name.clone()).collect()
    }

    /// For the operator.
    pub(super) fn lines(&self) -> Vec<String> {
        self.whole_file.iter().cloned().chain(self.clusters.iter().flat_map(Change::lines)).collect()
    }

    /// "1 changed, 2 unchanged".
    pub(super) fn in_short(&self) -> String {
        let count = |so: fn(&What) -> bool| self.clusters.iter().filter(|change| so(&change.what)).count();
        let counted = [
            (count(|what| matches!(what, What::Changed(_))), "changed"),
            (count(|what| *what == What::New), "new"),
            (count(|what| *what == What::Removed), "removed"),
            (count(|what| *what == What::Unchanged), "unchanged"),
        ];
        let counted = counted.iter().filter(|(count, _)| *count > 0);
        counted.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
    }
}

impl Change {
    fn lines(&self) -> Vec<String> {
        let begins_anew = match &self.what {
            What::Unchanged => vec!["unchanged".to_owned()],
            What::New => vec![format!("new: VIP {}", listed(&self.takes))],
            What::Removed if self.gives_up.is_empty() => {
                vec!["removed; its VIPs are other clusters' now".to_owned()]
            }
            What::Removed => {
                let vips: BTreeSet<_> = self.gives_up.values().copied().collect();
                vec![format!("removed; VIP {} is given up where it is here", listed(&vips))]
            }
            What::Changed(words) => words.clone(),
        };
        begins_anew.iter().map(|words| format!("cluster {}: {words}", self.name)).collect()
    }
}

fn what(cluster: &Cluster, before: Option<&Cluster>) -> What {
    match before {
        None => What::New,
        Some(before) if before == cluster => What::Unchanged,
        Some(before) => What::Changed(words::differences(before, cluster)),
    }
}

fn find<'c>(clusters: &'c [Cluster], name: &str) -> Option<&'c Cluster> {
    clusters.iter().find(|cluster| cluster.name == name)
}

fn vips(clusters: &[Cluster]) -> BTreeSet<IpAddr> {
    clusters.iter().flat_map(|cluster| cluster.policy.vips.values()).map(|vip| vip.address).collect()
}

fn listed(vips: &BTreeSet<IpAddr>) -> String {
    vips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What can't be followed while the agent runs: a sentence each.
pub(super) fn needs_a_restart(old: &Config, new: &Config) -> Vec<String> {
    let mut all = Vec::new();
    if old.lock != new.lock {
        all.push(format!(
            "lock: {} → {}: the lock, and the socket beside it, are the running agent's",
            old.lock.display(),
            new.lock.display()
        ));
    }
    for cluster in &new.clusters {
        let Some(before) = find(&old.clusters, &cluster.name) else { continue };
        let name = &cluster.name;
        if before.install_path != cluster.install_path {
            all.push(format!(
                "cluster {name}: install_path: {} → {}: its log, history and state are in that folder",
                before.install_path.display(),
                cluster.install_path.display()
            ));
        }
        if before.mysql_port != cluster.mysql_port {
            all.push(format!(
                "cluster {name}: mysql_port: {} → {}: its log, history and state are named after the port",
                before.mysql_port, cluster.mysql_port
            ));
        }
    }
    if all.is_empty() && old.control_socket() != new.control_socket() {
        // A parameter.py with another port.
        all.push(format!(
            "the agent would be spoken to at {}, and is at {}",
            new.control_socket().display(),
            old.control_socket().display()
        ));
    }
    all
}

#[cfg(test)]
#[path = "difference/tests.rs"]
mod tests;
