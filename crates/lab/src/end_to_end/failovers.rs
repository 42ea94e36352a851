//! The VIP follows the primary, whatever takes the old one away; and it leaves a host that is cut off.

use std::time::Duration;

use super::expect::{changes, followed, promise, rows_are_there};
use super::network::{GATEWAY_LIMIT, wait_for_holders};
use super::{Broken, UnderTest, logs};
use crate::fault::{Fault, FaultError};
use crate::measure::{Figures, apart};
use crate::packet_rules::{Trouble, disturb, mend};
use crate::segment::{vip, vips};

/// For how long one family may have moved and the other not, on a machine that is busy with other labs. Seconds.
const APART: f64 = 0.1;
/// How long an address that was removed by hand may be away. Seconds.
const BACK_WITHIN: f64 = 1.0;
/// The same where the gateway answers ARP and no echo. Seconds.
const BACK_ON_ANY_WORD: f64 = 0.2;
/// How long the VIP is waited for.
const BACK_LIMIT: Duration = Duration::from_secs(5);

fn follows(under_test: &mut UnderTest, fault: Fault) -> Result<String, Broken> {
    let figures = under_test.experiment.run(fault)?;
    let words = followed(&figures)?;
    Ok(words + &moved_together(under_test, figures.injected_us)?)
}

/// Where there is a VIP in each family: both have come to one host, at nearly the same time, at each move since then. Gives for how
/// long the one had moved and the other had not, in words.
fn moved_together(under_test: &UnderTest, since_us: u64) -> Result<String, Broken> {
    let [first, second] = *vips() else { return Ok(String::new()) };
    let moves = apart(&under_test.experiment.recording(), first, second, since_us);
    let longest = moves.iter().map(|apart| apart.seconds()).collect::<Option<Vec<_>>>();
    let longest = longest.and_then(|all| all.into_iter().max_by(f64::total_cmp));
    let longest = longest.ok_or_else(|| {
        Broken::NotAsPromised(format!("{first} and {second} have not moved to one host together: {moves:?}"))
    })?;
    promise(longest <= APART, || {
        format!("{first} and {second} moved {longest:.3} s apart, which is more than {APART} s")
    })?;
    Ok(format!("; one family had moved and the other had not: {longest:.4} s"))
}

pub(super) fn switchover(under_test: &mut UnderTest) -> Result<String, Broken> {
    follows(under_test, Fault::Switchover)
}

pub(super) fn power_off(under_test: &mut UnderTest) -> Result<String, Broken> {
    follows(under_test, Fault::PowerOff)
}

/// The server that is started again is another process, and its agent finds that too.
pub(super) fn shutdown(under_test: &mut UnderTest) -> Result<String, Broken> {
    let old = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, old);
    let figures = under_test.experiment.run(Fault::Shutdown)?;
    let found = "(mysqld): its end and what it writes to its error log are noticed at once";
    mark.wait_for(&under_test.experiment, &["the local server is process", found])?;
    followed(&figures)
}

pub(super) fn stop_group_replication(under_test: &mut UnderTest) -> Result<String, Broken> {
    follows(under_test, Fault::StopGroupReplication)
}

pub(super) fn kill_9(under_test: &mut UnderTest) -> Result<String, Broken> {
    follows(under_test, Fault::Kill9)
}

/// The old primary is on the LAN as before, and so is its VIP, unless its agent lets go.
pub(super) fn group_port_cut(under_test: &mut UnderTest) -> Result<String, Broken> {
    let old = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, old);
    let figures = under_test.experiment.run(Fault::GroupPortCut)?;
    mark.wait_for(&under_test.experiment, &["VIP stopped on"])?;
    followed(&figures)
}

pub(super) fn vip_removed_by_hand(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.run(Fault::VipRemovedByHand)?;
    rows_are_there(&figures)?;
    let back = figures.vip_moved.seconds().is_some_and(|seconds| seconds <= BACK_WITHIN);
    promise(back && figures.holder.as_ref() == Some(&figures.host), || {
        format!(
            "the VIP is back on {:?} after {} s, not within {BACK_WITHIN} s",
            figures.holder, figures.vip_moved
        )
    })?;
    mark.wait_for(&under_test.experiment, &["haipmgr did not remove it", "VIP started on"])?;
    Ok(format!("back after {}, outage {} s", figures.vip_moved, figures.outage))
}

/// The gateway's kernel has to ask where the holder is, and its questions get lost, so that it answers no echo; and so does the
/// holder's first three questions for the gateway. The next one is answered.
pub(super) fn removed_while_the_gateway_asks(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let name = "VIP removed by hand, and the gateway's ARP request lost";
    let figures = under_test.experiment.watched(name, |experiment| {
        let segment = &experiment.lab.segment;
        let host = &segment.databases[holder];
        disturb(segment, host, Trouble::GatewayAsksInVain).map_err(FaultError::from)?;
        let outcome = segment
            .forget_gateways_way_to(host)
            .and_then(|()| segment.remove_vip(host))
            .map_err(Broken::from)
            .and_then(|()| wait_for_holders(experiment, &[holder], BACK_LIMIT));
        mend(segment, host).map_err(FaultError::from)?;
        outcome.map(|_| ())
    })?;
    rows_are_there(&figures)?;
    let gone = let_go_after(under_test, &figures).unwrap_or_default().as_secs_f64();
    let back = figures.vip_moved.seconds().map(|seconds| seconds - gone);
    promise(
        back.is_some_and(|seconds| seconds <= BACK_ON_ANY_WORD)
            && figures.holder.as_ref() == Some(&figures.host),
        || {
            format!(
                "the VIP is back on {:?} after {back:.3?} s, not within {BACK_ON_ANY_WORD} s",
                figures.holder
            )
        },
    )?;
    Ok(format!("back after {:.3}, outage {} s", back.unwrap_or_default(), figures.outage))
}

/// S12: a host without its gateway may be the one that the network has been parted from.
pub(super) fn gateway_lost(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.run(Fault::GatewayLost)?;
    rows_are_there(&figures)?;
    let gone = let_go_after(under_test, &figures);
    promise(gone.is_some_and(|after| after <= GATEWAY_LIMIT), || match gone {
        None => "the VIP was kept though the gateway was lost".to_owned(),
        Some(after) => format!("the VIP was let go only after {:.1} s", after.as_secs_f64()),
    })?;
    mark.wait_for(&under_test.experiment, &["the gateway has missed", "VIP stopped on", "VIP started on"])?;
    let gone = gone.unwrap_or_default().as_secs_f64();
    Ok(format!("let go after {gone:.3} s, back {} s after the loss began", figures.vip_moved))
}

fn let_go_after(under_test: &UnderTest, figures: &Figures) -> Option<Duration> {
    let recording = under_test.experiment.recording();
    let mut all = changes(&recording, vip(), figures.injected_us);
    let (first, _) = all.find(|(_, there)| !there)?;
    Some(Duration::from_micros(first.at_us - figures.injected_us))
}
