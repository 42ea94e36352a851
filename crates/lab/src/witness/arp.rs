//! What is said by ARP, or by neighbor discovery, about the VIP, as one host hears it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Tell, WitnessError};
use crate::record::{ArpKind, Recorded, What, now_us};

/// Bytes of the Ethernet header, and of it with ARP for Ethernet and IPv4 (RFC 826).
const ETHERNET: usize = 14;
const FRAME: usize = ETHERNET + 28;

/// ICMP behind the Ethernet and the IPv6 header, and it with its target (RFC 4861 sections 4.3 and 4.4).
const ICMP_V6: usize = ETHERNET + 40;
const TARGET_V6: usize = ICMP_V6 + 8;

/// Tells each ARP or neighbor discovery frame about the VIP that reaches this interface, until something fails.
pub(super) fn watch(
    who: &str,
    interface: &str,
    vip: IpAddr,
    tell: &mut Tell<'_>,
) -> Result<(), WitnessError> {
    let mut index = if_nametoindex(interface).map_err(|cause| WitnessError::NoInterface {
        interface: interface.to_owned(),
        cause: cause.into(),
    })?;
    let protocol = i32::from(
        u16::try_from(if vip.is_ipv4() { libc::ETH_P_ARP } else { libc::ETH_P_IPV6 })
            .unwrap_or_default()
            .to_be(),
    );
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(protocol)))
        .map_err(WitnessError::kernel("opening a packet socket"))?;
    let mut frame = [0_u8; 256];
    loop {
        // The socket hears every interface of the namespace; the frame's own interface is in its source address.
        let length = match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame) {
            Ok((length, Some(from))) => {
                let heard_by = u32::try_from(from.ifindex());
                // An interface may have been made anew.
                if heard_by != Ok(index) {
                    index = if_nametoindex(interface).unwrap_or(index);
                }
                if heard_by != Ok(index) {
                    continue;
                }
                length
            }
            // An interface that went down says so once; the socket stays good.
            Ok(_) | Err(Errno::EINTR | Errno::ENETDOWN) => continue,
            Err(cause) => return Err(WitnessError::kernel("reading ARP frames")(io::Error::from(cause))),
        };
        let at_us = now_us();
        let understood = frame.get(..length).and_then(|frame| match vip {
            IpAddr::V4(vip) => understand(frame, vip),
            IpAddr::V6(vip) => understand_v6(frame, vip),
        });
        if let Some((from, kind)) = understood {
            let what = What::Arp { from, kind, about: vip };
            tell(&Recorded { at_us, who: who.to_owned(), what })?;
        }
    }
}

/// The sender's hardware address and the kind of frame; none where it is not ARP about the VIP.
fn understand(frame: &[u8], vip: Ipv4Addr) -> Option<(String, ArpKind)> {
    let arp = frame.get(ETHERNET..FRAME)?;
    let bytes = |at: usize| arp.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    if arp.get(..6)? != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let reply = match arp.get(6..8)? {
        [0, 1] => false,
        [0, 2] => true,
        _ => return None,
    };
    let (sender, target) = (Ipv4Addr::from(bytes(14)?), Ipv4Addr::from(bytes(24)?));
    let kind = match (sender == vip, target == vip) {
        (true, false) if reply => ArpKind::Reply,
        // A request *from* the VIP tells its hardware address as well as an announcement does.
        (true, _) => ArpKind::Announcement,
        (false, true) if sender.is_unspecified() && !reply => ArpKind::Probe,
        (false, true) if !reply => ArpKind::Request,
        _ => return None,
    };
    Some((in_words(arp.get(8..14)?), kind))
}

/// The same of a neighbor solicitation or advertisement.
fn understand_v6(frame: &[u8], vip: Ipv6Addr) -> Option<(String, ArpKind)> {
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(frame.get(at..at + 16)?).ok()?));
    if *frame.get(ETHERNET + 6)? != 58 {
        return None;
    }
    let (source, destination, target) =
        (address(ETHERNET + 8)?, address(ETHERNET + 24)?, address(TARGET_V6)?);
    let kind = match *frame.get(ICMP_V6)? {
        135 if source == vip => ArpKind::Announcement,
        135 if target == vip && source.is_unspecified() => ArpKind::Probe,
        135 if target == vip => ArpKind::Request,
        136 if target == vip && destination.is_multicast() => ArpKind::Announcement,
        136 if target == vip => ArpKind::Reply,
        _ => return None,
    };
    Some((in_words(frame.get(6..12)?), kind))
}

fn in_words(mac: &[u8]) -> String {
    let bytes: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);

    fn frame(operation: u8, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1]);
        frame.extend(sender.octets());
        frame.extend([0; 6]);
        frame.extend(target.octets());
        frame
    }

    #[test]
    fn each_kind_of_frame_about_the_vip_is_told_apart() {
        let kind = |operation, sender, target| {
            understand(&frame(operation, sender, target), VIP).map(|(_, kind)| kind)
        };
        assert_eq!(kind(1, Ipv4Addr::UNSPECIFIED, VIP), Some(ArpKind::Probe));
        assert_eq!(kind(1, OTHER, VIP), Some(ArpKind::Request));
        assert_eq!(kind(1, VIP, VIP), Some(ArpKind::Announcement));
        assert_eq!(kind(2, VIP, VIP), Some(ArpKind::Announcement));
        assert_eq!(kind(2, VIP, OTHER), Some(ArpKind::Reply));
        assert_eq!(kind(1, OTHER, OTHER), None);
    }

    #[test]
    fn each_kind_of_ipv6_message_about_the_vip_is_told_apart() {
        let [vip, other]: [Ipv6Addr; 2] = ["fd77::100", "fd77::9"].map(|text| text.parse().unwrap());
        let all: Ipv6Addr = "ff02::1".parse().unwrap();
        let kind = |kind: u8, source: Ipv6Addr, destination: Ipv6Addr, target: Ipv6Addr| {
            let mut frame = vec![0x33; 6];
            frame.extend([2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255]);
            frame.extend([source.octets(), destination.octets()].concat());
            frame.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
            frame.extend(target.octets());
            for length in 0..frame.len() {
                assert_eq!(understand_v6(&frame[..length], vip).filter(|_| kind == 136), None);
            }
            understand_v6(&frame, vip)
                .map(|(from, kind)| (from == "02:00:00:00:00:01").then_some(kind).unwrap())
        };
        assert_eq!(kind(135, Ipv6Addr::UNSPECIFIED, all, vip), Some(ArpKind::Probe));
        assert_eq!(kind(135, other, all, vip), Some(ArpKind::Request));
        assert_eq!(kind(135, vip, all, other), Some(ArpKind::Announcement));
        assert_eq!(kind(136, vip, all, vip), Some(ArpKind::Announcement));
        assert_eq!(kind(136, vip, other, vip), Some(ArpKind::Reply));
        assert_eq!(kind(136, other, all, other), None);
        assert_eq!(kind(134, vip, all, vip), None);
    }

    #[test]
    fn a_frame_cut_short_anywhere_is_passed_over() {
        let whole = frame(1, VIP, VIP);
        assert_eq!(understand(&whole, VIP).unwrap().0, "02:00:00:00:00:01");
        for length in 0..whole.len() {
            assert_eq!(understand(&whole[..length], VIP), None);
        }
    }
}
