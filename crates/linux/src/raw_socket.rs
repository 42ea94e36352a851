//! Whole IP packets out, whoever their sender is said to be (raw(7)). Needs `CAP_NET_RAW`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Sends packets that bring their own IP header, to hosts of one family. It receives nothing.
#[derive(Debug)]
pub struct RawSocket(Socket);

impl RawSocket {
    /// Opens it for destinations of the family of this address. With a limit, a packet waits so long at the most for room in the
    /// socket's buffer; without, not at all.
    ///
    /// # Errors
    /// The capability is missing, or descriptors are.
    pub fn open(family_of: IpAddr, limit: Option<Duration>) -> io::Result<Self> {
        // IPPROTO_RAW: the header is the caller's to write, and nothing is ever received. IPv6 needs no more than that.
        let domain = Domain::for_address(SocketAddr::new(family_of, 0));
        let kind = if limit.is_some() { Type::RAW } else { Type::RAW.nonblocking() };
        let socket = Socket::new(domain, kind, Some(Protocol::from(libc::IPPROTO_RAW)))?;
        if family_of.is_ipv4() {
            socket.set_header_included_v4(true)?;
        }
        socket.set_write_timeout(limit)?;
        Ok(Self(socket))
    }

    /// Sends one packet to this host.
    ///
    /// # Errors
    /// There is no way there, or no room.
    pub fn send(&self, packet: &[u8], to: IpAddr) -> io::Result<()> {
        // The port of the address is for the protocol of a raw socket, not for TCP (raw(7)).
        self.0.send_to(packet, &SocketAddr::new(to, 0).into()).map(|_| ())
    }
}
