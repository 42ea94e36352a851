//! A stage fails while the VIP is held here: it is asked about a second time (S13). Then it is certain, and the VIP goes: at once, or once
//! the new primary claims it.

use std::time::Duration;

use super::machine::VipMachine;
use super::state::{Hold, VipState};
use crate::checks::{Cause, Finding, Stage, Stages};
use crate::input::{Fact, MemberState, NotInGroup, Server};
use crate::moment::VipMoment;
use crate::output::{Action, LetGo, Output, Reason, VipAction};
use crate::planted::planted;
use crate::time::Time;
use crate::timers::Timer;

/// An agent that looks at the time this much later than it wanted stood still.
const STOOD_STILL: Duration = Duration::from_millis(300);
/// A server that has stood still is not believed at once when it says that it lacks the majority: for as long after it is heard
/// again …
const NO_MAJORITY_DISTRUSTED_FOR: Duration = Duration::from_secs(1);
/// … the second check comes so much later. The others can't elect another sooner than 5 s after they last heard it, and then it
/// is claimed from here.
const NO_MAJORITY_RECHECK_AFTER: Duration = Duration::from_millis(300);

/// What to do about a stage that certainly fails on the holder, the soonest end first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Leave {
    AtOnce,
    AfterClaimWait,
    AfterLinger,
}

impl VipMachine {
    /// A stage fails on the holder: asked about a second time, and then it is certain.
    pub(super) fn recheck(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        mut hold: Hold,
        stages: &Stages,
        stage: Stage,
        cause: Cause,
    ) -> VipState {
        let at_once = Some(at.now).filter(|_| planted!(at.group, LetGoWithoutRecheck));
        let Some(recheck_since) = hold.recheck_since.or(at_once) else {
            return Self::begin_recheck(at, out, hold, stage, cause);
        };
        // Where not even a time-out is told any more, the first word has to do in the end.
        let unheard_for = match Self::leave(at, &cause) {
            Leave::AfterClaimWait => at.policy.claim_wait,
            Leave::AtOnce | Leave::AfterLinger => at.policy.hung_patience.min(at.policy.linger),
        };
        let heard_from = if matches!(cause, Cause::NoMajority { .. }) && Self::has_just_come_to(at) {
            recheck_since + NO_MAJORITY_RECHECK_AFTER
        } else {
            recheck_since
        };
        let unheard = stages.asked_at(stage) < heard_from;
        // Once it is down, time that passes is the time that it waits for a claim.
        let stood_still =
            unheard && hold.down_since.is_none() && at.now > recheck_since + unheard_for + STOOD_STILL;
        let recheck_since = if stood_still {
            // What was answered meanwhile is yet to be read.
            for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
                out.act(question);
            }
            *hold.recheck_since.insert(at.now)
        } else {
            recheck_since
        };
        let unheard_until = recheck_since + unheard_for;
        let waits = unheard && at.now < unheard_until;
        if waits && !planted!(at.group, LetGoWithoutRecheck) {
            out.wake(Timer::SecondCheck, unheard_until);
            out.say(Reason::Rechecking(stage, cause));
            Self::refresh(at, out, &mut hold, false);
            return VipState::Holding(hold);
        }
        self.await_claim(at, out, hold, recheck_since, stage, cause)
    }

    fn begin_recheck(
        at: VipMoment<'_>,
        out: &mut Output,
        mut hold: Hold,
        stage: Stage,
        cause: Cause,
    ) -> VipState {
        hold.recheck_since = Some(at.now);
        // S13: stages 1 to 4 are checked a second time, all of them: another may fail when this one no longer does.
        for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
            out.act(question);
        }
        // And whether another has it already: this may be a host that stood still, as no clock shows. It answers, and is yielded
        // to at once; else both would have it for as long as a claim is waited for.
        out.order(VipAction::AskWhoHasVip);
        out.say(Reason::Rechecking(stage, cause));
        Self::refresh(at, out, &mut hold, false);
        VipState::Holding(hold)
    }

    /// It failed twice, the first time at `recheck_since`: the VIP leaves when another claims it, or its time is up.
    fn await_claim(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        mut hold: Hold,
        recheck_since: Time,
        stage: Stage,
        cause: Cause,
    ) -> VipState {
        let keeps = matches!(cause, Cause::GatewayLost { .. }) && planted!(at.group, KeepWithoutGateway);
        let down_since = *hold.down_since.get_or_insert(recheck_since);
        let leave = Self::leave(at, &cause);
        if at.pause_keeps_vip() && leave != Leave::AtOnce && !matches!(cause, Cause::StaleView { .. }) {
            out.say(Reason::HoldingPaused(stage, cause));
            Self::refresh(at, out, &mut hold, false);
            return VipState::Holding(hold);
        }
        let (until, reason): (Time, fn(Stage, Cause) -> Reason) = match leave {
            Leave::AtOnce if keeps => (at.now + at.policy.linger, Reason::Rechecking),
            Leave::AtOnce => (at.now, Reason::Rechecking),
            Leave::AfterClaimWait => (down_since + at.policy.claim_wait, Reason::WaitingForClaim),
            Leave::AfterLinger => (down_since + at.policy.linger, Reason::Lingering),
        };
        if at.now >= until {
            return self.let_go(at, out, hold, LetGo::StageFailed(stage, cause));
        }
        out.wake(Timer::ClaimAwaited, until);
        out.say(reason(stage, cause));
        Self::refresh(at, out, &mut hold, false);
        VipState::Holding(hold)
    }

    fn leave(at: VipMoment<'_>, cause: &Cause) -> Leave {
        match cause {
            Cause::Refused(_) if Self::may_linger(at) => Leave::AfterLinger,
            Cause::NotAMember
            | Cause::InterfaceMissing(_)
            | Cause::InterfaceDown(_)
            | Cause::NoAddressOn(_)
            | Cause::NoMajority { .. }
            | Cause::GatewayLost { .. }
            | Cause::CutOff { .. }
            | Cause::Refused(_)
            | Cause::StartedAnew => Leave::AtOnce,
            _ if Self::takes_stray_writes(at) => Leave::AtOnce,
            Cause::NotInGroup(_)
            | Cause::NotListed
            | Cause::NotOnline(_)
            | Cause::Secondary
            | Cause::SecondaryWritable
            | Cause::ReadOnly
            | Cause::PlacedOn(_)
            | Cause::NoReader
            | Cause::StaleView { .. } => Leave::AfterClaimWait,
        }
    }

    fn may_linger(at: VipMoment<'_>) -> bool {
        at.facts.process.successor_would_be_seen() || planted!(at.group, LingerOverANewServer)
    }

    /// The local server is in no group, and does not say that it is read-only: what a client writes there, the group never has.
    fn takes_stray_writes(at: VipMoment<'_>) -> bool {
        match &at.facts.server.fact {
            Fact::Known(Server::Member(view)) => {
                let outside = |state| matches!(state, MemberState::Offline | MemberState::Error);
                !view.super_read_only && view.local_member().is_none_or(|local| outside(local.state))
            }
            Fact::Known(Server::NotInGroup(why)) => {
                matches!(why, NotInGroup::PluginMissing | NotInGroup::NotRunning)
            }
            Fact::Known(Server::Refused(_)) | Fact::Unknown(_) => false,
        }
    }

    /// Of several stages that fail, the one that ends the holding soonest: a host that lost its gateway does not linger to
    /// refuse clients, since none can reach it, and it would still hold when it is back on the network.
    pub(super) fn ends_soonest(at: VipMoment<'_>, stages: &Stages) -> Option<(Stage, Cause)> {
        let fails = |(stage, finding, _): (Stage, &Finding, Time)| match finding {
            Finding::Failed(cause) if !cause.lets_keep() => Some((stage, cause.clone())),
            Finding::Passed | Finding::Failed(_) | Finding::Unknown(_) => None,
        };
        stages.each().into_iter().filter_map(fails).min_by_key(|(_, cause)| Self::leave(at, cause))
    }

    /// The operator's pause is over: a stage that fails is looked at once more, and a claim is waited for from now on. The members'
    /// agents hear of the end one after the other, and whoever is to have the VIP may still be about to claim it.
    pub(crate) fn end_pause(&mut self, at: VipMoment<'_>, out: &mut Output) {
        let VipState::Holding(hold) = &mut self.state else { return };
        if hold.recheck_since.is_some() {
            out.order(VipAction::AskWhoHasVip);
            hold.recheck_since = Some(at.now);
            hold.down_since = hold.down_since.map(|_| at.now);
            for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
                out.act(question);
            }
        }
    }

    /// The local server speaks again after a silence: a process that stood still, or a whole machine. Its group's detector finds that
    /// it has heard nobody meanwhile, and says for some milliseconds (6 were seen) that all others are UNREACHABLE.
    fn has_just_come_to(at: VipMoment<'_>) -> bool {
        at.facts.spoke_again_at.is_some_and(|spoke| at.now.since(spoke) < NO_MAJORITY_DISTRUSTED_FOR)
    }
}
