//! Clients that ask a dead holder for a connection: watched for while that may be, refused by whoever takes the VIP unasked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::{Event, Fact, MemberPort, MemberState, Says, Seen, Server};
use decide::net::VipId;
use decide::output::{Action, VipAction};
use model_host::{Answers, ModelHost, group, mac, member, ms, primary, secondary};

/// The group that member 2 leads and cannot be reached in, as member 1 shows it.
fn without_2() -> Fact<Server> {
    let mut view = group(1, 2, 545, true);
    view.members[1].state = MemberState::Unreachable;
    Fact::Known(Server::Member(view))
}

/// Member 2 holds the VIP.
fn beside_a_holder() -> ModelHost {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(ms(500));
    model.frame(2, Says::Announcement);
    model.run(ms(500));
    assert_eq!(watches(&model), 0, "all is well");
    model
}

fn beside_a_dead_holder() -> ModelHost {
    let mut model = beside_a_holder();
    model.first.server = without_2();
    model.run(ms(3000));
    assert_eq!(watches(&model), 1, "begun once: {:?}", model.actions);
    model
}

fn elect_this_member(model: &mut ModelHost) {
    let mut view = group(1, 1, 546, false);
    view.members.remove(1);
    model.first.server = Fact::Known(Server::Member(view));
}

fn watches(model: &ModelHost) -> usize {
    let of_2 =
        Action::Vip(VipId::FIRST, VipAction::WatchOrphanSyns { interface: "eth0".to_owned(), mac: mac(2) });
    assert_eq!(
        model.count(|action| *action == of_2),
        model.count(|action| matches!(action, Action::Vip(_, VipAction::WatchOrphanSyns { .. })))
    );
    model.count(|action| *action == of_2)
}

fn ends(model: &ModelHost) -> usize {
    model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::EndOrphanSyns))
}

fn refusals(model: &ModelHost) -> usize {
    model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::RefuseOrphanSyns))
}

#[test]
fn whoever_takes_a_dead_holders_vip_refuses_its_clients_right_after_the_announcement() {
    let mut model = beside_a_dead_holder();
    // Expelled: nobody is UNREACHABLE any more, and nobody leads yet.
    let mut expelled = group(1, 0, 546, true);
    expelled.members.remove(1);
    model.first.server = Fact::Known(Server::Member(expelled));
    model.run(ms(2000));
    assert_eq!(ends(&model), 0);
    elect_this_member(&mut model);
    model.run(ms(1000));
    assert!(model.vip_here);
    let taken = model
        .actions
        .iter()
        .position(|(_, action)| *action == Action::Vip(VipId::FIRST, VipAction::Announce))
        .unwrap();
    assert_eq!(model.actions[taken + 1].1, Action::Vip(VipId::FIRST, VipAction::RefuseOrphanSyns));
    assert_eq!((watches(&model), refusals(&model), ends(&model)), (1, 1, 1));
    model.run(Duration::from_secs(20));
    assert_eq!((watches(&model), refusals(&model), ends(&model)), (1, 1, 1));
}

#[test]
fn clients_of_a_holder_that_lets_go_by_itself_are_not_refused() {
    let mut model = beside_a_dead_holder();
    model.answering = Some(2);
    elect_this_member(&mut model);
    model.run(ms(200));
    assert!(!model.vip_here);
    model.answering = None;
    let heard_at = model.now;
    model.frame(2, Says::Release { heard_at });
    model.run(ms(500));
    assert!(model.vip_here);
    assert_eq!((refusals(&model), ends(&model)), (0, 1));
}

#[test]
fn it_is_over_when_another_has_taken_the_vip() {
    let mut model = beside_a_dead_holder();
    let mut view = group(1, 3, 546, true);
    view.members.remove(1);
    model.first.server = Fact::Known(Server::Member(view));
    model.frame(3, Says::Announcement);
    assert_eq!(ends(&model), 1);
    model.run(Duration::from_secs(20));
    assert_eq!((watches(&model), ends(&model)), (1, 1));
}

#[test]
fn it_is_over_five_seconds_after_the_member_came_back() {
    let mut model = beside_a_dead_holder();
    model.first.server = secondary();
    model.run(ms(4500));
    assert_eq!(ends(&model), 0);
    model.run(ms(1500));
    assert_eq!(ends(&model), 1);
    model.first.server = without_2();
    model.run(ms(500));
    assert_eq!(watches(&model), 2, "it may be silent again");
}

#[test]
fn a_holder_whom_the_group_reaches_is_no_reason() {
    let mut model = beside_a_holder();
    let answers = Fact::Known(MemberPort::Answers(Some("uuid-2".to_owned())));
    let seen = Seen { asked_at: model.now, fact: answers };
    model.tell(Event::MemberPort { member: member(2), seen });
    let mut view = group(1, 2, 545, true);
    view.members[2].state = MemberState::Unreachable;
    model.first.server = Fact::Known(Server::Member(view));
    model.run(ms(3000));
    assert_eq!(watches(&model), 0);
}

#[test]
fn a_holder_that_has_not_been_heard_since_the_start_is_taken_to_be_the_primary() {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(ms(500));
    let answers = Fact::Known(MemberPort::Answers(Some("uuid-2".to_owned())));
    let seen = Seen { asked_at: model.now, fact: answers };
    model.tell(Event::MemberPort { member: member(2), seen });
    model.tell(Event::Neighbor { address: member(2), mac: mac(2) });
    assert_eq!(model.machine().other_holder, None);
    model.first.server = without_2();
    model.run(ms(3000));
    assert_eq!(watches(&model), 1);
}

#[test]
fn a_secondary_that_is_unreachable_is_no_reason_where_no_holder_was_heard() {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(ms(500));
    for number in [2, 3] {
        let answers = Fact::Known(MemberPort::Answers(Some(format!("uuid-{number}"))));
        let seen = Seen { asked_at: model.now, fact: answers };
        model.tell(Event::MemberPort { member: member(number), seen });
    }
    let mut view = group(1, 2, 545, true);
    view.members[2].state = MemberState::Unreachable;
    model.first.server = Fact::Known(Server::Member(view));
    model.run(ms(3000));
    assert_eq!(model.count(|action| matches!(action, Action::Vip(_, VipAction::WatchOrphanSyns { .. }))), 0);
}

#[test]
fn without_a_majority_nobody_is_watched_for() {
    let mut model = beside_a_holder();
    let mut view = group(1, 2, 545, true);
    view.members[1].state = MemberState::Unreachable;
    view.members[2].state = MemberState::Unreachable;
    model.first.server = Fact::Known(Server::Member(view));
    model.run(ms(3000));
    assert_eq!(watches(&model), 0);
}

#[test]
fn the_holder_itself_never_watches() {
    let mut model = ModelHost::settled_holder();
    let Fact::Known(Server::Member(mut view)) = primary() else { panic!("a member") };
    view.members[1].state = MemberState::Unreachable;
    model.first.server = Fact::Known(Server::Member(view));
    model.run(ms(3000));
    assert_eq!(watches(&model), 0);
}
