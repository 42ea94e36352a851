//! What is seen of this host: its addresses and interfaces, as its kernel shows them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// This host's addresses and interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Host {
    /// Every address on every interface (loopback left out).
    pub addresses: Vec<HostAddress>,
    /// Every interface (loopback left out).
    pub interfaces: Vec<Interface>,
}

/// One address of this host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// Prefix length, 0–32 or 0–128.
    pub prefix: u8,
    /// Name of the interface that bears it.
    pub interface: String,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interface {
    /// Its name, `eth0`.
    pub name: String,
    /// Administratively up and with carrier.
    pub running: bool,
}
