//! `haipmgr check` on a real group: misconfigurations are planted one by one, found by the name of their line, and put back; on a good
//! group it is silent but for what the lab itself does otherwise than an operator should.

mod planted;

use std::collections::BTreeSet;
use std::process::Output;
use std::time::{Duration, Instant};

use mysql::Conn;
use mysql::prelude::Queryable;
use serde::Deserialize;

use self::planted::Deed::{self, Here, Primary, Shell};
use self::planted::{ACCOUNT, FILES, HOST, Miswritten, Planted, SETTINGS};
use super::agents::{AT_WORK, start_and_hear};
use super::expect::{promise, untouched};
use super::machine::program;
use super::status_command;
use super::{Broken, UnderTest};
use crate::agents::{CONFIGURATION, LAB, configuration, write};
use crate::experiment::Experiment;
use crate::group::Server;

/// What is advice on a good lab: its servers join their group when the lab says so, and not by themselves; they have MySQL's default of
/// `replica_checkpoint_period`, which all figures are of; its writing client has no TLS.
const OF_THE_LAB: [&str; 3] = ["start-on-boot", "checkpoint-period", "clients-without-tls"];
/// Where another configuration is written, to be checked.
const OTHER_FILE: &str = "/etc/haipmgr/checked.toml";
/// How long `check` may take, whatever hangs.
const LIMIT: Duration = Duration::from_secs(15);
/// How soon `status` is to say what is so.
const SAID_WITHIN: Duration = Duration::from_secs(10);

/// What `check --format json` prints.
#[derive(Debug, Deserialize)]
struct Report {
    format: u32,
    problems: usize,
    clusters: Vec<OfCluster>,
}

#[derive(Debug, Deserialize)]
struct OfCluster {
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    level: String,
    name: String,
    #[serde(default)]
    members: Vec<String>,
    says: String,
    mend: Option<String>,
}

impl Report {
    fn not_ok(&self) -> impl Iterator<Item = &Line> {
        self.clusters.iter().flat_map(|of| &of.lines).filter(|line| line.level != "ok")
    }

    /// All that is not ok, and not the lab's own.
    fn names(&self) -> BTreeSet<&str> {
        let names = self.not_ok().map(|line| line.name.as_str());
        names.filter(|name| !OF_THE_LAB.contains(name)).collect()
    }
}

fn typed(experiment: &Experiment, on: usize, file: &str) -> Result<Output, Broken> {
    let host = &experiment.lab.segment.databases[on];
    let mut command = host.command(experiment.lab.agents[on].program());
    command.args(["check", "--config", file, "--format", "json"]);
    command.output().map_err(Broken::io("can't run haipmgr check"))
}

/// What it says, within its limit, with the exit status that goes with it.
fn check(experiment: &Experiment, on: usize, file: &str) -> Result<Report, Broken> {
    let since = Instant::now();
    let said = typed(experiment, on, file)?;
    let took = since.elapsed();
    promise(took < LIMIT, || format!("it took {:.1} s", took.as_secs_f64()))?;
    let text = String::from_utf8_lossy(&said.stdout);
    let report: Report = serde_json::from_str(&text).map_err(|error| {
        let words = String::from_utf8_lossy(&said.stderr);
        Broken::NotAsPromised(format!("{}, no JSON ({error}): {text}{words}", said.status))
    })?;
    promise(report.format == 1, || format!("format {}", report.format))?;
    let status = i32::from(report.problems > 0);
    promise(said.status.code() == Some(status), || {
        format!("{}, with {} problems: {text}", said.status, report.problems)
    })?;
    Ok(report)
}

/// On every host of a good group, with an agent and right after one was started.
pub(super) fn silent_on_a_good_group(under_test: &mut UnderTest) -> Result<String, Broken> {
    under_test.experiment.lab.wait_steady()?;
    let experiment = &under_test.experiment;
    let (mut looked_at, mut slowest) = (0, 0.0_f64);
    for place in 0..experiment.lab.agents.len() {
        let since = Instant::now();
        let report = check(experiment, place, CONFIGURATION)?;
        slowest = slowest.max(since.elapsed().as_secs_f64());
        let names = report.names();
        promise(names.is_empty() && report.problems == 0, || {
            let lines: Vec<_> = report
                .not_ok()
                .map(|line| format!("{} {}: {}", line.name, line.members.join(", "), line.says))
                .collect();
            format!("{}: {}", experiment.name(place), lines.join("; "))
        })?;
        looked_at = report.clusters.iter().map(|of| of.lines.len()).sum::<usize>();
    }
    Ok(format!("{looked_at} lines, {slowest:.2} s at the most"))
}

/// `max_connections`, and how many are connected: with the one of check itself nearly all are used, and not all.
const CONNECTIONS: usize = 40;
const CONNECTED: usize = 35;
/// At least so many are planted on the real group.
const AT_LEAST: usize = 30;

/// Each misconfiguration is planted on a secondary's host or on the primary, found by its name with what mends it, and put back.
pub(super) fn finds_what_is_planted(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut found: Vec<&str> = Vec::new();
    let figures =
        under_test.experiment.watched("haipmgr check, misconfigurations planted", |experiment| {
            let primary = experiment.lab.group.primary()?;
            let on = (primary + 1) % experiment.lab.agents.len();
            for planted in [SETTINGS, ACCOUNT, HOST].into_iter().flatten() {
                found.push(plant(experiment, primary, on, planted)?);
            }
            for miswritten in FILES {
                found.push(check_file(experiment, on, miswritten)?);
            }
            found.extend(other_agents(experiment, on)?);
            found.extend(members_and_agents(experiment, on)?);
            found.push(checkpoint_period(experiment, on)?);
            Ok::<_, Broken>(())
        })?;
    promise(found.len() >= AT_LEAST, || format!("{} of {AT_LEAST} planted", found.len()))?;
    under_test.experiment.lab.wait_steady()?;
    let silent = silent_on_a_good_group(under_test)?;
    let pause = untouched(&under_test.experiment, &figures)?;
    Ok(format!("{} found by name, then silence ({silent}); {pause}", found.len()))
}

fn does(experiment: &Experiment, primary: usize, on: usize, deed: Deed) -> Result<(), Broken> {
    let servers = experiment.lab.group.servers();
    match deed {
        Here(statement) => Ok(servers[on].run(statement)?),
        Primary(statement) => Ok(servers[primary].run(statement)?),
        Shell(line) => program(&experiment.lab.segment.databases[on], &["sh", "-c", line]),
    }
}

fn plant(
    experiment: &Experiment,
    primary: usize,
    on: usize,
    planted: &Planted,
) -> Result<&'static str, Broken> {
    let (name, level, plant, put_back) = *planted;
    // The kept timeout counts only beside a timeout of 0.
    let zero = |value: &str| {
        let statement = format!("SET GLOBAL group_replication_member_expel_timeout = {value}");
        if name == "expel-timeout-kept" { experiment.lab.group.servers()[on].run(&statement) } else { Ok(()) }
    };
    let outcome = does(experiment, primary, on, plant).and_then(|()| {
        zero("0")?;
        wait_carried(experiment, primary, on)?;
        is_found(experiment, on, CONFIGURATION, name, level)
    });
    zero("DEFAULT")?;
    does(experiment, primary, on, put_back)?;
    wait_carried(experiment, primary, on)?;
    if name == "member-action" {
        wait_gone(experiment, on, name)?;
    }
    outcome.map_err(|error| Broken::NotAsPromised(format!("{plant:?}: {error}")))?;
    Ok(name)
}

/// What was granted or revoked on the primary is there on this member too.
fn wait_carried(experiment: &Experiment, primary: usize, on: usize) -> Result<(), Broken> {
    use mysql::prelude::Queryable as _;
    let servers = experiment.lab.group.servers();
    let executed = "SELECT @@GLOBAL.gtid_executed";
    let done: Option<String> =
        servers[primary].admin()?.query_first(executed).map_err(servers[primary].said(executed))?;
    let wait =
        format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{}', 5)", done.unwrap_or_default().replace('\n', ""));
    Ok(servers[on].run(&wait)?)
}

/// A member action is told by the group, outside of all transactions.
fn wait_gone(experiment: &Experiment, on: usize, name: &str) -> Result<(), Broken> {
    let since = Instant::now();
    while check(experiment, on, CONFIGURATION)?.names().contains(name) {
        promise(since.elapsed() < LIMIT, || format!("{name} does not go away"))?;
    }
    Ok(())
}

/// That check has a line of this name and level, with what mends it.
fn is_found(experiment: &Experiment, on: usize, file: &str, name: &str, level: &str) -> Result<(), Broken> {
    let report = check(experiment, on, file)?;
    let found = report.not_ok().any(|line| {
        line.name == name && line.level == level && line.mend.as_ref().is_some_and(|mend| !mend.is_empty())
    });
    promise(found, || {
        let lines: Vec<_> =
            report.not_ok().map(|line| format!("{} {}: {}", line.level, line.name, line.says)).collect();
        format!("no {level} {name}, but: {}", lines.join("; "))
    })
}

fn check_file(experiment: &Experiment, on: usize, miswritten: &Miswritten) -> Result<&'static str, Broken> {
    let (name, level, is, to_be) = *miswritten;
    let host = &experiment.lab.segment.databases[on];
    let right = configuration(&[LAB]);
    let is = is.replace("10.77.0.13", &other(on));
    let wrong = right.replace(&is, &to_be.replace("10.77.0.13", &other(on)));
    promise(wrong != right, || format!("{is:?} is not in the lab's configuration: {right}"))?;
    write(host, OTHER_FILE, &wrong, 0o644)?;
    is_found(experiment, on, OTHER_FILE, name, level)?;
    Ok(name)
}

/// A member that is not the host on which the command is typed.
fn other(on: usize) -> String {
    format!("10.77.0.{}", 11 + (on + 1) % 3)
}

/// The agent of another host does not run, and then runs with other limits: found from here, by `check` and by `status`.
fn other_agents(experiment: &mut Experiment, on: usize) -> Result<Vec<&'static str>, Broken> {
    let there = (on + 1) % experiment.lab.agents.len();
    experiment.lab.agents[there].stop()?;
    let without = is_found(experiment, on, CONFIGURATION, "agents", "advice")
        .and_then(|()| status_says(experiment, on, "no agent is logged in to its server"));
    let right = configuration(&[LAB]);
    let other = right.replace("[cluster.members]", "claim_wait = \"2s\"\n[cluster.members]");
    write(&experiment.lab.segment.databases[there], CONFIGURATION, &other, 0o644)?;
    let differs = start_and_hear(experiment, there, AT_WORK).and_then(|()| {
        is_found(experiment, on, CONFIGURATION, "same-configuration", "problem")?;
        status_says(experiment, on, "differ (limits)")
    });
    write(&experiment.lab.segment.databases[there], CONFIGURATION, &right, 0o644)?;
    experiment.lab.agents[there].stop()?;
    start_and_hear(experiment, there, AT_WORK)?;
    without?;
    differs?;
    Ok(vec!["agents", "same-configuration"])
}

/// On a busy machine a server may take longer than `haipmgr status` waits for it, and then nothing of it is known: asked again.
fn status_says(experiment: &Experiment, on: usize, words: &str) -> Result<(), Broken> {
    let since = Instant::now();
    loop {
        let said = status_command::typed(experiment, on, &[])?.is(1, words);
        if said.is_ok() || since.elapsed() > SAID_WITHIN {
            return said;
        }
    }
}

/// What is done to members and agents: a host drained, an agent stopped, a server that left, one that stands still.
fn members_and_agents(experiment: &mut Experiment, on: usize) -> Result<Vec<&'static str>, Broken> {
    let command = |experiment: &Experiment, word: &str| {
        experiment.lab.agents[on].command(&experiment.lab.segment.databases[on], &[word])
    };
    let found = |experiment: &Experiment, name: &str, level: &str| {
        is_found(experiment, on, CONFIGURATION, name, level)
    };
    command(experiment, "drain")?;
    let drained = found(experiment, "drained", "advice");
    command(experiment, "undrain")?;
    drained?;

    experiment.lab.agents[on].stop()?;
    let stopped = found(experiment, "agent", "advice");
    start_and_hear(experiment, on, AT_WORK)?;
    stopped?;

    let server = &experiment.lab.group.servers()[on];
    server.run(&format!("SET GLOBAL max_connections = {CONNECTIONS}"))?;
    let held = crowd(server);
    let crowded = found(experiment, "max-connections", "advice");
    drop(held?);
    server.run("SET GLOBAL max_connections = DEFAULT")?;
    crowded?;

    // Last of all settings: a member that was in offline mode hears of no change of member actions until it joins anew.
    server.run("SET GLOBAL offline_mode = ON")?;
    let offline = found(experiment, "login", "problem");
    server.run("SET GLOBAL offline_mode = OFF")?;
    offline?;

    server.run("STOP GROUP_REPLICATION")?;
    let left = found(experiment, "member-state", "problem")
        .and_then(|()| found(experiment, "members-in-group", "problem"));
    let lab = &mut experiment.lab;
    lab.group.heal(on, &lab.segment.databases[on])?;
    left?;

    let server = &experiment.lab.group.servers()[on];
    server.freeze()?;
    let hung = found(experiment, "login", "problem");
    server.thaw()?;
    hung?;
    Ok(vec!["drained", "agent", "max-connections", "login", "member-state", "members-in-group", "login"])
}

/// MySQL's default is found on every member, and a short one on none.
fn checkpoint_period(experiment: &Experiment, on: usize) -> Result<&'static str, Broken> {
    let name = "checkpoint-period";
    is_found(experiment, on, CONFIGURATION, name, "advice")?;
    let set = |value: &str| -> Result<(), Broken> {
        for server in experiment.lab.group.servers() {
            server.run(&format!("SET GLOBAL replica_checkpoint_period = {value}"))?;
        }
        Ok(())
    };
    set("10")?;
    let report = check(experiment, on, CONFIGURATION);
    set("DEFAULT")?;
    let still = report?.not_ok().any(|line| line.name == name);
    promise(!still, || format!("{name} is found where the period is short"))?;
    Ok(name)
}

/// So many sessions more that [`CONNECTED`] are connected: with the stack MYSQL the group's connections are among them.
fn crowd(server: &Server) -> Result<Vec<Conn>, Broken> {
    let statement = "SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM performance_schema.global_status \
                     WHERE VARIABLE_NAME = 'Threads_connected'";
    let mut first = server.admin()?;
    let there: Option<usize> = first.query_first(statement).map_err(server.said(statement))?;
    let mut held = vec![first];
    for _ in there.unwrap_or_default()..CONNECTED {
        held.push(server.admin()?);
    }
    Ok(held)
}
