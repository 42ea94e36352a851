//! What others on the segment do to the VIP: a stranger that claims it or has it, one that lies to a client.

mod frames;

use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Protocol, Socket, Type};

use self::frames::{claim, told_to};
use super::expect::{promise, untouched};
use super::{Broken, UnderTest, logs};
use crate::experiment::Experiment;
use crate::host::Host;
use crate::record::{ArpKind, What, now_us};
use crate::segment::{BRIDGE, INTERFACE, Mac};

/// How often the stranger claims the VIP, and how long it waits in between.
const CLAIMS: usize = 10;
const CLAIM_EVERY: Duration = Duration::from_millis(700);
/// A client whose packets go to the stranger notices nothing but TCP's repetition (200 ms), or for a new connection that of
/// its SYN (1 s). Seconds.
const OUTAGE_LIMIT: f64 = 2.5;
/// So often the client's kernel asks anew who has the VIP, while a stranger has it too.
const QUESTIONS: usize = 4;
/// How long it keeps to what it was told.
const QUESTION_EVERY: Duration = Duration::from_millis(2300);
/// Both have answered by then.
const ANSWERED_AFTER: Duration = Duration::from_millis(200);
/// Who asks while the stranger has the VIP may believe the stranger, whose answer nobody else hears. That lasts until the next
/// announcement of a holder that has heard of the stranger (1 s); it hears of it at each renewal (3.3 s). Then a client may be
/// waiting for its second SYN (1 s). Seconds.
const OUTAGE_BESIDE_A_HOLDER: f64 = 6.0;
/// How long the lie is repeated until the client's kernel believes it.
const BELIEVED_WITHIN: Duration = Duration::from_secs(5);
/// Linux trusts an ARP entry for 45 s at the most, then keeps it for 5 s, and asks its MAC alone for 3 s; the holder's next
/// announcement comes after a minute at the most.
const POISONED_AT_MOST: Duration = Duration::from_secs(75);
/// A holder that has been silent for this long announces no more than each minute; and it is so by then.
const AT_REST_AFTER: Duration = Duration::from_secs(4);
const AT_REST_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Another machine of the segment says again and again that the VIP is its own: the holder proves itself and says the
/// contrary, and clients find their way back.
pub(super) fn stranger(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.watched("a stranger claims the VIP", |experiment| {
        for _ in 0..CLAIMS {
            claim_the_vip(&experiment.lab.segment.gateway)?;
            std::thread::sleep(CLAIM_EVERY);
        }
        Ok::<_, Broken>(())
    })?;
    let words = untouched(&under_test.experiment, &figures)?;
    let outage = figures.outage.seconds().unwrap_or_default();
    promise(outage <= OUTAGE_LIMIT, || {
        format!("the client was out for {outage:.3} s, {OUTAGE_LIMIT} s is the limit")
    })?;
    mark.wait_for(
        &under_test.experiment,
        &["is announced again, against", "no member's interface, uses the VIP"],
    )?;
    Ok(format!("{CLAIMS} claims; {words}"))
}

/// A machine that is no member has the VIP on its interface: its kernel answers who asks for it, and refuses clients that come.
pub(super) fn stranger_has_it(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let layout = under_test.layout.clone();
    let (mut mac, mut misled) = (String::new(), 0);
    let figures = under_test.experiment.watched("a stranger has the VIP", |experiment| {
        let segment = &experiment.lab.segment;
        let stranger = segment.join_stranger(&layout)?;
        let its_mac = segment.mac(&stranger)?;
        mac = words_of(its_mac);
        segment.add_vip(&stranger)?;
        send_frame(&stranger, INTERFACE, &claim(its_mac))?;
        for _ in 0..QUESTIONS {
            std::thread::sleep(QUESTION_EVERY);
            segment.forget_clients_way_to_the_vip()?;
            std::thread::sleep(ANSWERED_AFTER);
            misled += usize::from(segment.clients_way_to_the_vip()? == Some(its_mac));
        }
        segment.take_interface(&stranger)?;
        Ok::<_, Broken>(())
    })?;
    let words = untouched(&under_test.experiment, &figures)?;
    let recording = under_test.experiment.recording();
    let said = |wanted: ArpKind, from: &str| {
        let is =
            |what: &What| matches!(what, What::Arp { from: who, kind, .. } if who == from && *kind == wanted);
        recording.all().iter().filter(|told| told.at_us >= figures.injected_us && is(&told.what)).count()
    };
    let answers = said(ArpKind::Reply, &mac);
    promise(answers > 0, || "the stranger answered no question: it was none".to_owned())?;
    let outage = figures.outage.seconds();
    promise(outage.is_some_and(|seconds| seconds <= OUTAGE_BESIDE_A_HOLDER), || {
        format!("the client was out for {} s, {OUTAGE_BESIDE_A_HOLDER} s is the limit", figures.outage)
    })?;
    let (defended, named) =
        (format!("is announced again, against {mac}"), format!("{mac}, no member's interface, uses the VIP"));
    mark.wait_for(&under_test.experiment, &[&defended, &named])?;
    let defences = mark.since(&under_test.experiment).matches(&defended).count();
    Ok(format!(
        "the stranger answered {answers} times, the client believed it {misled} of {QUESTIONS} times, {defences} defences told; {words}"
    ))
}

/// Who keeps the way to the VIP in its cache is told a wrong one, and nobody else hears it: not the holder, which so can't
/// set it right. What is at the wrong MAC drops the packets.
pub(super) fn cache_poisoned(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    wait_for_silence(&under_test.experiment)?;
    let mut lasted = Duration::ZERO;
    let figures = under_test.experiment.watched("the client's neighbor cache is poisoned", |experiment| {
        let segment = &experiment.lab.segment;
        let secondary = &segment.databases[(holder + 1) % segment.databases.len()];
        let wrong = segment.mac(secondary)?;
        let lie = told_to(segment.mac(&segment.client)?, segment.client.address(), wrong);
        let since = Instant::now();
        // The kernel believes no other word within a second of the last.
        while segment.clients_way_to_the_vip()? != Some(wrong) {
            promise(since.elapsed() <= BELIEVED_WITHIN, || {
                "the client's kernel does not believe the lie".to_owned()
            })?;
            send_frame(secondary, INTERFACE, &lie)?;
            std::thread::sleep(LOOK_EVERY);
        }
        let since = Instant::now();
        let right = segment.mac(&segment.databases[holder])?;
        while segment.clients_way_to_the_vip()? != Some(right) {
            promise(since.elapsed() <= POISONED_AT_MOST, || {
                format!("the client has not found back within {} s", POISONED_AT_MOST.as_secs())
            })?;
            std::thread::sleep(LOOK_EVERY);
        }
        lasted = since.elapsed();
        Ok::<_, Broken>(())
    })?;
    let words = untouched(&under_test.experiment, &figures)?;
    Ok(format!("the lie lasted {:.1} s; {words}", lasted.as_secs_f64()))
}

/// Waits until the holder announces no more than once in a while: what it says of itself soon would set a lie right.
fn wait_for_silence(experiment: &Experiment) -> Result<(), Broken> {
    let is_announcement = |what: &What| matches!(what, What::Arp { kind: ArpKind::Announcement, .. });
    let since = Instant::now();
    loop {
        let recording = experiment.recording();
        let last = recording.all().iter().rev().find(|told| is_announcement(&told.what));
        let silent_for = last.map(|told| Duration::from_micros(now_us().saturating_sub(told.at_us)));
        if silent_for.unwrap_or_else(|| since.elapsed()) >= AT_REST_AFTER {
            return Ok(());
        }
        promise(since.elapsed() <= AT_REST_WITHIN, || "the holder goes on announcing".to_owned())?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// One gratuitous ARP request (RFC 5227 section 1.1) for the VIP, or for an IPv6 VIP one advertisement to all hosts, with the hardware address
/// of this host's bridge.
pub(super) fn claim_the_vip(host: &Host) -> Result<(), Broken> {
    let bridge = host.in_network(|| link_address(BRIDGE))?;
    let mac =
        bridge.map(|bridge| bridge.addr()).map_err(Broken::io("reading the bridge's hardware address"))?;
    send_frame(host, BRIDGE, &claim(mac.unwrap_or_default()))
}

fn send_frame(host: &Host, interface: &str, frame: &[u8]) -> Result<(), Broken> {
    host.in_network(|| {
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        bind(socket.as_raw_fd(), &link_address(interface)?).map_err(std::io::Error::from)?;
        socket.send(frame).map(|_| ())
    })?
    .map_err(Broken::io(format!("sending a frame from {}", host.name())))
}

/// An interface of this thread's network.
fn link_address(interface: &str) -> std::io::Result<LinkAddr> {
    getifaddrs()
        .map_err(std::io::Error::from)?
        .filter(|found| found.interface_name == interface)
        .find_map(|found| found.address.as_ref().and_then(|address| address.as_link_addr()).copied())
        .ok_or_else(|| std::io::Error::other(format!("{interface} has no hardware address")))
}

fn words_of(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
