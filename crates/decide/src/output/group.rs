//! What is to be done, as data, and how that went. `step` returns actions in the order in which they are to be carried out; each is
//! idempotent. Those about one VIP are in `vip`.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::vip::VipAction;
use crate::net::VipId;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// About this VIP.
    Vip(VipId, VipAction),
    /// Put a question to the local server now, not at the next poll.
    AskServer,
    /// Probe the gateway now.
    AskGateway,
    /// Read the host's addresses and interfaces anew.
    AskHost,
    /// Ask the server of this member what it is (`Event::Peer`).
    AskPeer(IpAddr),
    /// Ask by ARP for the members' addresses, so that their MACs are known (`Event::Neighbor`).
    LearnNeighbors,
    /// Poll the local server at this interval from now on.
    PollEvery(Duration),
    /// Write the state file (S6).
    WriteStat(StatMark),
    /// Read the local server's `group_replication_member_expel_timeout` (`Event::ExpelTimeout`).
    ReadExpelTimeout,
    /// Ask whether a member's MySQL port answers or refuses (`Event::MemberPort`).
    LookAtMember(IpAddr),
    /// Set the local server's `group_replication_member_expel_timeout` to the value that it has, which wakes the
    /// server's thread that expels. `Done` comes back.
    WakeExpel,
    /// Set it to 0, after `original` is on disk. `Done` comes back.
    SetExpelTimeout {
        /// The value to be restored, in seconds.
        original: u32,
    },
    /// Put it back where it is still 0, and forget the value on disk. `Done` comes back.
    RestoreExpelTimeout {
        /// In seconds.
        value: u32,
    },
    /// Run the operator's fence command for this member (`Event::Fenced`).
    Fence {
        /// Its address.
        member: IpAddr,
        /// Its name, `MEMBER_HOST`.
        name: String,
    },
}

/// How an action went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Succeeded,
    /// Nothing was done: the address that was to be renewed, or removed, was not there.
    Gone,
    /// Not done, in the words of what failed.
    Failed(String),
}

/// The character in the state file (S6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatMark {
    /// `0`: the VIP was closed here.
    Stopped,
    /// `1`: nothing has changed lately.
    Quiet,
    /// `2`: the VIP was started here.
    Started,
}

impl StatMark {
    /// The one character.
    pub fn character(self) -> char {
        match self {
            Self::Stopped => '0',
            Self::Quiet => '1',
            Self::Started => '2',
        }
    }
}
