//! How fit this host is to serve readers, by its own stages and its server's backlog; and when the others are told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::checks::{Finding, Stages};
use crate::entitlement::Entitlement;
use crate::fitness::Fitness;
use crate::input::{Backlog, Fact, GroupView, NotInGroup, Role, Server};
use crate::moment::Moment;
use crate::net::VipId;
use crate::output::{Output, VipAction};
use crate::planted::planted;
use crate::policy::VipGateway;
use crate::time::Time;
use crate::timers::Timer;

/// Time between two words that say the same.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// A server that has not answered for so long serves no readers: the group calls it UNREACHABLE by then.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// Whether this host could serve readers by stages 1 to 4.
enum Serves {
    /// With this role.
    As(Role),
    /// Certainly not.
    No,
    /// Not known, and not for long enough to say anything else than before (UNKNOWN-IS-NOT-NO).
    NotKnown,
}

/// What is remembered of this host's fitness.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidacy {
    /// From when on this host is ready, as long as nothing of it fails; none: something does.
    pub ready_at: Option<Time>,
    /// It was seen not to be fit: from then on being fit has to last. What was well when this agent began to look has been so before.
    pub was_unfit: bool,
    /// Since when the server has been further behind than it may.
    pub over_since: Option<Time>,
    /// It has been so for too long.
    pub behind: bool,
    /// What was last said, and when.
    pub said: Option<(Fitness, Time)>,
}

impl Candidacy {
    /// Nothing is remembered, as in a cluster without reader VIPs: a trace need not say so.
    pub(crate) fn is_new(&self) -> bool {
        *self == Self::default()
    }

    /// How fit this host is now; none: that was never known. `gateways`: those of the reader VIPs. One word is said for all of them, so that
    /// a host which has lost one of the gateways is fit for none: where a VIP is placed, it can be taken.
    pub(crate) fn assess(
        &mut self,
        at: Moment<'_>,
        first: VipId,
        gateways: &[VipGateway],
        out: &mut Output,
    ) -> Option<Fitness> {
        self.follow_backlog(at, out);
        let role = match Self::serves(at, first, gateways) {
            Serves::NotKnown => return at.facts.readers.own,
            Serves::No => {
                self.ready_at = None;
                self.was_unfit = true;
                return Some(Fitness::Unfit);
            }
            Serves::As(role) => role,
        };
        let settles_for = if self.was_unfit { at.group.readers.well_for } else { Duration::ZERO };
        let ready_at = *self.ready_at.get_or_insert(at.now + settles_for);
        if at.facts.giving_up {
            return Some(Fitness::Unfit);
        }
        if at.is_paused() {
            return Some(Fitness::Paused);
        }
        if role == Role::Primary && !planted!(at.group, PrimaryServesReaders) {
            return Some(Fitness::Primary);
        }
        if self.behind && !planted!(at.group, ReadersFromTheOldest) {
            return Some(Fitness::Behind);
        }
        if at.now < ready_at && !planted!(at.group, TakeShareAtOnce) {
            out.wake(Timer::ReaderReady, ready_at);
            return Some(Fitness::Settling);
        }
        Some(Fitness::Ready)
    }

    /// Says it, to whoever hears frames about the first reader VIP: at once when it changes, and once a second.
    pub(crate) fn say(&mut self, fitness: Fitness, now: Time, out: &mut Output) {
        let due = self.said.map(|(said, at)| if said == fitness { at + SAY_EVERY } else { now });
        if due.is_none_or(|due| now >= due) {
            out.order(VipAction::SayFitness(fitness));
            self.said = Some((fitness, now));
        }
        if let Some((_, at)) = self.said {
            out.wake(Timer::SayFitness, at + SAY_EVERY);
        }
    }

    fn serves(at: Moment<'_>, first: VipId, gateways: &[VipGateway]) -> Serves {
        let stages = Stages::of(at.group, at.facts);
        let gateways: Vec<Finding> = gateways.iter().map(|gateway| at.gateway_of(*gateway).0).collect();
        let silent_for = at.facts.server_unknown_since.map_or(Duration::ZERO, |since| at.now.since(since));
        let fails = |finding: &Finding| matches!(finding, Finding::Failed(_));
        if fails(&stages.member.0)
            || fails(&stages.server.0)
            || gateways.iter().any(fails)
            || at.facts.started_anew
            || Self::hears_no_longer(at, first)
            || Self::takes_no_clients(at)
            || silent_for >= SILENT_FOR
        {
            return Serves::No;
        }
        let known = |finding: &Finding| *finding == Finding::Passed;
        let hears = !at.facts.neighbors.not_heard.contains(&first);
        if !known(&stages.member.0) || !gateways.iter().all(known) || !hears {
            return Serves::NotKnown;
        }
        match &at.facts.server.fact {
            // While a view is being replaced a server may show two primaries. That is no word about whether it can serve readers.
            Fact::Unknown(_) | Fact::Known(Server::NotInGroup(NotInGroup::MultiPrimary)) => Serves::NotKnown,
            Fact::Known(Server::Member(view)) => match Self::role(at, view) {
                Some(_) if at.facts.readers.is_cut_off() => Serves::No,
                Some(role) if at.facts.readers.reaches_enough() => Serves::As(role),
                Some(_) => Serves::NotKnown,
                None => Serves::No,
            },
            Fact::Known(_) => Serves::No,
        }
    }

    /// Frames about the first reader VIP can't be heard. An agent that has just started has yet to open its socket: that is no failure of
    /// its host.
    fn hears_no_longer(at: Moment<'_>, first: VipId) -> bool {
        at.facts.readers.own.is_some() && at.facts.neighbors.not_heard.contains(&first)
    }

    /// mysqld certainly takes no new clients. At `SHUTDOWN` that is so some seconds before it leaves its group, and it answers this agent's
    /// own session all the while.
    fn takes_no_clients(at: Moment<'_>) -> bool {
        at.facts.readers.listens(at.now) == Some(false) && !planted!(at.group, ServeBehindClosedSockets)
    }

    fn role(at: Moment<'_>, view: &GroupView) -> Option<Role> {
        let serves = Entitlement::to_serve_readers(at.group, view, at.facts.views.newest.as_ref()).is_ok();
        view.local_member().map(|local| local.role).filter(|_| serves)
    }

    /// Whether the server is too far behind: over a limit for a while, until it is below half of it.
    fn follow_backlog(&mut self, at: Moment<'_>, out: &mut Output) {
        let limits = &at.group.readers;
        let Some(Backlog { transactions, age }) = at.facts.readers.backlog(at.now) else { return };
        let beyond = |part: u32| {
            limits.max_transactions.is_some_and(|most| transactions > most / u64::from(part))
                || limits.max_age.is_some_and(|most| age > most / part)
        };
        if beyond(1) {
            let since = *self.over_since.get_or_insert(at.now);
            if at.now >= since + limits.behind_for {
                self.behind = true;
            } else {
                out.wake(Timer::ReaderBehind, since + limits.behind_for);
            }
        } else {
            self.over_since = None;
        }
        if self.behind && !beyond(2) {
            self.behind = false;
            self.was_unfit = true;
            self.ready_at = None;
        }
    }
}
