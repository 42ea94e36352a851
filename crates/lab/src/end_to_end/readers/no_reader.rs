//! No secondary is left: the reader VIPs are where `when_no_reader` says, and on the secondaries again once these are back.

use std::time::Duration;

use super::super::expect::{promise, rows_are_there};
use super::super::{Broken, UnderTest};
use super::{SOON_WELL, held, pauses, wait_until, with_readers, with_readers_anywhere};
use crate::experiment::Experiment;
use crate::record::now_us;

/// A stop is known at once; a claim takes its time on a busy machine.
const MOVED_WITHIN: Duration = Duration::from_secs(4);
/// How long it is seen to stay so.
const STAYS_FOR: Duration = Duration::from_secs(5);

/// By default the primary serves.
pub(in super::super) fn primary(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers(under_test, SOON_WELL, |under_test| stopped(under_test, "STOP GROUP_REPLICATION", true))
}

/// The same where all secondaries' servers are shut down, and started again. What the witnesses ask goes on saying "ONLINE" for seconds, though
/// no client is taken any more: they can't say who may have a VIP.
pub(in super::super) fn shut_down(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers_anywhere(under_test, SOON_WELL, |under_test| stopped(under_test, "SHUTDOWN", true))
}

/// Where the primary is to be spared, nobody serves.
pub(in super::super) fn nobody(under_test: &mut UnderTest) -> Result<String, Broken> {
    const NOBODY: &str = "reader_well_for = \"3s\"\nwhen_no_reader = \"nobody\"\n";
    with_readers(under_test, NOBODY, |under_test| stopped(under_test, "STOP GROUP_REPLICATION", false))
}

/// All secondaries are stopped by this, and healed.
fn stopped(
    under_test: &mut UnderTest,
    statement: &'static str,
    primary_serves: bool,
) -> Result<String, Broken> {
    let mut words = String::new();
    let name = format!("{statement} on all secondaries");
    let figures = under_test.experiment.watched(&name, |experiment| {
        let primary = experiment.lab.group.primary()?;
        let places = experiment.lab.segment.databases.len();
        let others: Vec<usize> = (1..places).map(|step| (primary + step) % places).collect();
        let since = now_us();
        let stopped =
            others.iter().try_for_each(|place| experiment.lab.group.servers()[*place].run(statement));
        let outcome =
            stopped.map_err(Broken::from).and_then(|()| without(experiment, primary, primary_serves, since));
        let lab = &mut experiment.lab;
        let hosts: Vec<_> = others.iter().map(|place| (*place, &lab.segment.databases[*place])).collect();
        lab.group.heal_each(&hosts)?;
        words = outcome?;
        let since = now_us();
        experiment.wait_readers()?;
        let pause = pauses(experiment, since);
        let back = Duration::from_micros(now_us() - since).as_secs_f64();
        words +=
            &format!("; on the secondaries {back:.1} s after they were back, reads paused {pause} s then");
        Ok::<_, Broken>(())
    })?;
    // Each member that leaves and joins costs the primary a moment: the rows are what is looked for.
    rows_are_there(&figures)?;
    Ok(words)
}

fn without(
    experiment: &Experiment,
    primary: usize,
    primary_serves: bool,
    since_us: u64,
) -> Result<String, Broken> {
    let wanted: Vec<usize> = if primary_serves { vec![primary] } else { Vec::new() };
    let what = if primary_serves { "the primary has all reader VIPs" } else { "nobody has a reader VIP" };
    wait_until(experiment, what, MOVED_WITHIN, |all| all.values().all(|holders| *holders == wanted))?;
    let after = Duration::from_micros(now_us() - since_us).as_secs_f64();
    // What is shown is that nothing happens in this time.
    std::thread::sleep(STAYS_FOR);
    let found = held(experiment)?;
    promise(found.values().all(|holders| *holders == wanted), || format!("{what}: no longer so: {found:?}"))?;
    let pause = pauses(experiment, since_us);
    Ok(format!("{what} {after:.1} s after the first was stopped; reads paused {pause} s"))
}
