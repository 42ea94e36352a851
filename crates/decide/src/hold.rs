//! The holding side: doubt, disputes, waiting for a claim, lingering, letting go.

use std::net::IpAddr;
use std::time::Duration;

use crate::action::Action;
use crate::decide::Turn;
use crate::event::{Fact, MemberState, NotInGroup, Server, StatMark, Why};
use crate::planted::planted;
use crate::reason::{LetGo, Reason};
use crate::stages::{Cause, Finding, Stage, Stages, Verdict};
use crate::state::{Hold, LeftBehind, VipState};
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
/// An address that is still there this long after its removal is removed again.
const REMOVE_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What to do about a stage that certainly fails on the holder, the soonest end first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Leave {
    AtOnce,
    AfterClaimWait,
    AfterLinger,
}

impl Turn<'_> {
    fn leave(&self, cause: &Cause) -> Leave {
        match cause {
            Cause::Refused(_) if self.may_linger() => Leave::AfterLinger,
            Cause::NotAMember
            | Cause::NoMajority { .. }
            | Cause::GatewayLost { .. }
            | Cause::Refused(_)
            | Cause::StartedAnew => Leave::AtOnce,
            _ if self.takes_stray_writes() => Leave::AtOnce,
            Cause::NotInGroup(_)
            | Cause::NotListed
            | Cause::NotOnline(_)
            | Cause::Secondary
            | Cause::SecondaryWritable
            | Cause::ReadOnly
            | Cause::StaleView { .. } => Leave::AfterClaimWait,
        }
    }

    fn may_linger(&self) -> bool {
        self.state.signs.successor_would_be_seen() || planted!(self.policy, LingerOverANewServer)
    }

    /// The local server is in no group, and does not say that it is read-only: what a client writes there, the group never has.
    fn takes_stray_writes(&self) -> bool {
        match &self.state.server.fact {
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
    fn ends_soonest(&self, stages: &Stages) -> Option<(Stage, Cause)> {
        let fails = |(stage, finding, _): (Stage, &Finding, Time)| match finding {
            Finding::Failed(cause) if !cause.lets_keep() => Some((stage, cause.clone())),
            Finding::Passed | Finding::Failed(_) | Finding::Unknown(_) => None,
        };
        stages.each().into_iter().filter_map(fails).min_by_key(|(_, cause)| self.leave(cause))
    }

    /// The VIP is here and this agent has not put it there: it stays (S7).
    pub(crate) fn adopt(&mut self, interface: String) -> VipState {
        self.say(Reason::Adopted);
        // Another may have taken it while no agent ran here (`takeover_after`): it answers, which is a dispute.
        self.act(Action::AskWhoHasVip);
        let hold = self.hold_on(interface);
        if matches!(self.verdict_to_keep(), Verdict::Unknown(_, Why::NotAskedYet)) {
            if let Some(lease) = self.policy.lease {
                self.wake(self.now + lease / 3);
            }
            return VipState::Holding(hold);
        }
        self.keep(hold)
    }

    /// The VIP is on this interface already.
    pub(crate) fn hold_on(&self, interface: String) -> Hold {
        Hold {
            since: self.now,
            interface,
            confirmed: true,
            recheck_since: None,
            down_since: None,
            dispute: None,
            settled: None,
            conflict: None,
            post_claim_check: None,
            next_announce: self.now,
            announced: 0,
            next_renewal: self.policy.lease.map(|_| self.now),
            renewal_looks: None,
        }
    }

    /// Goes on holding, or lets go.
    pub(crate) fn keep(&mut self, mut hold: Hold) -> VipState {
        match self.state.vip_interface(self.policy) {
            Fact::Known(Some(interface)) => {
                hold.confirmed = true;
                hold.interface = interface;
            }
            Fact::Known(None)
                if hold.confirmed || self.state.host.asked_at >= hold.since + CONFIRM_ASK_AFTER =>
            {
                self.note_removal(&hold.interface);
                self.say(Reason::RemovedByOther(hold.interface));
                return self.consider_claiming();
            }
            Fact::Known(None)
                if self.now.since(hold.since) >= CONFIRM_WITHIN
                    && self.state.host.asked_at < hold.since + CONFIRM_WITHIN =>
            {
                // The agent stood still, and what it knows of its own addresses is older than the deed. To ask the network
                // now would tell whoever waits for the address that it is free, while it is here.
                self.act(Action::AskHost);
                self.wake(self.now + CONFIRM_WITHIN / 4);
            }
            Fact::Known(None) if self.now.since(hold.since) >= CONFIRM_WITHIN => {
                self.say(Reason::Failed(format!(
                    "the VIP was added to {} but does not appear there: trying again",
                    hold.interface
                )));
                self.act(Action::AskHost);
                return VipState::Absent;
            }
            Fact::Known(None) if self.now.since(hold.since) >= CONFIRM_ASK_AFTER => {
                self.act(Action::AskHost);
                self.wake(hold.since + CONFIRM_WITHIN);
            }
            Fact::Known(None) => self.wake(hold.since + CONFIRM_ASK_AFTER),
            Fact::Unknown(_) => {}
        }
        if let Some(because) = self.run_post_claim_check(&mut hold) {
            return self.let_go(hold, because);
        }
        let stages = self.state.stages(self.policy);
        let verdict = self.verdict_to_keep();
        if let Some(because) = self.answer_claim(&mut hold, &stages, &verdict) {
            return self.let_go(hold, because);
        }
        if let Some(because) = self.answer_conflict(&mut hold, &stages, &verdict) {
            return self.let_go(hold, because);
        }
        match verdict {
            Verdict::Up => {
                hold.recheck_since = None;
                hold.down_since = None;
                let failed = |finding: &Finding| matches!(finding, Finding::Failed(_));
                self.say(match (&stages.primary.0, &stages.gateway.0) {
                    (Finding::Failed(Cause::ReadOnly), _) => Reason::HoldingReadOnly,
                    (Finding::Failed(Cause::SecondaryWritable), _) => Reason::HoldingUntilClaimed,
                    (_, gateway) if failed(gateway) => Reason::HoldingWithoutGateway,
                    _ => Reason::Holding,
                });
                self.refresh(&mut hold, true);
                VipState::Holding(hold)
            }
            Verdict::Unknown(stage, why) if planted!(self.policy, TakeUnknownForNo) => {
                self.let_go(hold, LetGo::PatienceOver(stage, why))
            }
            Verdict::Unknown(stage, why) => self.hold_while_unknown(hold, stage, why),
            Verdict::Down(stage, cause) => {
                let (stage, cause) = self.ends_soonest(&stages).unwrap_or((stage, cause));
                self.recheck(hold, &stages, stage, cause)
            }
        }
    }

    /// May a VIP that is here stay?
    pub(crate) fn verdict_to_keep(&self) -> Verdict {
        self.state.stages(self.policy).verdict_to_keep(self.policy.gateway_lost)
    }

    fn hold_while_unknown(&mut self, mut hold: Hold, stage: Stage, why: Why) -> VipState {
        let patience = match &why {
            Why::NotAskedYet | Why::Unreachable(_) if stage != Stage::Server => None,
            why if why.server_lives() => self.policy.refused_patience,
            _ if matches!(stage, Stage::Server | Stage::Primary) => Some(self.policy.hung_patience),
            _ => None,
        };
        let since = self.state.server_unknown_since.unwrap_or(self.now).max(hold.since);
        if let Some(patience) = patience.filter(|_| !planted!(self.policy, PatienceWithoutEnd)) {
            if self.now >= since + patience {
                return self.let_go(hold, LetGo::PatienceOver(stage, why));
            }
            self.wake(since + patience);
        }
        self.say(Reason::HoldingUnknown(stage, why));
        self.refresh(&mut hold, false);
        VipState::Holding(hold)
    }

    fn recheck(&mut self, mut hold: Hold, stages: &Stages, stage: Stage, cause: Cause) -> VipState {
        let at_once = Some(self.now).filter(|_| planted!(self.policy, LetGoWithoutRecheck));
        let Some(recheck_since) = hold.recheck_since.or(at_once) else {
            hold.recheck_since = Some(self.now);
            // S13: stages 1 to 4 are checked a second time, all of them: another may fail when this one no longer does.
            for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
                self.act(question);
            }
            // And whether another has it already: this may be a host that stood still, as no clock shows. It answers, and is yielded
            // to at once; else both would have it for as long as a claim is waited for.
            self.act(Action::AskWhoHasVip);
            self.say(Reason::Rechecking(stage, cause));
            self.refresh(&mut hold, false);
            return VipState::Holding(hold);
        };
        // Where not even a time-out is told any more, the first word has to do in the end.
        let unheard_for = match self.leave(&cause) {
            Leave::AfterClaimWait => self.policy.claim_wait,
            Leave::AtOnce | Leave::AfterLinger => self.policy.hung_patience.min(self.policy.linger),
        };
        let heard_from = if matches!(cause, Cause::NoMajority { .. }) && self.has_just_come_to() {
            recheck_since + NO_MAJORITY_RECHECK_AFTER
        } else {
            recheck_since
        };
        let unheard = stages.asked_at(stage) < heard_from;
        // Once it is down, time that passes is the time that it waits for a claim.
        let stood_still =
            unheard && hold.down_since.is_none() && self.now > recheck_since + unheard_for + STOOD_STILL;
        let recheck_since = if stood_still {
            // What was answered meanwhile is yet to be read.
            for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
                self.act(question);
            }
            *hold.recheck_since.insert(self.now)
        } else {
            recheck_since
        };
        let unheard_until = recheck_since + unheard_for;
        let waits = unheard && self.now < unheard_until;
        if waits && !planted!(self.policy, LetGoWithoutRecheck) {
            self.wake(unheard_until);
            self.say(Reason::Rechecking(stage, cause));
            self.refresh(&mut hold, false);
            return VipState::Holding(hold);
        }
        let keeps = matches!(cause, Cause::GatewayLost { .. }) && planted!(self.policy, KeepWithoutGateway);
        let down_since = *hold.down_since.get_or_insert(recheck_since);
        let (until, reason): (Time, fn(Stage, Cause) -> Reason) = match self.leave(&cause) {
            Leave::AtOnce if keeps => (self.now + self.policy.linger, Reason::Rechecking),
            Leave::AtOnce => (self.now, Reason::Rechecking),
            Leave::AfterClaimWait => (down_since + self.policy.claim_wait, Reason::WaitingForClaim),
            Leave::AfterLinger => (down_since + self.policy.linger, Reason::Lingering),
        };
        if self.now >= until {
            return self.let_go(hold, LetGo::StageFailed(stage, cause));
        }
        self.wake(until);
        self.say(reason(stage, cause));
        self.refresh(&mut hold, false);
        VipState::Holding(hold)
    }

    /// The local server speaks again after a silence: a process that stood still, or a whole machine. Its group's detector finds that
    /// it has heard nobody meanwhile, and says for some milliseconds (6 were seen) that all others are UNREACHABLE.
    fn has_just_come_to(&self) -> bool {
        self.state.spoke_again_at.is_some_and(|at| self.now.since(at) < NO_MAJORITY_DISTRUSTED_FOR)
    }

    pub(crate) fn let_go(&mut self, hold: Hold, because: LetGo) -> VipState {
        self.act(Action::ListConnections);
        // Before the address goes, so that nothing is missed.
        self.act(Action::KeepLatePackets { interface: hold.interface.clone() });
        self.act(Action::RemoveAddress { interface: hold.interface.clone() });
        let claimant = hold.dispute.map(|dispute| dispute.claimant);
        let lately = hold.settled.filter(|(_, until)| self.now < *until).map(|(member, _)| member);
        let to = claimant.or(lately).and_then(|member| self.state.macs.get(&member).copied());
        self.act(Action::AnnounceRelease(to));
        self.mark_switch(StatMark::Stopped);
        self.state.left_behind = Some(LeftBehind { at: self.now, tickled_at: None });
        self.say(Reason::Stopped { interface: hold.interface.clone(), because });
        self.wake(self.now + REMOVE_AGAIN_AFTER);
        VipState::Releasing {
            since: self.now,
            interface: hold.interface,
            retry_at: self.now + REMOVE_AGAIN_AFTER,
        }
    }

    /// Waits until the kernel shows the address gone; removes it again where it does not.
    pub(crate) fn await_removal(&mut self, since: Time, interface: String, retry_at: Time) -> VipState {
        let gone = self.state.vip_interface(self.policy) == Fact::Known(None);
        if gone && self.state.host.asked_at < since {
            // Older than the deed: it went before, and may have been put back since by a renewal that did not know.
            self.act(Action::AskHost);
        } else if gone {
            if self.state.giving_up {
                self.say(Reason::GivenUp);
                return VipState::Absent;
            }
            if self.state.server.asked_at >= since || self.verdict_to_start() != Verdict::Up {
                return self.consider_claiming();
            }
            // It may have yielded because its server was silent: to claim on what that said before would hold up whoever it
            // yielded to.
            self.act(Action::AskServer);
            self.say(Reason::Releasing);
            self.wake(self.now + REMOVE_AGAIN_AFTER);
            return VipState::Releasing { since, interface, retry_at };
        }
        let retry_at = if self.now >= retry_at {
            self.act(Action::RemoveAddress { interface: interface.clone() });
            self.act(Action::AnnounceRelease(None));
            self.act(Action::AskHost);
            self.now + REMOVE_AGAIN_AFTER
        } else {
            retry_at
        };
        self.wake(retry_at);
        self.say(Reason::Releasing);
        VipState::Releasing { since, interface, retry_at }
    }

    /// The agent stops: the VIP stays as it is (S7), so a lease becomes an address without an end; but not where nothing
    /// has been heard of the server for so long that the lease would not be renewed either.
    pub(crate) fn leave_as_it_is(&mut self) {
        let (VipState::Holding(hold), Some(lease)) = (&self.state.vip_state, self.policy.lease) else {
            return self.say(Reason::Stopping);
        };
        let interface = hold.interface.clone();
        if hold.confirmed && hold.down_since.is_none() && self.server_is_heard_of() {
            self.act(Action::AddAddress { interface: interface.clone(), lifetime: None });
            self.say(Reason::StoppingForEver(interface));
        } else {
            self.say(Reason::StoppingUnderLease(interface, lease));
        }
    }

    /// Asks a member's server, unless it was asked at `since` or later.
    pub(crate) fn ask_peer_unless_asked_since(&mut self, member: IpAddr, since: Time) {
        let peer = self.state.peers.entry(member).or_default();
        let asked = peer.waiting_since.or(peer.seen.as_ref().map(|seen| seen.asked_at));
        if asked.is_none_or(|asked| asked < since) {
            peer.waiting_since = Some(self.now);
            self.act(Action::AskPeer(member));
        }
    }
}
