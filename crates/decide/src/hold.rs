//! The holding side: doubt, disputes, waiting for a claim, lingering, letting go.

use std::net::IpAddr;
use std::time::Duration;

use crate::action::Action;
use crate::decide::{Turn, announce_after};
use crate::event::{Fact, Mac, Says, Server, StatMark, Why};
use crate::reason::{LetGo, Reason};
use crate::stages::{Cause, Stage, Stages, Verdict};
use crate::state::{Dispute, Hold, LeftBehind, Stranger, Tenure};
use crate::time::Time;

/// A member that was found to have no better right is not asked about again for this long.
const SETTLED_FOR: Duration = Duration::from_millis(200);
/// An address that was added must show up within this time.
const CONFIRM_WITHIN: Duration = Duration::from_secs(2);
/// RFC 5227 section 2.4 `DEFEND_INTERVAL`.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// An address that is still there this long after its removal is removed again.
const REMOVE_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What to do about a stage that certainly fails on the holder.
enum Leave {
    AtOnce,
    AfterClaimWait,
    AfterLinger,
}

fn leave(cause: &Cause) -> Leave {
    match cause {
        Cause::NotAMember | Cause::NoMajority { .. } | Cause::GatewayLost { .. } => Leave::AtOnce,
        Cause::Refused(_) => Leave::AfterLinger,
        Cause::NotInGroup(_)
        | Cause::NotListed
        | Cause::NotOnline(_)
        | Cause::Secondary
        | Cause::ReadOnly
        | Cause::StaleView { .. } => Leave::AfterClaimWait,
    }
}

impl Turn<'_> {
    /// The VIP is here and this agent has not put it there: it stays (S7).
    pub(crate) fn adopt(&mut self, card: String) -> Tenure {
        self.say(Reason::Adopted);
        let hold = Hold {
            since: self.now,
            card,
            confirmed: true,
            doubt_since: None,
            down_since: None,
            dispute: None,
            settled: None,
            next_announce: self.now,
            announced: 0,
            next_renewal: self.policy.lease.map(|_| self.now),
        };
        if matches!(self.state.stages(self.policy).verdict_to_keep(), Verdict::Unknown(_, Why::NotAskedYet)) {
            if let Some(lease) = self.policy.lease {
                self.wake(self.now + lease / 3);
            }
            return Tenure::Holding(hold);
        }
        self.keep(hold)
    }

    /// A frame about the VIP while it is held.
    pub(crate) fn frame_while_holding(&mut self, hold: &mut Hold, from: Mac, says: Says) {
        let Some(member) = self.state.member_of(from) else {
            match &mut self.state.stranger {
                Some(known) if known.mac == from => {
                    known.says = if says == Says::Probe { known.says } else { says };
                }
                _ => {
                    self.state.stranger = Some(Stranger { mac: from, says, since: self.now, named_at: None });
                }
            }
            self.learn_neighbours();
            let due = self.state.defended_at.is_none_or(|at| self.now.since(at) >= DEFEND_INTERVAL);
            if says != Says::Probe && due && self.state.stages(self.policy).verdict_to_keep() == Verdict::Up {
                self.state.defended_at = Some(self.now);
                self.act(Action::Announce);
            }
            return;
        };
        if hold.settled.is_some_and(|(settled, until)| settled == member && self.now < until) {
            return;
        }
        let announced = says != Says::Probe;
        match &mut hold.dispute {
            Some(dispute) if dispute.claimant == member => dispute.announced |= announced,
            Some(_) => {}
            None => {
                hold.dispute = Some(Dispute { claimant: member, since: self.now, proven: false, announced });
                self.act(Action::AskServer);
                self.ask_peer_unless_asked_since(member, self.now);
            }
        }
    }

    /// Goes on holding, or lets go.
    pub(crate) fn keep(&mut self, mut hold: Hold) -> Tenure {
        match self.state.vip_card(self.policy) {
            Fact::Known(Some(card)) => {
                hold.confirmed = true;
                hold.card = card;
            }
            Fact::Known(None) if hold.confirmed => {
                self.say(Reason::RemovedByOther(hold.card));
                return self.consider_claiming();
            }
            Fact::Known(None) if self.now.since(hold.since) >= CONFIRM_WITHIN => {
                self.say(Reason::Failed(format!(
                    "the VIP was added to {} and has not shown up there",
                    hold.card
                )));
                self.act(Action::AskHost);
                return Tenure::Absent;
            }
            Fact::Known(None) => self.wake(hold.since + CONFIRM_WITHIN),
            Fact::Unknown(_) => {}
        }
        let stages = self.state.stages(self.policy);
        let verdict = stages.verdict_to_keep();
        if let Some(mut dispute) = hold.dispute {
            dispute.proven |= verdict == Verdict::Up && stages.asked_at(Stage::Server) >= dispute.since;
            hold.dispute = Some(dispute);
            match self.settle(dispute, &hold, &stages, &verdict) {
                Settled::Yield(because) => return self.let_go(hold, because),
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
        }
        match verdict {
            Verdict::Up => {
                hold.doubt_since = None;
                hold.down_since = None;
                let read_only = stages.primary.0 == crate::stages::Finding::Failed(Cause::ReadOnly);
                self.say(if read_only { Reason::HoldingReadOnly } else { Reason::Holding });
                self.refresh(&mut hold, true);
                Tenure::Holding(hold)
            }
            Verdict::Unknown(stage, why) => self.bear(hold, stage, why),
            Verdict::Down(stage, cause) => self.doubt(hold, &stages, stage, cause),
        }
    }

    fn bear(&mut self, mut hold: Hold, stage: Stage, why: Why) -> Tenure {
        let patience = match &why {
            Why::NotAskedYet | Why::Unreachable(_) if stage != Stage::Server => None,
            why if why.server_lives() => self.policy.refused_patience,
            _ if matches!(stage, Stage::Server | Stage::Primary) => Some(self.policy.hung_patience),
            _ => None,
        };
        let since = self.state.server_unknown_since.unwrap_or(self.now).max(hold.since);
        if let Some(patience) = patience {
            if self.now >= since + patience {
                return self.let_go(hold, LetGo::PatienceOver(stage, why));
            }
            self.wake(since + patience);
        }
        self.say(Reason::HoldingUnknown(stage, why));
        self.refresh(&mut hold, false);
        Tenure::Holding(hold)
    }

    fn doubt(&mut self, mut hold: Hold, stages: &Stages, stage: Stage, cause: Cause) -> Tenure {
        let Some(doubt_since) = hold.doubt_since else {
            hold.doubt_since = Some(self.now);
            // S13: stages 1 to 4 are checked a second time, all of them: another may fail when this one no longer does.
            for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
                self.act(question);
            }
            self.say(Reason::Doubting(stage, cause));
            self.refresh(&mut hold, false);
            return Tenure::Holding(hold);
        };
        if stages.asked_at(stage) < doubt_since {
            self.say(Reason::Doubting(stage, cause));
            self.refresh(&mut hold, false);
            return Tenure::Holding(hold);
        }
        let down_since = *hold.down_since.get_or_insert(doubt_since);
        let (until, reason): (Time, fn(Stage, Cause) -> Reason) = match leave(&cause) {
            Leave::AtOnce => (self.now, Reason::Doubting),
            Leave::AfterClaimWait => (down_since + self.policy.claim_wait, Reason::WaitingForClaim),
            Leave::AfterLinger => (down_since + self.policy.linger, Reason::Lingering),
        };
        if self.now >= until {
            return self.let_go(hold, LetGo::StageFailed(stage, cause));
        }
        self.wake(until);
        self.say(reason(stage, cause));
        self.refresh(&mut hold, false);
        Tenure::Holding(hold)
    }

    /// Renews the lease, and announces where all is well.
    fn refresh(&mut self, hold: &mut Hold, well: bool) {
        let heard_of = self.policy.hung_patience.max(self.policy.poll_interval * 2);
        if self.now.since(self.state.server.asked_at) > heard_of {
            // Not even a time-out was told: what watches the server is stuck, and what it said last proves nothing.
            self.act(Action::AskServer);
            return;
        }
        if hold.next_renewal.is_some_and(|due| self.now >= due) {
            self.act(Action::AddAddress { card: hold.card.clone(), lifetime: self.policy.lease });
            hold.next_renewal = self.next_renewal();
        }
        if let Some(due) = hold.next_renewal {
            self.wake(due);
        }
        if !well || hold.dispute.is_some() {
            return;
        }
        if self.now >= hold.next_announce {
            self.act(Action::Announce);
            hold.announced = hold.announced.saturating_add(1);
            hold.next_announce = self.now + announce_after(self.policy, hold.announced);
        }
        self.wake(hold.next_announce);
    }

    fn settle(&mut self, dispute: Dispute, hold: &Hold, stages: &Stages, verdict: &Verdict) -> Settled {
        let member = dispute.claimant;
        let own_answered = stages.asked_at(Stage::Server) >= dispute.since;
        if let Verdict::Down(stage, cause) = verdict
            && (own_answered || hold.down_since.is_some())
        {
            return Settled::Yield(LetGo::ClaimedWhileFailing(member, *stage, cause.clone()));
        }
        let theirs = self.state.peer_since(member, dispute.since);
        if let Some(Fact::Known(Server::Member(view))) = theirs
            && view.is_writable_primary()
        {
            let own = self.state.own_view();
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
            let own_read_only = own.is_some_and(|own| own.super_read_only);
            if !older && (newer || own_read_only) {
                return Settled::Yield(LetGo::ClaimantLeads(member));
            }
            if !dispute.proven && !older && self.now >= dispute.since + self.policy.own_answer_limit {
                return Settled::Yield(LetGo::OwnSilent(member));
            }
        }
        let (own_limit, limit) =
            (dispute.since + self.policy.own_answer_limit, dispute.since + self.policy.dispute_limit);
        match theirs {
            Some(_) if dispute.proven => return Settled::Stay,
            // It claims, and its own server says that it does not lead: no reason to yield to it.
            Some(Fact::Known(server)) if self.now >= limit && !leads(server) => return Settled::Stay,
            _ if self.now >= limit && dispute.proven => return Settled::Stay,
            _ if self.now >= limit => return Settled::Yield(LetGo::NothingKnown(member)),
            _ => {}
        }
        self.wake(if self.now < own_limit { own_limit } else { limit });
        Settled::NotYet
    }

    fn let_go(&mut self, hold: Hold, because: LetGo) -> Tenure {
        self.act(Action::ListConnections);
        // Before the address goes, so that nothing is missed.
        self.act(Action::KeepStragglers { card: hold.card.clone() });
        self.act(Action::RemoveAddress { card: hold.card.clone() });
        self.act(Action::SendProbe);
        self.mark_switch(StatMark::Stopped);
        self.state.left_behind = Some(LeftBehind { at: self.now, tickled_at: None });
        self.say(Reason::Stopped { card: hold.card.clone(), because });
        self.wake(self.now + REMOVE_AGAIN_AFTER);
        Tenure::Releasing { since: self.now, card: hold.card, retry_at: self.now + REMOVE_AGAIN_AFTER }
    }

    /// Waits until the kernel shows the address gone; removes it again where it does not.
    pub(crate) fn see_it_go(&mut self, since: Time, card: String, retry_at: Time) -> Tenure {
        if self.state.vip_card(self.policy) == Fact::Known(None) {
            return self.consider_claiming();
        }
        let retry_at = if self.now >= retry_at {
            self.act(Action::RemoveAddress { card: card.clone() });
            self.act(Action::SendProbe);
            self.act(Action::AskHost);
            self.now + REMOVE_AGAIN_AFTER
        } else {
            retry_at
        };
        self.wake(retry_at);
        self.say(Reason::Releasing);
        Tenure::Releasing { since, card, retry_at }
    }

    /// The agent stops: the VIP stays as it is (S7), so a lease becomes an address without an end.
    pub(crate) fn leave_as_it_is(&mut self) {
        let wanted = match &self.state.tenure {
            Tenure::Holding(hold) if hold.confirmed && hold.down_since.is_none() => Some(hold.card.clone()),
            _ => None,
        };
        if let Some(card) = wanted.filter(|_| self.policy.lease.is_some()) {
            self.act(Action::AddAddress { card, lifetime: None });
        }
        self.say(Reason::Stopping);
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

enum Settled {
    Yield(LetGo),
    Stay,
    NotYet,
}

fn leads(server: &Server) -> bool {
    matches!(server, Server::Member(view) if view.is_writable_primary())
}
