//! A VIP with a network of its own (`vip = "10.77.0.100/24"`) where this host's kernel would use it for the host's own connections, or take
//! it away with another address: then the agent does not start, and changes nothing. Of IPv6 neither can be: a deprecated address is no
//! source beside another, and none goes with another.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use decide::policy::VipPolicy;

use super::this_host::{Own, ThisHost};
use crate::config::{Cluster, Config};

/// Why this host can't have the VIP with its prefix length, as a sentence.
#[derive(Debug, thiserror::Error)]
#[error("cluster {cluster}: {text}")]
pub(super) struct Refused {
    cluster: String,
    text: String,
}

/// Looks at this host's kernel for each cluster.
///
/// # Errors
/// The first VIP that can't be had as it is written.
pub(super) fn fits(config: &Config) -> Result<(), Refused> {
    let written = |cluster: &&Cluster| cluster.policy.vips.values().any(|vip| vip.prefix.is_some());
    for cluster in config.clusters.iter().filter(written) {
        if let Some(text) = problems(cluster, &ThisHost::read(), Path::new("/")).into_iter().next() {
            return Err(Refused { cluster: cluster.name.clone(), text });
        }
    }
    Ok(())
}

/// A sentence for each; nothing where this host is no member: it gets no VIP. `root`: where `proc` is.
pub(super) fn problems(cluster: &Cluster, host: &ThisHost, root: &Path) -> Vec<String> {
    let Some((own, interface)) = host.member(cluster) else { return Vec::new() };
    let interface = interface.split(':').next().unwrap_or(interface);
    let is_vip = |address| cluster.policy.vip_of(address).is_some();
    let near = |interface: &str| -> Vec<Own> {
        host.addresses_on(interface).filter(|own| !is_vip(own.address)).collect()
    };
    let with_network = |vip: &&VipPolicy| vip.prefix.is_some() && vip.address.is_ipv4();
    let vips = cluster.policy.vips.values().filter(with_network);
    let of = |vip: &VipPolicy| {
        let interface = vip.interfaces.get(&own.address).map_or(interface, String::as_str);
        problem(Own::of(vip), interface, &near(interface), root)
    };
    vips.filter_map(of).collect()
}

fn problem(vip: Own, interface: &str, near: &[Own], root: &Path) -> Option<String> {
    let Own { address, prefix } = vip;
    let before = near.iter().find(|own| own.prefix == prefix && own.shares_network_with(address));
    if let Some(before) = before
        && promotes_secondaries(root, interface) == Some(false)
    {
        return Some(format!(
            "{address}/{prefix} is of the same network as {} on {interface}, and net.ipv4.conf.{interface}.promote_secondaries is 0, with which the kernel removes one with the other; type: sysctl -w net.ipv4.conf.{interface}.promote_secondaries=1 (and write it in /etc/sysctl.d), or write \"{address}\" without a prefix length",
            before.address
        ));
    }
    let only_the_vip_s = |hop: &Ipv4Addr| {
        let hop = IpAddr::from(*hop);
        vip.shares_network_with(hop) && !near.iter().any(|own| own.shares_network_with(hop))
    };
    next_hops(root, interface).into_iter().find(only_the_vip_s).map(|hop| {
        format!(
            "{address}/{prefix} would be the source of this host's own connections: there is a route by {hop}, which is in the VIP's network and in that of no other address of {interface}; give {interface} an address of its own in that network, or write \"{address}\" without a prefix length"
        )
    })
}

/// None where the kernel does not show it. The larger of the two settings counts.
fn promotes_secondaries(root: &Path, interface: &str) -> Option<bool> {
    let setting = |of| {
        let path = root.join(format!("proc/sys/net/ipv4/conf/{of}/promote_secondaries"));
        std::fs::read_to_string(path).ok()?.trim().parse::<u32>().ok()
    };
    setting(interface).map(|own| own.max(setting("all").unwrap_or_default()) > 0)
}

/// The next hops of the main table's routes by this interface.
fn next_hops(root: &Path, interface: &str) -> Vec<Ipv4Addr> {
    let table = std::fs::read_to_string(root.join("proc/net/route")).unwrap_or_default();
    let hop = |line: &str| {
        let mut cells = line.split_whitespace();
        let (name, _, hop) = (cells.next()?, cells.next()?, cells.next()?);
        let hop = Ipv4Addr::from(u32::from_str_radix(hop, 16).ok()?.to_ne_bytes());
        (name == interface && !hop.is_unspecified()).then_some(hop)
    };
    table.lines().skip(1).filter_map(hop).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn own(address: &str, prefix: u8) -> Own {
        Own { address: address.parse().unwrap(), prefix }
    }

    /// A default route by this next hop, and this `promote_secondaries`.
    fn host(hop: &str, promotes: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let hop = u32::from_ne_bytes(hop.parse::<Ipv4Addr>().unwrap().octets());
        write(
            "proc/net/route",
            &format!(
                "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t{hop:08X}\t0003\neth0\t004D0A0A\t00000000\t0001\n"
            ),
        );
        write("proc/sys/net/ipv4/conf/eth0/promote_secondaries", promotes);
        root
    }

    #[test]
    fn a_vip_of_the_host_s_own_network_needs_promote_secondaries() {
        let near = [own("10.77.0.11", 24)];
        let of = |prefix, promotes| {
            problem(own("10.77.0.100", prefix), "eth0", &near, host("10.77.0.254", promotes).path())
        };
        let said = of(24, "0\n").unwrap();
        for part in ["same network as 10.77.0.11", "promote_secondaries=1", "without a prefix length"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(of(24, "1\n"), None);
        assert_eq!(of(25, "0\n"), None, "another network: none goes with the other");
    }

    #[test]
    fn a_vip_that_would_be_the_source_by_a_route_is_named_with_the_next_hop() {
        let near = [own("10.77.0.11", 24)];
        let of = |vip, prefix, hop| problem(own(vip, prefix), "eth0", &near, host(hop, "1\n").path());
        assert_eq!(of("10.77.0.100", 16, "10.77.0.254"), None, "the host's own network has it too");
        assert!(of("10.77.0.100", 16, "10.77.9.254").unwrap().contains("a route by 10.77.9.254"));
        assert!(of("10.78.0.100", 24, "10.78.0.254").unwrap().contains("a route by 10.78.0.254"));
        assert_eq!(of("10.78.0.100", 24, "10.77.0.254"), None);
    }

    #[test]
    fn a_kernel_that_shows_nothing_refuses_nothing() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(problem(own("10.77.0.100", 24), "eth0", &[own("10.77.0.11", 24)], root.path()), None);
    }
}
