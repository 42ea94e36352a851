//! Anything may be told to a survivor; an eye judges what it then tells the group.
#![allow(unreachable_pub, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use decide::action::{Action, Outcome};
use decide::event::{Event, Fact, MemberPort, MemberState, NotInGroup, Seen, Server, Why};
use decide::policy::Policy;
use decide::time::Time;
use proptest::prelude::*;

use crate::model_host::{member, ms, policy};
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

/// An independent eye: it keeps its own books, from the events and the actions alone.
pub struct Eye {
    pub survivor: Survivor,
    standing: Option<(Time, Vec<u8>)>,
    since: BTreeMap<u8, Time>,
    open: BTreeMap<u8, bool>,
    refusals: BTreeMap<u8, u32>,
    fencing: bool,
    fenced: bool,
    timeout: Option<u32>,
    /// Set and not known to be back: its value, since when, and when it was last asked back.
    pub changed: Option<(u32, Time, Option<Time>)>,
}

impl Eye {
    pub fn new(fence: bool) -> Self {
        let survivor = Survivor::new(Policy { fence, ..policy() });
        Self {
            survivor,
            standing: None,
            since: BTreeMap::new(),
            open: BTreeMap::new(),
            refusals: BTreeMap::new(),
            fencing: false,
            fenced: false,
            timeout: None,
            changed: None,
        }
    }

    fn event(&mut self, told: &Told) -> Event {
        let asked_at = self.survivor.now;
        match told.clone() {
            Told::View(unreachable, online) => {
                let mut view = view(&unreachable);
                if !online {
                    view.members[1].state = MemberState::Recovering;
                }
                self.since.retain(|number, _| unreachable.contains(number));
                self.refusals.retain(|number, _| unreachable.contains(number));
                for number in &unreachable {
                    self.since.entry(*number).or_insert(asked_at);
                }
                if !unreachable.contains(&1) {
                    (self.fencing, self.fenced) = (false, false);
                }
                let majority = 2 * unreachable.len() < 3;
                self.standing = (online && majority).then_some((asked_at, unreachable));
                Event::Server(Seen { asked_at, fact: Fact::Known(Server::Member(view)) })
            }
            Told::Server(fact) => {
                self.standing = None;
                if matches!(fact, Fact::Known(_)) {
                    self.since.clear();
                    self.refusals.clear();
                    (self.fencing, self.fenced) = (false, false);
                }
                Event::Server(Seen { asked_at, fact })
            }
            Told::Port(number, fact) => {
                match &fact {
                    Fact::Known(MemberPort::Refuses) => {
                        if self.since.contains_key(&number) && self.open.contains_key(&number) {
                            *self.refusals.entry(number).or_default() += 1;
                        }
                    }
                    Fact::Known(MemberPort::Answers(id)) => {
                        self.refusals.remove(&number);
                        if id.is_some() {
                            self.open.insert(number, true);
                        }
                    }
                    Fact::Unknown(_) => drop(self.refusals.remove(&number)),
                }
                Event::MemberPort { member: member(number), seen: Seen { asked_at, fact } }
            }
            Told::Timeout(fact) => {
                if self.changed.is_none() {
                    self.timeout = match fact {
                        Fact::Known(seconds) => Some(seconds),
                        Fact::Unknown(_) => None,
                    };
                }
                Event::ExpelTimeout(Seen { asked_at, fact })
            }
            Told::Fenced(outcome) => {
                self.fenced |= self.fencing && outcome == Outcome::Succeeded;
                self.fencing = false;
                Event::Fenced { member: member(1), outcome }
            }
            Told::SetFailed => Event::Done {
                action: Action::SetExpelTimeout { original: 5 },
                outcome: Outcome::Failed("lost".to_owned()),
            },
            Told::RestoreDone(ok) => {
                let value = self.changed.map_or(5, |(value, ..)| value);
                if ok && self.changed.is_some_and(|(_, _, asked)| asked.is_some()) {
                    self.changed = None;
                }
                let outcome = if ok { Outcome::Succeeded } else { Outcome::Failed("lost".to_owned()) };
                Event::Done { action: Action::RestoreExpelTimeout { value }, outcome }
            }
            Told::Time => Event::Wake,
            Told::Stopping => Event::Stopping,
        }
    }

    fn may_tell_the_group(&self) -> Option<&[u8]> {
        let (at, unreachable) = self.standing.as_ref()?;
        let fresh = self.survivor.now.since(*at) <= self.survivor.policy.evidence_age;
        (fresh && !unreachable.is_empty()).then_some(unreachable)
    }

    fn all_dead(&self) -> bool {
        self.may_tell_the_group().is_some_and(|unreachable| {
            unreachable.iter().all(|number| {
                self.refusals.get(number).is_some_and(|count| *count >= 2) || (*number == 1 && self.fenced)
            })
        })
    }

    pub fn tell(&mut self, told: &Told) {
        let event = self.event(told);
        let decision = self.survivor.tell(&event);
        let now = self.survivor.now;
        assert!(decision.wake_at > now || event == Event::Stopping, "a wake-up that is already past");
        for action in &decision.actions {
            match action {
                Action::SetExpelTimeout { original } => {
                    assert!(self.all_dead(), "0 while somebody is not proven dead");
                    assert!(self.changed.is_none(), "changed twice");
                    assert!(*original > 0 && Some(*original) == self.timeout, "not the operator's value");
                    self.changed = Some((*original, now, None));
                }
                Action::RestoreExpelTimeout { value } => {
                    let (original, _, asked) = self.changed.as_mut().expect("nothing to restore");
                    assert_eq!(value, original);
                    *asked = Some(now);
                }
                Action::WakeExpel => {
                    let unreachable = self.may_tell_the_group().expect("no majority, or nobody unreachable");
                    let over = |number: &u8| {
                        let patience = Duration::from_secs(self.timeout.unwrap_or(u32::MAX).into());
                        now.since(self.since[number]) >= patience
                    };
                    assert!(self.changed.is_some() || unreachable.iter().any(over), "woken too soon");
                }
                Action::Fence { member: fenced, .. } => {
                    assert_eq!(*fenced, member(1), "only a primary is fenced");
                    assert!(self.survivor.policy.fence);
                    self.fencing = true;
                }
                _ => {}
            }
        }
        if let Some((_, since, None)) = self.changed {
            assert!(self.all_dead(), "nobody dead justifies it, and it was not put back");
            assert!(now.since(since) < Duration::from_secs(10), "changed for too long");
            assert!(event != Event::Stopping, "stopped, and not put back");
        }
    }
}
