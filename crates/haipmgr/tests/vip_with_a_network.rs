//! A VIP with a network of its own, on this kernel: it brings no route, and is never the source of what the host sends. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use haipmgr::act::address::{Addresses, Label, OwnAddresses};
use namespace::{Neighbor, addresses, cable_to, give, in_new_namespace, netlink, on_eth0, source_to};
use netlink_packet_route::address::AddressHeaderFlags;

const VIP: &str = "10.77.0.100";
const VIP6: &str = "fd77::100";
/// Longer than any test.
const LEASE: Duration = Duration::from_secs(30);

fn vip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn label() -> Label {
    Label::new("eth0", 3306).0
}

/// The addresses of eth0 in the kernel's order, with whether each is another's secondary.
async fn in_order() -> Vec<(IpAddr, u8, bool)> {
    let there = on_eth0().await;
    let secondary: Vec<_> =
        there.iter().map(|one| one.header.flags.contains(AddressHeaderFlags::Secondary)).collect();
    let known = addresses(&there);
    known
        .into_iter()
        .zip(secondary)
        .map(|((address, prefix), secondary)| (address, prefix, secondary))
        .collect()
}

async fn put_behind(orders: &Addresses, address: &str, prefix: u8) -> bool {
    let own = [vip("10.77.0.11")];
    orders
        .put_behind("eth0", vip(address), prefix, &label(), Some(LEASE), OwnAddresses::Among(&own))
        .await
        .unwrap()
}

async fn default_route() {
    let gateway = rtnetlink::RouteMessageBuilder::<std::net::Ipv4Addr>::new()
        .gateway("10.77.0.254".parse().unwrap())
        .build();
    netlink().route().add(gateway).replace().execute().await.unwrap();
}

#[test]
fn a_vip_with_a_network_brings_no_route_and_is_never_the_source_of_what_the_host_sends() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        give(&netlink(), "eth0", "10.77.0.11", 24).await;
        default_route().await;
        let own = vip("10.77.0.11");
        let routes = || std::fs::read_to_string("/proc/net/route").unwrap();
        let before = routes();
        let orders = Addresses::new();
        for (address, prefix) in
            [(VIP, 24), (VIP, 25), (VIP, 16), (VIP, 8), ("10.78.0.100", 24), ("10.78.0.100", 32)]
        {
            orders.add("eth0", vip(address), prefix, &label(), Some(LEASE)).await.unwrap();
            for _ in 0..2 {
                assert_eq!(routes(), before, "{address}/{prefix}");
                for to in ["10.77.0.254", "10.77.0.20", "10.78.0.20", "192.0.2.1"] {
                    assert_eq!(source_to(to), own, "{address}/{prefix} to {to}");
                }
                assert!(orders.renew("eth0", vip(address), prefix, &label(), Some(LEASE)).await.unwrap());
                let moved = put_behind(&orders, address, prefix).await;
                assert!(!moved, "{address}/{prefix} is where it belongs");
            }
            assert!(orders.remove("eth0", vip(address)).await.unwrap());
        }
        assert_eq!(addresses(&on_eth0().await), vec![(own, 24)]);
    });
}

#[test]
fn a_vip_that_came_before_the_hosts_own_address_is_put_behind_it_and_its_connections_go_on() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let own = vip("10.77.0.11");
        let orders = Addresses::new();
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/promote_secondaries", "0").unwrap();
        for prefix in [24, 16] {
            orders.add("eth0", vip(VIP), prefix, &label(), Some(LEASE)).await.unwrap();
            give(&netlink(), "eth0", "10.77.0.11", 24).await;
            // What this kernel does: the later one of the same network has no route at all; of another one it is not the source.
            if prefix == 16 {
                default_route().await;
                assert_eq!(source_to("192.0.2.1"), vip(VIP));
            }
            let listener = std::net::TcpListener::bind((VIP, 0)).unwrap();
            let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();

            assert!(put_behind(&orders, VIP, prefix).await);
            assert_eq!(in_order().await, [(own, 24, false), (vip(VIP), prefix, prefix == 24)]);
            default_route().await;
            assert_eq!(source_to("192.0.2.1"), own);
            client.write_all(b"x").unwrap();
            server.read_exact(&mut [0]).unwrap();
            assert!(!put_behind(&orders, VIP, prefix).await, "once is enough");

            orders.remove("eth0", vip(VIP)).await.unwrap();
            assert_eq!(addresses(&on_eth0().await), vec![(own, 24)], "the host's own stays");
            orders.remove("eth0", own).await.unwrap();
        }
    });
}

#[test]
fn an_ipv6_vip_with_a_network_brings_no_route_and_stays_deprecated() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let routes = || std::fs::read_to_string("/proc/net/ipv6_route").unwrap();
        let orders = Addresses::new();
        for address in [VIP6, "fd78::100"] {
            orders.add("eth0", vip(address), 64, &label(), Some(LEASE)).await.unwrap();
            for _ in 0..3 {
                assert!(orders.renew("eth0", vip(address), 64, &label(), Some(LEASE)).await.unwrap());
            }
            let network = address.trim_end_matches("::100");
            let networks = format!("{network}{}", "0".repeat(28));
            let own_route =
                |line: &&str| line.starts_with(&networks) && line.ends_with("eth0") && line[33..35] == *"40";
            assert_eq!(routes().lines().find(own_route), None, "{address}");
            let deprecated = on_eth0().await.iter().any(|there| {
                there.header.prefix_len == 64 && there.header.flags.contains(AddressHeaderFlags::Deprecated)
            });
            assert!(deprecated, "{address}");
            assert!(orders.remove("eth0", vip(address)).await.unwrap());
        }
    });
}
