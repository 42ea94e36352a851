//! The host's addresses, as watched and as changed, in network namespaces of the tests' own. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;
mod watched_host;

use std::time::{Duration, Instant};

use decide::input::{Fact, Host, Seen};
use haipmgr::act::address::Addresses;
use haipmgr::observe::link::{LinkNews, PathChange, watch};
use namespace::{
    LIMIT, Neighbor, cable_to, give, in_new_namespace, index, netlink, on_eth0, set_down, set_up,
};
use netlink_packet_route::address::AddressAttribute;
use rtnetlink::{LinkBridge, LinkUnspec, LinkVeth};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use watched_host::{VIP, bears, has, label, running, told, vip, watched};

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
