//! Schedules from seeds. A failing one prints itself, made short, as a timeline. `HAIPMGR_SEEDS` for a longer look; the `sim`
//! program runs them by the million.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use sim::measure::Durations;
use sim::schedule::{Readers, Timed};
use sim::shrink::{failure, shrink};
use sim::timeline::timeline;
use sim::{Fault, Outcome, Schedule, Who, fault::Elsewhere};

/// How many seeds.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let count = std::env::var("HAIPMGR_SEEDS").ok().and_then(|text| text.parse().ok());
    0..count.unwrap_or(default)
}

fn judge(schedule: &Schedule) -> Outcome {
    let outcome = schedule.run();
    assert!(outcome.broken.is_empty(), "{}", timeline(&shrink(schedule)));
    outcome
}

/// One fault, some seconds after the start of three hosts.
fn one(seed: u64, fault: Fault) -> Schedule {
    let faults = vec![Timed { at_ms: 3_000 + seed * 397 % 2_000, fault }];
    Schedule { faults, ..Schedule::quiet(seed, 3, 45_000) }
}

#[test]
fn schedules_with_overlapping_faults_break_no_invariant() {
    for seed in seeds(400) {
        judge(&Schedule::from_seed(seed, None));
    }
}

#[test]
fn schedules_with_reader_vips_break_no_invariant() {
    for seed in seeds(60) {
        judge(&Schedule::from_seed(seed, None).with_readers(None));
    }
}

#[test]
fn schedules_with_a_vip_on_an_interface_of_its_own_break_no_invariant() {
    for seed in seeds(150) {
        judge(&Schedule::from_seed(seed, None).with_own_interface());
    }
}

#[test]
fn an_interface_that_only_one_vip_has_takes_that_one_alone_and_gives_it_back() {
    let who = Who::Holder;
    for seed in seeds(6) {
        for what in
            [Elsewhere::InterfaceGone { who }, Elsewhere::CarrierLost { who }, Elsewhere::AddressGone { who }]
        {
            let one = one(seed, Fault::Elsewhere { what, ms: 3_000 });
            let schedule = Schedule { second_vip: true, own_interface: true, ..one };
            let told = schedule.tell();
            assert!(told.broken.is_empty(), "{}", timeline(&schedule));
            let count = |ending: &str| told.story.iter().filter(|(_, words)| words.ends_with(ending)).count();
            assert_eq!((count(": VIP up"), count(": VIP down")), (1, 0), "{}", timeline(&schedule));
            assert_eq!(count(": second VIP up"), 2, "{}", timeline(&schedule));
        }
    }
}

#[test]
fn a_dead_readers_vip_is_on_another_secondary_within_three_tenths_of_a_second() {
    for seed in seeds(12) {
        let fault = Fault::Kill { who: Who::Reader, ms: 30_000 };
        let faults = vec![Timed { at_ms: 6_000, fault }];
        let readers = Some(Readers::new(1));
        let schedule = Schedule { faults, readers, ..Schedule::quiet(seed, 3, 45_000) };
        let told = schedule.tell();
        assert!(told.broken.is_empty(), "{}", timeline(&schedule));
        let killed = Duration::from_millis(6_000);
        let up = |(at, words): &&(Duration, String)| *at > killed && words.ends_with("reader VIP 1 up");
        let up = told.story.iter().find(up).expect("it moves").0;
        assert!(up.saturating_sub(killed) < Duration::from_millis(300), "{}", timeline(&schedule));
    }
}

#[test]
fn a_busy_moment_moves_no_reader_vip() {
    for seed in seeds(12) {
        let fault = Fault::FallsBehind { who: Who::Reader, ms: 8_000 };
        let faults = vec![Timed { at_ms: 6_000, fault }];
        let readers = Some(Readers::new(2));
        let schedule = Schedule { faults, readers, ..Schedule::quiet(seed, 3, 40_000) };
        let told = schedule.tell();
        assert!(told.broken.is_empty(), "{}", timeline(&schedule));
        let moves = told.story.iter().filter(|(at, words)| {
            *at > Duration::from_secs(6) && words.contains("reader VIP") && words.ends_with("up")
        });
        assert_eq!(moves.count(), 0, "{}", timeline(&schedule));
    }
}

#[test]
fn the_vip_follows_a_new_primary_within_a_third_of_a_second() {
    let faults = [
        Fault::Switchover { to: 1 },
        Fault::Shutdown { who: Who::Primary, ms: 20_000 },
        Fault::StopGroupReplication { who: Who::Primary, ms: 20_000 },
        Fault::Kill { who: Who::Primary, ms: 30_000 },
        Fault::PowerOff { who: Who::Primary, ms: 30_000 },
        Fault::ServerHangs { who: Who::Primary, ms: 30_000 },
        Fault::GroupPortCut { who: Who::Primary, ms: 30_000 },
        Fault::Flushed { who: Who::Holder },
    ];
    for fault in faults {
        let mut followed = Durations::default();
        for seed in seeds(12) {
            let outcome = judge(&one(seed, fault));
            // The first is the start.
            assert!(
                fault == Fault::Flushed { who: Who::Holder } || outcome.followed.len() >= 2,
                "{fault}: never followed"
            );
            outcome.followed.iter().skip(1).for_each(|time| followed.add(*time));
        }
        println!("{:70} {followed}", fault.to_string());
        assert!(followed.longest() < Duration::from_millis(330), "{fault}: {followed}");
    }
}

#[test]
fn a_switchover_whose_target_has_a_backlog_leaves_the_vip_where_writes_are_taken_until_the_target_takes_them()
{
    for seed in seeds(12) {
        let schedule = one(seed, Fault::SwitchoverWithBacklog { to: 1, ms: 200 + seed * 700 });
        let told = schedule.tell();
        assert!(told.broken.is_empty(), "{}", timeline(&schedule));
        let at = |words: &str| told.story.iter().find(|(_, said)| said == words).map(|(at, _)| *at);
        let writes = at("db2 takes writes").expect("a new primary");
        let (down, up) = (at("db1: VIP down").expect("it leaves"), at("db2: VIP up").expect("it follows"));
        assert!(down > writes, "db1 let go before: {}", timeline(&schedule));
        assert!(up.saturating_sub(writes) < Duration::from_millis(330), "{}", timeline(&schedule));
        assert!(up.saturating_sub(down) < Duration::from_millis(10), "{}", timeline(&schedule));
    }
}

#[test]
fn an_agent_that_is_restarted_or_killed_and_is_back_in_time_leaves_no_gap() {
    for seed in seeds(12) {
        let (who, ms) = (Who::Holder, 10 + seed * 300);
        for fault in [Fault::AgentRestarts { who, ms }, Fault::AgentKilled { who, ms }] {
            judge(&one(seed, fault));
            let told = one(seed, fault).tell();
            let gaps = told.story.iter().filter(|(_, words)| words.ends_with("VIP down")).count();
            assert_eq!(gaps, 0, "{fault}\n{}", timeline(&one(seed, fault)));
        }
    }
}

#[test]
fn a_cut_of_every_link_for_three_seconds_moves_nothing() {
    for seed in seeds(12) {
        for who in [Who::Primary, Who::Host(2)] {
            let told = one(seed, Fault::Isolated { who, ms: 3_000 }).tell();
            assert!(told.broken.is_empty());
            assert!(!told.story.iter().any(|(_, words)| words.ends_with("VIP down")));
        }
    }
}

#[test]
fn a_hung_agents_address_is_gone_after_its_lease_and_the_new_primary_has_it() {
    for seed in seeds(6) {
        let mut schedule = one(seed, Fault::AgentHangs { who: Who::Holder, ms: 30_000 });
        schedule.faults.push(Timed { at_ms: 6_000, fault: Fault::Switchover { to: 2 } });
        let told = schedule.tell();
        assert!(told.broken.is_empty(), "{}", timeline(&schedule));
        let up = told.story.iter().find(|(_, words)| words == "db3: VIP up").expect("it follows").0;
        assert!(up < Duration::from_millis(6_000 + 10_000 + 1_500), "lease and 1.5 s: {up:?}");
    }
}

#[test]
fn polls_that_are_left_out_would_have_led_to_nothing() {
    for seed in seeds(60) {
        let schedule = Schedule::from_seed(seed, None);
        let outcome = schedule.run_all_polls();
        assert!(outcome.broken.is_empty(), "seed {seed}: {:?}", outcome.broken);
        if seed % 6 == 0 {
            let outcome = schedule.clone().with_readers(None).run_all_polls();
            assert!(outcome.broken.is_empty(), "seed {seed}, with readers: {:?}", outcome.broken);
        }
        if seed % 3 == 0 {
            let outcome = schedule.with_own_interface().run_all_polls();
            assert!(outcome.broken.is_empty(), "seed {seed}, own interface: {:?}", outcome.broken);
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in seeds(20) {
        let (one, other) = (Schedule::from_seed(seed, None).tell(), Schedule::from_seed(seed, None).tell());
        assert_eq!(one.story, other.story);
    }
}

#[test]
fn a_schedule_that_is_written_down_is_the_same_when_it_is_read_back() {
    for seed in seeds(200) {
        let schedule = Schedule::from_seed(seed, None);
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(schedule, serde_json::from_str(&text).unwrap(), "{text}");
    }
}

#[test]
fn hosts_are_two_three_five_and_seven() {
    let mut members: Vec<usize> = (0..200).map(|seed| Schedule::from_seed(seed, None).members).collect();
    members.sort_unstable();
    members.dedup();
    assert_eq!(members, [2, 3, 5, 7]);
    assert_eq!(failure(&Schedule::quiet(1, 7, 5_000)), None);
}
