//! What an agent costs on the real group while nothing happens, what it costs the server beside it, and how soon after its
//! start it decides.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::process::{Memory, Spent};
use super::{CostError, Times};
use crate::agents::{Agent, LOG};
use crate::group::Server;
use crate::scenario::Lab;

/// With and without agents in turn, so often: what else the servers do changes slowly.
const TURNS: u32 = 4;
/// What a start or an end stirs up is over after this.
const SETTLES_IN: Duration = Duration::from_secs(2);
/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How a line begins that says what becomes of the VIP.
const ABOUT_VIP: [&str; 3] = ["] VIP kept", "] VIP not ", "] VIP wanted"];
/// What is said of the VIP before it can be decided on.
const UNDECIDED: &str = "not known";

/// What was measured. Shares are of one core.
#[derive(Clone, Copy, Debug, Default)]
pub struct AtRest {
    /// The agent's processor time: the dearest of the three.
    pub processor: f64,
    /// Its memory, bytes: that of the largest.
    pub resident: u64,
    /// The same, shared pages counted in part.
    pub proportional: u64,
    /// A server's processor time with the agents running, the mean of the three.
    pub server_with: f64,
    /// … and without them.
    pub server_without: f64,
}

impl AtRest {
    /// What the agent costs the server.
    pub fn server_extra(&self) -> f64 {
        self.server_with - self.server_without
    }
}

/// Watches for this long with the agents running and for as long without, in turns.
pub(super) fn measure(lab: &mut Lab, seconds: u32) -> Result<AtRest, CostError> {
    let turn = Duration::from_secs(seconds.into()) / TURNS;
    let mut found = AtRest::default();
    for _ in 0..TURNS {
        found.server_with += servers(lab, turn, &mut found)? / f64::from(TURNS);
        for agent in &mut lab.agents {
            agent.stop()?;
        }
        sleep(SETTLES_IN);
        found.server_without += servers(lab, turn, &mut found)? / f64::from(TURNS);
        for (agent, host) in lab.agents.iter_mut().zip(&lab.segment.databases) {
            agent.start(host)?;
        }
        lab.wait_steady()?;
        sleep(SETTLES_IN);
    }
    found.processor /= f64::from(TURNS);
    Ok(found)
}

/// The mean share of the servers in this time; what the agents that run take is added to `found`.
fn servers(lab: &mut Lab, time: Duration, found: &mut AtRest) -> Result<f64, CostError> {
    let servers: Vec<u32> = lab.group.servers().iter().filter_map(Server::pid).collect();
    let agents: Vec<u32> = lab.agents.iter().filter_map(Agent::pid).collect();
    let spent = |pids: &[u32]| pids.iter().map(|pid| Spent::by(*pid)).collect::<Result<Vec<_>, _>>();
    let (servers_before, agents_before) = (spent(&servers)?, spent(&agents)?);
    sleep(time);
    let share = |pids: &[u32], before: Vec<Spent>| -> Result<Vec<f64>, CostError> {
        Ok(spent(pids)?.into_iter().zip(before).map(|(after, before)| after.share_since(before)).collect())
    };
    for agent in &mut lab.agents {
        agent.check()?;
    }
    found.processor += share(&agents, agents_before)?.into_iter().fold(0.0, f64::max);
    for pid in agents {
        let memory = Memory::of(pid)?;
        found.resident = found.resident.max(memory.resident);
        found.proportional = found.proportional.max(memory.proportional);
    }
    let shares = share(&servers, servers_before)?;
    #[allow(clippy::cast_precision_loss)] // three
    let count = shares.len().max(1) as f64;
    Ok(shares.iter().sum::<f64>() / count)
}

/// Starts an agent so often, and gives the times from the start of its program to its first decision: whether the VIP should
/// be here or not.
pub(super) fn starts(lab: &mut Lab, times: u32) -> Result<Times, CostError> {
    let mut all = Vec::new();
    for number in 0..times {
        let place = usize::try_from(number).unwrap_or_default() % lab.agents.len().max(1);
        let (Some(agent), Some(host)) = (lab.agents.get_mut(place), lab.segment.databases.get(place)) else {
            break;
        };
        agent.stop()?;
        let log = host.path(LOG);
        let seen = fs::metadata(&log).map_or(0, |found| found.len());
        let began = Timestamp::now();
        agent.start(host)?;
        let since = Instant::now();
        let decided = loop {
            let text = fs::read(&log).unwrap_or_default();
            let news = text.get(usize::try_from(seen).unwrap_or_default()..).unwrap_or_default();
            if let Some(at) = first_decision(&String::from_utf8_lossy(news)) {
                break at;
            }
            agent.check()?;
            if since.elapsed() > START_LIMIT {
                return Err(CostError::NoDecision { host: host.name().to_owned(), limit: START_LIMIT });
            }
            sleep(LOOK_EVERY);
        };
        // The line's time is cut to the millisecond.
        all.push(Duration::try_from(decided.duration_since(began)).unwrap_or_default());
        lab.wait_steady()?;
    }
    Ok(Times::of(all))
}

/// When the log says for the first time what is to become of the VIP.
fn first_decision(log: &str) -> Option<Timestamp> {
    let whole = log.rfind('\n').and_then(|end| log.get(..end)).unwrap_or_default();
    let decided =
        |line: &&str| ABOUT_VIP.iter().any(|about| line.contains(about)) && !line.contains(UNDECIDED);
    let line = whole.lines().find(decided)?;
    let (end, _) = line.match_indices(' ').nth(1)?;
    line.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_the_first_line_that_says_what_becomes_of_the_vip() {
        let log = "2026-11-23 00:00:00.100+00:00 INFO  [lab] VIP 10.77.0.100/32 for MySQL port 3306\n\
                   2026-11-23 00:00:00.101+00:00 INFO  [lab] stage 1 (member) passes\n\
                   2026-11-23 00:00:00.110+00:00 INFO  [lab] VIP not here, and not started: stage 2 (server) is not known: not asked yet\n";
        assert_eq!(first_decision(log), None);
        for decision in ["VIP not wanted here: stage 3 (primary): a secondary", "VIP kept: all stages pass"] {
            let more = format!("{log}2026-11-23 00:00:00.140+00:00 INFO  [lab] {decision}\n");
            assert_eq!(first_decision(&more), "2026-11-23 00:00:00.140Z".parse().ok());
            assert_eq!(first_decision(more.trim_end()), None, "a line that is half written");
        }
    }
}
