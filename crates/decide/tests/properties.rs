//! The invariants, for any sequence of events at any times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;
mod sent;
mod watch;

use std::time::Duration;

use decide::State;
use decide::input::{Event, Fact, Frame, Gateway, Role, Says, Seen, Server, ViewId, Why};
use decide::net::VipId;
use decide::output::{Action, Outcome, Reason, VipAction};
use decide::policy::Policy;
use decide::vip::VipState;
use decide::{Decision, step};
use model_host::{group, host, limits, mac, member, ms, policy};
use proptest::collection::vec;
use proptest::prelude::*;
use sent::{Sent, gaps, plays, servers, whys, words};
use watch::{START, Watch};

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
        // One that stood still for longer than its lease asks anew as ever; a question touches nothing.
        let touches = |action: &Action| {
            !matches!(
                action,
                Action::Vip(_, VipAction::RenewAddress { lifetime: None, .. } | VipAction::AskWhoHasVip)
                    | Action::AskHost
                    | Action::AskServer
                    | Action::AskGateway
            )
        };
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
    InterfaceBlinks,
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
        5 => (2..=4_u8, words())
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
        1 => Just(Nuisance::InterfaceBlinks),
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
                    let asked_at = model.state.facts.server.asked_at - ms(1);
                    model.tell(Event::Server(Seen { asked_at, fact }));
                }
                Nuisance::SlowPoll(length) => {
                    model.server_blocks = true;
                    model.run(ms(length));
                    model.server_blocks = false;
                    // It answers then, however soon it blocks again: longer than `dispute_limit` in one go is no nuisance.
                    model.run(ms(3));
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
                    let action = Action::Vip(VipId::FIRST, VipAction::RenewAddress { interface: "eth0".to_owned(), lifetime: model.vip.lease });
                    model.tell(Event::Done { action, outcome: Outcome::Failed("busy".to_owned()) });
                }
                Nuisance::InterfaceBlinks => {
                    let mut seen = host("eth0", true);
                    seen.interfaces[0].running = false;
                    model.tell(Event::Host(Seen { asked_at: now, fact: Fact::Known(seen) }));
                }
                Nuisance::Nothing => {}
            }
            prop_assert!(model.vip_here, "{:#?}", model.reasons);
        }
        model.run(Duration::from_secs(3));
        let removed = model.count(|action| matches!(action, Action::Vip(_, VipAction::RemoveAddress { .. })));
        prop_assert_eq!(removed, 0, "{:#?}", model.reasons);
    }
}

/// Plays events one after another, `ms` apart, to an agent whose host bears the VIP.
fn holder(policy: &Policy, events: &[(u64, Sent)]) -> (State, Vec<Decision>) {
    let mut state = State::new(policy, START);
    let mut now = START;
    let mut decisions = Vec::new();
    let opening = [
        Sent::Other(Event::Neighbor { address: member(2), mac: mac(2) }),
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
    // The host's addresses are asked for before a lease that is late is renewed, and told.
    let told = |server| [(999, Sent::Host(Fact::Known(("eth0", true)))), (1, server)];
    let mut events: Vec<_> = (0..120).flat_map(|_| told(full())).collect();
    events.extend(told(silent()));
    assert!(!stopped(&holder(&policy(), &events).1));
    events.extend((0..40).flat_map(|_| told(silent())));
    assert!(stopped(&holder(&policy(), &events).1));
}

#[test]
fn a_holder_whose_server_is_silent_does_not_yield_to_an_older_view() {
    let stale = Fact::Known(Server::Member(group(2, 2, 544, false)));
    let probe = || Sent::Other(Event::Frame(VipId::FIRST, Frame { from: mac(2), says: Says::Probe }));
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
    let mut state = State::new(&policy(), START);
    let leads = Fact::Known(Server::Member(group(2, 2, 545, false)));
    let tell = |state: &mut State, asked_at, fact: &Fact<Server>| {
        let event = Event::Peer { member: member(2), seen: Seen { asked_at, fact: fact.clone() } };
        step(&policy(), state, &event, START + ms(50));
    };
    tell(&mut state, START + ms(40), &leads);
    tell(&mut state, START + ms(10), &Fact::Unknown(Why::TimedOut(ms(10))));
    assert_eq!(state.facts.peer_since(member(2), START), Some(&leads));
}

#[test]
fn a_failed_start_says_that_it_will_be_tried_again_and_not_that_something_is_removed() {
    let mut model = model_host::ModelHost::new(model_host::Answers::all_pass(), false);
    while !matches!(model.machine().state, VipState::Holding(_)) {
        model.run(ms(1));
    }
    model.vip_here = false;
    model.tell(Event::Done {
        action: Action::Vip(
            VipId::FIRST,
            VipAction::AddAddress { interface: "eth0".to_owned(), lifetime: limits().lease },
        ),
        outcome: Outcome::Failed("no such interface".to_owned()),
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
        named += decision.each_reason().filter(|reason| matches!(reason, Reason::StrangerAsks(_))).count();
    }
    assert!((1..=2).contains(&named), "named {named} times in 10 s");
    let learning = model.count(|action| *action == Action::LearnNeighbors);
    assert!(learning < 30, "asked for all members' addresses {learning} times in 20 s");
}

#[test]
fn a_claim_that_is_answered_for_long_still_has_fresh_facts_when_the_address_falls_free() {
    for poll in [ms(100), Duration::from_secs(5)] {
        let mut model = model_host::ModelHost::new(model_host::Answers::all_pass(), false);
        model.group.poll_interval = poll;
        model.answering = Some(2);
        model.run(ms(47_500));
        model.answering = None;
        let heard_at = model.now;
        model.frame(2, Says::Release { heard_at });
        model.run(ms(5));
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
fn an_address_that_is_let_go_for_one_claimant_is_not_taken_by_another_that_began_later() {
    // Member 3 leads and claims. Member 1 leads no more, does not know it yet, and claims a moment later. Member 2 lets go.
    let following =
        model_host::Answers { server: model_host::secondary(), ..model_host::Answers::all_pass() };
    let mut model = model_host::ModelHost::new(following, false);
    model.run(ms(500));
    model.peers.insert(member(3), Fact::Known(Server::Member(group(3, 3, 546, false))));
    model.frame(3, Says::Probe);
    model.first.server = model_host::primary();
    model.answering = Some(2);
    while model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)) == 0 {
        model.run(ms(1));
    }
    model.run(ms(2));
    model.answering = None;
    let heard_at = model.now;
    model.frame(2, Says::Release { heard_at });
    model.run(ms(500));
    assert!(!model.vip_here, "{:#?}", model.reasons);
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
    assert!(!decision.actions.iter().any(|action| matches!(
        action,
        Action::Vip(_, VipAction::AddAddress { .. } | VipAction::RenewAddress { .. } | VipAction::Announce)
    )));
    let decision = model.tell(stale);
    assert!(!decision.actions.iter().any(|action| matches!(
        action,
        Action::Vip(_, VipAction::AddAddress { .. } | VipAction::RenewAddress { .. } | VipAction::Announce)
    )));
    model.answering = Some(2);
    model.run(Duration::from_secs(5));
    assert!(!model.vip_here, "another host answers for it by now");
}

#[test]
fn probes_sent_before_the_agent_stood_still_prove_nothing() {
    let mut model = model_host::ModelHost::new(model_host::Answers::all_pass(), false);
    while model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)) < 3 {
        model.run(ms(1));
    }
    model.now = model.now + Duration::from_secs(20);
    model.answering = Some(2);
    model.run(Duration::from_secs(5));
    assert!(!model.vip_here, "another host answers for it by now");
}

#[test]
fn an_answer_that_came_late_still_shows_how_far_the_group_is() {
    let mut watch = Watch::new();
    let plays = [
        (ms(0), ms(0), false, Sent::Other(Event::Neighbor { address: member(2), mac: mac(2) })),
        (ms(0), ms(0), false, Sent::Host(Fact::Known(("eth0", true)))),
        (ms(3991), ms(0), false, Sent::Host(Fact::Unknown(Why::TimedOut(ms(1000))))),
        (ms(9), ms(1), false, Sent::Server(Fact::Known(Server::Member(group(1, 1, 549, false))))),
        (ms(3), ms(0), false, Sent::Host(Fact::Known(("eth0", true)))),
        (
            ms(0),
            ms(0),
            false,
            Sent::Other(Event::Frame(VipId::FIRST, Frame { from: mac(2), says: Says::Probe })),
        ),
        (ms(100), ms(0), false, Sent::Peer(member(2), Fact::Known(Server::Member(group(2, 2, 540, false))))),
    ];
    for play in &plays {
        watch.play(play);
    }
}
