//! The host's addresses and interfaces as the agent watches them, for tests.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use decide::input::{Fact, Host, HostAddress, Seen};
use haipmgr::act::address::Label;
use haipmgr::observe::link::{LinkNews, LinkWatch, watch};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::namespace::LIMIT;

pub(crate) const VIP: &str = "10.77.0.100";
/// Longer than any test.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// What is told of the host, and when.
pub(crate) type Facts = UnboundedReceiver<(Seen<Host>, Instant)>;

/// The host as the agent watches it, each time with the moment at which it was told.
pub(crate) async fn watched() -> (LinkWatch, Facts) {
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
pub(crate) async fn told(facts: &mut Facts, wanted: impl Fn(&Host) -> bool) -> Instant {
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

pub(crate) fn has(host: &Host, address: &str, prefix: u8) -> bool {
    host.addresses.contains(&HostAddress { address: vip(address), prefix, interface: "eth0".into() })
}

pub(crate) fn bears(host: &Host, address: &str) -> bool {
    host.addresses.iter().any(|there| there.address == vip(address))
}

pub(crate) fn running(host: &Host) -> bool {
    host.interfaces.iter().any(|interface| interface.name == "eth0" && interface.running)
}

pub(crate) fn vip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

pub(crate) fn label() -> Label {
    Label::new("eth0", 3306).0
}
