//! The kernel's table of TCP sockets, over netlink (`sock_diag`, section 7 of the manual): ask for the sockets of one
//! address or for those that listen at a port, destroy one. Below `observe` and `act`.
//!
//! The kernel works each request off within the calls that send it and receive its answers, so nothing here waits.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
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

/// A `sock_diag` socket.
pub(crate) struct Diag {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Diag {
    pub(crate) fn open() -> Result<Self, DiagError> {
        let failed = |source| DiagError::Socket { doing: "opening a sock_diag socket", source };
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        // An answer that is not there when it is read never comes: an error is better than a hung thread.
        socket.set_non_blocking(true).map_err(failed)?;
        Ok(Self { socket, buffer: vec![0; BUFFER] })
    }

    /// The TCP sockets of `family` in these states whose local address is `local`, v4-mapped where the family is
    /// `AF_INET6`.
    pub(crate) fn tcp_sockets_of(
        &mut self,
        family: u8,
        local: Ipv4Addr,
        states: StateFlags,
    ) -> Result<Vec<SocketId>, DiagError> {
        let request = inet_request(family, states, SocketId::new_v4());
        self.send(NLM_F_REQUEST | NLM_F_DUMP, FilteredDump { request, filter: only_from(local) })?;
        let mut found = vec![];
        self.receive(|message| sort_out(message, local, &mut found))?;
        Ok(found)
    }

    /// The TCP sockets that listen at this port: address and inode of each.
    pub(crate) fn listeners(&mut self, port: u16) -> Result<Vec<(IpAddr, u32)>, DiagError> {
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

    /// Destroys the TCP socket with these ends and this cookie, as `ss -K` does.
    pub(crate) fn destroy(&mut self, family: u8, id: SocketId) -> Result<(), DiagError> {
        let request = SockDiagMessage::InetRequest(inet_request(family, StateFlags::all(), id));
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
pub(crate) fn hand_over(
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

/// Takes a dump's message in: a socket whose local address is `local` is added; gives whether it is the dump's end.
pub(crate) fn sort_out(
    message: NetlinkPayload<SockDiagMessage>,
    local: Ipv4Addr,
    found: &mut Vec<SocketId>,
) -> Result<bool, DiagError> {
    match message {
        NetlinkPayload::Done(_) => return Ok(true),
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
            let id = response.header.socket_id;
            // The kernel has filtered; one that acts on no filter costs time, not somebody's connections.
            if id.source_address.to_canonical() == local {
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

/// Four bytes of attribute header, four of operation, eight of condition, four of address.
const FILTER_LENGTH: usize = 20;

/// A dump with `INET_DIAG_REQ_BYTECODE`, which the crate has no type for.
struct FilteredDump {
    request: InetRequest,
    filter: [u8; FILTER_LENGTH],
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
fn only_from(local: Ipv4Addr) -> [u8; FILTER_LENGTH] {
    const REQ_BYTECODE: u16 = 1;
    const SOURCE_CONDITION: u8 = 7;
    const ANY_PORT: i32 = -1;
    /// Bytes of the one operation. Where it holds, go on after it, at the end: passed. Where not, four bytes further,
    /// past the end: left out.
    const OPERATION: u8 = 16;
    let mut filter = [0; FILTER_LENGTH];
    filter[0..2].copy_from_slice(&(4 + u16::from(OPERATION)).to_ne_bytes());
    filter[2..4].copy_from_slice(&REQ_BYTECODE.to_ne_bytes());
    filter[4] = SOURCE_CONDITION;
    filter[5] = OPERATION;
    filter[6..8].copy_from_slice(&u16::from(OPERATION + 4).to_ne_bytes());
    filter[8] = AF_INET;
    filter[9] = 32; // bits of the address that count
    filter[12..16].copy_from_slice(&ANY_PORT.to_ne_bytes());
    filter[16..20].copy_from_slice(&local.octets());
    filter
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_refusal_with_a_number_that_no_error_has_is_still_a_refusal() {
        let mut datagram = vec![0; 36];
        datagram[0] = 36; // the length
        datagram[4] = 2; // NLMSG_ERROR
        datagram[16..20].copy_from_slice(&i32::MIN.to_ne_bytes());
        datagram[20] = 20; // the length of the request that is quoted
        let mut found = vec![];
        let told = hand_over(&datagram, |message| sort_out(message, Ipv4Addr::LOCALHOST, &mut found));
        assert!(matches!(told.unwrap_err(), DiagError::Refused(Errno::UnknownErrno)));
    }
}
