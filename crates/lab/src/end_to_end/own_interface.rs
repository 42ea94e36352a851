//! A VIP on another interface than the members': clients on one network, the group on another.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable as _;
use mysql::{Conn, OptsBuilder};

use super::expect::{changes, promise, rows_are_there, untouched};
use super::network::wait_for_holders;
use super::reload::{and_back, follow, typed, words_of};
use super::vips::{shell, wait_until};
use super::{Broken, UnderTest, logs};
use crate::agents::{Cluster, LAB};
use crate::experiment::Experiment;
use crate::group::{CLIENT_PASSWORD, CLIENT_USER};
use crate::host::Host;
use crate::measure::Judged;
use crate::record::now_us;
use crate::segment::{SECOND_INTERFACE, in_second, vip};

/// On the second network.
const VIP: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 100);
/// [`VIP`] with that network's router as its gateway.
const ON_ETH1: &str =
    "[[cluster.vips]]\naddress = \"10.78.0.100\"\ninterface = \"eth1\"\ngateway = \"10.78.0.254\"\n";
/// … on a VLAN of that interface, and on a bond over it.
const ON_A_VLAN: &str =
    "[[cluster.vips]]\naddress = \"10.78.0.100\"\ninterface = \"eth1.5\"\ngateway = \"none\"\n";
const ON_A_BOND: &str =
    "[[cluster.vips]]\naddress = \"10.78.0.100\"\ninterface = \"bond1\"\ngateway = \"none\"\n";
/// A VLAN on the second interface.
const MAKE_VLAN: &str = "ip link add link eth1 name eth1.5 type vlan id 5 && ip link set eth1.5 up";
/// A bond over the second interface, which has to be down to be joined.
const MAKE_BOND: &str = "ip link add bond1 type bond mode active-backup miimon 100 && ip link set eth1 down \
                         && ip link set eth1 master bond1 && ip link set bond1 up";
/// How long is waited for what should come long before.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the interface stays down.
const DOWN_FOR: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// It waits for its interface; follows a switchover beside the first VIP, yielded as to a member; goes alone where its interface is set down,
/// and comes back to the same host.
pub(super) fn moves(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mut told = String::new();
    let outcome = and_back(&mut under_test.experiment, |experiment| {
        follow(experiment, &[Cluster { more: ON_ETH1, ..LAB }])?;
        its_absence_is_named(experiment, holder)?;
        experiment.lab.segment.plug_in_second()?;
        held_by(experiment, &[holder], PATIENCE)?;
        its_lack_is_not_named(experiment, holder)?;
        answers(experiment, VIP, holder)?;
        let new = (holder + 1) % experiment.lab.segment.databases.len();
        let moved = switch(experiment, holder, new)?;
        let back = switch(experiment, new, holder)?;
        let down = set_down(experiment, holder)?;
        told = format!("{moved}; back: {back}; {down}");
        nobody_is_a_stranger(experiment)
    });
    let gone = held_by(&under_test.experiment, &[], PATIENCE);
    // Before it is plugged in, that is an error which the outcome has already told.
    let unplugged = under_test.experiment.lab.segment.unplug_second();
    outcome?;
    gone?;
    unplugged?;
    let judged = Judged::of_holders(VIP.into(), &under_test.experiment.recording());
    promise(judged.broken.is_empty() && judged.two_holders.is_zero(), || format!("{VIP}: {judged}"))?;
    Ok(told)
}

/// The same VIP on a VLAN of the second interface, and on a bond over it, as far as the kernel has them: it follows a switchover, and lets go
/// where its interface is down.
pub(super) fn on_virtual_interfaces(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut told = Vec::new();
    let kinds = [("eth1.5", MAKE_VLAN, ON_A_VLAN), ("bond1", MAKE_BOND, ON_A_BOND)];
    for (name, make, more) in kinds {
        under_test.experiment.lab.segment.plug_in_second()?;
        let outcome = if make_everywhere(&under_test.experiment, make, name)? {
            on_made(under_test, name, more)
        } else {
            Ok(format!("{name}: this kernel makes none"))
        };
        remove_everywhere(&under_test.experiment, name)?;
        under_test.experiment.lab.segment.unplug_second()?;
        told.push(outcome?);
    }
    let judged = Judged::of_holders(VIP.into(), &under_test.experiment.recording());
    promise(judged.broken.is_empty() && judged.two_holders.is_zero(), || format!("{VIP}: {judged}"))?;
    Ok(told.join("; "))
}

fn on_made(under_test: &mut UnderTest, name: &str, more: &'static str) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mut told = String::new();
    let outcome = and_back(&mut under_test.experiment, |experiment| {
        follow(experiment, &[Cluster { more, ..LAB }])?;
        held_by(experiment, &[holder], PATIENCE)?;
        answers(experiment, VIP, holder)?;
        let new = (holder + 1) % experiment.lab.segment.databases.len();
        let moved = switch(experiment, holder, new)?;
        let host = &experiment.lab.segment.databases[new];
        shell(host, &format!("ip link set {name} down"))?;
        let gone = held_by(experiment, &[], PATIENCE);
        shell(&experiment.lab.segment.databases[new], &format!("ip link set {name} up"))?;
        let gone = gone?;
        let back = held_by(experiment, &[new], PATIENCE)?;
        told = format!(
            "{name}: {moved}; set down, gone after {:.3} s, back {:.3} s after it was up",
            gone.as_secs_f64(),
            back.as_secs_f64()
        );
        nobody_is_a_stranger(experiment)
    });
    outcome?;
    held_by(&under_test.experiment, &[], PATIENCE)?;
    Ok(told)
}

/// Gives whether the kernel has such an interface.
fn make_everywhere(experiment: &Experiment, make: &str, name: &str) -> Result<bool, Broken> {
    let segment = &experiment.lab.segment;
    for host in segment.databases.iter().chain([&segment.client]) {
        let own = in_second(host.address());
        let done = host
            .command("sh")
            .args([
                "-c",
                &format!("ip address flush dev eth1 && {make} && ip address add {own}/24 dev {name}"),
            ])
            .output()
            .map_err(Broken::io("can't run a shell"))?;
        if !done.status.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn remove_everywhere(experiment: &Experiment, name: &str) -> Result<(), Broken> {
    let segment = &experiment.lab.segment;
    // Where it was not made there is none.
    let remove = format!("ip link del {name} 2>/dev/null; true");
    segment.databases.iter().chain([&segment.client]).try_for_each(|host| shell(host, &remove).map(drop))
}

/// The reload that names an interface which is not there went through; `check` and the status say what is missing, and the first VIP stays.
fn its_absence_is_named(experiment: &Experiment, holder: usize) -> Result<(), Broken> {
    let words = "eth1, the interface of the VIP 10.78.0.100, is not here";
    let checked = typed(experiment, holder, &["check"])?;
    let text = words_of(&checked);
    promise(checked.status.code() == Some(1) && text.contains(words), || format!("check says: {text}"))?;
    let said = logs::whole(experiment, holder);
    promise(said.contains(words), || format!("the log does not say {words:?} at a reload: {said}"))?;
    let shown = words_of(&typed(experiment, holder, &["status", "--extended"])?);
    promise(shown.contains("eth1, the interface of this VIP, is not there"), || {
        format!("status says: {shown}")
    })?;
    wait_for_holders(experiment, &[holder], Duration::ZERO).map(drop)
}

fn its_lack_is_not_named(experiment: &Experiment, holder: usize) -> Result<(), Broken> {
    let text = words_of(&typed(experiment, holder, &["check"])?);
    promise(!text.contains("the interface of the VIP"), || format!("check says: {text}"))?;
    promise(text.contains("10.78.0.254 answers"), || format!("the VIP's own gateway is not asked: {text}"))
}

/// Both VIPs follow the primary. Gives how long each was nowhere.
fn switch(experiment: &mut Experiment, from: usize, to: usize) -> Result<String, Broken> {
    let since_us = now_us();
    let mark = logs::mark(experiment, from);
    let figures = experiment.watched("a switchover with a VIP on another interface", |experiment| {
        experiment.lab.group.switch_over(to)?;
        held_by(experiment, &[to], PATIENCE)?;
        wait_for_holders(experiment, &[to], PATIENCE).map(drop)
    })?;
    rows_are_there(&figures)?;
    answers(experiment, VIP, to)?;
    let yielded = format!("yielded to member {}", experiment.lab.segment.databases[to].address());
    let said = mark.since(experiment);
    promise(said.lines().any(|line| line.contains("10.78.0.100") && line.contains(&yielded)), || {
        format!("the old holder does not say {yielded:?} of {VIP}: {said}")
    })?;
    let gap = |address: IpAddr| {
        let recording = experiment.recording();
        let mut seen: Vec<(u64, bool)> =
            changes(&recording, address, since_us).map(|(recorded, there)| (recorded.at_us, there)).collect();
        // Two hosts have a witness each: of what both saw in the same microsecond, in no order.
        seen.sort_unstable();
        match seen.as_slice() {
            [(left, false), (came, true)] => Ok(Duration::from_micros(came - left).as_secs_f64()),
            other => Err(Broken::NotAsPromised(format!("{address} moved so: {other:?}"))),
        }
    };
    Ok(format!(
        "switchover: {} on no host for {:.4} s, {VIP} for {:.4} s",
        vip(),
        gap(vip())?,
        gap(VIP.into())?
    ))
}

/// The second interface of the holder is down for a while: that VIP goes, nobody else may have it, and it comes back.
fn set_down(experiment: &mut Experiment, holder: usize) -> Result<String, Broken> {
    let (mut gone, mut back) = (Duration::ZERO, Duration::ZERO);
    let figures = experiment.watched("the holder's second interface is set down", |experiment| {
        let host = &experiment.lab.segment.databases[holder];
        experiment.lab.segment.set_second(host, false)?;
        let let_go = held_by(experiment, &[], PATIENCE);
        // That it stays down is the fault.
        std::thread::sleep(DOWN_FOR);
        let stayed = held_by(experiment, &[], Duration::ZERO);
        let shown = typed(experiment, holder, &["status", "--extended"]).map(|said| words_of(&said));
        experiment.lab.segment.set_second(&experiment.lab.segment.databases[holder], true)?;
        gone = let_go?;
        stayed?;
        let shown = shown?;
        promise(shown.contains("eth1, the interface of this VIP, is down"), || {
            format!("status says: {shown}")
        })?;
        back = held_by(experiment, &[holder], PATIENCE)?;
        Ok::<_, Broken>(())
    })?;
    let pause = untouched(experiment, &figures)?;
    answers(experiment, VIP, holder)?;
    Ok(format!(
        "its interface set down: gone after {:.3} s, back {:.3} s after it was up; the first VIP: {pause}",
        gone.as_secs_f64(),
        back.as_secs_f64()
    ))
}

/// No agent has taken a member for a stranger.
fn nobody_is_a_stranger(experiment: &Experiment) -> Result<(), Broken> {
    for place in 0..experiment.lab.segment.databases.len() {
        let said = logs::whole(experiment, place);
        let line =
            said.lines().find(|line| line.contains("10.78.0.100") && line.contains("no member's interface"));
        promise(line.is_none(), || format!("{} says: {}", experiment.name(place), line.unwrap_or_default()))?;
    }
    Ok(())
}

/// Just these hosts have it on an interface that is not the members'. Gives how long that took.
fn held_by(experiment: &Experiment, wanted: &[usize], limit: Duration) -> Result<Duration, Broken> {
    let since = Instant::now();
    loop {
        let found = holders(experiment)?;
        if found == wanted {
            return Ok(since.elapsed());
        }
        promise(since.elapsed() <= limit, || {
            format!("{VIP} is on {found:?} and not on {wanted:?}, even after {:.1} s", limit.as_secs_f64())
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
}

fn holders(experiment: &Experiment) -> Result<Vec<usize>, Broken> {
    let segment = &experiment.lab.segment;
    let has_it = |host: &Host| -> Result<bool, Broken> {
        for interface in [SECOND_INTERFACE, "eth1.5", "bond1"] {
            if segment.addresses_on(host, interface)?.contains(&VIP.into()) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let mut found = Vec::new();
    for (place, host) in segment.databases.iter().enumerate() {
        if has_it(host)? {
            found.push(place);
        }
    }
    Ok(found)
}

/// A client on that network comes by the VIP to this host's server.
fn answers(experiment: &Experiment, address: Ipv4Addr, by: usize) -> Result<(), Broken> {
    let options = || {
        OptsBuilder::new()
            .ip_or_hostname(Some(address.to_string()))
            .tcp_port(3306)
            .user(Some(CLIENT_USER))
            .pass(Some(CLIENT_PASSWORD))
            .prefer_socket(false)
            .max_allowed_packet(Some(1 << 20))
            .tcp_connect_timeout(Some(ANSWER_WITHIN))
            .read_timeout(Some(ANSWER_WITHIN))
    };
    let name = experiment.name(by);
    wait_until("a client on the second network reaches the server by the VIP", || {
        let asked = experiment.lab.segment.client.in_network(|| {
            let mut connection = Conn::new(options()).ok()?;
            connection.query_first::<String, _>("SELECT @@hostname").ok().flatten()
        })?;
        Ok(asked.as_deref() == Some(name.as_str()))
    })
}
