//! Packets as pure encode and decode: no clock, no IO, no sockets, and no panic on any bytes.
//!
//! [`NeighborMessage`] is what hosts say about an address, whichever family it is of; [`arp`] and [`ndisc`] are how it is said.

pub mod arp;
mod checksum;
mod family;
pub mod icmp;
mod mac;
pub mod ndisc;
pub mod neighbor;
pub mod tcp;
mod word;

pub use family::Family;
pub use mac::Mac;
pub use neighbor::NeighborMessage;
pub use word::Word;

/// Destination MAC, source MAC and `EtherType`, before each packet on Ethernet (IEEE 802.3).
pub const ETHERNET_HEADER: usize = 14;
