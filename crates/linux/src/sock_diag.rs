//! The kernel's table of TCP sockets, over netlink (`sock_diag`, section 7 of the manual): ask for the sockets of one
//! address or for those that listen at a port, destroy one.
//!
//! The kernel works each request off within the calls that send it and receive its answers, so nothing here waits.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};
use nix::errno::Errno;

/// The kernel fills at most 32 kB at a time.
const BUFFER: usize = 64 * 1024;

/// What went wrong in asking.
#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    /// The netlink socket failed.
    #[error("{doing}: {source}")]
    Socket {
        /// What was being done.
        doing: &'static str,
        /// The kernel's word.
        source: io::Error,
    },
    /// The kernel said no.
    #[error("the kernel refused: {0}")]
    Refused(Errno),
    /// The kernel's answer was not understood.
    #[error("the kernel's answer was not understood: {0}")]
    NotUnderstood(String),
}

/// The states in which a client may be waiting for something. Not LISTEN, which is not bound to an address's life, and
/// not `TIME_WAIT`, of which the client knows nothing any more.
const WITH_A_CLIENT: StateFlags = StateFlags::ESTABLISHED
    .union(StateFlags::SYN_RECV)
    .union(StateFlags::FIN_WAIT1)
    .union(StateFlags::FIN_WAIT2)
    .union(StateFlags::CLOSE_WAIT)
    .union(StateFlags::LAST_ACK)
    .union(StateFlags::CLOSING);

/// One TCP connection of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// This host's end.
    pub local: SocketAddr,
    /// The client's end.
    pub client: SocketAddr,
    /// `AF_INET`, or `AF_INET6` also for the v4-mapped socket of a server that listens on `::`, as mysqld does.
    family: u8,
    /// As the kernel wants it back, with the cookie that tells this connection from a later one with the same ends.
    id: SocketId,
}

/// A `sock_diag` socket.
#[derive(Debug)]
pub struct Diag {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Diag {
    /// Opens it, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Out of descriptors, or no `sock_diag` in this kernel.
    pub fn open() -> Result<Self, DiagError> {
        let failed = |source| DiagError::Socket { doing: "opening a sock_diag socket", source };
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.connect(&NetlinkAddr::new(0, 0)).map_err(failed)?;
        // An answer that is not there when it is read never comes: an error is better than a hung thread.
        socket.set_non_blocking(true).map_err(failed)?;
        Ok(Self { socket, buffer: vec![0; BUFFER] })
    }

    /// The TCP connections whose local address is `local`, those of servers that listen on `::` too. Listening sockets are not
    /// among them.
    ///
    /// # Errors
    /// The kernel has no answer, or none that is whole.
    pub fn connections_of(&mut self, local: IpAddr) -> Result<Vec<Connection>, DiagError> {
        self.sockets_of(local, &WITH_A_CLIENT, usize::MAX)
    }

    /// The TCP connections with this local address that are over, and that the kernel remembers for a minute (`TIME_WAIT`): `most` of
    /// them for each family.
    ///
    /// # Errors
    /// As [`Diag::connections_of`].
    pub fn ended_connections_of(&mut self, local: IpAddr, most: usize) -> Result<Vec<Connection>, DiagError> {
        self.sockets_of(local, &StateFlags::TIME_WAIT, most)
    }

    fn sockets_of(
        &mut self,
        local: IpAddr,
        states: &StateFlags,
        most: usize,
    ) -> Result<Vec<Connection>, DiagError> {
        let mut connections = vec![];
        // An IPv4 address may be that of a v4-mapped socket of the other family.
        let families: &[u8] = if local.is_ipv4() { &[AF_INET, AF_INET6] } else { &[AF_INET6] };
        for family in families.iter().copied() {
            let request = inet_request(family, states.clone(), SocketId::new_v4());
            self.send(NLM_F_REQUEST | NLM_F_DUMP, FilteredDump { request, filter: only_from(local) })?;
            let mut found = vec![];
            self.receive(|message| sort_out(message, local, most, &mut found))?;
            connections.extend(found.into_iter().map(|id| Connection {
                local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
                client: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
                family,
                id,
            }));
        }
        Ok(connections)
    }

    /// The TCP sockets that listen at this port: address and inode of each.
    ///
    /// # Errors
    /// The kernel has no answer, or none that is whole.
    pub fn listeners(&mut self, port: u16) -> Result<Vec<(IpAddr, u32)>, DiagError> {
        let mut found = vec![];
        for (family, any) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let request = SockDiagMessage::InetRequest(inet_request(family, StateFlags::LISTEN, any));
            self.send(NLM_F_REQUEST | NLM_F_DUMP, request)?;
            self.receive(|message| {
                match message {
                    NetlinkPayload::Done(_) => return Ok(true),
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        let id = &response.header.socket_id;
                        if id.source_port == port {
                            found.push((id.source_address, response.header.inode));
                        }
                    }
                    NetlinkPayload::Error(error) => return Err(refused(error.raw_code())),
                    _ => {}
                }
                Ok(false)
            })?;
        }
        Ok(found)
    }

    /// Destroys this host's end, as `ss -K` does.
    ///
    /// # Errors
    /// `ENOENT`, `ESTALE`: it is gone already. `EOPNOTSUPP`: this kernel can't, or not in its state.
    pub fn destroy(&mut self, connection: &Connection) -> Result<(), DiagError> {
        let request = inet_request(connection.family, StateFlags::all(), connection.id.clone());
        let request = SockDiagMessage::InetRequest(request);
        self.send(NLM_F_REQUEST | NLM_F_ACK, SockDiagDestroy::new(request))?;
        self.receive(|message| match message {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(refused(error.raw_code())),
            NetlinkPayload::Error(_) => Ok(true),
            _ => Ok(false),
        })
    }

    fn send<Request: NetlinkSerializable>(&self, flags: u16, request: Request) -> Result<(), DiagError> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket
            .send(&bytes, 0)
            .map(|_| ())
            .map_err(|source| DiagError::Socket { doing: "asking sock_diag", source })
    }

    /// Hands over message by message, until `is_last`.
    fn receive(
        &mut self,
        mut is_last: impl FnMut(NetlinkPayload<SockDiagMessage>) -> Result<bool, DiagError>,
    ) -> Result<(), DiagError> {
        loop {
            let length = self
                .socket
                .recv(&mut &mut self.buffer[..], 0)
                .map_err(|source| DiagError::Socket { doing: "reading sock_diag's answer", source })?;
            if hand_over(self.buffer.get(..length).unwrap_or_default(), &mut is_last)? {
                return Ok(());
            }
        }
    }
}

/// Hands over the messages of one datagram, until `is_last`; gives whether it was there.
fn hand_over(
    datagram: &[u8],
    mut is_last: impl FnMut(NetlinkPayload<SockDiagMessage>) -> Result<bool, DiagError>,
) -> Result<bool, DiagError> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let not_understood =
            |error: netlink_packet_core::DecodeError| DiagError::NotUnderstood(error.to_string());
        let taken = NetlinkBuffer::new_checked(&rest).map_err(not_understood)?.length() as usize;
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(not_understood)?;
        if is_last(message.payload)? {
            return Ok(true);
        }
        // Messages start at multiples of four bytes (netlink(7)).
        rest = rest.get(taken.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// Takes a dump's message in: a socket whose local address is `local` is added, until there are so many; gives whether it is the dump's
/// end.
fn sort_out(
    message: NetlinkPayload<SockDiagMessage>,
    local: IpAddr,
    most: usize,
    found: &mut Vec<SocketId>,
) -> Result<bool, DiagError> {
    match message {
        NetlinkPayload::Done(_) => return Ok(true),
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
            let id = response.header.socket_id;
            // The kernel has filtered; one that acts on no filter costs time, not somebody's connections.
            if found.len() < most && id.source_address.to_canonical() == local {
                found.push(id);
            }
        }
        NetlinkPayload::Error(error) => return Err(refused(error.raw_code())),
        _ => {}
    }
    Ok(false)
}

fn refused(raw_code: i32) -> DiagError {
    // The least number has no positive counterpart; nor is it any error's.
    DiagError::Refused(Errno::from_raw(raw_code.wrapping_neg()))
}

fn inet_request(family: u8, states: StateFlags, socket_id: SocketId) -> InetRequest {
    InetRequest { family, protocol: IPPROTO_TCP, extensions: ExtensionFlags::empty(), states, socket_id }
}

/// A dump with `INET_DIAG_REQ_BYTECODE`, which the crate has no type for.
struct FilteredDump {
    request: InetRequest,
    filter: Vec<u8>,
}

impl FilteredDump {
    fn message(&self) -> SockDiagMessage {
        SockDiagMessage::InetRequest(self.request.clone())
    }
}

impl NetlinkSerializable for FilteredDump {
    fn message_type(&self) -> u16 {
        SOCK_DIAG_BY_FAMILY
    }

    fn buffer_len(&self) -> usize {
        NetlinkSerializable::buffer_len(&self.message()) + self.filter.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let message = self.message();
        let (head, filter) = buffer.split_at_mut(NetlinkSerializable::buffer_len(&message));
        message.serialize(head);
        filter.copy_from_slice(&self.filter);
    }
}

/// The attribute that makes the kernel pass only sockets with this local address (`linux/inet_diag.h`,
/// `inet_diag_bc_op` and `inet_diag_hostcond`): on thousands of foreign sockets it saves most of the time. A condition
/// of the family `AF_INET` matches v4-mapped addresses too.
fn only_from(local: IpAddr) -> Vec<u8> {
    const REQ_BYTECODE: u16 = 1;
    const SOURCE_CONDITION: u8 = 7;
    const ANY_PORT: i32 = -1;
    /// Bytes of the attribute's header, and of the operation and the condition before the address.
    const HEADER: u8 = 4;
    const BEFORE_ADDRESS: u8 = 12;
    let (family, bytes, address) = match local {
        IpAddr::V4(local) => (AF_INET, 4, local.octets().to_vec()),
        IpAddr::V6(local) => (AF_INET6, 16, local.octets().to_vec()),
    };
    // The one operation. Where it holds, go on after it, at the end: passed. Where not, four bytes further, past the end:
    // left out.
    let operation = BEFORE_ADDRESS + bytes;
    [
        &u16::from(HEADER + operation).to_ne_bytes()[..],
        &REQ_BYTECODE.to_ne_bytes(),
        &[SOURCE_CONDITION, operation],
        &u16::from(operation + 4).to_ne_bytes(),
        &[family, bytes * 8, 0, 0], // bits of the address that count
        &ANY_PORT.to_ne_bytes(),
        &address,
    ]
    .concat()
}

/// A door for `fuzz/`: the addresses of the TCP sockets with this local address that a datagram of `sock_diag` tells of, and
/// whether it holds the dump's end. Nothing else uses it.
///
/// # Errors
/// As [`Diag::connections_of`].
#[doc(hidden)]
pub fn sockets_in(local: IpAddr, datagram: &[u8]) -> Result<(Vec<IpAddr>, bool), DiagError> {
    let mut found = Vec::new();
    let ended = hand_over(datagram, |message| sort_out(message, local, usize::MAX, &mut found))?;
    Ok((found.into_iter().map(|id| id.source_address).collect(), ended))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_kernel_is_asked_for_one_address_in_the_layout_of_inet_diag_h() {
        let of_v4 = only_from("10.77.0.100".parse().unwrap());
        let number = |bytes: &[u8]| u16::from_ne_bytes(bytes.try_into().unwrap());
        assert_eq!((of_v4.len(), number(&of_v4[..2]), number(&of_v4[2..4])), (20, 20, 1));
        assert_eq!((of_v4[4], of_v4[5], number(&of_v4[6..8])), (7, 16, 20), "source condition, yes, no");
        assert_eq!((of_v4[8], of_v4[9]), (AF_INET, 32));
        assert_eq!(of_v4[12..], [0xff, 0xff, 0xff, 0xff, 10, 77, 0, 100]);
        let of_v6 = only_from("fd77::100".parse().unwrap());
        assert_eq!((of_v6.len(), number(&of_v6[..2]), of_v6[5], number(&of_v6[6..8])), (32, 32, 28, 32));
        assert_eq!((of_v6[8], of_v6[9], of_v6[16], of_v6[30]), (AF_INET6, 128, 0xfd, 1));
    }

    #[test]
    fn a_refusal_with_a_number_that_no_error_has_is_still_a_refusal() {
        let mut datagram = vec![0; 36];
        datagram[0] = 36; // the length
        datagram[4] = 2; // NLMSG_ERROR
        datagram[16..20].copy_from_slice(&i32::MIN.to_ne_bytes());
        datagram[20] = 20; // the length of the request that is quoted
        let mut found = vec![];
        let told = hand_over(&datagram, |message| {
            sort_out(message, IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), usize::MAX, &mut found)
        });
        assert!(matches!(told.unwrap_err(), DiagError::Refused(Errno::UnknownErrno)));
    }
}
