//! The group's patience with a silent member: what is read of it, changed and put back when answers are lost, late or crossed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;
mod survivor;

use decide::input::{Event, Fact, NotInGroup, Seen, Server};
use decide::output::{Action, Outcome, Reason};
use decide::policy::GroupPolicy;
use model_host::{group_policy, member, ms};
use survivor::{START, Survivor, is_restore, is_set, is_wake, refuses, silent, view};

#[test]
fn a_change_whose_answer_was_lost_is_put_back_at_once_and_not_tried_again() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    survivor.run(100, &[1], 5, Some(&refuses()));
    assert_eq!((survivor.times(is_set).len(), survivor.times(is_restore).len()), (1, 0));
    let lost = Outcome::Failed("lost connection".to_owned());
    survivor.finish(Action::SetExpelTimeout { original: 5 }, lost);
    assert_eq!(survivor.times(is_restore).len(), 1);
    survivor.finish(Action::RestoreExpelTimeout { value: 5 }, Outcome::Succeeded);
    survivor.run(3_000, &[1], 5, Some(&refuses()));
    assert_eq!((survivor.times(is_set).len(), survivor.times(is_restore).len()), (1, 1));
}

#[test]
fn an_answer_that_a_later_one_overtook_makes_nobody_a_suspect() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    let before = survivor.now;
    survivor.now = survivor.now + ms(100);
    survivor.sees(&[]);
    let fact = Fact::Known(Server::Member(view(&[1])));
    survivor.tell(&Event::Server(Seen { asked_at: before, fact }));
    assert_eq!(survivor.times(|action| *action == Action::LookAtMember(member(1))), [0; 0]);
}

#[test]
fn a_value_that_is_read_while_it_is_changed_is_not_taken_for_the_operators() {
    let mut survivor = Survivor::prepared(group_policy(), 30);
    let since = u64::try_from(survivor.now.since(START).as_millis()).unwrap();
    survivor.run(100, &[1], 30, Some(&refuses()));
    assert_eq!(survivor.times(is_set).len(), 1);
    // It was asked for just before.
    survivor.reads(0);
    survivor.run(25_000, &[1], 30, Some(&refuses()));
    let [restored] = survivor.times(is_restore)[..] else { panic!("{:?}", survivor.done) };
    survivor.run(10_000, &[1], 30, Some(&refuses()));
    let woken: Vec<_> = survivor.times(is_wake).into_iter().filter(|at| *at >= restored).collect();
    assert_eq!(woken.first(), Some(&(since + 30_000)), "{woken:?}");
}

#[test]
fn the_configured_patience_is_spoken_of_when_it_is_first_read_and_when_it_changes() {
    let mut survivor = Survivor::new(group_policy());
    let mut says = |seconds| {
        survivor.now = survivor.now + ms(1_000);
        let seen = Seen { asked_at: survivor.now, fact: Fact::Known(seconds) };
        let decision = survivor.tell(&Event::ExpelTimeout(seen));
        decision.each_reason().any(|reason| *reason == Reason::SoonerExpel(seconds))
    };
    assert_eq!([5, 5, 7, 7, 5].map(&mut says), [true, false, true, false, true]);
}

#[test]
fn nothing_is_changed_on_a_value_that_was_read_before_the_member_fell_silent() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    survivor.sees(&[1]);
    for _ in 0..3 {
        survivor.now = survivor.now + ms(20);
        survivor.sees(&[1]);
        survivor.port(1, refuses());
    }
    assert_eq!(survivor.times(is_set), [0; 0], "the operator may have written another one since");
    survivor.reads(20);
    assert!(survivor.done.contains(&(survivor.now.since(START), Action::SetExpelTimeout { original: 20 })));
}

#[test]
fn a_member_that_is_proven_dead_is_looked_at_no_more() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    survivor.run(100, &[1], 5, Some(&refuses()));
    assert_eq!(survivor.times(is_set).len(), 1);
    survivor.done.clear();
    survivor.run(30_000, &[1], 5, Some(&refuses()));
    assert_eq!(survivor.times(|action| *action == Action::LookAtMember(member(1))), [0; 0]);
}

#[test]
fn where_only_the_dead_are_to_be_expelled_sooner_a_silent_member_is_left_to_the_group() {
    let mut survivor = Survivor::prepared(GroupPolicy { wake_expel: false, ..group_policy() }, 5);
    survivor.run(12_000, &[1], 5, Some(&silent()));
    assert_eq!(survivor.times(|action| is_wake(action) || is_set(action)), [0; 0]);
}

#[test]
fn a_member_that_the_group_does_not_expel_is_told_of_for_a_minute_and_spoken_of_once() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    survivor.run(90_000, &[1], 5, Some(&silent()));
    assert_eq!(survivor.times(is_wake).len(), 60);
    let spoken = survivor.said.iter().filter(|reason| matches!(reason, Reason::WokeExpel { .. })).count();
    assert_eq!(spoken, 1);
}

#[test]
fn a_primary_whose_port_gives_no_sign_within_the_limit_is_silent_and_fenced() {
    let mut survivor = Survivor::prepared(GroupPolicy { fence: true, ..group_policy() }, 5);
    survivor.run(3_000, &[1], 5, Some(&silent()));
    assert_eq!(survivor.times(|action| matches!(action, Action::Fence { .. })).len(), 1);
}

#[test]
fn what_another_members_server_says_or_said_before_proves_nothing_of_a_silent_one() {
    for (number, before) in [(3, ms(0)), (1, ms(500))] {
        let mut survivor = Survivor::prepared(group_policy(), 5);
        survivor.run(100, &[1], 5, Some(&silent()));
        let fact = Fact::Known(Server::NotInGroup(NotInGroup::NotRunning));
        let seen = Seen { asked_at: survivor.now - before, fact };
        survivor.tell(&Event::Peer { member: member(number), seen });
        survivor.run(100, &[1], 5, None);
        assert_eq!(survivor.times(is_set), [0; 0], "said by {number}, {before:?} ago");
    }
}

#[test]
fn a_member_whose_port_is_silent_is_not_asked_what_it_is() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    survivor.run(3_000, &[1], 5, Some(&silent()));
    assert_eq!(survivor.state.facts.peers.asked.get(&member(1)), None);
}
