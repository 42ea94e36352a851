//! The lease, and the ends of an agent: killed or hung while its server dies, stopped, and told to give the VIP up.

use std::net::IpAddr;
use std::process::Output;
use std::time::{Duration, Instant};

use super::agents::{LEASE_LIMIT, run_second, start_and_adopt, start_and_hear};
use super::expect::{changes, promise, rows_are_there};
use super::network::wait_for_holders;
use super::{Broken, UnderTest, logs};
use crate::agents::{Agent, AgentError, CONFIGURATION, LAB, configuration, configure};
use crate::experiment::Experiment;
use crate::fault::holders;
use crate::host::Host;
use crate::segment::vip;

/// The agent's default `lease`, and what the next holder may take after its end. Seconds.
const MOVED_WITHIN: f64 = 10.0 + 1.5;
/// How long `haipmgr stop --release` may take.
const RELEASED_WITHIN: Duration = Duration::from_secs(4);
/// How long connections with a server that no longer leads may stay when its agent goes on.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);
/// For how long a host that is to stay without the VIP is watched.
const NOTHING_FOR: Duration = Duration::from_secs(3);
/// How long the VIP may take to be back when an agent is there again.
const BACK_LIMIT: Duration = Duration::from_secs(3);

pub(super) fn agent_killed_then_server(under_test: &mut UnderTest) -> Result<String, Broken> {
    left_alone(under_test, "agent killed, then mysqld", Agent::kill)
}

pub(super) fn agent_hung_then_server(under_test: &mut UnderTest) -> Result<String, Broken> {
    left_alone(under_test, "agent hung, then mysqld killed", |agent| agent.freeze())
}

/// Nobody on the old holder yields: the lease alone lets the VIP go.
fn left_alone(
    under_test: &mut UnderTest,
    name: &str,
    silence: fn(&mut Agent) -> Result<(), AgentError>,
) -> Result<String, Broken> {
    let figures = under_test.experiment.dethroning(name, |experiment, deed| {
        let old = experiment.lab.group.primary()?;
        silence(&mut experiment.lab.agents[old])?;
        if let Some(server) = experiment.lab.group.server_mut(old) {
            server.kill()?;
        }
        let outcome = experiment.wait_followed(old);
        experiment.heals(deed);
        // What stands still does not end by itself.
        experiment.lab.agents[old].kill()?;
        let lab = &mut experiment.lab;
        lab.group.heal(old, &lab.segment.databases[old])?;
        start_and_hear(experiment, old, super::agents::AT_WORK)?;
        outcome?;
        Ok::<_, Broken>(())
    })?;
    rows_are_there(&figures)?;
    let moved = figures.vip_moved.seconds();
    promise(moved.is_some_and(|seconds| seconds <= MOVED_WITHIN), || {
        format!("the VIP moved after {} s, not within {MOVED_WITHIN} s", figures.vip_moved)
    })?;
    Ok(format!("elected {}, VIP moved {}, outage {} s", figures.elected, figures.vip_moved, figures.outage))
}

/// The old holder's server lives and is a secondary now. With IPv6 it would go on serving those who are connected, from an address
/// that is gone.
pub(super) fn woken_after_the_lease(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut closed = Duration::ZERO;
    let figures =
        under_test.experiment.dethroning("agent hung, switchover, agent goes on", |experiment, deed| {
            let lab = &mut experiment.lab;
            let old = lab.group.primary()?;
            let new = (old + 1) % lab.segment.databases.len();
            lab.agents[old].freeze()?;
            lab.group.switch_over(new)?;
            let moved = wait_for_holders(experiment, &[new], LEASE_LIMIT + BACK_LIMIT);
            let before = connections(&experiment.lab.segment.databases[old]);
            experiment.heals(deed);
            experiment.lab.agents[old].thaw()?;
            let since = Instant::now();
            moved?;
            promise(!before?.is_empty(), || {
                format!("nobody was connected to {} through the VIP", experiment.name(old))
            })?;
            loop {
                let left = connections(&experiment.lab.segment.databases[old])?;
                closed = since.elapsed();
                if left.is_empty() {
                    return Ok::<_, Broken>(());
                }
                promise(closed <= CLOSED_WITHIN, || format!("still connected after {closed:?}: {left}"))?;
                std::thread::sleep(Duration::from_millis(10));
            }
        })?;
    rows_are_there(&figures)?;
    Ok(format!(
        "VIP moved {}; the old connections were closed {closed:.0?} after the agent went on",
        figures.vip_moved
    ))
}

/// The VIP's TCP connections on a host, as ss names them.
fn connections(host: &Host) -> Result<String, Broken> {
    let vip = match vip() {
        IpAddr::V4(vip) => format!("src {vip} or src [::ffff:{vip}]"),
        IpAddr::V6(vip) => format!("src [{vip}]"),
    };
    let shown = host.command("ss").args(["-Htn", "state", "established", &vip]).output();
    let shown = shown.map_err(Broken::io("can't run ss"))?;
    let failed = String::from_utf8_lossy(&shown.stderr).into_owned();
    promise(shown.status.success(), || format!("ss ended with {}: {failed}", shown.status))?;
    Ok(String::from_utf8_lossy(&shown.stdout).trim().to_owned())
}

/// The holder's agent stands still while another host takes the VIP, and is stopped before it has read any of that: "leaves the VIP
/// as it is" adds none.
pub(super) fn stopped_on_old_knowledge(under_test: &mut UnderTest) -> Result<String, Broken> {
    let name = "agent hung, VIP removed by hand, switchover, agent stopped";
    let mut old = 0;
    let figures = under_test.experiment.dethroning(name, |experiment, deed| {
        let lab = &mut experiment.lab;
        old = lab.group.primary()?;
        let new = (old + 1) % lab.segment.databases.len();
        lab.agents[old].freeze()?;
        lab.segment.remove_vip(&lab.segment.databases[old])?;
        lab.group.switch_over(new)?;
        let outcome = wait_for_holders(experiment, &[new], BACK_LIMIT)
            .and_then(|_| Ok(experiment.lab.agents[old].stop()?))
            .and_then(|()| {
                // What is shown is that nothing happens in this time.
                std::thread::sleep(NOTHING_FOR);
                let there = holders(&experiment.lab.segment)?;
                promise(there == [new], || {
                    let names: Vec<String> = there.iter().map(|place| experiment.name(*place)).collect();
                    format!("the agent on {} was stopped, and the VIP is on {names:?}", experiment.name(old))
                })
            });
        experiment.heals(deed);
        // One that would not end.
        experiment.lab.agents[old].kill()?;
        start_and_hear(experiment, old, super::agents::AT_WORK)?;
        outcome
    })?;
    rows_are_there(&figures)?;
    let host = under_test.experiment.name(old);
    let recording = under_test.experiment.recording();
    let added =
        changes(&recording, vip(), figures.injected_us).any(|(seen, there)| there && seen.who == host);
    promise(!added, || format!("{host} was seen with the VIP again"))?;
    Ok(format!("VIP moved {}, outage {} s; {host} never had it again", figures.vip_moved, figures.outage))
}

/// S7: a stopped agent's VIP outlives every lease, and the log says so.
pub(super) fn stopped(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.watched("agent stopped for longer than its lease", |experiment| {
        experiment.lab.agents[holder].stop()?;
        // What is shown is that nothing happens in this time.
        std::thread::sleep(LEASE_LIMIT);
        let there = holders(&experiment.lab.segment)?;
        start_and_adopt(experiment, holder)?;
        promise(there == [holder], || format!("after the lease the VIP is on {there:?}, not on {holder}"))
    })?;
    mark.wait_for(&under_test.experiment, &["from now on without a lease"])?;
    super::expect::untouched(&under_test.experiment, &figures)
}

/// A lease that outlives the group's own election is refused at the start, with the sum; the VIP stays where it is.
pub(super) fn too_long(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let agent = under_test.layout.agent();
    let mut words = String::new();
    let figures = under_test.experiment.watched("a lease that is too long", |experiment| {
        experiment.lab.agents[holder].stop()?;
        let host = &experiment.lab.segment.databases[holder];
        let tried = run_with_lease(host, &agent, "20s");
        configure(host, &[LAB])?;
        start_and_adopt(experiment, holder)?;
        let tried = tried?;
        String::from_utf8_lossy(&tried.stderr).trim().clone_into(&mut words);
        promise(tried.status.code() == Some(2), || format!("it ended with {}: {words}", tried.status))
    })?;
    let sum = "10 s = 5 s (UNREACHABLE) + 5 s (group_replication_member_expel_timeout)";
    promise(words.contains(sum), || format!("the sum is not there: {words}"))?;
    super::expect::untouched(&under_test.experiment, &figures)?;
    Ok(words)
}

fn run_with_lease(host: &Host, agent: &std::path::Path, lease: &str) -> Result<Output, Broken> {
    let text = configuration(&[LAB]).replace("sleeptime ", &format!("lease = \"{lease}\"\nsleeptime "));
    std::fs::write(host.path(CONFIGURATION), text).map_err(Broken::io("can't write the configuration"))?;
    run_second(host, agent)
}

/// On the primary, where nobody else may take it: it is away until an agent is there again.
pub(super) fn released(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let agent = under_test.layout.agent();
    let mut took = Duration::ZERO;
    let figures = under_test.experiment.watched("haipmgr stop --release", |experiment| {
        let since = Instant::now();
        let said = stop_release(&experiment.lab.segment.databases[holder], &agent);
        took = since.elapsed();
        let there = holders(&experiment.lab.segment)?;
        let back = start_again(experiment, holder);
        let said = said?;
        let words = String::from_utf8_lossy(&said.stderr).into_owned();
        promise(said.status.success() && words.contains("given up"), || format!("{}: {words}", said.status))?;
        promise(there.is_empty(), || format!("given up, and still on {there:?}"))?;
        back
    })?;
    mark.wait_for(
        &under_test.experiment,
        &["told to end by haipmgr stop --release", "VIP stopped on", "told to give it up", "VIP started on"],
    )?;
    rows_are_there(&figures)?;
    promise(took <= RELEASED_WITHIN, || format!("it took {:.1} s", took.as_secs_f64()))?;
    Ok(format!(
        "given up in {:.2} s, outage until the agent was started {} s",
        took.as_secs_f64(),
        figures.outage
    ))
}

fn stop_release(host: &Host, agent: &std::path::Path) -> Result<Output, Broken> {
    host.command(agent)
        .args(["stop", "--release", "--config", CONFIGURATION])
        .output()
        .map_err(Broken::io("can't run haipmgr stop"))
}

fn start_again(experiment: &mut Experiment, place: usize) -> Result<(), Broken> {
    // Ended already, or not: both are reaped.
    experiment.lab.agents[place].stop()?;
    start_and_hear(experiment, place, super::agents::AT_WORK)?;
    wait_for_holders(experiment, &[place], BACK_LIMIT).map(drop)
}
