#![allow(clippy::unwrap_used)]

use super::*;
use crate::record::{Address, Expects, Outcome, Phase, Role};

const VIP: &str = "10.77.0.100";
const CARD_1: &str = "02:00:00:00:00:01";
const CARD_2: &str = "02:00:00:00:00:02";

fn address(text: &str) -> Address {
    Address { address: text.parse().unwrap(), prefix: 32, interface: "eth0".into() }
}

fn us(at_us: u64, who: &str, what: What) -> Recorded {
    Recorded { at_us, who: who.into(), what }
}

fn fault(at_us: u64, name: &str, expects: Expects, phase: Phase) -> Recorded {
    us(at_us, "lab", What::Fault { name: name.into(), host: "db1".into(), target: None, expects, phase })
}

fn role(at_us: u64, who: &str, role: &str, super_read_only: bool, unreachable: u32) -> Recorded {
    let (state, role) = ("ONLINE".to_owned(), role.to_owned());
    us(
        at_us,
        who,
        What::Role(Role { state, role, super_read_only, view: None, members: 3, unreachable, primaries: 1 }),
    )
}

fn arp(at_us: u64, from: &str, kind: ArpKind) -> Recorded {
    us(at_us, "client", What::Arp { from: from.into(), kind, about: VIP.parse().unwrap() })
}

fn insert(at_us: u64, id: u64, outcome: Outcome) -> Recorded {
    us(at_us, "client", What::Insert { id, sent_us: at_us, outcome })
}

/// A line written at this millisecond of the minute, and read `late_us` later.
fn log(written_ms: u64, late_us: u64, who: &str, text: &str) -> Recorded {
    let (second, millisecond) = (written_ms / 1000, written_ms % 1000);
    let line = format!("2026-11-23 00:00:{second:02}.{millisecond:03}+00:00 INFO  [lab] {text}");
    us(written_ms * 1000 + late_us, who, What::Agent { line })
}

fn begun() -> Vec<Recorded> {
    vec![
        us(0, "db1", What::Addresses(vec![address("10.77.0.11"), address(VIP)])),
        us(0, "db2", What::Addresses(vec![address("10.77.0.12")])),
        log(1, 0, "db1", "VIP kept: all stages pass"),
        arp(10_000, CARD_1, ArpKind::Announcement),
        role(10_000, "db1", "PRIMARY", false, 0),
        role(10_000, "db2", "SECONDARY", true, 0),
    ]
}

/// The fault is at 1 s, and every line of a log is read 18 ms late.
fn switchover() -> Vec<Recorded> {
    let mut all = begun();
    all.extend([
        fault(1_000_000, "switchover", Expects::NewPrimary, Phase::Injected),
        insert(1_013_000, 1, Outcome::Error { code: 1290, text: "read only".into() }),
        log(1_014, 18_000, "db1", "stage 3 (primary) fails: the server is ONLINE and a secondary"),
        role(1_026_000, "db2", "PRIMARY", true, 0),
        log(1_027, 18_000, "db2", "stage 3 (primary) fails: the server is the primary and not writable (…)"),
        role(1_028_000, "db2", "PRIMARY", false, 0),
        log(1_030, 18_000, "db2", "stage 3 (primary) passes"),
        arp(1_031_000, CARD_2, ArpKind::Probe),
        log(1_032, 18_000, "db1", "member 10.77.0.12 claims the VIP: asking its server and our own"),
        log(1_032, 18_000, "db2", "VIP wanted here, and member 10.77.0.11 (02:00:00:00:00:01) still has it"),
        us(1_035_000, "db1", What::AddressRemoved(address(VIP))),
        arp(1_035_500, CARD_1, ArpKind::Probe),
        us(1_036_000, "db2", What::AddressAdded(address(VIP))),
        arp(1_036_500, CARD_2, ArpKind::Announcement),
        us(1_040_000, "client", What::Connected { server: "db2".into() }),
        insert(1_042_000, 1, Outcome::Acknowledged),
        // Held back by the agent, and about what was seen long before: it led to nothing any more.
        log(1_230, 18_000, "db2", "stage 3 (primary) passes"),
        fault(1_500_000, "switchover", Expects::NewPrimary, Phase::Healed),
    ]);
    all
}

fn budgets_of(all: Vec<Recorded>) -> Vec<Budget> {
    let recording: Recording = all.into_iter().collect();
    budgets(&recording, VIP.parse().unwrap())
}

fn moments(budget: &Budget) -> Vec<(Step, i64)> {
    budget.moments.iter().map(|moment| (moment.step, moment.after_us)).collect()
}

#[test]
fn a_switchovers_moments_stand_in_order_with_log_lines_where_they_were_written() {
    let all = budgets_of(switchover());
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].old.as_deref(), all[0].new.as_str()), (Some("db1"), "db2"));
    assert_eq!(
        moments(&all[0]),
        [
            (Step::Fault, 0),
            (Step::ClientFails, 13_000),
            (Step::OldNotices, 14_000),
            (Step::Primary, 26_000),
            (Step::PrimarySeen, 27_000),
            (Step::Writable, 28_000),
            (Step::WritableSeen, 30_000),
            (Step::Claim, 31_000),
            (Step::Answered, 32_000),
            (Step::Dispute, 32_000),
            (Step::Gone, 35_000),
            (Step::Released, 35_500),
            (Step::There, 36_000),
            (Step::Announced, 36_500),
            (Step::Connected, 40_000),
            (Step::Insert, 42_000),
        ]
    );
    assert_eq!(all[0].between(Step::Gone, Step::There), Reading::After(1_000));
    assert_eq!(all[0].between(Step::Gone, Step::Woken), Reading::DoesNotApply);
}

#[test]
fn a_host_without_power_lets_go_at_once_and_the_group_is_asked_to_expel_it() {
    let mut all = begun();
    all.extend([
        us(900_000, "asleep", What::Asleep { server: "db1".into() }),
        fault(1_000_000, "power-off", Expects::NewPrimary, Phase::Injected),
        us(1_000_100, "db1", What::HostDown),
        role(6_000_000, "db2", "SECONDARY", true, 1),
        log(
            11_000,
            18_000,
            "db3",
            "member 10.77.0.11 has been UNREACHABLE for … (5 s): telling the group to look now",
        ),
        log(
            11_020,
            18_000,
            "db2",
            "member 10.77.0.11 has been UNREACHABLE for … (5 s): telling the group to look now",
        ),
        role(12_000_000, "db2", "PRIMARY", false, 0),
        arp(12_002_000, CARD_2, ArpKind::Probe),
        us(12_062_000, "db2", What::AddressAdded(address(VIP))),
        arp(12_063_000, CARD_2, ArpKind::Announcement),
        us(12_500_000, "asleep", What::Woken { text: "reset".into() }),
        fault(12_600_000, "power-off", Expects::NewPrimary, Phase::Healed),
        us(13_000_000, "client", What::Connected { server: "db2".into() }),
        insert(13_001_000, 1, Outcome::AcknowledgedLate),
    ]);
    let all = budgets_of(all);
    assert_eq!(
        moments(&all[0]),
        [
            (Step::Fault, 0),
            (Step::Gone, 100),
            (Step::Unreachable, 5_000_000),
            (Step::ExpelAsked, 10_000_000),
            (Step::Sign, 10_020_000),
            (Step::Primary, 11_000_000),
            (Step::Writable, 11_000_000),
            (Step::Claim, 11_002_000),
            (Step::There, 11_062_000),
            (Step::Announced, 11_063_000),
            (Step::Woken, 11_500_000),
            (Step::Connected, 12_000_000),
            (Step::Insert, 12_001_000),
        ]
    );
    let longest = waits(&all[0].moments).into_iter().max_by_key(|wait| wait.us).unwrap();
    assert_eq!((longest.from, longest.to), (Step::Unreachable, Step::ExpelAsked));
}

#[test]
fn what_happens_beside_the_way_to_the_next_row_is_no_wait() {
    let all = budgets_of(switchover());
    let steps: Vec<(Step, Step)> = waits(&all[0].moments).iter().map(|wait| (wait.from, wait.to)).collect();
    assert_eq!(
        steps,
        [
            (Step::Fault, Step::Writable),
            (Step::Writable, Step::Claim),
            (Step::Claim, Step::Dispute),
            (Step::Dispute, Step::Gone),
            (Step::Gone, Step::There),
            (Step::There, Step::Announced),
            (Step::Announced, Step::Connected),
            (Step::Connected, Step::Insert),
        ]
    );
}

#[test]
fn an_address_put_back_where_it_was_has_a_budget_without_an_election() {
    let mut all = begun();
    all.extend([
        fault(1_000_000, "vip-removed", Expects::SamePrimary, Phase::Injected),
        us(1_001_000, "db1", What::AddressRemoved(address(VIP))),
        arp(1_002_000, CARD_1, ArpKind::Probe),
        us(1_061_000, "db1", What::AddressAdded(address(VIP))),
        role(1_062_000, "db1", "PRIMARY", false, 0),
        insert(1_070_000, 1, Outcome::Acknowledged),
    ]);
    assert_eq!(
        moments(&budgets_of(all)[0]),
        [
            (Step::Fault, 0),
            (Step::Gone, 1_000),
            (Step::Claim, 2_000),
            (Step::There, 61_000),
            (Step::Insert, 70_000)
        ]
    );
}

#[test]
fn a_fault_after_which_the_vip_stayed_has_no_budget() {
    let mut all = begun();
    all.push(fault(1_000_000, "agent-restart", Expects::SamePrimary, Phase::Injected));
    all.push(insert(1_010_000, 1, Outcome::Acknowledged));
    assert!(budgets_of(all).is_empty());
}

#[test]
fn an_announcement_heard_after_the_next_host_has_the_address_does_not_name_its_interface_anew() {
    let mut all = switchover();
    all.push(arp(1_036_100, CARD_1, ArpKind::Announcement));
    all.push(arp(1_200_000, CARD_2, ArpKind::Announcement));
    let all = budgets_of(all);
    assert_eq!(all[0].after(Step::Claim), Reading::After(31_000));
    assert_eq!(all[0].after(Step::Announced), Reading::After(36_500));
}

#[test]
fn medians_leave_out_what_few_of_the_moves_have() {
    let budget = |claim: i64, woken: Option<i64>| Budget {
        fault: "switchover".into(),
        old: None,
        new: "db2".into(),
        moments: [(Step::Fault, Some(0)), (Step::Claim, Some(claim)), (Step::Woken, woken)]
            .into_iter()
            .filter_map(|(step, at)| Some(Moment { step, after_us: at? }))
            .collect(),
    };
    let all = [budget(10, Some(99)), budget(30, None), budget(20, None)];
    let typical = typical(&all);
    assert_eq!(typical.len(), 1);
    assert_eq!(typical[0].runs, 3);
    assert_eq!(
        typical[0].moments,
        [(Moment { step: Step::Fault, after_us: 0 }, 3), (Moment { step: Step::Claim, after_us: 20 }, 3)]
    );
}
