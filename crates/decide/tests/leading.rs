//! Who leads, and in which view: what a holder and a claimant make of servers that say so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::{Event, Fact, GroupView, MemberState, Says, Seen, Server, ViewId};
use decide::output::{Action, Reason, VipAction};
use decide::policy::ReadOnlyPrimary;
use model_host::{Answers, ModelHost, group, member, ms};

fn known(view: GroupView) -> Fact<Server> {
    Fact::Known(Server::Member(view))
}

/// The group was started anew: its views count from the start again.
fn born_anew(local: u8, primary: u8, counter: u64, super_read_only: bool) -> GroupView {
    let view = Some(ViewId::new("99999", counter));
    GroupView { view, ..group(local, primary, counter, super_read_only) }
}

#[test]
fn a_primary_that_is_set_read_only_keeps_the_vip_and_one_that_is_read_only_does_not_take_it() {
    let read_only = known(group(1, 1, 545, true));
    let mut model = ModelHost::settled_holder();
    model.first.server = read_only.clone();
    model.run(Duration::from_secs(120));
    assert!(model.vip_here, "nobody else can be the primary, and its readers need it: {:#?}", model.reasons);
    assert!(model.said(|reason| *reason == Reason::HoldingReadOnly));
    assert_eq!(model.stage_5(), 1);
    let mut model = ModelHost::new(Answers { server: read_only, ..Answers::all_pass() }, false);
    model.run(Duration::from_secs(20));
    assert!(!model.vip_here);
}

#[test]
fn a_primary_that_is_set_read_only_lets_go_where_the_policy_says_so_and_takes_the_vip_again_when_it_is_writable()
 {
    let mut model = ModelHost::settled_holder();
    model.vip.read_only_primary = ReadOnlyPrimary::Release;
    model.first.server = known(group(1, 1, 545, true));
    model.run(Duration::from_secs(3));
    assert!(!model.vip_here, "{:#?}", model.reasons);
    model.first.server = known(group(1, 1, 545, false));
    model.run(Duration::from_secs(3));
    assert!(model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn a_member_leads_only_as_a_primary_that_takes_writes() {
    for (primary, read_only, leads) in
        [(1, false, true), (1, true, false), (2, false, false), (2, true, false)]
    {
        let view = group(1, primary, 545, read_only);
        assert_eq!(view.is_writable_primary(), leads, "{view:?}");
    }
}

#[test]
fn a_claimant_whose_server_is_a_secondary_that_takes_writes_gets_nothing_from_a_holder_whose_own_is_silent() {
    let mut model = ModelHost::settled_holder();
    model.peers.insert(member(2), known(group(2, 3, 546, false)));
    model.server_blocks = true;
    for _ in 0..40 {
        model.frame(2, Says::Probe);
        model.run(ms(20));
    }
    assert!(model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn in_a_group_that_was_born_anew_the_newest_view_counts_as_in_the_one_before() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.run(ms(10));
    model.first.server = known(born_anew(1, 1, 3, false));
    model.answering = Some(2);
    model.peers.insert(member(2), known(born_anew(2, 2, 4, false)));
    model.run(Duration::from_secs(3));
    model.answering = None;
    model.frame(2, Says::Probe);
    model.run(Duration::from_secs(20));
    assert!(!model.vip_here, "its server leads in view 3, and the group has reached 4: {:#?}", model.reasons);
}

#[test]
fn a_late_answer_from_before_the_group_was_born_anew_does_not_take_it_back_there() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.run(ms(10));
    let before = model.now;
    model.run(ms(200));
    model.first.server = known(born_anew(1, 1, 3, false));
    model.run(ms(200));
    model.tell(Event::Server(Seen { asked_at: before, fact: model_host::primary() }));
    assert_eq!(model.state.facts.views.newest, Some(ViewId::new("99999", 3)));
    model.run(ms(500));
    assert_eq!(model.count(|action| matches!(action, Action::Vip(_, VipAction::RemoveAddress { .. }))), 0);
}

#[test]
fn a_view_of_a_member_without_a_majority_or_outside_the_group_makes_no_other_view_old() {
    let mut alone = group(2, 2, 550, false);
    alone.members[0].state = MemberState::Unreachable;
    alone.members[2].state = MemberState::Unreachable;
    let mut left = group(2, 2, 550, false);
    left.members[1].state = MemberState::Error;
    for view in [alone, left] {
        let mut model = ModelHost::settled_holder();
        model.tell(Event::Peer { member: member(2), seen: Seen { asked_at: model.now, fact: known(view) } });
        model.run(Duration::from_secs(5));
        assert!(model.vip_here && model.stage_5() == 1, "{:#?}", model.reasons);
    }
}

#[test]
fn a_vip_that_follows_the_primary_is_on_one_that_takes_no_writes_and_leaves_with_the_role() {
    let read_only = |primary| known(group(1, primary, 545, true));
    let mut model = ModelHost::new(Answers { server: read_only(1), ..Answers::all_pass() }, false);
    model.vip.read_only_primary = ReadOnlyPrimary::Follow;
    model.run(Duration::from_secs(2));
    assert!(model.vip_here, "{:#?}", model.reasons);
    assert!(!model.said(|reason| *reason == Reason::HoldingReadOnly), "nothing is amiss");
    // Its group becomes the one that takes writes, and is a standby again: the VIP is there already, and stays.
    for super_read_only in [false, true] {
        model.first.server = known(group(1, 1, 545, super_read_only));
        model.run(Duration::from_secs(3));
        assert!(model.vip_here, "{:#?}", model.reasons);
    }
    model.peers.insert(member(2), known(group(2, 2, 547, true)));
    model.first.server = known(group(1, 2, 547, true));
    model.run(ms(20));
    model.frame(2, Says::Probe);
    model.run(ms(100));
    assert!(!model.vip_here, "the new primary claims it: {:#?}", model.reasons);
}

#[test]
fn a_vip_that_follows_the_primary_stays_where_writes_are_taken_until_the_new_primary_takes_them() {
    let mut model = ModelHost::settled_holder();
    model.vip.read_only_primary = ReadOnlyPrimary::Follow;
    // A switchover whose target has yet to apply what it had queued.
    model.first.server = known(group(1, 2, 545, false));
    model.peers.insert(member(2), known(group(2, 2, 545, true)));
    for _ in 0..20 {
        model.frame(2, Says::Probe);
        model.run(ms(200));
    }
    assert!(model.vip_here, "{:#?}", model.reasons);
    model.peers.insert(member(2), known(group(2, 2, 545, false)));
    model.frame(2, Says::Probe);
    model.run(ms(200));
    assert!(!model.vip_here, "{:#?}", model.reasons);
}
