//! A client that asks a dead holder for a connection is refused by the new one, and need not wait for its own next attempt.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod segment;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use decide::net::Mac;
use haipmgr::act::orphan_syns::{KEPT_FOR, MOST, OrphanSyns, OrphanSynsError};
use segment::vip::{PORT, VIP, appear_on, hosts, mac_of, serve, wait_for_syn};
use segment::{Host, INTERFACE, LIMIT, Segment};

/// A was plugged in first.
const CABLE_OF_A: u32 = 1;
/// TCP's second attempt comes after 1 s.
const AT_ONCE: Duration = Duration::from_millis(100);

/// A holds the VIP and both hosts serve it; the client has A's MAC for it. B watches for A's clients.
struct Scene {
    b: Host,
    client: Host,
    segment: Segment,
    orphan_syns: Arc<Mutex<OrphanSyns>>,
    of_a: Mac,
    _a: Host,
}

impl Scene {
    fn new() -> Self {
        let (segment, a, b, client) = hosts();
        [&a, &b].into_iter().for_each(serve);
        let of_a = mac_of(&a);
        let scene = Self { b, client, segment, orphan_syns: Arc::default(), of_a, _a: a };
        scene.connecting().recv_timeout(LIMIT).expect("an end").0.expect("A serves");
        scene.with_orphan_syns(move |orphan_syns| {
            orphan_syns.watch(INTERFACE, VIP.into(), of_a).expect("watched");
        });
        scene
    }

    fn with_orphan_syns<T: Send + 'static>(
        &self,
        then: impl FnOnce(&mut OrphanSyns) -> T + Send + 'static,
    ) -> T {
        let orphan_syns = Arc::clone(&self.orphan_syns);
        self.b.run(move |_| async move { then(&mut orphan_syns.lock().unwrap()) })
    }

    fn refuse(&self) -> u32 {
        self.with_orphan_syns(|orphan_syns| orphan_syns.refuse().expect("refused"))
    }

    /// Connects in the background, and gives how and when that ended.
    fn connecting(&self) -> Receiver<(Result<(), ErrorKind>, Instant)> {
        let (give, ended) = channel();
        self.client.run(move |_| async move {
            std::thread::spawn(move || {
                let to = SocketAddr::new(IpAddr::V4(VIP), PORT);
                let end = TcpStream::connect_timeout(&to, LIMIT).map(drop);
                let _ = give.send((end.map_err(|error| error.kind()), Instant::now()));
            });
        });
        ended
    }

    /// Connects in the background to a host that is dead; back when the SYN is sent.
    fn connecting_in_vain(&self) -> Receiver<(Result<(), ErrorKind>, Instant)> {
        let ended = self.connecting();
        self.client.run(|_| async { wait_for_syn() });
        ended
    }
}

#[test]
fn a_client_that_connects_to_a_dead_holder_is_refused_at_once_and_reaches_the_new_one() {
    let scene = Scene::new();
    scene.segment.pull_cable(CABLE_OF_A);
    let ended = scene.connecting_in_vain();
    appear_on(&scene.b);
    let start = Instant::now();
    assert_eq!(scene.refuse(), 1, "the bridge floods what is for A");
    let (end, at) = ended.recv_timeout(LIMIT).expect("an end");
    assert_eq!(end, Err(ErrorKind::ConnectionRefused));
    assert!(at - start < AT_ONCE, "refused only after {:?}", at - start);
    let (end, at) = scene.connecting().recv_timeout(LIMIT).expect("an end");
    end.expect("B serves");
    println!("at B {:?} after the announcement", at - start);
    assert!(at - start < AT_ONCE * 2, "connected only after {:?}", at - start);
}

#[test]
fn without_it_the_client_waits_for_its_second_attempt() {
    let scene = Scene::new();
    scene.segment.pull_cable(CABLE_OF_A);
    let ended = scene.connecting_in_vain();
    appear_on(&scene.b);
    let start = Instant::now();
    scene.with_orphan_syns(OrphanSyns::end);
    let (end, at) = ended.recv_timeout(LIMIT).expect("an end");
    end.expect("B serves");
    assert!(at - start > Duration::from_millis(500), "connected after {:?}", at - start);
    assert_eq!(scene.refuse(), 0, "it is over");
}

#[test]
fn clients_of_a_holder_that_lives_are_let_alone() {
    let scene = Scene::new();
    let (end, _) = scene.connecting().recv_timeout(LIMIT).expect("an end");
    end.expect("A serves");
    assert_eq!(scene.refuse(), 0);
}

#[test]
fn what_is_too_old_is_not_answered_and_a_second_call_changes_nothing() {
    let scene = Scene::new();
    let of_a = scene.of_a;
    scene.segment.pull_cable(CABLE_OF_A);
    scene.client.run(|_| async {
        // Its only SYN: it gives up before the second.
        let to = SocketAddr::new(IpAddr::V4(VIP), PORT);
        let end = TcpStream::connect_timeout(&to, Duration::from_millis(200));
        assert_eq!(end.unwrap_err().kind(), ErrorKind::TimedOut);
    });
    scene.with_orphan_syns(move |orphan_syns| {
        orphan_syns.watch(INTERFACE, VIP.into(), of_a).expect("watched");
    });
    // The age counts from the reading, which may be a quarter of a second late.
    scene.b.run(|_| tokio::time::sleep(KEPT_FOR + Duration::from_millis(300)));
    assert_eq!(scene.refuse(), 0);

    scene.with_orphan_syns(move |orphan_syns| {
        orphan_syns.watch(INTERFACE, VIP.into(), of_a).expect("watched");
    });
    let ended = scene.connecting_in_vain();
    scene.with_orphan_syns(move |orphan_syns| {
        orphan_syns.watch(INTERFACE, VIP.into(), of_a).expect("watched");
    });
    appear_on(&scene.b);
    assert_eq!(scene.refuse(), 1, "watching twice forgets nobody");
    assert_eq!(ended.recv_timeout(LIMIT).expect("an end").0, Err(ErrorKind::ConnectionRefused));
}

#[test]
fn a_crowd_is_refused_up_to_the_limit() {
    let scene = Scene::new();
    scene.segment.pull_cable(CABLE_OF_A);
    let crowd = scene.client.run(|_| async {
        let to = SocketAddr::new(IpAddr::V4(VIP), PORT);
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..MOST + 20 {
            crowd.spawn(tokio::time::timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(to)));
        }
        crowd.join_all().await.len()
    });
    assert_eq!(crowd, MOST + 20);
    appear_on(&scene.b);
    assert_eq!(scene.refuse() as usize, MOST);
}

#[test]
fn a_interface_that_is_not_there_is_named() {
    let host = Host::new();
    host.run(|_| async {
        let error = OrphanSyns::default().watch("eth7", VIP.into(), Mac([2; 6])).unwrap_err();
        assert!(matches!(error, OrphanSynsError::Watch { .. }), "{error:?}");
        assert!(error.to_string().contains("eth7"), "{error}");
    });
}
