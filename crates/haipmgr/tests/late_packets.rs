//! What still arrives at the old holder is passed on: a client that connects while nobody has the VIP need not wait for
//! TCP's second attempt.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod segment;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use decide::net::Mac;
use haipmgr::act::late_packets::{KEPT_FOR, LatePackets, LatePacketsError, PASSED_ON_FOR};
use segment::vip::{A, PORT, VIP, appear_on, hosts, mac_of, serve, wait_for_syn};
use segment::{Host, INTERFACE, LIMIT, Segment};

/// A second attempt comes after 1 s, data is sent again after 0.2 s.
const WITHOUT_A_SECOND_ATTEMPT: Duration = Duration::from_millis(100);

/// A holds the VIP and both hosts serve it; the client has A's MAC for it.
struct Scene {
    a: Host,
    b: Host,
    client: Host,
    late_packets: Arc<Mutex<LatePackets>>,
    to_b: Mac,
    _segment: Segment,
}

impl Scene {
    fn new() -> Self {
        let (segment, a, b, client) = hosts();
        [&a, &b].into_iter().for_each(serve);
        let to_b = mac_of(&b);
        let scene = Self { a, b, client, late_packets: Arc::default(), to_b, _segment: segment };
        // Not by TCP: the end of a connection would be sent again later, and counted.
        let at_a = Scene::datagrams_at(&scene.a);
        send(&Scene::datagrams_from(&scene.client, VIP), 0..1);
        assert_eq!(arrived(&at_a), [0]);
        scene
    }

    fn connect(&self) -> TcpStream {
        self.client.run(|_| async { TcpStream::connect_timeout(&vip(), LIMIT).expect("connected") })
    }

    /// Tells how many were passed on, once it is over.
    fn keep(&self) -> Receiver<Result<u32, LatePacketsError>> {
        let (give, ended) = channel();
        let late_packets = Arc::clone(&self.late_packets);
        self.a.run(move |_| async move {
            let start = Instant::now();
            late_packets
                .lock()
                .unwrap()
                .keep(INTERFACE, VIP.into(), move |end| drop(give.send(end)))
                .expect("kept");
            println!("begun to keep in {:?}", start.elapsed());
        });
        ended
    }

    fn leave_a(&self) {
        self.a.remove_address(VIP, 32);
    }

    fn pass_on(&self, to: Mac) {
        let late_packets = Arc::clone(&self.late_packets);
        self.a.run(move |_| async move { late_packets.lock().unwrap().pass_on(to).expect("passed on") });
    }

    fn end(&self) {
        let late_packets = Arc::clone(&self.late_packets);
        self.a.run(move |_| async move { late_packets.lock().unwrap().end() });
    }

    /// Connects in the background; gives when it was connected.
    fn connecting(&self) -> Receiver<Instant> {
        let (give, connected) = channel();
        self.client.run(move |_| async move {
            std::thread::spawn(move || {
                let stream = TcpStream::connect_timeout(&vip(), LIMIT).expect("connected");
                let _ = give.send(Instant::now());
                drop(stream);
            });
            wait_for_syn();
        });
        connected
    }

    fn datagrams_from(host: &Host, to: Ipv4Addr) -> UdpSocket {
        host.run(move |_| async move {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.connect((to, PORT)).expect("connected");
            socket
        })
    }

    fn datagrams_at(host: &Host) -> UdpSocket {
        host.run(|_| async {
            let socket = UdpSocket::bind(("0.0.0.0", PORT)).expect("a socket");
            socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            socket
        })
    }
}

fn vip() -> SocketAddr {
    SocketAddr::new(VIP.into(), PORT)
}

/// Numbers in the order of their arrival, until there are no more for a while.
fn arrived(at: &UdpSocket) -> Vec<u32> {
    let mut buffer = [0; 4];
    let mut numbers = vec![];
    while at.recv(&mut buffer).is_ok() {
        numbers.push(u32::from_be_bytes(buffer));
    }
    numbers
}

fn send(from: &UdpSocket, numbers: std::ops::Range<u32>) {
    for number in numbers {
        from.send(&number.to_be_bytes()).expect("sent");
    }
}

fn end_of(ended: &Receiver<Result<u32, LatePacketsError>>) -> u32 {
    ended.recv_timeout(KEPT_FOR + LIMIT).expect("it ends").expect("without an error")
}

fn connecting_in_the_hole(kept: bool) -> Duration {
    let scene = Scene::new();
    let _ended = kept.then(|| scene.keep());
    scene.leave_a();
    let connected = scene.connecting();
    appear_on(&scene.b);
    let start = Instant::now();
    scene.pass_on(scene.to_b);
    let at = connected.recv_timeout(LIMIT).expect("connected");
    at.saturating_duration_since(start)
}

#[test]
fn a_client_that_connects_while_nobody_has_the_vip_reaches_the_new_holder_without_a_second_attempt() {
    let took = connecting_in_the_hole(true);
    println!("passed on to connected: {took:?}");
    assert!(took < WITHOUT_A_SECOND_ATTEMPT, "{took:?}");
    let took = connecting_in_the_hole(false);
    assert!(took > Duration::from_millis(500), "this test sees no difference: {took:?}");
}

#[test]
fn data_of_an_old_connection_is_answered_by_the_new_holders_reset() {
    let scene = Scene::new();
    let mut stream = scene.connect();
    let _ended = scene.keep();
    scene.leave_a();
    // More than one segment, so that the kernels join and cut it.
    stream.write_all(&[7; 8000]).unwrap();
    appear_on(&scene.b);
    let start = Instant::now();
    scene.pass_on(scene.to_b);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let read = stream.read(&mut [0]).map_err(|error| error.kind());
    let took = start.elapsed();
    println!("passed on to reset: {took:?}");
    assert_eq!(read, Err(ErrorKind::ConnectionReset));
    assert!(took < WITHOUT_A_SECOND_ATTEMPT, "{took:?}");
}

#[test]
fn what_was_kept_and_what_comes_later_arrives_in_order_until_the_end() {
    let scene = Scene::new();
    let client = Scene::datagrams_from(&scene.client, VIP);
    let ended = scene.keep();
    scene.leave_a();
    send(&client, 0..5);
    // Not announced: the client goes on sending to A.
    scene.b.add_address(VIP, 32);
    let at_b = Scene::datagrams_at(&scene.b);
    scene.pass_on(scene.to_b);
    send(&client, 5..10);
    assert_eq!(arrived(&at_b), (0..10).collect::<Vec<_>>());
    scene.end();
    send(&client, 10..20);
    assert_eq!(end_of(&ended), 10);
    assert!(arrived(&at_b).is_empty());
}

#[test]
fn it_ends_by_itself_a_while_after_the_new_holder_was_heard() {
    let scene = Scene::new();
    let ended = scene.keep();
    scene.leave_a();
    scene.b.add_address(VIP, 32);
    let start = Instant::now();
    scene.pass_on(scene.to_b);
    assert_eq!(end_of(&ended), 0);
    let lasted = start.elapsed();
    assert!(lasted >= PASSED_ON_FOR && lasted < PASSED_ON_FOR + Duration::from_secs(1), "{lasted:?}");
}

#[test]
fn without_a_new_holder_what_was_kept_is_dropped() {
    let scene = Scene::new();
    let client = Scene::datagrams_from(&scene.client, VIP);
    let start = Instant::now();
    let ended = scene.keep();
    scene.leave_a();
    send(&client, 0..5);
    assert_eq!(end_of(&ended), 0);
    assert!(start.elapsed() >= KEPT_FOR);
    scene.b.add_address(VIP, 32);
    let at_b = Scene::datagrams_at(&scene.b);
    scene.pass_on(scene.to_b);
    assert!(arrived(&at_b).is_empty());
}

#[test]
fn a_flood_is_cut_off_and_what_came_first_is_kept() {
    let scene = Scene::new();
    let client = Scene::datagrams_from(&scene.client, VIP);
    let ended = scene.keep();
    scene.leave_a();
    send(&client, 0..5000);
    scene.b.add_address(VIP, 32);
    let at_b = Scene::datagrams_at(&scene.b);
    scene.pass_on(scene.to_b);
    scene.end();
    let passed_on = end_of(&ended);
    println!("{passed_on} of 5000 were kept");
    assert!((100..=512).contains(&passed_on), "{passed_on}");
    let numbers = arrived(&at_b);
    assert!(numbers.len() >= 100, "{}", numbers.len());
    assert_eq!(numbers, (0..).take(numbers.len()).collect::<Vec<_>>());
}

#[test]
fn while_it_is_passed_on_a_flood_has_an_end_too() {
    let scene = Scene::new();
    let client = Scene::datagrams_from(&scene.client, VIP);
    let ended = scene.keep();
    scene.leave_a();
    scene.b.add_address(VIP, 32);
    // Or else B's word that there is no such port would show the client B's MAC.
    let _at_b = Scene::datagrams_at(&scene.b);
    scene.pass_on(scene.to_b);
    let start = Instant::now();
    let mut passed_on = None;
    while passed_on.is_none() && start.elapsed() < LIMIT {
        send(&client, 0..1);
        passed_on = ended.try_recv().ok();
    }
    let passed_on = passed_on.expect("it ends").expect("without an error");
    println!("{passed_on} were passed on within {:?}", start.elapsed());
    assert!((1000..=4096).contains(&passed_on), "{passed_on}");
}

#[test]
fn other_addresses_and_what_the_new_holder_sent_itself_are_left_alone() {
    let scene = Scene::new();
    let (to_a, at_a) = (Scene::datagrams_from(&scene.client, A), Scene::datagrams_at(&scene.a));
    let from_b = Scene::datagrams_from(&scene.b, VIP);
    // So that B has A's MAC for the VIP.
    send(&from_b, 0..1);
    assert_eq!(arrived(&at_a), [0]);
    let ended = scene.keep();
    scene.leave_a();
    send(&to_a, 0..5);
    send(&from_b, 5..10);
    assert_eq!(
        arrived(&at_a),
        (0..5).collect::<Vec<_>>(),
        "A's own traffic arrives at A, and the VIP's no more"
    );
    scene.pass_on(scene.to_b);
    send(&to_a, 10..15);
    assert_eq!(arrived(&at_a), (10..15).collect::<Vec<_>>());
    assert_eq!(end_of(&ended), 0);
}

#[test]
fn nothing_is_passed_on_to_this_host_itself_or_to_everybody() {
    let scene = Scene::new();
    let client = Scene::datagrams_from(&scene.client, VIP);
    let ended = scene.keep();
    let own = mac_of(&scene.a);
    scene.leave_a();
    send(&client, 0..5);
    for to in [own, Mac([0xff; 6]), Mac([1, 0, 0x5e, 0, 0, 1]), Mac([0; 6])] {
        scene.pass_on(to);
    }
    scene.end();
    assert_eq!(end_of(&ended), 0);
}

#[test]
fn a_interface_that_is_not_there_is_named() {
    let mut segment = Segment::new();
    let a = segment.join(A);
    let error = a.run(|_| async {
        let mut late_packets = LatePackets::default();
        late_packets.keep("eth7", IpAddr::V4(VIP), |_| {}).unwrap_err().to_string()
    });
    assert!(error.contains("eth7") && error.contains("10.77.0.100"), "{error}");
}
