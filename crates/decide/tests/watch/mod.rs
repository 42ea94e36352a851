//! Looks at one agent and judges each of its decisions by the invariants.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use decide::State;
use decide::action::{Action, VipAction};
use decide::checks::{Cause, Finding, Verdict};
use decide::event::{Event, Fact, Frame, Gateway, Mac, MemberState, Says, Seen, Server, ViewId};
use decide::net::VipId;
use decide::policy::Policy;
use decide::reason::{LetGo, Reason};
use decide::time::Time;
use decide::vip::VipState;
use decide::{Decision, step};

use crate::model_host::{ms, policy};
use crate::sent::Played;

pub const START: Time = Time(1_000_000_000);

/// An independent eye on one agent: it keeps its own books, from the events and the actions alone.
pub struct Watch {
    policy: Policy,
    state: State,
    pub now: Time,
    pub wake_at: Time,
    newest: Vec<ViewId>,
    /// Who answered for the VIP last, when, and how many probes went out since.
    answered: Option<(Mac, Time)>,
    released_at: Option<Time>,
    probes_since: u32,
    server: Option<Seen<Server>>,
    gateway: Option<Seen<Gateway>>,
    wish_since: Option<Time>,
    /// Since when every answer of the local server was silence.
    silent_since: Option<Time>,
    receive_down: bool,
    pub steps: u64,
}

impl Watch {
    pub fn new() -> Self {
        Self {
            policy: policy(),
            state: State::new(START),
            now: START,
            wake_at: START,
            newest: Vec::new(),
            answered: None,
            released_at: None,
            probes_since: 0,
            server: None,
            gateway: None,
            wish_since: None,
            silent_since: Some(START),
            receive_down: false,
            steps: 0,
        }
    }

    fn newest_of(&self, view: &ViewId) -> Option<&ViewId> {
        self.newest.iter().find(|newest| newest.is_of_the_same_group(view))
    }

    fn note(&mut self, event: &Event) {
        if let Event::Server(seen) | Event::Peer { seen, .. } = event
            && let Fact::Known(Server::Member(group)) = &seen.fact
            && group.has_majority()
            && group.local_member().unwrap().state == MemberState::Online
            && let Some(view) = &group.view
        {
            // A view counts for those of the group that the local server was in at the time.
            let followed =
                self.state.facts.views.newest.as_ref().is_some_and(|ours| ours.is_of_the_same_group(view));
            let in_time = !matches!(event, Event::Server(_))
                || self.server.as_ref().is_none_or(|s| s.asked_at <= seen.asked_at);
            if in_time && (followed || matches!(event, Event::Server(_))) {
                match self.newest.iter_mut().find(|newest| newest.is_of_the_same_group(view)) {
                    Some(newest) if view.is_newer_than(newest) => *newest = view.clone(),
                    Some(_) => {}
                    None => self.newest.push(view.clone()),
                }
                if !followed {
                    self.newest.retain(|newest| newest.is_of_the_same_group(view));
                }
            }
        }
        match event {
            Event::Server(seen) if self.server.as_ref().is_none_or(|old| old.asked_at <= seen.asked_at) => {
                self.silent_since = match &seen.fact {
                    Fact::Unknown(why) if !why.server_lives() => Some(self.silent_since.unwrap_or(self.now)),
                    _ => None,
                };
                self.server = Some(seen.clone());
            }
            Event::Gateway(seen) if self.gateway.as_ref().is_none_or(|old| old.asked_at <= seen.asked_at) => {
                self.gateway = Some(seen.clone());
            }
            Event::Frame(Frame { from, says: Says::Release { heard_at } }) => {
                let held_by = self.answered.filter(|(_, at)| self.now.since(*at) <= Duration::from_secs(3));
                if held_by.is_some_and(|(mac, _)| mac == *from) {
                    self.released_at = Some(*heard_at);
                }
            }
            Event::ReceiveUp(hearing) => {
                self.receive_down = !hearing;
                if self.receive_down {
                    self.probes_since = 0;
                    self.released_at = None;
                }
            }
            Event::Frame(frame) if frame.says.is_use() => {
                self.answered = Some((frame.from, self.now));
                self.released_at = None;
                self.probes_since = 0;
            }
            _ => {}
        }
    }

    pub fn tell(&mut self, event: &Event) -> Decision {
        let before = self.state.clone();
        self.note(event);
        let decision = step(&self.policy, &mut self.state, event, self.now);
        self.steps += 1;
        self.wake_at = decision.wake_at;
        if decision.reasons.iter().any(|reason| matches!(reason, Reason::LeaseOver(_))) {
            // All is forgotten, what it has just been told too: the server's silence counts from here.
            self.silent_since = Some(self.now);
        }
        self.check_purity(&before, event, &decision);
        self.check_evidence(&decision);
        self.check_letting_go(&before, &decision);
        self.check_lease(event, &decision);
        assert!(decision.wake_at > self.now, "a wake-up that is already past: {decision:#?}");
        assert!(
            decision.wake_at <= self.now + self.policy.sleeptime,
            "slept through the loop: {decision:#?}"
        );
        assert!(!decision.reasons.is_empty());
        let up = self.state.stages(&self.policy).verdict_to_start() == Verdict::Up;
        self.wish_since = match &self.state.vip.state {
            VipState::Claiming(_) if up => Some(self.wish_since.unwrap_or(self.now)),
            _ => None,
        };
        for action in &decision.actions {
            if *action == Action::Vip(VipId::FIRST, VipAction::SendProbe) {
                self.probes_since += 1;
            }
        }
        decision
    }

    fn check_purity(&self, before: &State, event: &Event, decision: &Decision) {
        let mut again: State = serde_json::from_str(&serde_json::to_string(before).unwrap()).unwrap();
        assert_eq!(again, *before);
        let event_again: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
        let decision_again = step(&self.policy, &mut again, &event_again, self.now);
        assert_eq!(decision_again, *decision);
        assert_eq!(again, self.state);
        let read: Decision = serde_json::from_str(&serde_json::to_string(decision).unwrap()).unwrap();
        assert_eq!(read, *decision);
    }

    fn check_evidence(&self, decision: &Decision) {
        let adds = decision
            .actions
            .iter()
            .any(|action| matches!(action, Action::Vip(_, VipAction::AddAddress { .. })));
        let started = decision.reasons.iter().any(|reason| matches!(reason, Reason::Started { .. }));
        assert_eq!(adds, started, "started without a word: {decision:#?}");
        if !started {
            return;
        }
        for (stage, finding, _) in decision.stages.each() {
            assert_eq!(*finding, Finding::Passed, "started though {stage} does not pass");
        }
        let wish = self.wish_since.expect("started without a wish before it");
        let (server, gateway) = (self.server.as_ref().unwrap(), self.gateway.as_ref().unwrap());
        assert!(server.asked_at >= wish && gateway.asked_at >= wish, "no second check");
        assert!(self.now.since(server.asked_at) <= self.policy.evidence_age, "old word of the server");
        assert!(self.now.since(gateway.asked_at) <= self.policy.evidence_age, "old word of the gateway");
        assert!(!self.receive_down, "taken while no answer can be heard");
        let released = self.released_at.is_some_and(|at| self.now.since(at) <= Duration::from_millis(15));
        assert!(
            released || self.probes_since >= self.policy.probe_count,
            "taken while an answer stands: {decision:#?}"
        );
        if let Fact::Known(Server::Member(view)) = &server.fact
            && let Some(own) = &view.view
            && let Some(newest) = self.newest_of(own)
        {
            assert!(!newest.is_newer_than(own), "NEWEST-VIEW");
        }
    }

    fn check_letting_go(&self, before: &State, decision: &Decision) {
        for reason in &decision.reasons {
            let Reason::Stopped { because, .. } = reason else { continue };
            match because {
                LetGo::StageFailed(stage, cause)
                | LetGo::ClaimedWhileFailing(_, stage, cause)
                | LetGo::ConflictWhileFailing(_, stage, cause) => {
                    let finding =
                        decision.stages.each().into_iter().find(|(each, ..)| each == stage).unwrap().1;
                    assert_eq!(*finding, Finding::Failed(cause.clone()));
                }
                LetGo::PatienceOver(..) => {
                    let silent = self.silent_since.map_or(Duration::ZERO, |since| self.now.since(since));
                    // The question may be older than its (lack of an) answer.
                    assert!(
                        silent + ms(5_000) >= self.policy.hung_patience,
                        "UNKNOWN-IS-NOT-NO: silent for {silent:?} only"
                    );
                }
                LetGo::Answered(_) => {
                    let VipState::Holding(hold) = &before.vip.state else {
                        panic!("let go of what was not held")
                    };
                    assert!(
                        hold.post_claim_check
                            .is_some_and(|post_claim_check| self.now < post_claim_check.until)
                    );
                }
                LetGo::Told => assert!(self.state.facts.giving_up),
                LetGo::Suspended(length) => assert!(*length > Duration::ZERO),
                LetGo::ClaimantLeads(claimant) | LetGo::OwnSilent(claimant) => {
                    let seen = self.state.facts.peers.asked[claimant].seen.as_ref().unwrap();
                    let Fact::Known(Server::Member(view)) = &seen.fact else { panic!("yielded to a guess") };
                    assert!(view.is_writable_primary());
                    if let Some(theirs) = &view.view
                        && let Some(newest) = self.newest_of(theirs)
                    {
                        assert!(!newest.is_newer_than(theirs), "NEWEST-VIEW: yielded to an older view");
                    }
                }
                LetGo::OwnSecondary(_) => {
                    let cause = Cause::SecondaryWritable;
                    assert_eq!(
                        decision.stages.primary.0,
                        Finding::Failed(cause),
                        "its own word does not say so"
                    );
                }
                LetGo::NothingKnown(claimant) => {
                    let since = match &before.vip.state {
                        VipState::Holding(hold) => hold.dispute.map_or(self.now, |dispute| dispute.since),
                        _ => panic!("let go of what was not held"),
                    };
                    let stale = match self.state.facts.peer_since(*claimant, since) {
                        Some(Fact::Known(Server::Member(view))) => view.view.clone(),
                        _ => None,
                    };
                    if let Some(stale) = stale
                        && let Some(newest) = self.newest_of(&stale)
                    {
                        assert!(!newest.is_newer_than(&stale), "NEWEST-VIEW: yielded to an older view");
                    }
                }
            }
        }
    }

    fn check_lease(&self, event: &Event, decision: &Decision) {
        for action in &decision.actions {
            let Action::Vip(
                _,
                VipAction::AddAddress { lifetime, .. } | VipAction::RenewAddress { lifetime, .. },
            ) = action
            else {
                continue;
            };
            if *event == Event::Stopping {
                assert_eq!(*lifetime, None);
                continue;
            }
            assert_eq!(*lifetime, self.policy.lease);
            assert!(!self.state.facts.giving_up, "taken or renewed after the word to give it up");
            assert!(!matches!(event, Event::ClocksParted { .. }), "LEASE: renewed before all was asked anew");
            let VipState::Holding(hold) = &self.state.vip.state else {
                panic!("LEASE: renewed and not held: {decision:#?}")
            };
            if let Some(down) = hold.down_since {
                assert!(self.now.since(down) <= self.policy.linger, "LEASE: renewed after all patience");
            }
        }
    }

    pub fn play(&mut self, (gap, age, obeys, sent): &Played) {
        let at = self.now + *gap;
        while *obeys && self.wake_at < at {
            self.now = self.wake_at;
            self.tell(&Event::Wake);
        }
        self.now = at;
        let event = sent.event(self.now - *age);
        self.tell(&event);
    }
}
