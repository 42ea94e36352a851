//! What a packet socket is to receive, as the kernel's own small programs (bpf(4), `linux/filter.h`).

#![allow(
    clippy::cast_possible_truncation,
    reason = "operations of a filter are 16 bits, a header is 14 bytes"
)]

use std::net::{IpAddr, Ipv4Addr};

use socket2::SockFilter;
use wire::{ETHERNET_HEADER, Mac};

const IP: u32 = ETHERNET_HEADER as u32;

const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_BYTE_AFTER_INDEX: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_IND) as u16;
const INDEX_BY_HEADER_LENGTH: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
const SUBTRACT: u16 = (libc::BPF_ALU | libc::BPF_SUB | libc::BPF_K) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_IF_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();
const VLAN_TAGGED: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG_PRESENT).cast_unsigned();
/// Where the destination stands in a frame.
const DESTINATION_V4: u32 = IP + 16;
const DESTINATION_V6: u32 = IP + 24;
/// What follows the header of an IPv6 packet without extension headers.
const AFTER_V6: u32 = IP + 40;
/// Neighbor solicitation, an ICMP type; advertisement is the next number (RFC 4861 section 4).
const SOLICITATION: u32 = 135;
/// Where the source stands in an IPv4 frame.
const SOURCE_V4: u32 = IP + 12;
/// Echo reply, an ICMP type (RFC 792).
const ECHO_REPLY: u32 = 0;
/// FIN, SYN, RST and ACK of TCP's flags; of these, SYN alone.
const FLAGS: u32 = 0x17;
const SYN: u32 = 0x02;

/// What is loaded, in one or more steps, and what it must be for the frame to be taken.
struct Condition {
    loads: Vec<(u16, u32)>,
    must: Must,
}

enum Must {
    Be(u32),
    HaveNoBitOf(u32),
}

fn is(operation: u16, at: u32, value: u32) -> Condition {
    Condition { loads: vec![(operation, at)], must: Must::Be(value) }
}

/// The program that takes a frame which meets them all, whole, and drops the others.
fn all_of(conditions: Vec<Condition>) -> Vec<SockFilter> {
    let instructions: usize = conditions.iter().map(|condition| condition.loads.len() + 1).sum();
    let mut program = Vec::with_capacity(instructions + 2);
    for condition in conditions {
        program
            .extend(condition.loads.into_iter().map(|(operation, at)| SockFilter::new(operation, 0, 0, at)));
        // How many instructions lie between this one and the last, which drops the frame. A filter of ours is short.
        let drop = u8::try_from(instructions - program.len()).unwrap_or(u8::MAX);
        program.push(match condition.must {
            Must::Be(value) => SockFilter::new(JUMP_IF_EQUAL, 0, drop, value),
            Must::HaveNoBitOf(bits) => SockFilter::new(JUMP_IF_ANY_BIT, drop, 0, bits),
        });
    }
    program.extend([SockFilter::new(RETURN, 0, 0, u32::MAX), SockFilter::new(RETURN, 0, 0, 0)]);
    program
}

/// "To this address", of a frame of its family.
fn to(destination: IpAddr) -> Vec<Condition> {
    match destination {
        IpAddr::V4(destination) => vec![is(LOAD_WORD, DESTINATION_V4, destination.to_bits())],
        IpAddr::V6(destination) => (DESTINATION_V6..)
            .step_by(4)
            .zip(destination.octets().as_chunks::<4>().0)
            .map(|(at, word)| is(LOAD_WORD, at, u32::from_be_bytes(*word)))
            .collect(),
    }
}

/// "A TCP SYN without ACK, RST or FIN, no fragment", of a frame of this address's family.
fn bare_syn(family_of: IpAddr) -> Vec<Condition> {
    let tcp = libc::IPPROTO_TCP.cast_unsigned();
    match family_of {
        IpAddr::V4(_) => vec![
            is(LOAD_BYTE, IP + 9, tcp),
            Condition { loads: vec![(LOAD_HALF, IP + 6)], must: Must::HaveNoBitOf(0x3fff) },
            Condition {
                loads: vec![(INDEX_BY_HEADER_LENGTH, IP), (LOAD_BYTE_AFTER_INDEX, IP + 13), (AND, FLAGS)],
                must: Must::Be(SYN),
            },
        ],
        // Behind an extension header, a fragment's too, there is another number than TCP's.
        IpAddr::V6(_) => vec![
            is(LOAD_BYTE, IP + 6, tcp),
            Condition { loads: vec![(LOAD_BYTE, AFTER_V6 + 13), (AND, FLAGS)], must: Must::Be(SYN) },
        ],
    }
}

/// "A neighbor solicitation or advertisement that no router has passed on", of an IPv6 frame: of all IPv6 traffic, nothing else
/// wakes whoever listens for it.
pub(crate) fn neighbor_discovery() -> Vec<SockFilter> {
    let kind = vec![(LOAD_BYTE, AFTER_V6), (SUBTRACT, SOLICITATION), (AND, !1)];
    all_of(vec![
        is(LOAD_BYTE, IP + 6, libc::IPPROTO_ICMPV6.cast_unsigned()),
        is(LOAD_BYTE, IP + 7, 255),
        Condition { loads: kind, must: Must::Be(0) },
    ])
}

/// "Sent to this interface's own MAC: an ICMP echo reply from this address, no fragment", of an IPv4 frame.
pub(crate) fn echo_reply_of(source: Ipv4Addr) -> Vec<SockFilter> {
    let kind = vec![(INDEX_BY_HEADER_LENGTH, IP), (LOAD_BYTE_AFTER_INDEX, IP)];
    all_of(vec![
        is(LOAD_WORD, PACKET_TYPE, u32::from(libc::PACKET_HOST)),
        is(LOAD_BYTE, IP + 9, libc::IPPROTO_ICMP.cast_unsigned()),
        is(LOAD_WORD, SOURCE_V4, source.to_bits()),
        Condition { loads: vec![(LOAD_HALF, IP + 6)], must: Must::HaveNoBitOf(0x3fff) },
        Condition { loads: kind, must: Must::Be(ECHO_REPLY) },
    ])
}

/// "Sent to this interface's own MAC, and to this address".
pub(crate) fn arrived_for(destination: IpAddr) -> Vec<SockFilter> {
    let mut conditions = vec![is(LOAD_WORD, PACKET_TYPE, u32::from(libc::PACKET_HOST))];
    conditions.extend(to(destination));
    all_of(conditions)
}

/// "Sent to this MAC, which is another host's, and to this address: a TCP SYN without ACK, RST or FIN, no fragment, in no other
/// VLAN".
pub(crate) fn asks_another(destination: IpAddr, mac: Mac) -> Vec<SockFilter> {
    let [m0, m1, m2, m3, m4, m5] = mac.0;
    let mut conditions = vec![
        is(LOAD_WORD, PACKET_TYPE, u32::from(libc::PACKET_OTHERHOST)),
        is(LOAD_WORD, VLAN_TAGGED, 0),
        is(LOAD_WORD, 0, u32::from_be_bytes([m0, m1, m2, m3])),
        is(LOAD_HALF, 4, u32::from(u16::from_be_bytes([m4, m5]))),
    ];
    conditions.extend(to(destination));
    conditions.extend(bare_syn(destination));
    all_of(conditions)
}
