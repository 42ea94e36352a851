//! `on_conflict` and `on_trouble`: what is no switch. Told once, by the host whose log has the line, and in its words.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::contested::claim_the_vip;
use super::super::expect::{followed, promise, rows_are_there};
use super::super::files::reconfigure;
use super::super::{Broken, UnderTest, logs};
use super::{forget, told_on, wait_for};
use crate::agents::{Cluster, LAB};
use crate::experiment::Experiment;
use crate::fault::Fault;

/// All four, into one file: they are run one after the other, so whoever is told of a later thing has been told all before it.
const HOOKS: &str = "on_acquire = [\"/bin/sh\", \"-c\", \"cat >>/var/lib/haipmgr/hooks\"]
on_release = [\"/bin/sh\", \"-c\", \"cat >>/var/lib/haipmgr/hooks\"]
on_conflict = [\"/bin/sh\", \"-c\", \"cat >>/var/lib/haipmgr/hooks\"]
on_trouble = [\"/bin/sh\", \"-c\", \"cat >>/var/lib/haipmgr/hooks\"]
";
const KEYS: [&str; 8] = ["at", "cluster", "format", "hook", "host", "sentence", "switch", "vip"];
/// The stranger claims the VIP so often, and waits in between: the same is told once, however often it is seen.
const CLAIMS: usize = 4;
const CLAIM_EVERY: Duration = Duration::from_millis(700);

/// Each of four claims of a machine that is no member is one conflict to the holder's log, and so one hook.
pub(in super::super) fn conflict(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_hooks(under_test, |experiment, holder| {
        let since = Timestamp::now();
        let mark = logs::mark(experiment, holder);
        let figures = experiment.watched("a stranger claims the VIP, with hooks", |experiment| {
            for _ in 0..CLAIMS {
                claim_the_vip(&experiment.lab.segment.gateway)?;
                std::thread::sleep(CLAIM_EVERY);
            }
            Ok::<_, Broken>(())
        })?;
        rows_are_there(&figures)?;
        let message = wait_for(experiment, holder, "on_conflict")?;
        is_of_no_switch(experiment, &message, holder, "no member's interface, uses the VIP", since)?;
        let lines = mark.since(experiment).matches("no member's interface, uses the VIP").count();
        // What comes after it in the same file.
        followed(&experiment.run(Fault::Switchover)?)?;
        wait_for(experiment, holder, "on_release")?;
        told_once(experiment, holder, "on_conflict")?;
        Ok(format!("{CLAIMS} claims, {lines} line of the log, one hook: {}", message["sentence"]))
    })
}

/// A VIP that somebody removes is an ERROR to the holder's log, and so one hook, before those of the switch that it is.
pub(in super::super) fn trouble(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_hooks(under_test, |experiment, holder| {
        let since = Timestamp::now();
        rows_are_there(&experiment.run(Fault::VipRemovedByHand)?)?;
        let message = wait_for(experiment, holder, "on_trouble")?;
        is_of_no_switch(experiment, &message, holder, "haipmgr did not remove it", since)?;
        let back = wait_for(experiment, holder, "on_acquire")?;
        let code = &back["switch"]["code"];
        promise(code == "REMOVED_BY_HAND", || format!("on_acquire is told of {code}: {back}"))?;
        told_once(experiment, holder, "on_trouble")?;
        Ok(format!("one ERROR, one hook: {}", message["sentence"]))
    })
}

fn with_hooks(
    under_test: &mut UnderTest,
    work: impl FnOnce(&mut Experiment, usize) -> Result<String, Broken>,
) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    reconfigure(experiment, &[Cluster { more: HOOKS, ..LAB }])?;
    let holder = experiment.lab.wait_steady()?;
    forget(experiment);
    let outcome = work(experiment, holder);
    reconfigure(experiment, &[LAB])?;
    outcome
}

/// All of what it says (docs/hook.schema.json), and that it says no more.
fn is_of_no_switch(
    experiment: &Experiment,
    message: &Value,
    holder: usize,
    words: &str,
    since: Timestamp,
) -> Result<(), Broken> {
    let (at, sentence) = (message["at"].as_str(), message["sentence"].as_str());
    let expected = json!({
        "format": 1, "hook": message["hook"], "at": at, "host": experiment.name(holder), "cluster": LAB.name,
        "vip": null, "sentence": sentence, "switch": null,
    });
    let keys = message.as_object().map(|object| object.keys().map(String::as_str).collect::<Vec<_>>());
    let sorted = keys.map(|mut keys| {
        keys.sort_unstable();
        keys
    });
    promise(*message == expected && sorted.as_deref() == Some(&KEYS), || {
        format!("it is told {message}, and not {expected}")
    })?;
    promise(sentence.is_some_and(|sentence| sentence.contains(words)), || {
        format!("the sentence says nothing of {words:?}: {message}")
    })?;
    let at: Option<Timestamp> = at.and_then(|at| at.parse().ok());
    let millisecond = |at: Timestamp| at.as_millisecond();
    let between = millisecond(since)..=millisecond(Timestamp::now());
    promise(at.is_some_and(|at| between.contains(&millisecond(at))), || {
        format!("it is told of another time: {message}")
    })
}

/// By the holder, and by nobody else.
fn told_once(experiment: &Experiment, holder: usize, hook: &str) -> Result<(), Broken> {
    let count =
        |place: usize| told_on(experiment, place).iter().filter(|message| message["hook"] == hook).count();
    let counts: Vec<usize> = (0..experiment.lab.agents.len()).map(count).collect();
    let as_promised = counts.iter().enumerate().all(|(place, count)| *count == usize::from(place == holder));
    promise(as_promised, || {
        format!("{hook} was told by the hosts {counts:?} times, and not once by {}", experiment.name(holder))
    })
}
