//! `group_replication_set_as_primary` while the target still applies: the roles flip at once, and for as long as the target
//! has a backlog the old primary is SECONDARY and takes writes, the new one PRIMARY and read-only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::{Fact, Gateway, MemberState, NotInGroup, Says, Server};
use decide::net::VipId;
use decide::output::{Action, LetGo, Reason, VipAction};
use model_host::{Answers, ModelHost, group, member, ms, not_in_group};

const SECOND: Duration = Duration::from_secs(1);

/// What member `local` says of the group that member 2 leads by its role.
fn led_by_2(local: u8, counter: u64, super_read_only: bool) -> Fact<Server> {
    Fact::Known(Server::Member(group(local, 2, counter, super_read_only)))
}

/// The roles have just flipped: this holder's server is SECONDARY and still writable, the new primary is read-only.
fn switchover_under_way() -> ModelHost {
    let mut model = ModelHost::settled_holder();
    model.first.server = led_by_2(1, 545, false);
    model.peers.insert(member(2), led_by_2(2, 545, true));
    model.run(ms(300));
    assert!(model.vip_here, "{:#?}", model.reasons);
    model
}

fn stopped(model: &ModelHost, wanted: impl Fn(&LetGo) -> bool) -> bool {
    model.said(|reason| matches!(reason, Reason::Stopped { because, .. } if wanted(because)))
}

#[test]
fn a_holder_whose_server_is_secondary_and_still_writable_keeps_the_vip_for_as_long_as_that_lasts() {
    let mut model = switchover_under_way();
    let renewals = |model: &ModelHost| {
        model.count(|action| matches!(action, Action::Vip(_, VipAction::RenewAddress { .. })))
    };
    let before = renewals(&model);
    model.run(SECOND * 60);
    assert!(model.vip_here, "{:#?}", model.reasons);
    assert!(renewals(&model) >= before + 15, "a lease of 10 s is renewed three times in it");
    let said = model.reasons.last().unwrap().to_string();
    assert!(
        said.contains("secondary that still takes writes")
            && said.contains("until the new primary claims it"),
        "{said}"
    );
}

#[test]
fn the_server_is_polled_quickly_while_it_is_secondary_and_still_writable() {
    let mut model = ModelHost::settled_holder();
    let quick = |model: &ModelHost| model.count(|action| *action == Action::PollEvery(ms(10)));
    let before = quick(&model);
    model.first.server = led_by_2(1, 545, false);
    model.run(ms(300));
    assert_eq!(quick(&model), before + 1);
}

#[test]
fn it_yields_to_the_new_primarys_claim_at_once_although_its_own_server_takes_writes_in_the_same_view() {
    let mut model = switchover_under_way();
    model.peers.insert(member(2), led_by_2(2, 545, false));
    model.frame(2, Says::Probe);
    // The claimant's server answers after 10 ms.
    model.run(ms(12));
    assert!(!model.vip_here, "{:#?}", model.reasons);
    assert!(stopped(&model, |because| *because == LetGo::ClaimantLeads(member(2))));
}

#[test]
fn what_its_own_server_said_before_the_claim_is_enough_to_yield_on() {
    let mut model = switchover_under_way();
    model.server_blocks = true;
    model.peers.insert(member(2), led_by_2(2, 545, false));
    model.frame(2, Says::Probe);
    model.run(ms(12));
    assert!(!model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn of_two_holders_one_that_hears_nothing_of_its_server_yields_to_a_secondary_that_still_takes_writes() {
    let unheard_holder = || {
        let mut model = ModelHost::settled_holder();
        model.server_blocks = true;
        model.run(ms(500));
        model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 1, 545, false))));
        model
    };
    let mut model = unheard_holder();
    model.frame(2, Says::Announcement);
    model.run(ms(150));
    assert!(!model.vip_here, "{:#?}", model.reasons);
    assert!(stopped(&model, |because| *because == LetGo::OwnSilent(member(2))));
    // One that only asks for it, and one that takes none: clients are served nowhere else, or better here.
    let mut model = unheard_holder();
    model.frame(2, Says::Probe);
    model.run(SECOND);
    assert!(model.vip_here, "{:#?}", model.reasons);
    let mut model = unheard_holder();
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 1, 545, true))));
    model.frame(2, Says::Announcement);
    model.run(SECOND);
    assert!(model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn of_two_holders_the_primary_that_takes_no_writes_yet_yields_to_the_secondary_that_still_does() {
    let read_only_primary = || {
        let mut model = ModelHost::settled_holder();
        model.first.server = Fact::Known(Server::Member(group(1, 1, 545, true)));
        model.run(ms(500));
        model
    };
    let mut model = read_only_primary();
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 1, 545, false))));
    model.frame(2, Says::Announcement);
    model.run(ms(50));
    assert!(!model.vip_here, "{:#?}", model.reasons);
    assert!(stopped(&model, |because| *because == LetGo::WritableThere(member(2))));
    // One that has it and takes none, one that takes them by an older view, one that only asks for it: it stays.
    for (theirs, says) in [
        (group(2, 1, 545, true), Says::Announcement),
        (group(2, 1, 544, false), Says::Announcement),
        (group(2, 1, 545, false), Says::Probe),
    ] {
        let mut model = read_only_primary();
        model.peers.insert(member(2), Fact::Known(Server::Member(theirs)));
        model.frame(2, says);
        model.run(SECOND);
        assert!(model.vip_here, "{:#?}", model.reasons);
    }
}

#[test]
fn it_stays_against_a_member_whose_server_does_not_take_writes_either() {
    for claimants in [led_by_2(2, 545, true), led_by_2(2, 544, false)] {
        let mut model = switchover_under_way();
        model.peers.insert(member(2), claimants.clone());
        model.frame(2, Says::Probe);
        model.run(SECOND);
        assert!(model.vip_here, "{claimants:?}: {:#?}", model.reasons);
        assert!(model.said(|reason| *reason == Reason::DisputeWon(member(2))));
    }
}

#[test]
fn it_yields_in_time_to_a_claimant_of_whose_server_nothing_can_be_learned() {
    // Who claims leads by its own word, and our server says itself that it does not.
    let mut model = switchover_under_way();
    model.peers.remove(&member(2));
    model.frame(2, Says::Probe);
    model.run(model.vip.dispute_limit + ms(50));
    assert!(!model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn when_its_server_takes_no_writes_any_more_and_nobody_claims_it_lets_go_after_claim_wait() {
    let mut model = switchover_under_way();
    model.run(SECOND * 5);
    model.first.server = led_by_2(1, 545, true);
    model.run(model.vip.claim_wait.saturating_sub(ms(100)));
    assert!(model.vip_here);
    model.run(ms(300));
    assert!(!model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn a_secondary_that_is_made_writable_by_hand_does_not_take_the_vip() {
    let answers = Answers { server: led_by_2(1, 545, false), ..Answers::all_pass() };
    let mut model = ModelHost::new(answers, false);
    model.run(SECOND * 20);
    assert!(!model.vip_here);
    assert_eq!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)), 0);
}

#[test]
fn an_agent_that_starts_during_such_a_switchover_keeps_the_vip_that_it_finds() {
    let answers = Answers { server: led_by_2(1, 545, false), ..Answers::all_pass() };
    let mut model = ModelHost::new(answers, true);
    model.run(SECOND * 20);
    assert!(model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn a_writable_secondary_in_a_view_that_the_group_has_left_lets_go() {
    let mut model = switchover_under_way();
    model.peers.insert(member(3), led_by_2(3, 546, true));
    // Another member's question to us is no claim: its server is asked because it announces.
    model.frame(3, Says::Announcement);
    model.run(SECOND * 3);
    assert!(!model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn a_writable_secondary_without_the_majority_or_the_gateway_lets_go_at_once() {
    let mut alone = group(1, 2, 545, false);
    for row in &mut alone.members[1..] {
        row.state = MemberState::Unreachable;
    }
    let no_majority = Answers { server: Fact::Known(Server::Member(alone)), ..Answers::all_pass() };
    let gateway = Fact::Known(Gateway::Lost { misses: 4 });
    let no_gateway = Answers { server: led_by_2(1, 545, false), gateway, ..Answers::all_pass() };
    for answers in [no_majority, no_gateway] {
        let mut model = switchover_under_way();
        model.first = answers;
        model.run(ms(300));
        assert!(!model.vip_here, "{:#?}", model.reasons);
    }
}

#[test]
fn a_server_that_takes_writes_and_is_not_online_in_the_group_is_no_writable_secondary() {
    let mut offline = group(1, 2, 545, false);
    offline.members[0].state = MemberState::Offline;
    for server in [Fact::Known(Server::Member(offline)), not_in_group(NotInGroup::NotRunning)] {
        let mut model = switchover_under_way();
        model.first.server = server;
        model.run(ms(300));
        assert!(!model.vip_here, "{:#?}", model.reasons);
    }
}

#[test]
fn with_the_gateway_lost_for_all_a_writable_secondary_holds_with_the_majority_where_that_is_the_sites_choice()
{
    let mut model = switchover_under_way();
    model.vip.gateway_lost = decide::policy::GatewayLost::HoldWithMajority;
    model.first.gateway = Fact::Known(Gateway::Lost { misses: 4 });
    model.run(SECOND * 10);
    assert!(model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn a_holder_whose_server_no_longer_leads_asks_who_has_the_vip_and_yields_at_once_to_a_member_that_answers() {
    // It stood still and no clock shows it: another was elected and took the VIP meanwhile.
    let mut model = ModelHost::settled_holder();
    // Past the renewal that is due, which asks too.
    model.run(SECOND);
    let asked = |model: &ModelHost| {
        model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::AskWhoHasVip))
    };
    let before = asked(&model);
    model.first.server = led_by_2(1, 545, true);
    model.run(ms(150));
    assert_eq!(asked(&model), before + 1);
    model.frame(2, Says::Reply);
    model.run(ms(5));
    assert!(!model.vip_here, "{:#?}", model.reasons);
}
