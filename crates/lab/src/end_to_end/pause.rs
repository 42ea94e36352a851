//! `haipmgr pause` and `resume`, of the whole cluster and of one host.

use std::process::Output;
use std::time::{Duration, Instant};

use super::agents::start_and_hear;
use super::drain::says;
use super::expect::{followed, promise, rows_are_there};
use super::network::wait_for_holders;
use super::{Broken, UnderTest, logs};
use crate::experiment::Experiment;
use crate::fault::holders;

/// For how long hosts that are to take nothing are watched.
const NOTHING_FOR: Duration = Duration::from_secs(2);
/// How long the VIP may take to leave a host, or to be where it belongs.
const MOVED_WITHIN: Duration = Duration::from_secs(3);
/// MySQL's own time, for nobody is expelled sooner while the cluster is paused; and some.
const ELECTED_WITHIN: Duration = Duration::from_secs(40);
/// A pause that ends by itself, in the agents' words and as a length.
const SHORT: (&str, Duration) = ("6s", Duration::from_secs(6));

fn typed(experiment: &Experiment, on: usize, arguments: &[&str]) -> Result<Output, Broken> {
    Ok(experiment.lab.agents[on].command(&experiment.lab.segment.databases[on], arguments)?)
}

/// The whole cluster is paused, and the primary's server dies: the group elects another, and the VIP stays where it is, until the cluster
/// is resumed.
pub(super) fn cluster_then_kill_9(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut moved = Duration::ZERO;
    let figures = under_test.experiment.dethroning("kill -9 while paused", |experiment, deed| {
        let old = experiment.lab.group.primary()?;
        let other = (old + 1) % experiment.lab.segment.databases.len();
        let marks: Vec<_> =
            (0..experiment.lab.agents.len()).map(|place| logs::mark(experiment, place)).collect();
        let paused = typed(experiment, other, &["pause", "--for", "10m", "--reason", "it's a test"])?;
        let elected = heard_everywhere(experiment, &paused, &marks).and_then(|()| {
            if let Some(server) = experiment.lab.group.server_mut(old) {
                server.kill()?;
            }
            stays_until_elected(experiment, old)
        });
        let resumed = typed(experiment, other, &["resume"]);
        let follows = elected.and_then(|primary| {
            moved = wait_for_holders(experiment, &[primary], MOVED_WITHIN)?;
            Ok(())
        });
        experiment.heals(deed);
        // Its server can't tell it.
        let told = typed(experiment, old, &["resume", "--host"]);
        let lab = &mut experiment.lab;
        lab.group.heal(old, &lab.segment.databases[old])?;
        follows?;
        says(&resumed?, 1, "NOT confirmed")?;
        says(&told?, 0, "resumed")
    })?;
    rows_are_there(&figures)?;
    Ok(format!("the VIP stayed until the cluster was resumed, and moved {:.2} s later", moved.as_secs_f64()))
}

fn heard_everywhere(experiment: &Experiment, paused: &Output, marks: &[logs::Mark]) -> Result<(), Broken> {
    says(paused, 0, "confirmed")?;
    says(paused, 0, "it's a test")?;
    marks
        .iter()
        .try_for_each(|mark| mark.wait_for(experiment, &["paused (the whole cluster) until", "it's a test"]))
}

/// Until another leads, and for a while after that, the VIP is on this host alone.
fn stays_until_elected(experiment: &Experiment, old: usize) -> Result<usize, Broken> {
    let since = Instant::now();
    let mut led = None;
    loop {
        let there = holders(&experiment.lab.segment)?;
        promise(there == [old], || format!("paused, and the VIP is on {there:?} and not on {old}"))?;
        match (led, experiment.lab.group.primary()) {
            (Some((primary, at)), _) if Instant::now().duration_since(at) >= NOTHING_FOR => {
                return Ok(primary);
            }
            (None, Ok(primary)) if primary != old => led = Some((primary, Instant::now())),
            _ => {}
        }
        promise(since.elapsed() <= ELECTED_WITHIN, || "the group elects no other primary".to_owned())?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One host is paused for a while, and its agent is started anew meanwhile: it takes no VIP though its server becomes the primary, until the
/// pause is over by itself.
pub(super) fn ends_by_itself(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures =
        under_test.experiment.dethroning("a paused host's server made the primary", |experiment, deed| {
            let old = experiment.lab.group.primary()?;
            let next = (old + 1) % experiment.lab.segment.databases.len();
            let since = Instant::now();
            says(&typed(experiment, next, &["pause", "--host", "--for", SHORT.0])?, 0, "paused until")?;
            experiment.lab.agents[next].stop()?;
            start_and_hear(experiment, next, "still paused (this host) until")?;
            experiment.lab.group.switch_over(next)?;
            wait_for_holders(experiment, &[], MOVED_WITHIN)?;
            wait_for_holders(experiment, &[next], SHORT.1 + MOVED_WITHIN)?;
            let after = since.elapsed();
            experiment.heals(deed);
            promise(after >= SHORT.1, || {
                format!("paused for {}, and the VIP is taken after {after:?}", SHORT.0)
            })
        })?;
    rows_are_there(&figures)?;
    Ok(format!("nobody held the VIP for {} s, until the pause was over", figures.unheld))
}

/// The holder's host is paused, and the primary moves: the claim is yielded to as ever.
pub(super) fn holder_yields(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures =
        under_test.experiment.dethroning("switchover from a paused holder", |experiment, deed| {
            let old = experiment.lab.group.primary()?;
            let next = (old + 1) % experiment.lab.segment.databases.len();
            says(&typed(experiment, old, &["pause", "--host"])?, 0, "paused until")?;
            experiment.lab.group.switch_over(next)?;
            let outcome = experiment.wait_followed(old);
            experiment.heals(deed);
            let resumed = typed(experiment, old, &["resume", "--host"])?;
            outcome?;
            says(&resumed, 0, "resumed")
        })?;
    let words = followed(&figures)?;
    promise(figures.two_holders.seconds().is_none_or(|seconds| seconds == 0.0), || {
        format!("two hosts had the VIP for {} s", figures.two_holders)
    })?;
    Ok(format!("{words}; two holders {} s", figures.two_holders))
}
