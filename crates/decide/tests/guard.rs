//! What guards the VIP against an agent that stands still, sleeps, or is told to give it up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::Decision;
use decide::input::{Event, Says};
use decide::net::VipId;
use decide::output::{Action, LetGo, Reason, VipAction};
use decide::time::Time;
use decide::vip::VipState;
use model_host::{Answers, ModelHost, mac, ms, secondary};

fn renews(decision: &Decision) -> bool {
    decision.actions.iter().any(|action| matches!(action, Action::Vip(_, VipAction::RenewAddress { .. })))
}

fn lets_go(decision: &Decision) -> Option<&LetGo> {
    decision.each_reason().find_map(|reason| match reason {
        Reason::Stopped { because, .. } => Some(because),
        _ => None,
    })
}

fn parted(suspended: u64, wall_step_ms: i64) -> Event {
    Event::ClocksParted { suspended: Duration::from_secs(suspended), wall_step_ms }
}

#[test]
fn an_agent_that_stood_still_for_less_than_its_lease_asks_before_it_renews() {
    let mut model = ModelHost::settled_holder();
    model.now = model.now + Duration::from_secs(6);
    let woken = model.tell(Event::Wake);
    assert!(!renews(&woken), "what it knew is 6 s old: {woken:#?}");
    assert!(woken.actions.contains(&Action::AskServer), "{woken:#?}");
    let renewed = model.actions.len();
    model.run(ms(20));
    let since: Vec<_> = model.actions.iter().skip(renewed).map(|(_, action)| action).collect();
    assert!(
        since.iter().any(|action| matches!(action, Action::Vip(_, VipAction::RenewAddress { .. }))),
        "{since:#?}"
    );
    assert!(model.vip_here);
}

#[test]
fn an_agent_that_stood_still_renews_only_when_its_server_has_answered_since() {
    let mut model = ModelHost::settled_holder();
    model.server_blocks = true;
    model.now = model.now + Duration::from_secs(5);
    let renewals = |model: &ModelHost| {
        model.count(|action| matches!(action, Action::Vip(_, VipAction::RenewAddress { .. })))
    };
    let before = renewals(&model);
    model.tell(Event::Wake);
    model.run(ms(300));
    assert_eq!(renewals(&model), before, "its addresses were looked at, and its server has not answered");
    model.server_blocks = false;
    model.run(ms(50));
    assert_eq!(renewals(&model), before + 1);
}

#[test]
fn a_lease_is_renewed_three_times_in_its_length_and_the_network_is_asked_each_time() {
    let mut model = ModelHost::settled_holder();
    let before = model.actions.len();
    model.run(Duration::from_secs(30));
    let count = |wanted: fn(&Action) -> bool| {
        model.actions.iter().skip(before).filter(|(_, action)| wanted(action)).count()
    };
    let renewals = count(|action| matches!(action, Action::Vip(_, VipAction::RenewAddress { .. })));
    assert!((9..=10).contains(&renewals), "{renewals} renewals in 30 s of a lease of 10 s");
    assert!(count(|action| *action == Action::Vip(VipId::FIRST, VipAction::AskWhoHasVip)) >= renewals);
}

#[test]
fn after_a_step_of_the_wall_clock_everything_is_asked_before_anything_is_renewed_and_the_vip_stays() {
    let mut model = ModelHost::settled_holder();
    let decision = model.tell(parted(0, 3_600_000));
    for question in [
        Action::AskHost,
        Action::AskServer,
        Action::AskGateway,
        Action::Vip(VipId::FIRST, VipAction::AskWhoHasVip),
    ] {
        assert!(decision.actions.contains(&question), "{question:?} of {decision:#?}");
    }
    assert!(!renews(&decision) && lets_go(&decision).is_none(), "{decision:#?}");
    model.run(Duration::from_secs(20));
    assert!(model.vip_here);
    assert_eq!(model.stage_5(), 1, "NO-FLAP: {:#?}", model.reasons);
}

#[test]
fn a_claim_answered_after_a_pause_that_no_clock_shows_is_settled_before_the_next_renewal() {
    // The machine stood still, its clocks too: another member leads since, and answers the question.
    let mut model = ModelHost::settled_holder();
    model.peers.insert(
        model_host::member(2),
        decide::input::Fact::Known(decide::input::Server::Member(model_host::group(2, 2, 546, false))),
    );
    model.frame(2, Says::Reply);
    model.run(ms(50));
    assert!(!model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn a_host_that_was_suspended_past_its_lease_lets_go_and_takes_only_what_is_free() {
    let mut model = ModelHost::settled_holder();
    model.now = model.now + Duration::from_secs(60);
    let decision = model.tell(parted(60, 0));
    assert_eq!(lets_go(&decision), Some(&LetGo::Suspended(Duration::from_secs(60))), "{decision:#?}");
    model.answering = Some(2);
    model.run(Duration::from_secs(5));
    assert!(!model.vip_here, "member 2 has it by now");
    model.answering = None;
    model.run(Duration::from_secs(1));
    assert!(model.vip_here, "and here it is wanted, when nobody has it: {:#?}", model.reasons.last());
}

/// When the address that was renewed last is gone by its lease.
fn lease_over(model: &ModelHost) -> Time {
    let VipState::Holding(hold) = &model.machine().state else { panic!("not held") };
    let lease = model.vip.lease.unwrap();
    hold.next_renewal.unwrap() + lease.saturating_sub(lease / 3)
}

#[test]
fn an_agent_that_wakes_right_after_its_lease_holds_nothing_and_right_before_it_asks_first() {
    let mut model = ModelHost::settled_holder();
    model.now = lease_over(&model) + ms(1);
    let decision = model.tell(Event::Wake);
    assert!(decision.each_reason().any(|reason| matches!(reason, Reason::LeaseOver(_))), "{decision:#?}");
    let mut model = ModelHost::settled_holder();
    model.now = lease_over(&model) - ms(1);
    let decision = model.tell(Event::Wake);
    assert!(!renews(&decision), "{decision:#?}");
    assert!(matches!(model.machine().state, VipState::Holding(_)));
}

#[test]
fn a_host_that_was_not_suspended_leaves_the_address_to_its_kernel_which_has_dropped_it() {
    let mut model = ModelHost::settled_holder();
    model.now = model.now + Duration::from_secs(60);
    model.vip_here = false;
    let decision = model.tell(parted(0, 3_600_000));
    assert_eq!(lets_go(&decision), None, "{decision:#?}");
    assert!(decision.each_reason().any(|reason| matches!(reason, Reason::LeaseOver(_))));
}

#[test]
fn an_agent_that_is_told_to_give_up_before_it_has_looked_removes_what_it_then_finds() {
    let mut model = ModelHost::new(Answers::all_pass(), true);
    model.tell(Event::Release);
    model.run(Duration::from_secs(3));
    assert!(!model.vip_here && model.state.has_given_up(), "{:#?}", model.reasons);
}

#[test]
fn a_drained_host_takes_no_vip_until_it_is_undrained_and_then_on_evidence_of_its_own() {
    let mut model = ModelHost::settled_holder();
    model.tell(Event::Release);
    model.run(Duration::from_secs(30));
    assert!(!model.vip_here && model.state.has_given_up(), "{:#?}", model.reasons);
    model.tell(Event::Undrain);
    assert!(!model.vip_here, "nobody was asked yet whether another host has it");
    model.run(Duration::from_secs(3));
    assert!(model.vip_here && !model.state.has_given_up(), "{:#?}", model.reasons);
}

#[test]
fn a_host_that_was_suspended_for_less_than_its_lease_keeps_the_vip() {
    let mut model = ModelHost::settled_holder();
    model.now = model.now + Duration::from_secs(4);
    let decision = model.tell(parted(4, 0));
    assert!(!renews(&decision) && lets_go(&decision).is_none(), "{decision:#?}");
    model.run(Duration::from_secs(10));
    assert!(model.vip_here);
    assert_eq!(model.stage_5(), 1);
}

#[test]
fn an_agent_told_to_give_the_vip_up_yields_it_as_to_a_claim_and_takes_it_no_more() {
    let mut model = ModelHost::settled_holder();
    let decision = model.tell(Event::Release);
    let order: Vec<_> = decision
        .actions
        .iter()
        .filter(|action| {
            matches!(
                action,
                Action::Vip(
                    _,
                    VipAction::ListConnections
                        | VipAction::KeepLatePackets { .. }
                        | VipAction::RemoveAddress { .. }
                        | VipAction::AnnounceRelease(_)
                )
            )
        })
        .collect();
    assert!(
        matches!(
            order[..],
            [
                Action::Vip(_, VipAction::KeepLatePackets { .. }),
                Action::Vip(_, VipAction::RemoveAddress { .. }),
                Action::Vip(VipId::FIRST, VipAction::AnnounceRelease(None)),
                Action::Vip(VipId::FIRST, VipAction::ListConnections)
            ]
        ),
        "{order:?}"
    );
    assert_eq!(decision.stage_5(), 0);
    model.run(ms(10));
    model.frame(3, Says::Announcement);
    assert_eq!(
        model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::ForwardLatePackets(mac(3)))),
        1
    );
    model.run(ms(200));
    assert!(model.state.has_given_up(), "{:?}", model.machine().state);
    assert_eq!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::DestroyConnections)), 1);
    model.run(Duration::from_secs(30));
    assert!(!model.vip_here, "its server still leads, and it was told to give it up");
    let end = model.tell(Event::Stopping);
    assert!(!renews(&end), "{end:#?}");
}

#[test]
fn what_nobody_takes_is_given_up_within_a_moment() {
    let mut model = ModelHost::settled_holder();
    model.tell(Event::Release);
    model.run(ms(1_100));
    assert!(model.state.has_given_up());
    assert_eq!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::DestroyConnections)), 1);
    assert_eq!(model.machine().state, VipState::Absent);
}

#[test]
fn it_counts_as_given_up_only_when_it_was_told_so_and_neither_the_address_nor_its_connections_are_left() {
    let mut model = ModelHost::settled_holder();
    assert!(!model.state.has_given_up(), "nobody told it to");
    model.tell(Event::Release);
    assert!(!model.state.has_given_up(), "the kernel has not shown it gone");
    model.run(ms(100));
    assert_eq!(model.machine().state, VipState::Absent);
    assert!(!model.state.has_given_up(), "its connections are still open");
    model.run(ms(1_000));
    assert!(model.state.has_given_up());
    let mut secondary = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    secondary.run(Duration::from_secs(1));
    assert!(!secondary.state.has_given_up(), "nobody told it to");
    let mut blind = ModelHost::new(Answers { host_known: false, ..Answers::all_pass() }, true);
    blind.run(Duration::from_secs(1));
    blind.tell(Event::Release);
    assert!(!blind.state.has_given_up(), "whether it is here is not known");
}

#[test]
fn a_vip_that_is_not_here_is_given_up_at_once() {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(Duration::from_secs(1));
    let decision = model.tell(Event::Release);
    assert!(model.state.has_given_up());
    assert_eq!(decision.stage_5(), 1);
}

#[test]
fn a_stop_while_the_vip_should_go_leaves_it_to_its_lease_and_says_so() {
    let mut model = ModelHost::settled_holder();
    model.first.server = decide::input::Fact::Known(decide::input::Server::Refused("refused".to_owned()));
    model.run(Duration::from_secs(2));
    assert!(model.vip_here, "it refuses for the clients");
    let decision = model.tell(Event::Stopping);
    assert!(!renews(&decision), "{decision:#?}");
    let said = decision.each_reason().last().unwrap().to_string();
    assert!(said.contains("the kernel removes it within 10 s"), "{said}");
}

#[test]
fn an_agent_that_stood_still_looks_for_the_vip_before_it_renews_it_also_where_that_is_due_just_now() {
    let mut model = ModelHost::settled_holder();
    model.run(ms(100));
    let stood_still_from = model.now;
    // Removed by hand meanwhile; the word of that lies unread behind what was read first.
    model.vip_here = false;
    let VipState::Holding(hold) = &model.machine().state else { panic!("{:?}", model.machine().state) };
    model.now = hold.next_renewal.unwrap() + ms(10);
    assert!(model.now.since(stood_still_from) > ms(1_000));
    let decision = model.tell(Event::Wake);
    assert!(!renews(&decision), "{decision:#?}");
    assert!(decision.actions.contains(&Action::AskHost), "{decision:#?}");
}

#[test]
fn where_the_other_holders_server_can_tell_nothing_a_third_members_shows_that_the_group_has_moved_on() {
    let mut model = ModelHost::settled_holder();
    // Member 2 leads since view 546, and its server hangs: only member 3 tells of that view.
    let third = model_host::group(3, 2, 546, true);
    let third = decide::input::Fact::Known(decide::input::Server::Member(third));
    model.peers.insert(model_host::member(3), third);
    model.frame(2, Says::Announcement);
    model.run(ms(100));
    assert!(!model.vip_here, "{:#?}", model.reasons.last());
}
