//! One switch of a VIP, as the host knows it that took it or gave it up.

use core::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::net::VipId;
use crate::time::Time;

/// Why a VIP moved. These words are stable: scripts may look for them. docs/history.md says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The group was told to make another member the primary, and the old one stayed in the group.
    Switchover,
    /// The old primary's mysqld is gone: its port refused.
    PrimaryDied,
    /// The old primary's host was silent: UNREACHABLE in the group, and its MySQL port did not answer.
    HostSilent,
    /// The group lost the old primary, or went on without it, and its server still answered.
    PrimaryCutOff,
    /// The old primary left the group: `SHUTDOWN`, `STOP GROUP_REPLICATION`, or an error of its own.
    PrimaryLeft,
    /// The holder's server saw no majority of its group any more.
    MajorityLost,
    /// The holder's server did not answer for too long.
    ServerSilent,
    /// The holder's server is the primary, and takes no writes (`read_only_primary = "release"`).
    ReadOnly,
    /// The holder's gateway did not answer.
    GatewayLost,
    /// Of a reader VIP: too few of the other members answered the holder's host on the segment.
    SegmentLost,
    /// The address went away, and not by this agent: by hand, or by another program.
    RemovedByHand,
    /// The agent did not run for longer than the VIP's lease.
    LeaseEnded,
    /// The holder's host was suspended for longer than the lease.
    HostSuspended,
    /// The host is no member any more: its own address, or its interface, is not there.
    NotAMember,
    /// The interface that the VIP has of its own was missing, down or without an address.
    InterfaceLost,
    /// `haipmgr drain`, `haipmgr undrain` or `haipmgr stop --release`.
    Drained,
    /// Another host used the address too.
    Conflict,
    /// A member that did not yield was overruled (`takeover_after`).
    Overruled,
    /// A reader VIP moved to the member that it belongs on.
    Placed,
    /// The agent started, its server was the primary, and nobody had the VIP.
    AgentStarted,
    /// The server came into the group, and was its primary.
    GroupStarted,
    /// What this host saw does not say why.
    NotKnown,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 22] = [
        Self::Switchover,
        Self::PrimaryDied,
        Self::HostSilent,
        Self::PrimaryCutOff,
        Self::PrimaryLeft,
        Self::MajorityLost,
        Self::ServerSilent,
        Self::ReadOnly,
        Self::GatewayLost,
        Self::SegmentLost,
        Self::RemovedByHand,
        Self::LeaseEnded,
        Self::HostSuspended,
        Self::NotAMember,
        Self::InterfaceLost,
        Self::Drained,
        Self::Conflict,
        Self::Overruled,
        Self::Placed,
        Self::AgentStarted,
        Self::GroupStarted,
        Self::NotKnown,
    ];

    /// The word, as it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Switchover => "SWITCHOVER",
            Self::PrimaryDied => "PRIMARY_DIED",
            Self::HostSilent => "HOST_SILENT",
            Self::PrimaryCutOff => "PRIMARY_CUT_OFF",
            Self::PrimaryLeft => "PRIMARY_LEFT",
            Self::MajorityLost => "MAJORITY_LOST",
            Self::ServerSilent => "SERVER_SILENT",
            Self::ReadOnly => "READ_ONLY",
            Self::GatewayLost => "GATEWAY_LOST",
            Self::SegmentLost => "SEGMENT_LOST",
            Self::RemovedByHand => "REMOVED_BY_HAND",
            Self::LeaseEnded => "LEASE_ENDED",
            Self::HostSuspended => "HOST_SUSPENDED",
            Self::NotAMember => "NOT_A_MEMBER",
            Self::InterfaceLost => "INTERFACE_LOST",
            Self::Drained => "DRAINED",
            Self::Conflict => "CONFLICT",
            Self::Overruled => "OVERRULED",
            Self::Placed => "PLACED",
            Self::AgentStarted => "AGENT_STARTED",
            Self::GroupStarted => "GROUP_STARTED",
            Self::NotKnown => "NOT_KNOWN",
        }
    }

    /// Somebody ordered it: an operator, by MySQL or by this program.
    pub fn is_ordered(self) -> bool {
        matches!(self, Self::Switchover | Self::Drained)
    }

    /// The group replaced its primary.
    pub fn is_election(self) -> bool {
        matches!(
            self,
            Self::Switchover | Self::PrimaryDied | Self::HostSilent | Self::PrimaryCutOff | Self::PrimaryLeft
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Which end of a switch this host saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The VIP came to this host.
    Came,
    /// The VIP left this host.
    Left,
}

/// A member, as far as this host knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Party {
    /// `MEMBER_HOST`.
    pub name: Option<String>,
    /// Its address, as in `members`.
    pub address: Option<IpAddr>,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.address) {
            (Some(name), _) => f.write_str(name),
            (None, Some(address)) => write!(f, "{address}"),
            (None, None) => f.write_str("a member that is not known"),
        }
    }
}

/// Something that was seen or done on the way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// When.
    pub at: Time,
    /// What, in words.
    pub what: String,
}

/// What a switch's time was spent on, as this host's clock tells. None: not known here, or there was no such part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Split {
    /// When the trouble, or the order, was first noticed here.
    pub noticed_at: Option<Time>,
    /// From then until this host's server was the primary and took writes: MySQL's own time.
    pub elected: Option<Duration>,
    /// From then, or from when the VIP was gone, until the address was here.
    pub claimed: Option<Duration>,
    /// From then until it was announced.
    pub announced: Option<Duration>,
}

/// One switch of a VIP, as one host knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The VIP.
    pub vip: VipId,
    /// Whether it came or left.
    pub kind: Kind,
    /// Why.
    pub code: Code,
    /// When the address was announced here, or was gone from here.
    pub at: Time,
    /// When it was decided: the step of the trace.
    pub decided: Time,
    /// Who had it before.
    pub from: Option<Party>,
    /// Who has it now.
    pub to: Option<Party>,
    /// What the code rests on, in words: "its port refused twice".
    pub detail: Option<String>,
    /// What its time was spent on. Only where the VIP came.
    pub split: Split,
    /// What was seen and done on the way, in order. At most [`MOST_MARKS`].
    pub marks: Vec<Mark>,
}

/// No more marks than these are kept of one switch.
pub const MOST_MARKS: usize = 24;
