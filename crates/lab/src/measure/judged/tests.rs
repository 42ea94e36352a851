//! Hand-made recordings, and what the oracle says of them.
#![allow(clippy::unwrap_used)]

use oracle::{Excuse, Invariant};

use super::*;
use crate::record::{Address, Expects, Role};

const VIP: &str = "10.77.0.100";

fn vip() -> Address {
    Address { address: VIP.parse().unwrap(), prefix: 32, interface: "eth0".into() }
}

fn ms(at: u64, who: &str, what: What) -> Recorded {
    Recorded { at_us: at * 1000, who: who.into(), what }
}

fn role(at: u64, who: &str, role: &str) -> Recorded {
    one_of(1, at, who, role)
}

/// A member's word in a group with so many primaries.
fn one_of(primaries: u32, at: u64, who: &str, role: &str) -> Recorded {
    let (state, role) = ("ONLINE".to_owned(), role.to_owned());
    let super_read_only = role != "PRIMARY";
    let (view, members, unreachable) = (None, 3, 0);
    ms(at, who, What::Role(Role { state, role, super_read_only, view, members, unreachable, primaries }))
}

fn gets(at: u64, who: &str) -> Recorded {
    ms(at, who, What::AddressAdded(vip()))
}

fn loses(at: u64, who: &str) -> Recorded {
    ms(at, who, What::AddressRemoved(vip()))
}

fn injected(at: u64) -> Recorded {
    let (name, host) = ("kill-9".to_owned(), "db1".to_owned());
    let expects = Expects::NewPrimary;
    ms(at, "lab", What::Fault { name, host, target: None, expects, phase: Phase::Injected })
}

fn verified(at: u64) -> Recorded {
    ms(at, "lab", What::Verified { acknowledged: 1, missing: Vec::new() })
}

/// db1 leads and holds the VIP; then this; and the recording ends after a minute.
fn after(more: Vec<Recorded>) -> Recording {
    let mut all = vec![ms(0, "db1", What::Addresses(vec![vip()]))];
    all.extend(["db2", "db3"].map(|host| ms(0, host, What::Addresses(Vec::new()))));
    all.extend([role(0, "db1", "PRIMARY"), role(0, "db2", "SECONDARY"), role(0, "db3", "SECONDARY")]);
    all.extend(more);
    all.push(ms(60_000, "lab", What::Said { line: "the end".into() }));
    all.into_iter().collect()
}

fn judged(more: Vec<Recorded>) -> Judged {
    Judged::of(VIP.parse().unwrap(), &after(more))
}

fn broken(more: Vec<Recorded>) -> Vec<Invariant> {
    judged(more).broken.iter().map(|broken| broken.invariant).collect()
}

#[test]
fn a_switchover_that_the_vip_follows_breaks_nothing() {
    let more = vec![
        injected(10_000),
        role(10_020, "db1", "SECONDARY"),
        loses(10_030, "db1"),
        gets(10_031, "db2"),
        role(10_040, "db2", "PRIMARY"),
        verified(15_000),
    ];
    let judged = judged(more);
    assert_eq!(judged.broken, []);
    assert_eq!(
        judged.to_string(),
        "two holders 0.000 s in all; no invariant broken, excuses: none was needed"
    );
}

#[test]
fn two_holders_break_one_holder_whatever_is_done_to_the_lab_and_however_shortly() {
    let more = vec![injected(10_000), gets(10_500, "db2"), loses(10_502, "db1"), verified(15_000)];
    let judged = judged(more);
    assert_eq!(
        judged.broken.iter().map(|broken| broken.invariant).collect::<Vec<_>>(),
        [Invariant::OneHolder, Invariant::Follows]
    );
    assert!(judged.to_string().contains("db1 and db2 hold the VIP and hear each other for 0.002 s"));
    assert_eq!(judged.two_holders, Duration::from_millis(2));
    assert_eq!(judged.since(10_501_000).broken.len(), 1, "what was broken before is another test's");
}

#[test]
fn an_address_that_comes_in_the_moment_in_which_it_goes_has_no_second_holder() {
    let recording = |apart_us| {
        let mut added = gets(10_500, "db2");
        added.at_us -= apart_us;
        after(vec![injected(10_000), added, loses(10_500, "db1")])
    };
    let broken = |apart| Judged::of(VIP.parse().unwrap(), &recording(apart)).broken.len();
    assert_eq!((broken(0), broken(1)), (0, 1));
}

#[test]
fn two_holders_while_frames_get_lost_are_excused_and_counted() {
    let more = vec![
        injected(9_000),
        ms(10_000, "lab", What::FramesGetLost(true)),
        gets(10_500, "db2"),
        loses(10_510, "db2"),
        ms(11_000, "lab", What::FramesGetLost(false)),
        verified(12_000),
        injected(20_000),
        gets(20_500, "db2"),
        loses(20_510, "db2"),
    ];
    let judged = judged(more);
    assert_eq!((judged.excuses.of(Excuse::FramesLost), judged.broken.len()), (1, 1));
    assert_eq!(judged.broken[0].at, Time(20_500_000));
}

#[test]
fn a_well_holder_that_lets_go_flaps_unless_the_lab_is_in_its_way_or_it_no_longer_led() {
    assert_eq!(
        broken(vec![loses(10_000, "db1"), gets(10_100, "db1")]),
        [Invariant::NoFlap, Invariant::Follows]
    );
    assert_eq!(
        broken(vec![injected(9_000), loses(10_000, "db1"), gets(10_100, "db1"), verified(11_000)]),
        []
    );
    // Its server says a moment later that it leads no more: nobody knows since when.
    let more = vec![
        loses(10_000, "db1"),
        role(10_500, "db1", "SECONDARY"),
        role(10_500, "db2", "PRIMARY"),
        gets(10_600, "db2"),
    ];
    assert_eq!(broken(more), []);
    assert_eq!(broken(vec![loses(1_500, "db1"), gets(1_600, "db1")]), [], "it has not led for long");
}

#[test]
fn a_host_without_power_lets_go_of_nothing() {
    assert_eq!(broken(vec![ms(10_000, "db1", What::HostDown)]), []);
}

#[test]
fn a_primary_that_has_not_the_vip_in_time_is_not_followed() {
    let moves = |at| {
        let stops = vec![injected(10_000), role(10_100, "db1", "SECONDARY"), loses(10_110, "db1")];
        let back = vec![role(10_200, "db2", "PRIMARY"), verified(11_000), gets(at, "db2")];
        broken([stops, back].concat())
    };
    assert_eq!(moves(13_900), []);
    assert_eq!(moves(14_100), [Invariant::Follows]);
}

#[test]
fn after_an_election_the_vip_is_with_the_new_primary_alone_and_in_time() {
    let elected = |gone, there| {
        let recording = after(vec![
            injected(10_000),
            role(12_000, "db2", "PRIMARY"),
            loses(gone, "db1"),
            gets(there, "db2"),
            verified(30_000),
        ]);
        followed_election(&recording, VIP.parse().unwrap(), "db2", 12_000_000, 30_000_000)
    };
    assert_eq!(elected(14_900, 14_950), Ok(()));
    assert_eq!(elected(14_900, 15_050).unwrap_err().words, "db2 takes writes, and nobody has the VIP");
    assert_eq!(elected(15_050, 14_900).unwrap_err().words, "db2 takes writes, and db1 and db2 has the VIP");
}

#[test]
fn a_holder_that_was_to_stay_and_did_not_flaps() {
    let kept = |from| kept_since(&after(vec![loses(10_000, "db1")]), VIP.parse().unwrap(), from);
    assert_eq!(kept(10_000_001), Ok(()));
    assert_eq!(kept(9_500_000).unwrap_err().invariant, Invariant::NoFlap);
}

#[test]
fn nobody_leads_in_multi_primary_mode() {
    let all_lead = |at| ["db1", "db2", "db3"].map(|host| one_of(3, at, host, "PRIMARY"));
    let mut more: Vec<_> = all_lead(10_000).into();
    more.push(loses(10_100, "db1"));
    more.extend([role(20_000, "db1", "SECONDARY"), role(20_000, "db3", "SECONDARY")]);
    more.extend([role(20_000, "db2", "PRIMARY"), gets(20_100, "db2")]);
    assert_eq!(broken(more), []);
    // The VIP is to come back when it is over.
    let mut more: Vec<_> = all_lead(10_000).into();
    more.extend([loses(10_100, "db1"), role(20_000, "db1", "PRIMARY"), role(20_000, "db2", "SECONDARY")]);
    more.push(role(20_000, "db3", "SECONDARY"));
    assert_eq!(broken(more), [Invariant::Follows]);
}
