//! From which address a host asks about another of the family that its member's address is not of.

use std::net::{IpAddr, Ipv6Addr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::socket::SockaddrIn6;
use wire::Family;

/// From which address of the interface these are asked for, family by family: from `own`, this member's address there, or in the other family,
/// or where it is not there, from one that the interface has. What it has no address to ask from for is left out.
pub(crate) fn askers(
    interface: &str,
    own: Option<IpAddr>,
    targets: &[IpAddr],
) -> impl Iterator<Item = (IpAddr, Vec<IpAddr>)> {
    Family::ALL.into_iter().filter_map(move |family| {
        let of_it = |address: &IpAddr| Family::of(*address) == family;
        let targets: Vec<_> = targets.iter().copied().filter(of_it).collect();
        let asker = own.filter(of_it).or_else(|| match family {
            Family::V4 => ipv4_but(interface, &targets),
            Family::V6 => link_local(interface),
        });
        (!targets.is_empty()).then_some((asker?, targets))
    })
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
