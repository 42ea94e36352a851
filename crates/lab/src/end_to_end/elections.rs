//! A dead primary is replaced sooner than MySQL would by itself, and what was changed for that is put back (RESTORED).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use super::expect::{followed, promise, rows_are_there};
use super::files::reconfigure;
use super::{Broken, UnderTest, logs};
use crate::agents::{Cluster, INSTALL_PATH, LAB};
use crate::experiment::Experiment;
use crate::fault::{Fault, holders};
use crate::measure::Figures;

/// An election after a death that was proven takes the group 6 to 7 s: 5 s until its detector looks up, up to 1 s until it
/// looks, and 1 s for the new view. One that waits for the expel timeout takes 11. Seconds.
const PROVEN_DEAD: f64 = 9.0;
/// The configured `group_replication_member_expel_timeout`, MySQL's default, and the detector's 5 s before it.
pub(super) const PATIENCE: f64 = 5.0 + 5.0;
/// The configured value.
const CONFIGURED: u32 = 5;
/// How long a survivor may take to have the timeout changed.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);
/// After the group has gone on without the dead member nothing is changed on its account any more; an order may be under way.
const LAST_ORDERS_WITHIN: Duration = Duration::from_secs(1);
/// How long a started agent may take to put it back.
const BACK_LIMIT: Duration = Duration::from_secs(5);
/// How long the survivors may take to have a primary that holds the VIP, with an agent or two just started.
const MOVE_LIMIT: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) fn proven(figures: &Figures) -> Result<String, Broken> {
    let told = followed(figures)?;
    promise(figures.elected.seconds().is_some_and(|seconds| seconds <= PROVEN_DEAD), || {
        format!("elected only after {} s: the death was not proven", figures.elected)
    })?;
    Ok(told)
}

/// An agent knows nothing when it starts: it has to find out at once whose ports are open.
pub(super) fn kill_9_after_agent_restarts(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    experiment.lab.wait_steady()?;
    let lab = &mut experiment.lab;
    for (agent, host) in lab.agents.iter_mut().zip(&lab.segment.databases) {
        agent.stop()?;
        agent.start(host)?;
    }
    proven(&experiment.run(Fault::Kill9)?)
}

/// Without power a host refuses nothing: only the fence command knows that it is dead. In the lab it is.
pub(super) fn power_off_fenced(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = power_off_with(under_test, "test $# = 2", "its host is dead")?;
    proven(&figures)
}

/// It proves nothing, so the operator's patience is kept.
pub(super) fn power_off_fence_fails(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = power_off_with(under_test, "exit 1", "fence_command failed")?;
    let told = followed(&figures)?;
    promise(figures.elected.seconds().is_some_and(|seconds| seconds >= PATIENCE), || {
        format!("elected after {} s, though nothing was proven", figures.elected)
    })?;
    Ok(told)
}

fn power_off_with(under_test: &mut UnderTest, fence: &'static str, says: &str) -> Result<Figures, Broken> {
    let experiment = &mut under_test.experiment;
    reconfigure(experiment, &[Cluster { fence: Some(fence), ..LAB }])?;
    let victim = experiment.lab.wait_steady()?;
    let survivors = others(experiment, victim);
    let marks: Vec<_> = survivors.iter().map(|place| logs::mark(experiment, *place)).collect();
    let outcome = experiment.run(Fault::PowerOff).map_err(Broken::from).and_then(|figures| {
        logs::wait_for_any(&marks, experiment, &["running fence_command", says])?;
        Ok(figures)
    });
    reconfigure(experiment, &[LAB])?;
    outcome
}

/// `silent_host = "expel"`: without power a host is silent in the group and by ARP, and its group does without MySQL's patience.
pub(super) fn power_off_of_a_silent_host(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    let all: Vec<_> = (0..experiment.lab.agents.len()).collect();
    let marks: Vec<_> = all.iter().map(|place| logs::mark(experiment, *place)).collect();
    let figures = experiment.run_expelling_silent_hosts(Fault::PowerOff)?;
    let told = proven(&figures)?;
    let said =
        marks.iter().filter(|mark| mark.since(experiment).contains("its host answers nothing")).count();
    promise(said > 0, || "no survivor says that the host is silent".to_owned())?;
    Ok(told)
}

/// The same setting, and every host in turn is away for 3 s: nobody is expelled, and nothing is touched.
pub(super) fn blip_where_silent_hosts_go(under_test: &mut UnderTest) -> Result<String, Broken> {
    reconfigure(&mut under_test.experiment, &[Cluster { silent_hosts_go: true, ..LAB }])?;
    let all: Vec<_> = (0..under_test.experiment.lab.agents.len()).collect();
    let marks: Vec<_> = all.iter().map(|place| logs::mark(&under_test.experiment, *place)).collect();
    let outcome = super::network::short_cut(under_test);
    let said: String = marks.iter().map(|mark| mark.since(&under_test.experiment)).collect();
    let said: Vec<&str> = said.lines().filter(|line| line.contains("to expel it")).collect();
    reconfigure(&mut under_test.experiment, &[LAB])?;
    let told = outcome?;
    promise(said.is_empty(), || {
        format!("an agent told the group to expel a member that was away for 3 s:\n{}", said.join("\n"))
    })?;
    Ok(told)
}

/// RESTORED, whatever comes first: the agent's next start, or the member that was expelled.
pub(super) fn expel_timeout_is_restored(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut put_back = 0;
    let figures = under_test.experiment.watched("agents kill-9 while they expel", |experiment| {
        let victim = experiment.lab.wait_steady()?;
        let survivors = others(experiment, victim);
        if let Some(server) = experiment.lab.group.server_mut(victim) {
            server.kill()?;
        }
        let outcome = kill_agents_that_expel(experiment, victim, &survivors).and_then(|killed| {
            let (at_once, later) = killed.split_at(1);
            start_and_restore(experiment, at_once)?;
            elected_meanwhile(experiment, victim)?;
            Ok(later.to_vec())
        });
        let Experiment { lab, .. } = experiment;
        lab.group.heal(victim, &lab.segment.databases[victim])?;
        let last = outcome.and_then(|later| {
            // The member is back, and this server still has not its patience.
            promise(later.iter().all(|place| file(experiment, *place).exists()), || {
                "the value to be put back is not on disk any more".to_owned()
            })?;
            start_and_restore(experiment, &later)?;
            put_back = 1 + later.len();
            Ok(())
        });
        let Experiment { lab, .. } = experiment;
        for place in survivors {
            lab.agents[place].start(&lab.segment.databases[place])?;
        }
        last
    })?;
    rows_are_there(&figures)?;
    Ok(if put_back > 1 {
        "put back by an agent that was started at once, and by one that was started when all were ONLINE"
    } else {
        "put back by an agent that was started at once; the other's server learnt of the death with the new view"
    }
    .to_owned())
}

/// Each as soon as its server has the timeout 0, which it has for less than a second. Gives whose they were. Each server's own detector
/// looks once a second: one that looks last may learn of the death just as the others' group has gone on, and has nothing to change.
fn kill_agents_that_expel(
    experiment: &mut Experiment,
    victim: usize,
    survivors: &[usize],
) -> Result<Vec<usize>, Broken> {
    let since = Instant::now();
    let (mut left, mut killed) = (survivors.to_vec(), Vec::new());
    let mut went_on: Option<Instant> = None;
    while !left.is_empty() {
        if !killed.is_empty() && experiment.lab.group.primary().is_ok_and(|primary| primary != victim) {
            let since = *went_on.get_or_insert_with(Instant::now);
            if since.elapsed() > LAST_ORDERS_WITHIN {
                break;
            }
        }
        promise(since.elapsed() <= CHANGE_LIMIT, || {
            let names: Vec<_> = left.iter().map(|place| experiment.name(*place)).collect();
            format!(
                "{names:?}: the expel timeout is not changed {} s after the fault",
                CHANGE_LIMIT.as_secs()
            )
        })?;
        for place in left.clone() {
            if expel_timeout(experiment, place)? == 0 {
                experiment.lab.agents[place].kill()?;
                left.retain(|other| *other != place);
                killed.push(place);
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    for place in &killed {
        promise(expel_timeout(experiment, *place)? == 0 && file(experiment, *place).exists(), || {
            format!("{}: the agent was killed too late to leave anything behind", experiment.name(*place))
        })?;
    }
    Ok(killed)
}

fn start_and_restore(experiment: &mut Experiment, places: &[usize]) -> Result<(), Broken> {
    for place in places {
        let mark = logs::mark(experiment, *place);
        let Experiment { lab, .. } = experiment;
        lab.agents[*place].start(&lab.segment.databases[*place])?;
        let since = Instant::now();
        while expel_timeout(experiment, *place)? != CONFIGURED || file(experiment, *place).exists() {
            promise(since.elapsed() <= BACK_LIMIT, || {
                format!("{}: the agent does not put the expel timeout back", experiment.name(*place))
            })?;
            std::thread::sleep(LOOK_EVERY);
        }
        let says = format!("putting group_replication_member_expel_timeout back to {CONFIGURED}");
        mark.wait_for(experiment, &[&says])?;
    }
    Ok(())
}

/// What the dead agents have asked for, the group does: there is a new primary, wherever.
fn elected_meanwhile(experiment: &Experiment, victim: usize) -> Result<(), Broken> {
    let since = Instant::now();
    while experiment.lab.group.primary().ok().is_none_or(|primary| primary == victim) {
        promise(since.elapsed() <= MOVE_LIMIT, || {
            format!("no new primary. Holders: {:?}", holders(&experiment.lab.segment).unwrap_or_default())
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn others(experiment: &Experiment, victim: usize) -> Vec<usize> {
    (0..experiment.lab.agents.len()).filter(|place| *place != victim).collect()
}

fn expel_timeout(experiment: &Experiment, place: usize) -> Result<u32, Broken> {
    let server = &experiment.lab.group.servers()[place];
    let statement = "SELECT @@GLOBAL.group_replication_member_expel_timeout";
    let found: Option<u32> = server.admin()?.query_first(statement).map_err(server.said(statement))?;
    Ok(found.unwrap_or_default())
}

/// Where its agent keeps the value that is to be put back.
fn file(experiment: &Experiment, place: usize) -> PathBuf {
    experiment.lab.segment.databases[place].path(format!("{INSTALL_PATH}expel_timeout_3306"))
}
