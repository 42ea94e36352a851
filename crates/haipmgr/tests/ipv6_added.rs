//! An IPv6 VIP that was added takes packets at once, also where the thread that added it is of real-time priority, as the agent's is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use haipmgr::act::address::{Addresses, Label};
use haipmgr::self_protection::protect;
use namespace::{Neighbor, cable_to, in_new_namespace, netlink, set_up};

const VIP: &str = "fd77::100";

/// `RTF_LOCAL`: what comes for it is this host's own.
const LOCAL: u32 = 0x8000_0000;

/// Whether the kernel has a local route for it (`/proc/net/ipv6_route`: destination, length, and flags in the ninth column).
fn takes_packets(address: &str) -> bool {
    let address: Ipv6Addr = address.parse().unwrap();
    let wanted = format!("{:032x} 80", u128::from(address));
    let routes = std::fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap();
    let flags = |line: &str| u32::from_str_radix(line.split_whitespace().nth(8).unwrap(), 16).unwrap();
    routes.lines().any(|line| line.starts_with(&wanted) && flags(line) & LOCAL != 0)
}

#[test]
fn an_ipv6_vip_is_there_when_its_adding_is_done_though_the_thread_gives_the_processor_to_nobody() {
    in_new_namespace(|| async {
        let neighbor = Neighbor::new();
        cable_to(&neighbor).await;
        set_up(&netlink(), "lo").await;
        let protection = protect();
        let words = protection.in_words();
        assert!(words.contains("real-time priority"), "to be run as root: {words}");
        let (orders, vip): (_, IpAddr) = (Addresses::new(), VIP.parse().unwrap());
        orders.prepare(vip);
        assert!(!takes_packets(VIP), "before it was added");
        for round in 0..30 {
            let label = Label::new("eth0", 3306).0;
            orders.add("eth0", vip, 128, &label, Some(Duration::from_secs(30))).await.unwrap();
            assert!(takes_packets(VIP), "round {round}");
            orders.remove("eth0", vip).await.unwrap();
            assert!(!takes_packets(VIP), "round {round}: it was removed");
        }
    });
}
