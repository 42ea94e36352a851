//! Who claims what this agent holds, since when, and what its server said of it since: a claim is answered by evidence as fresh.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::inputs::{Event, Fact, Mac, Says, Server, Time, ViewId};

/// A claim that was not answered for so long is none any more.
const CLAIM_LASTS: Duration = Duration::from_secs(2);

/// Another member's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) by: Mac,
    pub(crate) since: Time,
    /// Its server, asked since, leads in a view that is not known to be old; and when it was asked.
    pub(crate) leads: Option<(bool, Time)>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Claims {
    pub(crate) each: Vec<Claim>,
    macs: BTreeMap<IpAddr, Mac>,
}

impl Claims {
    pub(crate) fn told(&mut self, event: &Event, holds: bool, newest: Option<&ViewId>, now: Time) {
        match event {
            Event::Neighbor { address, mac } => {
                self.macs.insert(*address, *mac);
            }
            Event::Frame(frame) if holds && (frame.says.is_use() || frame.says == Says::Probe) => {
                if self.each.iter().all(|claim| claim.by != frame.from) {
                    self.each.push(Claim { by: frame.from, since: now, leads: None });
                }
            }
            Event::Peer { member, seen } => {
                let Some(mac) = self.macs.get(member) else { return };
                let leads = matches!(&seen.fact, Fact::Known(Server::Member(view)) if view.is_writable_primary()
                    && !matches!((&view.view, newest), (Some(theirs), Some(newest)) if newest.is_newer_than(theirs)));
                for claim in self.each.iter_mut().filter(|claim| claim.by == *mac) {
                    let newer = claim.leads.is_none_or(|(_, at)| seen.asked_at >= at);
                    if newer && seen.asked_at >= claim.since {
                        claim.leads = Some((leads, seen.asked_at));
                    }
                }
            }
            _ => {}
        }
        self.each.retain(|claim| holds && now.since(claim.since) <= CLAIM_LASTS);
    }

    /// It declares that member's claim settled, for itself: takes it off the book.
    pub(crate) fn settled(&mut self, member: IpAddr) -> Option<Claim> {
        let mac = self.macs.get(&member)?;
        let place = self.each.iter().position(|claim| claim.by == *mac)?;
        Some(self.each.remove(place))
    }
}
