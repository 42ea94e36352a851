//! The interfaces of a host, each on a segment of its own.

use serde::{Deserialize, Serialize};

/// An interface that every host has, and the segment that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nic {
    /// The members' own: their addresses, their servers, the group's talk.
    Eth0,
    /// One that only VIPs are on.
    Eth1,
}

impl Nic {
    /// Both.
    pub const EACH: [Self; 2] = [Self::Eth0, Self::Eth1];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eth0 => "eth0",
            Self::Eth1 => "eth1",
        }
    }

    /// Its place among both.
    pub const fn place(self) -> usize {
        self as usize
    }
}
