//! What the operator has run when a VIP moves, or something is amiss.
//!
//! | file | the one idea |
//! |---|---|
//! | `hooks/words.rs` | a conflict and an ERROR: told once, by whose log has it |
//! | `hooks/limit.rs` | a hook that hangs is ended, and holds no switchover up |

pub(super) mod limit;
pub(super) mod words;

use std::time::{Duration, Instant};

use serde_json::Value;

use super::expect::{followed, promise};
use super::files::reconfigure;
use super::{Broken, UnderTest};
use crate::agents::{Cluster, INSTALL_PATH, LAB};
use crate::experiment::Experiment;
use crate::fault::Fault;

/// Each hook adds the line that it is told to this file in the agent's folder …
const TOLD: &str = "hooks";
/// … and the one of the old holder then hangs, for longer than anybody waits.
const HOOKS: &str = "on_acquire = [\"/bin/sh\", \"-c\", \"cat >>/var/lib/haipmgr/hooks\"]
on_release = [\"/bin/sh\", \"-c\", \"cat >>/var/lib/haipmgr/hooks; sleep 600\"]
hook_limit = \"300s\"
";
/// A hook is run within this after its switch: 0.7 s after a VIP came, and the history's line before that.
const RUN_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The new holder tells that the VIP came, the old one that it left, each once; and a hook that hangs for ever holds nothing up.
pub(super) fn once_for_each_switch(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    reconfigure(experiment, &[Cluster { more: HOOKS, ..LAB }])?;
    let outcome = switch_twice(experiment);
    reconfigure(experiment, &[LAB])?;
    outcome
}

fn switch_twice(experiment: &mut Experiment) -> Result<String, Broken> {
    let old = experiment.lab.wait_steady()?;
    forget(experiment);
    followed(&experiment.run(Fault::Switchover)?)?;
    let new = experiment.lab.wait_steady()?;
    for (place, hook) in [(new, "on_acquire"), (old, "on_release")] {
        let message = wait_for(experiment, place, hook)?;
        let code = &message["switch"]["code"];
        promise(code == "SWITCHOVER", || format!("{hook} is told of {code}: {message}"))?;
    }
    let told: usize = (0..experiment.lab.agents.len()).map(|place| told_on(experiment, place).len()).sum();
    promise(told == 2, || format!("{told} hooks were told of one switch, and not the two hosts' own"))?;
    let while_one_hangs = followed(&experiment.run(Fault::Switchover)?)?;
    Ok(format!("while the old holder's hook hangs: {while_one_hangs}"))
}

/// What was told so far, of the agents' start for one.
fn forget(experiment: &Experiment) {
    for host in &experiment.lab.segment.databases {
        // Where nothing was told there is no file.
        let _ = std::fs::remove_file(host.path(format!("{INSTALL_PATH}{TOLD}")));
    }
}

fn told_on(experiment: &Experiment, place: usize) -> Vec<Value> {
    let path = experiment.lab.segment.databases[place].path(format!("{INSTALL_PATH}{TOLD}"));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn wait_for(experiment: &Experiment, place: usize, hook: &str) -> Result<Value, Broken> {
    let since = Instant::now();
    loop {
        if let Some(message) = told_on(experiment, place).into_iter().find(|message| message["hook"] == hook)
        {
            return Ok(message);
        }
        promise(since.elapsed() < RUN_WITHIN, || {
            format!("{hook} was not run on db{} within {} s", place + 1, RUN_WITHIN.as_secs())
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
}
