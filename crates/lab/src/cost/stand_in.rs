//! A stand-in for a MySQL server in a group, for measuring many clusters on one machine, where that many real servers find
//! no room. The protocol is the driver's own library's; all it knows is how to answer the agent's questions, each port as
//! a group of three of its own whose primary is elsewhere or here, as it is told. Any password will do, and there is no TLS.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BytesMut};
use clap::Args;
use mysql_common::constants::{CapabilityFlags, ColumnType, StatusFlags};
use mysql_common::packets::{Column, HandshakePacket};
use mysql_common::proto::MySerialize;
use mysql_common::proto::codec::PacketCodec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::record::now_us;
use crate::segment::databases;

/// Said when all ports are open.
pub(super) const READY: &str = "ready";

const VERSION: &str = "9.7.0-stand-in";
const BIRTH: &str = "17953872290134842";
/// What the agent may call, as its account's question for them finds it.
const PROCEDURES: [&str; 3] = ["wake_expel", "expel_unreachable_now", "restore_expel_timeout"];

/// Servers on these ports. Reads `PORT primary` or `PORT secondary` from standard input, and prints `PORT` and the time,
/// in microseconds of `CLOCK_MONOTONIC`, from which on the server says so.
#[derive(Args, Clone, Debug)]
pub struct StandIn {
    /// The first port
    #[arg(long)]
    first_port: u16,
    /// How many ports
    #[arg(long)]
    ports: u16,
    /// The host's place among the database hosts
    #[arg(long, default_value_t = 0)]
    place: usize,
}

/// What one server says of itself.
#[derive(Clone, Copy, Debug)]
struct Role {
    /// The host's place among the database hosts.
    place: usize,
    leads: bool,
    view: u64,
}

type Shared = Arc<Mutex<Role>>;

impl StandIn {
    /// Serves until standard input ends.
    ///
    /// # Errors
    /// A port can't be had.
    pub fn run(&self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut servers = BTreeMap::new();
        for port in (self.first_port..).take(usize::from(self.ports)) {
            let role = Shared::new(Mutex::new(Role { place: self.place, leads: false, view: 1 }));
            let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?;
            runtime.spawn(listen(listener, port, Arc::clone(&role)));
            servers.insert(port, role);
        }
        std::thread::spawn(move || obey(&servers));
        println!("{READY}");
        runtime.block_on(std::future::pending::<io::Result<()>>())
    }
}

fn obey(servers: &BTreeMap<u16, Shared>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let Some((port, role)) = line.split_once(' ') else { continue };
        let Some(server) = port.parse().ok().and_then(|port: u16| servers.get(&port)) else { continue };
        let at = {
            let mut known = server.lock().unwrap_or_else(PoisonError::into_inner);
            known.leads = role == "primary";
            known.view += 1;
            now_us()
        };
        let mut out = io::stdout().lock();
        if writeln!(out, "{port} {at}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    std::process::exit(0);
}

async fn listen(listener: TcpListener, port: u16, role: Shared) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let role = Arc::clone(&role);
            // A client that leaves ends it with an error, as it ends a server's thread.
            tokio::spawn(async move { serve(stream, port, &role).await });
        }
    }
}

/// One client.
async fn serve(stream: TcpStream, port: u16, role: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut client = Client { stream, codec: PacketCodec::default(), arrived: BytesMut::with_capacity(4096) };
    let capabilities = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_CONNECT_ATTRS
        | CapabilityFlags::CLIENT_MULTI_RESULTS;
    let greeting = HandshakePacket::new(
        10,
        VERSION.as_bytes(),
        u32::from(port),
        *b"scramble",
        Some(&b"of-the-rest\0\0"[..]),
        capabilities,
        255,
        StatusFlags::SERVER_STATUS_AUTOCOMMIT,
        Some(&b"mysql_native_password"[..]),
    );
    let mut bytes = Vec::new();
    greeting.serialize(&mut bytes);
    client.send([bytes]).await?;
    // Whoever it is, with whatever password.
    client.receive().await?;
    client.send([ok()]).await?;
    let mut prepared = String::new();
    loop {
        client.codec.reset_seq_id();
        let packet = client.receive().await?;
        match packet.split_first() {
            // COM_QUERY.
            Some((3, text)) => {
                let role = *role.lock().unwrap_or_else(PoisonError::into_inner);
                client.send(answer(&String::from_utf8_lossy(text), port, role).packets(Form::Text)).await?;
            }
            // COM_STMT_PREPARE: one statement a connection, whatever it is called.
            Some((0x16, text)) => {
                prepared = String::from_utf8_lossy(text).into_owned();
                let role = *role.lock().unwrap_or_else(PoisonError::into_inner);
                client.send(answer(&prepared, port, role).preparation()).await?;
            }
            // COM_STMT_EXECUTE.
            Some((0x17, _)) => {
                let role = *role.lock().unwrap_or_else(PoisonError::into_inner);
                client.send(answer(&prepared, port, role).packets(Form::Binary)).await?;
            }
            // COM_QUIT.
            Some((1, _)) | None => return Ok(()),
            Some(_) => client.send([ok()]).await?,
        }
    }
}

struct Client {
    stream: TcpStream,
    codec: PacketCodec,
    arrived: BytesMut,
}

impl Client {
    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut packet = Vec::new();
        while !self.codec.decode(&mut self.arrived, &mut packet).map_err(io::Error::other)? {
            if self.stream.read_buf(&mut self.arrived).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(packet)
    }

    async fn send(&mut self, packets: impl IntoIterator<Item = Vec<u8>>) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        for packet in packets {
            let mut packet = packet.as_slice();
            self.codec.encode(&mut packet, &mut bytes).map_err(io::Error::other)?;
        }
        while bytes.has_remaining() {
            self.stream.write_buf(&mut bytes).await?;
        }
        Ok(())
    }
}

/// `OK_Packet`: nothing changed, autocommit.
fn ok() -> Vec<u8> {
    vec![0, 0, 0, 2, 0, 0, 0]
}

/// What answers this query.
fn answer(query: &str, port: u16, role: Role) -> ResultSet {
    if query.contains("replication_group_members") {
        let id = |place: usize| format!("{place:08x}-e6c5-11f1-a3c0-{port:012x}");
        let elsewhere = (role.place + 1) % databases().len();
        let primary = if role.leads { role.place } else { elsewhere };
        let rows = databases().iter().enumerate().map(|(place, (name, _))| {
            let named = if place == primary { "PRIMARY" } else { "SECONDARY" };
            let read_only = if role.leads { "0" } else { "1" };
            let cells = [&id(place), *name, &port.to_string(), "ONLINE", named];
            let ours = [&id(role.place), read_only, "1", &format!("{BIRTH}:{}", role.view)];
            cells.iter().chain(&ours).map(ToString::to_string).collect()
        });
        ResultSet { columns: 9, rows: rows.collect() }
    } else if query.contains("group_replication_unreachable_majority_timeout") {
        ResultSet { columns: 2, rows: vec![vec!["5".to_owned(), "0".to_owned()]] }
    } else if query.contains("group_replication_member_expel_timeout") {
        ResultSet { columns: 1, rows: vec![vec!["5".to_owned()]] }
    } else {
        ResultSet { columns: 1, rows: PROCEDURES.map(|name| vec![name.to_owned()]).to_vec() }
    }
}

/// Nine columns at the most, and texts shorter than 251 bytes.
struct ResultSet {
    columns: u8,
    rows: Vec<Vec<String>>,
}

/// How a row is written (MySQL's client/server protocol): as `ProtocolText::ResultsetRow`, or as
/// `ProtocolBinary::ResultsetRow`.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Binary,
}

impl ResultSet {
    /// The number of columns, each column, the end of them, each row, and the end.
    fn packets(self, form: Form) -> Vec<Vec<u8>> {
        let mut packets = vec![vec![self.columns]];
        packets.extend(self.definitions());
        let ahead = match form {
            Form::Text => Vec::new(),
            // The header, and a bit for each NULL, the first two left out.
            Form::Binary => vec![0; 1 + usize::from(self.columns + 2).div_ceil(8)],
        };
        for row in self.rows {
            packets.push(row.into_iter().fold(ahead.clone(), |mut packet, text| {
                packet.extend(u8::try_from(text.len()));
                packet.extend(text.into_bytes());
                packet
            }));
        }
        packets.push(END.to_vec());
        packets
    }

    /// `COM_STMT_PREPARE_OK`: statement 1, so many columns, no parameters, no warnings; then the columns.
    fn preparation(&self) -> Vec<Vec<u8>> {
        let mut packets = vec![vec![0, 1, 0, 0, 0, self.columns, 0, 0, 0, 0, 0, 0]];
        packets.extend(self.definitions());
        packets
    }

    fn definitions(&self) -> Vec<Vec<u8>> {
        let definition = |number| {
            let mut packet = Vec::new();
            Column::new(ColumnType::MYSQL_TYPE_VAR_STRING)
                .with_name(format!("column_{number}").as_bytes())
                .with_character_set(255)
                .serialize(&mut packet);
            packet
        };
        (0..self.columns).map(definition).chain([END.to_vec()]).collect()
    }
}

/// `EOF_Packet`.
const END: [u8; 5] = [0xFE, 0, 0, 2, 0];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mysql::prelude::Queryable;
    use mysql::{Conn, OptsBuilder};

    use super::*;

    #[test]
    fn the_driver_reads_a_group_of_three_and_who_leads_it() {
        let role = Shared::new(Mutex::new(Role { place: 0, leads: false, view: 7 }));
        let (opened, port) = std::sync::mpsc::channel();
        let served = Arc::clone(&role);
        // Ends with the test's process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                opened.send(listener.local_addr().unwrap().port()).unwrap();
                listen(listener, 4001, served).await;
            });
        });
        let port = port.recv().unwrap();
        let options = OptsBuilder::new()
            .ip_or_hostname(Some("127.0.0.1"))
            .tcp_port(port)
            .user(Some("haip"))
            .pass(Some("any"))
            .max_allowed_packet(Some(1 << 20))
            .prefer_socket(false);
        let mut conn = Conn::new(options).unwrap();
        assert_eq!(conn.server_version(), (9, 7, 0));
        for leads in [false, true] {
            role.lock().unwrap().leads = leads;
            let rows: Vec<mysql::Row> =
                conn.query("SELECT … FROM performance_schema.replication_group_members m").unwrap();
            let primary = rows.iter().position(|row| row.get::<String, _>(4).as_deref() == Some("PRIMARY"));
            assert_eq!((rows.len(), primary), (3, Some(usize::from(!leads))));
            assert_eq!(rows[0].get::<String, _>(0), rows[0].get::<String, _>(5), "its own row");
            assert_eq!(rows[0].get::<String, _>(8).as_deref(), Some("17953872290134842:7"));
            let prepared: Vec<mysql::Row> =
                conn.exec("SELECT … FROM performance_schema.replication_group_members m", ()).unwrap();
            assert_eq!(
                prepared.into_iter().map(mysql::Row::unwrap).collect::<Vec<_>>(),
                rows.into_iter().map(mysql::Row::unwrap).collect::<Vec<_>>()
            );
        }
        assert_eq!(
            conn.query_first::<u32, _>("SELECT @@GLOBAL.group_replication_member_expel_timeout").unwrap(),
            Some(5)
        );
    }
}
