//! The two families of addresses.

use std::net::IpAddr;

/// The IP version of an address, and of whatever is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4: ARP, and the ICMP of RFC 792.
    V4,
    /// IPv6: neighbor discovery, and the ICMP of RFC 4443.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// This address's.
    pub const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}
