//! The agent comes, goes and dies: the VIP does not (S7), unless nobody proves it any more. One agent per host (S4).

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use super::expect::{changes, promise, rows_are_there, untouched};
use super::network::wait_for_holders;
use super::{Broken, UnderTest, logs};
use crate::agents::CONFIGURATION;
use crate::experiment::Experiment;
use crate::host::Host;
use crate::record::now_us;
use crate::segment::vip;

const RESTARTS: usize = 20;
/// What an agent says that finds the VIP up when it starts.
pub(super) const ADOPTED: &str = "VIP is up here without this agent having started it";
/// What every agent says when it knows its host.
pub(super) const AT_WORK: &str = "stage 1 (member) passes";
/// The agent's default `lease`: by then the kernel has dropped the VIP. And a moment for a lab that is busy.
pub(super) const LEASE_LIMIT: Duration = Duration::from_millis(10_500);
/// How long a started agent may take to have the VIP up again.
const BACK_WITHIN: Duration = Duration::from_secs(3);
/// How long an agent that is refused may take to say so.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(super) fn restart(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("20 agent restarts", |experiment| {
        for _ in 0..RESTARTS {
            let holder = experiment.lab.group.primary()?;
            experiment.lab.agents[holder].stop()?;
            start_and_adopt(experiment, holder)?;
        }
        Ok::<_, Broken>(())
    })?;
    let pause = untouched(&under_test.experiment, &figures)?;
    Ok(format!("{RESTARTS} restarts, {pause}"))
}

/// Another file, as a package's new version is.
pub(super) fn upgrade(under_test: &mut UnderTest) -> Result<String, Broken> {
    // In a folder of its own each time, for the last upgrade's may still run; its name stays, by which a monitor finds it (S17).
    let folder = under_test.layout.programs().join(format!("next-{}", now_us()));
    fs::create_dir(&folder).map_err(Broken::io("can't make a folder for the agent's program"))?;
    let next = folder.join("haipmgr");
    fs::copy(under_test.layout.agent(), &next).map_err(Broken::io("can't copy the agent's program"))?;
    let figures = under_test.experiment.watched("agent upgrade", |experiment| {
        let holder = experiment.lab.group.primary()?;
        for place in 0..experiment.lab.agents.len() {
            let agent = &mut experiment.lab.agents[place];
            agent.stop()?;
            agent.set_program(&next);
            start_and_hear(experiment, place, if place == holder { ADOPTED } else { AT_WORK })?;
        }
        for agent in &experiment.lab.agents {
            let pid = agent.pid().unwrap_or_default();
            let runs = fs::read_link(format!("/proc/{pid}/exe"))
                .map_err(Broken::io("can't see which program the agent is"))?;
            promise(runs == next, || format!("the agent still is {}", runs.display()))?;
        }
        Ok::<_, Broken>(())
    })?;
    untouched(&under_test.experiment, &figures)
}

pub(super) fn killed_and_started(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("agent kill-9, started", |experiment| {
        let holder = experiment.lab.group.primary()?;
        experiment.lab.agents[holder].kill()?;
        start_and_adopt(experiment, holder)
    })?;
    untouched(&under_test.experiment, &figures)
}

/// LEASE: nobody proves that the host may hold the VIP, so it stops holding.
pub(super) fn killed(under_test: &mut UnderTest) -> Result<String, Broken> {
    let (mut gone, mut back) = (Duration::ZERO, Duration::ZERO);
    let figures = under_test.experiment.watched("agent kill-9", |experiment| {
        let holder = experiment.lab.group.primary()?;
        experiment.lab.agents[holder].kill()?;
        let killed_us = now_us();
        let outcome = wait_for_holders(experiment, &[], LEASE_LIMIT);
        let Experiment { lab, .. } = experiment;
        lab.agents[holder].start(&lab.segment.databases[holder])?;
        let started = Instant::now();
        outcome?;
        wait_for_holders(experiment, &[holder], BACK_WITHIN)?;
        back = started.elapsed();
        let recording = experiment.recording();
        let removed = changes(&recording, vip(), killed_us).find(|(_, there)| !there);
        gone = removed
            .map(|(recorded, _)| Duration::from_micros(recorded.at_us - killed_us))
            .unwrap_or_default();
        Ok::<_, Broken>(())
    })?;
    rows_are_there(&figures)?;
    let (gone, back) = (gone.as_secs_f64(), back.as_secs_f64());
    Ok(format!("the kernel dropped the VIP {gone:.1} s after the kill; back {back:.2} s after the start"))
}

pub(super) fn second_agent(under_test: &mut UnderTest) -> Result<String, Broken> {
    let lab = &under_test.experiment.lab;
    let host = &lab.segment.databases[0];
    let pid = lab.agents[0].pid().unwrap_or_default();
    let output = run_second(host, &under_test.layout.agent())?;
    let words = String::from_utf8_lossy(&output.stderr);
    promise(output.status.code() == Some(3), || format!("it ended with {}, not 3: {words}", output.status))?;
    promise(words.contains(&format!("process {pid} ")), || {
        format!("the message does not name process {pid}: {words}")
    })?;
    promise(words.lines().count() == 1, || format!("the message is more than a line: {words}"))?;
    Ok(words.trim().to_owned())
}

/// Runs another agent, which is to be refused.
pub(super) fn run_second(host: &Host, agent: &Path) -> Result<Output, Broken> {
    let failed = || Broken::io("can't run a second agent");
    let mut child = host
        .command(agent)
        .args(["run", "--config", CONFIGURATION])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed())?;
    let since = Instant::now();
    while child.try_wait().map_err(failed())?.is_none() {
        if since.elapsed() > REFUSED_WITHIN {
            // What it said is more telling than how this goes.
            let _ = child.kill();
            let output = child.wait_with_output().map_err(failed())?;
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Broken::NotAsPromised(format!("a second agent runs beside the first: {words}")));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    child.wait_with_output().map_err(failed())
}

/// Starts the holder's agent, and waits until it has seen that the VIP is up.
pub(super) fn start_and_adopt(experiment: &mut Experiment, place: usize) -> Result<(), Broken> {
    start_and_hear(experiment, place, ADOPTED)
}

/// Starts an agent, and waits until it says this.
pub(super) fn start_and_hear(experiment: &mut Experiment, place: usize, text: &str) -> Result<(), Broken> {
    let mark = logs::mark(experiment, place);
    let lab = &mut experiment.lab;
    lab.agents[place].start(&lab.segment.databases[place])?;
    mark.wait_for(experiment, &[text])
}
