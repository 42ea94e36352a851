//! The VIP's connections: a client that sleeps in a read is freed after the VIP has moved, and the server's end closes.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod segment;

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use haipmgr::act::announce::Announcer;
use haipmgr::act::sockets::{Connection, destroy, forget_ended, list, tickle};
use segment::{Host, INTERFACE, LIMIT, Segment};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
const PORT: u16 = 3306;

/// How a read ended, and when.
type End = (Result<usize, ErrorKind>, Instant);

/// A server that accepts, and reads from each connection in a thread of its own: the end of each read comes back.
fn serve(host: &Host, on: &'static str) -> Receiver<End> {
    let (give, take) = channel();
    host.run(move |_| async move {
        let listener = TcpListener::bind((on.parse::<IpAddr>().unwrap(), PORT)).expect("a listener");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                read_to_its_end(stream.expect("a connection"), give.clone());
            }
        });
    });
    take
}

fn read_to_its_end(mut stream: TcpStream, give: std::sync::mpsc::Sender<End>) {
    std::thread::spawn(move || {
        let end = stream.read(&mut [0; 1]).map_err(|error| error.kind());
        let _ = give.send((end, Instant::now()));
    });
}

/// A client that has connected to the VIP and sleeps in a read.
fn connect(host: &Host) -> Receiver<End> {
    let (give, take) = channel();
    host.run(move |_| async move {
        let to = SocketAddr::new(VIP.into(), PORT);
        read_to_its_end(TcpStream::connect_timeout(&to, LIMIT).expect("connected"), give);
    });
    take
}

fn connections(host: &Host) -> Arc<[Connection]> {
    host.run(|_| async { list(VIP.into()).await.expect("listed") }).into()
}

/// The VIP goes from A to B, which announces it.
fn move_vip(a: &Host, b: &Host) {
    a.remove_address(VIP, 32);
    b.add_address(VIP, 32);
    b.run(|_| async { Announcer::new(INTERFACE, VIP.into()).announce().expect("announced") });
}

fn is_asleep(end: &Receiver<End>) -> bool {
    end.recv_timeout(Duration::from_millis(200)).is_err()
}

/// On `0.0.0.0` and on `::` alike.
fn a_sleeping_client_is_freed(on: &'static str) {
    let mut segment = Segment::new();
    let (a, b, client) = (segment.join(A), segment.join(B), segment.join(CLIENT));
    a.add_address(VIP, 32);
    let _server = serve(&a, on);
    let _new_server = serve(&b, on);
    let end = connect(&client);
    let found = connections(&a);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].local, SocketAddr::new(VIP.into(), PORT));
    assert_eq!(found[0].client.ip(), IpAddr::from(CLIENT));

    move_vip(&a, &b);
    assert!(is_asleep(&end), "nothing has told the client yet");
    let start = Instant::now();
    a.run(move |_| async move { tickle(VIP.into(), found).await.expect("tickled") });
    let (read, at) = end.recv_timeout(LIMIT).expect("the client is freed");
    let took = at.saturating_duration_since(start);
    println!("tickle to freed: {took:?}");
    assert_eq!(read, Err(ErrorKind::ConnectionReset));
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_client_asleep_in_a_read_is_freed_by_a_tickle_after_the_address_has_moved() {
    a_sleeping_client_is_freed("0.0.0.0");
}

/// The address may leave between a client's connection and the server's first word, which it can't say any more: a list that was made
/// before does not have the client, and only one that is made after it has all.
#[test]
fn a_client_that_connected_last_is_in_the_list_that_is_made_once_the_address_has_left() {
    let mut segment = Segment::new();
    let (a, b, client) = (segment.join(A), segment.join(B), segment.join(CLIENT));
    a.add_address(VIP, 32);
    // It accepts nobody: its kernel does.
    let _listener =
        a.run(|_| async { TcpListener::bind(("::".parse::<IpAddr>().unwrap(), PORT)).expect("a listener") });
    let _new_server = serve(&b, "::");
    let too_early = connections(&a);
    let end = connect(&client);
    move_vip(&a, &b);
    assert!(too_early.is_empty(), "{too_early:?}");
    let found = connections(&a);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(is_asleep(&end), "nothing has told the client yet");
    a.run(move |_| async move { tickle(VIP.into(), found).await.expect("tickled") });
    let (read, _) = end.recv_timeout(LIMIT).expect("the client is freed");
    assert_eq!(read, Err(ErrorKind::ConnectionReset));
}

#[test]
fn so_is_the_client_of_a_server_that_listens_on_ipv6_as_mysqld_does() {
    a_sleeping_client_is_freed("::");
}

/// A client's end that uses always the same port.
fn connect_from_one_port(host: &Host) -> TcpStream {
    host.run(|_| async {
        let from = SocketAddr::new(CLIENT.into(), 40_000);
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("the port may be used again");
        socket.bind(&from.into()).expect("the port");
        socket.connect_timeout(&SocketAddr::new(VIP.into(), PORT).into(), LIMIT).expect("connected");
        socket.into()
    })
}

/// A server that ends the first connection, as mysqld does when it is told to, and keeps the others.
fn serve_and_end_the_first(host: &Host) {
    host.run(|_| async {
        let listener = TcpListener::bind(("::".parse::<IpAddr>().unwrap(), PORT)).expect("a listener");
        std::thread::spawn(move || {
            let mut connections = listener.incoming();
            drop(connections.next());
            let _open: Vec<_> = connections.collect();
        });
    });
}

/// B had the VIP, and a connection from a port that the client uses again for one to A. How that one ends when B has the VIP again.
fn back_at_a_host_that_remembers_the_port(forgets: bool) -> Result<usize, ErrorKind> {
    let mut segment = Segment::new();
    let (a, b, client) = (segment.join(A), segment.join(B), segment.join(CLIENT));
    b.add_address(VIP, 32);
    serve_and_end_the_first(&b);
    let _at_a = serve(&a, "::");
    let mut first = connect_from_one_port(&client);
    assert_eq!(first.read(&mut [0]).map_err(|error| error.kind()), Ok(0), "the server ends it first");
    drop(first);
    move_vip(&b, &a);
    if forgets {
        b.run(|_| async { forget_ended(VIP.into()).await.expect("forgotten") });
    }
    let mut again = connect_from_one_port(&client);
    let found = connections(&a);
    assert_eq!(found.len(), 1, "{found:?}");
    move_vip(&a, &b);
    a.run(move |_| async move { tickle(VIP.into(), found).await.expect("tickled") });
    again.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    again.read(&mut [0]).map_err(|error| error.kind())
}

#[test]
fn a_client_that_uses_a_port_again_is_freed_by_a_host_that_has_forgotten_its_ended_connections() {
    assert_eq!(back_at_a_host_that_remembers_the_port(true), Err(ErrorKind::ConnectionReset));
    let remembered = back_at_a_host_that_remembers_the_port(false);
    assert_eq!(remembered, Err(ErrorKind::WouldBlock), "this test sees no difference");
}

/// The server's end, whether or not the VIP is still there.
fn the_servers_end_closes(on: &'static str, vip_moves: bool) {
    let mut segment = Segment::new();
    let (a, b, client) = (segment.join(A), segment.join(B), segment.join(CLIENT));
    a.add_address(VIP, 32);
    let server = serve(&a, on);
    let end = connect(&client);
    let found = connections(&a);
    if vip_moves {
        move_vip(&a, &b);
    }
    assert!(is_asleep(&server));
    let start = Instant::now();
    let given = found.clone();
    a.run(move |_| async move { destroy(given).await.expect("destroyed") });
    let (read, at) = server.recv_timeout(LIMIT).expect("the server's read ends");
    println!("destroy to the server's end closed: {:?}", at.saturating_duration_since(start));
    assert_eq!(read, Err(ErrorKind::ConnectionAborted));
    assert!(connections(&a).is_empty(), "nothing is left");
    assert_eq!(is_asleep(&end), vip_moves, "the kernel resets the client only while the VIP is there");
    a.run(move |_| async move { destroy(found).await.expect("gone already is no error") });
}

#[test]
fn destroy_closes_the_servers_end_on_ipv6_after_the_address_has_moved() {
    the_servers_end_closes("::", true);
}

#[test]
fn destroy_closes_the_servers_end_on_ipv4_after_the_address_has_moved() {
    the_servers_end_closes("0.0.0.0", true);
}

#[test]
fn destroy_resets_the_client_too_while_the_address_is_still_there() {
    the_servers_end_closes("::", false);
}

#[test]
fn connections_to_other_addresses_of_the_host_are_left_alone() {
    let mut segment = Segment::new();
    let (a, client) = (segment.join(A), segment.join(CLIENT));
    a.add_address(VIP, 32);
    let _server = serve(&a, "::");
    client.run(|_| async {
        let other = TcpStream::connect_timeout(&SocketAddr::new(A.into(), PORT), LIMIT).expect("connected");
        std::mem::forget(other);
    });
    let _end = connect(&client);
    let found = connections(&a);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].local.ip(), IpAddr::from(VIP));
}

#[test]
fn a_thousand_connections_are_listed_tickled_and_destroyed_within_a_fraction_of_a_second() {
    const MANY: usize = 1000;
    let mut segment = Segment::new();
    let (a, b, client) = (segment.join(A), segment.join(B), segment.join(CLIENT));
    a.add_address(VIP, 32);
    let (accepted, all_accepted) = channel();
    a.run(move |_| async move {
        let listener = TcpListener::bind(("::".parse::<IpAddr>().unwrap(), PORT)).expect("a listener");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = accepted.send(stream.expect("a connection"));
            }
        });
    });
    // In lots smaller than the listener's backlog.
    let mut clients = vec![];
    let mut servers = vec![];
    for _ in 0..MANY / 50 {
        let lot: Vec<TcpStream> = client.run(|_| async {
            let to = SocketAddr::new(VIP.into(), PORT);
            (0..50).map(|_| TcpStream::connect_timeout(&to, LIMIT).expect("connected")).collect()
        });
        servers.extend((0..50).map(|_| all_accepted.recv_timeout(LIMIT).expect("accepted")));
        clients.extend(lot);
    }
    let (found, listing) = timed(&a, || async { list(VIP.into()).await.expect("listed") });
    assert_eq!(found.len(), MANY);
    let found: Arc<[Connection]> = found.into();
    move_vip(&a, &b);
    let given = found.clone();
    let ((), tickling) = timed(&a, move || async move { tickle(VIP.into(), given).await.expect("tickled") });
    for mut stream in clients {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        assert_eq!(stream.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    }
    let ((), destroying) = timed(&a, move || async move { destroy(found).await.expect("destroyed") });
    assert!(connections(&a).is_empty());
    println!(
        "{MANY} connections: listed in {listing:?}, tickled in {tickling:?}, destroyed in {destroying:?}"
    );
    for took in [listing, tickling, destroying] {
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
}

fn timed<Out: Send + 'static, Fut: Future<Output = Out> + 'static>(
    host: &Host,
    task: impl FnOnce() -> Fut + Send + 'static,
) -> (Out, Duration) {
    host.run(move |_| async move {
        let start = Instant::now();
        let out = task().await;
        (out, start.elapsed())
    })
}
