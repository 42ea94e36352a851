//! The holding side: doubt, disputes, waiting for a claim, lingering, letting go.

use std::time::Duration;

use super::machine::VipMachine;
use super::state::{Hold, VipState};
use crate::checks::{Cause, Finding, Stage, Stages, Verdict};
use crate::entitlement::Entitlement;
use crate::input::{Fact, MemberState, NotInGroup, Server, Why};
use crate::moment::VipMoment;
use crate::output::{Action, LetGo, Output, Reason, VipAction};
use crate::planted::planted;
use crate::time::Time;

/// An address that was added must show up within this time.
const CONFIRM_WITHIN: Duration = Duration::from_secs(2);
/// Where it has not shown up after this long, the kernel is asked. By then the order to add it has been carried out, or
/// was given up: a fact asked for later that shows no VIP means that it went again.
const CONFIRM_ASK_AFTER: Duration = Duration::from_millis(100);
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
    fn leave(at: VipMoment<'_>, cause: &Cause) -> Leave {
        match cause {
            Cause::Refused(_) if Self::may_linger(at) => Leave::AfterLinger,
            Cause::NotAMember
            | Cause::NoMajority { .. }
            | Cause::GatewayLost { .. }
            | Cause::Refused(_)
            | Cause::StartedAnew => Leave::AtOnce,
            _ if Self::takes_stray_writes(at) => Leave::AtOnce,
            Cause::NotInGroup(_)
            | Cause::NotListed
            | Cause::NotOnline(_)
            | Cause::Secondary
            | Cause::SecondaryWritable
            | Cause::ReadOnly
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
    fn ends_soonest(at: VipMoment<'_>, stages: &Stages) -> Option<(Stage, Cause)> {
        let fails = |(stage, finding, _): (Stage, &Finding, Time)| match finding {
            Finding::Failed(cause) if !cause.lets_keep() => Some((stage, cause.clone())),
            Finding::Passed | Finding::Failed(_) | Finding::Unknown(_) => None,
        };
        stages.each().into_iter().filter_map(fails).min_by_key(|(_, cause)| Self::leave(at, cause))
    }

    /// The VIP is here and this agent has not put it there: it stays (S7).
    pub(crate) fn adopt(&mut self, at: VipMoment<'_>, out: &mut Output, interface: String) -> VipState {
        out.say(Reason::Adopted);
        self.left_behind = None;
        // Another may have taken it while no agent ran here (`takeover_after`): it answers, which is a dispute.
        out.order(VipAction::AskWhoHasVip);
        let hold = Self::hold_on(at, interface);
        if matches!(at.verdict_to_keep(), Verdict::Unknown(_, Why::NotAskedYet)) {
            if let Some(lease) = at.policy.lease {
                out.wake(at.now + lease / 3);
            }
            return VipState::Holding(hold);
        }
        self.keep(at, out, hold)
    }

    /// The VIP is on this interface already.
    pub(crate) fn hold_on(at: VipMoment<'_>, interface: String) -> Hold {
        Hold {
            since: at.now,
            interface,
            confirmed: true,
            recheck_since: None,
            down_since: None,
            dispute: None,
            settled: None,
            conflict: None,
            post_claim_check: None,
            next_announce: at.now,
            announced: 0,
            next_renewal: at.policy.lease.map(|_| at.now),
            renewal_looks: None,
        }
    }

    /// Goes on holding, or lets go.
    pub(crate) fn keep(&mut self, at: VipMoment<'_>, out: &mut Output, mut hold: Hold) -> VipState {
        match at.vip_interface() {
            Fact::Known(Some(interface)) => {
                hold.confirmed = true;
                hold.interface = interface;
            }
            Fact::Known(None)
                if hold.confirmed || at.facts.host.asked_at >= hold.since + CONFIRM_ASK_AFTER =>
            {
                self.note_removal(at, out, &hold.interface);
                out.say(Reason::RemovedByOther(hold.interface));
                let next = self.consider_claiming(at, out);
                if !matches!(next, VipState::Holding(_)) {
                    self.remember_clients(at, out);
                }
                return next;
            }
            Fact::Known(None)
                if at.now.since(hold.since) >= CONFIRM_WITHIN
                    && at.facts.host.asked_at < hold.since + CONFIRM_WITHIN =>
            {
                // The agent stood still, and what it knows of its own addresses is older than the deed. To ask the network
                // now would tell whoever waits for the address that it is free, while it is here.
                out.act(Action::AskHost);
                out.wake(at.now + CONFIRM_WITHIN / 4);
            }
            Fact::Known(None) if at.now.since(hold.since) >= CONFIRM_WITHIN => {
                out.say(Reason::Failed(format!(
                    "the VIP was added to {} but does not appear there: trying again",
                    hold.interface
                )));
                out.act(Action::AskHost);
                return VipState::Absent;
            }
            Fact::Known(None) if at.now.since(hold.since) >= CONFIRM_ASK_AFTER => {
                out.act(Action::AskHost);
                out.wake(hold.since + CONFIRM_WITHIN);
            }
            Fact::Known(None) => out.wake(hold.since + CONFIRM_ASK_AFTER),
            Fact::Unknown(_) => {}
        }
        if let Some(because) = Self::run_post_claim_check(at, out, &mut hold) {
            return self.let_go(at, out, hold, because);
        }
        let stages = at.stages();
        let verdict = at.verdict_to_keep();
        if let Some(because) = Self::answer_claim(at, out, &mut hold, &stages, &verdict) {
            return self.let_go(at, out, hold, because);
        }
        if let Some(because) = self.answer_conflict(at, out, &mut hold, &stages, &verdict) {
            return self.let_go(at, out, hold, because);
        }
        match verdict {
            Verdict::Up => {
                hold.recheck_since = None;
                hold.down_since = None;
                let failed = |finding: &Finding| matches!(finding, Finding::Failed(_));
                out.say(match (&stages.primary.0, &stages.gateway.0) {
                    (Finding::Failed(Cause::ReadOnly), _) => Reason::HoldingReadOnly,
                    (Finding::Failed(Cause::SecondaryWritable), _) => Reason::HoldingUntilClaimed,
                    (_, Finding::Failed(cause)) if at.is_paused() => {
                        Reason::HoldingPaused(Stage::Gateway, cause.clone())
                    }
                    (_, gateway) if failed(gateway) => Reason::HoldingWithoutGateway,
                    _ => Reason::Holding,
                });
                Self::refresh(at, out, &mut hold, true);
                VipState::Holding(hold)
            }
            Verdict::Unknown(stage, why) if planted!(at.group, TakeUnknownForNo) => {
                self.let_go(at, out, hold, LetGo::PatienceOver(stage, why))
            }
            Verdict::Unknown(stage, why) => self.hold_while_unknown(at, out, hold, stage, why),
            Verdict::Down(stage, cause) => {
                let (stage, cause) = Self::ends_soonest(at, &stages).unwrap_or((stage, cause));
                self.recheck(at, out, hold, &stages, stage, cause)
            }
        }
    }

    /// The operator has paused the agent: it lets go of nothing by choice. What another claims is yielded all the same, and what
    /// must be let go of at once ([`Leave::AtOnce`], a view older than another's) is: somebody else may have the VIP by then, unheard,
    /// or the server takes writes that its group never gets.
    fn stays_by_pause(at: VipMoment<'_>) -> bool {
        at.is_paused() && !planted!(at.group, LetGoWhilePaused)
    }

    /// The operator's pause is over: a stage that fails is looked at once more, and a claim is waited for from now on. The members'
    /// agents hear of the end one after the other, and whoever is to have the VIP may still be about to claim it.
    pub(crate) fn end_pause(&mut self, at: VipMoment<'_>, out: &mut Output) {
        let VipState::Holding(hold) = &mut self.state else { return };
        if hold.recheck_since.is_some() {
            hold.recheck_since = Some(at.now);
            hold.down_since = hold.down_since.map(|_| at.now);
            for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
                out.act(question);
            }
        }
    }

    fn hold_while_unknown(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        mut hold: Hold,
        stage: Stage,
        why: Why,
    ) -> VipState {
        let patience = match &why {
            Why::NotAskedYet | Why::Unreachable(_) if stage != Stage::Server => None,
            why if why.server_lives() => at.policy.refused_patience,
            _ if matches!(stage, Stage::Server | Stage::Primary) => Some(at.policy.hung_patience),
            _ => None,
        };
        let since = at.facts.pause.since(at.facts.server_unknown_since.unwrap_or(at.now).max(hold.since));
        let endless = Self::stays_by_pause(at) || planted!(at.group, PatienceWithoutEnd);
        if let Some(patience) = patience.filter(|_| !endless) {
            if at.now >= since + patience {
                return self.let_go(at, out, hold, LetGo::PatienceOver(stage, why));
            }
            out.wake(since + patience);
        }
        out.say(Reason::HoldingUnknown(stage, why));
        Self::refresh(at, out, &mut hold, false);
        VipState::Holding(hold)
    }

    fn recheck(
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
            return VipState::Holding(hold);
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
            out.wake(unheard_until);
            out.say(Reason::Rechecking(stage, cause));
            Self::refresh(at, out, &mut hold, false);
            return VipState::Holding(hold);
        }
        let keeps = matches!(cause, Cause::GatewayLost { .. }) && planted!(at.group, KeepWithoutGateway);
        let down_since = *hold.down_since.get_or_insert(recheck_since);
        let leave = Self::leave(at, &cause);
        if Self::stays_by_pause(at) && leave != Leave::AtOnce && !matches!(cause, Cause::StaleView { .. }) {
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
        out.wake(until);
        out.say(reason(stage, cause));
        Self::refresh(at, out, &mut hold, false);
        VipState::Holding(hold)
    }

    /// The local server speaks again after a silence: a process that stood still, or a whole machine. Its group's detector finds that
    /// it has heard nobody meanwhile, and says for some milliseconds (6 were seen) that all others are UNREACHABLE.
    fn has_just_come_to(at: VipMoment<'_>) -> bool {
        at.facts.spoke_again_at.is_some_and(|spoke| at.now.since(spoke) < NO_MAJORITY_DISTRUSTED_FOR)
    }

    /// The local server is a secondary that still takes writes: the primary's claim may come at any time.
    pub(crate) fn waits_for_the_primary(at: VipMoment<'_>) -> bool {
        at.facts.own_view().is_some_and(|view| at.entitlement(view) == Entitlement::KeepUntilClaimed)
    }
}
