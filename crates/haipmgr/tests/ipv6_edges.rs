//! The edges that know no family, with an IPv6 VIP and the real kernel: what is said of it, its connections, its late packets and
//! its orphan SYNs. What others say of it is in `ipv6_heard.rs`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod segment;

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use decide::net::Mac;
use haipmgr::act::announce::Announcer;
use haipmgr::act::late_packets::LatePackets;
use haipmgr::act::orphan_syns::OrphanSyns;
use haipmgr::act::sockets::{Connection, destroy, list, tickle};
use linux::neighbor_socket::NeighborSender;
use segment::{Host, INTERFACE, LIMIT, Segment};
use wire::NeighborMessage;

const VIP: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);
const A: u16 = 0x11;
const B: u16 = 0x12;
const CLIENT: u16 = 0x50;
/// A is plugged in first.
const CABLE_OF_A: u32 = 1;
const PORT: u16 = 3306;
/// TCP's second attempt comes after 1 s.
const WITHOUT_A_SECOND_ATTEMPT: Duration = Duration::from_millis(300);

/// How something ended, and when.
type End<T> = (Result<T, ErrorKind>, Instant);

/// A holds the VIP and serves it; the client has A's MAC for it. B serves it once it has it.
struct Scene {
    a: Host,
    b: Host,
    client: Host,
    servers_ends: Receiver<End<usize>>,
    segment: Segment,
}

impl Scene {
    fn new() -> Self {
        let mut segment = Segment::new();
        let [a, b, client] = [A, B, CLIENT].map(|number| {
            let host = segment.join(Ipv4Addr::new(10, 77, 0, u8::try_from(number).unwrap()));
            host.detect_no_duplicates();
            host.add_address(own(number), 64);
            host
        });
        a.add_address(VIP, 128);
        let servers_ends = serve(&a);
        drop(serve(&b));
        Self { a, b, client, servers_ends, segment }
    }

    fn move_vip(&self) {
        self.a.remove_address(VIP, 128);
        self.appear_on_b();
    }

    fn appear_on_b(&self) {
        self.b.add_address(VIP, 128);
        self.b.run(|_| async { Announcer::new(INTERFACE, VIP.into()).announce().expect("announced") });
    }

    fn connections(&self) -> Arc<[Connection]> {
        self.a.run(|_| async { list(VIP.into()).await.expect("listed") }).into()
    }

    /// Connects in the background to what does not answer now; back when the SYN is sent.
    fn connecting(&self) -> Receiver<End<()>> {
        let (give, ended) = channel();
        self.client.run(move |_| async move {
            std::thread::spawn(move || {
                let end = connect_to(vip()).map(drop);
                let _ = give.send((end.map_err(|error| error.kind()), Instant::now()));
            });
            let until = Instant::now() + LIMIT;
            // State 02 is SYN_SENT.
            let syn_sent = |line: &str| line.split_whitespace().nth(3) == Some("02");
            while !std::fs::read_to_string("/proc/thread-self/net/tcp6").unwrap().lines().any(syn_sent) {
                assert!(Instant::now() < until, "no SYN was sent");
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        ended
    }

    fn connect(&self) -> TcpStream {
        self.client.run(|_| async { connect_to(vip()).expect("connected") })
    }
}

fn own(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number)
}

fn vip() -> SocketAddr {
    SocketAddr::new(VIP.into(), PORT)
}

/// From the client's address, whatever the kernel would choose in the moment in which that is new.
fn connect_to(to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(own(CLIENT).into(), 0).into())?;
    socket.connect_timeout(&to.into(), LIMIT)?;
    Ok(socket.into())
}

/// A server that accepts, and reads from each connection: the end of each read comes back.
fn serve(host: &Host) -> Receiver<End<usize>> {
    let (give, take) = channel();
    host.run(move |_| async move {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)).expect("a listener");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                read_to_its_end(stream.expect("a connection"), give.clone());
            }
        });
    });
    take
}

fn read_to_its_end(mut stream: TcpStream, give: Sender<End<usize>>) {
    std::thread::spawn(move || {
        let end = stream.read(&mut [0; 1]).map_err(|error| error.kind());
        let _ = give.send((end, Instant::now()));
    });
}

fn mac(host: &Host) -> Mac {
    Mac(host.run(|_| async { NeighborSender::open(INTERFACE).expect("a socket").mac() }).0)
}

/// Says this from the host again and again, until another says `wanted` to it or to everybody; gives who that is.
fn answer(host: &Host, said: NeighborMessage, wanted: NeighborMessage) -> wire::Mac {
    host.run(move |_| async move {
        let ipv6 = socket2::Protocol::from(i32::from(0x86dd_u16.to_be()));
        let socket =
            socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, Some(ipv6)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a limit");
        let sender = NeighborSender::open(INTERFACE).expect("a socket");
        let until = Instant::now() + LIMIT;
        let mut bytes = [0; 256];
        while Instant::now() < until {
            // The holder may be looking for duplicates once more, when its cable has just come up, and is silent meanwhile.
            sender.send(said, None).expect("said");
            while let Ok(length) = (&socket).read(&mut bytes) {
                match NeighborMessage::decode(&bytes[..length]) {
                    Ok((from, message)) if message == wanted => return from,
                    _ => {}
                }
            }
        }
        panic!("never said: {wanted:?}")
    })
}

#[test]
fn a_holders_kernel_answers_the_prober_and_whoever_asks() {
    let scene = Scene::new();
    let of_a = wire::Mac(mac(&scene.a).0);
    let target = VIP.into();
    let probe = NeighborMessage::Probe { target };
    assert_eq!(answer(&scene.b, probe, NeighborMessage::Announcement { address: target }), of_a);
    let question = NeighborMessage::Question { target, asker: own(B).into() };
    let reply = NeighborMessage::Reply { address: target, to: Some(own(B).into()) };
    assert_eq!(answer(&scene.b, question, reply), of_a);
    let release = NeighborMessage::Release { address: target, to: Some(wire::Mac([2; 6])) };
    let heard = answer(&scene.b, release, NeighborMessage::Announcement { address: target });
    assert_eq!(heard, of_a, "a release is a probe to whoever does not know it");
}

#[test]
fn a_sleeping_client_is_freed_by_a_tickle_after_the_address_has_moved_and_was_announced() {
    let scene = Scene::new();
    let (give, end) = channel();
    read_to_its_end(scene.connect(), give);
    let found = scene.connections();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].local, found[0].client.ip()), (vip(), own(CLIENT).into()));
    scene.move_vip();
    let start = Instant::now();
    scene.a.run(move |_| async move { tickle(VIP.into(), found).await.expect("tickled") });
    let (read, at) = end.recv_timeout(LIMIT).expect("the client is freed");
    assert_eq!(read, Err(ErrorKind::ConnectionReset));
    let took = at.saturating_duration_since(start);
    println!("tickle to freed: {took:?}");
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[test]
fn the_servers_end_is_closed_and_other_addresses_are_left_alone() {
    let scene = Scene::new();
    let _client = scene.connect();
    let other = SocketAddr::new(own(A).into(), PORT);
    let _other = scene.client.run(move |_| async move { connect_to(other).expect("connected") });
    let found = scene.connections();
    assert_eq!(found.len(), 1, "{found:?}");
    scene.a.run(move |_| async move { destroy(found).await.expect("destroyed") });
    let (read, _) = scene.servers_ends.recv_timeout(LIMIT).expect("the server's read ends");
    assert_eq!(read, Err(ErrorKind::ConnectionAborted));
    assert!(scene.connections().is_empty());
    assert!(
        scene.servers_ends.recv_timeout(Duration::from_millis(200)).is_err(),
        "the other connection is as it was"
    );
}

#[test]
fn a_client_that_connects_between_two_holders_is_passed_on_to_the_new_one() {
    let scene = Scene::new();
    drop(scene.connect());
    let late_packets = Arc::new(Mutex::new(LatePackets::default()));
    let kept = Arc::clone(&late_packets);
    scene.a.run(move |_| async move {
        kept.lock().unwrap().keep(INTERFACE, VIP.into(), |_| {}).expect("kept");
    });
    scene.a.remove_address(VIP, 128);
    let ended = scene.connecting();
    scene.appear_on_b();
    let (to_b, start) = (mac(&scene.b), Instant::now());
    scene.a.run(move |_| async move { late_packets.lock().unwrap().pass_on(to_b).expect("passed on") });
    let (end, at) = ended.recv_timeout(LIMIT).expect("an end");
    end.expect("B serves");
    assert!(at.saturating_duration_since(start) < WITHOUT_A_SECOND_ATTEMPT);
}

#[test]
fn a_client_that_connects_to_a_dead_holder_is_refused_by_the_new_one() {
    let scene = Scene::new();
    drop(scene.connect());
    let of_a = mac(&scene.a);
    let orphan_syns = Arc::new(Mutex::new(OrphanSyns::default()));
    let watching = Arc::clone(&orphan_syns);
    scene.b.run(move |_| async move {
        watching.lock().unwrap().watch(INTERFACE, VIP.into(), of_a).expect("watched");
    });
    scene.segment.pull_cable(CABLE_OF_A);
    let ended = scene.connecting();
    scene.appear_on_b();
    let start = Instant::now();
    let refused = scene.b.run(move |_| async move { orphan_syns.lock().unwrap().refuse().expect("refused") });
    assert_eq!(refused, 1, "the bridge floods what is for A");
    let (end, at) = ended.recv_timeout(LIMIT).expect("an end");
    assert_eq!(end, Err(ErrorKind::ConnectionRefused));
    assert!(at.saturating_duration_since(start) < WITHOUT_A_SECOND_ATTEMPT);
}
