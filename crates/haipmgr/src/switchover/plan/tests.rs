#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::pause::Pause;
use crate::switchover::session::{Does, Session};

const TIME: Duration = Duration::from_secs(10);

fn address(number: u8) -> IpAddr {
    IpAddr::from([10, 77, 0, 10 + number])
}

fn row(number: u8) -> Row {
    Row {
        id: format!("id-{number}"),
        host: format!("db{number}"),
        state: "ONLINE".to_owned(),
        primary: number == 1,
        version: "9.7.4".to_owned(),
        queue: Some(0),
    }
}

/// Three members that are well, the first of them the primary.
fn group() -> Vec<Reading> {
    let said = |number: u8| Said {
        id: format!("id-{number}"),
        writable: number == 1,
        members: (1..=3).map(row).collect(),
        sessions: Ok((Vec::new(), 0)),
        changed: Ok(Vec::new()),
        stage: None,
        prepared: Ok(Vec::new()),
        paused: None,
    };
    (1..=3).map(|number| Reading { address: address(number), said: Ok(said(number)) }).collect()
}

fn said(group: &mut [Reading], number: usize) -> &mut Said {
    group[number - 1].said.as_mut().unwrap()
}

/// As the primary shows the member, and as it shows itself.
fn edit(group: &mut [Reading], number: usize, edit: impl Fn(&mut Row)) {
    for server in 1..=3 {
        edit(&mut said(group, server).members[number - 1]);
    }
}

fn session(does: Does, seconds: u64) -> Session {
    Session {
        id: 42,
        account: "app@10.0.0.7".to_owned(),
        since: Duration::from_secs(seconds),
        statement: "UPDATE t SET a = 1".to_owned(),
        does,
    }
}

fn with(number: usize, does: Does, seconds: u64) -> Vec<Reading> {
    let mut group = group();
    said(&mut group, number).sessions = Ok((vec![session(does, seconds)], 1));
    group
}

fn to(member: Option<&str>, force: bool) -> Wanted {
    Wanted { to: member.map(str::to_owned), within: TIME, force }
}

fn best_of(group: &[Reading]) -> Plan {
    plan(group, &to(None, false))
}

fn refusal(plan: &Plan) -> String {
    match &plan.verdict {
        Verdict::Refused(reasons) => reasons.join("\n"),
        other => format!("not refused: {other:?}"),
    }
}

#[test]
fn the_member_with_the_shortest_queue_is_chosen_and_each_candidate_has_its_line() {
    let mut group = group();
    edit(&mut group, 2, |row| row.queue = Some(7));
    let plan = best_of(&group);
    assert_eq!(
        (plan.verdict.clone(), plan.target.clone()),
        (Verdict::Go, Some((address(3), "id-3".to_owned())))
    );
    assert_eq!(
        plan.to_string(),
        "primary    10.77.0.11 (db1)\n\
         candidate    10.77.0.12 (db2)  fit, 7 transactions to apply first\n\
         candidate -> 10.77.0.13 (db3)  fit\n"
    );
}

#[test]
fn a_member_is_found_by_address_name_and_uuid_and_the_primary_is_there_already() {
    for name in ["10.77.0.13", "db3", "id-3"] {
        assert_eq!(plan(&group(), &to(Some(name), false)).target, Some((address(3), "id-3".to_owned())));
    }
    assert_eq!(plan(&group(), &to(Some("db1"), false)).verdict, Verdict::AlreadyThere);
    assert!(refusal(&plan(&group(), &to(Some("db9"), false))).contains("db9 is no member that answers here"));
}

#[test]
fn who_is_not_fit_is_not_chosen_and_its_line_says_why() {
    let mut not_online = group();
    edit(&mut not_online, 2, |row| row.state = "RECOVERING".to_owned());
    let mut newer = group();
    edit(&mut newer, 2, |row| row.version = "26.1.0".to_owned());
    let mut behind = group();
    edit(&mut behind, 2, |row| row.queue = Some(200_000));
    let mut silent = group();
    silent[1].said = Err("connection refused".to_owned());
    let mut stranger = group();
    said(&mut stranger, 2).id = "another".to_owned();
    for (group, why) in [
        (not_online, "it is RECOVERING, not ONLINE"),
        (newer, "its version is 26.1.0, and a member of 9.7.4 is in the group"),
        (behind, "it is behind by 200000 transactions"),
        (silent, "its server cannot be asked: connection refused"),
        (stranger, "it is not in the primary's group"),
        (with(2, Does::GlobalReadLock, 5), "1 of its sessions would hold the switchover up"),
    ] {
        assert_eq!(best_of(&group).target, Some((address(3), "id-3".to_owned())), "{why}");
        let named = plan(&group, &to(Some("10.77.0.12"), false));
        assert!(named.to_string().contains(why), "{named}");
        assert_ne!(named.verdict, Verdict::Go, "{why}");
    }
}

#[test]
fn the_lowest_version_leads_by_number_and_not_by_text() {
    let mut group = group();
    edit(&mut group, 1, |row| row.version = "9.7.10".to_owned());
    edit(&mut group, 3, |row| row.version = "10.0.0".to_owned());
    assert_eq!(best_of(&group).target, Some((address(2), "id-2".to_owned())));
    assert!(refusal(&plan(&group, &to(Some("db3"), true))).contains("MySQL lets only the lowest lead"));
}

#[test]
fn what_does_not_end_by_itself_is_refused_unless_forced() {
    for does in [Does::Explicit, Does::MaybeExplicit, Does::TableLock, Does::GlobalReadLock] {
        let group = with(1, does, 5);
        assert!(
            refusal(&best_of(&group)).contains("session 42 on 10.77.0.11 does not end by itself"),
            "{does:?}"
        );
        assert_eq!(plan(&group, &to(None, true)).verdict, Verdict::Go, "{does:?}");
    }
    for does in [Does::TableLock, Does::GlobalReadLock] {
        let group = with(3, does, 0);
        assert!(refusal(&plan(&group, &to(Some("db3"), false))).contains("session 42 on 10.77.0.13"));
        assert_eq!(plan(&group, &to(Some("db3"), true)).verdict, Verdict::Go);
    }
}

#[test]
fn work_that_ends_in_time_slows_and_work_of_long_standing_is_refused() {
    for does in [Does::Writes, Does::Ddl] {
        let plan = best_of(&with(1, does, 3));
        assert_eq!(plan.verdict, Verdict::Go);
        assert!(plan.to_string().contains("slows      10.77.0.11: session 42 (app@10.0.0.7)"), "{plan}");
        assert!(refusal(&best_of(&with(1, does, 10))).contains("session 42"));
    }
    let busy = best_of(&with(1, Does::Explicit, 0));
    assert_eq!(busy.verdict, Verdict::Go, "an application at work has a transaction open at any time");
}

#[test]
fn sessions_that_only_read_on_the_target_are_in_nobodys_way() {
    for does in [Does::Explicit, Does::Writes, Does::Implicit] {
        assert_eq!(plan(&with(3, does, 60), &to(Some("db3"), false)).obstacles, []);
    }
}

#[test]
fn lost_work_is_counted_and_a_transaction_that_has_changed_nothing_loses_nothing() {
    let mut group = with(1, Does::Implicit, 60);
    said(&mut group, 1).changed = Ok(vec![(42, 7)]);
    let plan = best_of(&group);
    assert_eq!(plan.verdict, Verdict::Go);
    assert!(plan.to_string().contains("error 1290): 7 changed rows are lost"), "{plan}");
    assert!(plan.to_string().contains("lost       the work of 1 transaction under autocommit = 0"), "{plan}");
    assert_eq!(best_of(&with(1, Does::Implicit, 60)).obstacles, []);
}

#[test]
fn what_cannot_be_looked_at_is_said_and_is_never_taken_for_no_obstacle() {
    let mut group = with(1, Does::Implicit, 60);
    said(&mut group, 1).changed = Err("no procedure".to_owned());
    said(&mut group, 1).prepared = Err("no procedure".to_owned());
    let words = best_of(&group).to_string();
    assert!(words.contains("have changed is not known: no procedure"), "{words}");
    assert!(words.contains("prepared XA transactions are not known: no procedure"), "{words}");
    assert!(words.contains("what it has changed is lost"), "{words}");
    said(&mut group, 1).sessions = Err("error 1142: SELECT command denied".to_owned());
    assert!(refusal(&best_of(&group)).contains("error 1142"));
}

#[test]
fn without_a_primary_in_the_majority_or_beside_another_switchover_nothing_is_begun() {
    let mut minority = group();
    edit(&mut minority, 2, |row| row.state = "UNREACHABLE".to_owned());
    edit(&mut minority, 3, |row| row.state = "UNREACHABLE".to_owned());
    assert!(
        refusal(&plan(&minority, &to(None, true)))
            .contains("no member is ONLINE, PRIMARY and in the majority")
    );
    let mut busy = group();
    said(&mut busy, 1).stage = Some("Primary Switch: waiting for pending transactions to finish".to_owned());
    assert!(refusal(&plan(&busy, &to(None, true))).contains("a switchover is under way already"));
}

#[test]
fn while_the_cluster_is_paused_the_vip_would_not_follow_so_that_is_refused_unless_forced() {
    let mut paused = group();
    said(&mut paused, 1).paused = Some(Pause::new(1_777_636_800_250, "root on db3", "new disk"));
    let refusal = refusal(&best_of(&paused));
    assert!(
        refusal.contains("paused until 2026-05-01T12:00:00Z, ordered by root on db3: new disk"),
        "{refusal}"
    );
    assert!(refusal.contains("haipmgr resume first"), "{refusal}");
    assert_eq!(plan(&paused, &to(None, true)).verdict, Verdict::Go);
}

#[test]
fn nobody_fit_is_refused_also_when_forced() {
    let mut group = group();
    for number in [2, 3] {
        edit(&mut group, number, |row| row.state = "RECOVERING".to_owned());
    }
    assert!(refusal(&plan(&group, &to(None, true))).contains("no other member is fit"));
}
