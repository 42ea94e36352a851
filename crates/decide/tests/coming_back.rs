//! Hosts and agents that stood still and come back, and holders that make themselves heard to those: each test is named
//! after a behaviour that a simulated schedule once lacked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::{Event, Fact, Gateway, MemberState, Says, Seen, Server, Why};
use decide::net::VipId;
use decide::output::{Action, Reason, VipAction};
use decide::time::Time;
use decide::vip::{Hold, VipState};
use model_host::{Answers, ModelHost, group, member, ms, primary, secondary};

fn adds_or_renews(action: &Action) -> bool {
    matches!(action, Action::Vip(_, VipAction::AddAddress { .. } | VipAction::RenewAddress { .. }))
}

fn renews(action: &Action) -> bool {
    matches!(action, Action::Vip(_, VipAction::RenewAddress { .. }))
}

fn removes(action: &Action) -> bool {
    matches!(action, Action::Vip(_, VipAction::RemoveAddress { .. }))
}

fn lease_of(model: &ModelHost) -> Duration {
    model.vip.lease.unwrap()
}

fn refused() -> Fact<Server> {
    Fact::Known(Server::Refused("connection refused".to_owned()))
}

fn announcements_in(model: &mut ModelHost, length: Duration) -> usize {
    let before = model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::Announce));
    model.run(length);
    model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::Announce)) - before
}

#[test]
fn an_address_found_here_after_longer_than_its_lease_is_removed_and_asked_for_anew() {
    // A paused virtual machine's lease stood still with it: the address is still here, and another may have it.
    let mut model = ModelHost::settled_holder();
    model.now = model.now + Duration::from_secs(20);
    let suspended = Duration::from_secs(20);
    let decision = model.tell(Event::ClocksParted { suspended, wall_step_ms: 0 });
    assert!(decision.actions.iter().any(removes), "{decision:#?}");
    assert!(!decision.actions.iter().any(adds_or_renews), "{decision:#?}");
    model.answering = Some(2);
    model.run(Duration::from_secs(3));
    assert!(!model.vip_here, "another host answers for it by now");
    model.answering = None;
    model.run(Duration::from_secs(1));
    assert!(model.vip_here, "nobody has it any more");
}

#[test]
fn a_renewal_that_comes_late_looks_first_whether_the_address_is_still_here() {
    let mut model = ModelHost::settled_holder();
    model.now = model.now + lease_of(&model) / 2;
    model.vip_here = false;
    // The loop takes frames before it hears that the address was taken away.
    let before = model.count(adds_or_renews);
    model.frame(9, Says::Probe);
    assert_eq!(model.count(adds_or_renews), before, "renewed, and so added, without asking anybody");
    assert!(model.last.as_ref().unwrap().actions.contains(&Action::AskHost));
    model.answering = Some(2);
    model.run(Duration::from_secs(2));
    assert_eq!(model.count(adds_or_renews), before, "member 2 answers for it by now");
}

#[test]
fn an_agent_that_stands_still_while_its_renewal_is_due_does_not_renew_on_what_it_saw_before() {
    let mut model = ModelHost::settled_holder();
    // Short of processor time: many turns within a moment, each on a sight of the address that is too old.
    let due = model.machine().state.clone();
    let VipState::Holding(Hold { next_renewal: Some(due), .. }) = due else { panic!("{due:?}") };
    model.now = due + ms(60);
    let seen_at = due + ms(1);
    model.vip_here = true;
    model.tell(model.host_event(seen_at));
    for _ in 0..20 {
        model.now = model.now + ms(1);
        model.tell(Event::Wake);
    }
    model.vip_here = false;
    model.now = model.now + ms(950);
    let before = model.count(adds_or_renews);
    model.tell(Event::Wake);
    assert_eq!(model.count(adds_or_renews), before, "it was removed by hand meanwhile");
}

#[test]
fn an_agent_that_stood_still_after_its_first_doubt_asks_again_before_it_lets_go() {
    let mut model = ModelHost::settled_holder();
    model.vip.linger = Duration::from_secs(1);
    model.server_blocks = true;
    let first = Seen { asked_at: model.now, fact: refused() };
    model.now = model.now + ms(1);
    model.tell(Event::Server(first));
    assert!(model.said(|reason| matches!(reason, Reason::Rechecking(..))));
    model.now = model.now + Duration::from_secs(2);
    let decision = model.tell(Event::Wake);
    assert!(!decision.actions.iter().any(removes), "{decision:#?}");
    assert!(decision.actions.contains(&Action::AskServer));
    // Nothing is heard of it, though the agent runs: the first word does.
    model.run(ms(1_100));
    assert!(!model.vip_here, "{:#?}", model.reasons.last());
}

#[test]
fn who_knows_of_a_newer_view_and_hears_nothing_of_its_server_lets_go_after_claim_wait() {
    let mut model = ModelHost::settled_holder();
    model.server_blocks = true;
    let newer = Fact::Known(Server::Member(group(2, 2, 546, false)));
    model.tell(Event::Peer { member: member(2), seen: Seen { asked_at: model.now, fact: newer } });
    model.run(ms(900));
    assert!(model.vip_here, "its server is asked first");
    model.run(ms(200));
    assert!(!model.vip_here, "{:#?}", model.reasons.last());
}

#[test]
fn an_agent_that_stood_still_right_after_taking_the_address_does_not_tell_others_that_it_is_free() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    while model.count(adds_or_renews) == 0 {
        model.run(Duration::from_micros(100));
    }
    model.now = model.now + ms(2_300);
    let before = model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe));
    // Two frames were waiting; the host's addresses are read only after both.
    model.frame(2, Says::Probe);
    model.frame(2, Says::Probe);
    model.run(ms(50));
    assert_eq!(
        model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)),
        before,
        "{:#?}",
        model.reasons
    );
    assert!(model.vip_here);
}

#[test]
fn a_lease_is_not_renewed_while_another_claims_the_address() {
    let mut model = ModelHost::settled_holder();
    let renewed = |model: &ModelHost| model.count(adds_or_renews);
    let before = renewed(&model);
    while renewed(&model) == before {
        model.run(ms(1));
    }
    model.run((lease_of(&model) / 3).saturating_sub(ms(5)));
    model.server_blocks = true;
    let before = renewed(&model);
    model.frame(2, Says::Announcement);
    model.run(ms(100));
    assert_eq!(renewed(&model), before, "it fell due 5 ms after the claim");
}

#[test]
fn a_dead_server_on_a_host_without_a_gateway_does_not_linger() {
    let mut model = ModelHost::settled_holder();
    model.first.server = refused();
    model.run(Duration::from_secs(5));
    assert!(model.vip_here, "it refuses for the clients");
    model.first.gateway = Fact::Known(Gateway::Lost { misses: 16 });
    model.run(Duration::from_secs(1));
    assert!(!model.vip_here, "no client can reach it");
}

#[test]
fn a_holder_announces_each_second_while_a_member_is_missing_and_each_minute_when_all_are_there() {
    let mut model = ModelHost::settled_holder();
    assert!(announcements_in(&mut model, Duration::from_secs(30)) <= 1);
    let mut view = group(1, 1, 546, false);
    view.members.truncate(2);
    model.first.server = Fact::Known(Server::Member(view));
    let missing = announcements_in(&mut model, Duration::from_secs(30));
    assert!((28..=31).contains(&missing), "{missing} in 30 s: whoever comes back is to hear it soon");
}

#[test]
fn a_lingering_holder_is_heard_by_another_that_comes_back_with_the_address() {
    let mut model = ModelHost::settled_holder();
    model.first.server = refused();
    let lingering = announcements_in(&mut model, Duration::from_secs(10));
    assert!((8..=11).contains(&lingering), "{lingering} in 10 s");
    model.frame(2, Says::Announcement);
    model.run(ms(10));
    assert!(!model.vip_here, "a dead server's host yields to whoever announces");
}

#[test]
fn a_word_of_the_gateway_that_a_later_one_overtook_raises_no_doubt() {
    let mut model = ModelHost::settled_holder();
    let asked_at = model.state.facts.gateway.asked_at - ms(1);
    model.tell(Event::Gateway(Seen { asked_at, fact: Fact::Known(Gateway::Lost { misses: 16 }) }));
    assert!(!model.said(|reason| matches!(reason, Reason::Rechecking(..))), "{:#?}", model.reasons);
}

#[test]
fn an_agent_that_has_just_started_and_knows_nothing_announces_nothing() {
    let mut model = ModelHost::new(Answers::all_pass(), true);
    model.server_blocks = true;
    assert_eq!(announcements_in(&mut model, Duration::from_secs(5)), 0);
}

#[test]
fn an_agent_that_has_just_started_and_whose_server_never_answers_announces_nothing() {
    let hung = Fact::Unknown(model_host::hung());
    let mut model = ModelHost::new(Answers { server: hung, ..Answers::all_pass() }, true);
    assert_eq!(announcements_in(&mut model, Duration::from_secs(20)), 0);
    assert!(model.vip_here, "it was here before, and its server may come back");
}

#[test]
fn a_server_that_turned_the_agent_away_and_is_heard_of_no_more_ends_the_renewals() {
    let mut model = ModelHost::settled_holder();
    model.first.server = Fact::Unknown(Why::WrongPassword("1045".to_owned()));
    let renewed = |model: &mut ModelHost, seconds| {
        let before = model.count(renews);
        model.run(Duration::from_secs(seconds));
        model.count(renews) - before
    };
    assert!(renewed(&mut model, 60) >= 15, "it lives");
    // Not even a time-out is told any more: what watches it is stuck.
    model.server_blocks = true;
    model.run(model.vip.hung_patience + Duration::from_secs(1));
    assert_eq!(renewed(&mut model, 60), 0);
}

#[test]
fn an_agent_that_stops_makes_the_address_permanent_only_while_it_hears_of_its_server() {
    let permanent =
        |action: &Action| matches!(action, Action::Vip(_, VipAction::RenewAddress { lifetime: None, .. }));
    let mut model = ModelHost::settled_holder();
    assert!(model.tell(Event::Stopping).actions.iter().any(permanent));
    let mut model = ModelHost::settled_holder();
    model.vip.hung_patience = Duration::from_secs(2);
    model.now = model.now + Duration::from_secs(3);
    let decision = model.tell(Event::Stopping);
    assert!(!decision.actions.iter().any(permanent), "{decision:#?}");
}

#[test]
fn an_agent_that_stops_before_it_has_heard_its_server_once_leaves_the_addresss_lifetime_alone() {
    let just_started = ModelHost::new(Answers::all_pass(), true);
    let mut stood_still = ModelHost::settled_holder();
    stood_still.now = stood_still.now + stood_still.vip.hung_patience + Duration::from_secs(30);
    let wake = stood_still.now;
    stood_still.tell(Event::Wake);
    assert_eq!(stood_still.now, wake);
    for mut model in [just_started, stood_still] {
        let seen = model.host_event(model.now);
        model.tell(seen);
        let decision = model.tell(Event::Stopping);
        assert_eq!(decision.actions, [], "{decision:#?}");
        assert_eq!(decision.each_reason().last(), Some(&Reason::Stopping));
    }
}

#[test]
fn a_claimant_that_looks_late_sends_one_more_probe_before_it_takes_and_takes_in_the_end() {
    let probes =
        |model: &ModelHost| model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe));
    let claimant = || {
        let mut model = ModelHost::new(Answers::all_pass(), false);
        while probes(&model) < 3 {
            model.run(ms(1));
        }
        model
    };
    let mut model = claimant();
    model.now = model.now + ms(60);
    let late = model.tell(Event::Wake);
    assert!(!late.actions.iter().any(adds_or_renews), "{late:#?}");
    assert_eq!(probes(&model), 4);
    model.run(ms(25));
    assert!(model.vip_here, "looked at in time, it is not asked for again");
    let mut starved = claimant();
    for _ in 0..5 {
        starved.now = starved.now + ms(60);
        assert!(!starved.tell(Event::Wake).actions.iter().any(adds_or_renews));
    }
    starved.now = starved.now + ms(60);
    assert!(starved.tell(Event::Wake).actions.iter().any(adds_or_renews), "one that is never in time");
}

#[test]
fn a_claimant_that_stood_still_for_a_moment_asks_the_network_again_before_it_takes() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    while model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)) < 3 {
        model.run(ms(1));
    }
    // Its facts are fresh enough. An answer that came meanwhile may lie unread.
    model.now = model.now + ms(400);
    let decision = model.tell(Event::Wake);
    assert!(!decision.actions.iter().any(adds_or_renews), "{decision:#?}");
    model.answering = Some(2);
    model.run(Duration::from_secs(2));
    assert!(!model.vip_here, "member 2 has it by now");
}

#[test]
fn who_yielded_because_its_server_was_silent_does_not_claim_before_that_has_answered() {
    let mut model = ModelHost::settled_holder();
    let view = group(2, 2, 545, false);
    model.peers.insert(member(2), Fact::Known(Server::Member(view)));
    model.server_blocks = true;
    model.frame(2, Says::Probe);
    model.run(ms(300));
    assert!(!model.vip_here, "{:#?}", model.reasons);
    model.run(ms(500));
    let probes = model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe));
    assert_eq!(probes, 0, "the one it yielded to would take it for a rival, and wait");
    model.server_blocks = false;
    model.run(Duration::from_secs(1));
    assert!(model.vip_here, "its server leads after all, and nobody has taken the VIP");
}

#[test]
fn probes_that_a_claimant_sent_while_it_waited_for_long_for_its_second_check_prove_nothing() {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(Duration::from_secs(2));
    model.server_blocks = true;
    let answer = Seen { asked_at: model.now, fact: model_host::primary() };
    model.now = model.now + ms(2);
    model.tell(Event::Server(answer));
    model.run(ms(2_000));
    assert_eq!(model.count(adds_or_renews), 0, "there was no second check");
    model.server_blocks = false;
    model.first.server = model_host::primary();
    let probes =
        |model: &ModelHost| model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe));
    let before = probes(&model);
    while model.count(adds_or_renews) == 0 {
        model.run(ms(1));
    }
    assert!(probes(&model) - before >= 3, "taken after {} probes", probes(&model) - before);
}

#[test]
fn a_claimant_that_hears_nothing_more_of_its_server_stops_asking_the_network() {
    // Its server answered once, long ago; another member takes whoever asks for a rival, and waits.
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(Duration::from_secs(2));
    model.server_blocks = true;
    let answer = Seen { asked_at: model.now, fact: model_host::primary() };
    model.now = model.now + ms(2);
    model.tell(Event::Server(answer));
    model.run(Duration::from_secs(5));
    assert!(!model.vip_here, "there was no second check");
    let before = model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe));
    model.run(Duration::from_secs(5));
    assert_eq!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)), before);
    model.server_blocks = false;
    model.first.server = model_host::primary();
    model.run(Duration::from_secs(1));
    assert!(model.vip_here, "it is heard of again");
    let _: (Time, _) = (model.now, member(1));
}

/// What a server says for a moment when it has stood still for longer than its group's detector waits.
fn all_others_unreachable() -> Fact<Server> {
    let mut view = group(1, 1, 545, false);
    view.members[1].state = MemberState::Unreachable;
    view.members[2].state = MemberState::Unreachable;
    Fact::Known(Server::Member(view))
}

/// A holder whose server does not answer for 5 s, and then says that it lacks the majority.
fn holder_whose_server_stood_still() -> ModelHost {
    let mut model = ModelHost::settled_holder();
    model.first.server = Fact::Unknown(Why::TimedOut(ms(500)));
    model.run(ms(5_000));
    model.first.server = all_others_unreachable();
    model
}

#[test]
fn a_server_that_stood_still_and_finds_the_others_unreachable_for_a_moment_keeps_its_vip() {
    let mut model = holder_whose_server_stood_still();
    model.run(ms(150));
    model.first.server = primary();
    model.run(ms(2_000));
    assert_eq!(model.count(removes), 0, "{:#?}", model.reasons);
    assert!(model.vip_here);
}

#[test]
fn a_server_that_stood_still_and_has_lost_its_majority_lets_go_within_half_a_second() {
    let mut model = holder_whose_server_stood_still();
    model.run(ms(500));
    assert!(!model.vip_here);
}

#[test]
fn a_server_that_finds_the_others_unreachable_after_its_whole_machine_stood_still_keeps_its_vip() {
    let mut model = ModelHost::settled_holder();
    // Shorter than the lease, and no clock tells.
    model.now = model.now + ms(6_000);
    model.first.server = all_others_unreachable();
    model.run(ms(50));
    model.first.server = primary();
    model.run(ms(2_000));
    assert_eq!(model.count(removes), 0, "{:#?}", model.reasons);
    assert!(model.vip_here);
}

#[test]
fn a_majority_that_is_lost_while_the_server_speaks_ends_the_holding_at_once() {
    let mut model = ModelHost::settled_holder();
    model.first.server = all_others_unreachable();
    model.run(model.group.poll_interval + ms(30));
    assert!(!model.vip_here);

    // One that is asked each two seconds does not stand still in between.
    let mut model = ModelHost::settled_holder();
    model.group.poll_interval = Duration::from_secs(2);
    model.run(Duration::from_secs(10));
    model.first.server = all_others_unreachable();
    let from = model.now;
    while !model.said(|reason| matches!(reason, Reason::Rechecking(..))) {
        model.run(ms(1));
        assert!(model.now.since(from) < Duration::from_secs(3), "{:#?}", model.reasons.last());
    }
    model.run(ms(30));
    assert!(!model.vip_here);
}

#[test]
fn an_agent_that_finds_the_address_here_asks_who_else_has_it_and_lets_go_for_one_that_leads() {
    // `takeover_after`: it was taken from this host while no agent ran here. Of its own server nothing is heard, not even time-outs.
    let mut model = ModelHost::new(Answers::all_pass(), true);
    model.server_blocks = true;
    model.run(ms(50));
    assert!(model.said(|reason| *reason == Reason::Adopted));
    assert!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::AskWhoHasVip)) >= 1);
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 2, 546, false))));
    model.frame(2, Says::Reply);
    model.run(Duration::from_secs(1));
    assert!(!model.vip_here, "{:#?}", model.reasons.last());
}

fn next_renewal(model: &ModelHost) -> Time {
    let VipState::Holding(Hold { next_renewal: Some(due), .. }) = model.machine().state.clone() else {
        panic!("{:?}", model.machine().state)
    };
    due
}

/// Short of processor time for 50 ms a look: it never gets to the kernel's answers, and has one that is older.
fn starve_when_a_renewal_is_due(model: &mut ModelHost, looks: u32) {
    let due = next_renewal(model);
    model.now = due + ms(60);
    model.tell(model.host_event(due + ms(1)));
    for _ in 0..looks {
        model.now = model.now + ms(51);
        model.tell(Event::Wake);
    }
}

#[test]
fn a_starved_agent_renews_on_an_older_sight_of_the_address_but_not_what_lingers_for_a_dead_server() {
    let mut model = ModelHost::settled_holder();
    let before = model.count(adds_or_renews);
    starve_when_a_renewal_is_due(&mut model, 8);
    assert_eq!(model.count(adds_or_renews), before, "it may get to the kernel's answer yet");

    let mut model = ModelHost::settled_holder();
    let before = model.count(adds_or_renews);
    starve_when_a_renewal_is_due(&mut model, 12);
    assert_eq!(model.count(adds_or_renews), before + 1, "it leads: the lease is not to be lost");

    let mut model = ModelHost::settled_holder();
    model.vip.linger = Duration::from_secs(60);
    model.first.server = refused();
    model.run(ms(500));
    assert!(model.said(|reason| matches!(reason, Reason::Lingering(..))), "{:#?}", model.reasons.last());
    let before = model.count(adds_or_renews);
    starve_when_a_renewal_is_due(&mut model, 12);
    assert_eq!(model.count(adds_or_renews), before, "it may have been removed by hand meanwhile");
}

#[test]
fn an_answer_of_the_kernel_that_shows_no_addresses_is_no_sight_of_the_vip_and_does_not_cost_the_lease_either()
{
    let mut model = ModelHost::settled_holder();
    let before = model.count(adds_or_renews);
    model.first.host_known = false;
    let due = next_renewal(&model);
    model.run(due.since(model.now) + ms(400));
    assert!(model.actions.iter().any(|(at, action)| *at >= due && *action == Action::AskHost));
    assert_eq!(model.count(adds_or_renews), before, "renewed, and nothing has shown that it is still here");
    model.first.host_known = true;
    model.run(ms(100));
    assert_eq!(model.count(adds_or_renews), before + 1, "the kernel shows it again");

    model.first.host_known = false;
    model.run(Duration::from_secs(60));
    assert!(model.count(removes) == 0 && model.vip_here, "{:#?}", model.reasons.last());
    let times: Vec<_> =
        model.actions.iter().filter(|(_, action)| renews(action)).map(|(at, _)| *at).collect();
    let longest = times.windows(2).map(|two| two[1].since(two[0])).max().unwrap();
    assert!(longest < lease_of(&model) / 2, "{longest:?} between two renewals: NO-FLAP");
}
