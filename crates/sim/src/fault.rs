//! Faults: what they are called in a schedule, and what they do to the world.

use core::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::group::{Place, Places, TurnsAway, name};
use crate::world::{Change, Cut, World};

/// Whom a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The group's primary at that time.
    Primary,
    /// Whoever bears the VIP then, or else the primary.
    Holder,
    /// The host at this place; counted round where there are fewer.
    Host(usize),
}

/// A fault. Lengths are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "`who` is whom it meets, `ms` how long it lasts, unless said otherwise")]
pub enum Fault {
    /// `group_replication_set_as_primary()` to this host.
    Switchover { to: usize },
    /// The same, and the target takes so long to apply what it has queued: meanwhile the old primary is a secondary that takes
    /// writes, and the new one takes none.
    SwitchoverWithBacklog { to: usize, ms: u64 },
    /// `SHUTDOWN`: for 2 to 3 s the old server goes on saying that it leads, in the old view. Started again after `ms`.
    Shutdown { who: Who, ms: u64 },
    /// `STOP GROUP_REPLICATION`: for 3 s its answers block. Joins again after `ms`.
    StopGroupReplication { who: Who, ms: u64 },
    /// `kill -9` of mysqld: it refuses. Started again after `ms`.
    Kill { who: Who, ms: u64 },
    /// The host goes dark, and is switched on again after `ms`.
    PowerOff { who: Who, ms: u64 },
    /// The server takes questions and does not answer (SIGSTOP).
    ServerHangs { who: Who, ms: u64 },
    /// Too many connections, or a wrong password (`password`).
    ServerTurnsAway { who: Who, password: bool, ms: u64 },
    /// Every server ends; they are started again after `ms`.
    ColdStart { ms: u64 },
    /// The agent's process is stopped (SIGSTOP), and goes on.
    AgentHangs { who: Who, ms: u64 },
    /// … between its next decision about the address and the deed, or between that deed and the next.
    AgentHangsAtADeed { who: Who, ms: u64 },
    /// The agent is stopped (SIGSTOP), told to stop (SIGTERM), and goes on after `ms`: it reads what it has missed, and ends. It
    /// is started again after as long.
    AgentHangsAndIsTold { who: Who, ms: u64 },
    /// What watches the agent's server is stuck: not even a time-out is told.
    AskerSticks { who: Who, ms: u64 },
    /// The agent is killed, and started again.
    AgentKilled { who: Who, ms: u64 },
    /// The agent is told to stop and leaves the VIP for good, and is started again: a restart, or an upgrade.
    AgentRestarts { who: Who, ms: u64 },
    /// `haipmgr stop --release`: the agent gives the VIP up and ends, and is started again after `ms`.
    GivenUp { who: Who, ms: u64 },
    /// `haipmgr pause --for`: this host's agent, or all (`who`: none), which hear of it one after the other within a second. Where
    /// `resumed`, by a word before its time.
    PausedByOperator { who: Option<Who>, ms: u64, resumed: bool },
    /// The virtual machine stands still; its clock shows that afterwards, or not.
    Paused { who: Who, ms: u64, clock_jumps: bool },
    /// The host's clock jumps ahead by `ms`.
    ClockJumps { who: Who, ms: u64 },
    /// The group's port is cut; the clients' side lives.
    GroupPortCut { who: Who, ms: u64 },
    /// The clients' side is cut, the gateway too where `gateway`; the group's port lives.
    ClientSideCut { who: Who, gateway: bool, ms: u64 },
    /// All links are cut.
    Isolated { who: Who, ms: u64 },
    /// The first `left` hosts and the others can't reach each other; both reach the gateway where not `gateway`.
    Partition { left: usize, gateway: bool, ms: u64 },
    /// The host hears nobody on the segment, and is heard.
    ReceiveDown { who: Who, ms: u64 },
    /// The host is heard by nobody on the segment, and hears.
    Mute { who: Who, ms: u64 },
    /// This share of all frames is lost, in percent.
    Loss { percent: u8, ms: u64 },
    /// This share of the frames that the host sends is lost, in percent.
    LossFrom { who: Who, percent: u8, ms: u64 },
    /// Some frames come twice.
    Duplicated { ms: u64 },
    /// Frames overtake each other, by 5 ms at the most.
    Reordered { ms: u64 },
    /// Some frames are up to 2 s late.
    Late { ms: u64 },
    /// A host that is no member uses the VIP.
    Stranger { ms: u64 },
    /// A switch answers probes from its cache.
    SwitchAnswers { ms: u64 },
    /// The VIP is removed by hand.
    Flushed { who: Who },
    /// The interface goes, and comes back with another hardware address: all caches are stale.
    InterfaceGone { who: Who, ms: u64 },
    /// The gateway is lost for this host.
    GatewayLost { who: Who, ms: u64 },
    /// The gateway is lost for all.
    GatewayLostForAll { ms: u64 },
}

impl Fault {
    /// Takes something from the network so that frames between hosts that hear each other are lost or late.
    pub fn loses_frames(self) -> bool {
        matches!(self, Self::Loss { .. } | Self::LossFrom { .. } | Self::Late { .. })
    }

    /// The primary changes, and nothing else is wrong: the VIP is to follow.
    pub fn moves_the_vip(self) -> bool {
        matches!(
            self,
            Self::Switchover { .. }
                | Self::SwitchoverWithBacklog { .. }
                | Self::Shutdown { .. }
                | Self::StopGroupReplication { .. }
                | Self::Kill { .. }
                | Self::PowerOff { .. }
        )
    }

    /// How long it lasts, where that can be set.
    pub fn length(&mut self) -> Option<&mut u64> {
        match self {
            Self::Switchover { .. } | Self::Flushed { .. } => None,
            Self::SwitchoverWithBacklog { ms, .. }
            | Self::Shutdown { ms, .. }
            | Self::StopGroupReplication { ms, .. }
            | Self::Kill { ms, .. }
            | Self::PowerOff { ms, .. }
            | Self::ServerHangs { ms, .. }
            | Self::ServerTurnsAway { ms, .. }
            | Self::ColdStart { ms }
            | Self::AgentHangs { ms, .. }
            | Self::AgentHangsAtADeed { ms, .. }
            | Self::AgentHangsAndIsTold { ms, .. }
            | Self::AskerSticks { ms, .. }
            | Self::AgentKilled { ms, .. }
            | Self::AgentRestarts { ms, .. }
            | Self::GivenUp { ms, .. }
            | Self::PausedByOperator { ms, .. }
            | Self::Paused { ms, .. }
            | Self::ClockJumps { ms, .. }
            | Self::GroupPortCut { ms, .. }
            | Self::ClientSideCut { ms, .. }
            | Self::Isolated { ms, .. }
            | Self::Partition { ms, .. }
            | Self::ReceiveDown { ms, .. }
            | Self::Mute { ms, .. }
            | Self::Loss { ms, .. }
            | Self::LossFrom { ms, .. }
            | Self::Duplicated { ms }
            | Self::Reordered { ms }
            | Self::Late { ms }
            | Self::Stranger { ms }
            | Self::SwitchAnswers { ms }
            | Self::InterfaceGone { ms, .. }
            | Self::GatewayLost { ms, .. }
            | Self::GatewayLostForAll { ms } => Some(ms),
        }
    }

    /// Lets it happen now.
    pub fn happen(self, world: &mut World) {
        world.tell_fault(&self);
        let hosts = world.hosts.len();
        let now = Duration::ZERO;
        let after = Duration::from_millis;
        let place = |world: &World, who: Who| world.who(who);
        match self {
            Self::Switchover { to } => world.switch_over(to % hosts, None),
            Self::SwitchoverWithBacklog { to, ms } => world.switch_over(to % hosts, Some(after(ms))),
            Self::Shutdown { who, ms } => {
                let host = place(world, who);
                world.server_shuts_down(host);
                world.change_in(after(ms.max(3_100)), Change::ServerStarts(host));
            }
            Self::StopGroupReplication { who, ms } => {
                let host = place(world, who);
                world.server_stops_replication(host);
                world.change_in(after(ms.max(3_100)), Change::ServerJoins(host));
            }
            Self::Kill { who, ms } => {
                let host = place(world, who);
                let life = world.hosts[host].server.life;
                world.change_in(now, Change::ServerEnds(host, life));
                world.change_in(after(ms), Change::ServerStarts(host));
            }
            Self::PowerOff { who, ms } => {
                let host = place(world, who);
                world.change_in(now, Change::PowerOff(host));
                world.change_in(after(ms), Change::PowerOn(host));
            }
            Self::ServerHangs { who, ms } => {
                let host = place(world, who);
                let life = world.hosts[host].server.life;
                world.change_in(now, Change::ServerHangs(host));
                world.change_in(after(ms), Change::ServerGoesOn(host, life));
            }
            Self::ServerTurnsAway { who, password, ms } => {
                let host = place(world, who);
                let why = if password { TurnsAway::WrongPassword } else { TurnsAway::TooManyConnections };
                world.change_in(now, Change::ServerTurnsAway(host, Some(why)));
                world.change_in(after(ms), Change::ServerTurnsAway(host, None));
            }
            Self::ColdStart { ms } => {
                for host in 0..hosts {
                    let life = world.hosts[host].server.life;
                    let ends = world.between_ms(0, 500);
                    world.change_in(ends, Change::ServerEnds(host, life));
                    let starts = after(ms) + world.between_ms(500, 2_000);
                    world.change_in(starts, Change::ServerStarts(host));
                }
            }
            Self::Paused { who, ms, clock_jumps } => {
                let host = place(world, who);
                world.pause(host, after(ms), clock_jumps);
            }
            Self::ClockJumps { who, ms } => {
                let host = place(world, who);
                world.clock_jumps(host, i64::try_from(ms).unwrap_or(0) * 1_000);
            }
            Self::Flushed { who } => {
                let host = place(world, who);
                world.change_in(now, Change::Flush(host));
            }
            Self::InterfaceGone { who, ms } => {
                let host = place(world, who);
                world.change_in(now, Change::InterfaceGoes(host));
                world.change_in(after(ms), Change::InterfaceComes(host));
            }
            _ => self.happen_to_an_agent(world),
        }
    }

    /// The faults of the agents alone.
    fn happen_to_an_agent(self, world: &mut World) {
        let now = Duration::ZERO;
        let after = Duration::from_millis;
        let place = |world: &World, who: Who| world.who(who);
        match self {
            Self::AgentHangs { who, ms } => {
                let host = place(world, who);
                world.hang_agent(host, after(ms));
            }
            Self::AgentHangsAtADeed { who, ms } => {
                let host = place(world, who);
                world.hang_agent_at_a_deed(host, after(ms));
            }
            Self::AgentHangsAndIsTold { who, ms } => {
                let host = place(world, who);
                world.hang_agent(host, after(ms));
                let told = world.between_ms(0, ms);
                world.change_in(told, Change::AgentEnds { host, told: true });
                world.change_in(after(ms * 2), Change::AgentStarts(host));
            }
            Self::AskerSticks { who, ms } => {
                let host = place(world, who);
                world.asker_sticks(host, after(ms));
            }
            Self::AgentKilled { who, ms } | Self::AgentRestarts { who, ms } => {
                let host = place(world, who);
                let told = matches!(self, Self::AgentRestarts { .. });
                world.change_in(now, Change::AgentEnds { host, told });
                world.change_in(after(ms), Change::AgentStarts(host));
            }
            Self::GivenUp { who, ms } => {
                let host = place(world, who);
                world.change_in(now, Change::AgentGivesUp(host));
                world.change_in(after(ms.max(3_100)), Change::AgentStarts(host));
            }
            Self::PausedByOperator { who, ms, resumed } => {
                let hosts = match who {
                    Some(who) => vec![place(world, who)],
                    None => (0..world.hosts.len()).collect(),
                };
                let until = world.now + after(ms);
                for host in &hosts {
                    let hears = if who.is_some() { now } else { world.between_ms(0, 1_000) };
                    world.change_in(hears, Change::OperatorPauses(*host, until));
                }
                let ends = if resumed { world.between_ms(ms / 2, ms) } else { after(ms) };
                for host in hosts {
                    let hears = if resumed { world.between_ms(0, 1_000) } else { now };
                    world.change_in(ends + hears, Change::OperatorResumes(host));
                }
            }
            _ => self.cut(world),
        }
    }

    /// The faults of the network.
    fn cut(self, world: &mut World) {
        let after = Duration::from_millis;
        let only = |world: &World, who: Who| -> Places { [world.who(who)].into_iter().collect() };
        let all = Places::first(world.hosts.len());
        match self {
            Self::GroupPortCut { who, ms } => {
                let these = only(world, who);
                world.cut_for(Cut::GroupPort(these), after(ms));
            }
            Self::ClientSideCut { who, gateway, ms } => {
                let these = only(world, who);
                world.cut_for(Cut::Segment(these), after(ms));
                if gateway {
                    world.cut_for(Cut::Gateway(these), after(ms));
                }
            }
            Self::Isolated { who, ms } => {
                let these = only(world, who);
                for cut in [Cut::Segment(these), Cut::GroupPort(these), Cut::Gateway(these)] {
                    world.cut_for(cut, after(ms));
                }
            }
            Self::Partition { left, gateway, ms } => {
                let left = Places::first(left.clamp(1, world.hosts.len().saturating_sub(1)));
                world.cut_for(Cut::Segment(left), after(ms));
                world.cut_for(Cut::GroupPort(left), after(ms));
                if gateway {
                    world.cut_for(Cut::Gateway(left), after(ms));
                }
            }
            Self::ReceiveDown { who, ms } => world.cut_for(Cut::ReceiveDown(world.who(who)), after(ms)),
            Self::Mute { who, ms } => world.cut_for(Cut::Mute(world.who(who)), after(ms)),
            Self::Loss { percent, ms } => world.cut_for(Cut::Loss(percent), after(ms)),
            Self::LossFrom { who, percent, ms } => {
                world.cut_for(Cut::LossFrom(world.who(who), percent), after(ms));
            }
            Self::Duplicated { ms } => world.cut_for(Cut::Duplicated, after(ms)),
            Self::Reordered { ms } => world.cut_for(Cut::Reordered, after(ms)),
            Self::Late { ms } => world.cut_for(Cut::Late, after(ms)),
            Self::Stranger { ms } => world.cut_for(Cut::Stranger, after(ms)),
            Self::SwitchAnswers { ms } => world.cut_for(Cut::SwitchAnswers, after(ms)),
            Self::GatewayLost { who, ms } => {
                let these = only(world, who);
                world.cut_for(Cut::Gateway(these), after(ms));
            }
            Self::GatewayLostForAll { ms } => world.cut_for(Cut::Gateway(all), after(ms)),
            _ => {}
        }
    }
}

impl World {
    /// Whom a fault meets now.
    pub fn who(&self, who: Who) -> Place {
        match who {
            Who::Primary => self.group.view.primary,
            Who::Holder => self.holders().first().copied().unwrap_or(self.group.view.primary),
            Who::Host(place) => place % self.hosts.len(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("the primary"),
            Self::Holder => f.write_str("the holder"),
            Self::Host(place) => f.write_str(&name(*place)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: &u64| format!("{}.{:03} s", ms / 1000, ms % 1000);
        let now = |jumps: &bool| if *jumps { "its clock shows it" } else { "its clock stands still too" };
        match self {
            Self::Switchover { to } => write!(f, "switchover to {}", name(*to)),
            Self::SwitchoverWithBacklog { to, ms } => {
                write!(
                    f,
                    "switchover to {}, which applies for {} before it takes writes",
                    name(*to),
                    seconds(ms)
                )
            }
            Self::Shutdown { who, ms } => write!(f, "SHUTDOWN of {who}, started again after {}", seconds(ms)),
            Self::StopGroupReplication { who, ms } => {
                write!(f, "STOP GROUP_REPLICATION on {who}, joins again after {}", seconds(ms))
            }
            Self::Kill { who, ms } => {
                write!(f, "kill -9 of {who}'s server, started again after {}", seconds(ms))
            }
            Self::PowerOff { who, ms } => write!(f, "power off for {who}, on again after {}", seconds(ms)),
            Self::ServerHangs { who, ms } => write!(f, "{who}'s server hangs for {}", seconds(ms)),
            Self::ServerTurnsAway { who, password, ms } => {
                let why = if *password { "wrong password" } else { "too many connections" };
                write!(f, "{why} on {who}'s server for {}", seconds(ms))
            }
            Self::ColdStart { ms } => write!(f, "every server ends, started again after {}", seconds(ms)),
            Self::AgentHangs { who, ms } => write!(f, "{who}'s agent hangs for {}", seconds(ms)),
            Self::AgentHangsAtADeed { who, ms } => {
                write!(f, "{who}'s agent hangs for {}, between a decision and its deed", seconds(ms))
            }
            Self::AgentHangsAndIsTold { who, ms } => {
                write!(f, "{who}'s agent hangs for {}, and is told to stop meanwhile", seconds(ms))
            }
            Self::AskerSticks { who, ms } => {
                write!(
                    f,
                    "{who}'s agent hears nothing more of its server, not even a time-out, for {}",
                    seconds(ms)
                )
            }
            Self::AgentKilled { who, ms } => {
                write!(f, "{who}'s agent is killed, started again after {}", seconds(ms))
            }
            Self::AgentRestarts { who, ms } => {
                write!(f, "{who}'s agent is told to stop, started again after {}", seconds(ms))
            }
            Self::GivenUp { who, ms } => {
                write!(f, "{who}'s agent is told to give the VIP up, started again after {}", seconds(ms))
            }
            Self::PausedByOperator { who, ms, resumed } => {
                let whom = who.map_or("all agents".to_owned(), |who| format!("{who}'s agent"));
                let ends = if *resumed { ", resumed before that" } else { "" };
                write!(f, "the operator pauses {whom} for {}{ends}", seconds(ms))
            }
            Self::Paused { who, ms, clock_jumps } => {
                write!(f, "{who} is paused for {}, {}", seconds(ms), now(clock_jumps))
            }
            Self::ClockJumps { who, ms } => write!(f, "{who}'s clock jumps by {}", seconds(ms)),
            Self::GroupPortCut { who, ms } => write!(f, "{who}'s group port is cut for {}", seconds(ms)),
            Self::ClientSideCut { who, gateway, ms } => {
                let gateway = if *gateway { ", the gateway too" } else { "" };
                write!(f, "{who}'s clients' side is cut for {}{gateway}", seconds(ms))
            }
            Self::Isolated { who, ms } => write!(f, "{who} is cut off for {}", seconds(ms)),
            Self::Partition { left, gateway, ms } => {
                let gateway = if *gateway { ", which lose the gateway too" } else { "" };
                write!(f, "the first {left} and the others are apart for {}{gateway}", seconds(ms))
            }
            Self::ReceiveDown { who, ms } => write!(f, "{who} hears nobody for {}", seconds(ms)),
            Self::Mute { who, ms } => write!(f, "{who} is heard by nobody for {}", seconds(ms)),
            Self::Loss { percent, ms } => write!(f, "{percent} % of all frames are lost for {}", seconds(ms)),
            Self::LossFrom { who, percent, ms } => {
                write!(f, "{percent} % of {who}'s frames are lost for {}", seconds(ms))
            }
            Self::Duplicated { ms } => write!(f, "frames come twice for {}", seconds(ms)),
            Self::Reordered { ms } => write!(f, "frames overtake each other for {}", seconds(ms)),
            Self::Late { ms } => write!(f, "frames are up to 2 s late for {}", seconds(ms)),
            Self::Stranger { ms } => write!(f, "a stranger uses the VIP for {}", seconds(ms)),
            Self::SwitchAnswers { ms } => {
                write!(f, "a switch answers probes from its cache for {}", seconds(ms))
            }
            Self::Flushed { who } => write!(f, "the VIP is removed from {who} by hand"),
            Self::InterfaceGone { who, ms } => write!(f, "{who}'s interface goes for {}", seconds(ms)),
            Self::GatewayLost { who, ms } => write!(f, "{who} loses its gateway for {}", seconds(ms)),
            Self::GatewayLostForAll { ms } => write!(f, "all lose the gateway for {}", seconds(ms)),
        }
    }
}
