//! The survivors' side: what they may tell the group of a dead member, and that its patience is given back (RESTORED).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;
mod survivor;
mod watched_survivor;

use std::net::IpAddr;

use decide::input::{Event, Fact, MemberPort, MemberState, NotInGroup, Seen, Server, Why};
use decide::output::{Action, Outcome};
use model_host::{group, group_policy, member, ms};
use proptest::collection::vec;
use proptest::prelude::*;
use survivor::{START, Survivor, is_restore, is_set, is_wake, refuses, silent, view};
use watched_survivor::{Told, Watched, gaps, told};

const FIVE_SECONDS: u64 = 5_000;

#[test]
fn a_silent_member_is_given_the_operators_patience_to_the_second_and_then_the_group_is_woken_each_second() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    let since = u64::try_from(survivor.now.since(START).as_millis()).unwrap();
    survivor.run(7_500, &[1], 5, Some(&silent()));
    let woken = survivor.times(is_wake);
    assert_eq!(woken, [0, 1_000, 2_000].map(|more| since + FIVE_SECONDS + more));
    assert_eq!(survivor.times(is_set), [0; 0]);
}

#[test]
fn a_patience_that_the_operator_lengthens_meanwhile_is_kept() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    survivor.run(2_000, &[1], 5, Some(&silent()));
    survivor.run(17_000, &[1], 20, Some(&silent()));
    assert_eq!(survivor.times(is_wake), [0; 0]);
}

#[test]
fn a_member_that_refuses_twice_is_expelled_at_once_and_the_patience_put_back_when_it_is_gone() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    let since = u64::try_from(survivor.now.since(START).as_millis()).unwrap();
    survivor.run(300, &[1], 5, Some(&refuses()));
    let set = survivor.times(is_set);
    assert_eq!(set.len(), 1);
    assert!(set[0] - since <= 100, "{set:?}");
    assert_eq!(survivor.times(is_restore), [0; 0]);
    survivor.run(50, &[], 5, None);
    assert_eq!(survivor.times(is_restore), [since + 300]);
    assert_eq!(survivor.state.expel.changed, None);
}

#[test]
fn a_member_whose_port_was_never_seen_open_is_not_proven_dead_by_refusing() {
    let mut survivor = Survivor::new(group_policy());
    survivor.run(4_000, &[1], 5, Some(&refuses()));
    assert_eq!(survivor.times(is_set), [0; 0]);
    let looks = survivor.times(|action| *action == Action::LookAtMember(member(1)));
    assert_eq!(looks, [0, 250, 750, 1_750, 3_750], "it is asked more and more seldom who it is");
}

#[test]
fn a_member_that_does_not_say_who_it_is_at_first_is_asked_again_soon_and_then_proven_dead() {
    let mut survivor = Survivor::new(group_policy());
    survivor.run(300, &[], 5, Some(&silent()));
    survivor.run(10, &[], 5, Some(&Fact::Known(MemberPort::Answers(None))));
    let answers = Fact::Known(MemberPort::Answers(Some("uuid-1".to_owned())));
    survivor.run(500, &[], 5, Some(&answers));
    let since = u64::try_from(survivor.now.since(START).as_millis()).unwrap();
    survivor.run(200, &[1], 5, Some(&refuses()));
    assert_eq!(survivor.times(is_set).iter().map(|at| at - since).collect::<Vec<_>>(), [20]);
}

#[test]
fn a_member_that_comes_back_is_asked_who_it_is_at_once_and_so_is_one_that_has_just_come_online() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    let row = |view: &decide::input::GroupView| view.members[0].clone();
    let mut without = view(&[]);
    let back = row(&without);
    without.members.retain(|row| row.id != back.id);
    survivor.server(Fact::Known(Server::Member(without.clone())));
    survivor.now = survivor.now + ms(5_000);
    let mut recovering = without.clone();
    recovering.members.push(decide::input::Member { state: decide::input::MemberState::Recovering, ..back });
    survivor.server(Fact::Known(Server::Member(recovering.clone())));
    // Its server already is in the group and still takes no connection.
    for _ in 0..80 {
        survivor.now = survivor.now + ms(100);
        survivor.server(Fact::Known(Server::Member(recovering.clone())));
        if !survivor.times(|action| *action == Action::LookAtMember(member(1))).is_empty() {
            survivor.port(1, silent());
            survivor.done.clear();
        }
    }
    survivor.done.clear();
    survivor.sees(&[]);
    let looks = survivor.times(|action| *action == Action::LookAtMember(member(1)));
    assert_eq!(looks.len(), 1, "ONLINE is the time to ask, whatever was planned");
}

#[test]
fn a_member_is_met_while_another_one_is_unreachable() {
    let mut survivor = Survivor::new(group_policy());
    survivor.sees(&[]);
    survivor.reads(5);
    survivor.port(1, Fact::Known(MemberPort::Answers(Some("uuid-1".to_owned()))));
    survivor.port(3, silent());
    survivor.done.clear();
    survivor.run(300, &[1], 5, Some(&silent()));
    let looks = survivor.times(|action| *action == Action::LookAtMember(member(3)));
    assert_eq!(looks.len(), 1);
}

#[test]
fn procedures_that_are_made_later_are_noticed_within_seconds() {
    let mut survivor = Survivor::new(group_policy());
    survivor.sees(&[]);
    let fact = Fact::Unknown(Why::NotAllowed("no procedure".to_owned()));
    survivor.tell(&Event::ExpelTimeout(Seen { asked_at: survivor.now, fact }));
    survivor.done.clear();
    for _ in 0..60 {
        survivor.now = survivor.now + ms(100);
        survivor.sees(&[]);
    }
    assert_eq!(survivor.times(|action| *action == Action::ReadExpelTimeout), [5_000]);
}

#[test]
fn a_member_that_answers_between_two_refusals_is_not_dead() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
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
        row.role = decide::input::Role::Secondary;
        row
    };
    let mut survivor = Survivor::prepared(group_policy(), 5);
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
    let mut survivor = Survivor::prepared(group_policy(), 30);
    survivor.run(25_000, &[1], 30, Some(&refuses()));
    assert_eq!(survivor.times(is_set).len(), 1, "never twice for one death");
    assert_eq!(survivor.times(is_restore).len(), 1);
    assert!(survivor.times(is_restore)[0] - survivor.times(is_set)[0] <= 10_010);
}

#[test]
fn what_an_earlier_run_left_is_put_back_at_start_and_asked_for_until_it_is() {
    let mut survivor = Survivor::new(group_policy());
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
    let mut survivor = Survivor::prepared(group_policy(), 5);
    survivor.run(300, &[1], 5, Some(&refuses()));
    let decision = survivor.tell(&Event::Stopping);
    assert!(decision.actions.contains(&Action::RestoreExpelTimeout { value: 5 }));
}

#[test]
fn the_fence_command_is_run_once_for_a_silent_primary_and_its_success_is_proof() {
    let mut fenced = group_policy();
    fenced.fence = true;
    let mut survivor = Survivor::prepared(fenced, 5);
    let since = u64::try_from(survivor.now.since(START).as_millis()).unwrap();
    survivor.run(3_000, &[1], 5, None);
    assert_eq!(survivor.times(|action| matches!(action, Action::Fence { .. })), [since + 200]);
    assert_eq!(survivor.times(is_set), [0; 0]);
    survivor.tell(&Event::Fenced { member: member(1), outcome: Outcome::Succeeded });
    survivor.run(20, &[1], 5, Some(&silent()));
    assert_eq!(survivor.times(is_set).len(), 1);
}

#[test]
fn the_fence_command_is_not_run_for_a_host_that_answers_or_refuses() {
    for port in [Fact::Known(MemberPort::Answers(None)), refuses()] {
        let mut fenced = group_policy();
        fenced.fence = true;
        let mut survivor = Survivor::prepared(fenced, 5);
        survivor.run(3_000, &[1], 5, Some(&port));
        assert_eq!(survivor.times(|action| matches!(action, Action::Fence { .. })), [0; 0]);
    }
}

#[test]
fn an_agent_that_stood_still_itself_does_not_take_the_other_host_for_silent() {
    let mut fenced = group_policy();
    fenced.fence = true;
    let mut survivor = Survivor::prepared(fenced, 5);
    survivor.run(10, &[1], 5, None);
    survivor.now = survivor.now + ms(900);
    survivor.tell(&Event::Wake);
    survivor.port(1, refuses());
    survivor.run(2_000, &[1], 5, Some(&refuses()));
    assert_eq!(survivor.times(|action| matches!(action, Action::Fence { .. })), [0; 0]);
}

#[test]
fn a_fence_command_that_fails_changes_nothing() {
    let mut fenced = group_policy();
    fenced.fence = true;
    let mut survivor = Survivor::prepared(fenced, 5);
    let since = u64::try_from(survivor.now.since(START).as_millis()).unwrap();
    survivor.run(300, &[1], 5, None);
    survivor.tell(&Event::Fenced { member: member(1), outcome: Outcome::Failed("status 1".to_owned()) });
    survivor.run(5_000, &[1], 5, None);
    assert_eq!(survivor.times(|action| matches!(action, Action::Fence { .. })).len(), 1);
    assert_eq!(survivor.times(is_set), [0; 0]);
    assert_eq!(survivor.times(is_wake), [since + FIVE_SECONDS]);
}

#[test]
fn without_the_procedures_nothing_is_told_to_anybody() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
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
    let mut off = group_policy();
    off.proven_dead = false;
    let mut survivor = Survivor::prepared(off.clone(), 5);
    survivor.run(5_500, &[1], 5, Some(&refuses()));
    assert_eq!((survivor.times(is_set).len(), survivor.times(is_wake).len()), (0, 1));
    off.wake_expel = false;
    let mut survivor = Survivor::prepared(off, 5);
    survivor.run(7_000, &[1], 5, Some(&refuses()));
    assert_eq!(survivor.times(|_| true), [0; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn restored_and_never_without_majority_nor_against_the_operators_patience(
        fence in any::<bool>(),
        plays in vec((gaps(), told()), 1..150),
    ) {
        let mut watched = Watched::new(fence);
        for (gap, told) in plays {
            let next = watched.survivor.now + gap;
            for _ in 0..50 {
                if watched.survivor.wake_at >= next {
                    break;
                }
                watched.survivor.now = watched.survivor.wake_at.max(watched.survivor.now);
                watched.tell(&Told::Time);
            }
            watched.survivor.now = next;
            watched.tell(&told);
        }
        // All is well again: it is back within a second of the server's answering.
        for _ in 0..150 {
            watched.survivor.now = watched.survivor.now + ms(100);
            watched.tell(&Told::View(vec![], true));
            if watched.has_changed() {
                watched.tell(&Told::RestoreDone(true));
            }
        }
        prop_assert!(!watched.has_changed() && watched.survivor.state.expel.changed.is_none());
    }
}

#[test]
fn addresses_of_members_are_learnt_by_their_own_word_and_asked_sparingly() {
    let mut survivor = Survivor::new(group_policy());
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

fn says(survivor: &mut Survivor, number: u8, server: Server) {
    let seen = Seen { asked_at: survivor.now, fact: Fact::Known(server) };
    survivor.tell(&Event::Peer { member: member(number), seen });
}

/// Member 1 is UNREACHABLE, its port answers, and its server says so.
fn answers_and_says(server: Server) -> Survivor {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    survivor.run(100, &[1], 5, Some(&Fact::Known(MemberPort::Answers(Some("uuid-1".to_owned())))));
    let asked =
        survivor.state.facts.peers.asked.get(&member(1)).is_some_and(|peer| peer.waiting_since.is_some());
    assert!(asked, "it is asked what it is by now");
    says(&mut survivor, 1, server);
    survivor.run(100, &[1], 5, None);
    survivor
}

fn alone(state: MemberState) -> Server {
    let mut view = view(&[]);
    "uuid-1".clone_into(&mut view.local);
    view.members.retain(|row| row.id == "uuid-1");
    view.members[0].state = state;
    Server::Member(view)
}

fn is_expelled_at_once(survivor: &Survivor) -> bool {
    survivor.done.iter().any(|(_, action)| matches!(action, Action::SetExpelTimeout { .. }))
}

#[test]
fn a_server_that_was_killed_and_started_again_is_expelled_at_once() {
    assert!(is_expelled_at_once(&answers_and_says(Server::NotInGroup(NotInGroup::NotRunning))));
    assert!(is_expelled_at_once(&answers_and_says(alone(MemberState::Offline))));
}

#[test]
fn a_member_that_is_cut_off_and_thinks_that_it_is_in_the_group_keeps_its_patience() {
    assert!(!is_expelled_at_once(&answers_and_says(alone(MemberState::Online))));
    assert!(!is_expelled_at_once(&answers_and_says(alone(MemberState::Error))));
}
