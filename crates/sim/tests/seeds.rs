//! Thousands of stories, each from one seed. A failing seed prints itself and its story.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use sim::measure::Durations;
use sim::{Chances, Fault, World};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// One fault, from a group that has settled.
fn one_fault(seed: u64, fault: Fault, chances: Chances) -> World {
    let mut world = World::new(seed, chances);
    world.run(seconds(3));
    world.followed = Durations::default();
    let wait = world.between_ms(0, 8_000);
    world.run(wait);
    let length = fault.happen(&mut world);
    world.run(length);
    world.check_end();
    world
}

fn judge(seed: u64, what: &str, world: &World) {
    assert!(world.broken.is_empty(), "seed {seed}, {what}\n{}", world.story());
}

/// How many seeds: `HAIPMGR_SEEDS` for a longer look.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let count = std::env::var("HAIPMGR_SEEDS").ok().and_then(|text| text.parse().ok());
    0..count.unwrap_or(default)
}

fn budget(fault: Fault) -> Duration {
    match fault {
        // Only the kernel's lease ends a hung agent's holding.
        Fault::AgentHangs | Fault::AgentKilled => seconds(7),
        Fault::RemovedByHand => Duration::from_millis(100),
        _ => Duration::from_millis(300),
    }
}

#[test]
fn one_fault_one_holder_and_the_vip_follows_within_the_budget() {
    let mut followed: BTreeMap<Fault, Durations> = BTreeMap::new();
    let mut late = Vec::new();
    let mut lines: BTreeMap<Fault, usize> = BTreeMap::new();
    for fault in Fault::EACH {
        for seed in seeds(12) {
            let world = one_fault(seed, fault, Chances::FAIR);
            judge(seed, &format!("{fault:?}"), &world);
            assert!(
                world.following_since.is_none(),
                "seed {seed}, {fault:?}: never followed\n{}",
                world.story()
            );
            let longest = world.followed.longest();
            if matches!(fault, Fault::AgentRestarts | Fault::AgentKilled) {
                let gaps = world.story.iter().filter(|line| line.ends_with("VIP down")).count();
                assert_eq!(gaps, 0, "seed {seed}, {fault:?}: a gap\n{}", world.story());
            }
            if longest > budget(fault) {
                late.push(format!("seed {seed}, {fault:?}: {longest:?}\n{}", world.story()));
            }
            let said = world.hosts.iter().map(|host| host.changes_of_mind).max().unwrap_or(0);
            let most = lines.entry(fault).or_default();
            *most = said.max(*most);
            assert!(said < 60, "seed {seed}, {fault:?}: {said} lines in one log\n{}", world.story());
            followed.entry(fault).or_default().add(longest);
        }
    }
    for (fault, durations) in &followed {
        println!("{:22} {durations}  log lines {}", format!("{fault:?}"), lines[fault]);
    }
    assert!(late.is_empty(), "{} late, the first:\n{}", late.len(), late[0]);
}

#[test]
fn two_or_three_faults_at_any_distance_never_make_two_holders() {
    for seed in seeds(60) {
        let chances = Chances {
            held_up: if seed % 3 == 0 { 0.02 } else { 0.0 },
            peer_unknown: if seed % 5 == 0 { 0.5 } else { 0.0 },
            ..Chances::FAIR
        };
        let mut world = World::new(seed, chances);
        world.run(seconds(3));
        let mut faults = Vec::new();
        let passing: Vec<_> = Fault::EACH.into_iter().filter(|fault| fault.passes()).collect();
        for _ in 0..world.rng.usize(1..3) {
            let fault = passing[world.rng.usize(0..passing.len())];
            faults.push(fault);
            fault.happen(&mut world);
            // Not before the group has settled who leads: a second switchover waits for the first.
            let wait = world.between_ms(200, 6_000);
            world.run(wait);
        }
        let last = Fault::EACH[world.rng.usize(0..Fault::EACH.len())];
        faults.push(last);
        let length = last.happen(&mut world);
        world.run(length + seconds(15));
        world.check_end();
        judge(seed, &format!("{faults:?}"), &world);
    }
}

#[test]
fn agents_on_a_starved_processor_never_make_two_holders() {
    for fault in Fault::EACH {
        for seed in seeds(1) {
            for held_up in [0.02, 0.05] {
                let world = one_fault(seed, fault, Chances { held_up, ..Chances::FAIR });
                judge(seed, &format!("{fault:?}, held up {held_up}"), &world);
            }
        }
    }
}

#[test]
fn servers_that_turn_the_peers_questions_away_never_make_two_holders() {
    for fault in [Fault::Shutdown, Fault::TwoClaimants, Fault::Switchover, Fault::GroupPortCut] {
        for seed in seeds(5) {
            for peer_unknown in [0.5, 1.0] {
                let world = one_fault(seed, fault, Chances { peer_unknown, ..Chances::FAIR });
                judge(seed, &format!("{fault:?}, peers unknown {peer_unknown}"), &world);
            }
        }
    }
}

#[test]
fn frame_loss_is_measured_and_not_denied() {
    let mut worst = (Duration::ZERO, String::new());
    for loss in [0.0, 0.1, 0.3] {
        let (mut stories, mut overlaps, mut followed) = (0, Durations::default(), Durations::default());
        for fault in Fault::EACH {
            for seed in seeds(2) {
                let world = one_fault(seed, fault, Chances { loss, ..Chances::FAIR });
                stories += 1;
                if world.two_holders > worst.0 {
                    worst = (
                        world.two_holders,
                        format!("seed {seed}, {fault:?}, loss {loss}\n{}", world.story()),
                    );
                }
                if world.two_holders > Duration::ZERO {
                    overlaps.add(world.two_holders);
                }
                if !matches!(fault, Fault::AgentHangs | Fault::AgentKilled) {
                    followed.add(world.followed.longest());
                }
            }
        }
        println!("loss {loss:.1}: of {stories} stories, two holders in {overlaps}");
        println!("loss {loss:.1}: the VIP follows      {followed}");
    }
    println!("the worst: {}", worst.1);
}
