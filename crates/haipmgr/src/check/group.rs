//! The group's shape: who is in it, whether it has a majority, whether it can lose another. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::alike;
use super::line::Line;
use super::server::{Asked, Row, Said};

/// A secondary that has more to apply than this makes its clients wait when it is elected.
const BEHIND: u64 = 1_000;
/// A group has no more members (MySQL manual, 20.1.4).
const MOST: usize = 9;

/// The members that answered.
pub(super) fn answered(asked: &[Asked]) -> impl Iterator<Item = (IpAddr, &Said)> {
    asked.iter().filter_map(|one| Some((one.address, one.said.as_ref().ok()?)))
}

/// The member that leads by its own word.
pub(super) fn primary(asked: &[Asked]) -> Option<IpAddr> {
    answered(asked).find(|(_, said)| said.leads()).map(|(address, _)| address)
}

/// The group as its best-informed member sees it: the primary's view, or that of any that is ONLINE, or any.
fn view(asked: &[Asked]) -> Option<&[Row]> {
    let views = || answered(asked).filter_map(|(_, said)| Some((said, said.members.as_ref().ok()?)));
    let online = |said: &Said| said.own_row().is_some_and(|own| own.state == "ONLINE");
    let best = views().find(|(said, _)| said.leads()).or_else(|| views().find(|(said, _)| online(said)));
    best.or_else(|| views().find(|(_, rows)| !rows.is_empty())).map(|(_, rows)| rows.as_slice())
}

/// All about the group. `resolved`: the address of each member's name, as far as this host knows it.
pub(super) fn lines(asked: &[Asked], resolved: &BTreeMap<String, IpAddr>) -> Vec<Line> {
    let mut lines = vec![plugin(asked)];
    lines.extend(views(asked));
    if let Some(rows) = view(asked) {
        lines.push(majority(rows));
        lines.extend(states(rows));
        lines.push(size(rows));
        lines.push(membership(asked, rows, resolved));
        lines.push(versions(rows));
        lines.push(queues(asked));
    }
    lines.push(writable(asked));
    lines.extend(alike::lines(asked));
    lines
}

fn plugin(asked: &[Asked]) -> Line {
    let without: Vec<String> = answered(asked)
        .filter(|(_, said)| said.variable("group_replication_single_primary_mode").is_none())
        .map(|(address, _)| address.to_string())
        .collect();
    let mend = "plugin_load_add = group_replication.so in the server's option file, or: INSTALL PLUGIN group_replication SONAME 'group_replication.so';";
    if without.is_empty() {
        Line::ok("plugin", "Group Replication is installed on every member that answers")
    } else {
        Line::problem("plugin", format!("no Group Replication on {}", without.join(", ")), mend)
    }
}

/// A server that can't show its view, or is in no group by its own word.
fn views(asked: &[Asked]) -> Vec<Line> {
    let of = |(address, said): (IpAddr, &Said)| match &said.members {
        Err(refusal) => Some(
            Line::problem(
                "group-view",
                format!("its group can't be read: {}", refusal.words),
                "see grant-select",
            )
            .of(address),
        ),
        Ok(_) => match said.own_row().map(|own| own.state.as_str()) {
            Some("ONLINE") => None,
            Some("RECOVERING") => Some(
                Line::advice("member-state", "it is RECOVERING: it catches up", "wait until it is ONLINE")
                    .of(address),
            ),
            state => Some(
                Line::problem(
                    "member-state",
                    format!("it is in no group by its own word ({})", state.unwrap_or("OFFLINE")),
                    "START GROUP_REPLICATION; on that member; why it left stands in its error log",
                )
                .of(address),
            ),
        },
    };
    answered(asked).filter_map(of).collect()
}

fn count(rows: &[Row], state: &str) -> usize {
    rows.iter().filter(|row| row.state == state).count()
}

fn majority(rows: &[Row]) -> Line {
    let unreachable = count(rows, "UNREACHABLE");
    if 2 * unreachable < rows.len() {
        Line::ok("majority", format!("{} of {} members are heard", rows.len() - unreachable, rows.len()))
    } else {
        Line::problem(
            "majority",
            format!(
                "{unreachable} of {} members are UNREACHABLE: nobody takes writes, and no host may hold the VIP",
                rows.len()
            ),
            "bring members or the network between them back; no group_replication_force_members in a hurry",
        )
    }
}

fn states(rows: &[Row]) -> Vec<Line> {
    let silent = rows.iter().filter(|row| row.state == "UNREACHABLE");
    silent
        .map(|row| {
            Line::problem(
                "member-unreachable",
                format!("{} is UNREACHABLE to the group, and the primary commits four rows a second until it is expelled", row.host),
                "look at that host: its mysqld, its cable, the group's port in the firewall",
            )
        })
        .collect()
}

/// How many members may be lost at the same time.
pub(super) fn survives(members: usize) -> usize {
    members.saturating_sub(1) / 2
}

fn size(rows: &[Row]) -> Line {
    let members = rows.len();
    let says = format!("{members} members: the group survives the loss of {} at a time", survives(members));
    let add = "add a member";
    match members {
        0 | 1 => Line::advice("group-size", "one member: there is nobody to fail over to", add),
        2 => Line::advice(
            "group-size",
            "two members: when one dies the other has no majority and takes no writes",
            add,
        ),
        _ if members > MOST => {
            Line::problem("group-size", format!("{members} members"), "nine are the most that MySQL allows")
        }
        _ if members.is_multiple_of(2) => {
            Line::advice("group-size", format!("{says}, as {} do", members - 1), "add or remove a member")
        }
        _ => Line::ok("group-size", says),
    }
}

/// Whether those in the group and those in the file are the same.
fn membership(asked: &[Asked], rows: &[Row], resolved: &BTreeMap<String, IpAddr>) -> Line {
    let by_id: BTreeMap<&str, IpAddr> = answered(asked)
        .filter_map(|(address, said)| Some((said.variable("server_uuid")?, address)))
        .collect();
    let address = |row: &Row| by_id.get(row.id.as_str()).or_else(|| resolved.get(row.host.as_str())).copied();
    let in_file: BTreeSet<IpAddr> = asked.iter().map(|one| one.address).collect();
    let in_group: BTreeSet<IpAddr> = rows.iter().filter_map(address).collect();
    let extra: Vec<&str> = rows
        .iter()
        .filter(|row| address(row).is_none_or(|address| !in_file.contains(&address)))
        .map(|row| row.host.as_str())
        .collect();
    let missing: Vec<String> = in_file.difference(&in_group).map(ToString::to_string).collect();
    if !extra.is_empty() {
        return Line::problem(
            "members-in-file",
            format!("in the group and not in `members`: {}; the VIP could not go there", extra.join(", ")),
            "add each to [cluster.members] on every host, or have it leave the group",
        );
    }
    if !missing.is_empty() {
        return Line::problem(
            "members-in-group",
            format!("in `members` and not in the group: {}", missing.join(", ")),
            "START GROUP_REPLICATION; on each of them, or take it out of [cluster.members]",
        );
    }
    Line::ok("members-in-group", format!("the group's {} members are those of the file", rows.len()))
}

fn versions(rows: &[Row]) -> Line {
    let all: BTreeSet<&str> = rows.iter().map(|row| row.version.as_str()).collect();
    let list = all.iter().copied().collect::<Vec<_>>().join(", ");
    if all.len() < 2 {
        return Line::ok("versions", format!("MySQL {list} on every member"));
    }
    Line::advice(
        "versions",
        format!("the members have several versions: {list}; only one of the lowest can be the primary"),
        "upgrade the others, the primary last (docs/versions.md)",
    )
}

fn queues(asked: &[Asked]) -> Line {
    let behind = answered(asked).filter_map(|(address, said)| Some((address, said.own_row()?.queue?)));
    let behind: Vec<String> = behind
        .filter(|(_, queue)| *queue > BEHIND)
        .map(|(address, queue)| format!("{address} by {queue}"))
        .collect();
    if behind.is_empty() {
        return Line::ok("applier-queue", format!("no member has more than {BEHIND} transactions to apply"));
    }
    Line::advice(
        "applier-queue",
        format!("behind: {}; were it elected, writes would wait until all is applied", behind.join(", ")),
        "SELECT * FROM performance_schema.replication_applier_status_by_worker; there; more replica_parallel_workers, fewer large transactions",
    )
}

/// A primary that takes no writes.
fn writable(asked: &[Asked]) -> Line {
    let Some((address, said)) = answered(asked).find(|(_, said)| said.leads()) else {
        return Line::problem(
            "primary",
            "no member that answers is ONLINE and PRIMARY in a majority: no host may hold the VIP",
            "SELECT * FROM performance_schema.replication_group_members; on each member; docs/manual.md begins with what to do",
        );
    };
    if said.is_on("super_read_only") == Some(true) || said.is_on("read_only") == Some(true) {
        return Line::problem(
            "primary",
            "it is the primary and read-only: nobody takes writes, and a new host does not take the VIP",
            "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF;",
        )
        .of(address);
    }
    Line::ok("primary", "ONLINE, PRIMARY and writable, with a majority").of(address)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::server::tests::{all_asked, refusal, row_of, set};
    use super::*;
    use crate::check::line::Level;

    fn of(asked: &[Asked]) -> Vec<Line> {
        lines(asked, &BTreeMap::new())
    }

    /// The line of this name that is not ok.
    fn bad(asked: &[Asked], name: &str) -> Line {
        let lines = of(asked);
        lines
            .iter()
            .find(|line| line.name == name && line.level != Level::Ok)
            .unwrap_or_else(|| lines.first().unwrap())
            .clone()
    }

    fn rows(asked: &mut [Asked], change: impl Fn(&mut Vec<Row>)) {
        for one in asked {
            change(one.said.as_mut().unwrap().members.as_mut().unwrap());
        }
    }

    #[test]
    fn a_good_group_has_nothing_to_mend() {
        let lines = of(&all_asked());
        assert!(lines.iter().all(|line| line.level == Level::Ok), "{lines:?}");
        assert_eq!(primary(&all_asked()), Some([10, 77, 0, 11].into()));
    }

    #[test]
    fn a_member_that_is_in_the_group_or_in_the_file_alone_is_named() {
        let mut asked = all_asked();
        rows(&mut asked, |rows| rows.push(row_of(14, false, false)));
        assert!(bad(&asked, "members-in-file").says.contains("10.77.0.14"));
        let mut asked = all_asked();
        rows(&mut asked, |rows| drop(rows.pop()));
        assert!(bad(&asked, "members-in-group").says.contains("10.77.0.13"));
    }

    #[test]
    fn a_member_whose_server_is_silent_is_still_known_by_its_name() {
        let mut asked = all_asked();
        asked[2].said = Err(refusal(None, "no answer"));
        let resolved = [("10.77.0.13".to_owned(), IpAddr::from([10, 77, 0, 13]))].into();
        let lines = lines(&asked, &resolved);
        assert!(lines.iter().all(|line| line.level == Level::Ok), "{lines:?}");
    }

    #[test]
    fn the_loss_of_majority_and_silent_members_are_named() {
        let mut asked = all_asked();
        rows(&mut asked, |rows| rows[2].state = "UNREACHABLE".into());
        assert!(bad(&asked, "member-unreachable").says.contains("10.77.0.13"));
        rows(&mut asked, |rows| rows[1].state = "UNREACHABLE".into());
        assert_eq!(bad(&asked, "majority").level, Level::Problem);
        assert_eq!(bad(&asked, "primary").level, Level::Problem);
    }

    #[test]
    fn how_many_may_be_lost_is_said() {
        for (members, name, level) in [
            (1, "nobody to fail over to", Level::Advice),
            (2, "no majority", Level::Advice),
            (4, "as 3 do", Level::Advice),
            (5, "loss of 2", Level::Ok),
        ] {
            let all: Vec<Row> = (11..11 + members).map(|last| row_of(last, last == 11, last == 11)).collect();
            let line = size(&all);
            assert_eq!(line.level, level);
            assert!(line.says.contains(name), "{line}");
        }
    }

    #[test]
    fn a_primary_that_takes_no_writes_is_named() {
        for variable in ["super_read_only", "read_only"] {
            let mut asked = all_asked();
            set(&mut asked, 0, variable, "ON");
            assert_eq!(bad(&asked, "primary").members, [IpAddr::from([10, 77, 0, 11])]);
        }
    }

    #[test]
    fn a_member_that_left_or_recovers_is_named() {
        for (state, level) in
            [("ERROR", Level::Problem), ("OFFLINE", Level::Problem), ("RECOVERING", Level::Advice)]
        {
            let mut asked = all_asked();
            asked[1].said.as_mut().unwrap().members.as_mut().unwrap()[1].state = state.into();
            let line = bad(&asked, "member-state");
            assert_eq!((line.level, line.members), (level, vec![[10, 77, 0, 12].into()]), "{state}");
        }
    }

    #[test]
    fn no_plugin_and_no_view_are_named() {
        let mut asked = all_asked();
        asked[1].said.as_mut().unwrap().variables.retain(|name, _| !name.starts_with("group_"));
        assert!(bad(&asked, "plugin").says.contains("10.77.0.12"));
        let mut asked = all_asked();
        asked[1].said.as_mut().unwrap().members = Err(refusal(Some(1142), "SELECT command denied"));
        assert_eq!(bad(&asked, "group-view").level, Level::Problem);
    }

    #[test]
    fn several_versions_and_a_member_far_behind_are_advice() {
        let mut asked = all_asked();
        rows(&mut asked, |rows| rows[1].version = "8.4.13".into());
        assert!(bad(&asked, "versions").says.contains("8.4.13, 9.7.4"));
        let mut asked = all_asked();
        rows(&mut asked, |rows| rows[2].queue = Some(1_001));
        assert!(bad(&asked, "applier-queue").says.contains("10.77.0.13 by 1001"));
    }
}
