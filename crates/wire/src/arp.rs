//! ARP for IPv4 over Ethernet (RFC 826), with the forms that RFC 5227 names: probe and announcement; and one more, the
//! release, which to everybody else is a probe.
//!
//! Frames with an 802.1Q tag are not decoded: the kernel hands a tagged frame to the VLAN's own interface, untagged.

use std::net::Ipv4Addr;

use crate::neighbor::NeighborMessage;
use crate::{Mac, Word};

/// Bytes of an encoded frame: 14 of Ethernet, 28 of ARP. Drivers pad it to the 60 that the wire wants.
pub const FRAME_LENGTH: usize = 42;

const ETHER_TYPE_ARP: [u8; 2] = [0x08, 0x06];
const HARDWARE_ETHERNET: [u8; 2] = [0, 1];
const PROTOCOL_IPV4: [u8; 2] = [0x08, 0x00];
const ADDRESS_LENGTHS: [u8; 2] = [6, 4];

/// What a frame does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Asks (opcode 1).
    Request,
    /// Answers, or declares unasked (opcode 2).
    Reply,
}

impl Operation {
    fn code(self) -> [u8; 2] {
        match self {
            Self::Request => [0, 1],
            Self::Reply => [0, 2],
        }
    }
}

/// One ARP frame, with its Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpFrame {
    /// Ethernet destination.
    pub destination: Mac,
    /// Ethernet source.
    pub source: Mac,
    /// Request or reply.
    pub operation: Operation,
    /// The sender's hardware address (`ar$sha`).
    pub sender_mac: Mac,
    /// The sender's address (`ar$spa`); 0.0.0.0 in a probe.
    pub sender_address: Ipv4Addr,
    /// The target's hardware address (`ar$tha`); all zero in a request, but for a release and a question with a word.
    pub target_mac: Mac,
    /// The target's address (`ar$tpa`).
    pub target_address: Ipv4Addr,
}

/// Why bytes are not an ARP frame for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotArp {
    /// Cut off.
    #[error("{length} bytes are too few for an ARP frame, which has {FRAME_LENGTH}")]
    TooShort {
        /// Bytes there.
        length: usize,
    },
    /// Another protocol, or a frame with an 802.1Q tag.
    #[error("EtherType {0:#06x} is not ARP")]
    EtherType(u16),
    /// `ar$hrd` or `ar$hln` is not Ethernet's.
    #[error("hardware type {hardware} with addresses of {length} bytes is not Ethernet")]
    Hardware {
        /// `ar$hrd`.
        hardware: u16,
        /// `ar$hln`.
        length: u8,
    },
    /// `ar$pro` or `ar$pln` is not IPv4's.
    #[error("protocol {protocol:#06x} with addresses of {length} bytes is not IPv4")]
    Protocol {
        /// `ar$pro`.
        protocol: u16,
        /// `ar$pln`.
        length: u8,
    },
    /// Neither request nor reply.
    #[error("ARP operation {0} is neither request nor reply")]
    Operation(u16),
}

impl ArpFrame {
    /// "Who has `target`? Tell `sender_address`": to everybody.
    pub fn request(sender_mac: Mac, sender_address: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self {
            destination: Mac::BROADCAST,
            source: sender_mac,
            operation: Operation::Request,
            sender_mac,
            sender_address,
            target_mac: Mac::UNKNOWN,
            target_address: target,
        }
    }

    /// The same with a word beside it, in the field that RFC 826 leaves undefined in a request.
    pub fn word(sender_mac: Mac, sender_address: Ipv4Addr, target: Ipv4Addr, word: Word) -> Self {
        Self { target_mac: word.mark(), ..Self::request(sender_mac, sender_address, target) }
    }

    /// "`sender_address` is at `sender_mac`": to the one that asked.
    pub fn reply(sender_mac: Mac, sender_address: Ipv4Addr, to_mac: Mac, to_address: Ipv4Addr) -> Self {
        Self {
            destination: to_mac,
            source: sender_mac,
            operation: Operation::Reply,
            sender_mac,
            sender_address,
            target_mac: to_mac,
            target_address: to_address,
        }
    }

    /// RFC 5227 section 1.1: a request whose sender's address is 0.0.0.0, so that it changes nobody's ARP cache.
    pub fn probe(sender_mac: Mac, target: Ipv4Addr) -> Self {
        Self::request(sender_mac, Ipv4Addr::UNSPECIFIED, target)
    }

    /// "The target is free, and I say so to `to`": a probe that names somebody where RFC 5227 section 1.1 says that the field
    /// is ignored, and should be zero. Said to nobody in particular, it names its sender.
    pub fn release(sender_mac: Mac, target: Ipv4Addr, to: Option<Mac>) -> Self {
        Self { target_mac: to.unwrap_or(sender_mac), ..Self::probe(sender_mac, target) }
    }

    /// Whom a frame that has a probe's form names: it is a release then. Broadcast, with which some tools fill the field,
    /// names nobody.
    pub fn released_to(&self) -> Option<Mac> {
        self.target_mac.is_one_host().then_some(self.target_mac)
    }

    /// What it says; nothing where it says nothing of an address: a reply from nobody's address.
    pub fn message(&self) -> Option<NeighborMessage> {
        let (sender, target) = (self.sender_address.into(), self.target_address.into());
        Some(match (self.operation, self.sender_address.is_unspecified()) {
            (Operation::Request, true) => match self.released_to() {
                None => NeighborMessage::Probe { target },
                Some(named) => NeighborMessage::Release {
                    address: target,
                    to: Some(named).filter(|named| *named != self.sender_mac),
                },
            },
            (Operation::Reply, true) => return None,
            (Operation::Request, false) if sender == target => {
                NeighborMessage::Announcement { address: sender }
            }
            (Operation::Request, false) => match Word::of_mark(self.target_mac) {
                Some(word) => NeighborMessage::Word { target, asker: sender, word },
                None => NeighborMessage::Question { target, asker: sender },
            },
            (Operation::Reply, false) if self.destination.is_one_host() || sender != target => {
                let to = (!self.target_address.is_unspecified()).then_some(target);
                NeighborMessage::Reply { address: sender, to }
            }
            (Operation::Reply, false) => NeighborMessage::Announcement { address: sender },
        })
    }

    /// RFC 5227 section 3, an ARP announcement: a request for one's own address.
    pub fn gratuitous_request(sender_mac: Mac, address: Ipv4Addr) -> Self {
        Self::request(sender_mac, address, address)
    }

    /// The same as an unasked reply to everybody, which some equipment acts on sooner. The target's hardware address is
    /// the sender's own: Linux takes a reply for gratuitous only then (`arp_process`, since 4.14).
    pub fn gratuitous_reply(sender_mac: Mac, address: Ipv4Addr) -> Self {
        Self { destination: Mac::BROADCAST, ..Self::reply(sender_mac, address, sender_mac, address) }
    }

    /// The bytes for the wire.
    pub fn encode(&self) -> [u8; FRAME_LENGTH] {
        let parts: [&[u8]; 11] = [
            &self.destination.0,
            &self.source.0,
            &ETHER_TYPE_ARP,
            &HARDWARE_ETHERNET,
            &PROTOCOL_IPV4,
            &ADDRESS_LENGTHS,
            &self.operation.code(),
            &self.sender_mac.0,
            &self.sender_address.octets(),
            &self.target_mac.0,
            &self.target_address.octets(),
        ];
        let mut frame = [0; FRAME_LENGTH];
        for (place, byte) in frame.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *byte;
        }
        frame
    }

    /// Reads a frame from the wire; bytes after it (padding) are ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotArp> {
        let too_short = NotArp::TooShort { length: bytes.len() };
        let mut rest = Reader(bytes);
        let destination = Mac(rest.take().ok_or(too_short)?);
        let source = Mac(rest.take().ok_or(too_short)?);
        let ether_type: [u8; 2] = rest.take().ok_or(too_short)?;
        if ether_type != ETHER_TYPE_ARP {
            return Err(NotArp::EtherType(u16::from_be_bytes(ether_type)));
        }
        let hardware: [u8; 2] = rest.take().ok_or(too_short)?;
        let protocol: [u8; 2] = rest.take().ok_or(too_short)?;
        let [hardware_length, protocol_length] = rest.take().ok_or(too_short)?;
        if (hardware, hardware_length) != (HARDWARE_ETHERNET, ADDRESS_LENGTHS[0]) {
            return Err(NotArp::Hardware { hardware: u16::from_be_bytes(hardware), length: hardware_length });
        }
        if (protocol, protocol_length) != (PROTOCOL_IPV4, ADDRESS_LENGTHS[1]) {
            return Err(NotArp::Protocol { protocol: u16::from_be_bytes(protocol), length: protocol_length });
        }
        let operation = match rest.take().ok_or(too_short)? {
            [0, 1] => Operation::Request,
            [0, 2] => Operation::Reply,
            other => return Err(NotArp::Operation(u16::from_be_bytes(other))),
        };
        Ok(Self {
            destination,
            source,
            operation,
            sender_mac: Mac(rest.take().ok_or(too_short)?),
            sender_address: Ipv4Addr::from(rest.take::<4>().ok_or(too_short)?),
            target_mac: Mac(rest.take().ok_or(too_short)?),
            target_address: Ipv4Addr::from(rest.take::<4>().ok_or(too_short)?),
        })
    }
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
    const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

    #[test]
    fn a_probe_is_byte_for_byte_what_rfc_5227_asks_for() {
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0x11, 0x08, 0x06, // Ethernet
            0, 1, 0x08, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
            2, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, // sender: address 0.0.0.0
            0, 0, 0, 0, 0, 0, 10, 77, 0, 100, // target
        ];
        assert_eq!(ArpFrame::probe(MAC, VIP).encode(), expected);
    }

    #[test]
    fn a_release_is_a_probe_but_for_whom_it_names() {
        let other = Mac([2, 0, 0, 0, 0, 0x12]);
        for (to, named) in [(Some(other), other), (None, MAC)] {
            let release = ArpFrame::release(MAC, VIP, to);
            assert_eq!(ArpFrame::decode(&release.encode()).unwrap().released_to(), Some(named));
            assert_eq!(ArpFrame { target_mac: Mac::UNKNOWN, ..release }, ArpFrame::probe(MAC, VIP));
        }
        assert_eq!(ArpFrame::probe(MAC, VIP).released_to(), None);
        let as_arping_does = ArpFrame { target_mac: Mac::BROADCAST, ..ArpFrame::probe(MAC, VIP) };
        assert_eq!(as_arping_does.released_to(), None);
    }

    #[test]
    fn a_question_with_a_word_is_a_question_but_for_the_field_that_a_request_leaves_undefined() {
        let host = Ipv4Addr::new(10, 77, 0, 11);
        let frame = ArpFrame::word(MAC, host, VIP, Word::new(2).unwrap());
        assert_eq!(frame.encode()[32..38], [0x02, 0x48, 0x41, 0x49, 0x50, 2]);
        let question = ArpFrame::request(MAC, host, VIP);
        assert_eq!(ArpFrame { target_mac: Mac::UNKNOWN, ..frame }, question);
        // A word of a later version, and what other programs leave there.
        for target_mac in [Mac([0x02, 0x48, 0x41, 0x49, 0x50, 6]), Mac::BROADCAST, MAC] {
            assert_eq!(ArpFrame { target_mac, ..question }.message(), question.message());
        }
    }

    #[test]
    fn both_gratuitous_forms_name_the_address_as_sender_and_target() {
        for frame in [ArpFrame::gratuitous_request(MAC, VIP), ArpFrame::gratuitous_reply(MAC, VIP)] {
            assert_eq!((frame.sender_address, frame.target_address), (VIP, VIP));
            assert_eq!((frame.destination, frame.sender_mac), (Mac::BROADCAST, MAC));
        }
        assert_eq!(ArpFrame::gratuitous_reply(MAC, VIP).target_mac, MAC, "Linux asks for this");
    }

    #[test]
    fn other_hardware_protocols_operations_and_tagged_frames_are_refused() {
        let good = ArpFrame::probe(MAC, VIP).encode();
        let spoiled = |at: usize, byte: u8| {
            let mut frame = good;
            frame[at] = byte;
            ArpFrame::decode(&frame)
        };
        assert_eq!(spoiled(12, 0x81), Err(NotArp::EtherType(0x8106)));
        assert_eq!(spoiled(15, 6), Err(NotArp::Hardware { hardware: 6, length: 6 }));
        assert_eq!(spoiled(18, 8), Err(NotArp::Hardware { hardware: 1, length: 8 }));
        assert_eq!(spoiled(16, 0x86), Err(NotArp::Protocol { protocol: 0x8600, length: 4 }));
        assert_eq!(spoiled(19, 16), Err(NotArp::Protocol { protocol: 0x0800, length: 16 }));
        assert_eq!(spoiled(21, 9), Err(NotArp::Operation(9)));
        assert_eq!(ArpFrame::decode(&good[..41]), Err(NotArp::TooShort { length: 41 }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = ArpFrame::decode(&bytes);
        }

        #[test]
        fn a_good_header_with_any_body_is_read_and_written_back_the_same(
            body in prop::array::uniform32(any::<u8>()), padding in 0_usize..20, reply: bool,
        ) {
            let mut bytes = [0; FRAME_LENGTH];
            bytes[..12].copy_from_slice(&body[..12]);
            bytes[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1 + u8::from(reply)]);
            bytes[22..].copy_from_slice(&body[12..]);
            let mut padded = bytes.to_vec();
            padded.resize(FRAME_LENGTH + padding, 0);
            prop_assert_eq!(ArpFrame::decode(&padded).unwrap().encode(), bytes);
        }
    }
}
