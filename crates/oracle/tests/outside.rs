//! The judge judged: for each invariant that is seen from outside, a world that breaks it is caught, and a near miss is not.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use decide::time::Time;
use oracle::outside::{
    LetsGo, OneHolder, SETTLE_WITHIN, Together, follows, lets_go, restored, strays, two_holders,
};
use oracle::{Counts, Excuse, Invariant};

const NOW: Time = Time(1_000_000_000);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn hear(since: Time) -> [[Option<Time>; 8]; 8] {
    let mut hear = [[None; 8]; 8];
    hear[0][1] = Some(since);
    hear[1][0] = Some(since);
    hear
}

fn together<'a>(holders: &'a [usize], hear_since: &'a [[Option<Time>; 8]; 8]) -> Together<'a> {
    Together {
        holders,
        hear_since,
        frames_lost: false,
        overruled: false,
        act_since: Some(Time(0)),
        settle_within: SETTLE_WITHIN,
    }
}

#[test]
fn one_holder_two_that_hear_each_other_are_one_too_many_and_two_that_do_not_are_not() {
    let hear_each_other = |one: usize, other: usize| one + other == 3;
    assert_eq!(two_holders(&[0, 1, 2].into_iter(), hear_each_other), Some((1, 2)));
    assert_eq!(two_holders(&[0, 1].into_iter(), hear_each_other), None);
}

#[test]
fn one_holder_is_broken_at_the_first_moment_by_two_that_have_heard_each_other_for_long() {
    let long = hear(NOW - s(10));
    let look = OneHolder::default().look(&together(&[0, 1], &long), NOW);
    assert_eq!(look.breach.unwrap().invariant, Invariant::OneHolder);
    assert!(OneHolder::default().look(&together(&[0], &long), NOW).breach.is_none());
    let apart = [[None; 8]; 8];
    let look = OneHolder::default().look(&together(&[0, 1], &apart), NOW);
    assert_eq!((look.breach, look.news.unwrap().because), (None, Some(Excuse::Apart)));
}

#[test]
fn one_holder_two_that_have_just_begun_to_hear_each_other_settle_it_in_time() {
    let just_now = hear(NOW);
    let mut judge = OneHolder::default();
    let look = judge.look(&together(&[0, 1], &just_now), NOW);
    assert_eq!((look.breach, look.news.unwrap().because), (None, Some(Excuse::Settling)));
    assert!(judge.look(&together(&[0, 1], &just_now), NOW + SETTLE_WITHIN).breach.is_none());
    let look = judge.look(&together(&[0, 1], &just_now), look.look_at.unwrap());
    assert_eq!(look.breach.unwrap().invariant, Invariant::OneHolder);
}

#[test]
fn one_holder_an_agent_that_does_not_run_settles_nothing_and_lost_frames_are_measured() {
    let just_now = hear(NOW);
    let hung = Together { act_since: None, ..together(&[0, 1], &just_now) };
    let look = OneHolder::default().look(&hung, NOW);
    assert_eq!((look.breach, look.news.unwrap().because), (None, Some(Excuse::AgentDoesNotRun)));
    let long = hear(NOW - s(10));
    let lossy = Together { frames_lost: true, ..together(&[0, 1], &long) };
    let look = OneHolder::default().look(&lossy, NOW);
    assert_eq!((look.breach, look.news.unwrap().because), (None, Some(Excuse::FramesLost)));
}

#[test]
fn no_flap_a_holder_that_has_been_well_for_long_lets_go_of_nothing() {
    let well = |seconds| LetsGo { well_for: Some(s(seconds)), ..LetsGo::default() };
    assert_eq!(lets_go(well(3), s(2)).unwrap_err().invariant, Invariant::NoFlap);
    assert_eq!(lets_go(well(2), s(2)), Ok(None));
    assert_eq!(lets_go(LetsGo::default(), s(2)), Ok(None));
    assert_eq!(lets_go(LetsGo { beside: true, ..well(3) }, s(2)), Ok(Some(Excuse::Beside)));
    assert_eq!(lets_go(LetsGo { given_up: true, ..well(3) }, s(2)), Ok(Some(Excuse::GivenUp)));
}

#[test]
fn follows_the_primary_has_the_vip_within_the_budget_and_nobody_else() {
    assert_eq!(follows(s(2), s(2), 1, &[]).unwrap_err().invariant, Invariant::Follows);
    assert_eq!(follows(s(2), s(2), 1, &[0]).unwrap_err().invariant, Invariant::Follows);
    assert_eq!(follows(s(2), s(2), 1, &[0, 1]).unwrap_err().invariant, Invariant::Follows);
    assert_eq!(follows(s(1), s(2), 1, &[]), Ok(()));
    assert_eq!(follows(s(2), s(2), 1, &[1]), Ok(()));
}

#[test]
fn no_stray_writes_a_holder_lets_go_of_a_server_outside_the_group_in_time() {
    assert_eq!(strays(s(2), s(1), None).unwrap_err().invariant, Invariant::NoStrayWrites);
    assert_eq!(strays(s(1), s(1), None), Ok(None));
    assert_eq!(strays(s(2), s(1), Some(Excuse::TurnedAway)), Ok(Some(Excuse::TurnedAway)));
    // An excuse that was not needed is not counted.
    assert_eq!(strays(s(1), s(1), Some(Excuse::TurnedAway)), Ok(None));
}

#[test]
fn restored_what_was_changed_is_back_in_time() {
    assert_eq!(restored(s(13), s(12)).unwrap_err().invariant, Invariant::Restored);
    assert_eq!(restored(s(12), s(12)), Ok(()));
}

#[test]
fn excuses_are_counted_and_printed_by_name() {
    let mut counts = Counts::default();
    assert_eq!(counts.to_string(), "excuses: none was needed");
    counts.count(Excuse::Settling);
    counts.count(Excuse::Settling);
    counts.count(Excuse::Apart);
    let mut all = Counts::default();
    all.add(&counts);
    assert_eq!(all.to_string(), "excuses: apart 1, settling 2");
    assert_eq!(all.of(Excuse::Settling), 2);
}
