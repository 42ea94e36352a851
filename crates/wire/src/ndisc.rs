//! Neighbor solicitation and advertisement for IPv6 over Ethernet (RFC 4861 sections 4.3, 4.4 and 4.6, RFC 2464), with the forms
//! that RFC 4862 names for duplicate address detection; and one more, the release, which to everybody else is a probe.
//!
//! `ndisc/bytes.rs`: its bytes, written and read.

mod bytes;

use std::net::Ipv6Addr;

use crate::neighbor::NeighborMessage;
use crate::{Mac, Word};

pub use self::bytes::NotNdisc;

/// One neighbor solicitation or advertisement, with its Ethernet and IPv6 headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ndisc {
    /// Ethernet destination.
    pub destination_mac: Mac,
    /// Ethernet source.
    pub source_mac: Mac,
    /// IPv6 source; `::` in a probe.
    pub source: Ipv6Addr,
    /// IPv6 destination.
    pub destination: Ipv6Addr,
    /// The address that it is about.
    pub target: Ipv6Addr,
    /// What it is.
    pub body: Body,
}

/// What a solicitation or an advertisement says beside its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Asks (type 135).
    Solicitation {
        /// The source link-layer address option; never there in a probe.
        source_mac: Option<Mac>,
        /// The release's option; in a question, a word's.
        released_to: Option<Mac>,
    },
    /// Answers, or declares unasked (type 136).
    Advertisement {
        /// R: the sender is a router.
        router: bool,
        /// S: it answers a solicitation.
        solicited: bool,
        /// O: it replaces what a neighbor cache knows.
        overrides: bool,
        /// The target link-layer address option.
        target_mac: Option<Mac>,
    },
}

/// All nodes on the link (RFC 4291 section 2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group in which whoever has `address` listens for questions about it (RFC 4291 section 2.7.1).
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// The Ethernet address of a multicast group (RFC 2464 section 7).
pub const fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

impl Ndisc {
    /// "Who has `target`? Tell `asker`": to the target's solicited-node group (RFC 4861 section 7.2.2).
    pub fn question(source_mac: Mac, asker: Ipv6Addr, target: Ipv6Addr) -> Self {
        let body = Body::Solicitation { source_mac: Some(source_mac), released_to: None };
        Self::solicitation(source_mac, asker, target, body)
    }

    /// The same with a word beside it, in the option that a release has.
    pub fn word(source_mac: Mac, asker: Ipv6Addr, target: Ipv6Addr, word: Word) -> Self {
        let body = Body::Solicitation { source_mac: Some(source_mac), released_to: Some(word.mark()) };
        Self::solicitation(source_mac, asker, target, body)
    }

    /// RFC 4862 section 5.4.2: a solicitation from `::`, so that it changes nobody's neighbor cache.
    pub fn probe(source_mac: Mac, target: Ipv6Addr) -> Self {
        let body = Body::Solicitation { source_mac: None, released_to: None };
        Self::solicitation(source_mac, Ipv6Addr::UNSPECIFIED, target, body)
    }

    /// "The target is free, and I say so to `to`": a probe with one option more. Said to nobody in particular, it names its
    /// sender.
    pub fn release(source_mac: Mac, target: Ipv6Addr, to: Option<Mac>) -> Self {
        let body = Body::Solicitation { source_mac: None, released_to: Some(to.unwrap_or(source_mac)) };
        Self::solicitation(source_mac, Ipv6Addr::UNSPECIFIED, target, body)
    }

    fn solicitation(source_mac: Mac, source: Ipv6Addr, target: Ipv6Addr, body: Body) -> Self {
        let destination = solicited_node(target);
        Self { destination_mac: group_mac(destination), source_mac, source, destination, target, body }
    }

    /// "`target` is at `source_mac`": to the one that asked (RFC 4861 section 7.2.4).
    pub fn reply(source_mac: Mac, target: Ipv6Addr, to: Ipv6Addr, to_mac: Mac) -> Self {
        let body = Body::Advertisement {
            router: false,
            solicited: true,
            overrides: true,
            target_mac: Some(source_mac),
        };
        Self { destination_mac: to_mac, source_mac, source: target, destination: to, target, body }
    }

    /// The same, unasked, to everybody (RFC 4861 section 7.2.6). Linux takes it over with O and the option, and without S.
    pub fn announcement(source_mac: Mac, target: Ipv6Addr) -> Self {
        let body = Body::Advertisement {
            router: false,
            solicited: false,
            overrides: true,
            target_mac: Some(source_mac),
        };
        let destination_mac = group_mac(ALL_NODES);
        Self { destination_mac, source_mac, source: target, destination: ALL_NODES, target, body }
    }

    /// The hardware address that it gives for its sender: the option's, or else Ethernet's.
    pub fn sender_mac(&self) -> Mac {
        let option = match self.body {
            Body::Solicitation { source_mac, .. } => source_mac,
            Body::Advertisement { target_mac, .. } => target_mac,
        };
        option.unwrap_or(self.source_mac)
    }

    /// What it says.
    pub fn message(&self) -> NeighborMessage {
        let target = self.target.into();
        match self.body {
            Body::Solicitation { released_to, .. } if !self.source.is_unspecified() => {
                let asker = self.source.into();
                match released_to.and_then(Word::of_mark) {
                    Some(word) => NeighborMessage::Word { target, asker, word },
                    None => NeighborMessage::Question { target, asker },
                }
            }
            Body::Solicitation { released_to: Some(named), .. } => NeighborMessage::Release {
                address: target,
                to: Some(named).filter(|named| *named != self.source_mac),
            },
            Body::Solicitation { .. } => NeighborMessage::Probe { target },
            Body::Advertisement { .. } if !self.destination.is_multicast() => {
                NeighborMessage::Reply { address: target, to: Some(self.destination.into()) }
            }
            Body::Advertisement { .. } => NeighborMessage::Announcement { address: target },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_group_and_its_mac_are_as_rfc_4291_and_rfc_2464_say() {
        let address: Ipv6Addr = "4037::1:800:200e:8c6c".parse().unwrap();
        assert_eq!(solicited_node(address), "ff02::1:ff0e:8c6c".parse::<Ipv6Addr>().unwrap());
        assert_eq!(group_mac(solicited_node(address)), Mac([0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c]));
    }
}
