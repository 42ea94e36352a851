//! What is said by ARP about the VIP, as one host hears it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
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

/// Tells each ARP frame about the VIP that reaches this interface, until something fails.
pub(super) fn watch(
    who: &str,
    interface: &str,
    vip: IpAddr,
    tell: &mut Tell<'_>,
) -> Result<(), WitnessError> {
    let IpAddr::V4(vip) = vip else { return Err(WitnessError::NotIpv4(vip)) };
    let mut index = if_nametoindex(interface).map_err(|cause| WitnessError::NoInterface {
        interface: interface.to_owned(),
        cause: cause.into(),
    })?;
    let protocol = i32::from(u16::try_from(libc::ETH_P_ARP).unwrap_or_default().to_be());
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
        if let Some((from, kind)) = frame.get(..length).and_then(|frame| understand(frame, vip)) {
            let what = What::Arp { from, kind, about: IpAddr::V4(vip) };
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
    let from: Vec<String> = arp.get(8..14)?.iter().map(|byte| format!("{byte:02x}")).collect();
    Some((from.join(":"), kind))
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
    fn a_frame_cut_short_anywhere_is_passed_over() {
        let whole = frame(1, VIP, VIP);
        assert_eq!(understand(&whole, VIP).unwrap().0, "02:00:00:00:00:01");
        for length in 0..whole.len() {
            assert_eq!(understand(&whole[..length], VIP), None);
        }
    }
}
