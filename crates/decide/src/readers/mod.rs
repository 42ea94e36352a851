//! Serving readers, of the whole cluster: how fit this host is, which it says to the others by one word a second, and where each reader
//! VIP belongs by the words of all.
//!
//! ```text
//!   this host's stages 1 to 4,          ┌─────────┐ one word,        ┌───────────┐   where each      ┌────────────────┐
//!   its backlog, pause, drain ────────> │ fitness │ once a second ─> │ placement │ ── VIP belongs ─> │ stage 3 of each │
//!                                       └─────────┘  the others' ──> └───────────┘                   │ reader VIP      │
//!                                                    words, holders                                  └────────────────┘
//! ```
//! By the segment, for only it tells within milliseconds that a server has died (the group says so after 5 s); and whoever does not hear a
//! member there could not take an address over from it either.

mod fitness;
pub mod placement;

pub use fitness::Candidacy;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::fitness::Fitness;
use crate::input::Fact;
use crate::moment::Moment;
use crate::net::VipId;
use crate::output::Output;
use crate::planted::planted;
use crate::policy::Policy;
use crate::timers::Timer;

/// Where each reader VIP belongs, by all that is known now; none: the others have not had the time to be heard.
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
    let vips: Vec<VipId> = policy.reader_vips().collect();
    let (mut words, mut holders) = (readers.words(at.now), readers.holders(at.group, at.now));
    // Whoever is silent keeps what it has and gets no more, as one that is paused does, until it has surely let go: two hosts that do not
    // hear each other must not both have an address.
    words.extend(readers.silent(at.now).map(|member| (member, Fitness::Paused)));
    if planted!(at.group, PlaceOnTheSilent) {
        words = readers.said.iter().map(|(member, (fitness, _))| (*member, *fitness)).collect();
    }
    if let Some(own) = at.own_address() {
        words.extend(readers.own.map(|fitness| (own, fitness)));
        if let Fact::Known(host) = &at.facts.host.fact {
            let here = |vip: &VipId| {
                let address = policy.address_of(*vip);
                host.addresses.iter().any(|there| Some(there.address) == address)
            };
            holders.extend(vips.iter().filter(|vip| here(vip)).map(|vip| (*vip, own)));
        }
    }
    Some(placement::place(&vips, &words, &holders, at.group.readers.when_none))
}
