//! The other members' servers: what was asked of them, what they said, and at which address each answers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::input::{Fact, GroupView, MemberPort, Seen, Server};
use crate::time::Time;

/// The other members' servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peers {
    /// What was asked of each, by its address, and what it said.
    pub asked: BTreeMap<IpAddr, Peer>,
    /// Members whose MySQL port answered, by `server_uuid`: their ports were open.
    pub open: BTreeMap<String, Open>,
}

/// Another member's server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// When it was last asked; none while an answer is not being waited for.
    pub waiting_since: Option<Time>,
    /// What it said last.
    pub seen: Option<Seen<Server>>,
}

/// A member's server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Open {
    /// At this address.
    pub address: IpAddr,
    /// When it was asked.
    pub at: Time,
}

impl Peers {
    /// What a member's server said to a question put at `since` or later.
    pub fn said_since(&self, member: IpAddr, since: Time) -> Option<&Fact<Server>> {
        let seen = self.asked.get(&member)?.seen.as_ref()?;
        (seen.asked_at >= since).then_some(&seen.fact)
    }

    /// When it was last asked: a question whose answer is waited for, or else the last that was answered.
    pub fn asked_at(&self, member: IpAddr) -> Option<Time> {
        let peer = self.asked.get(&member)?;
        peer.waiting_since.or(peer.seen.as_ref().map(|seen| seen.asked_at))
    }

    pub(super) fn is_being_asked(&mut self, member: IpAddr, now: Time) {
        self.asked.entry(member).or_default().waiting_since = Some(now);
    }

    pub(super) fn take_in(&mut self, member: IpAddr, seen: &Seen<Server>) {
        let peer = self.asked.entry(member).or_default();
        if peer.waiting_since.is_some_and(|asked| asked <= seen.asked_at) {
            peer.waiting_since = None;
        }
        if peer.seen.as_ref().is_none_or(|known| known.asked_at <= seen.asked_at) {
            peer.seen = Some(seen.clone());
        }
    }

    pub(super) fn take_in_port(&mut self, member: IpAddr, seen: &Seen<MemberPort>) {
        if let Fact::Known(MemberPort::Answers(Some(id))) = &seen.fact {
            self.open.retain(|_, open| open.address != member);
            self.open.insert(id.clone(), Open { address: member, at: seen.asked_at });
        }
    }

    /// A server that comes back may listen elsewhere.
    pub(super) fn follow(&mut self, view: &GroupView) {
        self.open.retain(|id, _| view.members.iter().any(|member| member.id == *id));
    }
}
