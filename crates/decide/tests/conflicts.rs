//! A stranger that uses the VIP, one that asks for it, one that has it, and hosts without an agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::{Event, Fact, Gateway, Says, Server, Why};
use decide::net::VipId;
use decide::output::{Action, LetGo, Reason, Vacant, VipAction};
use decide::policy::{GatewayLost, Policy};
use decide::vip::VipState;
use model_host::{Answers, ModelHost, group, group_policy, limits, mac, member, ms, secondary};

/// No member's.
const STRANGER: u8 = 66;

fn announcements(model: &ModelHost) -> usize {
    model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::Announce))
}

fn lets_go(model: &ModelHost) -> bool {
    model.count(|action| matches!(action, Action::Vip(_, VipAction::RemoveAddress { .. }))) > 0
}

#[test]
fn a_stranger_that_uses_the_vip_is_answered_only_when_the_server_has_proven_anew_that_it_leads() {
    let mut model = ModelHost::settled_holder();
    let before = announcements(&model);
    let decision = model.frame(STRANGER, Says::Announcement);
    assert!(decision.actions.contains(&Action::AskServer), "{decision:?}");
    assert!(
        !decision.actions.contains(&Action::Vip(VipId::FIRST, VipAction::Announce)),
        "not on an old proof"
    );
    model.run(ms(10));
    assert_eq!(announcements(&model), before + 1);
    assert!(model.said(|reason| *reason == Reason::Defended(mac(STRANGER))));
    assert!(model.vip_here);
}

#[test]
fn a_stranger_that_goes_on_is_answered_within_a_tenth_of_a_second_then_within_one_and_no_more_often() {
    let mut model = ModelHost::settled_holder();
    for (seconds, least, most) in [(10, 90, 101), (20, 18, 21)] {
        let before = announcements(&model);
        for _ in 0..seconds * 100 {
            model.frame(STRANGER, Says::Reply);
            model.run(ms(10));
        }
        let defended = announcements(&model) - before;
        assert!((least..=most).contains(&defended), "{defended} in {seconds} s");
    }
    assert!(model.vip_here && !lets_go(&model));
    let named = model.reasons.iter().filter(|reason| matches!(reason, Reason::Stranger(_))).count();
    assert_eq!(named, 1, "named once a minute");
}

#[test]
fn the_last_frame_of_a_stranger_is_answered_too() {
    let mut model = ModelHost::settled_holder();
    model.frame(STRANGER, Says::Announcement);
    model.run(ms(20));
    let before = announcements(&model);
    // It comes while no defence is due yet: clients' caches are turned by it until they are turned back.
    model.frame(STRANGER, Says::Announcement);
    model.run(ms(150));
    assert_eq!(announcements(&model), before + 1);
}

#[test]
fn a_stranger_that_is_heard_no_more_is_answered_each_second_until_the_conflict_is_over() {
    let mut model = ModelHost::settled_holder();
    model.frame(STRANGER, Says::Reply);
    model.run(ms(20));
    // What it says to a client is not heard here.
    for (seconds, least, most) in [(9, 8, 10), (3, 0, 1), (20, 0, 0)] {
        let before = announcements(&model);
        model.run(Duration::from_secs(seconds));
        let said = announcements(&model) - before;
        assert!((least..=most).contains(&said), "{said} in {seconds} s");
    }
    assert!(model.vip_here && !lets_go(&model));
}

#[test]
fn a_strangers_probe_is_named_and_gets_nothing_else() {
    let mut model = ModelHost::settled_holder();
    let before = (announcements(&model), model.actions.len());
    let decision = model.frame(STRANGER, Says::Probe);
    assert_eq!(decision.actions, [Action::LearnNeighbors]);
    model.run(Duration::from_secs(3));
    assert_eq!(announcements(&model), before.0);
    assert!(model.said(|reason| *reason == Reason::StrangerAsks(mac(STRANGER)) && !reason.is_error()));
    model.frame(STRANGER, Says::Announcement);
    model.run(Duration::from_secs(3));
    assert!(model.said(|reason| *reason == Reason::Stranger(mac(STRANGER)) && reason.is_error()));
}

#[test]
fn an_address_that_only_lingers_is_let_go_of_when_a_stranger_uses_it() {
    let mut model = ModelHost::settled_holder();
    model.first.server = Fact::Known(Server::Refused("refused".to_owned()));
    model.run(Duration::from_secs(2));
    assert!(model.vip_here, "it lingers");
    model.frame(STRANGER, Says::Announcement);
    model.run(ms(200));
    assert!(!model.vip_here);
    assert!(model.said(
        |reason| matches!(reason, Reason::Stopped { because: LetGo::ConflictWhileFailing(who, ..), .. } if *who == mac(STRANGER))
    ));
}

#[test]
fn each_of_two_strangers_is_named_and_answered() {
    const OTHER: u8 = 67;
    let mut model = ModelHost::settled_holder();
    for stranger in [STRANGER, OTHER] {
        model.frame(stranger, Says::Announcement);
        model.run(Duration::from_secs(2));
        assert!(model.said(|reason| *reason == Reason::Stranger(mac(stranger))), "{:#?}", model.reasons);
        assert!(model.said(|reason| *reason == Reason::Defended(mac(stranger))), "{:#?}", model.reasons);
    }
}

#[test]
fn a_stranger_is_named_only_when_the_members_have_had_the_time_to_tell_their_hardware_addresses() {
    let mut model = ModelHost::settled_holder();
    model.frame(STRANGER, Says::Announcement);
    model.run(ms(900));
    assert!(!model.said(|reason| matches!(reason, Reason::Stranger(_))));
    model.run(ms(200));
    assert!(model.said(|reason| matches!(reason, Reason::Stranger(_))));
}

#[test]
fn a_stranger_that_turns_out_to_be_a_member_is_answered_as_one_though_it_says_nothing_more() {
    let mut model = ModelHost::settled_holder();
    model.state.facts.neighbors.macs.clear();
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 2, 546, false))));
    model.frame(2, Says::Announcement);
    model.run(ms(20));
    assert!(model.vip_here, "nothing is known of who asks");
    model.tell(Event::Neighbor { address: member(2), mac: mac(2) });
    model.run(ms(50));
    assert!(!model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn a_stage_that_fails_only_once_costs_nothing_while_a_stranger_uses_the_vip() {
    let mut model = ModelHost::settled_holder();
    model.first.server = Fact::Known(Server::Refused("refused".to_owned()));
    model.second = Some(Answers::all_pass());
    model.frame(STRANGER, Says::Announcement);
    model.run(Duration::from_secs(1));
    assert!(model.said(|reason| matches!(reason, Reason::Rechecking(..))));
    assert!(model.vip_here && !lets_go(&model), "{:#?}", model.reasons);
}

#[test]
fn where_nothing_is_known_a_stranger_is_neither_fought_nor_given_the_address() {
    let mut model = ModelHost::settled_holder();
    model.first.server = Fact::Unknown(Why::TooManyConnections("1040".to_owned()));
    model.run(Duration::from_secs(1));
    for _ in 0..20 {
        model.frame(STRANGER, Says::Announcement);
        model.run(ms(100));
    }
    assert!(!model.said(|reason| matches!(reason, Reason::Defended(_))));
    assert!(model.vip_here);
}

#[test]
fn a_stranger_that_has_the_wanted_address_is_named_at_error_with_its_mac() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.answering = Some(STRANGER);
    model.run(Duration::from_secs(4));
    assert!(!model.vip_here);
    let named = |reason: &Reason| *reason == Reason::TakenByStranger(mac(STRANGER)) && reason.is_error();
    assert!(model.said(named), "{:#?}", model.reasons);
}

#[test]
fn a_host_that_has_the_wanted_address_is_called_a_stranger_only_when_the_members_could_have_told_their_macs()
{
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.answering = Some(STRANGER);
    model.run(ms(950));
    assert!(model.said(|reason| *reason == Reason::Taken(mac(STRANGER), None)), "{:#?}", model.reasons);
    assert!(!model.said(|reason| matches!(reason, Reason::TakenByStranger(_))), "{:#?}", model.reasons);
}

#[test]
fn a_claimant_that_cannot_hear_answers_does_not_take_the_address() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.tell(Event::ReceiveUp(VipId::FIRST, false));
    model.run(Duration::from_secs(5));
    assert!(!model.vip_here && model.said(|reason| *reason == Reason::ReceiveDown));
    assert_eq!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)), 0);
    model.tell(Event::ReceiveUp(VipId::FIRST, true));
    model.run(ms(150));
    assert!(model.vip_here, "{:#?}", model.reasons);
    assert!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)) >= 3);
}

#[test]
fn a_probe_that_was_not_sent_is_not_unanswered() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    for _ in 0..100 {
        model.run(ms(10));
        model.tell(Event::Done {
            action: Action::Vip(VipId::FIRST, VipAction::SendProbe),
            outcome: decide::output::Outcome::Failed("eth0 is down".to_owned()),
        });
    }
    assert!(!model.vip_here);
    model.run(ms(200));
    assert!(model.vip_here);
}

/// Member 2's host answers for the address, and its server says this.
fn held_by_member_2(takeover_after: Option<Duration>, server: Option<Fact<Server>>) -> ModelHost {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.vip.takeover_after = takeover_after;
    model.answering = Some(2);
    if let Some(server) = server {
        model.peers.insert(member(2), server);
    }
    model.run(Duration::from_secs(40));
    model
}

#[test]
fn an_address_that_a_host_without_an_agent_keeps_is_left_to_it_by_default() {
    let model = held_by_member_2(None, Some(Fact::Known(Server::Member(group(2, 1, 545, true)))));
    assert!(!model.vip_here && matches!(model.machine().state, VipState::Claiming(_)));
}

#[test]
fn takeover_after_takes_it_from_a_member_whose_server_does_not_lead_or_is_not_known_to() {
    let after = Some(Duration::from_secs(20));
    let secondary = Fact::Known(Server::Member(group(2, 1, 545, true)));
    let stale = Fact::Known(Server::Member(group(2, 2, 544, false)));
    let refused = Fact::Known(Server::Refused("refused".to_owned()));
    for server in [Some(secondary), Some(stale), Some(refused), None] {
        let model = held_by_member_2(after, server.clone());
        let taken = |reason: &Reason| matches!(reason, Reason::Started { because: Vacant::Overruled(who, by), .. } if *who == mac(2) && *by == member(2));
        assert!(model.said(taken), "{server:?}: {:#?}", model.reasons);
        let at = model
            .actions
            .iter()
            .find(|(_, action)| matches!(action, Action::Vip(_, VipAction::AddAddress { .. })))
            .unwrap()
            .0;
        assert!(at.since(decide::time::Time(1_000_000_000)) >= Duration::from_secs(20), "{server:?}");
    }
}

#[test]
fn takeover_after_takes_nothing_from_a_member_that_leads_nor_from_a_stranger() {
    let after = Some(Duration::from_secs(20));
    let leads = Fact::Known(Server::Member(group(2, 2, 545, false)));
    assert!(!held_by_member_2(after, Some(leads)).vip_here);
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.vip.takeover_after = after;
    model.answering = Some(STRANGER);
    model.run(Duration::from_secs(60));
    assert!(!model.vip_here);
}

#[test]
fn takeover_after_must_outlast_a_hung_agents_lease() {
    let (group, mut vip) = (group_policy(), limits());
    vip.lease = Some(Duration::from_secs(8));
    vip.takeover_after = Some(Duration::from_secs(10));
    Policy::new(group.clone(), vip.clone()).validate().unwrap();
    vip.lease = Some(Duration::from_secs(9));
    assert_eq!(Policy::new(group, vip).validate().unwrap_err().key, "takeover_after");
}

fn gateway_lost() -> Answers {
    Answers { gateway: Fact::Known(Gateway::Lost { misses: 16 }), ..Answers::all_pass() }
}

#[test]
fn a_lost_gateway_costs_the_vip_by_default() {
    let mut model = ModelHost::settled_holder();
    model.first = gateway_lost();
    model.run(Duration::from_secs(1));
    assert!(!model.vip_here);
}

#[test]
fn with_hold_with_majority_a_lost_gateway_costs_nothing_while_the_majority_is_there() {
    let mut model = ModelHost::settled_holder();
    model.vip.gateway_lost = GatewayLost::HoldWithMajority;
    model.first = gateway_lost();
    model.run(Duration::from_secs(60));
    assert!(model.vip_here);
    let words = model.reasons.iter().find(|reason| **reason == Reason::HoldingWithoutGateway).unwrap();
    assert!(words.is_error());
    // Its server is no longer the primary, or not known to be: the gateway counts again.
    for server in [secondary(), Fact::Unknown(Why::TimedOut(ms(500)))] {
        let mut model = ModelHost::settled_holder();
        model.vip.gateway_lost = GatewayLost::HoldWithMajority;
        model.first = Answers { server, ..gateway_lost() };
        model.run(Duration::from_secs(2));
        assert!(!model.vip_here);
    }
}

#[test]
fn with_hold_with_majority_a_vip_is_still_not_started_without_the_gateway() {
    let mut model = ModelHost::new(gateway_lost(), false);
    model.vip.gateway_lost = GatewayLost::HoldWithMajority;
    model.run(Duration::from_secs(20));
    assert!(!model.vip_here);
}

#[test]
fn a_server_that_lives_and_turns_the_agent_away_keeps_the_vip_at_error_and_one_that_is_silent_for_a_while() {
    for (why, error) in [
        (Why::WrongPassword("1045".to_owned()), true),
        (Why::TooManyConnections("1040".to_owned()), true),
        (Why::NotAllowed("1142".to_owned()), true),
        (Why::TimedOut(ms(500)), false),
        (Why::Unreachable("no route".to_owned()), false),
        (Why::Other("packet out of order".to_owned()), false),
    ] {
        let mut model = ModelHost::settled_holder();
        model.reasons.clear();
        model.first.server = Fact::Unknown(why.clone());
        model.run(Duration::from_secs(25));
        assert!(model.vip_here, "{why}");
        let said = model.reasons.iter().find(|reason| matches!(reason, Reason::HoldingUnknown(..))).unwrap();
        assert_eq!(said.is_error(), error, "{why}");
        model.run(Duration::from_secs(if error { 600 } else { 30 }));
        assert_eq!(model.vip_here, error, "{why}: a time-out's patience ends, a living server's does not");
    }
}
