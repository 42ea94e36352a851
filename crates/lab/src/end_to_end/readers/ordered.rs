//! What an operator asks for: a switchover, a drain, a pause, an agent that is started anew.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use super::super::agents::{AT_WORK, start_and_hear};
use super::super::drain::says;
use super::super::expect::{followed, promise, untouched};
use super::super::reload::typed;
use super::super::{Broken, UnderTest};
use super::{
    SOON_WELL, a_reader, held, moved, none_moved, pauses, wait_until, with_readers, with_readers_anywhere,
};
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::record::now_us;

/// How long a reader VIP may take to leave a host that gives it away, in seconds.
const GIVEN_AWAY_WITHIN: f64 = 1.0;
/// The same, waited for.
const MOVED_WITHIN: Duration = Duration::from_secs(4);
/// How long readers may pause for a move that was ordered, in seconds, on a busy machine.
const PAUSE: f64 = 1.0;
/// The same where nothing moves: a machine that other things keep busy holds its clients up too.
const NO_PAUSE: f64 = 1.0;
const RESTARTS: usize = 5;
/// Each member becomes the primary once.
const SWITCHOVERS: usize = 3;
/// For how long something that is not to happen is waited for.
const NOTHING_FOR: Duration = Duration::from_secs(4);

/// Pauses of reads are no longer than this since that moment.
fn paused_at_most(experiment: &Experiment, since_us: u64, limit: f64) -> Result<String, Broken> {
    let pause = pauses(experiment, since_us);
    let short = pause.seconds().is_none_or(|seconds| seconds <= limit);
    promise(short && !matches!(pause, crate::measure::Reading::Never(_)), || {
        format!("reads paused {pause} s, {limit} s is the limit")
    })?;
    Ok(format!("longest time between two reads {pause} s"))
}

/// The member that becomes the primary gives its reader VIPs away, the old primary has its share, and nothing else moves: each time.
pub(in super::super) fn switchover(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers(under_test, SOON_WELL, |under_test| {
        let rounds: Vec<String> =
            (0..SWITCHOVERS).map(|_| one_switchover(&mut under_test.experiment)).collect::<Result<_, _>>()?;
        Ok(rounds.join("; "))
    })
}

fn one_switchover(experiment: &mut Experiment) -> Result<String, Broken> {
    let old = experiment.lab.wait_steady()?;
    let new = (old + 1) % experiment.lab.segment.databases.len();
    let before = held(experiment)?;
    let its: BTreeSet<IpAddr> =
        before.iter().filter(|(_, holders)| holders.contains(&new)).map(|(vip, _)| *vip).collect();
    let figures = experiment.run(Fault::Switchover)?;
    experiment.wait_readers()?;
    let words = followed(&figures)?;
    let all = moved(experiment, figures.injected_us);
    let moved: BTreeSet<IpAddr> = all.iter().map(|(vip, _)| *vip).collect();
    promise(moved == its, || {
        format!("{its:?} were on the new primary, and {moved:?} moved; before: {before:?}")
    })?;
    let elected = figures.elected.seconds().unwrap_or_default();
    let longest = all.iter().map(|(_, after)| after - elected).fold(0.0, f64::max);
    promise(longest <= GIVEN_AWAY_WITHIN, || {
        format!("a reader VIP left the new primary only {longest:.3} s after it led")
    })?;
    let pause = paused_at_most(experiment, figures.injected_us, PAUSE)?;
    Ok(format!("{words}; its reader VIPs elsewhere {longest:.3} s after it led; {pause}"))
}

/// The agents of the readers' hosts are started anew, and then upgraded: nothing moves, and readers notice nothing.
pub(in super::super) fn agent_restart(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers(under_test, SOON_WELL, |under_test| {
        let folder = under_test.layout.programs().join(format!("readers-next-{}", now_us()));
        fs::create_dir(&folder).map_err(Broken::io("can't make a folder for the agent's program"))?;
        let next = folder.join("haipmgr");
        fs::copy(under_test.layout.agent(), &next).map_err(Broken::io("can't copy the agent's program"))?;
        let mut pause = String::new();
        let figures =
            under_test.experiment.watched("readers' agents restarted and upgraded", |experiment| {
                let primary = experiment.lab.group.primary()?;
                let since = now_us();
                for round in 0..RESTARTS {
                    for place in (0..experiment.lab.agents.len()).filter(|place| *place != primary) {
                        experiment.lab.agents[place].stop()?;
                        if round + 1 == RESTARTS {
                            experiment.lab.agents[place].set_program(&next);
                        }
                        start_and_hear(experiment, place, AT_WORK)?;
                    }
                }
                std::thread::sleep(NOTHING_FOR);
                none_moved(experiment, since)?;
                pause = paused_at_most(experiment, since, NO_PAUSE)?;
                Ok::<_, Broken>(())
            })?;
        untouched(&under_test.experiment, &figures)?;
        Ok(format!("{RESTARTS} rounds, the last with another program: nothing moved; {pause}"))
    })
}

/// A drained host has no reader VIP, until it is undrained.
pub(in super::super) fn drain(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers(under_test, SOON_WELL, |under_test| {
        let mut words = String::new();
        let figures = under_test.experiment.watched("a reader is drained", |experiment| {
            let drained = a_reader(experiment)?;
            let since = now_us();
            let said = typed(experiment, drained, &["drain"]);
            let gone = wait_until(experiment, "the drained host has no reader VIP", MOVED_WITHIN, |all| {
                all.values().all(|holders| holders.len() == 1 && holders[0] != drained)
            });
            std::thread::sleep(NOTHING_FOR);
            let stays = held(experiment)?.values().all(|holders| !holders.contains(&drained));
            let pause = paused_at_most(experiment, since, PAUSE);
            let undrained = typed(experiment, drained, &["undrain"]);
            let gone = gone?;
            says(&said?, 0, "")?;
            says(&undrained?, 0, "undrained")?;
            promise(stays, || "the drained host has a reader VIP again".to_owned())?;
            experiment.wait_readers()?;
            words = format!("gone {:.2} s after the command began; {}", gone.as_secs_f64(), pause?);
            Ok::<_, Broken>(())
        })?;
        untouched(&under_test.experiment, &figures)?;
        Ok(words)
    })
}

/// While the whole cluster is paused a dead reader's VIP stays where it is; it moves when the cluster is resumed.
pub(in super::super) fn pause(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers_anywhere(under_test, SOON_WELL, |under_test| {
        let mut words = String::new();
        let figures = under_test.experiment.watched("a reader dies while paused", |experiment| {
            let primary = experiment.lab.group.primary()?;
            let dead = a_reader(experiment)?;
            says(
                &typed(experiment, primary, &["pause", "--for", "10m", "--reason", "a test"])?,
                0,
                "confirmed",
            )?;
            let since = now_us();
            if let Some(server) = experiment.lab.group.server_mut(dead) {
                server.kill()?;
            }
            std::thread::sleep(NOTHING_FOR);
            let stayed = none_moved(experiment, since);
            // Its server can't tell the dead one's agent.
            let resumed = typed(experiment, primary, &["resume"]);
            let told = typed(experiment, dead, &["resume", "--host"]);
            let follows = wait_until(experiment, "the dead reader's VIP is elsewhere", MOVED_WITHIN, |all| {
                all.values().all(|holders| holders.len() == 1 && holders[0] != dead)
            });
            let lab = &mut experiment.lab;
            lab.group.heal(dead, &lab.segment.databases[dead])?;
            stayed?;
            resumed?;
            says(&told?, 0, "resumed")?;
            words =
                format!("it stayed, and moved {:.2} s after the cluster was resumed", follows?.as_secs_f64());
            experiment.wait_readers()?;
            Ok::<_, Broken>(())
        })?;
        untouched(&under_test.experiment, &figures)?;
        Ok(words)
    })
}
