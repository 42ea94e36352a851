//! What a packet socket is to receive, as the kernel's own small programs (bpf(4), `linux/filter.h`).

#![allow(
    clippy::cast_possible_truncation,
    reason = "operations of a filter are 16 bits, a header is 14 bytes"
)]

use std::net::Ipv4Addr;

use decide::event::Mac;
use socket2::SockFilter;

/// Destination and source MAC, and the kind of what follows.
pub(crate) const ETHERNET_HEADER: usize = 14;
const IP: u32 = ETHERNET_HEADER as u32;

const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_BYTE_AFTER_INDEX: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_IND) as u16;
const INDEX_BY_HEADER_LENGTH: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_IF_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();
const VLAN_TAGGED: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG_PRESENT).cast_unsigned();
const DESTINATION: u32 = IP + 16;

/// "Sent to this interface's own MAC, and to this IPv4 address".
pub(crate) fn arrived_for(destination: Ipv4Addr) -> [SockFilter; 6] {
    [
        SockFilter::new(LOAD_WORD, 0, 0, PACKET_TYPE),
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, u32::from(libc::PACKET_HOST)),
        SockFilter::new(LOAD_WORD, 0, 0, DESTINATION),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, destination.to_bits()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// "Sent to this MAC, which is another host's, and to this IPv4 address: a TCP SYN without ACK, RST or FIN, no fragment,
/// in no other VLAN".
pub(crate) fn asks_another(destination: Ipv4Addr, mac: Mac) -> [SockFilter; 20] {
    let [m0, m1, m2, m3, m4, m5] = mac.0;
    // How many instructions lie between the one at this place and the last, which drops the frame.
    let drop_from = |place: u8| 18 - place;
    [
        SockFilter::new(LOAD_WORD, 0, 0, PACKET_TYPE),
        SockFilter::new(JUMP_IF_EQUAL, 0, drop_from(1), u32::from(libc::PACKET_OTHERHOST)),
        SockFilter::new(LOAD_WORD, 0, 0, VLAN_TAGGED),
        SockFilter::new(JUMP_IF_EQUAL, 0, drop_from(3), 0),
        SockFilter::new(LOAD_WORD, 0, 0, 0),
        SockFilter::new(JUMP_IF_EQUAL, 0, drop_from(5), u32::from_be_bytes([m0, m1, m2, m3])),
        SockFilter::new(LOAD_HALF, 0, 0, 4),
        SockFilter::new(JUMP_IF_EQUAL, 0, drop_from(7), u32::from(u16::from_be_bytes([m4, m5]))),
        SockFilter::new(LOAD_WORD, 0, 0, DESTINATION),
        SockFilter::new(JUMP_IF_EQUAL, 0, drop_from(9), destination.to_bits()),
        SockFilter::new(LOAD_BYTE, 0, 0, IP + 9),
        SockFilter::new(JUMP_IF_EQUAL, 0, drop_from(11), libc::IPPROTO_TCP.cast_unsigned()),
        SockFilter::new(LOAD_HALF, 0, 0, IP + 6),
        SockFilter::new(JUMP_IF_ANY_BIT, drop_from(13), 0, 0x3fff),
        SockFilter::new(INDEX_BY_HEADER_LENGTH, 0, 0, IP),
        SockFilter::new(LOAD_BYTE_AFTER_INDEX, 0, 0, IP + 13),
        SockFilter::new(AND, 0, 0, 0x17),
        SockFilter::new(JUMP_IF_EQUAL, 0, drop_from(17), 0x02),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}
