//! Whether a cluster's configuration fits this host: its interfaces, their addresses, what its kernel says by ARP. What does not
//! fit is no reason not to start, for an interface may come later; it is named.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use decide::policy::{VipGateway, VipPolicy};
use nix::net::if_::InterfaceFlags;

use crate::act::expel;
use crate::check::Here;
use crate::config::{self, Cluster, missing_programs};
use crate::observe::{arp_kept_in, listening};

/// One of this host's addresses and its network's prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl Own {
    /// A VIP as it is to be added.
    pub(super) fn of(vip: &VipPolicy) -> Self {
        Self { address: vip.address, prefix: vip.prefix_length() }
    }

    fn network(self) -> (u128, u32) {
        let (bits, width) = match self.address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let host_bits = width - u32::from(self.prefix).min(width);
        (bits.checked_shr(host_bits).unwrap_or_default(), host_bits)
    }

    pub(super) fn shares_network_with(self, other: IpAddr) -> bool {
        self.address.is_ipv4() == other.is_ipv4()
            && self.network() == Self { address: other, ..self }.network()
    }
}

/// This host's interfaces, by name, with their addresses.
#[derive(Debug, Default)]
pub(super) struct ThisHost {
    interfaces: BTreeMap<String, Vec<Own>>,
}

impl ThisHost {
    /// As the kernel shows it now. Where it does not, there is nothing.
    pub(super) fn read() -> Self {
        let mut host = Self::default();
        for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
            let addresses = host.interfaces.entry(entry.interface_name).or_default();
            let ip = |address: Option<nix::sys::socket::SockaddrStorage>| {
                let address = address?;
                let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
            };
            if let (Some(address), Some(mask)) = (ip(entry.address), ip(entry.netmask))
                && !entry.flags.contains(InterfaceFlags::IFF_LOOPBACK)
            {
                let ones = match mask {
                    IpAddr::V4(mask) => mask.to_bits().count_ones(),
                    IpAddr::V6(mask) => mask.to_bits().count_ones(),
                };
                addresses.push(Own { address, prefix: u8::try_from(ones).unwrap_or(u8::MAX) });
            }
        }
        host
    }

    /// The member that this host is by its address, and the interface that has it.
    pub(super) fn member(&self, cluster: &Cluster) -> Option<(Own, &str)> {
        self.interfaces.iter().find_map(|(interface, addresses)| {
            let own = addresses.iter().find(|own| cluster.policy.group.members.contains_key(&own.address))?;
            Some((*own, interface.as_str()))
        })
    }

    /// Its address as a member.
    pub(super) fn member_address(&self, cluster: &Cluster) -> Option<IpAddr> {
        self.member(cluster).map(|(own, _)| own.address)
    }

    /// Each address with its interface; a label, `eth0:3306`, is of an address and no interface.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&str, Own)> {
        self.interfaces.iter().flat_map(|(name, addresses)| {
            let interface = name.split(':').next().unwrap_or(name);
            addresses.iter().map(move |own| (interface, *own))
        })
    }

    /// All addresses of this interface, whatever they are labelled.
    pub(super) fn addresses_on(&self, interface: &str) -> impl Iterator<Item = Own> {
        let of_it = move |(name, addresses): (&String, &'_ Vec<Own>)| {
            (name.split(':').next() == Some(interface)).then(|| addresses.clone())
        };
        self.interfaces.iter().filter_map(of_it).flatten()
    }

    /// "lo, eth0 (10.77.0.11/24)".
    fn in_words(&self) -> String {
        let one = |(interface, addresses): (&String, &Vec<Own>)| {
            let addresses: Vec<_> =
                addresses.iter().map(|own| format!("{}/{}", own.address, own.prefix)).collect();
            if addresses.is_empty() {
                interface.clone()
            } else {
                format!("{interface} ({})", addresses.join(", "))
            }
        };
        self.interfaces.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// That this host is no member, with what is here instead; none where it is one.
    pub(super) fn not_a_member(&self, cluster: &Cluster) -> Option<String> {
        let missing = |interface: &&String| !self.interfaces.contains_key(interface.as_str());
        let missing: BTreeSet<_> = cluster.policy.group.members.values().filter(missing).collect();
        let missing = missing.into_iter().map(|interface| format!("; {interface} is not here"));
        self.member(cluster).is_none().then(|| {
            format!(
                "no address of this host is a member's address{}; here are: {}",
                missing.collect::<String>(),
                self.in_words()
            )
        })
    }

    /// This host as `check` looks at it; none where it is no member.
    pub(super) fn here(&self, cluster: &Cluster) -> Option<Here> {
        let (own, interface) = self.member(cluster)?;
        let beside = self.interfaces.get(interface)?;
        let first = beside.iter().find(|one| one.shares_network_with(own.address));
        let vips = cluster.policy.vips.values();
        let elsewhere =
            vips.clone().filter_map(|vip| Some((vip.address, vip.interfaces.get(&own.address)?.clone())));
        let vips = vips.map(|vip| vip.address);
        Some(Here {
            own: own.address,
            interface: interface.split(':').next().unwrap_or(interface).to_owned(),
            secondary: first.is_some_and(|first| first.address != own.address),
            elsewhere: elsewhere.collect(),
            vips: vips.map(|vip| (vip, interfaces_with(vip))).collect(),
            kept_expel_timeout: expel::left_behind(&cluster.expel_timeout_file()),
        })
    }

    /// What of the configuration does not fit this host, a sentence each. Nothing where this host is no member.
    pub(super) fn remarks(&self, cluster: &Cluster) -> Vec<String> {
        let Some((own, has_it)) = self.member(cluster) else { return Vec::new() };
        let mut remarks = Vec::new();
        let named = cluster.policy.group.members.get(&own.address).map_or("", String::as_str);
        if !self.interfaces.contains_key(named) {
            remarks.push(format!(
                "`members` names {named} for {}, and there is no such interface; {has_it} has that address. Here are: {}",
                own.address,
                self.in_words()
            ));
        } else if named != has_it {
            remarks.push(format!(
                "`members` names {named} for {}, and that address is on {has_it}; write {has_it}",
                own.address
            ));
        }
        for vip in cluster.policy.vips.values() {
            if let Some(elsewhere) = vip.interfaces.get(&own.address) {
                remarks.extend(self.elsewhere(cluster, vip, elsewhere));
                continue;
            }
            let vip = vip.address;
            if let Some(what) = address_of_no_host(own, vip) {
                remarks.push(format!(
                    "the VIP {vip} is the {what} address of this host's network {}/{}, and no host may have it; write another",
                    own.address, own.prefix
                ));
            }
        }
        let near = self.interfaces.get(has_it).into_iter().flatten();
        if !near.clone().any(|near| near.shares_network_with(cluster.gateway)) {
            remarks.push(format!(
                "the gateway {} is in none of the networks of {has_it}; write the router of this segment. Here are: {}",
                cluster.gateway,
                self.in_words()
            ));
        }
        remarks
    }
}

impl ThisHost {
    /// What does not fit of a VIP on this interface, which has no member's address.
    fn elsewhere(&self, cluster: &Cluster, vip: &VipPolicy, interface: &str) -> Vec<String> {
        let address = vip.address;
        if !self.interfaces.contains_key(interface) {
            return vec![format!(
                "interface: {interface}, the interface of the VIP {address}, is not here, and the VIP does not start on this host; write the name that ip -br link shows, or create it. Here are: {}",
                self.in_words()
            )];
        }
        let of_family = |own: &Own| {
            own.address.is_ipv4() == address.is_ipv4() && cluster.policy.vip_of(own.address).is_none()
        };
        let near: Vec<Own> = self.addresses_on(interface).filter(of_family).collect();
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        if near.is_empty() {
            let example = if address.is_ipv4() { "10.78.0.11/24" } else { "fd78::11/64" };
            return vec![format!(
                "interface: {interface}, the interface of the VIP {address}, has no {family} address of its own to ask from, and the VIP does not start on this host; give it one: ip address add {example} dev {interface}, with this host's own address, and in the network configuration"
            )];
        }
        let mut remarks = Vec::new();
        for own in &near {
            remarks.extend(address_of_no_host(*own, address).map(|what| format!(
                "the VIP {address} is the {what} address of {interface}'s network {}/{}, and no host may have it; write another",
                own.address, own.prefix
            )));
        }
        if let VipGateway::Own(gateway) = vip.gateway
            && gateway.is_ipv4() == address.is_ipv4()
            && !near.iter().any(|near| near.shares_network_with(gateway))
        {
            remarks.push(format!(
                "the gateway {gateway} of the VIP {address} is in none of the networks of {interface}, where it is asked; write the router of the VIP's clients, or \"none\": no gateway is asked. Here are: {}",
                self.in_words()
            ));
        }
        remarks
    }
}

/// The interfaces of this host that have this address, the loopback too.
fn interfaces_with(address: IpAddr) -> Vec<String> {
    let has = |entry: &nix::ifaddrs::InterfaceAddress| {
        let found = entry.address.as_ref()?;
        let v4 = found.as_sockaddr_in().map(|found| IpAddr::V4(found.ip()));
        Some(v4.or_else(|| found.as_sockaddr_in6().map(|found| IpAddr::V6(found.ip())))? == address)
    };
    let entries = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let names = entries.filter(|entry| has(entry) == Some(true)).map(|entry| entry.interface_name);
    // A label, `eth0:3306`, is of an address and no interface.
    let names: BTreeSet<String> =
        names.map(|name| name.split(':').next().unwrap_or(&name).to_owned()).collect();
    names.into_iter().collect()
}

/// "broadcast" or "network", where this is that address of this host's network.
fn address_of_no_host(own: Own, vip: IpAddr) -> Option<&'static str> {
    own.shares_network_with(vip).then(|| config::address_of_no_host(vip, own.prefix)).flatten()
}

/// All that does not fit, a sentence each, for the log at the start: the addresses, ARP that the kernel keeps in, mysqld that does not
/// listen at the VIP.
pub(super) fn remarks(cluster: &Cluster) -> Vec<String> {
    let host = ThisHost::read();
    let mut remarks = host.remarks(cluster);
    if let Some(here) = host.here(cluster) {
        remarks.extend(here.interfaces().filter_map(arp_kept_in::remark));
        let vips = cluster.policy.vips.values().map(|vip| vip.address);
        remarks.extend(listening::remarks(vips, cluster.mysql_port).filter_map(|(_, remark)| remark));
    }
    remarks.extend(missing_programs(&cluster.hooks));
    remarks
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn own(address: [u8; 4], prefix: u8) -> Own {
        Own { address: Ipv4Addr::from(address).into(), prefix }
    }

    #[test]
    fn the_first_and_the_last_address_of_the_network_are_no_host_s() {
        let own = own([10, 77, 0, 11], 24);
        let what = |last| address_of_no_host(own, [10, 77, 0, last].into());
        assert_eq!((what(255), what(0), what(100)), (Some("broadcast"), Some("network"), None));
        assert_eq!(address_of_no_host(own, [10, 78, 0, 255].into()), None, "another network's");
        let both =
            |prefix| address_of_no_host(super::tests::own([10, 77, 0, 10], prefix), [10, 77, 0, 11].into());
        assert_eq!((both(31), both(32), both(30)), (None, None, Some("broadcast")));
    }

    #[test]
    fn a_gateway_is_of_the_network_or_not() {
        let own = own([10, 77, 0, 11], 24);
        assert!(own.shares_network_with([10, 77, 0, 254].into()));
        assert!(!own.shares_network_with([10, 9, 0, 254].into()));
        assert!(!own.shares_network_with("fd77::1".parse().unwrap_or([0; 16].into())));
    }
}
