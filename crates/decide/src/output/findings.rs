//! The legacy program's stages, what each of them can find, and why one fails (S9–S12). The log, `check` and any status page show
//! these.

use core::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::input::{MemberState, NotInGroup, ViewId, Why};

/// The legacy program's stages, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// 1: is this host a member (address and interface both match)? S9
    Member = 1,
    /// 2: can mysqld be connected to? S10
    Server = 2,
    /// 3: is it ONLINE, the primary, writable, with a majority? S11
    Primary = 3,
    /// 4: is the gateway reachable? S12
    Gateway = 4,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Member => "member",
            Self::Server => "server",
            Self::Primary => "primary",
            Self::Gateway => "gateway",
        };
        write!(f, "stage {} ({name})", *self as u8)
    }
}

/// Why a stage fails: something known, never a lack of knowledge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// None of this host's addresses is a member's address on the interface named for it.
    NotAMember,
    /// The interface that the VIP has of its own is not there.
    InterfaceMissing(String),
    /// It is down, or has no carrier.
    InterfaceDown(String),
    /// It has no address of its own in the VIP's family.
    NoAddressOn(String),
    /// Nothing listens where the local server should.
    Refused(String),
    /// The server answers and is in no group.
    NotInGroup(NotInGroup),
    /// Its own row is missing from the group's members.
    NotListed,
    /// Its state is not ONLINE.
    NotOnline(MemberState),
    /// Too many members are UNREACHABLE.
    NoMajority {
        /// How many.
        unreachable: usize,
        /// Of how many.
        members: usize,
    },
    /// ONLINE, another member is the primary, and it takes no writes.
    Secondary,
    /// ONLINE, another member is the primary, and it still takes writes: a switchover whose target has yet to apply what it
    /// had queued, or somebody's hand.
    SecondaryWritable,
    /// The primary, and `super_read_only` is on.
    ReadOnly,
    /// It has refused connections since it last spoke, and now does not answer, or turns us away: another process, which is in
    /// no group until it says so.
    StartedAnew,
    /// It thinks that it leads, in a view older than the newest that was seen (NEWEST-VIEW).
    StaleView {
        /// Its view.
        own: ViewId,
        /// The newest seen.
        newest: ViewId,
    },
    /// Of a reader VIP: it belongs on this member, by what every member says of itself.
    PlacedOn(IpAddr),
    /// Of a reader VIP: no member is fit to have it.
    NoReader,
    /// Of a reader VIP: too few of the other members' hosts answer on the segment, and the others may have it soon.
    CutOff {
        /// So many answer.
        answered: usize,
        /// Of so many.
        others: usize,
    },
    /// The gateway does not answer.
    GatewayLost {
        /// Misses in a row.
        misses: u32,
        /// It is one that the VIP has of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        own: Option<IpAddr>,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAMember => f.write_str("no address of this host is a member's address on the interface that `members` names for it"),
            Self::InterfaceMissing(interface) => {
                write!(f, "{interface}, the interface of this VIP, is not there")
            }
            Self::InterfaceDown(interface) => {
                write!(f, "{interface}, the interface of this VIP, is down or has no carrier")
            }
            Self::NoAddressOn(interface) => {
                write!(f, "{interface}, the interface of this VIP, has no address of its own in the VIP's family")
            }
            Self::Refused(text) => write!(f, "mysqld is not running: {text}"),
            Self::NotInGroup(why) => write!(f, "{why}"),
            Self::NotListed => f.write_str("the server is not among the group's members"),
            Self::NotOnline(state) => write!(f, "the server is {state}, not ONLINE"),
            Self::NoMajority { unreachable, members } => {
                write!(f, "no majority: {unreachable} of {members} members are UNREACHABLE")
            }
            Self::Secondary => f.write_str("the server is ONLINE and a secondary"),
            Self::SecondaryWritable => f.write_str("the server is a secondary that still takes writes"),
            Self::ReadOnly => {
                f.write_str("the server is the primary and not writable (super_read_only is on)")
            }
            Self::StartedAnew => f.write_str(
                "mysqld was down since it last answered, and the new process has not yet said that it is in its group",
            ),
            Self::StaleView { own, newest } => {
                write!(f, "the server shows view {own}, but the group is at {newest} by now")
            }
            Self::PlacedOn(member) => write!(f, "it belongs on member {member}"),
            Self::NoReader => f.write_str("no member is fit to serve readers"),
            Self::CutOff { answered, others } => write!(
                f,
                "only {answered} of {others} other members answer on the segment, asked each second for 4 s: the others may have its reader VIPs soon"
            ),
            Self::GatewayLost { misses, own: None } => {
                write!(f, "the gateway has missed {misses} probes in a row")
            }
            Self::GatewayLost { misses, own: Some(gateway) } => {
                write!(f, "the VIP's own gateway {gateway} has missed {misses} probes in a row")
            }
        }
    }
}

/// What one stage found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// As it must be.
    Passed,
    /// Certainly not.
    Failed(Cause),
    /// Not known.
    Unknown(Why),
}
