//! Two groups on the same three hosts, one agent for both: none can block the other.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::expect::{changes, promise, untouched};
use super::files::reconfigure;
use super::network::wait_for_holders_of;
use super::{Broken, UnderTest, logs};
use crate::agents::{Cluster, LAB};
use crate::experiment::Experiment;
use crate::fault::holders_of;
use crate::group::{self, Group};
use crate::measure::Judged;
use crate::record::now_us;

const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);
const OTHER: Cluster = Cluster {
    name: "other",
    vips: || vec![OTHER_VIP.into()],
    readers: Vec::new,
    group: group::SECOND,
    ..LAB
};
/// How long the other VIP may take to be where it belongs.
const MOVE_LIMIT: Duration = Duration::from_secs(10);
/// How much longer a switchover may take while the first cluster's servers stand still. An agent that waited for one of
/// them would wait longer. Seconds.
const BLOCKED: f64 = 0.5;
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(super) fn neither_blocks_the_other(under_test: &mut UnderTest) -> Result<String, Broken> {
    let layout = under_test.layout.clone();
    let hosts = &under_test.experiment.lab.segment.databases;
    let mut other = Group::start(&layout, hosts, group::SECOND, &mut |_| {})?;
    let mut told = String::new();
    let figures = under_test.experiment.watched("two clusters", |experiment| {
        let outcome = reconfigure(experiment, &[LAB, OTHER]).and_then(|()| prove(experiment, &other));
        let undone = put_back(experiment, &mut other);
        told = outcome?;
        undone
    })?;
    let pause = untouched(&under_test.experiment, &figures)?;
    Ok(format!("{told}; the first cluster: {pause}"))
}

fn prove(experiment: &Experiment, other: &Group) -> Result<String, Broken> {
    let places = other.servers().len();
    let first = other.primary()?;
    wait_for_holders_of(experiment, OTHER_VIP.into(), &[first], MOVE_LIMIT)?;
    let calm = switch_over(experiment, other, (first + 1) % places)?;
    let servers = experiment.lab.group.servers();
    let marks: Vec<_> = (0..places).map(|place| logs::mark(experiment, place)).collect();
    let blocked = servers
        .iter()
        .try_for_each(group::Server::freeze)
        .map_err(Broken::from)
        // Each agent has waited for its server in vain, and goes on waiting.
        .and_then(|()| marks.iter().try_for_each(|mark| mark.wait_for(experiment, &["no answer within"])))
        .and_then(|()| switch_over(experiment, other, (first + 2) % places));
    for server in servers {
        server.thaw()?;
    }
    let (calm, blocked) = (calm.as_secs_f64(), blocked?.as_secs_f64());
    promise(blocked <= calm + BLOCKED, || {
        format!(
            "a switchover took {calm:.3} s, and {blocked:.3} s while the first cluster's servers stood still"
        )
    })?;
    let judged = Judged::of_holders(IpAddr::V4(OTHER_VIP), &experiment.recording());
    promise(judged.broken.is_empty(), || {
        format!("the other VIP: {judged}\n{}", logs::last_lines_of(experiment, group::SECOND.mysql_port))
    })?;
    Ok(format!(
        "the other VIP followed a switchover in {calm:.3} s, in {blocked:.3} s while the first servers stood still"
    ))
}

/// Makes another member primary of the other group; gives how long it took until the VIP was there.
fn switch_over(experiment: &Experiment, other: &Group, to: usize) -> Result<Duration, Broken> {
    let began_us = now_us();
    other.switch_over(to)?;
    wait_for_holders_of(experiment, OTHER_VIP.into(), &[to], MOVE_LIMIT)?;
    let host = experiment.name(to);
    let since = Instant::now();
    loop {
        let recording = experiment.recording();
        let mut all = changes(&recording, IpAddr::V4(OTHER_VIP), began_us);
        if let Some((recorded, _)) = all.find(|(recorded, there)| *there && recorded.who == host) {
            return Ok(Duration::from_micros(recorded.at_us - began_us));
        }
        promise(since.elapsed() <= MOVE_LIMIT, || format!("nobody saw the other VIP come to {host}"))?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Ends the other group, and with it all that was there for it.
fn put_back(experiment: &mut Experiment, other: &mut Group) -> Result<(), Broken> {
    other.end()?;
    reconfigure(experiment, &[LAB])?;
    for place in holders_of(&experiment.lab.segment, OTHER_VIP.into())? {
        let segment = &experiment.lab.segment;
        segment.remove_address(&segment.databases[place], OTHER_VIP)?;
    }
    Ok(())
}
