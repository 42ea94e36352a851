//! Anything may be told to a survivor; the oracle judges what it then tells the group.
#![allow(unreachable_pub)]

use std::time::Duration;

use decide::input::{Event, Fact, MemberPort, MemberState, NotInGroup, Seen, Server, Why};
use decide::output::{Action, Outcome};
use decide::policy::GroupPolicy;
use oracle::Expelling;
use proptest::prelude::*;

use crate::model_host::{group_policy, member, ms};
use crate::survivor::{Survivor, refuses, silent, view};

/// What is told to a survivor.
#[derive(Clone, Debug)]
pub enum Told {
    View(Vec<u8>, bool),
    Server(Fact<Server>),
    Port(u8, Fact<MemberPort>),
    Timeout(Fact<u32>),
    Fenced(Outcome),
    SetFailed,
    RestoreDone(bool),
    Time,
    Stopping,
}

pub fn told() -> impl Strategy<Value = Told> {
    let number = || prop_oneof![4 => Just(1_u8), 1 => Just(3_u8)];
    prop_oneof![
        8 => Just(Told::View(vec![1], true)),
        2 => Just(Told::View(vec![], true)),
        1 => Just(Told::View(vec![1, 3], true)),
        1 => Just(Told::View(vec![3], true)),
        1 => Just(Told::View(vec![1], false)),
        1 => Just(Told::Server(Fact::Unknown(Why::TimedOut(ms(500))))),
        1 => Just(Told::Server(Fact::Known(Server::NotInGroup(NotInGroup::MultiPrimary)))),
        8 => (number(), prop_oneof![6 => Just(refuses()), 1 => Just(silent()), 1 => Just(Fact::Known(MemberPort::Answers(None)))])
            .prop_map(|(number, fact)| Told::Port(number, fact)),
        3 => number().prop_map(|number| Told::Port(number, Fact::Known(MemberPort::Answers(Some(format!("uuid-{number}")))))),
        6 => prop_oneof![6 => Just(5_u32), 1 => Just(0), 1 => Just(20)].prop_map(|seconds| Told::Timeout(Fact::Known(seconds))),
        1 => Just(Told::Timeout(Fact::Unknown(Why::NotAllowed(String::new())))),
        1 => any::<bool>().prop_map(|ok| Told::Fenced(if ok { Outcome::Succeeded } else { Outcome::Failed(String::new()) })),
        1 => Just(Told::SetFailed),
        2 => any::<bool>().prop_map(Told::RestoreDone),
        4 => Just(Told::Time),
        1 => Just(Told::Stopping),
    ]
}

pub fn gaps() -> impl Strategy<Value = Duration> {
    prop_oneof![8 => (0..60_u64).prop_map(ms), 2 => (0..1_500_u64).prop_map(ms), 1 => (0..12_000_u64).prop_map(ms)]
}

/// A survivor, and the oracle's book of what it does about dead members.
pub struct Watched {
    pub survivor: Survivor,
    book: Expelling,
}

impl Watched {
    pub fn new(fence: bool) -> Self {
        let survivor = Survivor::new(GroupPolicy { fence, ..group_policy() });
        Self { survivor, book: Expelling::default() }
    }

    pub fn has_changed(&self) -> bool {
        self.book.is_changed()
    }

    fn event(&self, told: &Told) -> Event {
        let asked_at = self.survivor.now;
        match told.clone() {
            Told::View(unreachable, online) => {
                let mut view = view(&unreachable);
                if !online {
                    view.members[1].state = MemberState::Recovering;
                }
                Event::Server(Seen { asked_at, fact: Fact::Known(Server::Member(view)) })
            }
            Told::Server(fact) => Event::Server(Seen { asked_at, fact }),
            Told::Port(number, fact) => {
                Event::MemberPort { member: member(number), seen: Seen { asked_at, fact } }
            }
            Told::Timeout(fact) => Event::ExpelTimeout(Seen { asked_at, fact }),
            Told::Fenced(outcome) => Event::Fenced { member: member(1), outcome },
            Told::SetFailed => Event::Done {
                action: Action::SetExpelTimeout { original: 5 },
                outcome: Outcome::Failed("lost".to_owned()),
            },
            Told::RestoreDone(ok) => {
                let outcome = if ok { Outcome::Succeeded } else { Outcome::Failed("lost".to_owned()) };
                Event::Done { action: Action::RestoreExpelTimeout { value: 5 }, outcome }
            }
            Told::Time => Event::Wake,
            Told::Stopping => Event::Stopping,
        }
    }

    pub fn tell(&mut self, told: &Told) {
        let event = self.event(told);
        let decision = self.survivor.tell(&event);
        let now = self.survivor.now;
        assert!(decision.wake_at > now || event == Event::Stopping, "a wake-up that is already past");
        let breach = self.book.step(&self.survivor.policy.group, &event, &decision.actions, now);
        assert_eq!(breach, None, "{event:?}\n{:?}", decision.actions);
    }
}
