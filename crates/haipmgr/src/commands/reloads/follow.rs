//! Follows a configuration that was found to be good: only those clusters' agents are ended and begun that are other than they were.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use decide::status::Has;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::checked::{Checked, Refused, ToBegin};
use super::difference::{Change, Difference, What};
use crate::agent::{Leaving, Left};
use crate::commands::run::in_words;
use crate::commands::serving::{Runs, Serving};
use crate::commands::timings;
use crate::control::Door;
use crate::journal::Log;

/// A VIP whose successor does not come up is not held for longer than this: where this host does not lead, none does.
const SUCCESSOR_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What is still under way: VIPs that are being given up.
pub(super) struct UnderWay {
    pub(super) difference: Difference,
    /// What did not go well so far.
    pub(super) trouble: Vec<String>,
    /// Ends when all are given up; gives those that are not, in words.
    pub(super) leaving: JoinHandle<Vec<String>>,
    /// The logs of clusters that are no more.
    removed: Vec<Log>,
}

/// VIPs of one cluster that are being given up.
struct GivenUp {
    cluster: String,
    vips: Vec<IpAddr>,
    gone: JoinHandle<bool>,
}

/// Follows it. Comes back once the agents that go on have begun.
pub(super) async fn follow(serving: &mut Serving, checked: Checked) -> Result<UnderWay, Refused> {
    let Checked { written, difference, to_begin, more } = checked;
    // All that can fail comes first.
    let logs = new_logs(serving, &to_begin)?;
    for remark in written.remarks.iter().chain(&more.remarks) {
        serving.journal.agent().error(remark);
    }
    serving.lock.add(more);
    say_what_changes(serving, &difference);
    let ends = difference.names(|what| matches!(what, What::Changed(_) | What::Removed));
    let mut left = serving.clusters.leave(&ends).await;
    let before: BTreeMap<_, _> = ends.iter().filter_map(|name| serving.running.remove_entry(name)).collect();
    let mut trouble = Vec::new();
    for (name, _) in left.iter().filter(|(_, left)| left.broken_off) {
        trouble.push(format!(
            "cluster {name}: its agent did not end in time, and was broken off: its successor goes on"
        ));
    }
    begin(serving, to_begin, &before, logs, &left);
    let given_up = give_up(serving, &difference, &before, &mut left);
    let removed = difference.names(|what| *what == What::Removed);
    for name in &removed {
        if let Some(left) = left.get(name) {
            serving.clusters.forget(left);
        }
    }
    serving.follow(written);
    let gone = |(name, runs): (String, Runs)| removed.contains(&name).then_some(runs.log);
    Ok(UnderWay {
        difference,
        trouble,
        leaving: tokio::spawn(all_gone(given_up)),
        removed: before.into_iter().filter_map(gone).collect(),
    })
}

/// Nothing of what was is here any more.
pub(super) fn finish(serving: &mut Serving, removed: &[Log]) {
    serving.lock.keep_only(&serving.written);
    for log in removed {
        serving.journal.forget(log);
    }
}

impl UnderWay {
    /// What is left to be done at its end.
    pub(super) fn parts(self) -> (Difference, Vec<String>, Vec<Log>) {
        (self.difference, self.trouble, self.removed)
    }
}

/// What holds for all in all logs; the rest in each cluster's, before its agent ends and begins anew.
fn say_what_changes(serving: &Serving, difference: &Difference) {
    for words in &difference.whole_file {
        serving.journal.agent().info(&format!("the configuration is loaded anew: {words}"));
    }
    for change in &difference.clusters {
        let Some(runs) = serving.running.get(&change.name) else { continue };
        match &change.what {
            What::Changed(words) => {
                let words = words.join("; ");
                runs.log.info(&format!("the configuration is loaded anew: {words}. The agent begins anew, and the VIPs that stay are left as they are"));
            }
            What::Removed => runs.log.info("not in the configuration any more"),
            What::Unchanged | What::New => {}
        }
    }
}

/// One for each cluster that has none yet.
fn new_logs(serving: &Serving, to_begin: &[ToBegin]) -> Result<BTreeMap<String, Log>, Refused> {
    let mut logs = BTreeMap::new();
    for ToBegin { cluster, .. } in to_begin {
        if serving.running.contains_key(&cluster.name) {
            continue;
        }
        match serving.journal.cluster(&cluster.name, &cluster.log_file()) {
            Ok(log) => drop(logs.insert(cluster.name.clone(), log)),
            Err(cause) => {
                for log in logs.values() {
                    serving.journal.forget(log);
                }
                return Err(Refused::System(format!(
                    "cannot start a thread for the log of cluster {}: {cause}; raise the limit on processes (TasksMax, ulimit -u)",
                    cluster.name
                )));
            }
        }
    }
    Ok(logs)
}

fn begin(
    serving: &mut Serving,
    to_begin: Vec<ToBegin>,
    before: &BTreeMap<String, Runs>,
    mut logs: BTreeMap<String, Log>,
    left: &BTreeMap<String, Left>,
) {
    let mut later = Vec::new();
    for ToBegin { cluster, lines, remarks, unanswered } in to_begin {
        let name = cluster.name.clone();
        let known = before.get(&name).map(|runs| runs.log.clone());
        let Some(log) = known.or_else(|| logs.remove(&name)) else { continue };
        log.info(&in_words(&cluster));
        for line in &lines {
            log.info(line);
        }
        for remark in &remarks {
            log.error(remark);
        }
        let left = left.get(&name).cloned().unwrap_or_default();
        let runs = serving.begin(cluster, log, &left);
        if unanswered {
            later.push(runs.to_compare());
        }
    }
    timings::look_later(later);
}

/// VIPs that no cluster has any more. Where one is here, and its cluster has got others, those come up first.
fn give_up(
    serving: &Serving,
    difference: &Difference,
    before: &BTreeMap<String, Runs>,
    left: &mut BTreeMap<String, Left>,
) -> Vec<GivenUp> {
    let leaves = difference.clusters.iter().filter(|change| !change.gives_up.is_empty());
    let each = leaves.filter_map(|change| {
        let was = before.get(&change.name)?;
        let goes_on = change.what != What::Removed;
        let vips: BTreeSet<_> = change.gives_up.keys().copied().collect();
        let words: Vec<_> = change.gives_up.values().map(ToString::to_string).collect();
        was.log.info(&format!(
            "not in the configuration any more, and given up where it is here: VIP {}",
            words.join(", ")
        ));
        let held = left.get(&change.name).is_some_and(|left| left.held_any(vips.iter().copied()));
        let successors = (held && goes_on).then(|| (serving.door_of(change), change.takes.clone()));
        let when = async move {
            if let Some((Some(door), takes)) = successors {
                let _ = timeout(SUCCESSOR_WITHIN, are_up(door, takes)).await;
            }
        };
        let gone = serving.clusters.give_up(Leaving::of(&was.cluster, &vips, goes_on), was.log.clone(), when);
        Some(GivenUp {
            cluster: change.name.clone(),
            vips: change.gives_up.values().copied().collect(),
            gone,
        })
    });
    each.collect()
}

impl Serving {
    fn door_of(&self, change: &Change) -> Option<Door> {
        self.running.get(&change.name).map(|runs| runs.door.clone())
    }
}

/// Waits until the cluster's agent holds these; or is no more.
async fn are_up(door: Door, vips: BTreeSet<IpAddr>) {
    loop {
        let (tell, told) = oneshot::channel();
        if door.questions.send(tell).await.is_err() {
            return;
        }
        let Ok(status) = told.await else { return };
        let is_up = |wanted: &IpAddr| {
            status.vips.iter().any(|vip| vip.address == *wanted && vip.state == Has::Holding)
        };
        if vips.iter().all(is_up) {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn all_gone(given_up: Vec<GivenUp>) -> Vec<String> {
    let mut still_here = Vec::new();
    for GivenUp { cluster, vips, gone } in given_up {
        if !matches!(gone.await, Ok(true)) {
            let vips: Vec<_> = vips.iter().map(ToString::to_string).collect();
            still_here.push(format!(
                "cluster {cluster}: VIP {} may still be here, and no agent looks after it: look at ip address show, and remove it: ip address del",
                vips.join(", ")
            ));
        }
    }
    still_here
}
