//! What happens to the holder's interface: made anew, set down, its addresses flushed, the VIP added to it a second time.

use std::time::{Duration, Instant};

use super::expect::{changes, promise, rows_are_there, untouched};
use super::network::wait_for_holders;
use super::{Broken, UnderTest, logs};
use crate::experiment::Experiment;
use crate::measure::{Figures, Reading};
use crate::record::What;
use crate::segment::{PREFIX, vip};

/// How long the VIP may take to be back on an interface that is there again with the member's address, and a copy of it to be gone. What
/// is promised is 0.2 s; this is what a machine busy with other things must still keep. Seconds.
const BACK_WITHIN: f64 = 1.0;
/// The same, to be waited for: it is judged by the witness's times.
const WAITED_FOR: Duration = Duration::from_secs(5);
/// How often the VIP is added a second time, and how long after the last: the agent orders a copy away at most each 0.5 s.
const COPIES: usize = 5;
const COPY_EVERY: Duration = Duration::from_millis(700);
/// How long the interface has no address, or is down. The group waits 5 s.
const WITHOUT_INTERFACE: Duration = Duration::from_secs(1);
/// How much longer than its interface was down a client may be out: TCP's next repetition, ARP. Seconds.
const BEYOND_THE_INTERFACE: f64 = 2.5;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The holder's interface is deleted and made anew, with another hardware address.
pub(super) fn made_anew(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let figures = under_test.experiment.watched("the holder's interface is made anew", |experiment| {
        let segment = &experiment.lab.segment;
        segment.renew_interface(&segment.databases[holder])?;
        Ok::<_, Broken>(())
    })?;
    let back = back_after_own_address(under_test, &figures, holder)?;
    Ok(format!("back {back:.3} s after the interface; outage {} s", figures.outage))
}

/// Every address of the holder's interface is flushed, and its own is put back after a second, as a network service's restart does it.
pub(super) fn flushed(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.watched("the holder's addresses are flushed", |experiment| {
        let segment = &experiment.lab.segment;
        segment.flush_addresses(&segment.databases[holder])?;
        // The fault is that time passes.
        std::thread::sleep(WITHOUT_INTERFACE);
        segment.set_interface_up(&segment.databases[holder])?;
        wait_for_holders(experiment, &[holder], WAITED_FOR)?;
        Ok::<_, Broken>(())
    })?;
    let back = back_after_own_address(under_test, &figures, holder)?;
    // That something else removed it may have been said a moment ago, by the test before.
    mark.wait_for(&under_test.experiment, &["VIP started on"])?;
    Ok(format!(
        "back {back:.3} s after the member's own address, which was away for {:.1} s; outage {} s",
        WITHOUT_INTERFACE.as_secs_f64(),
        figures.outage
    ))
}

/// The holder's interface is set down, and up after a second. Its IPv4 addresses stay; the kernel drops the IPv6 ones.
pub(super) fn set_down_and_up(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let figures =
        under_test.experiment.watched("the holder's interface is set down and up", |experiment| {
            let segment = &experiment.lab.segment;
            segment.set_interface_down(&segment.databases[holder])?;
            // The fault is that time passes.
            std::thread::sleep(WITHOUT_INTERFACE);
            segment.set_interface_up(&segment.databases[holder])?;
            Ok::<_, Broken>(())
        })?;
    let words = if vip().is_ipv4() {
        untouched(&under_test.experiment, &figures)?
    } else {
        rows_are_there(&figures)?;
        wait_for_holders(&under_test.experiment, &[holder], WAITED_FOR)?;
        format!("VIP back {} s after the fault, outage {} s", figures.vip_moved, figures.outage)
    };
    let limit = WITHOUT_INTERFACE.as_secs_f64() + BEYOND_THE_INTERFACE;
    promise(figures.outage.seconds().is_some_and(|seconds| seconds <= limit), || {
        format!("the client was out for {} s, {limit} s is the limit", figures.outage)
    })?;
    Ok(format!("down for {:.1} s; {words}", WITHOUT_INTERFACE.as_secs_f64()))
}

/// Somebody adds the VIP to its holder's interface once more, with the network's prefix: it has no lease, and would stay.
pub(super) fn copied(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.watched("the VIP is added with another prefix", |experiment| {
        for _ in 0..COPIES {
            let segment = &experiment.lab.segment;
            segment.add_vip(&segment.databases[holder])?;
            wait_for_one_vip(experiment, holder)?;
            std::thread::sleep(COPY_EVERY);
        }
        Ok::<_, Broken>(())
    })?;
    rows_are_there(&figures)?;
    promise(figures.unheld == Reading::DoesNotApply && figures.vip_moved == Reading::DoesNotApply, || {
        format!("nobody had the VIP for {} s", figures.unheld)
    })?;
    let mut stayed = copies_stayed(under_test, &figures)?;
    stayed.sort_unstable();
    let worst = stayed.last().copied().unwrap_or_default();
    promise(stayed.len() == COPIES && worst.as_secs_f64() <= BACK_WITHIN, || {
        format!("of {COPIES} copies {} are known to have gone, the last after {worst:?}", stayed.len())
    })?;
    mark.wait_for(
        &under_test.experiment,
        &[&format!("a copy of the VIP with prefix length {PREFIX} is on")],
    )?;
    let median = stayed.get(stayed.len() / 2).copied().unwrap_or_default();
    Ok(format!(
        "{COPIES} copies, each there for {:.1} ms (median), {:.1} ms (the longest); longest time between two rows {} s",
        median.as_secs_f64() * 1000.0,
        worst.as_secs_f64() * 1000.0,
        figures.outage
    ))
}

fn wait_for_one_vip(experiment: &Experiment, holder: usize) -> Result<(), Broken> {
    let segment = &experiment.lab.segment;
    let since = Instant::now();
    loop {
        let addresses = segment.addresses(&segment.databases[holder])?;
        if addresses.iter().filter(|address| **address == vip()).count() == 1 {
            return Ok(());
        }
        promise(since.elapsed() <= WAITED_FOR, || {
            format!("the holder has {addresses:?}, even after {} s", WAITED_FOR.as_secs())
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// How long each copy was there. What else was added or removed is not as promised.
fn copies_stayed(under_test: &UnderTest, figures: &Figures) -> Result<Vec<Duration>, Broken> {
    let recording = under_test.experiment.recording();
    let (mut added_us, mut stayed) = (None, Vec::new());
    for (recorded, _) in changes(&recording, vip(), figures.injected_us) {
        match &recorded.what {
            What::AddressAdded(copy) if copy.prefix == PREFIX => added_us = Some(recorded.at_us),
            What::AddressRemoved(copy) if copy.prefix == PREFIX => {
                let stay = added_us.take().map(|added| recorded.at_us.saturating_sub(added));
                stayed.extend(stay.map(Duration::from_micros));
            }
            other => return Err(Broken::NotAsPromised(format!("the VIP itself was touched: {other:?}"))),
        }
    }
    Ok(stayed)
}

/// [`rows_are_there`], and how many seconds after the holder's own address the VIP was there again.
fn back_after_own_address(under_test: &UnderTest, figures: &Figures, holder: usize) -> Result<f64, Broken> {
    rows_are_there(figures)?;
    let experiment = &under_test.experiment;
    let recording = experiment.recording();
    let added = |address| {
        changes(&recording, address, figures.injected_us)
            .find(|(_, there)| *there)
            .map(|(seen, _)| seen.at_us)
    };
    let back = added(vip())
        .zip(added(experiment.lab.segment.databases[holder].address().into()))
        .map(|(vip, own)| Duration::from_micros(vip.saturating_sub(own)).as_secs_f64());
    back.filter(|seconds| *seconds <= BACK_WITHIN).ok_or_else(|| {
        Broken::NotAsPromised(format!("the VIP was not back within {BACK_WITHIN} s of the address: {back:?}"))
    })
}
