//! What takes a reader's server or host away: its VIP is soon on another secondary, and no other VIP moves.

use std::time::Duration;

use super::super::expect::{promise, untouched};
use super::super::{Broken, UnderTest};
use super::{SOON_WELL, with_readers};
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::measure::readers::Readership;
use crate::record::{What, now_us};

/// What its own host's agent sees: from the server's end, or from its own word that it is not ONLINE, until the address is on another
/// host, in seconds. What the kernel takes to end a killed process, and MySQL to shut down, is their own.
const SEEN_AT_ONCE: f64 = 0.3;
/// From the order to shut down: mysqld writes that to its error log at once.
const SHUT_DOWN: f64 = 0.29;
/// What is known by silence alone: a silent member keeps what it has until it has surely let go, 8 s after its last word.
const BY_SILENCE: f64 = 8.5;
/// A server that hangs is waited for, for 5 s.
const HUNG: f64 = 6.5;
/// From the address elsewhere to the first read there, in seconds: what a client waits before it tries again, on a busy machine.
const READ_AFTER: f64 = 0.3;
/// The same where the old host says nothing more: a SYN on its way to it is tried again after a second.
const READ_AFTER_SILENCE: f64 = 1.5;
/// `reader_well_for`, unless the file says otherwise; and how late a share may be, for the witness asks each 20 ms and the agent ten times a second.
const WELL_FOR: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_secs(4);

pub(in super::super) fn kill_9(under_test: &mut UnderTest) -> Result<String, Broken> {
    moves(under_test, Fault::ReaderKill9, SEEN_AT_ONCE, READ_AFTER)
}

/// MySQL takes its time to shut down and to leave a group, and answers for longer than it takes connections: what counts is from the order
/// to shut down on. What the witnesses ask says "ONLINE" meanwhile.
pub(in super::super) fn shutdown(under_test: &mut UnderTest) -> Result<String, Broken> {
    moves(under_test, Fault::ReaderShutdown, SHUT_DOWN, READ_AFTER)
}

pub(in super::super) fn stop_group_replication(under_test: &mut UnderTest) -> Result<String, Broken> {
    moves(under_test, Fault::ReaderStopGroupReplication, SEEN_AT_ONCE, READ_AFTER)
}

pub(in super::super) fn power_off(under_test: &mut UnderTest) -> Result<String, Broken> {
    moves(under_test, Fault::ReaderPowerOff, BY_SILENCE, READ_AFTER_SILENCE)
}

pub(in super::super) fn cable_pulled(under_test: &mut UnderTest) -> Result<String, Broken> {
    moves(under_test, Fault::ReaderLinkDown, BY_SILENCE, READ_AFTER_SILENCE)
}

pub(in super::super) fn hung(under_test: &mut UnderTest) -> Result<String, Broken> {
    moves(under_test, Fault::ReaderFreeze, HUNG, READ_AFTER_SILENCE)
}

fn moves(under_test: &mut UnderTest, fault: Fault, within: f64, read_after: f64) -> Result<String, Broken> {
    with_readers(under_test, SOON_WELL, |under_test| done(under_test, fault, within, read_after))
}

fn done(under_test: &mut UnderTest, fault: Fault, within: f64, read_after: f64) -> Result<String, Broken> {
    let figures = under_test.experiment.run(fault)?;
    untouched(&under_test.experiment, &figures)?;
    let all = under_test.experiment.reading();
    let of_fault = || all.iter().filter(|one| one.injected_us == figures.injected_us);
    let its: Vec<&Readership> = of_fault().filter(|one| one.before.contains(&one.host)).collect();
    promise(!its.is_empty(), || format!("{} had no reader VIP", figures.host))?;
    let mut words = Vec::new();
    for one in its {
        let (moved, read) = (one.moved.seconds(), one.read.seconds());
        let seen = one.seen.seconds().filter(|_| within == SEEN_AT_ONCE).unwrap_or_default();
        let in_time = moved.is_some_and(|moved| {
            moved <= seen + within && read.is_some_and(|read| read <= moved.max(0.0) + read_after)
        });
        let told = format!(
            "{} {:?} → {:?}: not ONLINE, or gone, after {} s, there after {} s, read there after {} s; reads paused {} s, of the connection that stays {} s",
            one.vip, one.before, one.after, one.seen, one.moved, one.read, one.outage, one.stays
        );
        promise(in_time, || {
            format!("{told}. Promised: there within {within} s of that, read {read_after} s later")
        })?;
        words.push(told);
    }
    for one in of_fault().filter(|one| !one.before.contains(&one.host)) {
        promise(one.moves == 0, || format!("{} moved too, and its host was well", one.vip))?;
    }
    Ok(words.join("; "))
}

/// A member that comes back has nothing until it has been well for `reader_well_for`, and then its share.
pub(in super::super) fn comes_back(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers(under_test, "", |under_test| {
        let since = now_us();
        let words = done(under_test, Fault::ReaderKill9, SEEN_AT_ONCE, READ_AFTER)?;
        under_test.experiment.wait_readers()?;
        let after = back_after(&under_test.experiment, since)?;
        promise(after >= WELL_FOR.mul_f64(0.98) && after <= WELL_FOR + LATE, || {
            format!(
                "the member had its share {:.3} s after it was ONLINE again, not {} s",
                after.as_secs_f64(),
                WELL_FOR.as_secs()
            )
        })?;
        Ok(format!("{words}; its share {:.2} s after it was ONLINE again", after.as_secs_f64()))
    })
}

/// From the moment at which the member whose server died was ONLINE again to its next reader VIP.
fn back_after(experiment: &Experiment, since_us: u64) -> Result<Duration, Broken> {
    let recording = experiment.recording();
    let later = || recording.all().iter().filter(move |recorded| recorded.at_us >= since_us);
    let missing = |what: &str| Broken::NotAsPromised(format!("the witnesses saw no {what}"));
    let died = later()
        .find(|recorded| matches!(recorded.what, What::NoRole { asked_us: None, .. }))
        .ok_or_else(|| missing("server that died"))?;
    let of_it = || later().filter(|recorded| recorded.who == died.who && recorded.at_us >= died.at_us);
    let online = of_it()
        .find(|recorded| matches!(&recorded.what, What::Role(role) if role.state == "ONLINE"))
        .ok_or_else(|| missing("server that was ONLINE again"))?;
    let vips = experiment.reader_vips();
    let has = of_it()
        .filter(|recorded| recorded.at_us >= online.at_us)
        .find(|recorded| matches!(&recorded.what, What::AddressAdded(added) if vips.contains(&added.address)))
        .ok_or_else(|| missing("reader VIP on the member that came back"))?;
    Ok(Duration::from_micros(has.at_us - online.at_us))
}
