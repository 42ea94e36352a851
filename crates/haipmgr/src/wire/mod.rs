//! Packets as pure encode and decode. IPv6's neighbor discovery (RFC 4861) will be `nd.rs`, beside `arp.rs`.

pub mod arp;
pub mod icmp_echo;
pub mod tcp;
