//! The VIP's address as it is added, renewed and removed, in network namespaces of the tests' own. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;
mod watched_host;

use std::time::{Duration, Instant};

use haipmgr::act::address::{AddressError, Addresses};
use namespace::{
    LIMIT, Neighbor, addresses, cable_to, give, in_new_namespace, netlink, on_eth0, set_down, set_up,
    source_to,
};
use netlink_packet_route::address::AddressAttribute;
use watched_host::{LEASE, VIP, bears, has, label, running, told, vip, watched};

#[test]
fn removing_the_vip_takes_the_predecessors_netmask_too_and_leaves_the_hosts_own_address() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let netlink = netlink();
        let orders = Addresses::new();
        let own = vec![(vip("10.77.0.11"), 24)];
        give(&netlink, "eth0", "10.77.0.11", 24).await;
        for prefixes in [&[8, 32][..], &[24], &[32]] {
            for &prefix in prefixes {
                orders.add("eth0", vip(VIP), prefix, &label(), None).await.unwrap();
            }
            orders.remove("eth0", vip(VIP)).await.unwrap();
            assert_eq!(addresses(&on_eth0().await), own, "VIP as {prefixes:?}");
        }
        orders.remove("eth0", vip(VIP)).await.unwrap();
    });
}

#[test]
fn removing_a_vip_that_came_before_the_hosts_own_address_leaves_address_and_default_route() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let netlink = netlink();
        let setting = "/proc/sys/net/ipv4/conf/eth0/promote_secondaries";
        std::fs::write("/proc/sys/net/ipv4/conf/all/promote_secondaries", "0").unwrap();
        for before in ["0\n", "1\n"] {
            std::fs::write(setting, before).unwrap();
            give(&netlink, "eth0", VIP, 24).await;
            give(&netlink, "eth0", "10.77.0.11", 24).await;
            let gateway = rtnetlink::RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .gateway("10.77.0.254".parse().unwrap())
                .build();
            netlink.route().add(gateway.clone()).execute().await.unwrap();
            Addresses::new().remove("eth0", vip(VIP)).await.unwrap();
            assert_eq!(addresses(&on_eth0().await), vec![(vip("10.77.0.11"), 24)]);
            netlink.route().del(gateway).execute().await.expect("the default route is still there");
            assert_eq!(std::fs::read_to_string(setting).unwrap(), before, "the setting is put back");
            Addresses::new().remove("eth0", vip("10.77.0.11")).await.unwrap();
        }
    });
}

#[test]
fn a_lease_ends_the_predecessors_copy_without_the_vip_ever_being_away() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        give(&netlink(), "eth0", VIP, 8).await;
        let (_watch, mut facts) = watched().await;
        let orders = Addresses::new();
        assert!(orders.renew("eth0", vip(VIP), 32, &label(), Some(Duration::from_secs(30))).await.unwrap());
        orders.remove_other_prefixes("eth0", vip(VIP), 32).await.unwrap();
        assert_eq!(addresses(&on_eth0().await), vec![(vip(VIP), 32)]);
        told(&mut facts, |host| {
            assert!(bears(host, VIP), "away: {host:?}");
            has(host, VIP, 32) && !has(host, VIP, 8)
        })
        .await;
    });
}

const VIP6: &str = "fd77::100";

#[test]
fn an_ipv6_vip_is_usable_at_once_and_removed() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let orders = Addresses::new();
        orders.add("eth0", vip(VIP6), 128, &label(), Some(Duration::from_secs(30))).await.unwrap();
        std::net::TcpListener::bind("[fd77::100]:3306").expect("usable at once");
        let (_watch, mut facts) = watched().await;
        told(&mut facts, |host| has(host, VIP6, 128)).await;
        orders.remove("eth0", vip(VIP6)).await.unwrap();
        told(&mut facts, |host| !bears(host, VIP6)).await;
    });
}

#[test]
fn what_the_host_sends_never_comes_from_its_ipv6_vip_also_after_a_renewal_and_without_a_lease() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let orders = Addresses::new();
        let source = || {
            let socket = std::net::UdpSocket::bind("[::]:0").unwrap();
            // Nearer to the VIP than to the host's own address: without more ado, the VIP would be its source.
            socket.connect("[fd77::101]:9").unwrap();
            socket.local_addr().unwrap().ip()
        };
        for lifetime in [Some(Duration::from_secs(30)), None] {
            orders.add("eth0", vip(VIP6), 128, &label(), lifetime).await.unwrap();
            give(&netlink(), "eth0", "fd77::11", 64).await;
            let until = Instant::now() + LIMIT;
            // Its own address is tentative for a while, and not chosen.
            while source() != vip("fd77::11") {
                assert!(Instant::now() < until, "the host sends from {}", source());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            for _ in 0..3 {
                assert!(orders.renew("eth0", vip(VIP6), 128, &label(), lifetime).await.unwrap());
                assert_eq!(source(), vip("fd77::11"), "after a renewal");
            }
            orders.remove("eth0", vip(VIP6)).await.unwrap();
            orders.remove("eth0", vip("fd77::11")).await.unwrap();
        }
    });
}

#[test]
fn an_ipv6_lease_ends_by_itself_and_not_before_a_renewal_is_over() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let (_watch, mut facts) = watched().await;
        let orders = Addresses::new();
        let lease = Duration::from_secs(3);
        orders.add("eth0", vip(VIP6), 128, &label(), Some(lease)).await.unwrap();
        told(&mut facts, |host| has(host, VIP6, 128)).await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let began = Instant::now();
        assert!(orders.renew("eth0", vip(VIP6), 128, &label(), Some(lease)).await.unwrap());
        let lived = told(&mut facts, |host| !bears(host, VIP6)).await - began;
        println!("an IPv6 lease of {lease:?} lived for {lived:?} after its renewal");
        assert!(lived > Duration::from_millis(1_700) && lived <= lease, "lived for {lived:?}");
    });
}

#[test]
fn an_ipv6_vip_goes_with_the_interface_down_which_is_told_and_is_put_back_after_it_is_up() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let orders = Addresses::new();
        orders.add("eth0", vip(VIP6), 128, &label(), Some(Duration::from_secs(30))).await.unwrap();
        let (_watch, mut facts) = watched().await;
        set_down(&netlink(), "eth0").await;
        told(&mut facts, |host| !running(host) && !bears(host, VIP6)).await;
        assert!(!orders.renew("eth0", vip(VIP6), 128, &label(), None).await.unwrap(), "it is gone");
        set_up(&netlink(), "eth0").await;
        told(&mut facts, running).await;
        orders.add("eth0", vip(VIP6), 128, &label(), Some(Duration::from_secs(30))).await.unwrap();
        std::net::TcpListener::bind("[fd77::100]:3306").expect("usable at once");
    });
}

#[test]
fn where_ipv6_is_switched_off_the_error_says_what_to_set() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").unwrap();
        let error = Addresses::new().add("eth0", vip(VIP6), 128, &label(), None).await.unwrap_err();
        assert!(error.to_string().contains("net.ipv6.conf.eth0.disable_ipv6"), "{error}");
    });
}

#[test]
fn errors_name_the_interface_and_what_to_do() {
    in_new_namespace(|| async {
        let orders = Addresses::new();
        let error = orders.add("eth7", vip(VIP), 32, &label(), None).await.unwrap_err();
        assert!(matches!(error, AddressError::NoSuchInterface { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("eth7") && text.contains(VIP) && text.contains("members"), "{text}");
        orders.remove("eth7", vip(VIP)).await.expect("no interface, no VIP on it");
        let error = orders.add("lo", vip(VIP), 33, &label(), None).await.unwrap_err();
        assert!(error.to_string().contains("32"), "{error}");
        // The future may be moved between threads, as `tokio::spawn` demands.
        tokio::spawn(async move { orders.remove("lo", vip(VIP)).await }).await.unwrap().unwrap();
    });
}

/// Both families, by the VIP and its longest prefix.
const FAMILIES: [(&str, u8); 2] = [(VIP, 32), (VIP6, 128)];

#[test]
fn what_is_gone_is_not_renewed_into_being_for_a_while_or_for_ever() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let orders = Addresses::new();
        for (address, prefix) in FAMILIES {
            for lifetime in [Some(Duration::from_secs(30)), None] {
                let there = orders.renew("eth0", vip(address), prefix, &label(), lifetime).await.unwrap();
                assert!(!there, "{address}: it was never there");
                orders.add("eth0", vip(address), prefix, &label(), lifetime).await.unwrap();
                assert!(orders.renew("eth0", vip(address), prefix, &label(), lifetime).await.unwrap());
                assert!(orders.remove("eth0", vip(address)).await.unwrap(), "{address}: it can be removed");
                assert!(!orders.renew("eth0", vip(address), prefix, &label(), lifetime).await.unwrap());
                let (_watch, mut facts) = watched().await;
                told(&mut facts, |host| !bears(host, address)).await;
            }
            assert!(!orders.renew("eth7", vip(address), prefix, &label(), None).await.unwrap());
        }
    });
}

#[test]
fn an_address_that_is_removed_while_it_is_renewed_all_the_time_stays_away() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let orders = Addresses::new();
        let (mut renewed, mut gone) = (0_u32, 0_u32);
        for round in 0..60_u64 {
            let (address, prefix) = FAMILIES[usize::from(round % 2 == 1)];
            orders.add("eth0", vip(address), prefix, &label(), None).await.unwrap();
            // A thread of its own, in the same namespace, removes it once, at another moment each time.
            let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
            let removal = std::thread::spawn(move || {
                nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let orders = Addresses::new();
                    orders.prepare(vip(address));
                    tokio::time::sleep(Duration::from_micros(round * 97 % 2_000)).await;
                    assert!(orders.remove("eth0", vip(address)).await.unwrap());
                });
            });
            let lifetime = Some(Duration::from_secs(30)).filter(|_| round % 4 < 2);
            let end = Instant::now() + LIMIT;
            while !removal.is_finished() && Instant::now() < end {
                let there = orders.renew("eth0", vip(address), prefix, &label(), lifetime).await.unwrap();
                *if there { &mut renewed } else { &mut gone } += 1;
            }
            removal.join().unwrap();
            assert!(!orders.renew("eth0", vip(address), prefix, &label(), lifetime).await.unwrap());
            assert!(!orders.remove("eth0", vip(address)).await.unwrap(), "round {round}: it came back");
        }
        println!("renewed {renewed} times, found gone {gone} times");
        assert!(renewed >= 60, "the removals met renewals: {renewed}");
    });
}

#[test]
fn this_kernel_renews_an_address_that_is_there_at_once_and_in_place() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let orders = Addresses::new();
        orders.add("eth0", vip(VIP), 32, &label(), Some(Duration::from_secs(3))).await.unwrap();
        assert!(orders.renew("eth0", vip(VIP), 32, &label(), None).await.unwrap());
        let there = on_eth0().await;
        let for_ever = there.iter().any(|address| {
            address.attributes.iter().any(|attribute| {
                matches!(attribute, AddressAttribute::CacheInfo(cache) if cache.ifa_valid == u32::MAX)
            }) && address.attributes.contains(&AddressAttribute::Label("eth0:3306".into()))
        });
        assert!(for_ever, "{there:?}");
    });
}

#[test]
fn a_start_finds_out_what_is_there_already_and_leaves_it_as_it_is() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let orders = Addresses::new();
        for (address, prefix) in FAMILIES {
            orders.add("eth0", vip(address), prefix, &label(), None).await.unwrap();
            let lease = Some(Duration::from_secs(2));
            let error = orders.add("eth0", vip(address), prefix, &label(), lease).await.unwrap_err();
            assert!(matches!(error, AddressError::AlreadyThere { .. }), "{error:?}");
            assert!(error.to_string().contains("already"), "{error}");
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(orders.remove("eth0", vip(VIP)).await.unwrap(), "it was put under no lease");
    });
}

#[test]
fn the_predecessors_address_alone_is_made_permanent_as_it_is_and_under_a_lease_gives_way_to_ours() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        give(&netlink(), "eth0", VIP, 8).await;
        let orders = Addresses::new();
        assert!(orders.renew("eth0", vip(VIP), 32, &label(), None).await.unwrap());
        assert_eq!(addresses(&on_eth0().await), vec![(vip(VIP), 8)], "left as it is");
        assert!(orders.renew("eth0", vip(VIP), 32, &label(), Some(Duration::from_secs(30))).await.unwrap());
        let mut there = addresses(&on_eth0().await);
        there.sort_unstable();
        assert_eq!(there, vec![(vip(VIP), 8), (vip(VIP), 32)]);
    });
}

#[test]
fn another_prefix_length_in_the_file_replaces_the_address_without_the_vip_ever_being_away() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        give(&netlink(), "eth0", "10.77.0.11", 24).await;
        let (_watch, mut facts) = watched().await;
        let orders = Addresses::new();
        let own = (vip("10.77.0.11"), 24);
        orders.add("eth0", vip(VIP), 32, &label(), Some(LEASE)).await.unwrap();
        told(&mut facts, |host| has(host, VIP, 32)).await;
        for (from, to) in [(32, 24), (24, 16), (16, 32)] {
            assert!(orders.renew("eth0", vip(VIP), to, &label(), Some(LEASE)).await.unwrap());
            orders.remove_other_prefixes("eth0", vip(VIP), to).await.unwrap();
            let mut there = addresses(&on_eth0().await);
            there.sort_unstable();
            assert_eq!(there, vec![own, (vip(VIP), to)]);
            told(&mut facts, |host| {
                assert!(bears(host, VIP), "away: {host:?}");
                has(host, VIP, to) && !has(host, VIP, from)
            })
            .await;
            assert_eq!(source_to("10.77.0.254"), own.0);
        }
    });
}
