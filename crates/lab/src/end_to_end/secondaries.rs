//! A member that is no primary dies, or joins again: the VIP stays, and the primary soon commits at its old rate.

use super::expect::{promise, untouched};
use super::{Broken, UnderTest};
use crate::fault::Fault;

/// A proven death: MySQL's 5 s, up to two of its looks, and the agents' own; here on a machine busy with other things.
const AFTER_KILL_9: f64 = 9.0;
/// One that nothing proves: the expel timeout's 5 s more.
const AFTER_POWER_OFF: f64 = 14.0;

pub(super) fn kill_9(under_test: &mut UnderTest) -> Result<String, Broken> {
    slow_for_no_longer_than(under_test, Fault::SecondaryKill9, AFTER_KILL_9)
}

pub(super) fn power_off(under_test: &mut UnderTest) -> Result<String, Broken> {
    slow_for_no_longer_than(under_test, Fault::SecondaryPowerOff, AFTER_POWER_OFF)
}

/// How long a join takes is MySQL's alone: it is told, and no promise.
pub(super) fn rejoin(under_test: &mut UnderTest) -> Result<String, Broken> {
    Ok(slowed(under_test, Fault::Rejoin)?.1)
}

fn slow_for_no_longer_than(under_test: &mut UnderTest, fault: Fault, limit: f64) -> Result<String, Broken> {
    let (slow, words) = slowed(under_test, fault)?;
    promise(slow <= limit, || format!("{words}. Promised: slow for {limit} s at the most"))?;
    Ok(words)
}

/// For how many seconds less than half was committed; and all that was seen, in words.
fn slowed(under_test: &mut UnderTest, fault: Fault) -> Result<(f64, String), Broken> {
    let experiment = &mut under_test.experiment;
    let figures = experiment.run(fault)?;
    let words = untouched(experiment, &figures)?;
    let all = experiment.slowdowns();
    let Some(found) = all.iter().rev().find(|run| run.fault == figures.fault && !run.joining) else {
        return Err(Broken::NotAsPromised("the rate of commits was not recorded".to_owned()));
    };
    let meanwhile = found.meanwhile.map_or(String::new(), |rate| format!(" at {rate:.1} rows a second"));
    let (slow, before) = (found.slow, found.before);
    Ok((slow, format!("slow for {slow} s{meanwhile}, before: {before:.0}; {words}")))
}
