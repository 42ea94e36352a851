//! The survivors' side: what they may tell the group of a dead member, and that its patience is given back (RESTORED).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use decide::action::{Action, Outcome};
use decide::event::{Event, Fact, MemberPort, MemberState, NotInGroup, Seen, Server, Why};
use decide::policy::Policy;
use decide::state::State;
use decide::time::Time;
use decide::{Decision, step};
use model_host::{group, member, ms, policy};
use proptest::collection::vec;
use proptest::prelude::*;

const START: Time = Time(1_000_000_000);
const FIVE_SECONDS: u64 = 5_000;

/// Member 2's agent; member 1 leads until it dies.
struct Survivor {
    policy: Policy,
    state: State,
    now: Time,
    done: Vec<(Duration, Action)>,
    wake_at: Time,
}

fn concerns_the_election(action: &Action) -> bool {
    matches!(
        action,
        Action::ReadExpelTimeout
            | Action::LookAtMember(_)
            | Action::WakeElection
            | Action::SetExpelTimeout { .. }
            | Action::RestoreExpelTimeout { .. }
            | Action::Fence { .. }
    )
}

impl Survivor {
    fn new(policy: Policy) -> Self {
        Self { policy, state: State::new(START), now: START, done: Vec::new(), wake_at: START }
    }

    /// One that knows the configured timeout and where both other members answer.
    fn prepared(policy: Policy, timeout: u32) -> Self {
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

    fn tell(&mut self, event: &Event) -> Decision {
        let decision = step(&self.policy, &mut self.state, event, self.now);
        let since = self.now.since(START);
        self.done
            .extend(decision.actions.iter().filter(|a| concerns_the_election(a)).map(|a| (since, a.clone())));
        self.wake_at = decision.wake_at;
        decision
    }

    fn sees(&mut self, unreachable: &[u8]) {
        self.server(Fact::Known(Server::Member(view(unreachable))));
    }

    fn server(&mut self, fact: Fact<Server>) {
        self.tell(&Event::Server(Seen { asked_at: self.now, fact }));
    }

    fn reads(&mut self, seconds: u32) {
        self.tell(&Event::ExpelTimeout(Seen { asked_at: self.now, fact: Fact::Known(seconds) }));
    }

    fn port(&mut self, number: u8, fact: Fact<MemberPort>) {
        self.tell(&Event::MemberPort { member: member(number), seen: Seen { asked_at: self.now, fact } });
    }

    fn finish(&mut self, action: Action, outcome: Outcome) {
        self.tell(&Event::Done { action, outcome });
    }

    /// For so many milliseconds: polled each 10 ms, orders carried out, member 1's port answering as `port` says.
    fn run(&mut self, milliseconds: u64, unreachable: &[u8], timeout: u32, port: Option<&Fact<MemberPort>>) {
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

    fn times(&self, of: impl Fn(&Action) -> bool) -> Vec<u64> {
        let millis = |at: &Duration| u64::try_from(at.as_millis()).unwrap();
        self.done.iter().filter(|(_, action)| of(action)).map(|(at, _)| millis(at)).collect()
    }
}

fn view(unreachable: &[u8]) -> decide::event::GroupView {
    let mut view = group(2, 1, 545, true);
    for number in unreachable {
        view.members[usize::from(*number) - 1].state = MemberState::Unreachable;
    }
    view
}

fn is_wake(action: &Action) -> bool {
    *action == Action::WakeElection
}

fn is_set(action: &Action) -> bool {
    matches!(action, Action::SetExpelTimeout { .. })
}

fn is_restore(action: &Action) -> bool {
    matches!(action, Action::RestoreExpelTimeout { .. })
}

fn refuses() -> Fact<MemberPort> {
    Fact::Known(MemberPort::Refuses)
}

fn silent() -> Fact<MemberPort> {
    Fact::Unknown(Why::TimedOut(ms(1000)))
}

#[test]
fn a_silent_member_is_given_the_operators_patience_to_the_second_and_then_the_group_is_woken_each_second() {
    let mut survivor = Survivor::prepared(policy(), 5);
    let since = u64::try_from(survivor.now.since(START).as_millis()).unwrap();
    survivor.run(7_500, &[1], 5, Some(&silent()));
    let woken = survivor.times(is_wake);
    assert_eq!(woken, [0, 1_000, 2_000].map(|more| since + FIVE_SECONDS + more));
    assert_eq!(survivor.times(is_set), [0; 0]);
}

#[test]
fn a_patience_that_the_operator_lengthens_meanwhile_is_kept() {
    let mut survivor = Survivor::prepared(policy(), 5);
    survivor.run(2_000, &[1], 5, Some(&silent()));
    survivor.run(17_000, &[1], 20, Some(&silent()));
    assert_eq!(survivor.times(is_wake), [0; 0]);
}

#[test]
fn a_member_that_refuses_twice_is_expelled_at_once_and_the_patience_put_back_when_it_is_gone() {
    let mut survivor = Survivor::prepared(policy(), 5);
    let since = u64::try_from(survivor.now.since(START).as_millis()).unwrap();
    survivor.run(300, &[1], 5, Some(&refuses()));
    let set = survivor.times(is_set);
    assert_eq!(set.len(), 1);
    assert!(set[0] - since <= 100, "{set:?}");
    assert_eq!(survivor.times(is_restore), [0; 0]);
    survivor.run(50, &[], 5, None);
    assert_eq!(survivor.times(is_restore), [since + 300]);
    assert_eq!(survivor.state.election.changed, None);
}

#[test]
fn a_member_whose_port_was_never_seen_open_is_not_proven_dead_by_refusing() {
    let mut survivor = Survivor::new(policy());
    survivor.run(4_000, &[1], 5, Some(&refuses()));
    assert_eq!(survivor.times(is_set), [0; 0]);
    assert_eq!(survivor.times(|action| matches!(action, Action::LookAtMember(_))), [0; 0]);
}

#[test]
fn a_member_that_answers_between_two_refusals_is_not_dead() {
    let mut survivor = Survivor::prepared(policy(), 5);
    for _ in 0..3 {
        survivor.run(10, &[1], 5, Some(&refuses()));
        survivor.run(700, &[1], 5, Some(&Fact::Known(MemberPort::Answers(None))));
    }
    assert_eq!(survivor.times(is_set), [0; 0]);
}

#[test]
fn a_dead_member_is_not_expelled_at_once_where_that_would_expel_a_silent_one_too() {
    let five = |number: u8| {
        let mut row = group(2, 1, 545, true).members[0].clone();
        row.id = format!("uuid-{number}");
        row.role = decide::event::Role::Secondary;
        row
    };
    let mut survivor = Survivor::prepared(policy(), 5);
    for _ in 0..300 {
        let mut view = view(&[1, 3]);
        view.members.extend([five(4), five(5)]);
        survivor.server(Fact::Known(Server::Member(view)));
        survivor.reads(5);
        survivor.port(1, refuses());
        survivor.port(3, silent());
        survivor.now = survivor.now + ms(10);
    }
    assert_eq!(survivor.times(is_set), [0; 0]);
}

#[test]
fn the_patience_is_put_back_after_ten_seconds_though_the_dead_member_is_still_listed() {
    let mut survivor = Survivor::prepared(policy(), 30);
    survivor.run(25_000, &[1], 30, Some(&refuses()));
    assert_eq!(survivor.times(is_set).len(), 1, "never twice for one death");
    assert_eq!(survivor.times(is_restore).len(), 1);
    assert!(survivor.times(is_restore)[0] - survivor.times(is_set)[0] <= 10_010);
}

#[test]
fn what_an_earlier_run_left_is_put_back_at_start_and_asked_for_until_it_is() {
    let mut survivor = Survivor::new(policy());
    survivor.tell(&Event::ExpelTimeoutLeft(7));
    assert_eq!(survivor.times(is_restore), [0]);
    survivor.sees(&[]);
    survivor.finish(Action::RestoreExpelTimeout { value: 7 }, Outcome::Failed("no connection".to_owned()));
    survivor.now = survivor.now + ms(1_000);
    survivor.sees(&[]);
    assert_eq!(survivor.times(is_restore), [0, 1_000]);
    survivor.finish(Action::RestoreExpelTimeout { value: 7 }, Outcome::Succeeded);
    survivor.now = survivor.now + ms(20_000);
    survivor.sees(&[]);
    assert_eq!(survivor.times(is_restore), [0, 1_000]);
}

#[test]
fn an_agent_that_is_told_to_stop_puts_the_patience_back_first() {
    let mut survivor = Survivor::prepared(policy(), 5);
    survivor.run(300, &[1], 5, Some(&refuses()));
    let decision = survivor.tell(&Event::Stopping);
    assert!(decision.actions.contains(&Action::RestoreExpelTimeout { value: 5 }));
}

#[test]
fn the_fence_command_is_run_once_for_a_silent_primary_and_its_success_is_proof() {
    let mut fenced = policy();
    fenced.fence = true;
    let mut survivor = Survivor::prepared(fenced, 5);
    survivor.run(3_000, &[1], 5, Some(&silent()));
    assert_eq!(survivor.times(|action| matches!(action, Action::Fence { .. })).len(), 1);
    assert_eq!(survivor.times(is_set), [0; 0]);
    survivor.tell(&Event::Fenced { member: member(1), outcome: Outcome::Succeeded });
    survivor.run(20, &[1], 5, Some(&silent()));
    assert_eq!(survivor.times(is_set).len(), 1);
}

#[test]
fn without_the_procedures_nothing_is_told_to_anybody() {
    let mut survivor = Survivor::prepared(policy(), 5);
    for _ in 0..2_000 {
        let fact = Fact::Unknown(Why::NotAllowed("no procedure".to_owned()));
        survivor.tell(&Event::ExpelTimeout(Seen { asked_at: survivor.now, fact }));
        survivor.sees(&[1]);
        survivor.port(1, refuses());
        survivor.now = survivor.now + ms(10);
    }
    assert!(
        survivor.done.iter().all(|(_, action)| *action == Action::ReadExpelTimeout),
        "{:?}",
        survivor.done
    );
}

#[test]
fn each_way_can_be_turned_off_alone() {
    let mut off = policy();
    off.proven_dead = false;
    let mut survivor = Survivor::prepared(off.clone(), 5);
    survivor.run(5_500, &[1], 5, Some(&refuses()));
    assert_eq!((survivor.times(is_set).len(), survivor.times(is_wake).len()), (0, 1));
    off.wake_election = false;
    let mut survivor = Survivor::prepared(off, 5);
    survivor.run(7_000, &[1], 5, Some(&refuses()));
    assert_eq!(survivor.times(|_| true), [0; 0]);
}

/// What is told to a survivor.
#[derive(Clone, Debug)]
enum Told {
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

fn told() -> impl Strategy<Value = Told> {
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

fn gaps() -> impl Strategy<Value = Duration> {
    prop_oneof![8 => (0..60_u64).prop_map(ms), 2 => (0..1_500_u64).prop_map(ms), 1 => (0..12_000_u64).prop_map(ms)]
}

/// An independent eye: it keeps its own books, from the events and the actions alone.
struct Eye {
    survivor: Survivor,
    standing: Option<(Time, Vec<u8>)>,
    since: BTreeMap<u8, Time>,
    open: BTreeMap<u8, bool>,
    refusals: BTreeMap<u8, u32>,
    fencing: bool,
    fenced: bool,
    timeout: Option<u32>,
    /// Set and not known to be back: its value, since when, and when it was last asked back.
    changed: Option<(u32, Time, Option<Time>)>,
}

impl Eye {
    fn new(fence: bool) -> Self {
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

    fn tell(&mut self, told: &Told) {
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
                Action::WakeElection => {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn restored_and_never_without_majority_nor_against_the_operators_patience(
        fence in any::<bool>(),
        plays in vec((gaps(), told()), 1..150),
    ) {
        let mut eye = Eye::new(fence);
        for (gap, told) in plays {
            let next = eye.survivor.now + gap;
            for _ in 0..50 {
                if eye.survivor.wake_at >= next {
                    break;
                }
                eye.survivor.now = eye.survivor.wake_at.max(eye.survivor.now);
                eye.tell(&Told::Time);
            }
            eye.survivor.now = next;
            eye.tell(&told);
        }
        // All is well again: it is back within a second of the server's answering.
        for _ in 0..150 {
            eye.survivor.now = eye.survivor.now + ms(100);
            eye.tell(&Told::View(vec![], true));
            if eye.changed.is_some() {
                eye.tell(&Told::RestoreDone(true));
            }
        }
        prop_assert!(eye.changed.is_none() && eye.survivor.state.election.changed.is_none());
    }
}

#[test]
fn addresses_of_members_are_learnt_by_their_own_word_and_asked_sparingly() {
    let mut survivor = Survivor::new(policy());
    survivor.sees(&[]);
    survivor.reads(5);
    let looked: Vec<IpAddr> = survivor
        .done
        .iter()
        .filter_map(|(_, action)| match action {
            Action::LookAtMember(address) => Some(*address),
            _ => None,
        })
        .collect();
    // Which member this host is, is not known here: it asks all three.
    assert_eq!(looked, [member(1), member(2), member(3)]);
    survivor.done.clear();
    for number in [1, 3] {
        survivor.port(number, Fact::Known(MemberPort::Answers(Some(format!("uuid-{number}")))));
    }
    survivor.run(60_000, &[], 5, None);
    assert_eq!(survivor.times(|action| matches!(action, Action::LookAtMember(_))), [0; 0]);
}
