//! `haipmgr reload` and SIGHUP: a new configuration is followed while the agents run, and what it does not change is not touched.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Output;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::agents::ADOPTED;
use super::drain::says;
use super::expect::{changes, promise, untouched};
use super::members::end_agents_connections;
use super::network::{wait_for_holders, wait_for_holders_of};
use super::{Broken, UnderTest, logs};
use crate::agents::{self, CONFIGURATION, Cluster, LAB, PASSWORD_FILE};
use crate::experiment::Experiment;
use crate::group::{AGENT_PASSWORD, AGENT_USER};
use crate::record::now_us;
use crate::segment;

/// In none of the lab's own files.
pub(super) const ONE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 110);
/// Neither.
pub(super) const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 111);
/// How long a VIP may take to be where it belongs.
const MOVED_WITHIN: Duration = Duration::from_secs(3);
const RECORDED_WITHIN: Duration = Duration::from_secs(3);
/// How often a VIP's address is changed.
const ROUNDS: usize = 6;
/// A new address may come this much later than the old one goes, in seconds: as at a switchover.
const GAP: f64 = 0.3;
const STAT_FILE: &str = "/var/lib/haipmgr/stat_3306";
const NEW_PASSWORD: &str = "Another-haip-Secret$2";
/// Longer than any command that only looks has a session.
const A_COMMAND: Duration = Duration::from_secs(1);

pub(super) fn typed(experiment: &Experiment, on: usize, words: &[&str]) -> Result<Output, Broken> {
    Ok(experiment.lab.agents[on].command(&experiment.lab.segment.databases[on], words)?)
}

pub(super) fn words_of(said: &Output) -> String {
    String::from_utf8_lossy(&[said.stdout.as_slice(), said.stderr.as_slice()].concat()).into_owned()
}

fn places(experiment: &Experiment) -> std::ops::Range<usize> {
    0..experiment.lab.agents.len()
}

/// All agents follow this file, one after the other. Gives what the last said.
pub(super) fn follow(experiment: &Experiment, clusters: &[Cluster]) -> Result<String, Broken> {
    let mut last = String::new();
    for place in places(experiment) {
        agents::configure(&experiment.lab.segment.databases[place], clusters)?;
        let said = typed(experiment, place, &["reload"])?;
        says(&said, 0, "")?;
        last = words_of(&said);
    }
    Ok(last)
}

/// What is done; and then, however that ended, all follow the lab's own file again.
pub(super) fn and_back(
    experiment: &mut Experiment,
    work: impl FnOnce(&mut Experiment) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let outcome = work(experiment);
    let back = follow(experiment, &[LAB]).map(drop);
    outcome.and(back)
}

fn pids(experiment: &Experiment) -> Vec<Option<u32>> {
    experiment.lab.agents.iter().map(agents::Agent::pid).collect()
}

/// The agent's sessions on the server in this place.
fn sessions(experiment: &Experiment, place: usize) -> Result<Vec<u64>, Broken> {
    let server = &experiment.lab.group.servers()[place];
    let statement =
        format!("SELECT ID FROM performance_schema.processlist WHERE USER = '{AGENT_USER}' ORDER BY ID");
    Ok(server.admin()?.query(&statement).map_err(server.said(&statement))?)
}

/// Those that last: a command such as `haipmgr status` has one for less than a second, and may be typed beside a test.
fn lasting_sessions(experiment: &Experiment, place: usize) -> Result<Vec<u64>, Broken> {
    let mut lasting = sessions(experiment, place)?;
    std::thread::sleep(A_COMMAND);
    let now = sessions(experiment, place)?;
    lasting.retain(|session| now.contains(session));
    Ok(lasting)
}

/// Lines of the cluster's own, not of the agent as a whole.
fn own_lines(written: &str) -> Vec<String> {
    written.lines().filter(|line| line.contains("[lab]")).map(str::to_owned).collect()
}

/// A file with two mistakes: both are named, and nothing changes.
pub(super) fn bad_file(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("reload of a bad file", |experiment| {
        let before = pids(experiment);
        let marks: Vec<_> = places(experiment).map(|place| logs::mark(experiment, place)).collect();
        let bad = agents::configuration(&[LAB])
            .replace("gateway ", "gatway ")
            .replace("sleeptime     = \"7s\"", "sleeptime = 0");
        let mut told = Vec::new();
        for (place, host) in experiment.lab.segment.databases.iter().enumerate() {
            agents::write(host, CONFIGURATION, &bad, 0o644)?;
            told.push(typed(experiment, place, &["reload", "--check"])?);
            told.push(typed(experiment, place, &["reload"])?);
            agents::configure(host, &[LAB])?;
        }
        for said in &told {
            for problem in ["unknown key \"gatway\"", "sleeptime", "nothing was changed"] {
                says(said, 2, problem)?;
            }
        }
        promise(pids(experiment) == before, || "an agent is another process".to_owned())?;
        marks.iter().try_for_each(|mark| {
            let own = own_lines(&mark.since(experiment));
            promise(own.is_empty(), || format!("its cluster heard of it: {}", own.join("\n")))
        })
    })?;
    untouched(&under_test.experiment, &figures)
}

/// A second VIP comes and goes while a client writes through the first.
pub(super) fn second_vip(under_test: &mut UnderTest) -> Result<String, Broken> {
    let (mut up, mut gone) = (Duration::ZERO, Duration::ZERO);
    let figures =
        under_test.experiment.watched("a second VIP added and removed by reload", |experiment| {
            let holder = experiment.lab.group.primary()?;
            let both = Cluster { vips: || [segment::vips(), vec![ONE.into()]].concat(), ..LAB };
            let since = Instant::now();
            and_back(experiment, |experiment| {
                let said = follow(experiment, &[both])?;
                promise(said.contains(&format!("cluster lab: VIP + {ONE}")), || said.clone())?;
                wait_for_holders_of(experiment, ONE.into(), &[holder], MOVED_WITHIN)?;
                up = since.elapsed();
                Ok(())
            })?;
            let since = Instant::now();
            wait_for_holders_of(experiment, ONE.into(), &[], MOVED_WITHIN)?;
            gone = since.elapsed();
            wait_for_holders(experiment, &[holder], MOVED_WITHIN).map(drop)
        })?;
    let pause = untouched(&under_test.experiment, &figures)?;
    Ok(format!(
        "up {:.2} s after the first of three reloads began, gone {:.2} s after the last had ended; the first VIP: {pause}",
        up.as_secs_f64(),
        gone.as_secs_f64()
    ))
}

/// The first VIP of a cluster gets another address on all hosts, again and again, beside one that a client writes through.
pub(super) fn vip_changed(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut gaps = Vec::new();
    let figures = under_test.experiment.watched("a VIP changed by reload", |experiment| {
        let holder = experiment.lab.group.primary()?;
        let with = [
            Cluster { vips: || [vec![ONE.into()], segment::vips()].concat(), ..LAB },
            Cluster { vips: || [vec![OTHER.into()], segment::vips()].concat(), ..LAB },
        ];
        and_back(experiment, |experiment| {
            follow(experiment, &[with[0]])?;
            wait_for_holders_of(experiment, ONE.into(), &[holder], MOVED_WITHIN)?;
            for round in 1..=ROUNDS {
                let (old, new) = if round % 2 == 1 { (ONE, OTHER) } else { (OTHER, ONE) };
                gaps.push(change(experiment, &with[round % 2], (old, new), holder)?);
            }
            Ok(())
        })?;
        wait_for_holders_of(experiment, ONE.into(), &[], MOVED_WITHIN)?;
        wait_for_holders_of(experiment, OTHER.into(), &[], MOVED_WITHIN).map(drop)
    })?;
    let pause = untouched(&under_test.experiment, &figures)?;
    gaps.sort_by(f64::total_cmp);
    let (least, most) = (gaps.first().copied().unwrap_or_default(), gaps.last().copied().unwrap_or_default());
    promise(most <= GAP, || format!("the new address came {most:.3} s after the old one had gone"))?;
    Ok(format!(
        "the new address came {least:.3} to {most:.3} s after the old one had gone (below 0: before), {} times; the other VIP: {pause}",
        gaps.len()
    ))
}

/// Gives how much later than the old address went the new one came, in seconds, by the holder's kernel.
fn change(
    experiment: &Experiment,
    with: &Cluster,
    (old, new): (Ipv4Addr, Ipv4Addr),
    holder: usize,
) -> Result<f64, Broken> {
    let began_us = now_us();
    let said = follow(experiment, &[*with])?;
    promise(said.contains(&format!("cluster lab: VIP {old} → {new}")), || said.clone())?;
    wait_for_holders_of(experiment, new.into(), &[holder], MOVED_WITHIN)?;
    wait_for_holders_of(experiment, old.into(), &[], MOVED_WITHIN)?;
    let stat =
        fs::read_to_string(experiment.lab.segment.databases[holder].path(STAT_FILE)).unwrap_or_default();
    promise(stat == "2", || format!("{STAT_FILE} says {stat:?}, though the first VIP was started"))?;
    let since = Instant::now();
    loop {
        let recording = experiment.recording();
        let when = |address: Ipv4Addr, wanted: bool| {
            let mut all = changes(&recording, IpAddr::V4(address), began_us);
            all.find(|(_, there)| *there == wanted).map(|(recorded, _)| recorded.at_us)
        };
        if let (Some(came), Some(went)) = (when(new, true), when(old, false)) {
            let apart = Duration::from_micros(came.abs_diff(went)).as_secs_f64();
            return Ok(if came < went { -apart } else { apart });
        }
        promise(since.elapsed() < RECORDED_WITHIN, || "nobody saw the addresses change".to_owned())?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The account gets another password beside its old one, the agents follow, and the old one ends: nobody is turned away once.
pub(super) fn password_rotated(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut told = Vec::new();
    let figures = under_test.experiment.watched("the password rotated", |experiment| {
        let marks: Vec<_> = places(experiment).map(|place| logs::mark(experiment, place)).collect();
        let rotated = rotate(experiment, NEW_PASSWORD);
        let back = rotate(experiment, AGENT_PASSWORD);
        rotated.and(back)?;
        for mark in &marks {
            let written = mark.since(experiment);
            for word in ["warn", "wrong user or password", " error "] {
                let told =
                    |line: &&str| line.to_lowercase().contains(word) && !line.contains("its error log");
                let found = written.lines().find(told);
                promise(found.is_none(), || {
                    format!("said of a rotated password: {}", found.unwrap_or_default())
                })?;
            }
            promise(!written.contains(NEW_PASSWORD), || "the log shows a password".to_owned())?;
            told.push(written.lines().count());
        }
        Ok::<_, Broken>(())
    })?;
    let pause = untouched(&under_test.experiment, &figures)?;
    Ok(format!("there and back, {told:?} lines in the logs, none of a switch or an error; {pause}"))
}

/// A password that the servers do not know: the agents stay with the one that they have, and with their sessions.
pub(super) fn password_refused(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures =
        under_test.experiment.watched("reload with a password that nobody knows", |experiment| {
            let before = lasting_sessions(experiment, 0)?;
            let host = &experiment.lab.segment.databases[0];
            agents::write(host, PASSWORD_FILE, "nobody-knows-this\n", 0o600)?;
            let said = [typed(experiment, 0, &["reload", "--check"]), typed(experiment, 0, &["reload"])];
            agents::write(host, PASSWORD_FILE, &format!("{AGENT_PASSWORD}\n"), 0o600)?;
            for said in said {
                let said = said?;
                says(&said, 1, "turns the new account away: wrong user or password")?;
                says(&said, 1, "nothing was changed")?;
            }
            let after = sessions(experiment, 0)?;
            promise(before.iter().all(|session| after.contains(session)), || {
                format!("the sessions were {before:?}, and are {after:?}")
            })
        })?;
    untouched(&under_test.experiment, &figures)
}

/// The account gets this password beside its own, each agent follows by a reload, and the old one ends.
pub(super) fn rotate(experiment: &Experiment, to: &str) -> Result<(), Broken> {
    let primary = experiment.lab.group.primary()?;
    let server = &experiment.lab.group.servers()[primary];
    server.run(&format!("ALTER USER '{AGENT_USER}'@'%' IDENTIFIED BY '{to}' RETAIN CURRENT PASSWORD"))?;
    for (place, host) in experiment.lab.segment.databases.iter().enumerate() {
        wait_for_password(experiment, place, to)?;
        agents::write(host, PASSWORD_FILE, &format!("{to}\n"), 0o600)?;
        let said = typed(experiment, place, &["reload"])?;
        says(&said, 0, "cluster lab: password: read anew, another one")?;
        promise(!words_of(&said).contains(to), || "the command shows a password".to_owned())?;
    }
    server.run(&format!("ALTER USER '{AGENT_USER}'@'%' DISCARD OLD PASSWORD"))?;
    // Sessions outlive their password: the agents log in anew with the new one.
    for (place, server) in experiment.lab.group.servers().iter().enumerate() {
        end_agents_connections(server)?;
        let since = Instant::now();
        while sessions(experiment, place)?.is_empty() {
            promise(since.elapsed() < MOVED_WITHIN, || format!("no agent logs in to {}", server.host()))?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// The group carries the account's new password to each member: before, nobody could log in there with it.
fn wait_for_password(experiment: &Experiment, place: usize, password: &str) -> Result<(), Broken> {
    let server = &experiment.lab.group.servers()[place];
    let since = Instant::now();
    loop {
        let options = mysql::OptsBuilder::new()
            .socket(Some(server.socket().display().to_string()))
            .user(Some(AGENT_USER))
            .pass(Some(password));
        match mysql::Conn::new(options) {
            Ok(_) => return Ok(()),
            Err(error) => {
                promise(since.elapsed() < MOVED_WITHIN, || format!("{}: {error}", server.host()))?;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A member is written into the file, and taken out again.
pub(super) fn member_changed(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures =
        under_test.experiment.watched("a member's entry added and removed by reload", |experiment| {
            let holder = experiment.lab.group.primary()?;
            let mark = logs::mark(experiment, holder);
            let more = agents::configuration(&[LAB])
                .replace("[cluster.members]\n", "[cluster.members]\n\"10.77.0.99\" = \"eth0\"\n");
            and_back(experiment, |experiment| {
                for (place, host) in experiment.lab.segment.databases.iter().enumerate() {
                    agents::write(host, CONFIGURATION, &more, 0o644)?;
                    let said = typed(experiment, place, &["reload"])?;
                    says(&said, 0, "cluster lab: members: + 10.77.0.99 (eth0)")?;
                }
                mark.wait_for(
                    experiment,
                    &["the configuration is loaded anew: members: + 10.77.0.99", ADOPTED],
                )
            })?;
            mark.wait_for(experiment, &["the configuration is loaded anew: members: - 10.77.0.99", ADOPTED])
        })?;
    untouched(&under_test.experiment, &figures)
}

/// SIGHUP while the file is as it was: the logs are reopened, and that is all; the sessions with the servers are the same.
pub(super) fn signal_alone(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("SIGHUP", |experiment| {
        let before = lasting_sessions(experiment, 0)?;
        let marks: Vec<_> = places(experiment).map(|place| logs::mark(experiment, place)).collect();
        for pid in pids(experiment).into_iter().flatten() {
            kill(Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX)), Signal::SIGHUP)
                .map_err(|cause| Broken::io("sending SIGHUP")(cause.into()))?;
        }
        for mark in &marks {
            mark.wait_for(
                experiment,
                &["the log files are reopened (SIGHUP)", "the configuration is as it was"],
            )?;
            let own = own_lines(&mark.since(experiment));
            promise(own.is_empty(), || format!("its cluster heard of it: {}", own.join("\n")))?;
        }
        let after = sessions(experiment, 0)?;
        promise(before.iter().all(|session| after.contains(session)), || {
            format!("the sessions were {before:?}, and are {after:?}")
        })
    })?;
    untouched(&under_test.experiment, &figures)
}

/// A host that is drained and whose agent is paused stays so.
pub(super) fn keeps_drain_and_pause(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("reload while drained and paused", |experiment| {
        let other = (experiment.lab.group.primary()? + 1) % experiment.lab.agents.len();
        says(&typed(experiment, other, &["drain"])?, 0, "drained")?;
        let paused = typed(experiment, other, &["pause", "--host", "--for", "10m"]);
        let outcome = and_back(experiment, |experiment| {
            let mark = logs::mark(experiment, other);
            follow(experiment, &[Cluster { sleeptime: 6, ..LAB }])?;
            mark.wait_for(experiment, &["sleeptime: 7s → 6s", "still paused (this host) until"])?;
            let status = words_of(&typed(experiment, other, &["status", "--format", "json"])?);
            promise(status.contains("\"drained\""), || format!("it is not drained any more: {status}"))
        });
        let undone =
            [typed(experiment, other, &["resume", "--host"]), typed(experiment, other, &["undrain"])];
        says(&paused?, 0, "paused until")?;
        outcome?;
        for said in undone {
            says(&said?, 0, "")?;
        }
        Ok::<_, Broken>(())
    })?;
    untouched(&under_test.experiment, &figures)
}
