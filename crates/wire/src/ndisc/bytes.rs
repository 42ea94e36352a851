//! The bytes of neighbor discovery, written and read.
//!
//! A message is read only where RFC 4861 sections 7.1.1 and 7.1.2 let a node act on it: from the same link (hop limit 255), with
//! a right checksum. Extension headers are not read: no stack sends neighbor discovery with one, and RFC 6980 forbids fragments.

use std::net::Ipv6Addr;

use super::{Body, Ndisc, solicited_node};
use crate::checksum::checksum_v6;
use crate::{ETHERNET_HEADER, Mac};

const ETHER_TYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const IPV6_HEADER: usize = 40;
const NEXT_HEADER_ICMPV6: u8 = 58;
/// No router has passed it on.
const HOP_LIMIT: u8 = 255;
/// Type, code, checksum, flags or reserved, target.
const MESSAGE: usize = 24;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
/// RFC 4727 section 5.1.3: an option for experiments, which whoever does not know it ignores (RFC 4861 section 4.6). Its six
/// bytes are the MAC of whom the address is released to.
const RELEASED_TO: u8 = 253;
/// An option of ours: type, length in units of 8 bytes, six bytes of MAC.
const OPTION: usize = 8;

/// Why bytes are not a neighbor solicitation or advertisement to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNdisc {
    /// Cut off, or shorter than its own length says.
    #[error("{length} bytes are too few for this neighbor discovery message")]
    TooShort {
        /// Bytes there.
        length: usize,
    },
    /// Another protocol, or a frame with an 802.1Q tag.
    #[error("EtherType {0:#06x} is not IPv6")]
    EtherType(u16),
    /// The packet is of another version.
    #[error("an IPv6 packet of version {0}")]
    Version(u8),
    /// What follows the IPv6 header is not ICMP for IPv6.
    #[error("next header {0} is not ICMPv6")]
    NextHeader(u8),
    /// A router has passed it on: it is not of this link.
    #[error("hop limit {0}: neighbor discovery has 255")]
    HopLimit(u8),
    /// Wrong, or the packet was changed on its way.
    #[error("the checksum is wrong")]
    Checksum,
    /// Another ICMP message.
    #[error("ICMPv6 type {kind}, code {code} is neither neighbor solicitation nor advertisement")]
    Type {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
    /// The target is a group.
    #[error("the target {0} is a multicast address")]
    Target(Ipv6Addr),
    /// An option of length 0.
    #[error("an option of length 0")]
    Option,
    /// A solicitation from nobody's address that is not to the target's solicited-node group, or that has a source link-layer
    /// address; an advertisement from nobody's address; or one to a group that says that it was solicited.
    #[error("{source_address} to {destination}: RFC 4861 sections 7.1.1 and 7.1.2 forbid it")]
    Addresses {
        /// IPv6 source.
        source_address: Ipv6Addr,
        /// IPv6 destination.
        destination: Ipv6Addr,
    },
}

impl Ndisc {
    /// The bytes for the wire.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, flags, options) = match self.body {
            Body::Solicitation { source_mac, released_to } => {
                (SOLICITATION, 0, [(SOURCE_MAC, source_mac), (RELEASED_TO, released_to)])
            }
            Body::Advertisement { router, solicited, overrides, target_mac } => {
                let flag = |is: bool, flag: u8| if is { flag } else { 0 };
                let flags = flag(router, ROUTER) | flag(solicited, SOLICITED) | flag(overrides, OVERRIDE);
                (ADVERTISEMENT, flags, [(TARGET_MAC, target_mac), (RELEASED_TO, None)])
            }
        };
        let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
        message.extend(self.target.octets());
        for (kind, mac) in options {
            if let Some(mac) = mac {
                message.extend([kind, 1]);
                message.extend(mac.0);
            }
        }
        let sum = checksum_v6(self.source, self.destination, NEXT_HEADER_ICMPV6, &message);
        if let Some(place) = message.get_mut(2..4) {
            place.copy_from_slice(&sum);
        }
        // A message of ours has at most 40 bytes.
        let [.., high, low] = message.len().to_be_bytes();
        let header = [0x60, 0, 0, 0, high, low, NEXT_HEADER_ICMPV6, HOP_LIMIT];
        let parts: [&[u8]; 7] = [
            &self.destination_mac.0,
            &self.source_mac.0,
            &ETHER_TYPE_IPV6,
            &header,
            &self.source.octets(),
            &self.destination.octets(),
            &message,
        ];
        parts.concat()
    }

    /// Reads a frame from the wire; bytes after it (padding) and options that say nothing here are ignored.
    ///
    /// # Errors
    /// It is another protocol's, or no node may act on it.
    pub fn decode(frame: &[u8]) -> Result<Self, NotNdisc> {
        let too_short = NotNdisc::TooShort { length: frame.len() };
        let (ethernet, packet) = frame.split_first_chunk::<ETHERNET_HEADER>().ok_or(too_short)?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, ether_type @ ..] = *ethernet;
        if ether_type != ETHER_TYPE_IPV6 {
            return Err(NotNdisc::EtherType(u16::from_be_bytes(ether_type)));
        }
        let (header, after) = packet.split_first_chunk::<IPV6_HEADER>().ok_or(too_short)?;
        let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let (source, destination) = (address_in(header, 8), address_in(header, 24));
        match header {
            [first, ..] if first >> 4 != 6 => return Err(NotNdisc::Version(first >> 4)),
            [_, _, _, _, _, _, next, ..] if *next != NEXT_HEADER_ICMPV6 => {
                return Err(NotNdisc::NextHeader(*next));
            }
            [_, _, _, _, _, _, _, hops, ..] if *hops != HOP_LIMIT => return Err(NotNdisc::HopLimit(*hops)),
            _ => {}
        }
        let message = after.get(..payload).ok_or(too_short)?;
        let (fixed, options) = message.split_first_chunk::<MESSAGE>().ok_or(too_short)?;
        if checksum_v6(source, destination, NEXT_HEADER_ICMPV6, message) != [0, 0] {
            return Err(NotNdisc::Checksum);
        }
        let target = address_in(fixed, 8);
        let options = Options::read(options, too_short)?;
        let body = match *fixed {
            [SOLICITATION, 0, ..] => {
                Body::Solicitation { source_mac: options.source_mac, released_to: options.released_to }
            }
            [ADVERTISEMENT, 0, _, _, flags, ..] => Body::Advertisement {
                router: flags & ROUTER != 0,
                solicited: flags & SOLICITED != 0,
                overrides: flags & OVERRIDE != 0,
                target_mac: options.target_mac,
            },
            [kind, code, ..] => return Err(NotNdisc::Type { kind, code }),
        };
        if target.is_multicast() {
            return Err(NotNdisc::Target(target));
        }
        let destination_mac = Mac([d0, d1, d2, d3, d4, d5]);
        let source_mac = Mac([s0, s1, s2, s3, s4, s5]);
        let read = Self { destination_mac, source_mac, source, destination, target, body };
        if read.may_be_acted_on() {
            Ok(read)
        } else {
            Err(NotNdisc::Addresses { source_address: source, destination })
        }
    }

    /// What RFC 4861 sections 7.1.1 and 7.1.2 ask of its addresses. An advertisement is from an interface's address (section
    /// 4.4), and nothing is from a group.
    fn may_be_acted_on(&self) -> bool {
        if self.source.is_multicast() {
            return false;
        }
        match self.body {
            Body::Solicitation { source_mac, .. } => {
                !self.source.is_unspecified()
                    || (source_mac.is_none() && self.destination == solicited_node(self.target))
            }
            Body::Advertisement { solicited, .. } => {
                !(self.source.is_unspecified() || (solicited && self.destination.is_multicast()))
            }
        }
    }
}

/// The options that say something here; of each, the first.
#[derive(Default)]
struct Options {
    source_mac: Option<Mac>,
    target_mac: Option<Mac>,
    released_to: Option<Mac>,
}

impl Options {
    fn read(mut rest: &[u8], too_short: NotNdisc) -> Result<Self, NotNdisc> {
        let mut found = Self::default();
        while let [kind, units, ..] = *rest {
            if units == 0 {
                return Err(NotNdisc::Option);
            }
            let (option, after) = rest.split_at_checked(usize::from(units) * OPTION).ok_or(too_short)?;
            if let [_, 1, mac @ ..] = option
                && let Ok(mac) = mac.try_into().map(Mac)
            {
                let place = match kind {
                    SOURCE_MAC => Some(&mut found.source_mac),
                    TARGET_MAC => Some(&mut found.target_mac),
                    RELEASED_TO => Some(&mut found.released_to),
                    _ => None,
                };
                if let Some(place) = place {
                    place.get_or_insert(mac);
                }
            }
            rest = after;
        }
        // One byte is left: not even an option's length.
        if rest.is_empty() { Ok(found) } else { Err(too_short) }
    }
}

/// The address at this place of a header that is long enough.
fn address_in(header: &[u8], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    for (octet, byte) in octets.iter_mut().zip(header.iter().skip(at)) {
        *octet = *byte;
    }
    octets.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::ALL_NODES;
    use super::*;
    use crate::Word;
    use crate::neighbor::NeighborMessage;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 0x12]);
    const VIP: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);
    const HOST: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x12);
    /// Where the ICMP message begins.
    const ICMP: usize = ETHERNET_HEADER + IPV6_HEADER;

    /// `fd77::100`.
    const VIP_BYTES: [u8; 16] = [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];

    #[test]
    fn a_probe_is_byte_for_byte_what_rfc_4861_section_4_3_and_rfc_4862_ask_for() {
        let mut expected = vec![0x33, 0x33, 0xff, 0, 1, 0, 2, 0, 0, 0, 0, 0x11, 0x86, 0xdd]; // Ethernet
        expected.extend([0x60, 0, 0, 0, 0, 24, 58, 255]); // IPv6: ICMPv6, hop limit 255
        expected.extend([0; 16]); // from nobody's address
        expected.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 1, 0]); // the solicited-node group
        expected.extend([135, 0, 0x7b, 0x30, 0, 0, 0, 0]); // the checksum worked out apart from this code
        expected.extend(VIP_BYTES);
        assert_eq!(Ndisc::probe(MAC, VIP).encode(), expected);
    }

    #[test]
    fn an_announcement_overrides_is_not_solicited_and_brings_its_mac_as_rfc_4861_section_4_4_lays_it_out() {
        let mut expected = vec![0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0x11, 0x86, 0xdd];
        expected.extend([0x60, 0, 0, 0, 0, 32, 58, 255]);
        expected.extend(VIP_BYTES);
        expected.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]); // all nodes
        expected.extend([136, 0, 0x57, 0x9f, 0x20, 0, 0, 0]); // O
        expected.extend(VIP_BYTES);
        expected.extend([2, 1, 2, 0, 0, 0, 0, 0x11]); // the target link-layer address
        assert_eq!(Ndisc::announcement(MAC, VIP).encode(), expected);
    }

    #[test]
    fn a_release_is_a_probe_with_one_option_more() {
        for (to, named) in [(Some(OTHER), OTHER), (None, MAC)] {
            let release = Ndisc::release(MAC, VIP, to);
            let body = Body::Solicitation { source_mac: None, released_to: None };
            assert_eq!(Ndisc { body, ..release }, Ndisc::probe(MAC, VIP));
            let option = [&[RELEASED_TO, 1][..], &named.0].concat();
            assert_eq!(release.encode()[ICMP + MESSAGE..], option);
            assert_eq!(release.message(), NeighborMessage::Release { address: VIP.into(), to });
        }
    }

    #[test]
    fn a_question_with_a_word_is_a_question_with_one_option_more_and_a_word_of_a_later_version_is_none() {
        let asked = Ndisc::word(MAC, HOST, VIP, Word::new(3).unwrap());
        let body = Body::Solicitation { source_mac: Some(MAC), released_to: None };
        assert_eq!(Ndisc { body, ..asked }, Ndisc::question(MAC, HOST, VIP));
        let options =
            [&[SOURCE_MAC, 1][..], &MAC.0, &[RELEASED_TO, 1], &[0x02, 0x48, 0x41, 0x49, 0x50, 3]].concat();
        assert_eq!(asked.encode()[ICMP + MESSAGE..], options);
        let mut later = asked.encode();
        let end = later.len() - 1;
        later[end] = 6;
        let question = NeighborMessage::Question { target: VIP.into(), asker: HOST.into() };
        assert_eq!(Ndisc::decode(&sealed(later)).unwrap().message(), question);
    }

    /// With the checksum put right.
    fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
        frame[ICMP + 2..ICMP + 4].fill(0);
        let (source, destination) = (address_in(&frame, 22), address_in(&frame, 38));
        let end = ICMP + usize::from(u16::from_be_bytes([frame[18], frame[19]]));
        let sum = checksum_v6(source, destination, NEXT_HEADER_ICMPV6, &frame[ICMP..end]);
        frame[ICMP + 2..ICMP + 4].copy_from_slice(&sum);
        frame
    }

    /// What comes of a question with one byte changed, and the checksum right again.
    fn with(at: usize, value: u8) -> Result<Ndisc, NotNdisc> {
        let mut frame = Ndisc::question(MAC, HOST, VIP).encode();
        frame[at] = value;
        Ndisc::decode(&sealed(frame))
    }

    #[test]
    fn what_rfc_4861_section_7_1_1_forbids_is_not_read() {
        assert!(with(0, 0x33).is_ok(), "unchanged");
        assert_eq!(with(12, 8), Err(NotNdisc::EtherType(0x08dd)));
        assert_eq!(with(14, 0x45), Err(NotNdisc::Version(4)));
        assert_eq!(with(20, 6), Err(NotNdisc::NextHeader(6)));
        assert_eq!(with(21, 254), Err(NotNdisc::HopLimit(254)));
        assert_eq!(with(ICMP, 134), Err(NotNdisc::Type { kind: 134, code: 0 }));
        assert_eq!(with(ICMP + 1, 1), Err(NotNdisc::Type { kind: SOLICITATION, code: 1 }));
        assert!(matches!(with(ICMP + 8, 0xff), Err(NotNdisc::Target(_))));
        assert_eq!(with(ICMP + MESSAGE + 1, 0), Err(NotNdisc::Option));
        assert!(matches!(with(ICMP + MESSAGE + 1, 2), Err(NotNdisc::TooShort { .. })));
        let mut frame = Ndisc::question(MAC, HOST, VIP).encode();
        frame[ICMP + MESSAGE + 3] ^= 1;
        assert_eq!(Ndisc::decode(&frame), Err(NotNdisc::Checksum));
    }

    #[test]
    fn a_probe_to_another_group_or_with_a_source_mac_is_not_read() {
        let forbidden =
            |message: Ndisc| matches!(Ndisc::decode(&message.encode()), Err(NotNdisc::Addresses { .. }));
        let probe = Ndisc::probe(MAC, VIP);
        assert!(forbidden(Ndisc { destination: ALL_NODES, ..probe }));
        let body = Body::Solicitation { source_mac: Some(MAC), released_to: None };
        assert!(forbidden(Ndisc { body, ..probe }));
        assert!(forbidden(Ndisc { source: ALL_NODES, ..Ndisc::question(MAC, HOST, VIP) }));
        let reply = Ndisc::reply(MAC, VIP, HOST, OTHER);
        assert!(forbidden(Ndisc { destination: ALL_NODES, ..reply }), "solicited by everybody");
        assert!(forbidden(Ndisc { source: Ipv6Addr::UNSPECIFIED, ..reply }));
    }

    #[test]
    fn options_that_are_not_known_and_padding_change_nothing() {
        let question = Ndisc::question(MAC, HOST, VIP);
        let mut frame = question.encode();
        frame[19] += 16;
        // RFC 3971's nonce and a redirected header of two units, cut to one here.
        frame.extend([14, 1, 1, 2, 3, 4, 5, 6, 4, 1, 0, 0, 0, 0, 0, 0]);
        let mut frame = sealed(frame);
        frame.extend([0xaa; 7]);
        assert_eq!(Ndisc::decode(&frame), Ok(question));
    }

    #[test]
    fn an_answer_without_the_option_is_from_where_ethernet_says() {
        let body = Body::Advertisement { router: true, solicited: true, overrides: false, target_mac: None };
        let reply = Ndisc { body, ..Ndisc::reply(MAC, VIP, HOST, OTHER) };
        let read = Ndisc::decode(&reply.encode()).unwrap();
        assert_eq!((read, read.sender_mac()), (reply, MAC));
    }

    #[test]
    fn cut_short_it_is_nothing() {
        for message in [Ndisc::question(MAC, HOST, VIP), Ndisc::announcement(MAC, VIP)] {
            let frame = message.encode();
            for length in 0..frame.len() {
                assert_eq!(Ndisc::decode(&frame[..length]), Err(NotNdisc::TooShort { length }));
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Ndisc::decode(&bytes);
        }

        #[test]
        fn a_sound_header_with_any_message_is_borne(
            message in prop::collection::vec(any::<u8>(), 24..80), kind in 135_u8..137,
        ) {
            let mut frame = Ndisc::question(MAC, HOST, VIP).encode();
            frame.truncate(ICMP);
            frame.extend(message);
            let [.., high, low] = (frame.len() - ICMP).to_be_bytes();
            frame[18..20].copy_from_slice(&[high, low]);
            frame[ICMP..ICMP + 2].copy_from_slice(&[kind, 0]);
            if let Ok(read) = Ndisc::decode(&sealed(frame)) {
                prop_assert_eq!(Ndisc::decode(&read.encode()), Ok(read));
            }
        }
    }
}
