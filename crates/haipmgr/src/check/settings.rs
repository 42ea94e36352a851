//! Each member's own settings, and what they mean for a failover. Pure.

use std::net::IpAddr;

use super::group::answered;
use super::line::Line;
use super::server::{Asked, Said};

/// An expel timeout from here on, in seconds, makes a failover that nobody expects of a cluster with a VIP.
const LONG_EXPEL: u64 = 30;
/// From longer than this on, in ms, switchovers wait for it (MySQL 9.7.4: 20 ms none of 40, 50 ms half of them).
const LONG_CHECKPOINT: u64 = 20;
/// The share of `max_connections` from which on a burst locks out clients, and the agent.
const NEARLY_ALL: f64 = 0.85;
/// Clocks further apart than this, in seconds, make two hosts' logs unreadable side by side.
const CLOCKS_APART: f64 = 1.0;
/// What makes a new primary writable.
const MAKES_WRITABLE: &str = "mysql_disable_super_read_only_if_primary";

type Judge = fn(&Said, IpAddr) -> Option<Line>;

/// All settings of all members that answered; `vips`: each must be answered at. What is well everywhere is one line.
pub(super) fn lines(asked: &[Asked], vips: &[IpAddr]) -> Vec<Line> {
    let judges: [(&'static str, &str, Judge); 13] = [
        ("single-primary", "single-primary mode on every member that answers", single_primary),
        ("bootstrap", "group_replication_bootstrap_group is off", bootstrap),
        ("start-on-boot", "each member joins the group when its mysqld starts", start_on_boot),
        ("exit-state-action", "an expelled member stops serving reads", exit_state_action),
        ("majority-timeout", "a member without a majority waits for it", majority_timeout),
        ("autorejoin", "an expelled member joins again by itself", autorejoin),
        ("consistency", "a new primary's first statements wait for what it has yet to apply", consistency),
        (
            "checkpoint-period",
            "a new primary notices within 20 ms that it has applied all",
            checkpoint_period,
        ),
        ("expel-timeout", "a silent member is expelled soon", expel_timeout),
        (
            "paxos-leader",
            "group_replication_paxos_single_leader is off: switchovers take hundredths of a second",
            paxos_leader,
        ),
        ("offline-mode", "no member is in offline mode", offline_mode),
        ("max-connections", "no server is near max_connections", max_connections),
        ("clocks", "the servers' clocks are those of this host, to the second", clocks),
    ];
    let mut lines: Vec<Line> = Vec::new();
    for (name, well, judge) in judges {
        add(&mut lines, name, well, answered(asked).filter_map(|(address, said)| judge(said, address)));
    }
    add(
        &mut lines,
        "member-action",
        "a new primary is made writable by itself",
        member_action(asked).into_iter(),
    );
    let elsewhere = answered(asked).flat_map(|(address, said)| {
        vips.iter().filter_map(move |vip| bind_address(said, *vip).map(|line| line.of(address)))
    });
    add(&mut lines, "bind-address", "every server listens at the VIP", elsewhere);
    lines
}

fn add(lines: &mut Vec<Line>, name: &'static str, well: &str, found: impl Iterator<Item = Line>) {
    let before = lines.len();
    lines.extend(found);
    if lines.len() == before {
        lines.push(Line::ok(name, well));
    }
}

fn single_primary(said: &Said, at: IpAddr) -> Option<Line> {
    (said.is_on("group_replication_single_primary_mode") == Some(false)).then(|| {
        Line::problem(
            "single-primary",
            "the group is in multi-primary mode: no host may hold the VIP",
            "SELECT group_replication_switch_to_single_primary_mode();",
        )
        .of(at)
    })
}

fn bootstrap(said: &Said, at: IpAddr) -> Option<Line> {
    (said.is_on("group_replication_bootstrap_group") == Some(true)).then(|| {
        Line::problem(
            "bootstrap",
            "group_replication_bootstrap_group is on: the next START GROUP_REPLICATION here makes a second group",
            "SET GLOBAL group_replication_bootstrap_group = OFF; and take it out of the option file",
        )
        .of(at)
    })
}

fn start_on_boot(said: &Said, at: IpAddr) -> Option<Line> {
    (said.is_on("group_replication_start_on_boot") == Some(false)).then(|| {
        Line::advice(
            "start-on-boot",
            "group_replication_start_on_boot is off: after a restart mysqld stays out of the group until somebody acts",
            "SET PERSIST group_replication_start_on_boot = ON;",
        )
        .of(at)
    })
}

fn exit_state_action(said: &Said, at: IpAddr) -> Option<Line> {
    (said.variable("group_replication_exit_state_action")? == "READ_ONLY").then(|| {
        Line::advice(
            "exit-state-action",
            "group_replication_exit_state_action is READ_ONLY: an expelled member goes on serving reads, which grow old",
            "SET PERSIST group_replication_exit_state_action = 'OFFLINE_MODE';",
        )
        .of(at)
    })
}

fn majority_timeout(said: &Said, at: IpAddr) -> Option<Line> {
    let seconds =
        said.number("group_replication_unreachable_majority_timeout").filter(|seconds| *seconds > 0)?;
    let expel = said.number("group_replication_member_expel_timeout").unwrap_or(0);
    let action = said.variable("group_replication_exit_state_action").unwrap_or("READ_ONLY");
    let words = format!(
        "group_replication_unreachable_majority_timeout is {seconds} s: a member that is cut off for {} s leaves the group, and then: {action}",
        seconds + 5
    );
    Some(if seconds < expel {
        Line::advice(
            "majority-timeout",
            format!("{words}; that is sooner than the majority expels it ({expel} s), so a short cut of the network costs members"),
            format!("SET PERSIST group_replication_unreachable_majority_timeout = {expel}; or more, or 0 for never"),
        )
        .of(at)
    } else {
        Line::ok("majority-timeout", words).of(at)
    })
}

fn autorejoin(said: &Said, at: IpAddr) -> Option<Line> {
    (said.number("group_replication_autorejoin_tries")? == 0).then(|| {
        Line::advice(
            "autorejoin",
            "group_replication_autorejoin_tries is 0: a member that was cut off and expelled stays out until somebody acts",
            "SET PERSIST group_replication_autorejoin_tries = 3;",
        )
        .of(at)
    })
}

fn consistency(said: &Said, at: IpAddr) -> Option<Line> {
    let value = said.variable("group_replication_consistency")?;
    let harm = match value {
        "EVENTUAL" => {
            "a new primary answers without the last rows of the old one until it has applied them (0.9 s after 300,000 rows)"
        }
        "AFTER" | "BEFORE_AND_AFTER" => {
            "each write waits until every member has applied it, and takes twice as long; a secondary that dies stops all writes until it is expelled"
        }
        "BEFORE" => {
            "each statement waits until all before it is applied: a write takes a third longer, a read on a secondary 0.9 ms and not 0.03"
        }
        _ => return None,
    };
    Some(
        Line::advice(
            "consistency",
            format!("group_replication_consistency is {value}: {harm}"),
            "unless that is wanted: SET PERSIST group_replication_consistency = 'BEFORE_ON_PRIMARY_FAILOVER';",
        )
        .of(at),
    )
}

/// On a new primary, for its applier's next look.
pub(super) fn no_first_write_waits(said: &Said) -> bool {
    said.variable("group_replication_consistency") == Some("EVENTUAL")
        || said.number("replica_checkpoint_period").is_some_and(|period| period <= LONG_CHECKPOINT)
}

fn checkpoint_period(said: &Said, at: IpAddr) -> Option<Line> {
    let period = said.number("replica_checkpoint_period")?;
    (!no_first_write_waits(said)).then(|| {
        Line::advice(
            "checkpoint-period",
            format!("replica_checkpoint_period is {period} ms: so long the first write on a new primary may wait when clients wrote until its election (haipmgr switchover shortens it for that time)"),
            "SET PERSIST replica_checkpoint_period = 10;",
        )
        .of(at)
    })
}

fn expel_timeout(said: &Said, at: IpAddr) -> Option<Line> {
    let seconds =
        said.number("group_replication_member_expel_timeout").filter(|seconds| *seconds >= LONG_EXPEL)?;
    Some(
        Line::advice(
            "expel-timeout",
            format!("group_replication_member_expel_timeout is {seconds} s: so long a host without power keeps all others waiting"),
            "SET PERSIST group_replication_member_expel_timeout = 5; or a fence_command in haipmgr's configuration",
        )
        .of(at),
    )
}

fn paxos_leader(said: &Said, at: IpAddr) -> Option<Line> {
    (said.is_on("group_replication_paxos_single_leader") == Some(true)).then(|| {
        Line::ok(
            "paxos-leader",
            "group_replication_paxos_single_leader is on: no crawl when a secondary dies, and each switchover takes 0.7 s",
        )
        .of(at)
    })
}

/// The group tells each member of a change; a member that missed it (MySQL 9.7.4: one that was in offline mode for a moment hears of one
/// more change, and of none after that) has it until it joins anew.
fn member_action(asked: &[Asked]) -> Vec<Line> {
    let disabled = |said: &Said| {
        said.disabled_actions.as_ref().is_ok_and(|all| all.iter().any(|action| action == MAKES_WRITABLE))
    };
    let primary = answered(asked).find(|(_, said)| said.leads());
    let by_primary = primary.is_none_or(|(_, said)| disabled(said));
    let says = format!(
        "the member action {MAKES_WRITABLE} is disabled: after a failover to it nobody takes writes, and no host takes the VIP"
    );
    let mend = if by_primary {
        format!(
            "on the primary: SELECT group_replication_enable_member_action('{MAKES_WRITABLE}', 'AFTER_PRIMARY_ELECTION');"
        )
    } else {
        "it missed what the group told it; on that member: STOP GROUP_REPLICATION; START GROUP_REPLICATION;"
            .to_owned()
    };
    let of = answered(asked).filter(|(_, said)| disabled(said));
    of.map(|(address, _)| Line::problem("member-action", says.clone(), mend.clone()).of(address)).collect()
}

fn offline_mode(said: &Said, at: IpAddr) -> Option<Line> {
    (said.is_on("offline_mode") == Some(true)).then(|| {
        Line::problem(
            "offline-mode",
            "offline_mode is on: it turns all clients away",
            "SET GLOBAL offline_mode = OFF; where Group Replication set it, look at why the member was expelled first",
        )
        .of(at)
    })
}

fn max_connections(said: &Said, at: IpAddr) -> Option<Line> {
    let (connected, most) = (said.connected?, said.number("max_connections")?);
    #[allow(clippy::cast_precision_loss, reason = "numbers of connections are small")]
    let share = connected as f64 / most as f64;
    (share >= NEARLY_ALL).then(|| {
        Line::advice(
            "max-connections",
            format!("{connected} of max_connections = {most} are in use: the next burst locks out clients, and after a failover all of them come at once"),
            format!("SET PERSIST max_connections = {}; (LimitNOFILE of its unit must allow it)", (most * 2).max(151)),
        )
        .of(at)
    })
}

fn clocks(said: &Said, at: IpAddr) -> Option<Line> {
    let (ahead, unsure) = said.clock_ahead?;
    (ahead.abs() - unsure > CLOCKS_APART).then(|| {
        let way = if ahead > 0.0 { "ahead of" } else { "behind" };
        Line::advice(
            "clocks",
            format!(
                "its clock is {:.1} s {way} this host's: logs of several hosts can't be read side by side",
                ahead.abs()
            ),
            "systemctl enable --now chrony (or systemd-timesyncd) on both hosts; then: timedatectl",
        )
        .of(at)
    })
}

/// Whether clients of the VIP are refused there. The text of `bind_address`: a list of addresses, `*` for all.
fn bind_address(said: &Said, vip: IpAddr) -> Option<Line> {
    let says = if said.is_on("skip_networking") == Some(true) {
        "skip_networking is on: nobody reaches the server over the network".to_owned()
    } else {
        let bound = said.variable("bind_address")?;
        // An address may be followed by the name of a network namespace, after a slash.
        let mut places = bound.split(',').map(|one| one.trim().split('/').next().unwrap_or_default());
        let serves = |place: &str| {
            place.is_empty()
                || place == "*"
                || place == "::"
                || (place == "0.0.0.0" && vip.is_ipv4())
                || place.parse() == Ok(vip)
        };
        // A name may stand for any address: what it stands for there is not known here.
        let is_name = |place: &str| place != "*" && !place.is_empty() && place.parse::<IpAddr>().is_err();
        if places.any(|place| serves(place) || is_name(place)) {
            return None;
        }
        format!("bind_address is {bound}: clients of the VIP {vip} are refused when it is there")
    };
    Some(Line::problem(
        "bind-address",
        says,
        "bind_address = * in the server's option file, and a restart of mysqld",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::server::tests::{all_asked, set};
    use super::*;
    use crate::check::line::Level;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 100));

    fn not_ok(asked: &[Asked]) -> Vec<Line> {
        lines(asked, &[VIP]).into_iter().filter(|line| line.level != Level::Ok).collect()
    }

    #[test]
    fn a_good_group_has_a_line_for_each_setting_and_nothing_to_mend() {
        assert_eq!(not_ok(&all_asked()), []);
        assert_eq!(lines(&all_asked(), &[VIP]).len(), 15);
    }

    #[test]
    fn each_setting_that_hurts_is_found_by_name() {
        for (variable, value, name, level) in [
            ("group_replication_single_primary_mode", "OFF", "single-primary", Level::Problem),
            ("group_replication_bootstrap_group", "ON", "bootstrap", Level::Problem),
            ("group_replication_start_on_boot", "OFF", "start-on-boot", Level::Advice),
            ("group_replication_exit_state_action", "READ_ONLY", "exit-state-action", Level::Advice),
            ("group_replication_unreachable_majority_timeout", "2", "majority-timeout", Level::Advice),
            ("group_replication_autorejoin_tries", "0", "autorejoin", Level::Advice),
            ("replica_checkpoint_period", "300", "checkpoint-period", Level::Advice),
            ("group_replication_consistency", "EVENTUAL", "consistency", Level::Advice),
            ("group_replication_consistency", "AFTER", "consistency", Level::Advice),
            ("group_replication_consistency", "BEFORE", "consistency", Level::Advice),
            ("group_replication_member_expel_timeout", "60", "expel-timeout", Level::Advice),
            ("offline_mode", "ON", "offline-mode", Level::Problem),
            ("max_connections", "22", "max-connections", Level::Advice),
            ("bind_address", "10.77.0.12", "bind-address", Level::Problem),
            ("bind_address", "10.77.0.12,127.0.0.1", "bind-address", Level::Problem),
            ("skip_networking", "ON", "bind-address", Level::Problem),
        ] {
            let mut asked = all_asked();
            set(&mut asked, 1, variable, value);
            let found = not_ok(&asked);
            assert_eq!(found.len(), 1, "{variable} = {value}: {found:?}");
            assert_eq!((found[0].name, found[0].level), (name, level));
            assert_eq!(found[0].members, [IpAddr::from([10, 77, 0, 12])]);
        }
    }

    #[test]
    fn a_server_that_answers_at_the_vip_is_left_alone() {
        for bound in
            ["*", "::", "0.0.0.0", "10.77.0.12,10.77.0.100", "10.77.0.12, *", "10.77.0.12,0.0.0.0/red", "db2"]
        {
            let mut asked = all_asked();
            set(&mut asked, 1, "bind_address", bound);
            assert_eq!(not_ok(&asked), [], "{bound}");
        }
    }

    #[test]
    fn a_disabled_member_action_is_a_problem_and_any_other_is_none() {
        let mut asked = all_asked();
        for (action, found) in [("mysql_start_failover_channels_if_primary", 0), (MAKES_WRITABLE, 1)] {
            if let Ok(said) = &mut asked[0].said {
                said.disabled_actions = Ok(vec![action.to_owned()]);
            }
            assert_eq!(not_ok(&asked).len(), found, "{action}");
        }
        assert!(not_ok(&asked)[0].mend.as_ref().is_some_and(|mend| mend.contains("enable_member_action")));
    }

    #[test]
    fn a_member_that_missed_a_change_of_member_actions_is_told_to_join_anew() {
        let mut asked = all_asked();
        if let Ok(said) = &mut asked[2].said {
            said.disabled_actions = Ok(vec![MAKES_WRITABLE.to_owned()]);
        }
        let lines = not_ok(&asked);
        assert_eq!(lines[0].members, [IpAddr::from([10, 77, 0, 13])]);
        assert!(lines[0].mend.as_ref().is_some_and(|mend| mend.contains("START GROUP_REPLICATION")));
    }

    #[test]
    fn clocks_apart_are_advice_but_not_where_the_answer_itself_took_as_long() {
        for (ahead, unsure, found) in [(0.9, 0.0, 0), (1.2, 0.01, 1), (-3.0, 0.01, 1), (1.9, 1.0, 0)] {
            let mut asked = all_asked();
            if let Ok(said) = &mut asked[2].said {
                said.clock_ahead = Some((ahead, unsure));
            }
            let lines = not_ok(&asked);
            assert_eq!(lines.len(), found, "{ahead}");
            assert!(lines.iter().all(|line| line.says.contains(if ahead > 0.0 {
                "ahead of"
            } else {
                "behind"
            })));
        }
    }
}
