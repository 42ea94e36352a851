//! Another member claims the address that is held here: prove again, then stay or yield.

use std::net::IpAddr;
use std::time::Duration;

use super::machine::VipMachine;
use super::settled::{Claimed, Settled};
use super::state::{Dispute, Hold};
use crate::checks::{Stage, Stages, Verdict};
use crate::entitlement::Entitlement;
use crate::input::{Fact, GroupView, Says, Server};
use crate::moment::VipMoment;
use crate::net::Mac;
use crate::output::{Action, LetGo, Output, Reason, VipAction};
use crate::planted::planted;

/// A member that was found to have no better right is not asked about again for this long, as long as nothing fails here.
const SETTLED_FOR: Duration = Duration::from_millis(200);

impl VipMachine {
    /// A frame about the VIP while it is held.
    pub(crate) fn frame_while_holding(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        hold: &mut Hold,
        from: Mac,
        says: Says,
    ) {
        let Some(member) = at.member_of(from) else {
            self.stranger_while_holding(at, out, hold, from, says);
            return;
        };
        if says.is_use()
            && let Some(post_claim_check) =
                hold.post_claim_check.as_mut().filter(|post_claim_check| at.now < post_claim_check.until)
        {
            post_claim_check.answered_by = Some(member);
            return;
        }
        // A new primary may hear of a switchover some milliseconds sooner than the old one, and claim while the old one's server still says
        // that it leads: that proof is over as soon as a stage fails.
        let settled = hold.settled.is_some_and(|(settled, until)| settled == member && at.now < until);
        // Of several that claim a reader VIP the one where it belongs is answered, whoever claimed it before.
        let belongs_there = at.belongs_to(member);
        if settled && hold.recheck_since.is_none() && !belongs_there {
            return;
        }
        if !says.is_use() && says != Says::Probe {
            // It does not have it, and does not want it.
            return;
        }
        let announced = says.is_use();
        match &mut hold.dispute {
            Some(dispute) if dispute.claimant == member => dispute.announced |= announced,
            Some(_) if !belongs_there => {}
            _ => {
                hold.dispute = Some(Dispute { claimant: member, since: at.now, proven: false, announced });
                out.act(Action::AskServer);
                at.ask_peer_unless_asked_since(out, member, at.now);
            }
        }
        if announced && hold.dispute.is_some_and(|dispute| dispute.since == at.now) {
            Self::ask_the_others(at, out, member);
        }
    }

    /// Two holders: where the other's server can't be asked, a third's may tell of a newer view.
    fn ask_the_others(at: VipMoment<'_>, out: &mut Output, claimant: IpAddr) {
        let own = at.own_address();
        let others = at.group.members.keys().filter(|member| **member != claimant && Some(**member) != own);
        for member in others.copied().collect::<Vec<_>>() {
            at.ask_peer_unless_asked_since(out, member, at.now);
        }
    }

    /// Goes on with a dispute, where there is one; gives why to let go, where the claimant has the better right.
    pub(crate) fn answer_claim(
        at: VipMoment<'_>,
        out: &mut Output,
        hold: &mut Hold,
        stages: &Stages,
        verdict: &Verdict,
    ) -> Option<LetGo> {
        let mut dispute = hold.dispute?;
        let asked_since = stages.asked_at(Stage::Server) >= dispute.since
            || planted!(at.group, AnswerClaimWithStaleEvidence);
        dispute.proven |= *verdict == Verdict::Up && asked_since;
        hold.dispute = Some(dispute);
        match Self::settle(at, out, Claimed::new(at, dispute, hold, stages, verdict)) {
            Settled::Yield(because) => return Some(because),
            Settled::Stay => {
                hold.dispute = None;
                hold.settled = Some((dispute.claimant, at.now + SETTLED_FOR));
                out.say(Reason::DisputeWon(dispute.claimant));
                if dispute.announced {
                    out.order(VipAction::Announce);
                }
            }
            Settled::NotYet => out.say(Reason::Disputed(dispute.claimant)),
        }
        None
    }

    fn settle(at: VipMoment<'_>, out: &mut Output, claimed: Claimed<'_>) -> Settled {
        let deaf = at.is_paused() && planted!(at.group, YieldToNobodyWhilePaused);
        if deaf || planted!(at.group, YieldToNobody) {
            return Settled::Stay;
        }
        if at.is_for_readers() {
            Self::settle_for_readers(at, out, claimed)
        } else {
            Self::settle_for_writers(at, out, claimed)
        }
    }

    fn settle_for_writers(at: VipMoment<'_>, out: &mut Output, claimed: Claimed<'_>) -> Settled {
        let Claimed { dispute, own_answered, limit, .. } = claimed;
        let member = dispute.claimant;
        if let Some(because) = claimed.while_failing() {
            return Settled::Yield(because);
        }
        let theirs = at.facts.peer_since(member, dispute.since);
        let own_right = at.facts.own_view().map(|own| at.entitlement(own));
        // As long as ours still takes writes, a primary that takes none yet has no better right to the VIP that follows it.
        let still_writable = own_right == Some(Entitlement::KeepUntilClaimed);
        let leads = |view: &GroupView| view.is_writable_primary() || (at.leads(view) && !still_writable);
        if let Some(Fact::Known(Server::Member(view))) = theirs
            && leads(view)
            && let Some(settled) = Self::against_one_that_leads(at, view, claimed, own_right.as_ref())
        {
            return settled;
        }
        if Self::takes_writes(at, theirs)
            && let Some(because) = Self::beside_who_takes_writes(at, dispute, own_answered)
        {
            return Settled::Yield(because);
        }
        let does_not_lead = |server: &Server| !matches!(server, Server::Member(view) if leads(view));
        // Who claims leads by its own word. Where that can't be asked about, our own server's word that it is a secondary,
        // though it still takes writes, is enough.
        match theirs {
            Some(Fact::Unknown(_)) if still_writable => Settled::Yield(LetGo::OwnSecondary(member)),
            Some(_) if dispute.proven => Settled::Stay,
            // It claims, and its own server says that it does not lead: no reason to yield to it.
            Some(Fact::Known(server)) if at.now >= limit && does_not_lead(server) => Settled::Stay,
            _ if at.now >= limit && still_writable => Settled::Yield(LetGo::OwnSecondary(member)),
            _ if at.now >= limit && dispute.proven => Settled::Stay,
            _ if at.now >= limit => Settled::Yield(LetGo::NothingKnown(member)),
            _ => claimed.unsettled(at, out),
        }
    }

    /// The claimant's server leads by its own word, in this view. None: nothing is settled by that.
    fn against_one_that_leads(
        at: VipMoment<'_>,
        view: &GroupView,
        Claimed { dispute, own_limit, .. }: Claimed<'_>,
        own_right: Option<&Entitlement>,
    ) -> Option<Settled> {
        let member = dispute.claimant;
        let own = at.facts.own_view();
        // A server that has been silent since may have moved on to the claimant's view, but not as its primary.
        let own_id = own.and_then(|own| own.view.as_ref()).or(at.facts.views.own.as_ref());
        let newer = match (&view.view, own_id) {
            (Some(theirs), Some(own)) => theirs.is_newer_than(own),
            _ => false,
        };
        // Measured by the newest view known and not by our server's last word: that may be silence.
        let older = match (&view.view, &at.facts.views.newest) {
            (Some(theirs), Some(newest)) => newest.is_newer_than(theirs),
            _ => false,
        };
        if older {
            return (at.now >= own_limit).then_some(Settled::Stay);
        }
        if newer || own_right.is_some_and(|own| at.entitlement(view).is_better_than(own)) {
            return Some(Settled::Yield(LetGo::ClaimantLeads(member)));
        }
        (!dispute.proven && at.now >= own_limit).then_some(Settled::Yield(LetGo::OwnSilent(member)))
    }

    /// Two holders, for a claim was not heard: a primary that does not take writes yet, or of which nothing is heard, and a secondary that
    /// still does. Clients are served there; and it yields as soon as this one takes writes, and claims.
    fn beside_who_takes_writes(at: VipMoment<'_>, dispute: Dispute, own_answered: bool) -> Option<LetGo> {
        let member = dispute.claimant;
        // Whatever is made of a primary that takes no writes: who takes them is more.
        let own_right = at.facts.own_view().map(|own| at.moment.entitlement(own));
        match own_right {
            _ if !dispute.announced => None,
            Some(Entitlement::Keep) if own_answered => Some(LetGo::WritableThere(member)),
            _ if own_answered || at.now < dispute.since + at.policy.own_answer_limit => None,
            _ => Some(LetGo::OwnSilent(member)),
        }
    }

    /// The server of the member that claims is a secondary that still takes writes.
    fn takes_writes(at: VipMoment<'_>, theirs: Option<&Fact<Server>>) -> bool {
        matches!(theirs, Some(Fact::Known(Server::Member(view))) if at.entitlement(view) == Entitlement::KeepUntilClaimed)
    }
}
