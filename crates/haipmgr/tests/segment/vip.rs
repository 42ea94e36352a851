//! What tests of the VIP's move begin with: A holds the VIP, B is to take it, a client is beside them.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use decide::net::Mac;
use haipmgr::act::announce::Announcer;
use linux::neighbor_socket::NeighborSender;

use super::{Host, INTERFACE, LIMIT, Segment};

pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
pub(crate) const PORT: u16 = 3306;
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
pub(crate) const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);

/// The segment, A, B and the client, plugged in in this order.
pub(crate) fn hosts() -> (Segment, Host, Host, Host) {
    let mut segment = Segment::new();
    let (a, b, client) = (segment.join(A), segment.join(B), segment.join(CLIENT));
    a.add_address(VIP, 32);
    (segment, a, b, client)
}

/// Accepts connections and says nothing.
pub(crate) fn serve(host: &Host) {
    host.run(|_| async {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).expect("a listener");
        std::thread::spawn(move || {
            let _open: Vec<_> = listener.incoming().collect();
        });
    });
}

pub(crate) fn mac_of(host: &Host) -> Mac {
    host.run(|_| async { Mac(NeighborSender::open(INTERFACE).expect("a socket").mac().0) })
}

/// The VIP is on this host from now on, which announces it.
pub(crate) fn appear_on(host: &Host) {
    host.add_address(VIP, 32);
    host.run(|_| async { Announcer::new(INTERFACE, VIP.into()).announce().expect("announced") });
}

/// Waits, within the namespace, until a SYN is sent that nobody has answered yet.
pub(crate) fn wait_for_syn() {
    let until = Instant::now() + LIMIT;
    // State 02 is SYN_SENT.
    let syn_sent = |line: &str| line.split_whitespace().nth(3) == Some("02");
    while !std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap().lines().any(syn_sent) {
        assert!(Instant::now() < until, "no SYN was sent");
        std::thread::sleep(Duration::from_millis(1));
    }
}
