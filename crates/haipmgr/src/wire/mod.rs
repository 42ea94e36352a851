//! Packets as pure encode and decode.

pub mod arp;
pub mod icmp_echo;
