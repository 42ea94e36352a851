//! The members' hardware addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::event::Mac;
use crate::time::Time;

/// The hosts on the segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Neighbors {
    /// Members' hardware addresses.
    pub macs: BTreeMap<IpAddr, Mac>,
    /// When each member's host was last heard to answer for its own address.
    pub alive_at: BTreeMap<IpAddr, Time>,
    /// When the members' hardware addresses were last asked for because of an unknown one.
    pub learnt_at: Option<Time>,
}

impl Neighbors {
    /// The member that owns this hardware address, another than this host.
    pub fn member_of(&self, mac: Mac) -> Option<IpAddr> {
        self.macs.iter().find(|(_, known)| **known == mac).map(|(member, _)| *member)
    }

    pub(super) fn take_in(&mut self, member: IpAddr, mac: Mac, now: Time) {
        self.macs.insert(member, mac);
        self.alive_at.insert(member, now);
    }
}
