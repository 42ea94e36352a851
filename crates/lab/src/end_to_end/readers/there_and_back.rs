//! A reader VIP that comes back to a host that it left a moment ago, and a client that uses a port again meanwhile.
//!
//! A client that connects anew for each question has soon used all of its ports. Its kernel has forgotten a connection that the server
//! ended; the server's remembers it for a minute, and would answer what belongs to the next one from that port.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::super::drain::says;
use super::super::expect::{promise, untouched};
use super::super::reload::typed;
use super::super::{Broken, UnderTest};
use super::{SOON_WELL, a_reader, held, wait_until, with_readers};
use crate::experiment::Experiment;
use crate::group::MYSQL_PORT;
use crate::host::Host;

/// Below those that kernels give out by themselves.
const PORT: u16 = 20_000;
/// How long a VIP may take to leave a host, or to be back.
const MOVED_WITHIN: Duration = Duration::from_secs(8);
/// A client whose VIP has moved is told within this time, on a busy machine.
const TOLD_WITHIN: Duration = Duration::from_millis(500);
/// … or waits no longer than this.
const READ_LIMIT: Duration = Duration::from_secs(8);
/// An empty answer to the server's greeting: the server says that it is none, and ends the connection.
const NO_HANDSHAKE: [u8; 4] = [0, 0, 0, 1];

/// The host that the VIP comes back to resets the client's connection to the other one, though it had one from the same port before.
pub(in super::super) fn port_used_again(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers(under_test, SOON_WELL, |under_test| {
        let mut words = String::new();
        let figures = under_test.experiment.watched("a reader VIP goes and comes back", |experiment| {
            let first = a_reader(experiment)?;
            let vip = its_vip(experiment, first)?;
            ended_by_the_server(&experiment.lab.segment.client, vip)?;
            let second = moved_away(experiment, vip, first)?;
            let client = &experiment.lab.segment.client;
            let mut stream = connect(client, vip)?;
            let waiting = client.spawn_in_network(move || (until_its_end(&mut stream), Instant::now()))?;
            let back = moved_away(experiment, vip, second);
            let since = Instant::now();
            let ended = waiting.join().ok().flatten();
            back?;
            let (end, at) = ended.ok_or_else(|| Broken::NotAsPromised("the client panicked".to_owned()))?;
            let after = at.saturating_duration_since(since);
            let reset = matches!(&end, Err(error) if error.kind() == io::ErrorKind::ConnectionReset);
            promise(reset && after <= TOLD_WITHIN, || {
                format!("{:.3} s after its VIP had moved the client had {end:?}", after.as_secs_f64())
            })?;
            words = format!("the client was reset {:.3} s after its VIP was back", after.as_secs_f64());
            Ok::<_, Broken>(())
        })?;
        untouched(&under_test.experiment, &figures)?;
        Ok(words)
    })
}

fn its_vip(experiment: &Experiment, place: usize) -> Result<IpAddr, Broken> {
    let all = held(experiment)?;
    let mut its = all.iter().filter(|(_, holders)| **holders == [place]).map(|(vip, _)| *vip);
    its.next().ok_or_else(|| Broken::NotAsPromised("a reader's host has no reader VIP".to_owned()))
}

/// Drains this host, waits until another has the VIP, which it gives, and undrains it.
fn moved_away(experiment: &mut Experiment, vip: IpAddr, from: usize) -> Result<usize, Broken> {
    experiment.wait_readers()?;
    if held(experiment)?.get(&vip).is_some_and(|holders| *holders == [from]) {
        says(&typed(experiment, from, &["drain"])?, 0, "")?;
        let gone = wait_until(experiment, "the VIP is on another host", MOVED_WITHIN, |all| {
            all.get(&vip).is_some_and(|holders| holders.len() == 1 && *holders != [from])
        });
        says(&typed(experiment, from, &["undrain"])?, 0, "undrained")?;
        gone?;
    }
    let holders = held(experiment)?.remove(&vip).unwrap_or_default();
    holders.first().copied().ok_or_else(|| Broken::NotAsPromised(format!("nobody has {vip}")))
}

/// From [`PORT`], which is free for this client whenever the server was the one that ended.
fn connect(client: &Host, vip: IpAddr) -> Result<TcpStream, Broken> {
    let connected = client.in_network(|| -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address((vip, MYSQL_PORT).into()), Type::STREAM, None)?;
        let any = if vip.is_ipv4() { [0; 4].into() } else { IpAddr::from([0; 16]) };
        socket.bind(&SocketAddr::new(any, PORT).into())?;
        socket.connect_timeout(&SocketAddr::new(vip, MYSQL_PORT).into(), READ_LIMIT)?;
        socket.set_read_timeout(Some(READ_LIMIT))?;
        Ok(socket.into())
    })?;
    connected.map_err(Broken::io("connecting from a port of the client's own choice"))
}

/// Reads until there is nothing any more.
fn until_its_end(stream: &mut TcpStream) -> io::Result<()> {
    while stream.read(&mut [0; 1024])? > 0 {}
    Ok(())
}

/// A connection that the server ends first, and remembers.
fn ended_by_the_server(client: &Host, vip: IpAddr) -> Result<(), Broken> {
    let mut stream = connect(client, vip)?;
    let talked = client.in_network(|| {
        let _greeting = stream.read(&mut [0; 1024])?;
        stream.write_all(&NO_HANDSHAKE)?;
        until_its_end(&mut stream)
    })?;
    talked.map_err(Broken::io("a connection that the server ends"))
}
