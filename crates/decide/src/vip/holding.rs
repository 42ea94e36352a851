//! The VIP is here: is it still, on what proof it stays, and how long without one. A stage that fails is `recheck`'s.

use std::ops::ControlFlow;
use std::time::Duration;

use super::machine::VipMachine;
use super::state::{Hold, VipState};
use crate::checks::{Cause, Finding, Stage, Stages, Verdict};
use crate::entitlement::Entitlement;
use crate::input::{Fact, Why};
use crate::moment::VipMoment;
use crate::output::{Action, LetGo, Output, Reason, VipAction};
use crate::planted::planted;
use crate::timers::Timer;

/// An address that was added must show up within this time.
const CONFIRM_WITHIN: Duration = Duration::from_secs(2);
/// Where it has not shown up after this long, the kernel is asked. By then the order to add it has been carried out, or
/// was given up: a fact asked for later that shows no VIP means that it went again.
const CONFIRM_ASK_AFTER: Duration = Duration::from_millis(100);

impl VipMachine {
    /// The VIP is here and this agent has not put it there: it stays (S7).
    pub(crate) fn adopt(&mut self, at: VipMoment<'_>, out: &mut Output, interface: String) -> VipState {
        out.say(Reason::Adopted);
        self.left_behind = None;
        // Another may have taken it while no agent ran here (`takeover_after`): it answers, which is a dispute.
        out.order(VipAction::AskWhoHasVip);
        let hold = Self::hold_on(at, interface);
        if matches!(at.verdict_to_keep(), Verdict::Unknown(_, Why::NotAskedYet)) {
            if let Some(lease) = at.policy.lease {
                out.wake(Timer::Renewal, at.now + lease / 3);
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
            lapsing_at: None,
        }
    }

    /// Goes on holding, or lets go.
    pub(crate) fn keep(&mut self, at: VipMoment<'_>, out: &mut Output, hold: Hold) -> VipState {
        let mut hold = match self.find_address(at, out, hold) {
            ControlFlow::Continue(hold) => hold,
            ControlFlow::Break(next) => return next,
        };
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
            Verdict::Up => Self::hold_on_proof(at, out, hold, &stages),
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

    /// Whether the kernel shows the address; where it is gone, or never came, what comes next.
    fn find_address(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        mut hold: Hold,
    ) -> ControlFlow<VipState, Hold> {
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
                return ControlFlow::Break(next);
            }
            Fact::Known(None)
                if at.now.since(hold.since) >= CONFIRM_WITHIN
                    && at.facts.host.asked_at < hold.since + CONFIRM_WITHIN =>
            {
                // The agent stood still, and what it knows of its own addresses is older than the deed. To ask the network
                // now would tell whoever waits for the address that it is free, while it is here.
                out.act(Action::AskHost);
                out.wake(Timer::AddressShown, at.now + CONFIRM_WITHIN / 4);
            }
            Fact::Known(None) if at.now.since(hold.since) >= CONFIRM_WITHIN => {
                out.say(Reason::Failed(format!(
                    "the VIP was added to {} but does not appear there: trying again",
                    hold.interface
                )));
                out.act(Action::AskHost);
                return ControlFlow::Break(VipState::Absent);
            }
            Fact::Known(None) if at.now.since(hold.since) >= CONFIRM_ASK_AFTER => {
                out.act(Action::AskHost);
                out.wake(Timer::AddressShown, hold.since + CONFIRM_WITHIN);
            }
            Fact::Known(None) => out.wake(Timer::AddressShown, hold.since + CONFIRM_ASK_AFTER),
            Fact::Unknown(_) => {}
        }
        ControlFlow::Continue(hold)
    }

    /// All stages pass, or what fails of them lets the VIP stay.
    fn hold_on_proof(at: VipMoment<'_>, out: &mut Output, mut hold: Hold, stages: &Stages) -> VipState {
        hold.recheck_since = None;
        hold.down_since = None;
        let failed = |finding: &Finding| matches!(finding, Finding::Failed(_));
        out.say(match (&stages.primary.0, &stages.gateway.0) {
            (Finding::Failed(Cause::ReadOnly), _) => Reason::HoldingReadOnly,
            (Finding::Failed(Cause::SecondaryWritable), _) => Reason::HoldingUntilClaimed,
            (Finding::Failed(Cause::PlacedOn(member)), _) => Reason::HoldingUntilPlaced(*member),
            (Finding::Failed(Cause::NoReader), _) => Reason::HoldingNoReader,
            (_, Finding::Failed(cause)) if at.is_paused() => {
                Reason::HoldingPaused(Stage::Gateway, cause.clone())
            }
            (_, gateway) if failed(gateway) => Reason::HoldingWithoutGateway,
            _ => Reason::Holding,
        });
        Self::refresh(at, out, &mut hold, true);
        VipState::Holding(hold)
    }

    /// Whether it should be here is not known: that is put up with for a while.
    fn hold_while_unknown(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        mut hold: Hold,
        stage: Stage,
        why: Why,
    ) -> VipState {
        let patience = match &why {
            Why::OthersNotHeard => None,
            Why::NotAskedYet | Why::Unreachable(_) if stage != Stage::Server => None,
            why if why.server_lives() => at.policy.refused_patience,
            _ if matches!(stage, Stage::Server | Stage::Primary) => Some(at.policy.hung_patience),
            _ => None,
        };
        let since = at.facts.pause.since(at.facts.server_unknown_since.unwrap_or(at.now).max(hold.since));
        let endless = at.pause_keeps_vip() || planted!(at.group, PatienceWithoutEnd);
        if let Some(patience) = patience.filter(|_| !endless) {
            if at.now >= since + patience {
                return self.let_go(at, out, hold, LetGo::PatienceOver(stage, why));
            }
            out.wake(Timer::Patience, since + patience);
        }
        out.say(Reason::HoldingUnknown(stage, why));
        Self::refresh(at, out, &mut hold, false);
        VipState::Holding(hold)
    }

    /// The local server is a secondary that still takes writes: the primary's claim may come at any time.
    pub(crate) fn waits_for_the_primary(at: VipMoment<'_>) -> bool {
        if at.is_for_readers() {
            return false;
        }
        at.facts.own_view().is_some_and(|view| at.entitlement(view) == Entitlement::KeepUntilClaimed)
    }
}
