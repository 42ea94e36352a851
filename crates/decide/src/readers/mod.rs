//! Serving readers, of the whole cluster: how fit this host is, which it says to the others by one word a second, and where each reader
//! VIP belongs by the words of all.
//!
//! ```text
//!   this host's stages 1 to 4,          ┌─────────┐ one word,        ┌───────────┐   where each      ┌─────────────────┐
//!   its backlog, pause, drain ────────> │ fitness │ once a second ─> │ placement │ ── VIP belongs ─> │ stage 3 of each │
//!                             ┌───────> └─────────┘  the others' ──> └───────────┘         ┌───────> │ reader VIP      │
//!   the members' hosts ─> ┌───┴───┐                  words, holders                        │         └─────────────────┘
//!   that answer           │ reach │ ── too few: cut off on the segment ────────────────────┘
//!                         └───────┘
//! ```
//! By the segment, for only it tells within milliseconds that a server has died (the group says so after 5 s); and whoever does not hear a
//! member there could not take an address over from it either.

mod fitness;
pub mod placement;
mod reach;

pub use fitness::Candidacy;
pub(crate) use reach::reach;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::fitness::Fitness;
use crate::input::{Fact, MemberState};
use crate::moment::Moment;
use crate::net::VipId;
use crate::output::Output;
use crate::planted::planted;
use crate::policy::Policy;
use crate::timers::Timer;

/// Where each reader VIP belongs, by all that is known now; none: the others have not been heard.
pub(crate) fn placed(policy: &Policy, at: Moment<'_>, out: &mut Output) -> Option<BTreeMap<VipId, IpAddr>> {
    let readers = &at.facts.readers;
    if !readers.has_heard_all(at.now) {
        if let Some(then) = readers.heard_all_at() {
            out.wake(Timer::ReadersHeard, then);
        }
        return None;
    }
    if let Some(then) = readers.next_silence(at.now) {
        out.wake(Timer::ReadersHeard, then);
    }
    if !hears_somebody(at, out) {
        return None;
    }
    let vips: Vec<VipId> = policy.reader_vips().collect();
    let (mut words, holders) = (readers.words(at.now), readers.holders(at.group, at.now));
    // Whoever is silent keeps what it has and gets no more, as one that is paused does, until it has surely let go: two hosts that do not
    // hear each other must not both have an address.
    words.extend(readers.silent(at.now).map(|member| (member, Fitness::Paused)));
    if planted!(at.group, PlaceOnTheSilent) {
        words = readers.said.iter().map(|(member, (fitness, _))| (*member, *fitness)).collect();
    }
    if let Some(own) = at.own_address() {
        words.extend(readers.own.map(|fitness| (own, fitness)));
    }
    if planted!(at.group, TakeFromTheSettling) && words.values().any(|word| *word == Fitness::Ready) {
        words.retain(|_, word| *word != Fitness::Settling);
    }
    Some(placement::place(&vips, &words, &holders, at.group.readers.when_none))
}

/// The reader VIPs that are on this host.
pub(crate) fn here(policy: &Policy, at: Moment<'_>) -> impl Iterator<Item = VipId> {
    let addresses = match &at.facts.host.fact {
        Fact::Known(host) => host.addresses.as_slice(),
        Fact::Unknown(_) => &[],
    };
    policy.reader_vips().filter(move |vip| {
        let address = policy.address_of(*vip);
        addresses.iter().any(|there| Some(there.address) == address)
    })
}

/// A member's host that answered for its own address no longer ago than this is heard.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// Whether another member is heard on the segment: by its word, or by its host's answer to who has its address. Where the group shows
/// others ONLINE and none is heard, it may be this host that is cut off there: that nobody answers for an address proves nothing, and all
/// that the others have would be taken. The primary beside one other goes on all the same, once that one has let go.
fn hears_somebody(at: Moment<'_>, out: &mut Output) -> bool {
    let other_is_online = at.facts.own_view().is_some_and(|view| {
        view.members.iter().any(|member| member.id != view.local && member.state == MemberState::Online)
    });
    if !other_is_online || !at.facts.readers.words(at.now).is_empty() {
        return true;
    }
    let readers = &at.facts.readers;
    let mut alive = at.facts.neighbors.alive_at.values();
    if alive.any(|heard| at.now.since(*heard) < HEARD_WITHIN) {
        return true;
    }
    if let Some(then) = readers.silent_have_let_go_at(at.now) {
        out.wake(Timer::ReadersHeard, then);
    }
    readers.reaches_enough() && readers.the_silent_have_let_go(at.now)
}
