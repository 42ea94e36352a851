//! The judge judged: for each way to break PLACED a world that does is caught, and a near miss is not; and a reader VIP's own meanings of
//! the others.
#![allow(clippy::unwrap_used)]

mod agent;

use std::time::Duration;

use agent::{Agent, OTHER, breaks, excused, fine, follows, leads, ms, remove, silent};
use decide::fitness::Fitness;
use decide::input::{Event, Fact, Frame, Says, Server};
use decide::net::{Mac, VipId};
use decide::output::Action;
use decide::policy::{ReaderPolicy, VipRole, WhenNoReader};
use decide::time::Time;
use oracle::placed::{Move, Standing, Stillness, closed, cut_off, given_away, moves, placed, settles_within};
use oracle::{Excuse, Invariant, Orders};

use Standing::{Behind, Fit, Paused, Primary, Unfit};

const NOW: Time = Time(1_000_000_000);

fn is_placed(standings: &[Standing], holders: &[&[usize]], when_none: WhenNoReader) -> bool {
    let holders: Vec<Vec<usize>> = holders.iter().map(|each| each.to_vec()).collect();
    match placed(standings, &holders, when_none) {
        Ok(()) => true,
        Err(breach) => {
            assert_eq!(breach.invariant, Invariant::Placed);
            false
        }
    }
}

#[test]
fn each_is_on_one_fit_host_as_evenly_as_can_be() {
    let three = [Primary, Fit, Fit];
    let with = |holders: &[&[usize]]| is_placed(&three, holders, WhenNoReader::Primary);
    assert!(with(&[&[1], &[2]]));
    assert!(with(&[&[1], &[2], &[1]]));
    assert!(!with(&[&[1], &[1]]), "another fit host has none");
    assert!(!with(&[&[0], &[1]]), "on the primary, though others are fit");
    assert!(!with(&[&[1], &[]]), "nowhere");
    assert!(!with(&[&[1], &[1, 2]]), "on two");
}

#[test]
fn a_paused_host_keeps_what_it_has_and_one_that_is_behind_does_not() {
    assert!(is_placed(&[Primary, Paused, Fit], &[&[1], &[2], &[2]], WhenNoReader::Primary));
    assert!(!is_placed(&[Primary, Behind, Fit], &[&[1], &[2]], WhenNoReader::AnyOnline));
    assert!(!is_placed(&[Primary, Unfit, Fit], &[&[1], &[2]], WhenNoReader::Primary));
}

#[test]
fn without_a_fit_host_it_is_as_the_operator_says() {
    let none = [Primary, Behind, Unfit];
    assert!(is_placed(&none, &[&[0], &[0]], WhenNoReader::Primary));
    assert!(!is_placed(&none, &[&[0], &[1]], WhenNoReader::Primary));
    assert!(is_placed(&none, &[&[0], &[1]], WhenNoReader::AnyOnline));
    assert!(!is_placed(&none, &[&[0], &[0]], WhenNoReader::AnyOnline));
    assert!(is_placed(&none, &[&[], &[]], WhenNoReader::Nobody));
    assert!(!is_placed(&none, &[&[0], &[]], WhenNoReader::Nobody));
    // The last reader's server is dead: its address lingers, for nobody else is to have it.
    assert!(is_placed(&none, &[&[2], &[]], WhenNoReader::Nobody));
}

/// Nothing is known of the host that had it, nor of a third.
const AMONG_OTHERS: Move =
    Move { fit_for: None, serves_for: None, load: 1, least: 0, settles_for: None, takers: 0, steady: None };

#[test]
fn what_a_host_has_of_its_share_stays_there_though_it_has_not_been_well_for_long_enough_yet() {
    let readers = ReaderPolicy::default();
    let seen = Move { serves_for: Some(ms(2_001)), ..AMONG_OTHERS };
    assert_eq!(moves(&seen, &readers).unwrap_err().invariant, Invariant::Placed);
    for near in [Move { serves_for: Some(ms(2_000)), ..seen }, Move { load: 2, ..seen }] {
        assert!(moves(&near, &readers).is_ok(), "{near:?}");
    }
}

#[test]
fn a_vip_goes_where_it_can_stay_and_not_where_it_is_one_too_many() {
    let readers = ReaderPolicy::default();
    let seen = Move { takers: 1, steady: Some(0), ..AMONG_OTHERS };
    assert_eq!(moves(&seen, &readers).unwrap_err().invariant, Invariant::Placed);
    for near in [Move { steady: Some(1), ..seen }, Move { takers: 0, ..seen }, Move { steady: None, ..seen }]
    {
        assert!(moves(&near, &readers).is_ok(), "{near:?}");
    }
}

#[test]
fn what_a_fit_host_has_of_its_share_does_not_leave_it() {
    let readers = ReaderPolicy::default();
    let settled = settles_within(&readers);
    let long = Some(settled + ms(1));
    let seen = Move { fit_for: long, load: 2, least: 1, ..AMONG_OTHERS };
    assert_eq!(moves(&seen, &readers).unwrap_err().invariant, Invariant::Placed);
    for near in [
        Move { load: 3, ..seen },
        Move { least: 0, ..seen },
        Move { fit_for: None, ..seen },
        Move { fit_for: Some(settled), ..seen },
    ] {
        assert!(moves(&near, &readers).is_ok(), "{near:?}");
    }
}

#[test]
fn whoever_comes_back_takes_no_share_before_it_has_been_well_for_long() {
    let readers = ReaderPolicy::default();
    let long = Some(settles_within(&readers) + ms(1));
    let seen = Move { fit_for: long, load: 2, least: 0, settles_for: Some(ms(8_999)), ..AMONG_OTHERS };
    assert_eq!(moves(&seen, &readers).unwrap_err().invariant, Invariant::Placed);
    for near in [Move { settles_for: Some(ms(9_000)), ..seen }, Move { fit_for: None, ..seen }] {
        assert!(moves(&near, &readers).is_ok(), "{near:?}");
    }
}

#[test]
fn what_is_not_fit_has_none_any_more_a_moment_after_it_said_so() {
    assert_eq!(given_away(ms(200), ms(200), true).unwrap_err().invariant, Invariant::Placed);
    assert!(given_away(ms(199), ms(200), true).is_ok());
    assert!(given_away(ms(200), ms(200), false).is_ok());
}

#[test]
fn a_host_whose_server_refuses_new_clients_has_none_any_more_a_moment_later() {
    assert_eq!(closed(ms(1_300), true).unwrap_err().invariant, Invariant::Placed);
    assert!(closed(ms(1_299), true).is_ok());
    assert!(closed(ms(1_300), false).is_ok());
}

#[test]
fn a_host_that_is_cut_off_has_none_any_more_before_the_others_take_it() {
    assert_eq!(cut_off(ms(6_000), true).unwrap_err().invariant, Invariant::Placed);
    assert!(cut_off(ms(5_999), true).is_ok());
    assert!(cut_off(ms(6_000), false).is_ok());
}

/// It asks its members, once a second for four, and those answer.
fn asked(agent: &mut Agent, answer: &[u8]) {
    for _ in 0..4 {
        fine(&agent.orders(&[Action::LearnNeighbors]));
        for number in answer {
            agent.hears(&Event::Neighbor {
                address: agent::member(*number),
                mac: Mac([2, 0, 0, 0, 0, *number]),
            });
        }
        agent.wait(1_000);
        agent.gateway(true);
        agent.server(follows());
    }
}

#[test]
fn a_holder_that_reaches_too_few_lets_go_and_takes_none() {
    for (answer, cut) in [(&[2_u8, 3][..], false), (&[3], false), (&[], true)] {
        let mut agent = holder();
        asked(&mut agent, answer);
        let verdict = agent.orders(&[remove()]);
        if cut {
            fine(&verdict);
        } else {
            breaks(&verdict, Invariant::NoFlap);
        }
        let mut agent = reader(follows);
        asked(&mut agent, answer);
        agent.probes(3);
        agent.gateway(true);
        agent.server(follows());
        let verdict = agent.takes_it();
        if cut { breaks(&verdict, Invariant::Evidence) } else { fine(&verdict) }
    }
}

#[test]
fn one_that_answers_beside_a_dead_host_is_enough_to_take_it() {
    let mut agent = reader(follows);
    asked(&mut agent, &[2]);
    let without = || Fact::Known(Server::Member(agent::view(1, 2, 545, &[3])));
    agent.server(without());
    agent.probes(3);
    agent.gateway(true);
    agent.server(without());
    fine(&agent.takes_it());
}

#[test]
fn of_two_that_are_online_the_primary_is_enough_for_itself() {
    for (primary, cut) in [(1, false), (2, true)] {
        let mut agent = holder();
        asked(&mut agent, &[]);
        agent.server(Fact::Known(Server::Member(agent::view(1, primary, 545, &[3]))));
        let verdict = agent.orders(&[remove()]);
        if cut { fine(&verdict) } else { breaks(&verdict, Invariant::NoFlap) }
    }
}

#[test]
fn stillness_begins_anew_with_each_change() {
    let mut still = Stillness::default();
    let (later, latest) = (NOW + ms(1), NOW + ms(2));
    assert_eq!(still.look(Some(vec![Fit]), NOW), Some(NOW));
    assert_eq!(still.look(Some(vec![Fit]), later), None, "nothing has changed");
    assert_eq!(still.look(Some(vec![Unfit]), later), Some(later));
    assert_eq!(still.look(None, latest), None);
    assert_eq!(still.since(), None);
    assert_eq!(still.look(Some(vec![Unfit]), latest), Some(latest));
}

#[test]
fn the_time_that_all_may_take_is_what_its_parts_take() {
    let readers = |behind: u64, well: u64| ReaderPolicy {
        behind_for: Duration::from_secs(behind),
        well_for: Duration::from_secs(well),
        ..ReaderPolicy::default()
    };
    assert_eq!(settles_within(&readers(10, 10)), ms(11_000 + 8_000 + 1_500));
    assert_eq!(settles_within(&readers(20, 10)), ms(21_000 + 8_000 + 1_500));
    assert_eq!(settles_within(&readers(1, 1)), ms(6_000 + 8_000 + 1_500), "a server that hangs");
}

fn reader(server: fn() -> decide::input::Fact<decide::input::Server>) -> Agent {
    let mut agent = Agent::new();
    agent.vip.role = VipRole::Reader;
    agent.gateway(true);
    agent.server(server());
    agent
}

fn holder() -> Agent {
    let mut agent = reader(follows);
    agent.addresses(true);
    agent.wait(5_000);
    agent.gateway(true);
    agent.server(follows());
    agent
}

fn says(agent: &mut Agent, fitness: Fitness) {
    agent.hears(&Event::Frame(VipId(7), Frame { from: OTHER, says: Says::Fitness(fitness) }));
}

#[test]
fn evidence_of_a_reader_vip_is_a_member_of_the_majority_whatever_its_role() {
    for (server, may) in [(follows as fn() -> _, true), (leads, true), (silent, false)] {
        let mut agent = reader(server);
        agent.wait(1);
        agent.probes(3);
        agent.gateway(true);
        agent.server(server());
        let verdict = agent.takes_it();
        if may {
            fine(&verdict);
        } else {
            breaks(&verdict, Invariant::Evidence);
        }
    }
}

#[test]
fn evidence_of_a_reader_vip_was_asked_for_since_it_was_first_asked_for() {
    let mut agent = reader(follows);
    agent.wait(500);
    agent.probes(3);
    breaks(&agent.takes_it(), Invariant::Evidence);
}

#[test]
fn a_fit_holder_lets_go_for_a_claim_or_a_drain_and_for_nothing_else() {
    breaks(&holder().orders(&[remove()]), Invariant::NoFlap);
    let mut claimed = holder();
    claimed.frame(Says::Probe);
    excused(&claimed.orders(&[remove()]), Excuse::Contested);
    let mut drained = holder();
    drained.hears(&Event::Release);
    excused(&drained.orders(&[remove()]), Excuse::GivenUp);
}

#[test]
fn where_nobody_is_fit_and_nobody_is_to_have_it_a_holder_lets_go() {
    let mut agent = holder();
    agent.group.readers.when_none = WhenNoReader::Nobody;
    says(&mut agent, Fitness::Ready);
    breaks(&agent.orders(&[remove()]), Invariant::NoFlap);
    let mut agent = holder();
    agent.group.readers.when_none = WhenNoReader::Nobody;
    says(&mut agent, Fitness::Behind);
    fine(&agent.orders(&[remove()]));
    let mut agent = holder();
    says(&mut agent, Fitness::Behind);
    breaks(&agent.orders(&[remove()]), Invariant::NoFlap);
}

#[test]
fn a_claim_to_a_reader_vip_is_settled_by_an_answer_since() {
    let settles = |agent: &mut Agent| {
        let wake_at = agent.now + ms(1);
        agent.step(&Event::Wake, &Orders { actions: &[], wake_at, settled: Some(agent::member(2)) })
    };
    let mut agent = holder();
    agent.hears(&Event::Neighbor { address: agent::member(2), mac: OTHER });
    agent.wait(10);
    agent.frame(Says::Probe);
    breaks(&settles(&mut agent), Invariant::Evidence);
    let mut agent = holder();
    agent.hears(&Event::Neighbor { address: agent::member(2), mac: OTHER });
    agent.wait(10);
    agent.frame(Says::Probe);
    agent.wait(1);
    agent.server(follows());
    fine(&settles(&mut agent));
}
