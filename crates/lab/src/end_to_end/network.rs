//! What a network can do to a host: be away for a moment, carry frames one way only, lose some, carry only the group's.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::expect::{changes, followed, promise, rows_are_there, untouched};
use super::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::{FaultError, holders_of};
use crate::measure::Figures;
use crate::packet_rules::{Trouble, disturb, mend};
use crate::segment::vip;

/// A cut that MySQL's detector (5 s) does not see, and that the gateway's loss must outlast.
const SHORT_CUT: Duration = Duration::from_secs(3);
/// How long a holder may take to let go of the VIP when its gateway is lost.
pub(super) const GATEWAY_LIMIT: Duration = Duration::from_secs(7);
/// How long the VIP may take to be back when the gateway is.
const BACK_LIMIT: Duration = Duration::from_secs(6);
/// Frames lost of a hundred.
const LOSS: u8 = 30;
/// How long frames get lost, between two switchovers.
const LOSS_PAUSE: Duration = Duration::from_secs(6);
/// How long two hosts may hold the VIP together where frames get lost. Seconds.
const TOGETHER_UNDER_LOSS: f64 = 0.1;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Every host in turn is cut off for 3 s: the primary stays, and so does the VIP.
pub(super) fn short_cut(under_test: &mut UnderTest) -> Result<String, Broken> {
    let before = under_test.experiment.lab.wait_steady()?;
    let figures = under_test.experiment.watched("each host cut off for 3 s", |experiment| {
        for place in 0..experiment.lab.segment.databases.len() {
            let segment = &experiment.lab.segment;
            let host = &segment.databases[place];
            segment.set_cable(host, false)?;
            // The fault is that time passes.
            std::thread::sleep(SHORT_CUT);
            segment.set_cable(host, true)?;
            experiment.lab.wait_steady()?;
        }
        Ok::<_, Broken>(())
    })?;
    let after = under_test.experiment.lab.wait_steady()?;
    promise(before == after, || {
        let name = |place| under_test.experiment.name(place);
        format!("{} was primary, and after three cuts of 3 s {} is", name(before), name(after))
    })?;
    untouched(&under_test.experiment, &figures)
}

pub(super) fn not_heard(under_test: &mut UnderTest) -> Result<String, Broken> {
    parted(under_test, "the primary is not heard", Trouble::NotHeard)
}

pub(super) fn hears_nothing(under_test: &mut UnderTest) -> Result<String, Broken> {
    parted(under_test, "the primary hears nothing", Trouble::HearsNothing)
}

/// The group elects another, and the VIP goes there; the old primary, which can't know, keeps nothing.
fn parted(under_test: &mut UnderTest, name: &str, trouble: Trouble) -> Result<String, Broken> {
    let figures = under_test.experiment.dethroning(name, |experiment, deed| {
        let old = experiment.lab.group.primary()?;
        let segment = &experiment.lab.segment;
        disturb(segment, &segment.databases[old], trouble).map_err(FaultError::from)?;
        let outcome = experiment.wait_followed(old);
        experiment.heals(deed);
        let lab = &mut experiment.lab;
        mend(&lab.segment, &lab.segment.databases[old]).map_err(FaultError::from)?;
        lab.group.heal(old, &lab.segment.databases[old])?;
        outcome?;
        Ok::<_, Broken>(())
    })?;
    followed(&figures)
}

/// The group is whole, so the primary stays; its clients and its gateway can't be reached, so it lets go (S12). No other host may
/// take the VIP: none of them can write.
pub(super) fn only_the_group(under_test: &mut UnderTest) -> Result<String, Broken> {
    without_gateway(under_test, "clients cut off, the group not", Trouble::OnlyTheGroup)
}

pub(super) fn gateway_lost_for_one(under_test: &mut UnderTest) -> Result<String, Broken> {
    without_gateway(under_test, "gateway lost for the primary", Trouble::NoGateway)
}

fn without_gateway(under_test: &mut UnderTest, name: &str, trouble: Trouble) -> Result<String, Broken> {
    let (mut gone, mut back) = (Duration::ZERO, Duration::ZERO);
    let figures = under_test.experiment.watched(name, |experiment| {
        let primary = experiment.lab.group.primary()?;
        let segment = &experiment.lab.segment;
        let host = &segment.databases[primary];
        disturb(segment, host, trouble).map_err(FaultError::from)?;
        let outcome = wait_for_holders(experiment, &[], GATEWAY_LIMIT);
        mend(segment, host).map_err(FaultError::from)?;
        gone = outcome?;
        back = wait_for_holders(experiment, &[primary], BACK_LIMIT)?;
        Ok::<_, Broken>(())
    })?;
    rows_are_there(&figures)?;
    Ok(format!(
        "let go after {:.1} s, back {:.1} s after the network was whole again",
        gone.as_secs_f64(),
        back.as_secs_f64()
    ))
}

/// Three switchovers while every host loses 30 % of its frames in each direction.
pub(super) fn lossy(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut told = String::new();
    let figures = under_test.experiment.watched("30 % of all frames get lost", |experiment| {
        experiment.frames_get_lost(true);
        each_cable(experiment, |segment, host| disturb(segment, host, Trouble::Loses(LOSS)))?;
        told = switch_over_under_loss(experiment);
        each_cable(experiment, mend)?;
        experiment.frames_get_lost(false);
        experiment.lab.repair()?;
        Ok::<_, Broken>(())
    })?;
    rows_are_there(&figures)?;
    let together = figures.two_holders.seconds().unwrap_or_default();
    if together > TOGETHER_UNDER_LOSS {
        return Err(Broken::Never(format!(
            "two hosts held the VIP together for {together:.3} s, {TOGETHER_UNDER_LOSS} s is the limit"
        )));
    }
    Ok(format!("{told}; two holders {together:.3} s; longest time between two rows {} s", figures.outage))
}

fn switch_over_under_loss(experiment: &mut Experiment) -> String {
    let mut done = 0;
    let mut words: Vec<String> = Vec::new();
    for _ in 0..3 {
        std::thread::sleep(LOSS_PAUSE);
        let Ok(old) = experiment.lab.group.primary() else { continue };
        let to = (old + 1) % experiment.lab.segment.databases.len();
        // The group may refuse.
        match experiment.lab.group.switch_over(to) {
            Ok(_) => done += 1,
            Err(error) => {
                words.push(error.to_string().lines().next().unwrap_or_default().chars().take(200).collect());
            }
        }
    }
    std::thread::sleep(LOSS_PAUSE);
    let refused = if words.is_empty() { String::new() } else { format!(", refused: {}", words.join("; ")) };
    format!("{done} of 3 switchovers done{refused}")
}

fn each_cable(
    experiment: &Experiment,
    work: impl Fn(&crate::segment::Segment, &crate::host::Host) -> Result<(), crate::packet_rules::FilterError>,
) -> Result<(), Broken> {
    let segment = &experiment.lab.segment;
    for host in &segment.databases {
        work(segment, host).map_err(FaultError::from)?;
    }
    Ok(())
}

/// How long it took until just these had the VIP.
pub(super) fn wait_for_holders(
    experiment: &Experiment,
    wanted: &[usize],
    limit: Duration,
) -> Result<Duration, Broken> {
    wait_for_holders_of(experiment, vip(), wanted, limit)
}

/// The same of any VIP.
pub(super) fn wait_for_holders_of(
    experiment: &Experiment,
    vip: IpAddr,
    wanted: &[usize],
    limit: Duration,
) -> Result<Duration, Broken> {
    let since = Instant::now();
    loop {
        let found = holders_of(&experiment.lab.segment, vip)?;
        if found == wanted {
            return Ok(since.elapsed());
        }
        promise(since.elapsed() <= limit, || {
            let names =
                |places: &[usize]| places.iter().map(|place| experiment.name(*place)).collect::<Vec<_>>();
            format!(
                "{vip} is on {:?} and not on {:?}, even after {:.1} s",
                names(&found),
                names(wanted),
                limit.as_secs_f64()
            )
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// How often, since the fault, a host got or lost the VIP.
pub(super) fn moves(experiment: &Experiment, figures: &Figures) -> usize {
    // Two witnesses look at a host that has lost its power once: what both tell happened once.
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    let recording = experiment.recording();
    let told = changes(&recording, vip(), figures.injected_us);
    told.filter(|(recorded, there)| known.insert(recorded.who.clone(), *there) != Some(*there)).count()
}
