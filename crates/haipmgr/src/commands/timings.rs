//! Whether each cluster's lease fits the group's own timings: looked at before the agent starts, and where the server does
//! not answer then, later.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use decide::event::Fact;
use decide::timings::{GroupTimings, Overlap};

use super::check::local_access;
use crate::act::expel;
use crate::config::{Cluster, Config, format_duration};
use crate::journal::Log;
use crate::observe::group_timings;

/// The start does not wait longer for servers' answers: a server that lives gives one in a fraction of this.
const WAIT: Duration = Duration::from_millis(300);
/// So many servers are asked at the same time.
const ASKERS: usize = 8;
/// Servers that did not answer are asked again this often.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Enough for a TLS handshake in an unoptimised build; only what is touched costs memory.
const STACK: usize = 1 << 20;

/// A lease that outlives the group's own election.
#[derive(Debug, thiserror::Error)]
#[error("cluster {cluster}: {overlap}")]
pub struct Unfit {
    /// The cluster's name.
    pub cluster: String,
    /// The sum.
    #[source]
    pub overlap: Overlap,
}

/// What came of asking, for each cluster in order: a line for the log, where there is something to say.
pub(super) struct Fitted {
    pub(super) lines: Vec<Option<String>>,
    /// Clusters whose servers are yet to answer.
    pub(super) unanswered: Vec<usize>,
}

/// Asks the local servers of all clusters at once. A lease that is the default is made shorter where it has to be.
///
/// # Errors
/// A lease that the configuration names is too long.
pub(super) fn fit(config: &mut Config) -> Result<Fitted, Unfit> {
    let (tell, answers) = mpsc::channel();
    let leased = config.clusters.iter().enumerate().filter(|(_, cluster)| has_lease(cluster));
    let to_ask: Vec<(usize, Cluster)> = leased.map(|(place, cluster)| (place, cluster.clone())).collect();
    let mut unanswered: Vec<usize> = to_ask.iter().map(|(place, _)| *place).collect();
    let askers = to_ask.len().min(ASKERS);
    let to_ask = Arc::new(Mutex::new(to_ask));
    for _ in 0..askers {
        let (tell, to_ask) = (tell.clone(), Arc::clone(&to_ask));
        let next = move || to_ask.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // Where there is no thread to be had, the answers stay out, as a silent server's.
        let _ = thread::Builder::new().name("group-timings".to_owned()).stack_size(STACK).spawn(move || {
            while let Some((place, cluster)) = next() {
                if tell.send((place, ask(&cluster))).is_err() {
                    return;
                }
            }
        });
    }
    drop(tell);
    let until = Instant::now() + WAIT;
    let mut lines = vec![None; config.clusters.len()];
    while let Ok((place, answer)) = answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
        let Some(cluster) = config.clusters.get_mut(place) else { continue };
        if let Some(Fact::Known(timings)) = answer {
            unanswered.retain(|waiting| *waiting != place);
            lines[place] = shorten(cluster, &timings)?;
        }
    }
    Ok(Fitted { lines, unanswered })
}

fn has_lease(cluster: &Cluster) -> bool {
    cluster.policy.longest_lease().is_some()
}

/// `None` where this host is no member as far as can be seen.
fn ask(cluster: &Cluster) -> Option<Fact<GroupTimings>> {
    let answer = group_timings::ask(local_access(cluster)?);
    Some(match answer {
        Fact::Known(timings) if timings.expel_timeout.is_zero() => {
            // An agent that was killed while it had it at 0 left what is to be put back.
            let left = expel::left_behind(&cluster.expel_timeout_file());
            let expel_timeout = Duration::from_secs(left.unwrap_or(0).into());
            Fact::Known(GroupTimings { expel_timeout, ..timings })
        }
        other => other,
    })
}

fn shorten(cluster: &mut Cluster, timings: &GroupTimings) -> Result<Option<String>, Unfit> {
    let Some(lease) = cluster.policy.longest_lease() else { return Ok(None) };
    match timings.allow(lease) {
        Ok(()) => Ok(None),
        Err(overlap) if cluster.lease_given => Err(Unfit { cluster: cluster.name.clone(), overlap }),
        Err(_) => {
            let shorter = timings.earliest_successor();
            for vip in cluster.policy.vips.values_mut() {
                vip.lease = vip.lease.map(|lease| lease.min(shorter));
            }
            Ok(Some(format!(
                "the lease is {} and not {}, so that it ends before the group can replace a silent member: \
                 group_replication_member_expel_timeout is {} s",
                format_duration(shorter),
                format_duration(lease),
                timings.expel_timeout.as_secs()
            )))
        }
    }
}

/// What `check` says of it.
pub(super) fn in_words(cluster: &Cluster) -> String {
    let Some(lease) = cluster.policy.longest_lease() else {
        return "off: if the agent is dead or hung, the VIP stays where it is".to_owned();
    };
    match ask(cluster) {
        None => {
            "not compared with the group's timings: no address of this host is a member's address".to_owned()
        }
        Some(Fact::Unknown(why)) => format!("not compared with the group's timings: {why}"),
        Some(Fact::Known(timings)) => match timings.allow(lease) {
            Ok(()) => format!(
                "{} fits: the group replaces a silent member after {} at the soonest",
                format_duration(lease),
                format_duration(timings.earliest_successor())
            ),
            Err(overlap) if cluster.lease_given => format!("REFUSED: {overlap}"),
            Err(_) => {
                format!("is shortened to {} at the start", format_duration(timings.earliest_successor()))
            }
        },
    }
}

/// Goes on asking the servers that did not answer in time, and says in the log where a lease does not fit: the agent runs, and
/// goes on. Where the system gives no thread it is left.
pub(super) fn look_later(mut unanswered: Vec<(Cluster, Log)>) {
    if unanswered.is_empty() {
        return;
    }
    let _ = thread::Builder::new().name("group-timings".to_owned()).stack_size(STACK).spawn(move || {
        loop {
            unanswered.retain(|(cluster, log)| !is_compared(cluster, log));
            if unanswered.is_empty() {
                return;
            }
            thread::sleep(ASK_AGAIN_AFTER);
        }
    });
}

/// Whether the server answered, and all is said.
fn is_compared(cluster: &Cluster, log: &Log) -> bool {
    let Some(Fact::Known(timings)) = ask(cluster) else { return false };
    if let Some(Err(overlap)) = cluster.policy.longest_lease().map(|lease| timings.allow(lease)) {
        log.error(&format!(
            "{overlap}. The agent goes on, but does not start again with this lease in the configuration"
        ));
    }
    true
}
