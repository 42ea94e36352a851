//! Faults of agents, and what operators tell them and forget.

use std::io;
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::Told;
use super::stories::{A_MINUTE, Firing, HALF_A_MINUTE, QUIET, everywhere, quiet};
use crate::end_to_end::Broken;
use crate::end_to_end::agents::{ADOPTED, AT_WORK, start_and_hear};
use crate::end_to_end::drain::says;
use crate::end_to_end::expect::rows_are_there;
use crate::end_to_end::history::typed;
use crate::experiment::Experiment;
use crate::fault::Fault;

/// A pause that is recorded for so many seconds is told to promtool as one of so many minutes. The alert waits for an hour.
const FORGOTTEN: Duration = Duration::from_secs(66);
/// An agent that is away for no longer is no news: its alert waits for 30 s.
const TEN_SECONDS: Duration = Duration::from_secs(10);

pub(super) fn tell(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    an_hour_at_rest(told)?;
    agent_restarted(experiment, told)?;
    agent_away_shortly(experiment, told)?;
    agent_killed(experiment, told)?;
    agent_held_up(experiment, told)?;
    account_turned_away(experiment, told)?;
    pause_forgotten(experiment, told)?;
    drain_forgotten(experiment, told)
}

fn an_hour_at_rest(told: &mut Told) -> Result<(), Broken> {
    told.stretch("at rest", &[], || {
        std::thread::sleep(FORGOTTEN);
        Ok(())
    })?;
    let minutes = told.stretches.last().map(|last| last.as_minutes("the same, as an hour", &[]));
    told.stretches.extend(minutes);
    Ok(())
}

fn agent_restarted(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let holder = experiment.lab.wait_steady()?;
    told.stretch("the holder's agent restarted", &[], || {
        experiment.lab.agents[holder].stop()?;
        start_and_hear(experiment, holder, ADOPTED)?;
        std::thread::sleep(QUIET);
        Ok(())
    })
}

fn agent_killed(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let other = a_secondary(experiment)?;
    told.stretch("a secondary's agent killed", &down(experiment, other), || {
        experiment.lab.agents[other].kill()?;
        std::thread::sleep(HALF_A_MINUTE);
        Ok(())
    })?;
    start_and_hear(experiment, other, AT_WORK)?;
    quiet("its agent is back", told)
}

/// Away for as long as a host's start may take: nobody is to look at that.
fn agent_away_shortly(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let other = a_secondary(experiment)?;
    told.too_short("a secondary's agent away for ten seconds", &down(experiment, other), || {
        experiment.lab.agents[other].kill()?;
        std::thread::sleep(TEN_SECONDS);
        start_and_hear(experiment, other, AT_WORK)
    })?;
    quiet("its agent is back soon", told)
}

/// The thread that decides stands still, and the one that answers over HTTP does not: the agent is up, and decides nothing.
fn agent_held_up(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let other = a_secondary(experiment)?;
    let agent = experiment.lab.agents[other].pid();
    told.stretch("a secondary's agent whose deciding thread stands still", &down(experiment, other), || {
        held_still(agent, HALF_A_MINUTE).map_err(Broken::io("holding an agent's thread still"))
    })?;
    quiet("its agent decides again", told)
}

/// Holds a process's first thread still for so long, and no other.
fn held_still(process: Option<u32>, length: Duration) -> io::Result<()> {
    let process = process.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let process = process.ok_or(io::ErrorKind::NotFound)?;
    ptrace::seize(process, ptrace::Options::empty())?;
    ptrace::interrupt(process)?;
    // That it stands still is told here, and so not to who waits for its end.
    waitpid(process, Some(WaitPidFlag::__WALL))?;
    std::thread::sleep(length);
    Ok(ptrace::detach(process, None)?)
}

fn a_secondary(experiment: &mut Experiment) -> Result<usize, Broken> {
    Ok((experiment.lab.wait_steady()? + 1) % experiment.lab.agents.len())
}

fn down(experiment: &Experiment, place: usize) -> [Firing; 1] {
    [("HaipmgrAgentDown", Some(experiment.name(place)))]
}

/// As when somebody changes the password in the database alone.
fn account_turned_away(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let figures = experiment.watched("the agents' password no longer fits", |experiment| {
        let holder = experiment.lab.group.primary()?;
        let mut fires = everywhere("HaipmgrMemberNotReady", experiment);
        fires.push(("HaipmgrNoProof", Some(experiment.name(holder))));
        let injected = Fault::WrongPassword.inject(&mut experiment.lab.scene())?;
        let recorded = told.stretch("the agents' password no longer fits", &fires, || {
            std::thread::sleep(A_MINUTE);
            Ok(())
        });
        injected.heal(&mut experiment.lab.scene())?;
        recorded
    })?;
    rows_are_there(&figures)?;
    quiet("it fits again", told)
}

fn pause_forgotten(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let paused = ["pause", "--for", "3h", "--reason", "recorded"];
    told.stretch("a pause of a minute", &[], || {
        says(&typed(experiment, 0, &paused)?, 0, "confirmed")?;
        std::thread::sleep(FORGOTTEN);
        Ok(())
    })?;
    says(&typed(experiment, 0, &["resume"])?, 0, "resumed")?;
    let fires = everywhere("HaipmgrPaused", experiment);
    let minutes = told.stretches.last().map(|last| last.as_minutes("the same, as one of an hour", &fires));
    told.stretches.extend(minutes);
    quiet("resumed", told)
}

/// On a host that is not the primary's: no switchover is needed.
fn drain_forgotten(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let other = a_secondary(experiment)?;
    told.stretch("a drain of a minute", &[], || {
        says(&typed(experiment, other, &["drain"])?, 0, "no switchover is needed")?;
        std::thread::sleep(FORGOTTEN);
        Ok(())
    })?;
    says(&typed(experiment, other, &["undrain"])?, 0, "undrained")?;
    let fires = [("HaipmgrPaused", Some(experiment.name(other)))];
    let minutes = told.stretches.last().map(|last| last.as_minutes("the same, as one of an hour", &fires));
    told.stretches.extend(minutes);
    quiet("undrained", told)
}
