//! Another member claims the address that is held here: prove again, then stay or yield.

use std::net::IpAddr;
use std::time::Duration;

use crate::action::Action;
use crate::decide::Turn;
use crate::entitlement::Entitlement;
use crate::event::{Fact, GroupView, Mac, Says, Server};
use crate::planted::planted;
use crate::reason::{LetGo, Reason};
use crate::stages::{Stage, Stages, Verdict, own_member};
use crate::state::{Dispute, Hold};

/// A member that was found to have no better right is not asked about again for this long.
const SETTLED_FOR: Duration = Duration::from_millis(200);

enum Settled {
    Yield(LetGo),
    Stay,
    NotYet,
}

impl Turn<'_> {
    /// A frame about the VIP while it is held.
    pub(crate) fn frame_while_holding(&mut self, hold: &mut Hold, from: Mac, says: Says) {
        let Some(member) = self.state.member_of(from) else {
            self.stranger_while_holding(hold, from, says);
            return;
        };
        if says.is_use()
            && let Some(post_claim_check) =
                hold.post_claim_check.as_mut().filter(|post_claim_check| self.now < post_claim_check.until)
        {
            post_claim_check.answered_by = Some(member);
            return;
        }
        if hold.settled.is_some_and(|(settled, until)| settled == member && self.now < until) {
            return;
        }
        if !says.is_use() && says != Says::Probe {
            // It does not have it, and does not want it.
            return;
        }
        let announced = says.is_use();
        match &mut hold.dispute {
            Some(dispute) if dispute.claimant == member => dispute.announced |= announced,
            Some(_) => {}
            None => {
                hold.dispute = Some(Dispute { claimant: member, since: self.now, proven: false, announced });
                self.act(Action::AskServer);
                self.ask_peer_unless_asked_since(member, self.now);
            }
        }
        if announced && hold.dispute.is_some_and(|dispute| dispute.since == self.now) {
            self.ask_the_others(member);
        }
    }

    /// Two holders: where the other's server can't be asked, a third's may tell of a newer view.
    fn ask_the_others(&mut self, claimant: IpAddr) {
        let own = match &self.state.host.fact {
            Fact::Known(host) => own_member(self.policy, host).map(|(address, _)| address),
            Fact::Unknown(_) => None,
        };
        let others =
            self.policy.members.keys().filter(|member| **member != claimant && Some(**member) != own);
        for member in others.copied().collect::<Vec<_>>() {
            self.ask_peer_unless_asked_since(member, self.now);
        }
    }

    /// Goes on with a dispute, where there is one; gives why to let go, where the claimant has the better right.
    pub(crate) fn answer_claim(
        &mut self,
        hold: &mut Hold,
        stages: &Stages,
        verdict: &Verdict,
    ) -> Option<LetGo> {
        let mut dispute = hold.dispute?;
        let asked_since = stages.asked_at(Stage::Server) >= dispute.since
            || planted!(self.policy, AnswerClaimWithStaleEvidence);
        dispute.proven |= *verdict == Verdict::Up && asked_since;
        hold.dispute = Some(dispute);
        match self.settle(dispute, hold, stages, verdict) {
            Settled::Yield(because) => return Some(because),
            Settled::Stay => {
                hold.dispute = None;
                hold.settled = Some((dispute.claimant, self.now + SETTLED_FOR));
                self.say(Reason::DisputeWon(dispute.claimant));
                if dispute.announced {
                    self.act(Action::Announce);
                }
            }
            Settled::NotYet => self.say(Reason::Disputed(dispute.claimant)),
        }
        None
    }

    /// What a server that showed this view is entitled to, as far as the group's views are known here.
    pub(crate) fn entitlement(&self, view: &GroupView) -> Entitlement {
        Entitlement::of(self.policy, view, self.state.newest_view.as_ref())
    }

    fn settle(&mut self, dispute: Dispute, hold: &Hold, stages: &Stages, verdict: &Verdict) -> Settled {
        if planted!(self.policy, YieldToNobody) {
            return Settled::Stay;
        }
        let member = dispute.claimant;
        let own_answered = stages.asked_at(Stage::Server) >= dispute.since;
        if let Verdict::Down(stage, cause) = verdict
            && (own_answered || hold.down_since.is_some())
        {
            return Settled::Yield(LetGo::ClaimedWhileFailing(member, *stage, cause.clone()));
        }
        let theirs = self.state.peer_since(member, dispute.since);
        let own = self.state.own_view();
        let own_right = own.map(|own| self.entitlement(own));
        if let Some(Fact::Known(Server::Member(view))) = theirs
            && view.is_writable_primary()
        {
            // A server that has been silent since may have moved on to the claimant's view, but not as its primary.
            let own_id = own.and_then(|own| own.view.as_ref()).or(self.state.last_own_view.as_ref());
            let newer = match (&view.view, own_id) {
                (Some(theirs), Some(own)) => theirs.is_newer_than(own),
                _ => false,
            };
            // Measured by the newest view known and not by our server's last word: that may be silence.
            let older = match (&view.view, &self.state.newest_view) {
                (Some(theirs), Some(newest)) => newest.is_newer_than(theirs),
                _ => false,
            };
            if older && self.now >= dispute.since + self.policy.own_answer_limit {
                return Settled::Stay;
            }
            let outranked = own_right.as_ref().is_some_and(|own| self.entitlement(view).is_better_than(own));
            if !older && (newer || outranked) {
                return Settled::Yield(LetGo::ClaimantLeads(member));
            }
            if !dispute.proven && !older && self.now >= dispute.since + self.policy.own_answer_limit {
                return Settled::Yield(LetGo::OwnSilent(member));
            }
        }
        let (own_limit, limit) =
            (dispute.since + self.policy.own_answer_limit, dispute.since + self.policy.dispute_limit);
        // Who claims leads by its own word. Where that can't be asked about, our own server's word that it is a secondary is enough.
        let secondary = own_right == Some(Entitlement::KeepUntilClaimed);
        match theirs {
            Some(Fact::Unknown(_)) if secondary => return Settled::Yield(LetGo::OwnSecondary(member)),
            Some(_) if dispute.proven => return Settled::Stay,
            // It claims, and its own server says that it does not lead: no reason to yield to it.
            Some(Fact::Known(server)) if self.now >= limit && !leads(server) => return Settled::Stay,
            _ if self.now >= limit && secondary => return Settled::Yield(LetGo::OwnSecondary(member)),
            _ if self.now >= limit && dispute.proven => return Settled::Stay,
            _ if self.now >= limit => return Settled::Yield(LetGo::NothingKnown(member)),
            _ => {}
        }
        self.wake(if self.now < own_limit { own_limit } else { limit });
        Settled::NotYet
    }
}

fn leads(server: &Server) -> bool {
    matches!(server, Server::Member(view) if view.is_writable_primary())
}
