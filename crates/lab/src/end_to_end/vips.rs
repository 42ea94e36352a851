//! What one VIP has otherwise than the others: its prefix length, its gateway.

use std::time::Duration;

use super::expect::{changes, promise, rows_are_there};
use super::network::{wait_for_holders, wait_for_holders_of};
use super::reload::{ONE, OTHER, and_back, follow, typed, words_of};
use super::{Broken, UnderTest, logs};
use crate::agents::{self, Cluster, LAB};
use crate::experiment::Experiment;
use crate::host::Host;
use crate::measure::Reading;
use crate::record::now_us;
use crate::segment::{CLIENT, GATEWAY, INTERFACE, PREFIX, vip};

/// The VIP in the members' own network.
const WITH_A_NETWORK: Cluster = Cluster { prefix: "/24", ..LAB };
/// [`ONE`] with the client's machine as its gateway, [`OTHER`] without one.
const GATEWAYS: &str = "[[cluster.vips]]\naddress = \"10.77.0.110\"\ngateway = \"10.77.0.50\"\n[[cluster.vips]]\naddress = \"10.77.0.111\"\ngateway = \"none\"\n";
/// A gateway is lost 4 to 5.3 s after its last answer.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(8);
/// How long is waited for what should come long before.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A VIP as /24 beside the member's own /24: refused where it would go with that one; taken over in place; it moves as ever; no route comes
/// with it, and no host speaks from it, also after its own address was removed and put back before the VIP.
pub(super) fn with_a_network(under_test: &mut UnderTest) -> Result<String, Broken> {
    let old = under_test.experiment.lab.wait_steady()?;
    let new = (old + 1) % under_test.experiment.lab.segment.databases.len();
    let switched = {
        let mut moved = String::new();
        let outcome = and_back(&mut under_test.experiment, |experiment| {
            promote_secondaries(experiment, "0")?;
            refused(experiment, old)?;
            promote_secondaries(experiment, "1")?;
            in_place(experiment, old)?;
            moved = switch(experiment, new)?;
            order_restored(experiment, new)
        });
        promote_secondaries(&under_test.experiment, "0")?;
        outcome?;
        moved
    };
    let full = || has_prefix(&under_test.experiment, new, 32);
    wait_until("the VIP is /32 again", full)?;
    wait_for_holders(&under_test.experiment, &[new], Duration::ZERO)?;
    Ok(switched)
}

/// Three writer VIPs: the lab's with the cluster's gateway, one with the client's machine as its gateway, one without.
pub(super) fn with_gateways(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let (own, none) = (ONE.into(), OTHER.into());
    let mut gone = Duration::ZERO;
    let outcome = and_back(&mut under_test.experiment, |experiment| {
        follow(experiment, &[Cluster { more: GATEWAYS, ..LAB }])?;
        for vip in [own, none] {
            wait_for_holders_of(experiment, vip, &[holder], PATIENCE)?;
        }
        let shown = words_of(&typed(experiment, holder, &["status", "--extended"])?);
        for words in [format!("its gateway {CLIENT} answers"), "no gateway is asked".to_owned()] {
            promise(shown.contains(&words), || format!("status does not say {words:?}: {shown}"))?;
        }
        let since_us = now_us();
        let figures =
            experiment.watched("the cluster's gateway is lost, and not the others", |experiment| {
                experiment.lab.segment.set_gateway(false)?;
                let lost = wait_for_holders(experiment, &[], GATEWAY_PATIENCE);
                let kept =
                    [own, none].map(|vip| wait_for_holders_of(experiment, vip, &[holder], Duration::ZERO));
                experiment.lab.segment.set_gateway(true)?;
                gone = lost?;
                kept.into_iter().try_for_each(|kept| kept.map(drop))?;
                wait_for_holders(experiment, &[holder], PATIENCE).map(drop)
            })?;
        rows_are_there(&figures)?;
        let recording = experiment.recording();
        let touched: Vec<String> = [own, none]
            .into_iter()
            .flat_map(|vip| changes(&recording, vip, since_us))
            .map(|(recorded, there)| format!("{}: {there}", recorded.who))
            .collect();
        promise(touched.is_empty(), || format!("the other VIPs were touched: {}", touched.join(", ")))
    });
    under_test.experiment.lab.segment.set_gateway(true)?;
    outcome?;
    for vip in [own, none] {
        wait_for_holders_of(&under_test.experiment, vip, &[], PATIENCE)?;
    }
    Ok(format!(
        "the cluster's gateway lost: its VIP gone after {:.1} s, one with another gateway and one without were not touched",
        gone.as_secs_f64()
    ))
}

/// `check`, a reload and a start say what is wrong; the VIP stays.
fn refused(experiment: &mut Experiment, holder: usize) -> Result<(), Broken> {
    let figures = experiment.watched("a VIP that would go with another is refused", |experiment| {
        let host = &experiment.lab.segment.databases[holder];
        agents::configure(host, &[WITH_A_NETWORK])?;
        for (words, status) in [(&["reload"][..], 1), (&["check"], 1), (&["run"], 2)] {
            if words == ["run"] {
                // Only one runs: another is refused for that.
                experiment.lab.agents[holder].stop()?;
            }
            let host = &experiment.lab.segment.databases[holder];
            let said = experiment.lab.agents[holder].command(host, words)?;
            let text = words_of(&said);
            promise(said.status.code() == Some(status), || format!("{words:?}: {}: {text}", said.status))?;
            promise(text.contains("promote_secondaries=1"), || {
                format!("{words:?} does not say why: {text}")
            })?;
        }
        let host = &experiment.lab.segment.databases[holder];
        agents::configure(host, &[LAB])?;
        experiment.lab.agents[holder].start(host)?;
        Ok::<_, Broken>(())
    })?;
    super::expect::untouched(experiment, &figures).map(drop)
}

/// The VIP gets its prefix length without being away.
fn in_place(experiment: &mut Experiment, holder: usize) -> Result<(), Broken> {
    let before = routes(&experiment.lab.segment.databases[holder])?;
    let figures = experiment.watched("the VIP gets a prefix length by reload", |experiment| {
        follow(experiment, &[WITH_A_NETWORK])?;
        wait_until("the VIP is /24", || has_prefix(experiment, holder, PREFIX))
    })?;
    rows_are_there(&figures)?;
    promise(figures.unheld == Reading::DoesNotApply, || {
        format!("nobody had the VIP for {} s", figures.unheld)
    })?;
    let host = &experiment.lab.segment.databases[holder];
    let after = routes(host)?;
    promise(before == after, || format!("the routes were\n{before}\nand are\n{after}"))?;
    speaks_from_its_own(host)
}

fn switch(experiment: &mut Experiment, to: usize) -> Result<String, Broken> {
    let figures = experiment.watched("a switchover with the VIP as /24", |experiment| {
        experiment.lab.group.switch_over(to)?;
        wait_for_holders(experiment, &[to], PATIENCE).map(drop)
    })?;
    promise(has_prefix(experiment, to, PREFIX)?, || "the new holder has it with another prefix".to_owned())?;
    speaks_from_its_own(&experiment.lab.segment.databases[to])?;
    rows_are_there(&figures)?;
    Ok(format!(
        "switchover with /24: VIP moved {}, outage {} s; {} rows, none lost",
        figures.vip_moved, figures.outage, figures.acknowledged
    ))
}

/// The member's own address is removed and put back, as a network service does it: the VIP is the first of the network then.
fn order_restored(experiment: &mut Experiment, holder: usize) -> Result<(), Broken> {
    let mark = logs::mark(experiment, holder);
    let figures = experiment.watched("the holder's own address is removed and put back", |experiment| {
        let host = &experiment.lab.segment.databases[holder];
        // At once: an agent that finds no address of a member lets go of the VIP within some milliseconds.
        let own = format!("{}/{PREFIX} dev {INTERFACE}", host.address());
        shell(host, &format!("ip address del {own}; ip address add {own}"))?;
        wait_until("the VIP is behind the host's own address", || {
            Ok(own_is_first(experiment, holder)? && has_prefix(experiment, holder, PREFIX)?)
        })?;
        experiment.lab.segment.set_interface_up(host)?;
        wait_for_holders(experiment, &[holder], PATIENCE).map(drop)
    })?;
    rows_are_there(&figures)?;
    let said = mark.since(experiment);
    promise(said.contains("it was put behind it") || said.contains("VIP started on"), || {
        format!("nobody says what was done: {said}")
    })?;
    speaks_from_its_own(&experiment.lab.segment.databases[holder])
}

fn promote_secondaries(experiment: &Experiment, value: &str) -> Result<(), Broken> {
    let set = format!("echo {value} > /proc/sys/net/ipv4/conf/{INTERFACE}/promote_secondaries");
    experiment.lab.segment.databases.iter().try_for_each(|host| shell(host, &set).map(drop))
}

/// What this prints on the host.
pub(super) fn shell(host: &Host, script: &str) -> Result<String, Broken> {
    let done = host.command("sh").args(["-c", script]).output().map_err(Broken::io("can't run a shell"))?;
    promise(done.status.success(), || format!("{script}: {}: {}", done.status, words_of(&done)))?;
    Ok(words_of(&done))
}

fn routes(host: &Host) -> Result<String, Broken> {
    shell(host, "cat /proc/net/route")
}

/// The kernel takes the host's own address to speak to the gateway and beyond it.
fn speaks_from_its_own(host: &Host) -> Result<(), Broken> {
    let own = format!("src {} ", host.address());
    for to in [GATEWAY.to_string(), "192.0.2.1".to_owned()] {
        let way = shell(host, &format!("ip -4 route get {to}"))?;
        promise(way.contains(&own), || format!("{} speaks by: {way}", host.name()))?;
    }
    Ok(())
}

fn has_prefix(experiment: &Experiment, place: usize, prefix: u8) -> Result<bool, Broken> {
    let shown = shell(&experiment.lab.segment.databases[place], &format!("ip -o address show {INTERFACE}"))?;
    let own = format!(" {}/", vip());
    let with: Vec<&str> = shown.lines().filter(|line| line.contains(&own)).collect();
    Ok(with.len() == 1 && with[0].contains(&format!("{own}{prefix} ")))
}

fn own_is_first(experiment: &Experiment, place: usize) -> Result<bool, Broken> {
    let host = &experiment.lab.segment.databases[place];
    let there = experiment.lab.segment.addresses(host)?;
    Ok(there.iter().find(|address| address.is_ipv4()) == Some(&host.address().into()))
}

pub(super) fn wait_until(what: &str, is_so: impl Fn() -> Result<bool, Broken>) -> Result<(), Broken> {
    let since = std::time::Instant::now();
    while !is_so()? {
        promise(since.elapsed() <= PATIENCE, || {
            format!("{what}: not so, even after {:.1} s", PATIENCE.as_secs_f64())
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
