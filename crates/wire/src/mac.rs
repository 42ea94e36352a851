//! Hardware addresses.

use std::fmt;

/// A hardware address of Ethernet (IEEE 802, EUI-48).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody on the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// "Not known": the target's hardware address in an ARP request.
    pub const UNKNOWN: Self = Self([0; 6]);

    /// Whether it is one interface's: neither a group's, broadcast included, nor [`Mac::UNKNOWN`].
    pub const fn is_one_host(self) -> bool {
        self.0[0] & 1 == 0 && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if place == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_and_nobody_are_not_one_host() {
        assert!(Mac([2, 0, 0, 0, 0, 1]).is_one_host());
        assert!(!Mac::BROADCAST.is_one_host());
        assert!(!Mac::UNKNOWN.is_one_host());
        assert!(!Mac([0x33, 0x33, 0, 0, 0, 1]).is_one_host(), "IPv6's all-nodes group");
        assert_eq!(Mac([2, 0, 0, 0, 0xab, 1]).to_string(), "02:00:00:00:ab:01");
    }
}
