//! What a user would notice, looked for in the figures of a fault.

use std::net::IpAddr;
use std::time::Duration;

use super::Broken;
use crate::experiment::Experiment;
use crate::measure::{Figures, Reading};
use crate::record::{Recorded, Recording, What};
use crate::segment::vip;

/// How much longer than the group's own election anything may take here. The figures that are promised are far below:
/// this is what a machine busy with other things must still keep.
const BEYOND_ELECTION: f64 = 3.0;
/// What is shown as 0.000 s. Seconds.
const NO_TIME: f64 = 0.000_5;

/// For a promise that is not kept.
pub(super) fn promise(kept: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken::NotAsPromised(what())) }
}

/// No acknowledged row was lost, and no two hosts held the VIP together.
pub(super) fn safe(figures: &Figures) -> Result<(), Broken> {
    rows_are_there(figures)?;
    let together = figures.two_holders.seconds();
    promise(together.is_some_and(|seconds| seconds < NO_TIME), || {
        format!("two hosts held the VIP together for {} s", figures.two_holders)
    })
}

/// No acknowledged row was lost.
pub(super) fn rows_are_there(figures: &Figures) -> Result<(), Broken> {
    promise(figures.lost == Some(0), || {
        figures.lost.map_or_else(
            || "the acknowledged rows were not looked for".to_owned(),
            |lost| format!("{lost} acknowledged rows of {} are lost", figures.acknowledged),
        )
    })?;
    promise(figures.acknowledged > 0, || "no row was acknowledged at all".to_owned())
}

/// [`safe`], and the VIP and the writes followed the new primary. Gives the figures in words.
pub(super) fn followed(figures: &Figures) -> Result<String, Broken> {
    safe(figures)?;
    let Some(elected) = figures.elected.seconds() else {
        return Err(Broken::NotAsPromised(format!("no other primary: elected {}", figures.elected)));
    };
    promise(figures.holder == figures.primary, || {
        format!("{:?} is primary, and {:?} took the VIP", figures.primary, figures.holder)
    })?;
    for (what, reading) in [("the VIP moved", figures.vip_moved), ("the outage is", figures.outage)] {
        let in_time = reading.seconds().is_some_and(|seconds| seconds <= elected + BEYOND_ELECTION);
        promise(in_time, || {
            format!(
                "elected after {elected:.3} s, and {what} {reading} s: more than {BEYOND_ELECTION} s later"
            )
        })?;
    }
    Ok(format!(
        "elected {}, VIP moved {}, outage {} s; {} rows, none lost",
        figures.elected, figures.vip_moved, figures.outage, figures.acknowledged
    ))
}

/// [`safe`], and no host's kernel was seen to add or remove the VIP since the fault. Gives the longest pause in words.
pub(super) fn untouched(experiment: &Experiment, figures: &Figures) -> Result<String, Broken> {
    safe(figures)?;
    let recording = experiment.recording();
    let touched: Vec<String> = changes(&recording, vip(), figures.injected_us)
        .map(|(recorded, there)| {
            let seconds = Duration::from_micros(recorded.at_us - figures.injected_us).as_secs_f64();
            format!("{} {seconds:.3} s: {}", if there { "added" } else { "removed" }, recorded.who)
        })
        .collect();
    promise(touched.is_empty(), || format!("the VIP was touched: {}", touched.join(", ")))?;
    promise(figures.vip_moved == Reading::DoesNotApply, || format!("the VIP left: {}", figures.vip_moved))?;
    Ok(format!("longest time between two rows {} s", figures.outage))
}

/// Each time from then on at which a host got (`true`) or lost the address.
pub(super) fn changes(
    recording: &Recording,
    address: IpAddr,
    since_us: u64,
) -> impl Iterator<Item = (&Recorded, bool)> {
    let change = move |recorded: &Recorded| match &recorded.what {
        What::AddressAdded(added) if added.address == address => Some(true),
        What::AddressRemoved(removed) if removed.address == address => Some(false),
        _ => None,
    };
    recording
        .all()
        .iter()
        .filter(move |recorded| recorded.at_us >= since_us)
        .filter_map(move |recorded| Some((recorded, change(recorded)?)))
}
