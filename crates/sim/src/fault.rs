//! Faults: what there is of them in a schedule.
//!
//! | file | the one idea |
//! |---|---|
//! | `fault/happen.rs` | what they do to the world |
//! | `fault/words.rs` | what they are called |
//! | `fault/elsewhere.rs` | those of the segment that only VIPs are on |

mod elsewhere;
mod happen;
mod words;

use serde::{Deserialize, Serialize};

pub use self::elsewhere::Elsewhere;

/// Whom a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The group's primary at that time.
    Primary,
    /// Whoever bears the VIP then, or else the primary.
    Holder,
    /// Whoever bears the first reader VIP then, or else the last host.
    Reader,
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
    /// All links are cut, on every segment.
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
    /// The gateway that one VIP has of its own is lost for this host.
    OwnGatewayLost { who: Who, ms: u64 },
    /// The gateway is lost for all.
    GatewayLostForAll { ms: u64 },
    /// The server is too far behind its group to serve readers.
    FallsBehind { who: Who, ms: u64 },
    /// Something on the segment that only VIPs are on.
    Elsewhere { what: Elsewhere, ms: u64 },
}

impl Fault {
    /// Takes something from the network so that frames between hosts that hear each other are lost or late.
    pub fn loses_frames(self) -> bool {
        match self {
            Self::Elsewhere { what, .. } => what.loses_frames(),
            _ => matches!(self, Self::Loss { .. } | Self::LossFrom { .. } | Self::Late { .. }),
        }
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
            | Self::OwnGatewayLost { ms, .. }
            | Self::FallsBehind { ms, .. }
            | Self::Elsewhere { ms, .. }
            | Self::GatewayLostForAll { ms } => Some(ms),
        }
    }
}
