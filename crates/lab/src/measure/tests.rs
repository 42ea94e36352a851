//! Hand-made recordings, and what they come to.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::record::{Address, Outcome, Role};

const VIP: &str = "10.77.0.100";

fn vip() -> Address {
    Address { address: VIP.parse().unwrap(), prefix: 32, interface: "eth0".into() }
}

fn ms(at: u64, who: &str, what: What) -> Recorded {
    Recorded { at_us: at * 1000, who: who.into(), what }
}

fn fault_of(at: u64, name: &str, target: Option<&str>, expects: Expects, phase: Phase) -> Recorded {
    let (name, target) = (name.to_owned(), target.map(str::to_owned));
    ms(at, "lab", What::Fault { name, host: "db1".into(), target, expects, phase })
}

fn injected(at: u64, name: &str) -> Recorded {
    fault_of(at, name, None, Expects::NewPrimary, Phase::Injected)
}

fn healed(at: u64, name: &str) -> Recorded {
    fault_of(at, name, None, Expects::NewPrimary, Phase::Healed)
}

fn primary(at: u64, who: &str, super_read_only: bool, unreachable: u32) -> Recorded {
    let role = Role {
        state: "ONLINE".into(),
        role: "PRIMARY".into(),
        super_read_only,
        view: None,
        members: 3,
        unreachable,
        primaries: 1,
    };
    ms(at, who, What::Role(role))
}

fn insert(at: u64, id: u64, outcome: Outcome) -> Recorded {
    ms(at, "client", What::Insert { id, sent_us: at * 1000 - 500, outcome })
}

fn acknowledged_rows(from: u64, to: u64, first_id: u64) -> Vec<Recorded> {
    (from..to).step_by(5).zip(first_id..).map(|(at, id)| insert(at, id, Outcome::Acknowledged)).collect()
}

/// A shutdown at 1000 ms: elected 700 ms later, the VIP 3 ms from gone to there at 1710 and 1713, inserts from 1740 on.
fn shutdown() -> Vec<Recorded> {
    let mut all = vec![
        ms(0, "db1", What::Addresses(vec![vip()])),
        ms(0, "db2", What::Addresses(vec![])),
        primary(0, "db1", false, 0),
        injected(1000, "shutdown"),
        // The old primary swears on; the new one shows PRIMARY before it is writable.
        primary(1200, "db1", false, 0),
        primary(1650, "db2", true, 0),
        primary(1700, "db2", false, 0),
        ms(1710, "db1", What::AddressRemoved(vip())),
        ms(1713, "db2", What::AddressAdded(vip())),
        insert(1100, 999, Outcome::Disconnected { text: "reset".into() }),
    ];
    all.extend(acknowledged_rows(500, 996, 1));
    all.extend(acknowledged_rows(1740, 3000, 200));
    all.push(healed(3000, "shutdown"));
    all.extend(acknowledged_rows(3000, 4000, 600));
    all
}

fn one(all: Vec<Recorded>) -> Figures {
    let recording: Recording = all.into_iter().collect();
    let mut figures = figures(&recording, VIP.parse().unwrap());
    assert_eq!(figures.len(), 1);
    figures.remove(0)
}

#[test]
fn a_shutdown_is_measured_from_the_fault_and_the_outage_from_the_last_row_before_it() {
    let figures = one(shutdown());
    assert_eq!(figures.elected, Reading::After(700_000));
    assert_eq!(figures.primary.as_deref(), Some("db2"));
    assert_eq!(figures.vip_moved, Reading::After(713_000));
    assert_eq!(figures.holder.as_deref(), Some("db2"));
    assert_eq!(figures.outage, Reading::After(745_000), "from 995 to 1740");
    assert_eq!(figures.beyond_election(), Reading::After(45_000));
    assert_eq!(figures.unheld, Reading::After(3_000));
    assert_eq!(figures.two_holders, Reading::After(0));
    assert_eq!(figures.failed, 1);
    assert_eq!(figures.lost, None, "nobody has looked");
}

#[test]
fn a_fault_that_nothing_recovers_from_before_it_is_healed_reads_never() {
    let mut all = vec![
        ms(0, "db1", What::Addresses(vec![vip()])),
        injected(1000, "kill-9"),
        healed(91_000, "kill-9"),
        primary(91_500, "db2", false, 0),
        ms(91_600, "db1", What::AddressRemoved(vip())),
        ms(91_700, "db2", What::AddressAdded(vip())),
    ];
    all.extend(acknowledged_rows(500, 1000, 1));
    all.extend(acknowledged_rows(92_000, 93_000, 200));
    let figures = one(all);
    assert_eq!(figures.elected, Reading::Never(90_000_000));
    assert_eq!(figures.vip_moved, Reading::Never(90_000_000));
    assert_eq!(figures.outage, Reading::Never(90_000_000));
    assert_eq!(figures.outage.to_string(), "never (90 s)");
}

#[test]
fn a_client_that_finds_the_moved_address_only_while_the_lab_heals_has_recovered_by_itself() {
    let mut all = vec![
        ms(0, "db1", What::Addresses(vec![vip()])),
        injected(1000, "kill-9"),
        primary(22_000, "db2", false, 0),
        ms(22_050, "db1", What::AddressRemoved(vip())),
        ms(22_060, "db2", What::AddressAdded(vip())),
        healed(22_100, "kill-9"),
    ];
    all.extend(acknowledged_rows(500, 1000, 1));
    all.extend(acknowledged_rows(22_900, 24_000, 200));
    assert_eq!(one(all).outage, Reading::After(21_905_000));
}

#[test]
fn a_pause_that_begins_while_the_lab_heals_is_not_the_faults() {
    let mut all = shutdown();
    all.extend(acknowledged_rows(6000, 7000, 800));
    assert_eq!(one(all).outage, Reading::After(745_000));
}

#[test]
fn the_next_faults_outage_is_not_laid_to_the_one_before() {
    let mut all = shutdown();
    all.push(injected(4000, "kill-9"));
    all.extend(acknowledged_rows(24_000, 25_000, 900));
    let recording: Recording = all.into_iter().collect();
    let outages: Vec<Reading> =
        figures(&recording, VIP.parse().unwrap()).iter().map(|figures| figures.outage).collect();
    assert_eq!(outages, [Reading::After(745_000), Reading::After(20_005_000)]);
}

#[test]
fn without_a_client_there_is_no_outage_to_be_proud_of() {
    let all = vec![injected(1000, "kill-9"), primary(1400, "db2", false, 0)];
    assert!(matches!(one(all).outage, Reading::Never(_)));
}

#[test]
fn a_primary_without_a_majority_is_not_elected() {
    let mut all = shutdown();
    all.push(primary(1300, "db3", false, 2));
    assert_eq!(one(all).elected, Reading::After(700_000));
}

#[test]
fn a_switchover_is_over_when_its_target_leads_and_not_when_another_does() {
    let mut all = vec![
        fault_of(1000, "switchover", Some("db3"), Expects::NewPrimary, Phase::Injected),
        primary(1050, "db2", false, 0),
        primary(1090, "db3", false, 0),
    ];
    all.extend(acknowledged_rows(500, 2000, 1));
    let figures = one(all);
    assert_eq!(figures.elected, Reading::After(90_000));
    assert_eq!(figures.primary.as_deref(), Some("db3"));
    assert_eq!(figures.outage, Reading::After(5_000), "no pause longer than between any two inserts");
}

#[test]
fn an_address_taken_away_by_hand_and_put_back_on_the_same_host_has_moved_when_it_is_back() {
    let mut all = vec![
        ms(0, "db1", What::Addresses(vec![vip()])),
        fault_of(1000, "vip-removed", None, Expects::SamePrimary, Phase::Injected),
        ms(1001, "db1", What::AddressRemoved(vip())),
        ms(1061, "db1", What::AddressAdded(vip())),
    ];
    all.extend(acknowledged_rows(500, 1000, 1));
    all.extend(acknowledged_rows(1300, 2000, 200));
    let figures = one(all);
    assert_eq!(figures.elected, Reading::DoesNotApply);
    assert_eq!(figures.vip_moved, Reading::After(61_000));
    assert_eq!(figures.unheld, Reading::After(60_000));
    assert_eq!(figures.holder.as_deref(), Some("db1"));
    assert_eq!(figures.outage, Reading::After(305_000));
    assert_eq!(figures.beyond_election(), Reading::DoesNotApply);
}

#[test]
fn an_agent_restart_that_nobody_notices_has_no_move_and_no_gap() {
    let mut all = vec![
        ms(0, "db1", What::Addresses(vec![vip()])),
        fault_of(1000, "agent-restart", None, Expects::SamePrimary, Phase::Injected),
    ];
    all.extend(acknowledged_rows(500, 2000, 1));
    let figures = one(all);
    assert_eq!(figures.vip_moved, Reading::DoesNotApply);
    assert_eq!(figures.unheld, Reading::DoesNotApply);
    assert_eq!(figures.outage, Reading::After(5_000));
}

#[test]
fn a_host_without_power_is_no_second_holder() {
    let mut all = vec![
        ms(0, "db1", What::Addresses(vec![vip()])),
        injected(1000, "power-off"),
        ms(1002, "db1", What::HostDown),
        primary(22_000, "db2", false, 0),
        ms(22_060, "db2", What::AddressAdded(vip())),
        healed(24_000, "power-off"),
    ];
    all.extend(acknowledged_rows(500, 1000, 1));
    all.extend(acknowledged_rows(22_100, 25_000, 200));
    let figures = one(all);
    assert_eq!(figures.two_holders, Reading::After(0));
    assert_eq!(figures.unheld, Reading::After(21_058_000));
    assert_eq!(figures.vip_moved, Reading::After(21_060_000));
}

#[test]
fn two_holders_while_it_is_healed_count_too() {
    let mut all = shutdown();
    all.push(ms(3200, "db1", What::AddressAdded(vip())));
    all.push(ms(3250, "db1", What::AddressRemoved(vip())));
    assert_eq!(one(all).two_holders, Reading::After(50_000));
}

#[test]
fn a_lost_row_is_laid_to_the_fault_in_which_it_was_acknowledged() {
    let mut all = shutdown();
    all.push(injected(5000, "kill-9"));
    all.extend(acknowledged_rows(5000, 5100, 900));
    all.push(ms(6000, "lab", What::Verified { acknowledged: 3, missing: vec![201, 1] }));
    let recording: Recording = all.into_iter().collect();
    let lost: Vec<Option<u64>> =
        figures(&recording, VIP.parse().unwrap()).iter().map(|figures| figures.lost).collect();
    // Row 1 was acknowledged before either fault.
    assert_eq!(lost, [Some(1), Some(0)]);
}

#[test]
fn a_row_found_to_be_there_when_tried_again_ends_the_outage() {
    let mut all = vec![injected(1000, "kill-9"), primary(1400, "db2", false, 0)];
    all.extend(acknowledged_rows(500, 1000, 1));
    all.push(insert(1500, 101, Outcome::AcknowledgedLate));
    all.extend(acknowledged_rows(1505, 2500, 200));
    assert_eq!(one(all).outage, Reading::After(505_000));
}

#[test]
fn the_sleeping_client_is_timed_from_the_fault_and_only_where_it_slept() {
    let mut all = shutdown();
    assert_eq!(one(all.clone()).woken, Reading::DoesNotApply);
    all.push(ms(600, "asleep", What::Asleep { server: "db1".into() }));
    assert_eq!(one(all.clone()).woken, Reading::Never(2_000_000));
    all.push(ms(1780, "asleep", What::Woken { text: "reset".into() }));
    assert_eq!(one(all).woken, Reading::After(780_000));
}

#[test]
fn a_recording_without_faults_or_without_anything_has_no_figures() {
    assert!(figures(&Recording::default(), VIP.parse().unwrap()).is_empty());
    let recording: Recording = acknowledged_rows(500, 1000, 1).into_iter().collect();
    assert!(figures(&recording, VIP.parse().unwrap()).is_empty());
}

#[test]
fn without_a_vip_the_outage_is_told_all_the_same_and_nothing_is_said_of_the_vip() {
    let mut all = acknowledged_rows(500, 1000, 1);
    all.extend([injected(1000, "switchover"), primary(1020, "db2", false, 0)]);
    all.extend(acknowledged_rows(1300, 1600, 500));
    all.push(healed(1600, "switchover"));
    all.extend(acknowledged_rows(1605, 1700, 900));
    let figures = one(all);
    assert_eq!((figures.vip_moved, figures.unheld), (Reading::DoesNotApply, Reading::DoesNotApply));
    assert_eq!(figures.elected, Reading::After(20_000));
    assert_eq!(figures.outage, Reading::After(305_000), "from 995 to 1300");
}
