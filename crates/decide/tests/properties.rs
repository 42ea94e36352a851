//! The invariants, for any sequence of events at any times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::net::IpAddr;
use std::time::Duration;

use decide::action::{Action, Outcome};
use decide::event::{
    Event, Fact, Frame, Gateway, GroupView, Mac, MemberState, NotInGroup, Role, Says, Seen, Server, StatMark,
    ViewId, Why,
};
use decide::policy::Policy;
use decide::reason::{LetGo, Reason};
use decide::stages::{Finding, Verdict};
use decide::state::{State, Tenure};
use decide::time::Time;
use decide::{Decision, step};
use model_host::{group, host, mac, member, ms, policy};
use proptest::collection::vec;
use proptest::prelude::*;

const START: Time = Time(1_000_000_000);

/// An event, with the age of its question where it has one.
#[derive(Clone, Debug)]
enum Sent {
    Host(Fact<(&'static str, bool)>),
    Server(Fact<Server>),
    Gateway(Fact<Gateway>),
    Peer(IpAddr, Fact<Server>),
    Other(Event),
}

impl Sent {
    fn event(&self, asked_at: Time) -> Event {
        match self.clone() {
            Self::Host(Fact::Known((card, here))) => {
                Event::Host(Seen { asked_at, fact: Fact::Known(host(card, here)) })
            }
            Self::Host(Fact::Unknown(why)) => Event::Host(Seen { asked_at, fact: Fact::Unknown(why) }),
            Self::Server(fact) => Event::Server(Seen { asked_at, fact }),
            Self::Gateway(fact) => Event::Gateway(Seen { asked_at, fact }),
            Self::Peer(member, fact) => Event::Peer { member, seen: Seen { asked_at, fact } },
            Self::Other(event) => event,
        }
    }
}

fn whys() -> impl Strategy<Value = Why> {
    prop_oneof![
        Just(Why::TimedOut(ms(1000))),
        Just(Why::WrongPassword("1045".to_owned())),
        Just(Why::TooManyConnections("1040".to_owned())),
        Just(Why::Unreachable("no route".to_owned())),
        Just(Why::Other("?".to_owned())),
    ]
}

fn views(local: u8) -> impl Strategy<Value = GroupView> {
    (1..=3_u8, 540..550_u64, prop::bool::weighted(0.2), 0..10_u8, 0..8_u8).prop_map(
        move |(primary, counter, read_only, odd, birth)| {
            let mut view = group(local, primary, counter, read_only);
            match odd {
                0 => view.members[1..].iter_mut().for_each(|row| row.state = MemberState::Unreachable),
                1 => view.members[usize::from(local) - 1].state = MemberState::Recovering,
                2 => view.view = None,
                _ => {}
            }
            if birth == 0 {
                view.view = Some(ViewId::new("99999", counter));
            }
            view
        },
    )
}

fn servers(local: u8) -> impl Strategy<Value = Fact<Server>> {
    prop_oneof![
        6 => views(local).prop_map(|view| Fact::Known(Server::Member(view))),
        1 => Just(Fact::Known(Server::NotInGroup(NotInGroup::NotRunning))),
        1 => Just(Fact::Known(Server::Refused("refused".to_owned()))),
        2 => whys().prop_map(Fact::Unknown),
    ]
}

fn gateways() -> impl Strategy<Value = Fact<Gateway>> {
    prop_oneof![
        6 => Just(Fact::Known(Gateway::Reachable)),
        1 => (3..9_u32).prop_map(|misses| Fact::Known(Gateway::Lost { misses })),
        1 => whys().prop_map(Fact::Unknown),
    ]
}

fn frames() -> impl Strategy<Value = Event> {
    let says = prop_oneof![Just(Says::Probe), Just(Says::Reply), Just(Says::Announcement)];
    (2..=4_u8, says).prop_map(|(number, says)| Event::Frame(Frame { from: mac(number), says }))
}

fn anything() -> impl Strategy<Value = Sent> {
    prop_oneof![
        6 => Just(Sent::Server(model_host::primary())),
        4 => servers(1).prop_map(Sent::Server),
        4 => Just(Sent::Gateway(Fact::Known(Gateway::Reachable))),
        2 => gateways().prop_map(Sent::Gateway),
        3 => any::<bool>().prop_map(|here| Sent::Host(Fact::Known(("eth0", here)))),
        1 => Just(Sent::Host(Fact::Known(("eth1", false)))),
        1 => whys().prop_map(|why| Sent::Host(Fact::Unknown(why))),
        3 => (2..=3_u8).prop_flat_map(|number| servers(number).prop_map(move |fact| Sent::Peer(member(number), fact))),
        5 => frames().prop_map(Sent::Other),
        2 => (2..=3_u8).prop_map(|number| Sent::Other(Event::Neighbour { address: member(number), mac: mac(number) })),
        1 => Just(Sent::Other(Event::Done {
            action: Action::AddAddress { card: "eth0".to_owned(), lifetime: None },
            outcome: Outcome::Failed("no such card".to_owned()),
        })),
        1 => Just(Sent::Other(Event::StatFile(Some((StatMark::Started, Duration::from_secs(3)))))),
        8 => Just(Sent::Other(Event::Wake)),
    ]
}

fn gaps() -> impl Strategy<Value = Duration> {
    prop_oneof![
        8 => (0..25_u64).prop_map(ms),
        3 => (0..600_u64).prop_map(ms),
        1 => (0..40_000_u64).prop_map(ms),
    ]
}

/// Gap before it, age of its question, whether `wake_at` is obeyed in the gap, the event.
type Played = (Duration, Duration, bool, Sent);

fn ages() -> impl Strategy<Value = Duration> {
    prop_oneof![6 => (0..5_u64).prop_map(ms), 2 => (0..500_u64).prop_map(ms), 1 => (0..5_000_u64).prop_map(ms)]
}

fn plays() -> impl Strategy<Value = Vec<Played>> {
    vec((gaps(), ages(), prop::bool::weighted(0.8), anything()), 1..120)
}

/// An independent eye on one agent: it keeps its own books, from the events and the actions alone.
struct Watch {
    policy: Policy,
    state: State,
    now: Time,
    wake_at: Time,
    newest: Vec<ViewId>,
    /// Who answered for the VIP last, when, and how many probes went out since.
    answered: Option<(Mac, Time)>,
    released: bool,
    probes_since: u32,
    server: Option<Seen<Server>>,
    gateway: Option<Seen<Gateway>>,
    wish_since: Option<Time>,
    /// Since when every answer of the local server was silence.
    silent_since: Option<Time>,
    steps: u64,
}

impl Watch {
    fn new() -> Self {
        Self {
            policy: policy(),
            state: State::new(START),
            now: START,
            wake_at: START,
            newest: Vec::new(),
            answered: None,
            released: false,
            probes_since: 0,
            server: None,
            gateway: None,
            wish_since: None,
            silent_since: Some(START),
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
                self.state.newest_view.as_ref().is_some_and(|ours| ours.is_of_the_same_group(view));
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
            Event::Frame(frame) if frame.says == Says::Probe => {
                let held_by = self.answered.filter(|(_, at)| self.now.since(*at) <= Duration::from_secs(3));
                self.released |= held_by.is_some_and(|(mac, _)| mac == frame.from);
            }
            Event::Frame(frame) => {
                self.answered = Some((frame.from, self.now));
                self.released = false;
                self.probes_since = 0;
            }
            _ => {}
        }
    }

    fn tell(&mut self, event: &Event) -> Decision {
        let before = self.state.clone();
        self.note(event);
        let decision = step(&self.policy, &mut self.state, event, self.now);
        self.steps += 1;
        self.wake_at = decision.wake_at;
        self.check_purity(&before, event, &decision);
        self.check_evidence(&before, &decision);
        self.check_letting_go(&before, &decision);
        self.check_lease(event, &decision);
        assert!(decision.wake_at > self.now, "a wake-up that is already past: {decision:#?}");
        assert!(
            decision.wake_at <= self.now + self.policy.sleeptime,
            "slept through the loop: {decision:#?}"
        );
        assert!(!decision.reasons.is_empty());
        let up = self.state.stages(&self.policy).verdict_to_start() == Verdict::Up;
        self.wish_since = match &self.state.tenure {
            Tenure::Claiming(_) if up => Some(self.wish_since.unwrap_or(self.now)),
            _ => None,
        };
        for action in &decision.actions {
            if *action == Action::SendProbe {
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

    fn check_evidence(&self, before: &State, decision: &Decision) {
        let adds = decision.actions.iter().any(|action| matches!(action, Action::AddAddress { .. }));
        let holds_still =
            matches!(before.tenure, Tenure::Holding(_)) || decision.reasons.contains(&Reason::Adopted);
        let started = decision.reasons.iter().any(|reason| matches!(reason, Reason::Started { .. }));
        assert_eq!(adds && !holds_still, started, "started without a word: {decision:#?}");
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
        assert!(
            self.released || self.probes_since >= self.policy.probe_count,
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
                LetGo::StageFailed(stage, cause) | LetGo::ClaimedWhileFailing(_, stage, cause) => {
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
                LetGo::ClaimantLeads(claimant) | LetGo::OwnSilent(claimant) => {
                    let seen = self.state.peers[claimant].seen.as_ref().unwrap();
                    let Fact::Known(Server::Member(view)) = &seen.fact else { panic!("yielded to a guess") };
                    assert!(view.is_writable_primary());
                    if let Some(theirs) = &view.view
                        && let Some(newest) = self.newest_of(theirs)
                    {
                        assert!(!newest.is_newer_than(theirs), "NEWEST-VIEW: yielded to an older view");
                    }
                }
                LetGo::NothingKnown(claimant) => {
                    let since = match &before.tenure {
                        Tenure::Holding(hold) => hold.dispute.map_or(self.now, |dispute| dispute.since),
                        _ => panic!("let go of what was not held"),
                    };
                    let stale = match self.state.peer_since(*claimant, since) {
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
            let Action::AddAddress { lifetime, .. } = action else { continue };
            if *event == Event::Stopping {
                assert_eq!(*lifetime, None);
                continue;
            }
            assert_eq!(*lifetime, self.policy.lease);
            let Tenure::Holding(hold) = &self.state.tenure else {
                panic!("LEASE: renewed and not held: {decision:#?}")
            };
            if let Some(down) = hold.down_since {
                assert!(self.now.since(down) <= self.policy.linger, "LEASE: renewed after all patience");
            }
        }
    }

    fn play(&mut self, (gap, age, obeys, sent): &Played) {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evidence_lease_newest_view_unknown_is_not_no_purity_and_progress(plays in plays()) {
        let mut watch = Watch::new();
        for play in &plays {
            watch.play(play);
        }
        // Nothing comes any more but the time: still no spinning.
        let (from, steps) = (watch.now, watch.steps);
        while watch.now.since(from) < Duration::from_secs(5) {
            watch.now = watch.wake_at;
            watch.tell(&Event::Wake);
            prop_assert!(watch.steps - steps < 5 * 120, "spins");
        }
    }

    #[test]
    fn stopping_leaves_the_vip_as_it_is_at_any_moment(plays in plays()) {
        let mut watch = Watch::new();
        for play in &plays {
            watch.play(play);
        }
        let decision = watch.tell(&Event::Stopping);
        let touches = |action: &Action| !matches!(action, Action::AddAddress { lifetime: None, .. });
        prop_assert!(!decision.actions.iter().any(touches), "{:?}", decision.actions);
    }
}

/// What may come to a holder whose server leads and whose gateway answers.
#[derive(Clone, Debug)]
enum Nuisance {
    Frame(u8, Says),
    LateServer(Fact<Server>),
    SlowPoll(u64),
    GatewayNotKnown,
    ServerNotKnown(Why),
    PeerSays(u8, Option<Fact<Server>>),
    LatePeer(u8, Fact<Server>),
    RenewalFails,
    CardBlinks,
    Nothing,
}

/// A member that leads nothing newer: other roles, older views, refusals, silence.
fn no_newer_claim(number: u8) -> impl Strategy<Value = Option<Fact<Server>>> {
    prop_oneof![
        Just(None),
        Just(Some(Fact::Known(Server::Member(group(number, 1, 545, true))))),
        Just(Some(Fact::Known(Server::Member(group(number, number, 544, false))))),
        Just(Some(Fact::Known(Server::Member(group(number, number, 545, true))))),
        Just(Some(Fact::Known(Server::Refused("refused".to_owned())))),
        whys().prop_map(|why| Some(Fact::Unknown(why))),
    ]
}

fn nuisances() -> impl Strategy<Value = Nuisance> {
    prop_oneof![
        5 => (2..=4_u8, prop_oneof![Just(Says::Probe), Just(Says::Reply), Just(Says::Announcement)])
            .prop_map(|(number, says)| Nuisance::Frame(number, says)),
        2 => servers(1).prop_filter("of an older view", |fact| match fact {
            Fact::Known(Server::Member(view)) => {
                view.view.as_ref().is_none_or(|view| !view.is_newer_than(&ViewId::new(model_host::BIRTH, 545)))
            }
            _ => true,
        }).prop_map(Nuisance::LateServer),
        2 => (0..450_u64).prop_map(Nuisance::SlowPoll),
        1 => Just(Nuisance::GatewayNotKnown),
        1 => whys().prop_map(Nuisance::ServerNotKnown),
        2 => (2..=3_u8).prop_flat_map(|number| no_newer_claim(number).prop_map(move |fact| Nuisance::PeerSays(number, fact))),
        1 => (2..=3_u8).prop_flat_map(|number| no_newer_claim(number).prop_map(move |fact| {
            Nuisance::LatePeer(number, fact.unwrap_or(Fact::Unknown(Why::NotAskedYet)))
        })),
        1 => Just(Nuisance::RenewalFails),
        1 => Just(Nuisance::CardBlinks),
        3 => Just(Nuisance::Nothing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_flap_whatever_comes_to_a_holder_that_leads(
        nuisances in vec((gaps(), nuisances()), 1..60),
    ) {
        let mut model = model_host::ModelHost::settled_holder();
        for (gap, nuisance) in nuisances {
            model.run(gap.min(Duration::from_secs(10)));
            let now = model.now;
            match nuisance {
                Nuisance::Frame(number, says) => { model.frame(number, says); }
                Nuisance::LateServer(fact) => {
                    let asked_at = model.state.server.asked_at - ms(1);
                    model.tell(Event::Server(Seen { asked_at, fact }));
                }
                Nuisance::SlowPoll(length) => {
                    model.server_blocks = true;
                    model.run(ms(length));
                    model.server_blocks = false;
                }
                Nuisance::GatewayNotKnown => {
                    let fact = Fact::Unknown(Why::Other("no socket".to_owned()));
                    model.tell(Event::Gateway(Seen { asked_at: now, fact }));
                }
                Nuisance::ServerNotKnown(why) => {
                    model.tell(Event::Server(Seen { asked_at: now, fact: Fact::Unknown(why) }));
                }
                Nuisance::PeerSays(number, Some(fact)) => { model.peers.insert(member(number), fact); }
                Nuisance::PeerSays(number, None) => { model.peers.remove(&member(number)); }
                Nuisance::LatePeer(number, fact) => {
                    model.tell(Event::Peer { member: member(number), seen: Seen { asked_at: now - ms(900), fact } });
                }
                Nuisance::RenewalFails => {
                    let action = Action::AddAddress { card: "eth0".to_owned(), lifetime: model.policy.lease };
                    model.tell(Event::Done { action, outcome: Outcome::Failed("busy".to_owned()) });
                }
                Nuisance::CardBlinks => {
                    let mut seen = host("eth0", true);
                    seen.cards[0].running = false;
                    model.tell(Event::Host(Seen { asked_at: now, fact: Fact::Known(seen) }));
                }
                Nuisance::Nothing => {}
            }
            prop_assert!(model.vip_here, "{:#?}", model.reasons);
        }
        model.run(Duration::from_secs(3));
        let removed = model.count(|action| matches!(action, Action::RemoveAddress { .. }));
        prop_assert_eq!(removed, 0, "{:#?}", model.reasons);
    }
}

/// Plays events one after another, `ms` apart, to an agent whose host bears the VIP.
fn holder(policy: &Policy, events: &[(u64, Sent)]) -> (State, Vec<Decision>) {
    let mut state = State::new(START);
    let mut now = START;
    let mut decisions = Vec::new();
    let opening = [
        Sent::Other(Event::Neighbour { address: member(2), mac: mac(2) }),
        Sent::Host(Fact::Known(("eth0", true))),
        Sent::Gateway(Fact::Known(Gateway::Reachable)),
        Sent::Server(model_host::primary()),
    ];
    for (gap, sent) in opening.map(|sent| (1, sent)).iter().chain(events) {
        now = now + ms(*gap);
        decisions.push(step(policy, &mut state, &sent.event(now), now));
    }
    (state, decisions)
}

fn stopped(decisions: &[Decision]) -> bool {
    decisions.iter().any(|decision| decision.stage_5() == 0)
}

#[test]
fn a_server_that_lives_for_long_and_then_misses_one_answer_is_not_out_of_patience() {
    let full = || Sent::Server(Fact::Unknown(Why::TooManyConnections("1040".to_owned())));
    let silent = || Sent::Server(Fact::Unknown(Why::TimedOut(ms(1000))));
    let mut events: Vec<_> = (0..120).map(|_| (1000, full())).collect();
    events.push((1000, silent()));
    assert!(!stopped(&holder(&policy(), &events).1));
    events.extend((0..40).map(|_| (1000, silent())));
    assert!(stopped(&holder(&policy(), &events).1));
}

#[test]
fn a_holder_whose_server_is_silent_does_not_yield_to_an_older_view() {
    let stale = Fact::Known(Server::Member(group(2, 2, 544, false)));
    let probe = || Sent::Other(Event::Frame(Frame { from: mac(2), says: Says::Probe }));
    let events = [
        (1, Sent::Server(Fact::Unknown(Why::TimedOut(ms(1000))))),
        (1, probe()),
        (10, Sent::Peer(member(2), stale)),
        (200, Sent::Other(Event::Wake)),
        (200, probe()),
        (400, Sent::Other(Event::Wake)),
    ];
    assert!(!stopped(&holder(&policy(), &events).1));
}

#[test]
fn a_peers_late_answer_does_not_hide_its_newer_one() {
    let mut state = State::new(START);
    let leads = Fact::Known(Server::Member(group(2, 2, 545, false)));
    let tell = |state: &mut State, asked_at, fact: &Fact<Server>| {
        let event = Event::Peer { member: member(2), seen: Seen { asked_at, fact: fact.clone() } };
        step(&policy(), state, &event, START + ms(50));
    };
    tell(&mut state, START + ms(40), &leads);
    tell(&mut state, START + ms(10), &Fact::Unknown(Why::TimedOut(ms(10))));
    assert_eq!(state.peer_since(member(2), START), Some(&leads));
}

#[test]
fn a_failed_start_says_that_it_will_be_tried_again_and_not_that_something_is_removed() {
    let policy = policy();
    let mut model = model_host::ModelHost::new(model_host::Answers::all_pass(), false);
    while !matches!(model.state.tenure, Tenure::Holding(_)) {
        model.run(ms(1));
    }
    model.vip_here = false;
    model.tell(Event::Done {
        action: Action::AddAddress { card: "eth0".to_owned(), lifetime: policy.lease },
        outcome: Outcome::Failed("no such card".to_owned()),
    });
    model.run(ms(300));
    assert!(!model.said(|reason| *reason == Reason::Releasing), "{:#?}", model.reasons);
}

#[test]
fn a_stranger_is_named_once_in_a_while_and_not_with_every_frame() {
    let mut model = model_host::ModelHost::settled_holder();
    let mut named = 0;
    for _ in 0..500 {
        model.run(ms(20));
        let decision = model.frame(9, Says::Probe);
        named += decision.reasons.iter().filter(|reason| matches!(reason, Reason::Stranger(_))).count();
    }
    assert!((1..=2).contains(&named), "named {named} times in 10 s");
    let learning = model.count(|action| *action == Action::LearnNeighbours);
    assert!(learning < 30, "asked for all members' addresses {learning} times in 20 s");
}

#[test]
fn a_claim_that_is_answered_for_long_still_has_fresh_facts_when_the_address_falls_free() {
    for poll in [ms(100), Duration::from_secs(5)] {
        let mut model = model_host::ModelHost::new(model_host::Answers::all_pass(), false);
        model.policy.poll_interval = poll;
        model.answering = Some(2);
        model.run(ms(47_500));
        model.answering = None;
        model.frame(2, Says::Probe);
        model.run(ms(100));
        assert!(model.vip_here, "poll each {poll:?}: {:?}", model.reasons.last());
    }
}

#[test]
fn a_slow_claimant_is_a_rival_until_it_falls_silent() {
    // Both were told "taken" for long; then the holder dies and nothing is known of the other's server.
    let mut model = model_host::ModelHost::new(model_host::Answers::all_pass(), false);
    model.answering = Some(3);
    // Member 1 goes first among equals, so the rival is the one to wait for only until it is asked about.
    model.run(Duration::from_secs(5));
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 3, 545, true))));
    let mut asked = 0;
    for _ in 0..10 {
        model.run(ms(200));
        model.frame(2, Says::Probe);
        asked = model.count(|action| *action == Action::AskPeer(member(2)));
    }
    assert_eq!(asked, 1, "the same rival is forgotten and asked about again between two of its probes");
}

#[test]
fn every_view_and_mac_survives_the_way_through_json() {
    let view = ViewId::new("17635:1", 7);
    let text = serde_json::to_string(&view).unwrap();
    let read: Result<ViewId, _> = serde_json::from_str(&text);
    assert!(read.is_err() || read.unwrap() == view);
    assert_eq!(Role::Primary, serde_json::from_str("\"PRIMARY\"").unwrap());
}

#[test]
fn an_agent_that_stood_still_for_longer_than_its_lease_asks_anew_and_renews_nothing() {
    let mut model = model_host::ModelHost::settled_holder();
    let stale = model.host_event(model.now);
    model.vip_here = false;
    model.now = model.now + Duration::from_secs(20);
    let decision = model.tell(Event::Wake);
    assert!(
        !decision.actions.iter().any(|action| matches!(action, Action::AddAddress { .. } | Action::Announce))
    );
    let decision = model.tell(stale);
    assert!(
        !decision.actions.iter().any(|action| matches!(action, Action::AddAddress { .. } | Action::Announce))
    );
    model.answering = Some(2);
    model.run(Duration::from_secs(5));
    assert!(!model.vip_here, "another host answers for it by now");
}

#[test]
fn probes_sent_before_the_agent_stood_still_prove_nothing() {
    let mut model = model_host::ModelHost::new(model_host::Answers::all_pass(), false);
    while model.count(|action| *action == Action::SendProbe) < 3 {
        model.run(ms(1));
    }
    model.now = model.now + Duration::from_secs(20);
    model.answering = Some(2);
    model.run(Duration::from_secs(5));
    assert!(!model.vip_here, "another host answers for it by now");
}
