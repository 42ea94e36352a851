//! A hook that hangs: after `hook_limit` it is ended with all that it has started, that is said and counted, and no switchover waits for it.

use std::fs;
use std::time::{Duration, Instant};

use super::super::alerts::scrape;
use super::super::expect::{followed, promise};
use super::super::files::reconfigure;
use super::super::{Broken, UnderTest, logs};
use super::{LOOK_EVERY, forget, told_on, wait_for};
use crate::agents::{Cluster, LAB};
use crate::experiment::Experiment;
use crate::fault::Fault;

/// The old holder's reads nothing, and hangs in what it has started.
const HOOKS: &str = "on_acquire = [\"/bin/sh\", \"-c\", \"cat >>/var/lib/haipmgr/hooks\"]
on_release = [\"/bin/sh\", \"-c\", \"sleep 31557 & wait\"]
hook_limit = \"2s\"
";
const ABOVE: &str = "listen = \"127.0.0.1:9640\"\n";
const LIMIT: Duration = Duration::from_secs(2);
/// In the command line of the hook, and of what it has started: nobody else sleeps for so long.
const ITS_MARK: &str = "31557";
const HUNG: usize = 2;
/// By then a hook that was begun is seen, and one that is over its time is gone.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// While it hangs the switchover is done; then it is gone.
pub(in super::super) fn ended(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    experiment.configure_agents_under(ABOVE, Cluster { more: HOOKS, ..LAB })?;
    let outcome = switch(experiment);
    reconfigure(experiment, &[LAB])?;
    outcome
}

fn switch(experiment: &mut Experiment) -> Result<String, Broken> {
    let old = experiment.lab.wait_steady()?;
    forget(experiment);
    let mark = logs::mark(experiment, old);
    promise(counted(experiment, old)? == ["failed 0", "not_run 0", "succeeded 0"], || {
        format!("{} has counted a hook before there was any", experiment.name(old))
    })?;
    let watching = std::thread::spawn(watch);
    let figures = experiment.run(Fault::Switchover)?;
    let moved = followed(&figures)?;
    promise(figures.vip_moved.seconds().is_some_and(|seconds| seconds < LIMIT.as_secs_f64()), || {
        format!("the VIP moved after {} s: no sooner than the hook was ended", figures.vip_moved)
    })?;
    let lasted = watching.join().map_err(|_| Broken::NotAsPromised("nobody watched the hook".to_owned()))?;
    let lasted = lasted.map_err(Broken::NotAsPromised)?;
    mark.wait_for(experiment, &["on_release failed: /bin/sh was ended after 2 s (hook_limit)"])?;
    let counts = counted(experiment, old)?;
    promise(counts == ["failed 1", "not_run 0", "succeeded 0"], || {
        format!("{} counts {counts:?}", experiment.name(old))
    })?;
    let new = experiment.lab.wait_steady()?;
    wait_for(experiment, new, "on_acquire")?;
    promise(told_on(experiment, new).len() == 1, || format!("told was {:?}", told_on(experiment, new)))?;
    Ok(format!("the hook hung for {:.1} s meanwhile: {moved}", lasted.as_secs_f64()))
}

/// Waits until the hook and what it has started run, and until neither does; gives how long they ran.
fn watch() -> Result<Duration, String> {
    // A switchover waits for writes before it begins, and so the hook does.
    let begun = wait_until_so_many(HUNG, SEEN_WITHIN * 6)?;
    let ended = wait_until_so_many(0, LIMIT + SEEN_WITHIN)?;
    let lasted = ended - begun;
    // It had begun when it was first seen.
    if lasted + 2 * LOOK_EVERY < LIMIT {
        return Err(format!("the hook was ended after {} s already", lasted.as_secs_f64()));
    }
    Ok(lasted)
}

fn wait_until_so_many(wanted: usize, limit: Duration) -> Result<Instant, String> {
    let since = Instant::now();
    loop {
        let found = hung();
        if found == wanted {
            return Ok(Instant::now());
        }
        if since.elapsed() > limit {
            return Err(format!("{found} of the hook's processes run, {wanted} should"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// How many of the hook's processes run: the lab sees those of all hosts.
fn hung() -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    // One that ends while it is looked at is gone.
    let commands = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    commands.filter(|command| command.contains(ITS_MARK)).count()
}

/// What came of `on_release`, as the agent counts it.
fn counted(experiment: &Experiment, place: usize) -> Result<Vec<String>, Broken> {
    let since = Instant::now();
    let text = loop {
        if let Some(text) = experiment.lab.segment.databases[place].in_network(scrape)? {
            break text;
        }
        // It has just been started.
        promise(since.elapsed() < SEEN_WITHIN, || "/metrics is not answered".to_owned())?;
        std::thread::sleep(LOOK_EVERY);
    };
    let prefix = "haipmgr_hooks_total{cluster=\"lab\",hook=\"on_release\",outcome=\"";
    let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
    let mut found: Vec<String> = lines.map(|line| line.replace("\"}", "")).collect();
    found.sort();
    Ok(found)
}
