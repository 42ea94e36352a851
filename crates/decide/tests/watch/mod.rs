//! Watches one agent: each of its decisions is judged by the oracle's book, which reads what the agent was told and ordered.
#![allow(unreachable_pub, clippy::unwrap_used)]

use std::time::Duration;

use decide::State;
use decide::checks::Finding;
use decide::input::{Event, Fact};
use decide::net::VipId;
use decide::output::{Action, LetGo, Reason, VipAction};
use decide::policy::Policy;
use decide::time::Time;
use decide::{Decision, step};
use oracle::{Book, Invariant, Limits, Orders, Sight, Verdict};

use crate::model_host::policy;
use crate::sent::Played;

pub const START: Time = Time(1_000_000_000);
/// Nobody answers here because he is asked: how soon a holder lets go is not to be judged.
const NOBODY_ANSWERS: Duration = Duration::from_secs(100);

/// An agent, and its book.
pub struct Watch {
    policy: Policy,
    state: State,
    book: Book,
    last_step: Time,
    pub now: Time,
    pub wake_at: Time,
    pub steps: u64,
    /// A renewal was ordered, and nothing was told of it yet: the kernel may say that there was nothing to renew.
    renewal_ordered: bool,
    server_asked: Option<Time>,
    silent_since: Option<Time>,
}

impl Watch {
    pub fn new() -> Self {
        Self {
            policy: policy(),
            state: State::new(&policy(), START),
            book: Book::new(START),
            last_step: START,
            now: START,
            wake_at: START,
            steps: 0,
            renewal_ordered: false,
            server_asked: None,
            silent_since: Some(START),
        }
    }

    pub fn tell(&mut self, event: &Event) -> Decision {
        let before = self.state.clone();
        let decision = step(&self.policy, &mut self.state, event, self.now);
        self.steps += 1;
        self.wake_at = decision.wake_at;
        self.renewal_ordered = decision.actions.iter().any(is_renewal);
        self.check_purity(&before, event, &decision);
        self.book.went_on_after(self.now.since(self.last_step), self.now);
        self.last_step = self.now;
        let verdict = judge(&mut self.book, &self.policy, event, &decision, self.now);
        assert_eq!(
            verdict.breach.filter(|breach| is_judged(breach.invariant)),
            None,
            "{event:?}\n{decision:#?}"
        );
        self.note_silence(event);
        self.check_letting_go(&decision);
        let started = decision.each_reason().any(|reason| matches!(reason, Reason::Started { .. }));
        for (stage, finding, _) in decision.stages.each().into_iter().filter(|_| started) {
            assert_eq!(*finding, Finding::Passed, "started though {stage} does not pass");
        }
        assert!(
            decision.wake_at <= self.now + self.policy.group.sleeptime,
            "slept through the loop: {decision:#?}"
        );
        assert!(!decision.reasons.is_empty());
        decision
    }

    fn note_silence(&mut self, event: &Event) {
        if let Event::Server(seen) = event
            && self.server_asked.is_none_or(|asked| asked <= seen.asked_at)
        {
            self.server_asked = Some(seen.asked_at);
            self.silent_since = match &seen.fact {
                Fact::Unknown(why) if !why.server_lives() => Some(self.silent_since.unwrap_or(self.now)),
                Fact::Known(_) | Fact::Unknown(_) => None,
            };
        }
    }

    /// NO-FLAP and UNKNOWN-IS-NOT-NO, by the agent's own words: it lets go for a stage that fails in the same decision, and for
    /// silence only after its patience.
    fn check_letting_go(&mut self, decision: &Decision) {
        for reason in decision.each_reason() {
            if matches!(reason, Reason::LeaseOver(_)) {
                // All is forgotten, what it has just been told too: the server's silence counts from here.
                self.silent_since = Some(self.now);
            }
            let Reason::Stopped { because, .. } = reason else { continue };
            match because {
                LetGo::StageFailed(stage, cause)
                | LetGo::ClaimedWhileFailing(_, stage, cause)
                | LetGo::ConflictWhileFailing(_, stage, cause) => {
                    let found = decision.stages.each().into_iter().find(|(each, ..)| each == stage);
                    assert_eq!(found.map(|(_, finding, _)| finding), Some(&Finding::Failed(cause.clone())));
                }
                LetGo::PatienceOver(..) => {
                    let silent = self.silent_since.map_or(Duration::ZERO, |since| self.now.since(since));
                    // The question may be older than its (lack of an) answer.
                    assert!(
                        silent + Duration::from_secs(5) >= self.policy.vips[&VipId::FIRST].hung_patience,
                        "UNKNOWN-IS-NOT-NO: silent for {silent:?} only"
                    );
                }
                _ => {}
            }
        }
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

    pub fn play(&mut self, (gap, age, obeys, sent): &Played) {
        let at = self.now + *gap;
        while *obeys && self.wake_at < at {
            self.now = self.wake_at;
            self.tell(&Event::Wake);
        }
        self.now = at;
        let event = sent.event(self.now - *age);
        if self.renewal_ordered || !is_of_a_renewal(&event) {
            self.tell(&event);
        }
    }
}

fn is_renewal(action: &Action) -> bool {
    matches!(action, Action::Vip(_, VipAction::RenewAddress { .. }))
}

/// What is told of a renewal, which nobody tells who was not ordered one.
fn is_of_a_renewal(event: &Event) -> bool {
    matches!(event, Event::Done { action, .. } if is_renewal(action))
}

/// Histories made at random hold what no host tells: clocks that part by nothing, answers that overtake each other across what was
/// forgotten. When an agent forgot is its own affair there, and what follows from that can't be known from outside: the properties
/// below look at how it lets go by its own words, and the simulator and the model, whose worlds are possible ones, by the book.
fn is_judged(invariant: Invariant) -> bool {
    !matches!(invariant, Invariant::NoFlap | Invariant::UnknownIsNotNo | Invariant::NewestView)
}

/// One step, judged by what was told and ordered.
pub fn judge(book: &mut Book, policy: &Policy, event: &Event, decision: &Decision, now: Time) -> Verdict {
    let settled = decision.each_reason().find_map(|reason| match reason {
        Reason::DisputeWon(member) => Some(*member),
        _ => None,
    });
    let orders = Orders { actions: &decision.actions, wake_at: decision.wake_at, settled };
    book.step(&Limits::of(policy, VipId::FIRST), event, &orders, &Sight::as_told(NOBODY_ANSWERS), now)
}
