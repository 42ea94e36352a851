//! A reader's host that is cut off from the other members on the segment alone: its gateway answers, and the group's traffic goes on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::super::expect::{promise, untouched};
use super::super::{Broken, UnderTest, logs};
use super::{SOON_WELL, a_reader, held, wait_until, with_readers};
use crate::experiment::Experiment;
use crate::fault::FaultError;
use crate::measure::Holding;
use crate::packet_rules::{part_from_members, reunite_with_members};
use crate::record::{What, now_us};

/// By then another has what it had: 8 s after its last word, as with a host that has lost its power.
const MOVED_WITHIN: Duration = Duration::from_millis(8_500);
/// So much longer it stays cut off: nothing more is to happen.
const STAYS_CUT_OFF: Duration = Duration::from_secs(4);

/// It gives its reader VIPs up by itself, before another takes them, though its server is ONLINE all the while.
pub(in super::super) fn on_the_segment(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers(under_test, SOON_WELL, |under_test| {
        let experiment = &mut under_test.experiment;
        let reader = a_reader(experiment)?;
        let its = held(experiment)?.into_iter().filter(|(_, hosts)| hosts.contains(&reader));
        let its: BTreeSet<IpAddr> = its.map(|(vip, _)| vip).collect();
        let mark = logs::mark(experiment, reader);
        let (mut since, mut until) = (0, 0);
        let figures = experiment.watched("a reader cut off on the segment alone", |experiment| {
            let segment = &experiment.lab.segment;
            since = now_us();
            let outcome = part_from_members(segment, &segment.databases[reader])
                .map_err(|error| Broken::from(FaultError::from(error)))
                .and_then(|()| moves_away(experiment, reader, &its));
            until = now_us();
            let segment = &experiment.lab.segment;
            let mended = reunite_with_members(segment, &segment.databases[reader]).map_err(FaultError::from);
            outcome?;
            Ok::<_, Broken>(mended?)
        })?;
        untouched(experiment, &figures)?;
        let name = experiment.name(reader);
        promise(was_online(experiment, &name, since, until), || {
            format!("{name} was not ONLINE all the while: that is another fault")
        })?;
        let words = one_after_the_other(experiment, &its, &name, since, until)?;
        mark.wait_for(experiment, &["other members answer on the segment"])?;
        Ok(words)
    })
}

fn moves_away(experiment: &Experiment, reader: usize, its: &BTreeSet<IpAddr>) -> Result<(), Broken> {
    let elsewhere = |hosts: &[usize]| matches!(hosts, [host] if *host != reader);
    wait_until(
        experiment,
        "the reader VIPs of the host that is cut off are elsewhere",
        MOVED_WITHIN,
        |all| its.iter().all(|vip| all.get(vip).is_some_and(|hosts| elsewhere(hosts))),
    )?;
    // What is shown is that nothing more happens in this time.
    std::thread::sleep(STAYS_CUT_OFF);
    Ok(())
}

/// By what its server said of itself.
fn was_online(experiment: &Experiment, name: &str, since_us: u64, until_us: u64) -> bool {
    let recording = experiment.recording();
    let meanwhile = |at_us: u64| (since_us..=until_us).contains(&at_us);
    let of_it = recording.all().iter().filter(|one| one.who == name && meanwhile(one.at_us));
    of_it.into_iter().all(|recorded| match &recorded.what {
        What::Role(role) => role.state == "ONLINE" && role.has_majority(),
        What::NoRole { .. } => false,
        _ => true,
    })
}

/// Each left the host that was cut off before it came to another. Gives for how long readers were without it, in words.
fn one_after_the_other(
    experiment: &Experiment,
    its: &BTreeSet<IpAddr>,
    name: &str,
    since_us: u64,
    until_us: u64,
) -> Result<String, Broken> {
    let recording = experiment.recording();
    let mut words = Vec::new();
    for vip in its {
        let holding = Holding::of(*vip, &recording);
        let together = Duration::from_micros(holding.two_holders(since_us, until_us)).as_secs_f64();
        if together > 0.0 {
            return Err(Broken::Never(format!("two hosts had {vip} for {together:.3} s")));
        }
        let stretches = holding.stretches(since_us, until_us);
        let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
        let left = stretches.iter().find(|(_, _, hosts)| !hosts.contains(name));
        let left = left.map(|(start, ..)| seconds(start.saturating_sub(since_us)));
        let nowhere = stretches.iter().filter(|(.., hosts)| hosts.is_empty());
        let nowhere: u64 = nowhere.map(|(start, end, _)| end.saturating_sub(*start)).sum();
        let Some(left) = left else {
            return Err(Broken::NotAsPromised(format!("{vip} never left {name}")));
        };
        words.push(format!(
            "{vip} left {name} after {left:.3} s, was with nobody for {:.3} s, two holders {together:.3} s",
            seconds(nowhere)
        ));
    }
    Ok(words.join("; "))
}
