//! A reader's host that is cut off from the other members on the segment alone: its server is ONLINE in the majority, its gateway answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;
mod reader_world;

use std::collections::BTreeSet;
use std::time::Duration;

use decide::fitness::Fitness;
use decide::input::{Event, Fact, Server};
use decide::net::VipId;
use decide::output::{Action, Reason, VipAction};
use decide::policy::WhenNoReader;
use model_host::ms;
use reader_world::{World, policy_with_readers};

/// An answer counts for so long, and then the host's server is asked once more.
const GIVES_UP_WITHIN: Duration = Duration::from_millis(4_100);
/// The others take what it had no sooner than 8 s after its last word, which is said once a second.
const TAKEN_NO_SOONER_THAN: Duration = Duration::from_millis(6_990);

/// Until the VIP is held so; nobody has it beside another meanwhile, whoever hears whom.
fn until(world: &mut World, vip: u16, holders: &[u8], limit: Duration) -> Duration {
    let since = world.now;
    while world.holders(vip) != holders {
        world.run(ms(1));
        assert!(world.holders(vip).len() <= 1, "{:?} {:?}", world.holders(vip), world.now.since(since));
        assert!(world.now.since(since) <= limit, "{:?} after {limit:?}", world.holders(vip));
    }
    world.now.since(since)
}

#[test]
fn it_gives_its_reader_vip_up_seconds_before_another_takes_it_whenever_it_is_cut_off() {
    for wait in (0..1_000).step_by(90) {
        let mut world = World::settled(2);
        world.run(ms(wait));
        world.node(3).cut = true;
        let given_up = until(&mut world, 2, &[], GIVES_UP_WITHIN);
        assert!(given_up > ms(2_900), "a cable may be away for 3 s: {given_up:?}");
        let taken = given_up + until(&mut world, 2, &[2], ms(9_000));
        assert!(taken >= TAKEN_NO_SOONER_THAN, "{wait}: {taken:?}");
    }
}

#[test]
fn it_says_why() {
    let mut world = World::settled(2);
    world.node(3).cut = true;
    until(&mut world, 2, &[], GIVES_UP_WITHIN);
    let words: Vec<String> = world.stopped.iter().map(|said| said.words(&world.policy)).collect();
    assert_eq!(
        words,
        [
            "VIP stopped on eth0: stage 3 (primary) failed: only 0 of 2 other members answer on the segment, asked each second for 4 s: the \
          others may have its reader VIPs soon"
        ]
    );
    assert!(matches!(world.stopped[0].reason, Reason::Stopped { .. }));
    assert!(world.deeds.contains(&(3, Action::Vip(VipId(1), VipAction::SayFitness(Fitness::Unfit)))));
}

#[test]
fn it_takes_nothing_and_comes_back_once_it_has_been_well_for_a_while() {
    let mut world = World::settled(2);
    world.node(3).cut = true;
    world.run(ms(60_000));
    assert_eq!(*world.node(3).here(), BTreeSet::new());
    assert_eq!([1, 2].map(|vip| world.holders(vip)), [vec![2], vec![2]]);
    world.node(3).cut = false;
    world.run(ms(9_000));
    assert_eq!([1, 2].map(|vip| world.holders(vip)), [vec![2], vec![2]], "it is settling");
    world.run(ms(4_000));
    assert_ne!(world.holders(1), world.holders(2));
}

#[test]
fn back_it_does_not_take_what_one_has_that_it_hears_a_moment_later_than_the_other() {
    for wait in (0..1_000).step_by(90) {
        let mut world = World::settled(2);
        world.node(3).cut = true;
        world.run(ms(20_000 + wait));
        assert_eq!([1, 2].map(|vip| world.holders(vip)), [vec![2], vec![2]]);
        world.moves.clear();
        (world.node(3).cut, world.parted) = (false, Some([2, 3]));
        world.run(ms(450));
        world.parted = None;
        world.run(ms(4_000));
        assert_eq!(world.moves, [], "{wait}");
    }
}

#[test]
fn a_cable_that_is_away_for_less_than_three_seconds_moves_nothing() {
    for wait in (0..1_000).step_by(90) {
        let mut world = World::settled(2);
        world.run(ms(wait));
        world.node(3).cut = true;
        world.run(ms(2_800));
        world.node(3).cut = false;
        world.run(ms(10_000));
        assert_eq!(world.moves, [], "{wait}");
    }
}

#[test]
fn whoever_reaches_one_of_two_others_serves_on() {
    let mut world = World::settled(2);
    world.node(1).cut = true;
    world.run(ms(60_000));
    assert_eq!(world.moves, []);
}

/// Member 3 is in no view, and its host is dead.
fn two_members() -> World {
    let mut world = World::settled(1);
    world.node(3).runs = false;
    world.node(3).cut = true;
    for number in [1, 2] {
        let Fact::Known(Server::Member(view)) = &mut world.node(number).server else { panic!("no view") };
        view.members.pop();
    }
    world.run(ms(12_000));
    assert_eq!(world.holders(1), [2]);
    world
}

#[test]
fn of_two_members_that_do_not_reach_each_other_the_primary_serves() {
    let mut world = two_members();
    world.node(2).cut = true;
    let given_up = until(&mut world, 1, &[], GIVES_UP_WITHIN);
    let taken = given_up + until(&mut world, 1, &[1], ms(9_000));
    assert!(taken >= TAKEN_NO_SOONER_THAN, "{taken:?}");
    world.run(ms(30_000));
    world.node(2).cut = false;
    world.run(ms(20_000));
    assert_eq!(world.holders(1), [2]);
}

#[test]
fn the_only_member_that_is_online_needs_nobody() {
    let mut policy = policy_with_readers(1);
    policy.group.readers.when_none = WhenNoReader::AnyOnline;
    let mut world = World::new(policy);
    for number in [2, 3] {
        (world.node(number).runs, world.node(number).cut) = (false, true);
    }
    let Fact::Known(Server::Member(view)) = &mut world.node(1).server else { panic!("no view") };
    view.members.truncate(1);
    world.run(ms(4_000));
    assert_eq!(world.holders(1), [1]);
}

#[test]
fn a_paused_host_gives_up_too_for_the_others_may_have_it_unheard() {
    let mut world = World::settled(2);
    let until_then = world.now + ms(600_000);
    world.tell(3, Event::Pause { until: until_then });
    world.run(ms(100));
    world.node(3).cut = true;
    until(&mut world, 2, &[], GIVES_UP_WITHIN);
}

#[test]
fn an_agent_that_begins_there_knows_after_four_seconds_and_not_before() {
    let mut world = World::settled(2);
    world.node(3).cut = true;
    world.restart(3);
    let given_up = until(&mut world, 2, &[], ms(4_100));
    assert!(given_up >= ms(4_000), "{given_up:?}");
}

#[test]
fn an_agent_that_stood_still_has_asked_nobody_meanwhile() {
    let mut world = World::settled(2);
    world.node(3).runs = false;
    world.run(ms(6_000));
    world.node(3).runs = true;
    world.run(ms(10_000));
    assert_eq!(world.moves, []);
    assert_eq!(world.holders(2), [3]);
}

#[test]
fn the_members_are_asked_once_a_second() {
    let mut world = World::settled(2);
    let asked =
        |world: &World| world.deeds.iter().filter(|deed| **deed == (3, Action::LearnNeighbors)).count();
    world.deeds.clear();
    world.run(ms(30_000));
    // The look at everything asks too.
    let looks = 30_000 / u64::try_from(world.policy.group.sleeptime.as_millis()).unwrap() + 1;
    assert!((29..=31 + looks).contains(&u64::try_from(asked(&world)).unwrap()), "{}", asked(&world));
}
