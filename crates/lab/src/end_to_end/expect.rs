//! What a user would notice, looked for in the figures of a fault.

use std::net::IpAddr;
use std::time::Duration;

use super::Broken;
use crate::experiment::Experiment;
use crate::measure::{FOLLOWS_WITHIN, Figures, kept_since};
use crate::record::{Recorded, Recording, What};
use crate::segment::vip;

/// How much longer than the group's own election writes may be away here.
const BEYOND_ELECTION: f64 = FOLLOWS_WITHIN.as_secs_f64();

/// For a promise that is not kept.
pub(super) fn promise(kept: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken::NotAsPromised(what())) }
}

/// Two hosts never had the VIP.
pub(super) fn never_two_holders(figures: &Figures) -> Result<(), Broken> {
    match figures.two_holders.seconds() {
        None | Some(0.0) => Ok(()),
        Some(_) => Err(Broken::Never(format!(
            "{}: two hosts had the VIP for {} s",
            figures.fault, figures.two_holders
        ))),
    }
}

/// No acknowledged row was lost.
pub(super) fn rows_are_there(figures: &Figures) -> Result<(), Broken> {
    if let Some(lost) = figures.lost.filter(|lost| *lost > 0) {
        return Err(Broken::Never(format!("{lost} acknowledged rows of {} are lost", figures.acknowledged)));
    }
    promise(figures.lost.is_some(), || "the acknowledged rows were not looked for".to_owned())?;
    promise(figures.acknowledged > 0, || "no row was acknowledged at all".to_owned())
}

/// [`rows_are_there`], and the VIP and the writes followed the new primary (FOLLOWS). Gives the figures in words.
pub(super) fn followed(figures: &Figures) -> Result<String, Broken> {
    rows_are_there(figures)?;
    let Some(elected) = figures.elected.seconds() else {
        return Err(Broken::NotAsPromised(format!("no other primary: elected {}", figures.elected)));
    };
    if let Some(breach) = &figures.not_followed {
        return Err(Broken::Breach(breach.clone()));
    }
    let in_time = figures.outage.seconds().is_some_and(|seconds| seconds <= elected + BEYOND_ELECTION);
    promise(in_time, || {
        format!(
            "elected after {elected:.3} s, and the outage is {} s: more than {BEYOND_ELECTION} s later",
            figures.outage
        )
    })?;
    Ok(format!(
        "elected {}, VIP moved {}, outage {} s; {} rows, none lost",
        figures.elected, figures.vip_moved, figures.outage, figures.acknowledged
    ))
}

/// [`rows_are_there`], and no host's kernel was seen to remove the VIP (NO-FLAP) or to add it since the fault. Gives the longest pause
/// in words.
pub(super) fn untouched(experiment: &Experiment, figures: &Figures) -> Result<String, Broken> {
    rows_are_there(figures)?;
    let recording = experiment.recording();
    kept_since(&recording, vip(), figures.injected_us).map_err(Broken::Breach)?;
    let touched: Vec<String> = changes(&recording, vip(), figures.injected_us)
        .map(|(recorded, there)| {
            let seconds = Duration::from_micros(recorded.at_us - figures.injected_us).as_secs_f64();
            format!("{} {seconds:.3} s: {}", if there { "added" } else { "removed" }, recorded.who)
        })
        .collect();
    promise(touched.is_empty(), || format!("the VIP was touched: {}", touched.join(", ")))?;
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
