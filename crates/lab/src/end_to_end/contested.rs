//! What others on the segment do to the VIP: a stranger that claims it.

use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::bind;
use socket2::{Domain, Protocol, Socket, Type};

use super::expect::{promise, untouched};
use super::{Broken, UnderTest, logs};
use crate::host::Host;
use crate::segment::{BRIDGE, VIP};

/// How often the stranger claims the VIP, and how long it waits in between.
const CLAIMS: usize = 10;
const CLAIM_EVERY: Duration = Duration::from_millis(700);
/// A client whose packets go to the stranger notices nothing but TCP's repetition (200 ms), or for a new connection that of
/// its SYN (1 s). Seconds.
const OUTAGE_LIMIT: f64 = 2.5;

/// Another machine of the segment says again and again that the VIP is its own: the holder proves itself and says the
/// contrary, and clients find their way back.
pub(super) fn stranger(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.watched("a stranger claims the VIP", |experiment| {
        for _ in 0..CLAIMS {
            claim_by_gratuitous_arp(&experiment.lab.segment.gateway)?;
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
        &["is announced again, against", "no member's card, uses the VIP"],
    )?;
    Ok(format!("{CLAIMS} claims; {words}"))
}

/// One gratuitous ARP request (RFC 5227 section 1.1) for the VIP, with the hardware address of this host's bridge.
fn claim_by_gratuitous_arp(host: &Host) -> Result<(), Broken> {
    host.in_network(|| {
        let card = getifaddrs()
            .map_err(std::io::Error::from)?
            .filter(|found| found.interface_name == BRIDGE)
            .find_map(|found| found.address.as_ref().and_then(|address| address.as_link_addr()).copied());
        let (card, mac) = card
            .and_then(|card| card.addr().map(|mac| (card, mac)))
            .ok_or_else(|| std::io::Error::other("the bridge has no hardware address"))?;
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        bind(socket.as_raw_fd(), &card).map_err(std::io::Error::from)?;
        let mut frame = vec![0xff; 6];
        frame.extend(mac);
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend(mac);
        frame.extend(VIP.octets());
        frame.extend([0; 6]);
        frame.extend(VIP.octets());
        socket.send(&frame).map(|_| ())
    })?
    .map_err(Broken::io("claiming the VIP from the gateway"))
}
