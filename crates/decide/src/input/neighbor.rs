//! What is seen of the other hosts on the segment: the frames about a VIP, and the gateway's answers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::fitness::Fitness;
use crate::net::Mac;
use crate::time::Time;

/// What the probes of the gateway say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gateway {
    /// It answered one of the last few probes.
    Reachable,
    /// It missed this many in a row, as many as it takes to call it lost.
    Lost {
        /// Misses in a row.
        misses: u32,
    },
}

/// A frame about the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// The sender's hardware address.
    pub from: Mac,
    /// What it says.
    pub says: Says,
}

/// What a frame about the VIP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// An ARP probe (RFC 5227 section 1.1): "may I use it?" A claim.
    Probe,
    /// `AnnounceRelease`, said to this host alone by the one that held the address: "it is free, and yours". The word holds for a
    /// moment only: another may find the address free after that.
    Release {
        /// When this host's kernel received it, which may be long before an agent that stood still reads it.
        heard_at: Time,
    },
    /// The same, said to another host or to nobody in particular, or nobody knows when.
    ReleaseToOthers,
    /// An ARP reply to us, from the owner of the address: "it is mine".
    Reply,
    /// A gratuitous ARP, request or reply form, or any other ARP with the VIP as the sender's address: "it is mine".
    Announcement,
    /// A member says how fit its host is to serve readers ([`SayFitness`](crate::output::VipAction::SayFitness)), and asks in the same
    /// breath who has the VIP: of a cluster's reader VIPs it is said about the first alone.
    Fitness(Fitness),
    /// A member says which it is ([`SayMember`](crate::output::VipAction::SayMember)), on an interface that only VIPs are on, and asks in the
    /// same breath who has this one.
    Member(IpAddr),
}

impl Says {
    /// "It is mine": the sender uses the address.
    pub fn is_use(self) -> bool {
        matches!(self, Self::Reply | Self::Announcement)
    }
}
