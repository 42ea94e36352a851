//! From which address a host asks about another of the family that its member's address is not of.

use std::net::{IpAddr, Ipv6Addr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::socket::SockaddrIn6;
use wire::Family;

/// From which address of the interface others of this family are asked for: `own`, this member's address there, where it is of it. None: it
/// has no address to ask from. `vips`: they are nobody's own.
pub(crate) fn to_ask_from(
    interface: &str,
    own: Option<IpAddr>,
    family: Family,
    vips: &[IpAddr],
) -> Option<IpAddr> {
    match family {
        _ if own.is_some_and(|own| Family::of(own) == family) => own,
        Family::V4 => ipv4_but(interface, vips),
        Family::V6 => link_local(interface),
    }
}

/// The interface's link-local address of IPv6: every interface that does IPv6 has one, and it is never a VIP.
pub(crate) fn link_local(interface: &str) -> Option<IpAddr> {
    let v6 = |found: InterfaceAddress| found.address?.as_sockaddr_in6().map(SockaddrIn6::ip);
    of(interface)?.filter_map(v6).find(Ipv6Addr::is_unicast_link_local).map(IpAddr::from)
}

/// The interface's first IPv4 address that is none of these.
pub(crate) fn ipv4_but(interface: &str, vips: &[IpAddr]) -> Option<IpAddr> {
    let v4 = |found: InterfaceAddress| Some(IpAddr::from(found.address?.as_sockaddr_in()?.ip()));
    of(interface)?.filter_map(v4).find(|address| !vips.contains(address))
}

fn of(interface: &str) -> Option<impl Iterator<Item = InterfaceAddress>> {
    Some(getifaddrs().ok()?.filter(move |found| found.interface_name == interface))
}
