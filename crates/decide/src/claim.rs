//! The asking side: probes, rivals, the second check, and taking the address.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::action::Action;
use crate::decide::{Turn, announce_after};
use crate::event::{Fact, Mac, Says, Server};
use crate::reason::{Reason, Vacant};
use crate::stages::{Stage, Verdict, own_member};
use crate::state::{Claim, Hold, Rival, Tenure};
use crate::time::Time;

/// A claim that has been answered "taken" for this long slows its probes down.
const EAGER: Duration = Duration::from_secs(1);
/// Unanswered probes before an address is taken that another host answered for in this claim, or was heard to hold lately
/// without having let go since, where that host still answers for its own address: the missing answers may be lost frames. On a segment that loses a tenth of its frames, ten rounds in a row are lost once in
/// ten million; three, once in 150.
const PROBES_AFTER_AN_ANSWER: u32 = 10;
/// A claim that is looked at later than this after its next probe was due has not heard all that was sent to it.
const ON_TIME: Duration = Duration::from_millis(300);
/// Another holder's server is asked for its view at most this often while it answers.
const ASK_HOLDER_EVERY: Duration = Duration::from_secs(1);
/// A probe from a host that answered for the address no longer ago than this says "it is free".
const ANSWERED_LATELY: Duration = Duration::from_secs(3);

impl Turn<'_> {
    /// The VIP is not here: claim it, where it should be.
    pub(crate) fn consider_claiming(&mut self) -> Tenure {
        match self.state.stages(self.policy).verdict_to_start() {
            Verdict::Down(stage, cause) => {
                self.say(Reason::NotWanted(stage, cause));
                Tenure::Absent
            }
            Verdict::Unknown(stage, why) => {
                self.say(Reason::NotKnown(stage, why));
                Tenure::Absent
            }
            Verdict::Up if self.now < self.state.retry_at => {
                self.say(Reason::Retrying);
                self.wake(self.state.retry_at);
                Tenure::Absent
            }
            Verdict::Up => {
                self.act(Action::AskServer);
                self.act(Action::AskGateway);
                self.pursue(Claim {
                    since: self.now,
                    asked_at: self.now,
                    probes: 0,
                    next_probe: self.now,
                    taken_since: None,
                    answered: None,
                    released: false,
                    rivals: BTreeMap::new(),
                })
            }
        }
    }

    /// A frame about the VIP while it is being claimed.
    pub(crate) fn frame_while_claiming(&mut self, claim: &mut Claim, from: Mac, says: Says) {
        match says {
            Says::Reply | Says::Announcement => {
                claim.answered = Some((from, self.now));
                claim.released = false;
                claim.probes = 0;
                claim.taken_since.get_or_insert(self.now);
                if let Some(member) = self.state.member_of(from) {
                    self.ask_peer_unless_asked_since(member, self.now - ASK_HOLDER_EVERY);
                }
            }
            Says::Probe => {
                let held = claim.answered.filter(|(_, at)| self.now.since(*at) <= ANSWERED_LATELY);
                if held.is_some_and(|(holder, _)| holder == from) {
                    claim.released = true;
                } else if let Some(member) = self.state.member_of(from) {
                    let rival =
                        claim.rivals.entry(member).or_insert(Rival { since: self.now, heard_at: self.now });
                    rival.heard_at = self.now;
                    self.ask_peer_unless_asked_since(member, rival.since);
                }
            }
        }
    }

    /// Goes on with a claim: drop it, take the address, or probe on.
    pub(crate) fn pursue(&mut self, mut claim: Claim) -> Tenure {
        let stages = self.state.stages(self.policy);
        match stages.verdict_to_start() {
            Verdict::Up => {}
            Verdict::Down(stage, cause) => {
                self.say(Reason::NotWanted(stage, cause));
                return Tenure::Absent;
            }
            Verdict::Unknown(stage, why) => {
                self.say(Reason::NotKnown(stage, why));
                return Tenure::Absent;
            }
        }
        if self.now.since(claim.next_probe) > (self.policy.probe_spacing * 2).max(ON_TIME) {
            // The agent stood still or is starved: an answer may lie unread, and another may have taken the address.
            claim.probes = 0;
            claim.released = false;
        }
        let rival = self.unsettled_rival(&mut claim);
        let held_by = self.held_lately_by();
        let holder_lives = held_by.is_some_and(|mac| self.may_live(mac, claim.since));
        let enough = if claim.answered.is_some() || holder_lives {
            self.policy.probe_count.max(PROBES_AFTER_AN_ANSWER)
        } else {
            self.policy.probe_count
        };
        let unanswered = claim.probes >= enough && self.now >= claim.next_probe;
        let fresh = [Stage::Server, Stage::Gateway].into_iter().all(|stage| {
            let asked_at = stages.asked_at(stage);
            asked_at >= claim.since && self.now.since(asked_at) <= self.policy.evidence_age
        });
        // A claim may last for hours, and the polls may be seconds apart: when the address falls free, the proof is to
        // be at hand.
        let ask_every = self.policy.evidence_age / 2;
        if self.now.since(claim.asked_at) >= ask_every {
            claim.asked_at = self.now;
            self.act(Action::AskServer);
            self.act(Action::AskGateway);
        }
        self.wake(claim.asked_at + ask_every);
        if claim.released || unanswered {
            match rival {
                Some(member) => self.say(Reason::Rival(member)),
                None if fresh => return self.take(&claim),
                None => self.say(Reason::SecondCheck),
            }
        } else if let Some((mac, _)) = claim.answered {
            self.say(Reason::Taken(mac, self.state.member_of(mac)));
            if self.state.member_of(mac).is_none() {
                self.learn_neighbours();
            }
        } else {
            self.say(Reason::Claiming);
        }
        if self.now >= claim.next_probe {
            self.act(Action::SendProbe);
            if held_by.is_some() {
                // Does its host answer for its own address?
                self.act(Action::LearnNeighbours);
            }
            claim.probes = claim.probes.saturating_add(1);
            // Slow only as long as each probe is answered: the first that is not may be the end of the other's holding.
            let eager =
                claim.probes > 1 || claim.taken_since.is_none_or(|since| self.now.since(since) < EAGER);
            let spacing =
                if eager { self.policy.probe_spacing } else { self.policy.probe_spacing_when_taken };
            claim.next_probe = self.now + spacing;
        }
        self.wake(claim.next_probe);
        Tenure::Claiming(claim)
    }

    /// Who was heard to hold the VIP lately, and not to let go since.
    fn held_lately_by(&self) -> Option<Mac> {
        let lately = self.policy.announce_interval * 2;
        self.state.other_holder.filter(|(_, at)| self.now.since(*at) <= lately).map(|(mac, _)| mac)
    }

    /// A member is asked for its own address with each probe, so one that lives is heard; of a stranger nothing is known.
    fn may_live(&self, mac: Mac, since: Time) -> bool {
        let Some(member) = self.state.member_of(mac) else { return true };
        self.state.alive_at.get(&member).is_some_and(|at| *at >= since)
    }

    /// The first rival whose right is not settled. One that leads in a newer view never comes here: its view makes
    /// ours stale. One that is known to have no better right is dropped; where nothing can be learned of it, or two
    /// groups lead at once, the member with the lower address goes first.
    fn unsettled_rival(&mut self, claim: &mut Claim) -> Option<std::net::IpAddr> {
        let own = match &self.state.host.fact {
            Fact::Known(host) => own_member(self.policy, host).map(|(address, _)| address),
            Fact::Unknown(_) => None,
        };
        let (state, now) = (&self.state, self.now);
        // Two probes and a half without a word: it has given up. A claimant that was told "taken" probes slowly.
        let silent = self.policy.probe_spacing.max(self.policy.probe_spacing_when_taken) * 5 / 2;
        claim.rivals.retain(|_, rival| now.since(rival.heard_at) < silent);
        let limit = self.policy.dispute_limit;
        claim
            .rivals
            .iter()
            .find(|(member, rival)| {
                let goes_first = own.is_none_or(|own| **member < own);
                match state.peer_since(**member, rival.since) {
                    Some(Fact::Known(Server::Member(view))) if view.is_writable_primary() => {
                        let older = state
                            .own_view()
                            .and_then(|own| Some(own.view.as_ref()?.is_newer_than(view.view.as_ref()?)));
                        !older.unwrap_or(false) && goes_first
                    }
                    Some(Fact::Known(_)) => false,
                    // The one that goes first may know more of us than we of it, and take at once: leave it the time.
                    Some(Fact::Unknown(_)) | None => goes_first || now.since(rival.since) < limit,
                }
            })
            .map(|(member, _)| *member)
    }

    fn take(&mut self, claim: &Claim) -> Tenure {
        let Fact::Known(host) = &self.state.host.fact else { return Tenure::Absent };
        let Some((_, card)) = own_member(self.policy, host) else { return Tenure::Absent };
        let card = card.to_owned();
        let because = match claim.answered {
            Some((mac, _)) if claim.released => Vacant::Released(mac),
            _ => Vacant::Unanswered(claim.probes),
        };
        self.act(Action::AddAddress { card: card.clone(), lifetime: self.policy.lease });
        self.act(Action::Announce);
        // Clients of a holder that lives were answered by it.
        if self.state.strays.is_some() && matches!(because, Vacant::Unanswered(_)) {
            self.act(Action::RefuseStrays);
        }
        self.mark_switch(crate::event::StatMark::Started);
        self.say(Reason::Started { card: card.clone(), because });
        self.state.left_behind = None;
        self.state.other_holder = None;
        Tenure::Holding(Hold {
            since: self.now,
            card,
            confirmed: false,
            doubt_since: None,
            down_since: None,
            dispute: None,
            settled: None,
            next_announce: self.now + announce_after(self.policy, 1),
            announced: 1,
            next_renewal: self.next_renewal(),
        })
    }

    /// When the lease, where there is one, is to be renewed next: thrice in its length.
    pub(crate) fn next_renewal(&self) -> Option<Time> {
        self.policy.lease.map(|lease| self.now + lease / 3)
    }
}
