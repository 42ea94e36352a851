//! What hosts on a segment say about an address, by ARP for IPv4 and by neighbor discovery for IPv6.

use std::net::IpAddr;

use crate::arp::{ArpFrame, NotArp};
use crate::ndisc::{Ndisc, NotNdisc};
use crate::{ETHERNET_HEADER, Mac, Word};

/// `EtherType` of ARP.
const ARP: u16 = 0x0806;
/// `EtherType` of IPv6, on which neighbor discovery travels.
const IPV6: u16 = 0x86dd;

/// One thing said about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighborMessage {
    /// "Who has `target`? Tell `asker`": claims nothing, but shows where the asker is. An asker of the other family is
    /// nobody's address there: it is sent as a probe.
    Question {
        /// The address that is looked for.
        target: IpAddr,
        /// The address that asks.
        asker: IpAddr,
    },
    /// A question with a word about the asker beside it, which every other host reads as the question alone. An asker of the other
    /// family can't say it: no frame does.
    Word {
        /// The address that is looked for.
        target: IpAddr,
        /// The address that asks.
        asker: IpAddr,
        /// What it says of itself.
        word: Word,
    },
    /// "Who has `target`? I may want it": from nobody's address, so that it changes no neighbor cache (RFC 5227 section 1.1,
    /// RFC 4862 section 5.4.2).
    Probe {
        /// The address that is looked for.
        target: IpAddr,
    },
    /// "`address` is here", to one that asked. A host answers an IPv6 probe to everybody (RFC 4861 section 7.2.4): that is
    /// heard as an announcement.
    Reply {
        /// The address that was looked for.
        address: IpAddr,
        /// Who had asked; nothing where it asked from nobody's address.
        to: Option<IpAddr>,
    },
    /// "`address` is here", to everybody: gratuitous ARP, an unsolicited neighbor advertisement.
    Announcement {
        /// The address.
        address: IpAddr,
    },
    /// "`address` is free": a probe to all hosts but those that know this sign.
    Release {
        /// The address.
        address: IpAddr,
        /// The host that may have it; nothing where it is said to nobody in particular.
        to: Option<Mac>,
    },
}

/// Why bytes are not a neighbor message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNeighborMessage {
    /// Cut off before its kind.
    #[error("{length} bytes are too few for a frame, whose header alone has {ETHERNET_HEADER}")]
    TooShort {
        /// Bytes there.
        length: usize,
    },
    /// Another protocol, or a frame with an 802.1Q tag.
    #[error("EtherType {0:#06x} is neither ARP nor IPv6")]
    EtherType(u16),
    /// Not sound ARP.
    #[error(transparent)]
    Arp(#[from] NotArp),
    /// Not sound neighbor discovery.
    #[error(transparent)]
    Ndisc(#[from] NotNdisc),
    /// Sound ARP that says nothing of any address.
    #[error("an ARP reply from the address 0.0.0.0")]
    NobodysReply,
}

impl NeighborMessage {
    /// The frames that say it, in this order, from the interface with the MAC `from`; to the interface `to` alone, or to
    /// everybody. An announcement of an IPv4 address has two forms: some equipment acts on only the one, some only the other.
    pub fn frames(&self, from: Mac, to: Option<Mac>) -> Vec<Vec<u8>> {
        let to_arp = to.unwrap_or(Mac::BROADCAST);
        let arp = |frame: ArpFrame| vec![ArpFrame { destination: to_arp, ..frame }.encode().to_vec()];
        let nd = |message: Ndisc| {
            vec![Ndisc { destination_mac: to.unwrap_or(message.destination_mac), ..message }.encode()]
        };
        match *self {
            Self::Question { target: IpAddr::V4(target), asker: IpAddr::V4(asker) } => {
                arp(ArpFrame::request(from, asker, target))
            }
            Self::Question { target: IpAddr::V6(target), asker: IpAddr::V6(asker) } => {
                nd(Ndisc::question(from, asker, target))
            }
            Self::Question { target: IpAddr::V4(target), .. }
            | Self::Probe { target: IpAddr::V4(target) } => arp(ArpFrame::probe(from, target)),
            Self::Question { target: IpAddr::V6(target), .. }
            | Self::Probe { target: IpAddr::V6(target) } => nd(Ndisc::probe(from, target)),
            Self::Word { target: IpAddr::V4(target), asker: IpAddr::V4(asker), word } => {
                arp(ArpFrame::word(from, asker, target, word))
            }
            Self::Word { target: IpAddr::V6(target), asker: IpAddr::V6(asker), word } => {
                nd(Ndisc::word(from, asker, target, word))
            }
            Self::Word { .. } => Vec::new(),
            Self::Reply { address: IpAddr::V4(address), to: asker } => {
                let asker =
                    if let Some(IpAddr::V4(asker)) = asker { asker } else { std::net::Ipv4Addr::UNSPECIFIED };
                arp(ArpFrame::reply(from, address, to.unwrap_or(Mac::UNKNOWN), asker))
            }
            Self::Reply { address: IpAddr::V6(address), to: Some(IpAddr::V6(asker)) } => {
                nd(Ndisc::reply(from, address, asker, to.unwrap_or(Mac::BROADCAST)))
            }
            Self::Announcement { address: IpAddr::V4(address) } => [
                arp(ArpFrame::gratuitous_request(from, address)),
                arp(ArpFrame::gratuitous_reply(from, address)),
            ]
            .concat(),
            Self::Reply { address: IpAddr::V6(address), .. }
            | Self::Announcement { address: IpAddr::V6(address) } => nd(Ndisc::announcement(from, address)),
            Self::Release { address: IpAddr::V4(address), to: named } => {
                arp(ArpFrame::release(from, address, named))
            }
            Self::Release { address: IpAddr::V6(address), to: named } => {
                nd(Ndisc::release(from, address, named))
            }
        }
    }

    /// Reads a frame from the wire: who says it, and what. Bytes after it (padding) are ignored.
    ///
    /// # Errors
    /// It is another protocol's, or not sound.
    pub fn decode(frame: &[u8]) -> Result<(Mac, Self), NotNeighborMessage> {
        let too_short = NotNeighborMessage::TooShort { length: frame.len() };
        let (header, _) = frame.split_first_chunk::<ETHERNET_HEADER>().ok_or(too_short)?;
        match u16::from_be_bytes([header[12], header[13]]) {
            ARP => {
                let arp = ArpFrame::decode(frame)?;
                let message = arp.message().ok_or(NotNeighborMessage::NobodysReply)?;
                Ok((arp.sender_mac, message))
            }
            IPV6 => {
                let message = Ndisc::decode(frame)?;
                Ok((message.sender_mac(), message.message()))
            }
            other => Err(NotNeighborMessage::EtherType(other)),
        }
    }

    /// The address of which it says that it is at the sender's MAC; nothing in a probe or a release.
    pub fn sender_address(&self) -> Option<IpAddr> {
        match *self {
            Self::Question { asker: address, .. }
            | Self::Word { asker: address, .. }
            | Self::Reply { address, .. }
            | Self::Announcement { address } => Some(address),
            Self::Probe { .. } | Self::Release { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 0x12]);
    const FAMILIES: [[&str; 2]; 2] = [["10.77.0.100", "10.77.0.12"], ["fd77::100", "fd77::12"]];

    fn addresses() -> [[IpAddr; 2]; 2] {
        FAMILIES.map(|family| family.map(|address| address.parse().unwrap()))
    }

    #[test]
    fn what_is_said_is_what_is_heard_in_either_family() {
        for [vip, asker] in addresses() {
            let said = [
                (NeighborMessage::Question { target: vip, asker }, None),
                (NeighborMessage::Question { target: vip, asker }, Some(OTHER)),
                (NeighborMessage::Word { target: vip, asker, word: Word::new(0).unwrap() }, None),
                (NeighborMessage::Word { target: vip, asker, word: Word::new(5).unwrap() }, None),
                (NeighborMessage::Word { target: vip, asker, word: Word::new(16).unwrap() }, None),
                (NeighborMessage::Word { target: vip, asker, word: Word::new(255).unwrap() }, None),
                (NeighborMessage::Probe { target: vip }, None),
                (NeighborMessage::Reply { address: vip, to: Some(asker) }, Some(OTHER)),
                (NeighborMessage::Announcement { address: vip }, None),
                (NeighborMessage::Release { address: vip, to: Some(OTHER) }, None),
                (NeighborMessage::Release { address: vip, to: None }, None),
            ];
            for (message, to) in said {
                let frames = message.frames(MAC, to);
                assert!(!frames.is_empty());
                for frame in frames {
                    assert_eq!(NeighborMessage::decode(&frame), Ok((MAC, message)), "{frame:x?}");
                    if let Some(to) = to {
                        assert_eq!(frame[..6], to.0, "to it alone");
                    } else {
                        assert_eq!(frame[0] & 1, 1, "to everybody");
                    }
                }
            }
        }
    }

    #[test]
    fn the_answer_to_a_probe_goes_to_the_prober_over_ipv4_and_to_everybody_over_ipv6() {
        let [[v4, _], [v6, _]] = addresses();
        let heard = |address| {
            let frames = NeighborMessage::Reply { address, to: None }.frames(MAC, Some(OTHER));
            NeighborMessage::decode(&frames[0]).unwrap().1
        };
        assert_eq!(heard(v4), NeighborMessage::Reply { address: v4, to: None });
        assert_eq!(heard(v6), NeighborMessage::Announcement { address: v6 });
    }

    #[test]
    fn a_host_without_an_address_of_the_family_asks_as_nobody() {
        let [[v4, v4_host], [v6, v6_host]] = addresses();
        for (target, asker) in [(v4, v6_host), (v6, v4_host)] {
            let frames = NeighborMessage::Question { target, asker }.frames(MAC, None);
            assert_eq!(frames, NeighborMessage::Probe { target }.frames(MAC, None));
            let word = Word::new(0).unwrap();
            assert!(NeighborMessage::Word { target, asker, word }.frames(MAC, None).is_empty());
        }
    }

    #[test]
    fn other_protocols_are_named() {
        let mut frame = NeighborMessage::Probe { target: addresses()[0][0] }.frames(MAC, None).remove(0);
        frame[12..14].copy_from_slice(&[0x81, 0]);
        assert_eq!(NeighborMessage::decode(&frame), Err(NotNeighborMessage::EtherType(0x8100)));
        assert_eq!(NeighborMessage::decode(&frame[..13]), Err(NotNeighborMessage::TooShort { length: 13 }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), v6: bool) {
            let _ = NeighborMessage::decode(&bytes);
            let mut typed = bytes;
            if let Some(place) = typed.get_mut(12..14) {
                place.copy_from_slice(&if v6 { IPV6 } else { ARP }.to_be_bytes());
                let _ = NeighborMessage::decode(&typed);
            }
        }
    }
}
