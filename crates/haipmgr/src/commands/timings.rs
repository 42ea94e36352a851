//! What each cluster's local server says of its group, and whether the lease fits the group's own timings: looked at before the
//! agent starts, and where the server does not answer then, later.

use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use decide::input::Fact;
use decide::timings::Overlap;

use super::check::local_access;
use crate::act::expel;
use crate::config::{Cluster, Config, format_duration};
use crate::journal::Log;
use crate::observe::group_settings::{self, GroupSettings};

/// The start does not wait longer for servers' answers: a server that lives gives one in a fraction of this.
const WAIT: Duration = Duration::from_millis(300);
/// So many servers are asked at the same time.
const ASKERS: usize = 8;
/// Servers that did not answer are asked again this often.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Enough for a TLS handshake in an unoptimised build, which 256 KiB are not; only what is touched costs memory.
const STACK: usize = 2 << 20;

/// A lease that outlives the group's own election.
#[derive(Debug, thiserror::Error)]
#[error("cluster {cluster}: {overlap}")]
pub(super) struct Unfit {
    /// The cluster's name.
    pub(super) cluster: String,
    /// The sum.
    #[source]
    pub(super) overlap: Overlap,
}

/// What came of asking, for each cluster in order: lines for the log.
pub(super) struct Fitted {
    pub(super) lines: Vec<Vec<String>>,
    /// Clusters whose servers are yet to answer.
    pub(super) unanswered: Vec<usize>,
}

/// Asks the local servers of all clusters at once. A lease that is the default is made shorter where it has to be.
///
/// # Errors
/// A lease that the configuration names is too long.
pub(super) fn fit(config: &mut Config) -> Result<Fitted, Unfit> {
    let (tell, answers) = mpsc::channel();
    let to_ask: Vec<(usize, Cluster)> = config.clusters.iter().cloned().enumerate().collect();
    let mut unanswered: Vec<usize> = to_ask.iter().map(|(place, _)| *place).collect();
    let askers = to_ask.len().min(ASKERS);
    let to_ask = Arc::new(Mutex::new(to_ask));
    for _ in 0..askers {
        let (tell, to_ask) = (tell.clone(), Arc::clone(&to_ask));
        let next = move || to_ask.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // Where there is no thread to be had, the answers stay out, as a silent server's.
        let _ = thread::Builder::new().name("group-settings".to_owned()).stack_size(STACK).spawn(move || {
            while let Some((place, cluster)) = next() {
                if tell.send((place, ask(&cluster))).is_err() {
                    return;
                }
            }
        });
    }
    drop(tell);
    let until = Instant::now() + WAIT;
    let mut lines = vec![Vec::new(); config.clusters.len()];
    while let Ok((place, answer)) = answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
        let Some(cluster) = config.clusters.get_mut(place) else { continue };
        if let Some(Fact::Known(settings)) = answer {
            unanswered.retain(|waiting| *waiting != place);
            lines[place] = server_in_words(cluster, &settings);
            lines[place].extend(shorten(cluster, &settings)?);
        }
    }
    Ok(Fitted { lines, unanswered })
}

/// `None` where this host is no member as far as can be seen.
fn ask(cluster: &Cluster) -> Option<Fact<GroupSettings>> {
    let mut answer = group_settings::ask(local_access(cluster)?);
    if let Fact::Known(GroupSettings { timings, .. }) = &mut answer
        && timings.expel_timeout.is_zero()
    {
        // An agent that was killed while it had it at 0 left what is to be put back.
        let left = expel::left_behind(&cluster.expel_timeout_file());
        timings.expel_timeout = Duration::from_secs(left.unwrap_or(0).into());
    }
    if let Fact::Known(GroupSettings { timings, .. }) = &mut answer {
        timings.silent_hosts_go = cluster.policy.group.expels_silent_hosts();
    }
    Some(answer)
}

/// The server's version, the group's communication stack and port, and where the configuration says another port.
fn server_in_words(cluster: &Cluster, settings: &GroupSettings) -> Vec<String> {
    let mut lines = vec![format!("the local server is {settings}")];
    if let (Some(written), Some(port)) = (cluster.group_port, settings.group_port)
        && written != port
    {
        lines.push(format!(
            "group_port is {written} in the configuration, and {port} in the server's group_replication_local_address: \
             correct it, or leave it out"
        ));
    }
    lines
}

fn shorten(cluster: &mut Cluster, settings: &GroupSettings) -> Result<Option<String>, Unfit> {
    let timings = settings.timings;
    let Some(lease) = cluster.policy.longest_lease() else { return Ok(None) };
    match timings.allow(lease) {
        Ok(()) => Ok(None),
        Err(overlap) if cluster.lease_given => Err(Unfit { cluster: cluster.name.clone(), overlap }),
        Err(_) => {
            let shorter = timings.earliest_successor();
            for vip in cluster.policy.vips.values_mut() {
                vip.lease = vip.lease.map(|lease| lease.min(shorter));
            }
            let because = if timings.silent_hosts_go {
                "silent_host is \"expel\"".to_owned()
            } else {
                format!("group_replication_member_expel_timeout is {} s", timings.expel_timeout.as_secs())
            };
            Ok(Some(format!(
                "the lease is {} and not {}, so that it ends before the group can replace a silent member: {because}",
                format_duration(shorter),
                format_duration(lease),
            )))
        }
    }
}

/// Goes on asking the servers that did not answer in time, and says in the log where a lease does not fit: the agent runs, and
/// goes on. Where the system gives no thread it is left.
///
/// One whose configuration is another by then is left, too.
pub(super) fn look_later(mut unanswered: Vec<(Cluster, Log, Weak<()>)>) {
    if unanswered.is_empty() {
        return;
    }
    let _ = thread::Builder::new().name("group-settings".to_owned()).stack_size(STACK).spawn(move || {
        loop {
            unanswered.retain(|(cluster, log, runs)| runs.strong_count() > 0 && !is_compared(cluster, log));
            if unanswered.is_empty() {
                return;
            }
            thread::sleep(ASK_AGAIN_AFTER);
        }
    });
}

/// Whether the server answered, and all is said.
fn is_compared(cluster: &Cluster, log: &Log) -> bool {
    let Some(Fact::Known(settings)) = ask(cluster) else { return false };
    for line in server_in_words(cluster, &settings) {
        log.info(&line);
    }
    if let Some(Err(overlap)) = cluster.policy.longest_lease().map(|lease| settings.timings.allow(lease)) {
        log.error(&format!(
            "{overlap}. The agent goes on, but does not start again with this lease in the configuration"
        ));
    }
    true
}
