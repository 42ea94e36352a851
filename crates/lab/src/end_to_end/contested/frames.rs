//! Frames that say where the VIP is, of its own family: ARP (RFC 826), or neighbor advertisements (RFC 4861 section 4.4). Written here byte by
//! byte, and not by the agent's own code, whose mistakes they would share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::segment::{Mac, VIP, ipv6, vip};

/// To all hosts: frames and packets.
const ALL_NODES: (Mac, Ipv6Addr) = ([0x33, 0x33, 0, 0, 0, 1], Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
const ICMPV6: u8 = 58;
const ADVERTISEMENT: u8 = 136;
/// Flags of an advertisement.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// To all: the VIP is at this MAC.
pub(super) fn claim(mac: Mac) -> Vec<u8> {
    match vip() {
        IpAddr::V4(_) => arp([0xff; 6], mac, 1, ([0; 6], VIP)),
        IpAddr::V6(vip) => advertisement(ALL_NODES, mac, vip, OVERRIDE),
    }
}

/// To this host alone, though it has not asked: the VIP is at this MAC.
pub(super) fn told_to(host: Mac, address: Ipv4Addr, mac: Mac) -> Vec<u8> {
    match vip() {
        IpAddr::V4(_) => arp(host, mac, 2, (host, address)),
        IpAddr::V6(vip) => advertisement((host, ipv6(address)), mac, vip, OVERRIDE | SOLICITED),
    }
}

/// An ARP frame in which the VIP's MAC is this, to `destination`.
fn arp(destination: Mac, mac: Mac, operation: u8, target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut frame = destination.to_vec();
    frame.extend(mac);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(mac);
    frame.extend(VIP.octets());
    frame.extend(target.0);
    frame.extend(target.1.octets());
    frame
}

/// An advertisement in which the VIP's MAC is this.
fn advertisement((to, address): (Mac, Ipv6Addr), mac: Mac, vip: Ipv6Addr, flags: u8) -> Vec<u8> {
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    message.extend(vip.octets());
    // The target's link-layer address: of one times eight bytes.
    message.extend([2, 1]);
    message.extend(mac);
    let length = u8::try_from(message.len()).unwrap_or(u8::MAX);
    let mut summed = [vip.octets(), address.octets()].concat();
    summed.extend([0, 0, 0, length, 0, 0, 0, ICMPV6]);
    summed.extend(&message);
    message[2..4].copy_from_slice(&checksum(&summed).to_be_bytes());
    let mut frame = to.to_vec();
    frame.extend(mac);
    // Hop limit 255: who receives it can tell that no router passed it on.
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, length, ICMPV6, 255]);
    frame.extend(vip.octets());
    frame.extend(address.octets());
    frame.extend(message);
    frame
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}
