//! What the kernel is told of an address.

use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope, CacheInfo,
};

use super::{Wanted, full_prefix};

/// `INFINITY_LIFE_TIME` of linux/rtnetlink.h: the address stays until it is removed.
const FOR_EVER: u32 = u32::MAX;

pub(super) fn address_to_add(index: u32, wanted: Wanted<'_>) -> AddressMessage {
    let Wanted { address, prefix, label, lifetime, .. } = wanted;
    let mut message = address_message(index, address, prefix);
    message.header.scope = AddressScope::Universe;
    let mut cache = CacheInfo::default();
    cache.ifa_valid = lifetime.map_or(FOR_EVER, whole_seconds);
    // An IPv6 address that is preferred becomes the source of all that the host sends, its group's traffic too, whatever its prefix
    // (RFC 6724 section 5). So it is deprecated (RFC 4862 section 5.5.4) from the start, and again at each renewal. IPv4 has no such
    // thing.
    cache.ifa_preferred = if address.is_ipv4() { cache.ifa_valid } else { 0 };
    message.attributes.push(AddressAttribute::CacheInfo(cache));
    if address.is_ipv4() {
        message.attributes.push(AddressAttribute::Label(label.to_string()));
    } else {
        // IPv6 has no labels. Whether the address is in use was asked before (stage 5); the kernel's own duplicate address
        // detection (RFC 4862) would keep it unusable for a second more.
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    let flags = flags(address, prefix);
    if flags != AddressFlags::empty() {
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    message
}

/// With a network of its own the kernel would add a route to it, by which this host's own connections come from the VIP; and of an IPv6
/// address that route outlives it. So it is told not to.
fn flags(address: IpAddr, prefix: u8) -> AddressFlags {
    let nodad = if address.is_ipv4() { AddressFlags::empty() } else { AddressFlags::Nodad };
    if prefix == full_prefix(address) { nodad } else { nodad | AddressFlags::Noprefixroute }
}

/// The same address, to be renewed only where it is there.
///
/// `NLM_F_REPLACE` alone adds what is gone, also without `NLM_F_CREATE`: "userspace already relies on not having to provide
/// this", says `inet_rtm_newaddr` (net/ipv4/devinet.c; `inet6_rtm_newaddr` likewise). But whatever is *added* with
/// `IFA_F_MCAUTOJOIN` joins the multicast group of its address first, which a unicast address does not have: EINVAL, or
/// EOPNOTSUPP where the kernel knows no multicast. What is *replaced* joins nothing. Both happen under one lock (RTNL), so
/// nothing comes between the look and the deed. `findings/renew-only-what-is-there.sh` shows it.
pub(super) fn address_to_renew(index: u32, wanted: Wanted<'_>) -> AddressMessage {
    let mut message = address_to_add(index, wanted);
    message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Flags(_)));
    let kept = flags(wanted.address, wanted.prefix);
    message.attributes.push(AddressAttribute::Flags(kept | AddressFlags::Mcautojoin));
    message
}

/// Names the address, and no label: it goes whatever it is called.
pub(super) fn address_to_delete(there: &AddressMessage) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = there.header.family;
    message.header.index = there.header.index;
    message.header.prefix_len = there.header.prefix_len;
    let names = |attribute: &&AddressAttribute| {
        matches!(attribute, AddressAttribute::Local(_) | AddressAttribute::Address(_))
    };
    message.attributes = there.attributes.iter().filter(names).cloned().collect();
    message
}

fn address_message(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.index = index;
    message.header.prefix_len = prefix;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

/// What to tell the kernel, so that the address has gone after `lifetime`. It counts in whole seconds and looks for addresses
/// that are over at most once a second (`check_lifetime` in net/ipv4/devinet.c): one of `n` seconds goes after `n` - ¼ to
/// `n` + 1 of them. It refuses 0, and takes the largest number for "without an end".
fn whole_seconds(lifetime: Duration) -> u32 {
    let seconds = lifetime.as_secs().saturating_sub(1);
    u32::try_from(seconds).unwrap_or(FOR_EVER).clamp(1, FOR_EVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_leave_the_kernel_its_second_and_never_become_for_ever() {
        assert_eq!(whole_seconds(Duration::from_millis(3999)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(10)), 9);
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::MAX), FOR_EVER - 1);
    }
}
