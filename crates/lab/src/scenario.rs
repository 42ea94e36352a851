//! The lab: everything up, and what is waited for: a steady state, and recovery from a fault.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::agents::{Agent, AgentError};
use crate::fault::{Fault, FaultError, Injected, Scene, holders, holders_of};
use crate::group::{self, Group, GroupError};
use crate::namespace::Layout;
use crate::packet_rules;
use crate::segment::{Segment, SegmentError};

/// How long the VIP may take to be where it belongs. A dead primary is expelled after 21 s with MySQL's defaults.
const RECOVERY_LIMIT: Duration = Duration::from_secs(90);
/// How long the group may take to be whole in a steady state.
const STEADY_LIMIT: Duration = Duration::from_secs(90);
/// How long a fault that is to change nothing, or that only healing ends, is left as it is.
const ENDURED_FOR: Duration = Duration::from_secs(5);
/// The same for a lost gateway: longer than a holder takes to believe it.
const GATEWAY_LOST_FOR: Duration = Duration::from_secs(7);
/// How long a group that has expelled a member is left so: then it is seen to commit at its old rate.
const WITHOUT_A_MEMBER_FOR: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The segment failed.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The group failed.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// An agent failed.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A fault could not be done or undone.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The reader VIPs are not where they belong.
    #[error("the reader VIPs are not on the secondaries, evenly, even after {} s: {holders}. {group}", limit.as_secs())]
    ReadersNotPlaced {
        /// How long was waited.
        limit: Duration,
        /// Each VIP with its hosts.
        holders: String,
        /// What the servers say.
        group: String,
    },
    /// The VIP is not where it belongs.
    #[error("{moment}: the VIP is not on the primary alone, even after {} s. Holders: {holders}. {group}", limit.as_secs())]
    VipNotOnPrimary {
        /// When that was.
        moment: &'static str,
        /// How long was waited.
        limit: Duration,
        /// The hosts that have it.
        holders: String,
        /// What the servers say.
        group: String,
    },
}

/// Whether each VIP has one holder, none of them is the primary, and no secondary has two more than another.
fn even(holders: &[Vec<usize>], primary: usize, members: usize) -> bool {
    let mut loads = vec![0_usize; members];
    for of_vip in holders {
        let [place] = of_vip.as_slice() else { return false };
        loads[*place] += 1;
    }
    let secondaries: Vec<usize> =
        loads.iter().enumerate().filter(|(place, _)| *place != primary).map(|(_, load)| *load).collect();
    let (most, least) = (secondaries.iter().max(), secondaries.iter().min());
    loads[primary] == 0 && most.zip(least).is_some_and(|(most, least)| most - least <= 1)
}

/// A lab that is up.
#[derive(Debug)]
pub struct Lab {
    /// Hosts and cables.
    pub segment: Segment,
    /// The servers.
    pub group: Group,
    /// The agents, in the same order; empty when the lab runs without them.
    pub agents: Vec<Agent>,
    /// How long the VIP may take to be where it belongs, after a fault and in a steady state.
    pub recovery_limit: Duration,
}

impl Lab {
    /// Brings up the segment, the group, and the agents if `with_agents`. `progress` is told what is being done.
    pub fn start(
        layout: &Layout,
        with_agents: bool,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, ScenarioError> {
        progress("plugging the hosts in");
        let segment = Segment::start(layout)?;
        let group = Group::start(layout, &segment.databases, group::FIRST, progress)?;
        let mut agents = Vec::new();
        if with_agents {
            progress("starting the agents");
            for host in &segment.databases {
                agents.push(Agent::prepare(layout, host)?);
            }
            if let (Some(agent), Some(host)) = (agents.first(), segment.databases.first()) {
                group.make_agents_account(&agent.sql(host)?)?;
            }
        }
        let mut lab = Self { segment, group, agents, recovery_limit: RECOVERY_LIMIT };
        lab.start_agents()?;
        Ok(lab)
    }

    /// Starts the agents that do not run.
    pub fn start_agents(&mut self) -> Result<(), ScenarioError> {
        for (agent, host) in self.agents.iter_mut().zip(&self.segment.databases) {
            agent.start(host)?;
        }
        Ok(())
    }

    /// Stops the agents as systemd would: the VIP stays where it is (S7).
    pub fn stop_agents(&mut self) -> Result<(), ScenarioError> {
        Ok(self.agents.iter_mut().try_for_each(Agent::stop)?)
    }

    /// What faults are done to.
    pub fn scene(&mut self) -> Scene<'_> {
        Scene { segment: &self.segment, group: &mut self.group, agents: &mut self.agents }
    }

    /// Brings back what a fault that failed may have left: gateway, cables, interfaces, filters, servers and agents as they are to be.
    pub fn repair(&mut self) -> Result<usize, ScenarioError> {
        self.segment.set_gateway(true)?;
        for (place, host) in self.segment.databases.iter().enumerate() {
            self.segment.set_cable(host, true)?;
            self.segment.set_interface_up(host)?;
            packet_rules::remove(host).map_err(FaultError::from)?;
            packet_rules::mend(&self.segment, host).map_err(FaultError::from)?;
            if let Some(server) = self.group.server_mut(place)
                && server.is_running()
            {
                server.thaw()?;
            }
        }
        for (place, host) in self.segment.databases.iter().enumerate() {
            self.group.heal(place, host)?;
        }
        for (agent, host) in self.agents.iter_mut().zip(&self.segment.databases) {
            // One that ended by itself is told where that is looked at; here it is to run again.
            let _ = agent.check();
            agent.thaw()?;
            agent.start(host)?;
        }
        self.wait_steady()
    }

    /// Ends all that runs on the hosts. The hosts themselves end when this is dropped.
    pub fn end(&mut self) -> Result<(), ScenarioError> {
        for agent in &mut self.agents {
            agent.kill()?;
        }
        Ok(self.group.end()?)
    }

    /// Waits until the group is whole and the VIP on the primary; returns the primary's place.
    pub fn wait_steady(&mut self) -> Result<usize, ScenarioError> {
        self.group.wait_whole(STEADY_LIMIT)?;
        self.wait_vip_on_primary("in the steady state", None)
    }

    /// Waits until each of these reader VIPs is on one host alone, evenly on the secondaries.
    ///
    /// # Errors
    /// That does not come; or the lab itself failed.
    pub fn wait_readers(&mut self, vips: &[IpAddr]) -> Result<(), ScenarioError> {
        let since = Instant::now();
        loop {
            for agent in &mut self.agents {
                agent.check()?;
            }
            let primary = self.group.primary().ok();
            let holders =
                vips.iter().map(|vip| holders_of(&self.segment, *vip)).collect::<Result<Vec<_>, _>>()?;
            if primary.is_some_and(|primary| even(&holders, primary, self.segment.databases.len())) {
                return Ok(());
            }
            if since.elapsed() > self.recovery_limit {
                let name = |place: &usize| self.segment.databases[*place].name();
                let each = vips.iter().zip(&holders).map(|(vip, holders)| {
                    format!("{vip} on {:?}", holders.iter().map(name).collect::<Vec<_>>())
                });
                return Err(ScenarioError::ReadersNotPlaced {
                    limit: self.recovery_limit,
                    holders: each.collect::<Vec<_>>().join(", "),
                    group: self.group.describe(),
                });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until another than this member leads, and holds the VIP alone; returns its place.
    pub fn wait_another_primary(&mut self, old: usize) -> Result<usize, ScenarioError> {
        self.wait_vip_on_primary("after the fault", Some(old))
    }

    /// Waits for what should happen by itself before anything is healed. Gives whether the VIP is on a primary again.
    pub fn endure(&mut self, injected: &Injected) -> Result<bool, ScenarioError> {
        let fault = injected.fault;
        if fault.moves_the_primary() {
            self.wait_vip_on_primary("after the fault", Some(injected.victim))?;
            return Ok(true);
        }
        if fault.is_about_a_secondary() {
            if fault.costs_a_member() {
                self.group.wait_without(injected.victim, self.recovery_limit)?;
            }
            std::thread::sleep(WITHOUT_A_MEMBER_FOR);
        } else if !fault.is_a_moment() {
            // What should last can only be seen by letting time pass.
            std::thread::sleep(if fault == Fault::GatewayLost { GATEWAY_LOST_FOR } else { ENDURED_FOR });
        }
        if fault.recovers_by_itself() {
            self.wait_vip_on_primary("after the fault", None)?;
        }
        Ok(fault.recovers_by_itself())
    }

    /// Waits for a primary that is not `other_than` and holds the VIP alone. Hosts cut off from the others count too.
    fn wait_vip_on_primary(
        &mut self,
        moment: &'static str,
        other_than: Option<usize>,
    ) -> Result<usize, ScenarioError> {
        let since = Instant::now();
        loop {
            for agent in &mut self.agents {
                agent.check()?;
            }
            let holders = holders(&self.segment)?;
            if let Ok(primary) = self.group.primary()
                && other_than != Some(primary)
                && (self.agents.is_empty() || holders == [primary])
            {
                return Ok(primary);
            }
            if since.elapsed() > self.recovery_limit {
                let names: Vec<&str> =
                    holders.iter().map(|place| self.segment.databases[*place].name()).collect();
                return Err(ScenarioError::VipNotOnPrimary {
                    moment,
                    limit: self.recovery_limit,
                    holders: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
                    group: self.group.describe(),
                });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
