//! Whether a VIP that was just added or renewed has anything beside it that is to go, or comes before the host's own address: looked at for
//! all VIPs of a decision at once. As a rule nothing has, and then nothing more is asked of the kernel.

use std::net::IpAddr;

use netlink_packet_route::address::AddressMessage;

use super::behind::is_to_be_moved;
use super::{Addresses, OwnAddresses, full_prefix, interface_index, is};

/// This host's addresses as the kernel has just told them, in its order.
pub struct AllAddresses(Vec<AddressMessage>);

/// A VIP among the addresses of its interface.
#[derive(Clone, Copy, Debug)]
pub struct Company<'a> {
    /// Where it is.
    pub interface: &'a str,
    /// The VIP.
    pub address: IpAddr,
    /// The prefix length that it should have.
    pub prefix: u8,
    /// Whether it is under a lease, which copies with another prefix length would outlive.
    pub leased: bool,
    /// What it stays behind.
    pub own: OwnAddresses<'a>,
}

impl Addresses {
    /// All addresses of this host. None where the kernel does not tell: then each VIP is looked after by itself, which says why it can't be.
    pub async fn all(&self) -> Option<AllAddresses> {
        let mut found = self.socket().ok()?.addresses().await;
        if self.was_cut(&found) {
            found = self.socket().ok()?.addresses().await;
        }
        found.ok().map(AllAddresses)
    }
}

impl AllAddresses {
    /// Whether neither [`Addresses::remove_other_prefixes`] nor [`Addresses::put_behind`] has anything to do for this VIP.
    pub fn are_tidy(&self, vip: Company<'_>) -> bool {
        let Ok(index) = interface_index(vip.interface) else { return false };
        let on_interface = self.0.iter().filter(|there| there.header.index == index);
        let copy = |there: &AddressMessage| is(there, vip.address) && there.header.prefix_len != vip.prefix;
        if vip.leased && on_interface.clone().any(copy) {
            return false;
        }
        // One that has its full prefix has no network.
        vip.address.is_ipv6() || vip.prefix == full_prefix(vip.address) || !is_to_be_moved(on_interface, vip)
    }
}
