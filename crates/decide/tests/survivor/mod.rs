//! The agent of a member that survives another's death, told what it sees and does.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use decide::State;
use decide::input::{Event, Fact, GroupView, MemberPort, MemberState, Seen, Server, Why};
use decide::output::{Action, Outcome, Reason};
use decide::policy::{GroupPolicy, Policy};
use decide::time::Time;
use decide::timers::Timer;
use decide::{Decision, step_and_timers};

use crate::model_host::{group, limits, member, ms};

pub const START: Time = Time(1_000_000_000);
/// Member 2's agent; member 1 leads until it dies.
pub struct Survivor {
    pub policy: Policy,
    pub state: State,
    pub now: Time,
    pub done: Vec<(Duration, Action)>,
    pub said: Vec<Reason>,
    pub wake_at: Time,
    /// How often the members were asked for their addresses.
    pub learns: usize,
    /// All that it has asked to be woken for.
    pub timers: BTreeSet<Timer>,
}

fn concerns_expelling(action: &Action) -> bool {
    matches!(
        action,
        Action::ReadExpelTimeout
            | Action::LookAtMember(_)
            | Action::WakeExpel
            | Action::SetExpelTimeout { .. }
            | Action::RestoreExpelTimeout { .. }
            | Action::Fence { .. }
    )
}

impl Survivor {
    pub fn new(group: GroupPolicy) -> Self {
        let policy = Policy::new(group, limits());
        Self {
            state: State::new(&policy, START),
            policy,
            now: START,
            done: Vec::new(),
            said: Vec::new(),
            wake_at: START,
            learns: 0,
            timers: BTreeSet::new(),
        }
    }

    /// One that knows the configured timeout and where both other members answer.
    pub fn prepared(policy: GroupPolicy, timeout: u32) -> Self {
        let mut survivor = Self::new(policy);
        survivor.sees(&[]);
        survivor.reads(timeout);
        for number in [1, 3] {
            survivor.port(number, Fact::Known(MemberPort::Answers(Some(format!("uuid-{number}")))));
        }
        survivor.now = survivor.now + ms(1000);
        survivor.sees(&[]);
        survivor.done.clear();
        survivor
    }

    pub fn tell(&mut self, event: &Event) -> Decision {
        let (decision, timers) = step_and_timers(&self.policy, &mut self.state, event, self.now);
        self.timers.extend(Timer::EACH.iter().filter(|timer| timers.get(**timer).is_some()));
        let since = self.now.since(START);
        self.done
            .extend(decision.actions.iter().filter(|a| concerns_expelling(a)).map(|a| (since, a.clone())));
        self.learns += decision.actions.iter().filter(|action| **action == Action::LearnNeighbors).count();
        self.said.extend(decision.each_reason().cloned());
        self.wake_at = decision.wake_at;
        decision
    }

    pub fn sees(&mut self, unreachable: &[u8]) {
        self.server(Fact::Known(Server::Member(view(unreachable))));
    }

    pub fn server(&mut self, fact: Fact<Server>) {
        self.tell(&Event::Server(Seen { asked_at: self.now, fact }));
    }

    pub fn reads(&mut self, seconds: u32) {
        self.tell(&Event::ExpelTimeout(Seen { asked_at: self.now, fact: Fact::Known(seconds) }));
    }

    pub fn port(&mut self, number: u8, fact: Fact<MemberPort>) {
        self.tell(&Event::MemberPort { member: member(number), seen: Seen { asked_at: self.now, fact } });
    }

    pub fn finish(&mut self, action: Action, outcome: Outcome) {
        self.tell(&Event::Done { action, outcome });
    }

    /// For so many milliseconds: polled each 10 ms, orders carried out, member 1's port answering as `port` says.
    pub fn run(
        &mut self,
        milliseconds: u64,
        unreachable: &[u8],
        timeout: u32,
        port: Option<&Fact<MemberPort>>,
    ) {
        for _ in 0..milliseconds / 10 {
            let mut next = self.done.len();
            self.sees(unreachable);
            while let Some((_, action)) = self.done.get(next).cloned() {
                next += 1;
                match action {
                    Action::ReadExpelTimeout => self.reads(timeout),
                    Action::LookAtMember(address) if address == member(1) => {
                        if let Some(fact) = port {
                            self.port(1, fact.clone());
                        }
                    }
                    Action::LookAtMember(_) => self.port(3, Fact::Unknown(Why::TimedOut(ms(1000)))),
                    Action::RestoreExpelTimeout { .. } => self.finish(action, Outcome::Succeeded),
                    _ => {}
                }
            }
            self.now = self.now + ms(10);
        }
    }

    pub fn times(&self, of: impl Fn(&Action) -> bool) -> Vec<u64> {
        let millis = |at: &Duration| u64::try_from(at.as_millis()).unwrap();
        self.done.iter().filter(|(_, action)| of(action)).map(|(at, _)| millis(at)).collect()
    }
}

pub fn view(unreachable: &[u8]) -> GroupView {
    let mut view = group(2, 1, 545, true);
    for number in unreachable {
        view.members[usize::from(*number) - 1].state = MemberState::Unreachable;
    }
    view
}

pub fn is_wake(action: &Action) -> bool {
    *action == Action::WakeExpel
}

pub fn is_set(action: &Action) -> bool {
    matches!(action, Action::SetExpelTimeout { .. })
}

pub fn is_restore(action: &Action) -> bool {
    matches!(action, Action::RestoreExpelTimeout { .. })
}

pub fn refuses() -> Fact<MemberPort> {
    Fact::Known(MemberPort::Refuses)
}

pub fn silent() -> Fact<MemberPort> {
    Fact::Unknown(Why::TimedOut(ms(1000)))
}
