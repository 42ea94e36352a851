//! Witnesses of the network, in a network namespace of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::record::{ArpKind, now_us};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const LIMIT: Duration = Duration::from_secs(10);
const LOOPBACK: u32 = 1;

/// Runs a test in a thread whose network namespace is new; threads begun in it are in the same one.
fn in_own_network(test: impl FnOnce() + Send + 'static) {
    let done = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("a network namespace of its own needs root: run the tests as root, or in `unshare -Urn`");
        test();
    });
    if let Err(panic) = done.join() {
        std::panic::resume_unwind(panic);
    }
}

fn told(
    watch: impl FnOnce(&mut Tell<'_>) -> Result<(), WitnessError> + Send + 'static,
) -> Receiver<Recorded> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        watch(&mut |recorded| {
            sender
                .send(recorded.clone())
                .map_err(|_| WitnessError::Output(io::Error::from(io::ErrorKind::BrokenPipe)))
        })
    });
    receiver
}

/// The next record that is no mere remark.
fn next(receiver: &Receiver<Recorded>) -> Recorded {
    loop {
        let recorded = receiver.recv_timeout(LIMIT).expect("the witness told nothing");
        if !matches!(recorded.what, What::Said { .. }) {
            return recorded;
        }
    }
}

fn with_netlink(change: impl AsyncFnOnce(rtnetlink::Handle)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        change(handle).await;
    });
}

async fn add(handle: &rtnetlink::Handle, address: Ipv4Addr, prefix: u8) {
    handle.address().add(LOOPBACK, IpAddr::V4(address), prefix).replace().execute().await.unwrap();
}

#[test]
fn an_address_is_told_when_it_comes_and_when_it_goes_and_not_when_it_is_renewed() {
    in_own_network(|| {
        with_netlink(async |handle| add(&handle, Ipv4Addr::new(10, 77, 0, 11), 24).await);
        let receiver = told(|tell| addresses::watch("db1", tell));
        let What::Addresses(present) = next(&receiver).what else { panic!("first come those present") };
        assert_eq!(present.len(), 1);
        assert_eq!(present[0].prefix, 24);

        let before_us = now_us();
        with_netlink(async |handle| {
            add(&handle, VIP, 32).await;
            add(&handle, VIP, 32).await;
            add(&handle, Ipv4Addr::new(10, 77, 0, 12), 32).await;
        });
        let after_us = now_us();
        let added = next(&receiver);
        let What::AddressAdded(address) = &added.what else { panic!("{added:?}") };
        assert_eq!((address.address, address.interface.as_str()), (IpAddr::V4(VIP), "lo"));
        assert!(added.at_us >= before_us && added.at_us <= after_us + 1_000_000);
        let following = next(&receiver);
        assert!(
            matches!(&following.what, What::AddressAdded(address) if address.address != IpAddr::V4(VIP)),
            "the renewal was told: {following:?}"
        );
    });
}

#[test]
fn a_host_hears_who_asks_for_the_vip() {
    in_own_network(|| {
        let (ready, begun) = channel();
        with_netlink(async |handle| {
            let pair = rtnetlink::LinkVeth::new("left", "right").up().build();
            handle.link().add(pair).execute().await.unwrap();
            for interface in ["left", "right"] {
                let index = nix::net::if_::if_nametoindex(interface).unwrap();
                let up = rtnetlink::LinkUnspec::new_with_index(index).up().build();
                handle.link().set(up).execute().await.unwrap();
            }
            ready.send(nix::net::if_::if_nametoindex("right").unwrap()).unwrap();
        });
        let index = begun.recv_timeout(LIMIT).unwrap();
        let receiver = told(|tell| arp::watch("db1", "left", IpAddr::V4(VIP), tell));
        // The kernel itself asks: an address on the other interface, and a packet for the VIP.
        with_netlink(async |handle| {
            let own = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 9));
            handle.address().add(index, own, 24).execute().await.unwrap();
        });
        let socket = std::net::UdpSocket::bind((Ipv4Addr::new(10, 77, 0, 9), 0)).unwrap();
        // The witness may not listen yet at the first; the kernel asks again for each of these.
        let heard = (0..100).find_map(|_| {
            socket.send_to(b"?", (VIP, 9)).ok();
            receiver.recv_timeout(Duration::from_millis(100)).ok()
        });
        let heard = heard.expect("nothing was heard");
        assert!(matches!(heard.what, What::Arp { kind: ArpKind::Request, .. }), "{heard:?}");
    });
}
