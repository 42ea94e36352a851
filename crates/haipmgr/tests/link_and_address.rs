//! The host's addresses, as watched and as changed, in network namespaces of the tests' own. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use decide::input::{Fact, Host, HostAddress, Seen};
use haipmgr::act::address::{AddressError, Addresses, Label};
use haipmgr::observe::link::{LinkNews, LinkWatch, PathChange, watch};
use namespace::{
    LIMIT, Neighbor, addresses, cable_to, give, in_new_namespace, index, netlink, on_eth0, set_down, set_up,
    source_to,
};
use netlink_packet_route::address::AddressAttribute;
use rtnetlink::{LinkBridge, LinkUnspec, LinkVeth};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

const VIP: &str = "10.77.0.100";
/// Longer than any test.
const LEASE: Duration = Duration::from_secs(30);

type Facts = UnboundedReceiver<(Seen<Host>, Instant)>;

async fn watched() -> (LinkWatch, Facts) {
    let (sender, facts) = unbounded_channel();
    let watch = watch(move |news| {
        if let LinkNews::Host(seen) = news {
            drop(sender.send((seen, Instant::now())));
        }
    })
    .await
    .unwrap();
    (watch, facts)
}

/// Reads on until the host is as wanted; gives the time at which that was told.
async fn told(facts: &mut Facts, wanted: impl Fn(&Host) -> bool) -> Instant {
    let mut last = None;
    let found = timeout(LIMIT, async {
        loop {
            let (seen, at) = facts.recv().await.unwrap();
            match seen.fact {
                Fact::Known(host) if wanted(&host) => return at,
                other => last = Some(other),
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("not told within the limit; last: {last:?}"))
}

fn has(host: &Host, address: &str, prefix: u8) -> bool {
    host.addresses.contains(&HostAddress { address: vip(address), prefix, interface: "eth0".into() })
}

fn bears(host: &Host, address: &str) -> bool {
    host.addresses.iter().any(|there| there.address == vip(address))
}

fn running(host: &Host) -> bool {
    host.interfaces.iter().any(|interface| interface.name == "eth0" && interface.running)
}

fn vip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn label() -> Label {
    Label::new("eth0", 3306).0
}

#[test]
fn the_vip_is_seen_to_come_and_go_at_once_and_its_renewal_is_not_news() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        give(&netlink(), "eth0", "10.77.0.11", 24).await;
        let (watch, mut facts) = watched().await;
        told(&mut facts, |host| running(host) && has(host, "10.77.0.11", 24) && !bears(host, VIP)).await;

        let orders = Addresses::new();
        let lease = Some(Duration::from_millis(5500));
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let began = Instant::now();
            orders.add("eth0", vip(VIP), 32, &label(), lease).await.unwrap();
            up.push(told(&mut facts, |host| has(host, VIP, 32)).await - began);
            for _ in 0..3 {
                assert!(orders.renew("eth0", vip(VIP), 32, &label(), lease).await.unwrap());
            }
            let began = Instant::now();
            orders.remove("eth0", vip(VIP)).await.unwrap();
            // The very next fact is that it has gone: a renewal tells nothing.
            let (seen, at) = timeout(LIMIT, facts.recv()).await.unwrap().unwrap();
            let Fact::Known(host) = seen.fact else { panic!("{seen:?}") };
            assert!(!bears(&host, VIP) && has(&host, "10.77.0.11", 24), "{host:?}");
            down.push(at - began);
        }
        up.sort();
        down.sort();
        println!(
            "order to fact told, 20 times: add median {:?}, worst {:?}; remove median {:?}, worst {:?}",
            up[10], up[19], down[10], down[19]
        );
        assert!(up[10] < Duration::from_millis(50) && down[10] < Duration::from_millis(50));

        let asked_at = haipmgr::clock::now();
        watch.ask_now();
        let (seen, _) = timeout(LIMIT, facts.recv()).await.unwrap().unwrap();
        assert!(seen.asked_at >= asked_at, "a fact that was asked for is not older than the question");
        assert!(facts.try_recv().is_err());
    });
}

#[test]
fn a_lease_that_is_not_renewed_ends_by_itself_and_that_is_told() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let (_watch, mut facts) = watched().await;
        let orders = Addresses::new();
        orders.add("eth0", vip(VIP), 32, &label(), None).await.unwrap();
        let lease = Duration::from_secs(3);
        for stir_after in [0, 600, 1_300] {
            let began = Instant::now();
            // The address that is there without a lease, or was dropped, is put under a lease.
            if !orders.renew("eth0", vip(VIP), 32, &label(), Some(lease)).await.unwrap() {
                orders.add("eth0", vip(VIP), 32, &label(), Some(lease)).await.unwrap();
            }
            told(&mut facts, |host| has(host, VIP, 32)).await;
            // Another address makes the kernel look at lifetimes now, and so at another moment the next time.
            tokio::time::sleep(Duration::from_millis(stir_after)).await;
            orders.add("eth0", vip("10.77.0.99"), 32, &label(), None).await.unwrap();
            let lived = told(&mut facts, |host| !bears(host, VIP)).await - began;
            println!("a lease of {lease:?}, stirred after {stir_after} ms: lived for {lived:?}");
            assert!(lived > Duration::from_millis(1_700) && lived <= lease, "lived for {lived:?}");
            orders.remove("eth0", vip("10.77.0.99")).await.unwrap();
        }
    });
}

#[test]
fn the_vip_bears_the_label_interface_and_port() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        Addresses::new().add("eth0", vip(VIP), 32, &label(), None).await.unwrap();
        let there = on_eth0().await;
        assert!(
            there
                .iter()
                .any(|address| address.attributes.contains(&AddressAttribute::Label("eth0:3306".into())))
        );
        let (_watch, mut facts) = watched().await;
        told(&mut facts, |host| has(host, VIP, 32)).await;
    });
}

#[test]
fn interface_down_cable_out_and_a_new_name_are_told() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        give(&netlink(), "eth0", "10.77.0.11", 24).await;
        let (_watch, mut facts) = watched().await;
        told(&mut facts, running).await;
        let began = Instant::now();
        neighbor.run(|| async { set_down(&netlink(), "eth0").await });
        let cable = told(&mut facts, |host| !running(host)).await - began;
        println!("cable out to fact told: {cable:?}");
        neighbor.run(|| async { set_up(&netlink(), "eth0").await });
        told(&mut facts, running).await;
        set_down(&netlink(), "eth0").await;
        told(&mut facts, |host| !running(host)).await;
        let netlink = netlink();
        let eth0 = index(&netlink, "eth0").await;
        let rename = LinkUnspec::new_with_index(eth0).name("lan0").build();
        netlink.link().set(rename).execute().await.unwrap();
        told(&mut facts, |host| {
            host.addresses.iter().any(|a| a.interface == "lan0" && a.address == vip("10.77.0.11"))
        })
        .await;
        netlink.link().del(eth0).execute().await.unwrap();
        told(&mut facts, |host| *host == Host::default()).await;
    });
}

/// Reads on until this is told.
async fn news(told: &mut UnboundedReceiver<LinkNews>, what: &str, wanted: impl Fn(&LinkNews) -> bool) {
    let found = timeout(LIMIT, async {
        while let Some(news) = told.recv().await {
            if wanted(&news) {
                return;
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("never told: {what}"));
}

fn is_path(news: &LinkNews, interface: &str, what: &'static str) -> bool {
    *news == LinkNews::Path(PathChange { interface: interface.to_owned(), what })
}

#[test]
fn a_carrier_that_is_back_and_another_port_of_a_bridge_are_another_way() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let (sender, mut told) = unbounded_channel();
        let _watch = watch(move |news| drop(sender.send(news))).await.unwrap();
        let here = |up: bool| move |news: &LinkNews| matches!(news, LinkNews::Host(Seen { fact: Fact::Known(host), .. }) if running(host) == up);
        news(&mut told, "eth0 runs", here(true)).await;
        neighbor.run(|| async { set_down(&netlink(), "eth0").await });
        news(&mut told, "its cable is out", here(false)).await;
        neighbor.run(|| async { set_up(&netlink(), "eth0").await });
        news(&mut told, "its carrier", |news| is_path(news, "eth0", "its carrier is back")).await;
        // With a hardware address of its own, which is not a port's.
        let netlink = netlink();
        let bridge = LinkBridge::new("br0").address(vec![2, 0, 0, 0x77, 0, 1]).build();
        netlink.link().add(bridge).execute().await.unwrap();
        for port in ["port1", "port2"] {
            let cable = LinkVeth::new(port, &format!("{port}far")).build();
            netlink.link().add(cable).execute().await.unwrap();
            set_up(&netlink, &format!("{port}far")).await;
            set_up(&netlink, port).await;
            let port_index = index(&netlink, port).await;
            let joined =
                LinkUnspec::new_with_index(port_index).controller(index(&netlink, "br0").await).build();
            netlink.link().set(joined).execute().await.unwrap();
            let of_bridge = |news: &LinkNews| {
                is_path(news, "br0", "its ports changed")
                    || (port == "port1" && is_path(news, "br0", "its carrier is back"))
            };
            news(&mut told, port, of_bridge).await;
        }
    });
}

#[test]
fn a_interface_that_was_made_anew_and_looks_the_same_is_told() {
    in_new_namespace(|| async {
        let made = |netlink: rtnetlink::Handle| async move {
            netlink.link().add(LinkVeth::new("eth0", "peer0").build()).execute().await.unwrap();
            set_up(&netlink, "peer0").await;
            set_up(&netlink, "eth0").await;
            give(&netlink, "eth0", "10.77.0.11", 24).await;
        };
        made(netlink()).await;
        let (_watch, mut facts) = watched().await;
        told(&mut facts, |host| running(host) && has(host, "10.77.0.11", 24)).await;
        while timeout(Duration::from_millis(300), facts.recv()).await.is_ok() {}
        // The watcher stands still meanwhile, and then sees the same addresses on an interface of the same name.
        let elsewhere = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let netlink = netlink();
                let eth0 = index(&netlink, "eth0").await;
                netlink.link().del(eth0).execute().await.unwrap();
                made(netlink).await;
            });
        };
        std::thread::spawn(elsewhere).join().unwrap();
        told(&mut facts, |host| running(host) && has(host, "10.77.0.11", 24)).await;
    });
}

#[test]
fn a_interface_that_is_set_down_and_up_again_keeps_the_vip() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let orders = Addresses::new();
        orders.add("eth0", vip(VIP), 32, &label(), Some(Duration::from_secs(30))).await.unwrap();
        let (_watch, mut facts) = watched().await;
        set_down(&netlink(), "eth0").await;
        told(&mut facts, |host| !running(host) && has(host, VIP, 32)).await;
        set_up(&netlink(), "eth0").await;
        told(&mut facts, |host| running(host) && has(host, VIP, 32)).await;
    });
}

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

#[test]
fn notifications_that_were_lost_are_made_up_for() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        let orders = Addresses::new();
        orders.add("eth0", vip("10.77.0.200"), 32, &label(), None).await.unwrap();
        let (_watch, mut facts) = watched().await;
        // This thread, and the watcher in it, stand still meanwhile. Far more is notified than its socket holds, all of
        // it no news, and the one piece of news comes last and is lost.
        let elsewhere = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let orders = Addresses::new();
                for _ in 0..4000 {
                    orders.renew("eth0", vip("10.77.0.200"), 32, &label(), None).await.unwrap();
                }
                orders.add("eth0", vip(VIP), 32, &label(), None).await.unwrap();
            });
        };
        std::thread::spawn(elsewhere).join().unwrap();
        told(&mut facts, |host| has(host, VIP, 32)).await;
    });
}

#[test]
fn what_a_switch_waits_for_is_done_in_a_moment() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        give(&netlink(), "eth0", "10.77.0.11", 24).await;
        let orders = Addresses::new();
        orders.prepare(vip(VIP));
        let mut took = [vec![], vec![], vec![]];
        for _ in 0..50 {
            let start = std::time::Instant::now();
            orders.add("eth0", vip(VIP), 32, &label(), Some(Duration::from_secs(30))).await.unwrap();
            took[0].push(start.elapsed());
            let start = std::time::Instant::now();
            orders.remove_other_prefixes("eth0", vip(VIP), 32).await.unwrap();
            took[1].push(start.elapsed());
            let start = std::time::Instant::now();
            orders.remove("eth0", vip(VIP)).await.unwrap();
            took[2].push(start.elapsed());
        }
        for (what, took) in ["add", "remove other prefixes", "remove"].iter().zip(&mut took) {
            took.sort();
            let (median, worst) = (took[25], took[49]);
            println!("{what}: median {median:?}, worst {worst:?}");
            assert!(median < Duration::from_millis(3), "{what}: {median:?}");
        }
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
