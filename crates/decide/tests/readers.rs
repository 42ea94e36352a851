//! Reader VIPs on three members: where they are, where they go when something happens, and what does not move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;
mod reader_world;

use decide::fitness::Fitness;

use decide::input::{Event, Fact, Frame, Gateway, MemberState, NotInGroup, Says, Seen, Server, Why};
use decide::net::VipId;
use decide::output::{Action, VipAction};
use decide::policy::{VipGateway, VipRole, WhenNoReader};
use model_host::ms;
use reader_world::{World, policy_with_readers, shows};

fn refused() -> Fact<Server> {
    Fact::Known(Server::Refused("Connection refused".to_owned()))
}

#[test]
fn each_reader_vip_is_on_a_secondary_of_its_own_and_the_writers_is_on_the_primary() {
    let world = World::settled(2);
    assert_eq!([0, 1, 2].map(|vip| world.holders(vip)), [vec![1], vec![2], vec![3]]);
}

#[test]
fn nothing_moves_while_nothing_happens() {
    let mut world = World::settled(3);
    world.run(ms(60_000));
    assert_eq!(world.moves, []);
    assert_eq!(world.holders(3).len(), 1);
}

#[test]
fn a_dead_readers_vip_is_on_another_secondary_within_a_moment() {
    let mut world = World::settled(2);
    world.node(2).server = refused();
    world.run(ms(150));
    assert_eq!([1, 2].map(|vip| world.holders(vip)), [vec![3], vec![3]]);
    assert_eq!(world.moves, [(VipId(1), 3)]);
}

#[test]
fn a_member_that_comes_back_takes_its_share_once_it_has_been_well_for_a_while() {
    let mut world = World::settled(2);
    world.node(2).server = refused();
    world.run(ms(1_000));
    world.elect(1, 547);
    world.becomes(2, MemberState::Recovering);
    world.run(ms(5_000));
    world.becomes(2, MemberState::Online);
    world.run(ms(9_000));
    assert_eq!([1, 2].map(|vip| world.holders(vip)), [vec![3], vec![3]], "not yet");
    world.run(ms(2_000));
    assert_eq!(world.holders(1).len() + world.holders(2).len(), 2);
    assert_ne!(world.holders(1), world.holders(2));
    assert_eq!(world.moves.len(), 2, "there and back: {:?}", world.moves);
}

#[test]
fn in_a_group_that_has_just_come_up_nothing_moves_as_one_member_after_the_other_has_been_well_for_long_enough()
 {
    let mut world = World::new(policy_with_readers(2));
    for number in [2, 3] {
        world.becomes(number, MemberState::Recovering);
    }
    world.run(ms(3_000));
    world.becomes(2, MemberState::Online);
    world.run(ms(1_000));
    world.becomes(3, MemberState::Online);
    world.run(ms(1_000));
    assert_ne!(world.holders(1), world.holders(2), "both are settling, and share");
    world.moves.clear();
    world.run(ms(30_000));
    assert_eq!(world.moves, []);
}

#[test]
fn a_new_primary_gives_its_reader_vips_away() {
    let mut world = World::settled(2);
    world.elect(2, 546);
    world.run(ms(1_000));
    assert_eq!([0, 1, 2].map(|vip| world.holders(vip)), [vec![2], vec![1], vec![3]], "{:?}", world.moves);
}

/// A server may show two primaries for some milliseconds, as its view changes.
fn two_primaries() -> Fact<Server> {
    Fact::Known(Server::NotInGroup(NotInGroup::MultiPrimary))
}

#[test]
fn at_a_switchover_only_the_new_primarys_vip_moves_whoever_hears_and_sees_what_first() {
    for seed in 1..=110 {
        let mut policy = policy_with_readers(2);
        policy.group.sleeptime = ms(1_000);
        let mut world = World::new(policy);
        (world.seed, world.slowness) = (0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed), 10);
        world.run(ms(4_000));
        // Long enough to know no more who has which.
        world.half_deaf = Some(1 + u8::try_from(world.draw() % 3).unwrap());
        let wait = world.draw() % 1_000;
        world.run(ms(6_000 + wait));
        let (old, new) = (1, [2, 3][usize::try_from(world.draw() % 2).unwrap()]);
        let its = *world.node(new).here().iter().next().unwrap();
        for number in [1, 2, 3] {
            let mut at = world.now + ms(world.draw() % 20);
            if world.draw().is_multiple_of(2) {
                world.soon.push((at, number, two_primaries()));
                at = at + ms(1 + world.draw() % 30);
            }
            world.soon.push((at, number, shows(number, new, 545)));
        }
        world.half_deaf = None;
        world.moves.clear();
        world.run(ms(1_000));
        world.moves.sort_unstable();
        // The writer's VIP may come to the new primary, go, and come again, while two servers say that they lead.
        world.moves.dedup();
        assert_eq!(world.moves, [(VipId(0), new), (its, old)], "seed {seed}");
    }
}

#[test]
fn a_busy_minute_moves_nothing_and_a_reader_that_stays_behind_loses_its_vip() {
    let mut world = World::settled(2);
    for _ in 0..6 {
        world.node(2).backlog = 1_000_000;
        world.run(ms(8_000));
        world.node(2).backlog = 0;
        world.run(ms(2_000));
    }
    assert_eq!(world.moves, []);
    world.node(2).backlog = 1_000_000;
    world.run(ms(13_000));
    assert_eq!([1, 2].map(|vip| world.holders(vip)), [vec![3], vec![3]]);
    world.node(2).backlog = 20_000;
    world.run(ms(30_000));
    assert_eq!(world.holders(1), [3], "it is well again below half of the limit");
    world.node(2).backlog = 10_000;
    world.run(ms(13_000));
    assert_eq!(world.moves.len(), 2, "{:?}", world.moves);
}

#[test]
fn without_a_fit_secondary_the_primary_has_them_unless_it_is_to_be_spared() {
    for (when_none, holders) in [(WhenNoReader::Primary, vec![1]), (WhenNoReader::Nobody, vec![])] {
        let mut policy = policy_with_readers(2);
        policy.group.readers.when_none = when_none;
        let mut world = World::new(policy);
        world.run(ms(4_000));
        world.node(2).gateway = Fact::Known(Gateway::Lost { misses: 5 });
        world.node(3).backlog = 1_000_000;
        world.run(ms(15_000));
        assert_eq!([1, 2].map(|vip| world.holders(vip)), [holders.clone(), holders], "{when_none:?}");
    }
}

#[test]
fn a_host_that_has_lost_the_gateway_of_one_reader_vip_gives_its_reader_vips_to_another() {
    let own = VipGateway::Own([10, 78, 0, 254].into());
    for (gateway, loses) in [(own, true), (VipGateway::TheClusters, false)] {
        let mut policy = policy_with_readers(2);
        for vip in policy.vips.values_mut().filter(|vip| vip.role == VipRole::Reader) {
            vip.gateway = gateway;
        }
        let mut world = World::new(policy);
        world.run(ms(4_000));
        world.node(2).own_gateway = Fact::Known(Gateway::Lost { misses: 16 });
        world.run(ms(3_000));
        let places = [1, 2].map(|vip| world.holders(vip));
        assert_eq!(places, if loses { [vec![3], vec![3]] } else { [vec![2], vec![3]] }, "{gateway:?}");
    }
}

#[test]
fn where_no_reader_vip_has_a_gateway_the_clusters_moves_none_and_the_writers_goes() {
    let mut policy = policy_with_readers(2);
    for vip in policy.vips.values_mut().filter(|vip| vip.role == VipRole::Reader) {
        vip.gateway = VipGateway::Nobody;
    }
    let mut world = World::new(policy);
    world.run(ms(4_000));
    world.moves.clear();
    for number in [1, 2, 3] {
        world.node(number).gateway = Fact::Known(Gateway::Lost { misses: 16 });
    }
    world.run(ms(10_000));
    assert_eq!([0, 1, 2].map(|vip| world.holders(vip)), [vec![], vec![2], vec![3]]);
    assert_eq!(world.moves, []);
}

#[test]
fn with_any_online_a_reader_that_is_behind_goes_on_serving() {
    let mut policy = policy_with_readers(2);
    policy.group.readers.when_none = WhenNoReader::AnyOnline;
    let mut world = World::new(policy);
    world.run(ms(4_000));
    world.moves.clear();
    for number in [2, 3] {
        world.node(number).backlog = 1_000_000;
    }
    world.run(ms(30_000));
    assert_eq!(world.moves, []);
}

#[test]
fn an_agent_that_starts_anew_takes_nothing_from_the_others_and_loses_nothing() {
    let mut world = World::settled(4);
    let before = [1, 2, 3, 4].map(|vip| world.holders(vip));
    world.node(2).runs = false;
    world.run(ms(10_000));
    assert_eq!([1, 2, 3, 4].map(|vip| world.holders(vip)), before, "who answers for an address keeps it");
    world.restart(2);
    world.run(ms(20_000));
    assert_eq!([1, 2, 3, 4].map(|vip| world.holders(vip)), before);
    assert_eq!(world.moves, []);
}

#[test]
fn a_drained_readers_vips_go_and_nothing_comes_until_it_may_again() {
    let mut world = World::settled(2);
    world.tell(2, Event::Release);
    world.run(ms(500));
    assert_eq!([1, 2].map(|vip| world.holders(vip)), [vec![3], vec![3]]);
    world.run(ms(20_000));
    world.tell(2, Event::Undrain);
    world.run(ms(2_000));
    assert_ne!(world.holders(1), world.holders(2));
}

#[test]
fn a_pause_of_all_agents_moves_nothing_when_it_begins_and_when_it_ends_one_after_the_other() {
    let mut world = World::settled(3);
    for number in [1, 2, 3] {
        let until = world.now + ms(600_000);
        world.tell(number, Event::Pause { until });
        world.run(ms(700));
    }
    world.run(ms(10_000));
    for number in [3, 1, 2] {
        world.tell(number, Event::Resume);
        world.run(ms(700));
    }
    world.run(ms(20_000));
    assert_eq!(world.moves, []);
}

/// Tells member 2's agent now, and with every look from now on, that its mysqld listens, or that it does not.
fn listens(world: &mut World, fact: Fact<bool>) {
    world.node(2).listens = Some(fact.clone());
    let seen = Seen { asked_at: world.now, fact };
    world.tell(2, Event::Listens(seen));
}

#[test]
fn a_reader_that_listens_no_longer_loses_its_vips_at_once_though_its_server_still_answers_the_agent() {
    let mut world = World::settled(2);
    listens(&mut world, Fact::Known(false));
    world.run(ms(150));
    assert_eq!([1, 2].map(|vip| world.holders(vip)), [vec![3], vec![3]]);
    listens(&mut world, Fact::Known(true));
    world.run(ms(9_000));
    assert_eq!(world.holders(1), [3], "it has not been well for long enough yet");
    world.run(ms(3_000));
    assert_ne!(world.holders(1), world.holders(2));
}

#[test]
fn whether_it_listens_is_not_known_and_nothing_moves() {
    let mut world = World::settled(2);
    listens(&mut world, Fact::Unknown(Why::Other("no sock_diag".to_owned())));
    world.run(ms(20_000));
    assert_eq!(world.moves, []);
}

#[test]
fn what_was_seen_of_listening_a_while_ago_says_nothing_of_now() {
    let mut world = World::settled(2);
    listens(&mut world, Fact::Known(false));
    world.run(ms(500));
    world.node(2).listens = None;
    world.run(ms(17_000));
    assert_ne!(world.holders(1), world.holders(2), "it is not known not to listen, and has been well since");
}

#[test]
fn a_readers_server_that_hangs_loses_its_vips_after_five_seconds() {
    let mut world = World::settled(2);
    world.node(2).server = Fact::Unknown(model_host::hung());
    world.run(ms(4_500));
    assert_eq!(world.moves, [], "a slow server is put up with");
    world.run(ms(1_500));
    assert_eq!([1, 2].map(|vip| world.holders(vip)), [vec![3], vec![3]]);
}

#[test]
fn of_two_that_claim_a_reader_vip_the_one_where_it_belongs_has_it_at_once() {
    let mut world = World::settled(2);
    world.node(2).backlog = 1_000_000;
    world.run(ms(10_500));
    // It hears, a little later than the others, that member 2 is too far behind.
    world.node(3).runs = false;
    let behind = Action::Vip(VipId(1), VipAction::SayFitness(Fitness::Behind));
    for _ in 0..1_000 {
        world.run(ms(1));
        if world.deeds.contains(&(2, behind.clone())) {
            break;
        }
    }
    assert!(world.deeds.contains(&(2, behind)));
    let claim = Frame { from: model_host::mac(1), says: Says::Probe };
    world.tell(2, Event::Frame(VipId(1), claim));
    world.run(ms(50));
    assert_eq!(world.holders(1), [2], "it belongs to another than who claims it");
    world.node(3).runs = true;
    world.run(ms(150));
    assert_eq!(world.holders(1), [3]);
}

#[test]
fn who_looks_around_seldom_remembers_the_longer_who_has_a_reader_vip() {
    let mut policy = policy_with_readers(3);
    policy.group.sleeptime = ms(60_000);
    let mut world = World::new(policy);
    world.run(ms(4_000));
    world.deeds.clear();
    world.run(ms(50_000));
    let probes = world.deeds.iter().filter(|(_, deed)| matches!(deed, Action::Vip(_, VipAction::SendProbe)));
    assert_eq!(probes.count(), 0);
}

#[test]
fn who_hears_a_member_again_asks_who_has_each_reader_vip() {
    let mut world = World::settled(2);
    world.node(3).runs = false;
    world.run(ms(4_000));
    world.deeds.clear();
    world.node(3).runs = true;
    world.run(ms(1_100));
    for (number, vip) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let asks = (number, Action::Vip(VipId(vip), VipAction::AskWhoHasVip));
        assert!(world.deeds.contains(&asks), "{number} does not ask for reader VIP {vip}");
    }
}

#[test]
fn a_vip_that_its_host_lost_without_having_let_go_is_back_there() {
    let mut world = World::settled(2);
    world.lose(3, 2);
    world.run(ms(500));
    assert_eq!(
        [1, 2].map(|vip| world.holders(vip)),
        [vec![2], vec![3]],
        "the others take it to be there still"
    );
}
