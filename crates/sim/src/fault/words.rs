//! What faults are called, in a schedule that is printed to be read.

use core::fmt;

use super::{Fault, Who};
use crate::group::name;

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("the primary"),
            Self::Holder => f.write_str("the holder"),
            Self::Reader => f.write_str("the reader"),
            Self::Host(place) => f.write_str(&name(*place)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // How long it lasts is what `ms` says, in every fault that has one.
        let ms = { *self }.length().map_or(0, |ms| *ms);
        let lasts = format!("{}.{:03} s", ms / 1000, ms % 1000);
        match self {
            Self::Switchover { to } => write!(f, "switchover to {}", name(*to)),
            Self::SwitchoverWithBacklog { to, .. } => {
                write!(f, "switchover to {}, which applies for {lasts} before it takes writes", name(*to))
            }
            Self::Shutdown { who, .. } => write!(f, "SHUTDOWN of {who}, started again after {lasts}"),
            Self::StopGroupReplication { who, .. } => {
                write!(f, "STOP GROUP_REPLICATION on {who}, joins again after {lasts}")
            }
            Self::Kill { who, .. } => write!(f, "kill -9 of {who}'s server, started again after {lasts}"),
            Self::PowerOff { who, .. } => write!(f, "power off for {who}, on again after {lasts}"),
            Self::ServerHangs { who, .. } => write!(f, "{who}'s server hangs for {lasts}"),
            Self::ServerTurnsAway { who, password, .. } => {
                let why = if *password { "wrong password" } else { "too many connections" };
                write!(f, "{why} on {who}'s server for {lasts}")
            }
            Self::ColdStart { .. } => write!(f, "every server ends, started again after {lasts}"),
            Self::AgentHangs { who, .. }
            | Self::AgentHangsAtADeed { who, .. }
            | Self::AgentHangsAndIsTold { who, .. }
            | Self::AskerSticks { who, .. }
            | Self::AgentKilled { who, .. }
            | Self::AgentRestarts { who, .. }
            | Self::GivenUp { who, .. } => write!(f, "{who}'s agent {}", self.of_an_agent(&lasts)),
            Self::PausedByOperator { who, resumed, .. } => {
                let whom = who.map_or("all agents".to_owned(), |who| format!("{who}'s agent"));
                let ends = if *resumed { ", resumed before that" } else { "" };
                write!(f, "the operator pauses {whom} for {lasts}{ends}")
            }
            Self::Paused { who, clock_jumps, .. } => {
                let clock = if *clock_jumps { "its clock shows it" } else { "its clock stands still too" };
                write!(f, "{who} is paused for {lasts}, {clock}")
            }
            Self::ClockJumps { who, .. } => write!(f, "{who}'s clock jumps by {lasts}"),
            Self::GroupPortCut { who, .. } => write!(f, "{who}'s group port is cut for {lasts}"),
            Self::ClientSideCut { who, gateway, .. } => {
                let gateway = if *gateway { ", the gateway too" } else { "" };
                write!(f, "{who}'s clients' side is cut for {lasts}{gateway}")
            }
            Self::Isolated { who, .. } => write!(f, "{who} is cut off for {lasts}"),
            Self::Partition { left, gateway, .. } => {
                let gateway = if *gateway { ", which lose the gateway too" } else { "" };
                write!(f, "the first {left} and the others are apart for {lasts}{gateway}")
            }
            Self::ReceiveDown { who, .. } => write!(f, "{who} hears nobody for {lasts}"),
            Self::Mute { who, .. } => write!(f, "{who} is heard by nobody for {lasts}"),
            Self::Loss { percent, .. } => write!(f, "{percent} % of all frames are lost for {lasts}"),
            Self::LossFrom { who, percent, .. } => {
                write!(f, "{percent} % of {who}'s frames are lost for {lasts}")
            }
            Self::Duplicated { .. } => write!(f, "frames come twice for {lasts}"),
            Self::Reordered { .. } => write!(f, "frames overtake each other for {lasts}"),
            Self::Late { .. } => write!(f, "frames are up to 2 s late for {lasts}"),
            Self::Stranger { .. } => write!(f, "a stranger uses the VIP for {lasts}"),
            Self::SwitchAnswers { .. } => write!(f, "a switch answers probes from its cache for {lasts}"),
            Self::Flushed { who } => write!(f, "the VIP is removed from {who} by hand"),
            Self::InterfaceGone { who, .. } => write!(f, "{who}'s interface goes for {lasts}"),
            Self::GatewayLost { who, .. } => write!(f, "{who} loses its gateway for {lasts}"),
            Self::OwnGatewayLost { who, .. } => {
                write!(f, "{who} loses the gateway that the last VIP has of its own for {lasts}")
            }
            Self::FallsBehind { who, .. } => write!(f, "{who}'s server is too far behind for {lasts}"),
            Self::Elsewhere { what, .. } => write!(f, "{what} for {lasts}"),
            Self::GatewayLostForAll { .. } => write!(f, "all lose the gateway for {lasts}"),
        }
    }
}

impl Fault {
    /// What happens to an agent, where it is an agent's fault.
    fn of_an_agent(&self, lasts: &str) -> String {
        match self {
            Self::AgentHangs { .. } => format!("hangs for {lasts}"),
            Self::AgentHangsAtADeed { .. } => format!("hangs for {lasts}, between a decision and its deed"),
            Self::AgentHangsAndIsTold { .. } => format!("hangs for {lasts}, and is told to stop meanwhile"),
            Self::AskerSticks { .. } => {
                format!("hears nothing more of its server, not even a time-out, for {lasts}")
            }
            Self::AgentKilled { .. } => format!("is killed, started again after {lasts}"),
            Self::AgentRestarts { .. } => format!("is told to stop, started again after {lasts}"),
            Self::GivenUp { .. } => format!("is told to give the VIP up, started again after {lasts}"),
            _ => String::new(),
        }
    }
}
