//! A new configuration, looked at as a whole before anything is changed: the file, the locks, the leases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::account;
use super::difference::{Difference, What, needs_a_restart};
use crate::commands::this_host;
use crate::commands::timings::{self, Unfit};
use crate::commands::vip_prefix;
use crate::config::{self, Cluster, Config, Problems};
use crate::control::reloaded::{Outcome, Reloaded};
use crate::lock::{self, Held, LockError, More};

/// What is compared with: what runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    /// As its file said.
    pub(super) written: Arc<Config>,
    pub(super) held: Held,
    /// Of clusters whose lease is the default: as short as their groups need it.
    pub(super) leases: BTreeMap<String, Duration>,
}

/// A configuration that can be followed.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) written: Config,
    pub(super) difference: Difference,
    pub(super) to_begin: Vec<ToBegin>,
    pub(super) more: More,
}

/// A cluster whose agent is to begin, as it is to run.
#[derive(Debug)]
pub(super) struct ToBegin {
    pub(super) cluster: Cluster,
    /// For its log.
    pub(super) lines: Vec<String>,
    /// … as errors.
    pub(super) remarks: Vec<String>,
    /// Its server is yet to answer.
    pub(super) unanswered: bool,
}

/// Why a configuration is not followed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The file is wrong.
    #[error(transparent)]
    Configuration(#[from] Problems),
    /// A lease that outlives the group's own election.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A VIP that this host can't have with its prefix length.
    #[error(transparent)]
    Prefix(#[from] vip_prefix::Refused),
    /// Another agent looks after one of its VIPs or clusters.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What can't be changed while the agent runs.
    #[error("{}", .0.join("\n"))]
    Restart(Vec<String>),
    /// The new account is none.
    #[error("{}", .0.join("\n"))]
    Account(Vec<String>),
    /// Another file is meant.
    #[error(
        "the running agent was started with {}, and not with {named}: write there what it is to follow, or restart it with the other file", own.display()
    )]
    OtherFile {
        /// The agent's.
        own: PathBuf,
        /// What was asked for.
        named: String,
    },
    /// The system has no thread, or no room.
    #[error("{0}")]
    System(String),
}

/// Looks at the file that runs, as it is now. It reads files, asks servers, and waits: not for the thread that decides.
pub(super) fn check(running: &Running, named: Option<&str>) -> Result<Checked, Refused> {
    let path = &running.written.path;
    if let Some(named) = named
        && !is_same_file(path, named)
    {
        return Err(Refused::OtherFile { own: path.clone(), named: named.to_owned() });
    }
    let written = config::load(path)?;
    let only_by_restart = needs_a_restart(&running.written, &written);
    if !only_by_restart.is_empty() {
        return Err(Refused::Restart(only_by_restart));
    }
    let difference = Difference::of_all(&running.written, &written);
    let begins = difference.names(|what| matches!(what, What::New | What::Changed(_)));
    let mut to_begin = written.clone();
    to_begin.clusters.retain(|cluster| begins.contains(&cluster.name));
    let more = lock::take_more(&to_begin, &running.held)?;
    let logs_in_otherwise = |cluster: &&Cluster| {
        let mut before = running.written.clusters.iter().filter(|before| before.name == cluster.name);
        before.any(|before| account::differs(before, cluster))
    };
    let turned_away =
        account::turned_away(&to_begin.clusters.iter().filter(logs_in_otherwise).collect::<Vec<_>>());
    if !turned_away.is_empty() {
        return Err(Refused::Account(turned_away));
    }
    vip_prefix::fits(&to_begin)?;
    let fitted = timings::fit(&mut to_begin)?;
    let each = to_begin.clusters.into_iter().zip(fitted.lines).enumerate();
    let each = each.map(|(place, (mut cluster, lines))| {
        let unanswered = fitted.unanswered.contains(&place);
        if unanswered && !cluster.lease_given {
            // What its server said before holds until it says otherwise.
            let lease = running.leases.get(&cluster.name).copied();
            as_short_as(&mut cluster, lease);
        }
        ToBegin { remarks: this_host::remarks(&cluster), cluster, lines, unanswered }
    });
    Ok(Checked { to_begin: each.collect(), written, difference, more })
}

fn as_short_as(cluster: &mut Cluster, lease: Option<Duration>) {
    let Some(lease) = lease else { return };
    for vip in cluster.policy.vips.values_mut() {
        vip.lease = vip.lease.map(|longer| longer.min(lease));
    }
}

/// A name that leads nowhere is no file's.
fn is_same_file(own: &Path, named: &str) -> bool {
    let named = Path::new(named);
    match (own.canonicalize(), named.canonicalize()) {
        (Ok(own), Ok(named)) => own == named,
        _ => own == named,
    }
}

impl Refused {
    /// For whoever asked.
    pub(super) fn told(&self, running: &Config) -> Reloaded {
        const UNTOUCHED: &str = "nothing was changed, and the agent goes on as it was";
        let file = running.path.display();
        let (outcome, mut trouble, last) = match self {
            Self::Configuration(problems) => {
                let count = problems.list().len();
                let plural = if count == 1 { "" } else { "s" };
                let each = problems.list().iter().map(ToString::to_string).collect();
                (Outcome::BadFile, each, format!("{count} problem{plural} in {file}; {UNTOUCHED}"))
            }
            Self::Unfit(unfit) => (Outcome::BadFile, vec![unfit.to_string()], UNTOUCHED.to_owned()),
            Self::Restart(sentences) => (
                Outcome::Failed,
                sentences.clone(),
                format!("that takes a restart (systemctl restart haipmgr; the VIPs stay); {UNTOUCHED}"),
            ),
            Self::Account(sentences) => (Outcome::Failed, sentences.clone(), UNTOUCHED.to_owned()),
            other => (Outcome::Failed, vec![other.to_string()], UNTOUCHED.to_owned()),
        };
        trouble.push(last);
        Reloaded { outcome, lines: Vec::new(), trouble }
    }
}
