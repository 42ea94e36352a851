//! What an agent costs: at rest on the real group, what it costs the server, its start; and one agent with many clusters.
//!
//! | file | the one idea |
//! |---|---|
//! | `process.rs` | what a process has cost so far |
//! | `at_rest.rs` | one cluster, on the real group |
//! | `many.rs` | many clusters, on a stand-in |
//! | `several_vips.rs` | several VIPs in one cluster, on a stand-in |
//! | `stand_in.rs` | the stand-in for many servers |
//! | `figures.rs` | the table and the page |

mod at_rest;
mod figures;
mod many;
mod process;
mod several_vips;
mod stand_in;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::agents::AgentError;
use crate::group::GroupError;
use crate::host::Host;
use crate::namespace::Layout;
use crate::scenario::{Lab, ScenarioError};

pub use at_rest::AtRest;
pub use figures::Figures;
pub use many::Many;
pub(crate) use process::{Memory, Spent};
pub use several_vips::SeveralVips;
pub use stand_in::StandIn;

/// What is measured, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Seconds at rest: with agents, and as long without.
    pub seconds: u32,
    /// Starts of an agent.
    pub starts: u32,
    /// Clusters of the one agent.
    pub clusters: u16,
    /// Changes of a primary, with one cluster and with all.
    pub flips: u32,
    /// VIPs of one cluster.
    pub vips: u16,
}

/// Why it could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// The lab failed, or the VIP is not where it belongs.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The group failed.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The agent ended, or does not start or end.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A process can't be looked at.
    #[error("/proc/{pid}/{file}: {cause}; has the process ended?")]
    Process {
        /// The process.
        pid: u32,
        /// The file.
        file: &'static str,
        /// Why not.
        cause: io::Error,
    },
    /// The kernel shows a process in a form that is not known.
    #[error("/proc/{pid}/{file} is not as proc(5) describes it")]
    NotUnderstood {
        /// The process.
        pid: u32,
        /// The file.
        file: &'static str,
    },
    /// The agent does not decide.
    #[error("the agent on {host} has decided nothing {} s after its start; see its log", limit.as_secs())]
    NoDecision {
        /// Its host.
        host: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The lab has no database host.
    #[error("the lab has no database host")]
    NoHost,
    /// The stand-in failed.
    #[error("the stand-in for servers: {what}: {cause}")]
    StandIn {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        cause: io::Error,
    },
    /// The witness of the addresses does not start.
    #[error("the witness of the addresses does not start: {0}")]
    Witness(#[source] io::Error),
    /// The agent does not move a VIP.
    #[error("{vip} is {} on the interface, even after {} s; see the agent's log", if *there { "not" } else { "still" }, limit.as_secs())]
    VipNotMoved {
        /// The VIP.
        vip: IpAddr,
        /// Where it should be: on the interface, or not.
        there: bool,
        /// How long was waited.
        limit: Duration,
    },
    /// The page can't be written.
    #[error("{}: {cause}", path.display())]
    Page {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

impl CostError {
    fn stand_in(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::StandIn { what, cause }
    }
}

/// How long something took, each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times(Vec<Duration>);

impl Times {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// How often it was measured.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that so many in a hundred do not exceed (0–100); zero where nothing was measured.
    pub fn percentile(&self, percent: usize) -> Duration {
        let place = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(place).copied().unwrap_or_default()
    }
}

/// Brings the lab up and measures all that is wanted. `tell` hears what is being done.
///
/// # Errors
/// The lab or an agent failed. That a figure is beyond its limit is no error.
pub fn measure(layout: &Layout, wanted: Wanted, tell: &mut dyn FnMut(&str)) -> Result<Figures, CostError> {
    let mut lab = Lab::start(layout, true, tell)?;
    lab.wait_steady()?;
    tell("one cluster at rest, with agents and without in turns");
    let at_rest = at_rest::measure(&mut lab, wanted.seconds)?;
    tell("starting agents");
    let starts = at_rest::starts(&mut lab, wanted.starts)?;
    lab.end()?;
    let (one, many) = with_stand_in(layout, &lab, wanted, tell)?;
    let vips = [1, wanted.vips].map(|vips| {
        tell(&format!("one agent that holds {vips} VIPs of one cluster on the stand-in"));
        several_vips::measure(layout, &lab.segment.databases, vips, wanted.seconds)
    });
    let [one_vip, several_vips] = vips;
    Ok(Figures { wanted, at_rest, starts, one, many, one_vip: one_vip?, several_vips: several_vips? })
}

/// A few clusters for a few seconds, on a host that has no agent yet: to see that it can be measured.
pub(crate) fn briefly(layout: &Layout, host: &Host) -> Result<Many, CostError> {
    many::measure(layout, std::slice::from_ref(host), 6, 3, 3)
}

/// The second half: on a lab whose agents and servers do not run.
fn with_stand_in(
    layout: &Layout,
    lab: &Lab,
    wanted: Wanted,
    tell: &mut dyn FnMut(&str),
) -> Result<(Many, Many), CostError> {
    let hosts = &lab.segment.databases;
    tell("one agent with one cluster on the stand-in");
    let one = many::measure(layout, hosts, 1, wanted.seconds, wanted.flips)?;
    tell(&format!("one agent with {} clusters on the stand-in", wanted.clusters));
    let many = many::measure(layout, hosts, wanted.clusters, wanted.seconds, wanted.flips)?;
    Ok((one, many))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = Times::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(times.percentile(50), Duration::from_millis(100));
        assert_eq!(times.percentile(99), Duration::from_millis(198));
        assert_eq!(times.percentile(100), Duration::from_millis(200));
        assert_eq!(Times::default().percentile(50), Duration::ZERO);
    }
}
