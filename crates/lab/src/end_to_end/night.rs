//! A night's work by the commands alone: a server dies, one host is drained, the primary is put back, the cluster is paused, worked on
//! and resumed; a client writes all the time. What each command says is held, at each step, against what the lab sees itself: the
//! kernels' addresses, the servers' own words over their unix sockets, the witnesses' recording.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use mysql::prelude::Queryable as _;
use serde_json::Value;

use super::agents::{ADOPTED, start_and_hear};
use super::expect::{changes, followed, never_two_holders, promise, rows_are_there, untouched};
use super::history::{TOLD_WITHIN, address, explained, is, typed, words};
use super::network::wait_for_holders;
use super::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::holders;
use crate::measure::{Figures, Holding};
use crate::record::now_us;
use crate::segment::vip;

/// How long a server that was told to shut down may take, before it is killed.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);
/// How long what is asked may take to be so everywhere: an agent's own server tells it of a pause once a second.
const SO_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A history's times and the witnesses' may differ by so much: the witness sees the address, the agent notes when the network was told,
/// on a machine that is busy with other things.
const AS_WITNESSED: Duration = Duration::from_millis(500);
/// Why the host is drained, the primary put back, the cluster paused, in the operator's words.
const DISK: &str = "new disk";
const BACK: &str = "disk is in";
const KERNEL: &str = "new kernel, it's due";
/// How long the cluster is paused, as it is typed and in milliseconds.
const PAUSED_FOR: &str = "10m";
const PAUSED_FOR_MS: u64 = 600_000;

/// What a host's history is to tell of the night: which host, `came` or `left`, the code.
type Moves = Vec<(usize, &'static str, &'static str)>;

/// The night so far.
struct Night {
    began_us: u64,
    /// As `--since` takes it.
    began: Timestamp,
    moves: Moves,
    told: Vec<String>,
}

pub(super) fn work(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    let old = experiment.lab.wait_steady()?;
    let (began_us, began) = (now_us(), Timestamp::now());
    let mut night = Night { began_us, began, moves: Vec::new(), told: Vec::new() };
    let host = a_server_dies(experiment, &mut night, old)?;
    let next = one_host_is_drained(experiment, &mut night, host)?;
    the_primary_is_put_back(experiment, &mut night, next, host)?;
    the_cluster_is_paused_and_worked_on(experiment, &mut night, host)?;
    what_the_history_says(experiment, &night)?;
    night_as_a_whole(experiment, &night)
}

/// kill -9 of the primary's mysqld: what status and explain say before anything is mended. Gives the new primary.
fn a_server_dies(experiment: &mut Experiment, night: &mut Night, old: usize) -> Result<usize, Broken> {
    let mut new = old;
    let figures = experiment.dethroning("a night: kill -9", |experiment, deed| {
        if let Some(server) = experiment.lab.group.server_mut(old) {
            server.kill()?;
        }
        new = experiment.wait_followed(old)?;
        let told = told_of_the_dead(experiment, old, new);
        experiment.heals(deed);
        let lab = &mut experiment.lab;
        lab.group.heal(old, &lab.segment.databases[old])?;
        told
    })?;
    night.moves.extend([(old, "left", "PRIMARY_DIED"), (new, "came", "PRIMARY_DIED")]);
    night.told.push(format!("kill -9: {}", moved(&figures)?));
    all_is_well(experiment)?;
    Ok(new)
}

fn told_of_the_dead(experiment: &Experiment, old: usize, new: usize) -> Result<(), Broken> {
    let dead = format!("{}: its server does not answer", address(experiment, old));
    for on in 0..experiment.lab.agents.len() {
        status_says(experiment, on, &dead)?;
        shows_what_is(experiment, on, 1, "running")?;
    }
    // The third host took part in no switch, and may have nothing recorded.
    says(
        experiment,
        old,
        &["explain", "now"],
        0,
        &["is not on this host", "it would come to this host if:"],
    )?;
    says(
        experiment,
        new,
        &["explain", "now"],
        0,
        &["is on this host, on eth0", "it would leave this host if:"],
    )?;
    let came = newest(experiment, new, "came", "PRIMARY_DIED")?;
    is(&came, "/from/address", &address(experiment, old))?;
    explained(experiment, new, &came, &["VIP started on"])?;
    says(experiment, new, &["explain", "last"], 0, &["VIP started on"])
}

/// The primary's host: a switchover to another member, and no VIP here until it is undrained. Gives the primary after it.
fn one_host_is_drained(experiment: &mut Experiment, night: &mut Night, host: usize) -> Result<usize, Broken> {
    let mut next = host;
    let figures = experiment.dethroning("a night: haipmgr drain", |experiment, deed| {
        let drained = "drained: this host does not hold the VIP of lab";
        says(experiment, host, &["drain", "--reason", DISK], 0, &["done", drained])?;
        // At once, by the host's own kernel and the servers' own words.
        let there = holders(&experiment.lab.segment)?;
        promise(!there.contains(&host), || format!("drained, and the VIP is on {there:?}"))?;
        next = experiment.wait_followed(host)?;
        let told = shows_what_is(experiment, host, 1, "drained")
            .and_then(|()| shows_what_is(experiment, next, 0, "running"))
            .and_then(|()| says(experiment, host, &["explain", "now"], 0, &["is not on this host"]));
        says(experiment, host, &["undrain"], 0, &["undrained: this host may take the VIP of lab again"])?;
        experiment.heals(deed);
        told
    })?;
    night.moves.extend([(host, "left", "SWITCHOVER"), (next, "came", "SWITCHOVER")]);
    night.told.push(format!("drain: {}", moved(&figures)?));
    all_is_well(experiment)?;
    Ok(next)
}

fn the_primary_is_put_back(
    experiment: &mut Experiment,
    night: &mut Night,
    from: usize,
    to: usize,
) -> Result<(), Broken> {
    let third = another(experiment, &[from, to]);
    let mut gap = String::new();
    let figures = experiment.dethroning("a night: haipmgr switchover", |experiment, deed| {
        let at = address(experiment, to);
        let said = typed(experiment, third, &["switchover", "--yes", "--to", &at, "--reason", BACK])?;
        let told = words(&said);
        promise(said.status.code() == Some(0) && told.contains("\ngap  "), || {
            format!("{}: {told}", said.status)
        })?;
        told.lines().find(|line| line.starts_with("gap")).unwrap_or_default().clone_into(&mut gap);
        let (primary, there) = (experiment.lab.group.primary()?, holders(&experiment.lab.segment)?);
        promise(primary == to && there == [to], || {
            format!("done, it says, and {primary} leads, and the VIP is on {there:?}: {told}")
        })?;
        experiment.wait_followed(from)?;
        experiment.heals(deed);
        Ok::<_, Broken>(())
    })?;
    night.moves.extend([(from, "left", "SWITCHOVER"), (to, "came", "SWITCHOVER")]);
    night.told.push(format!("switchover: {}, the command says: {gap}", moved(&figures)?));
    all_is_well(experiment)
}

/// A secondary's server is stopped and started, its agent and the holder's are started anew: the VIP is touched by nobody.
fn the_cluster_is_paused_and_worked_on(
    experiment: &mut Experiment,
    night: &mut Night,
    holder: usize,
) -> Result<(), Broken> {
    let worked_on = another(experiment, &[holder]);
    let third = another(experiment, &[holder, worked_on]);
    let figures = experiment.watched("a night: work while paused", |experiment| {
        let pause = ["pause", "--for", PAUSED_FOR, "--reason", KERNEL];
        says(experiment, third, &pause, 0, &["confirmed", "paused until", KERNEL])?;
        every_server_has(experiment, Some(KERNEL))?;
        for on in 0..experiment.lab.agents.len() {
            shows_what_is(experiment, on, 1, "paused")?;
            status_says(experiment, on, "the agent is paused, for another")?;
        }
        maintenance(experiment, worked_on, holder)?;
        every_server_has(experiment, Some(KERNEL))?;
        says(experiment, third, &["resume"], 0, &["confirmed", "resumed"])?;
        every_server_has(experiment, None)?;
        (0..experiment.lab.agents.len()).try_for_each(|on| mode_becomes(experiment, on, "running"))
    })?;
    never_two_holders(&figures)?;
    night.told.push(format!("work while paused: {}", untouched(experiment, &figures)?));
    all_is_well(experiment)
}

fn maintenance(experiment: &mut Experiment, worked_on: usize, holder: usize) -> Result<(), Broken> {
    if let Some(server) = experiment.lab.group.server_mut(worked_on) {
        // The answer to this may be lost in the end of the server that gives it.
        let _ = server.run("SHUTDOWN");
        server.wait_end(SHUTDOWN_PATIENCE)?;
    }
    let down = format!("{}: its server does not answer", address(experiment, worked_on));
    status_says(experiment, holder, &down)?;
    shows_what_is(experiment, holder, 1, "paused")?;
    let still = "still paused (the whole cluster) until";
    experiment.lab.agents[worked_on].stop()?;
    start_and_hear(experiment, worked_on, still)?;
    experiment.lab.agents[holder].stop()?;
    start_and_hear(experiment, holder, ADOPTED)?;
    let lab = &mut experiment.lab;
    lab.group.heal(worked_on, &lab.segment.databases[worked_on])?;
    wait_for_holders(experiment, &[holder], Duration::ZERO)?;
    mode_becomes(experiment, holder, "paused")?;
    mode_becomes(experiment, worked_on, "paused")
}

/// Each host tells exactly of the moves that the witnesses saw on it, in their order and at their times.
fn what_the_history_says(experiment: &Experiment, night: &Night) -> Result<(), Broken> {
    for on in 0..experiment.lab.agents.len() {
        let wanted: Vec<_> = night.moves.iter().filter(|(place, ..)| *place == on).collect();
        let told = told_since(experiment, on, night.began, wanted.len())?;
        let recording = experiment.recording();
        let name = experiment.name(on);
        let seen: Vec<(u64, bool)> = changes(&recording, vip(), night.began_us)
            .filter(|(recorded, _)| recorded.who == name)
            .map(|(recorded, there)| (recorded.at_us, there))
            .collect();
        promise(told.len() == wanted.len() && seen.len() == wanted.len(), || {
            format!("{name}: {wanted:?} was done, the witness saw {seen:?}, the history tells of {told:#?}")
        })?;
        for ((row, (_, kind, code)), (at_us, there)) in told.iter().zip(wanted).zip(seen) {
            is(row, "/kind", kind)?;
            is(row, "/code", code)?;
            promise(there == (*kind == "came"), || format!("{name}: the witness saw another move: {row:#}"))?;
            near(row, at_us)?;
        }
        let printed = words(&typed(experiment, on, &["history", "--since", &night.began.to_string()])?);
        for row in &told {
            let sentence = row["sentence"].as_str().unwrap_or_default();
            promise(!sentence.is_empty() && printed.contains(sentence), || {
                format!("{name}: the table does not say {sentence:?}: {printed}")
            })?;
        }
    }
    who_ordered_it(experiment, night)
}

/// The orders with their reasons, at the hosts that they moved the VIP to.
fn who_ordered_it(experiment: &Experiment, night: &Night) -> Result<(), Broken> {
    let came = |reason: &str| {
        for (on, kind, code) in &night.moves {
            let told = told_since(experiment, *on, night.began, 0)?;
            let row = told.iter().find(|row| {
                row["kind"] == *kind
                    && *kind == "came"
                    && row["code"] == *code
                    && row["by"]["reason"] == reason
            });
            if let Some(row) = row {
                return Ok(row.clone());
            }
        }
        Err(Broken::NotAsPromised(format!("no history tells of an order because of {reason:?}")))
    };
    let (drained, back) = (came(DISK)?, came(BACK)?);
    let host = night.moves[2].0;
    is(&drained, "/by/who", &format!("root on {}", experiment.name(host)))?;
    is(&drained, "/from/address", &address(experiment, host))?;
    is(&back, "/to/address", &address(experiment, host))?;
    is(&back, "/by/how", "ordered")
}

/// Between the steps too: no second holder, no row lost.
fn night_as_a_whole(experiment: &mut Experiment, night: &Night) -> Result<String, Broken> {
    experiment.look_for_rows(night.began_us)?;
    let steps: Vec<Figures> =
        experiment.figures().into_iter().filter(|figures| figures.injected_us >= night.began_us).collect();
    steps.iter().try_for_each(rows_are_there)?;
    let rows: u64 = steps.iter().map(|figures| figures.acknowledged).sum();
    let together = Holding::of(vip(), &experiment.recording()).two_holders(night.began_us, now_us());
    let together = Duration::from_micros(together).as_secs_f64();
    if together > 0.0 {
        return Err(Broken::Never(format!("two hosts had the VIP for {together:.3} s in that night")));
    }
    let took = Duration::from_micros(now_us().saturating_sub(night.began_us)).as_secs();
    Ok(format!(
        "{took} s; {rows} rows, none lost; two holders {together:.3} s\n    {}",
        night.told.join("\n    ")
    ))
}

/// The VIP followed, and was never on two hosts. Gives the figures in words.
fn moved(figures: &Figures) -> Result<String, Broken> {
    never_two_holders(figures)?;
    followed(figures)
}

/// A member that is none of these.
fn another(experiment: &Experiment, than: &[usize]) -> usize {
    (0..experiment.lab.agents.len()).find(|place| !than.contains(place)).unwrap_or_default()
}

/// `status` on this host comes to say this, with exit status 1: a busy machine may be late with an answer.
fn status_says(experiment: &Experiment, on: usize, sentence: &str) -> Result<(), Broken> {
    let since = Instant::now();
    loop {
        match says(experiment, on, &["status"], 1, &[sentence]) {
            Err(broken) if since.elapsed() >= SO_WITHIN => return Err(broken),
            Err(_) => std::thread::sleep(LOOK_EVERY),
            Ok(()) => return Ok(()),
        }
    }
}

/// A command on this host ends with this status, and says all of this.
fn says(
    experiment: &Experiment,
    on: usize,
    command: &[&str],
    status: i32,
    sentences: &[&str],
) -> Result<(), Broken> {
    let said = typed(experiment, on, command)?;
    let words = words(&said);
    let missing = sentences.iter().find(|sentence| !words.contains(**sentence));
    promise(said.status.code() == Some(status) && missing.is_none(), || {
        format!(
            "haipmgr {} on {}: {}, and not {status}; missing {missing:?}: {words}",
            command.join(" "),
            experiment.name(on),
            said.status
        )
    })
}

/// On every host status is well, and shows what is.
fn all_is_well(experiment: &Experiment) -> Result<(), Broken> {
    (0..experiment.lab.agents.len()).try_for_each(|on| shows_what_is(experiment, on, 0, "running"))
}

/// What `status` shows of VIP, members and agent is what kernels and servers say themselves. What it shows as current is never anything
/// else; an answer that a busy machine is late with is asked for again.
fn shows_what_is(experiment: &Experiment, on: usize, status: i32, mode: &str) -> Result<(), Broken> {
    let since = Instant::now();
    loop {
        let said = typed(experiment, on, &["status", "--format", "json"])?;
        let document: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        let wrong = |what: &str| {
            format!("status on {}: {} and not {status}: {what}: {document}", experiment.name(on), said.status)
        };
        let cluster = &document["clusters"][0];
        let all_answered = vip_is_where(experiment, cluster, &wrong)?
            & members_are_as(experiment, cluster, &wrong)?
            & agent_is(experiment, on, cluster, mode, &wrong)?;
        if all_answered && said.status.code() == Some(status) {
            return Ok(());
        }
        promise(since.elapsed() < SO_WITHIN, || wrong("still so"))?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// By the kernels. Gives whether it is known.
fn vip_is_where(
    experiment: &Experiment,
    cluster: &Value,
    wrong: &dyn Fn(&str) -> String,
) -> Result<bool, Broken> {
    let Some(named) = cluster["vips"][0]["holders"].as_array() else { return Ok(false) };
    let named: Vec<_> = named.iter().map(|holder| holder["member"].clone()).collect();
    let there = holders(&experiment.lab.segment)?;
    let kernels: Vec<Value> = there.iter().map(|place| address(experiment, *place).into()).collect();
    // Nobody is seen where the holder's answer is late.
    let none = named.is_empty();
    promise(none || named == kernels, || wrong(&format!("the VIP is on {kernels:?} by the kernels")))?;
    Ok(none == kernels.is_empty())
}

/// By the servers' own words. Gives whether each that lives has answered.
fn members_are_as(
    experiment: &Experiment,
    cluster: &Value,
    wrong: &dyn Fn(&str) -> String,
) -> Result<bool, Broken> {
    let primary = experiment.lab.group.primary()?;
    let mut all_answered = true;
    for (place, view) in experiment.lab.group.views().iter().enumerate() {
        let member = &cluster["members"][place];
        let right = match view {
            Ok(_) if member["silent"].is_string() => {
                all_answered = false;
                member["writable"].is_null()
            }
            Ok(view) => {
                let state = view.state_of(experiment.lab.segment.databases[place].address());
                member["said_by"] == "itself"
                    && member["role"] == if place == primary { "primary" } else { "secondary" }
                    && member["state"].as_str() == state
                    && member["writable"] == !view.super_read_only
            }
            Err(_) => member["silent"].is_string() && member["writable"].is_null(),
        };
        promise(right, || wrong(&format!("{}, by its server: {view:?}", experiment.name(place))))?;
    }
    Ok(all_answered)
}

/// Gives whether it has answered, and is as it is to be.
fn agent_is(
    experiment: &Experiment,
    on: usize,
    cluster: &Value,
    mode: &str,
    wrong: &dyn Fn(&str) -> String,
) -> Result<bool, Broken> {
    let own = &cluster["status"];
    if own.is_null() {
        return Ok(false);
    }
    let holds = holders(&experiment.lab.segment)?.contains(&on);
    let left = own["pause_left_ms"].as_u64();
    let right = own["member"] == address(experiment, on)
        && (own["vips"][0]["state"] == "holding") == holds
        && left.is_some() == (own["mode"] == "paused")
        && left.is_none_or(|left| left <= PAUSED_FOR_MS);
    promise(right, || wrong(&format!("it holds the VIP by its kernel: {holds}")))?;
    Ok(own["mode"] == mode)
}

/// Agents are told one after the other.
fn mode_becomes(experiment: &Experiment, on: usize, mode: &str) -> Result<(), Broken> {
    let since = Instant::now();
    loop {
        let said = typed(experiment, on, &["status", "--format", "json"])?;
        let document: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        let found = &document["clusters"][0]["status"]["mode"];
        if found == mode {
            return Ok(());
        }
        promise(since.elapsed() < SO_WITHIN, || {
            format!("the agent on {} is {found}, and not {mode}", experiment.name(on))
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// By each server's own table.
fn every_server_has(experiment: &Experiment, reason: Option<&str>) -> Result<(), Broken> {
    for server in experiment.lab.group.servers() {
        let statement = "SELECT reason FROM haipmgr.pauses";
        let found: Option<String> = server.admin()?.query_first(statement).map_err(server.said(statement))?;
        promise(found.as_deref() == reason, || {
            format!("{} has the pause {found:?}, and not {reason:?}", server.host())
        })?;
    }
    Ok(())
}

/// The newest switch that a host tells of, once it is of this kind and code.
fn newest(experiment: &Experiment, on: usize, kind: &str, code: &str) -> Result<Value, Broken> {
    let since = Instant::now();
    loop {
        let told = of_history(experiment, on, &[])?;
        if let Some(last) = told.last()
            && last["kind"] == kind
            && last["code"] == code
        {
            return Ok(last.clone());
        }
        promise(since.elapsed() < TOLD_WITHIN, || {
            format!("{} tells last of {:#?}, and not of {code}", experiment.name(on), told.last())
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What a host tells of the night; waits until it is so much, for it is written off the decision's path.
fn told_since(
    experiment: &Experiment,
    on: usize,
    began: Timestamp,
    at_least: usize,
) -> Result<Vec<Value>, Broken> {
    let since = Instant::now();
    loop {
        let told = of_history(experiment, on, &["--since", &began.to_string()])?;
        if told.len() >= at_least || since.elapsed() > TOLD_WITHIN {
            return Ok(told);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The rows of the first VIP.
fn of_history(experiment: &Experiment, on: usize, arguments: &[&str]) -> Result<Vec<Value>, Broken> {
    let all: Vec<&str> = ["history", "--format", "json"].iter().chain(arguments).copied().collect();
    let said = typed(experiment, on, &all)?;
    let document: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
    let Some(rows) = document["switches"].as_array() else {
        return Err(Broken::NotAsPromised(format!("{}: {}", said.status, words(&said))));
    };
    let own = vip().to_string();
    Ok(rows.iter().filter(|row| row["vip"] == own.as_str()).cloned().collect())
}

/// The history's time, by the wall clock, is the witness's.
fn near(row: &Value, at_us: u64) -> Result<(), Broken> {
    let told: Option<Timestamp> = row["at"].as_str().and_then(|at| at.parse().ok());
    let ago = Duration::from_micros(now_us().saturating_sub(at_us));
    let seen = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(ago);
    let apart = told
        .and_then(|told| u64::try_from(told.as_millisecond()).ok())
        .map(|told| Duration::from_millis(told).abs_diff(seen));
    promise(apart.is_some_and(|apart| apart <= AS_WITNESSED), || {
        format!("the witness saw it {apart:?} before or after the history's time: {row:#}")
    })
}
