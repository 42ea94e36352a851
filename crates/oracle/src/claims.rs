//! Who claims what this agent holds, since when, and what its server said of it since: a claim is answered by evidence as fresh.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::inputs::{Event, Fact, Frame, Mac, Says, Server, Time, ViewId};
use crate::limits::Limits;

/// A claim that was not answered for so long is none any more.
pub(crate) const CLAIM_LASTS: Duration = Duration::from_secs(2);

/// Another member's claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) by: Mac,
    pub(crate) since: Time,
    /// What its server said of itself, asked since, and when it was asked.
    pub(crate) said: Option<(Said, Time)>,
}

/// What a claimant's server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Said {
    /// It is the writable primary in this view.
    Leads(Option<ViewId>),
    /// Something else.
    Other,
}

impl Claim {
    /// Its server, asked since, leads in a view that is not known to be old.
    pub(crate) fn leads_in_no_older(&self, newest: Option<&ViewId>) -> bool {
        matches!(self.said, Some((Said::Leads(_), _))) && !self.is_of_older_view(newest)
    }

    fn is_of_older_view(&self, newest: Option<&ViewId>) -> bool {
        match (&self.said, newest) {
            (Some((Said::Leads(Some(theirs)), _)), Some(newest)) => newest.is_newer_than(theirs),
            _ => false,
        }
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Claims {
    pub(crate) each: Vec<Claim>,
    macs: BTreeMap<IpAddr, Mac>,
}

impl Claims {
    pub(crate) fn told(&mut self, limits: &Limits<'_>, event: &Event, holds: bool, now: Time) {
        self.macs.extend(limits.whose(event));
        match event {
            Event::Frame(about, Frame { from, says })
                if holds
                    && *about == limits.id
                    && (says.is_use() || *says == Says::Probe)
                    && self.each.iter().all(|claim| claim.by != *from) =>
            {
                self.each.push(Claim { by: *from, since: now, said: None });
            }
            Event::Peer { member, seen } => {
                let Some(mac) = self.macs.get(member) else { return };
                let said = match &seen.fact {
                    Fact::Known(Server::Member(view)) if view.is_writable_primary() => {
                        Said::Leads(view.view.clone())
                    }
                    _ => Said::Other,
                };
                for claim in self.each.iter_mut().filter(|claim| claim.by == *mac) {
                    let newer = claim.said.as_ref().is_none_or(|(_, at)| seen.asked_at >= *at);
                    if newer && seen.asked_at >= claim.since {
                        claim.said = Some((said.clone(), seen.asked_at));
                    }
                }
            }
            _ => {}
        }
        self.each.retain(|claim| holds && now.since(claim.since) <= CLAIM_LASTS);
    }

    /// Whether that address is known to be that host's.
    pub(crate) fn knows(&self, address: IpAddr, mac: Mac) -> bool {
        self.macs.get(&address) == Some(&mac)
    }

    /// There are claims, and each is of a view that is older than the newest.
    pub(crate) fn are_all_of_older_views(&self, newest: Option<&ViewId>) -> bool {
        !self.each.is_empty() && self.each.iter().all(|claim| claim.is_of_older_view(newest))
    }

    /// It declares that member's claim settled, for itself: takes it off the book.
    pub(crate) fn settled(&mut self, member: IpAddr) -> Option<Claim> {
        let mac = self.macs.get(&member)?;
        let place = self.each.iter().position(|claim| claim.by == *mac)?;
        Some(self.each.remove(place))
    }
}
