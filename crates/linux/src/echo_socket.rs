//! Echo requests about an IPv4 address to single hosts on the segment, by their MACs, and the replies.
//!
//! Both go by packet sockets: where they are sent no route, neighbor cache or packet rule of this host has a say, and a reply is heard
//! although it is to a request of which the host's packet rules know nothing.

use std::io;
use std::net::Ipv4Addr;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wire::icmp::Echo;
use wire::{ETHERNET_HEADER, Family, Mac};

use crate::packet_filter::echo_reply_of;
use crate::packet_socket::{IPV4, PacketSocket, PacketSocketError};

/// The longest IPv4 header, and more than an echo of ours has.
const LONGEST_REPLY: usize = ETHERNET_HEADER + 60 + 64;

/// Asks who has an IPv4 address by echo, and hears the replies from it. It never blocks; to drop it takes the kernel some milliseconds,
/// in which the thread waits.
#[derive(Debug)]
pub struct EchoSocket {
    socket: AsyncFd<PacketSocket>,
    address: Ipv4Addr,
}

impl EchoSocket {
    /// Opens it, within a tokio runtime with IO; replies are heard from now on.
    pub fn open(interface: &str, address: Ipv4Addr) -> Result<Self, PacketSocketError> {
        let prepare = |socket: &Socket| socket.attach_filter(&echo_reply_of(address));
        Ok(Self { socket: PacketSocket::open(interface, IPV4, prepare)?.watched()?, address })
    }

    /// Asks the host with this MAC alone, from this address of ours. The interface is checked before, so that no frame bears a MAC
    /// which is not the interface's.
    pub fn ask(&self, echo: Echo, from: Ipv4Addr, to: Mac) -> Result<(), PacketSocketError> {
        let socket = self.socket.get_ref();
        socket.check()?;
        let frame = echo.frame((socket.mac(), from), (to, self.address));
        let failed = |source| PacketSocketError::new(socket.interface(), "sending an echo request", source);
        socket.send(&frame).map_err(failed)
    }

    /// The next reply from the address to this interface's own MAC: what it repeats. An error means that the
    /// socket is to be opened anew. Cancelling it loses no reply.
    pub async fn receive(&self) -> Result<Echo, PacketSocketError> {
        let failed = |source| {
            PacketSocketError::new(self.socket.get_ref().interface(), "receiving echo replies", source)
        };
        loop {
            let mut ready = self.socket.ready(Interest::READABLE | Interest::ERROR).await.map_err(failed)?;
            let mut frame = [0; LONGEST_REPLY];
            match ready.try_io(|socket| socket.get_ref().read(&mut frame)) {
                Ok(Ok(length)) => {
                    let packet = frame.get(ETHERNET_HEADER..length);
                    if let Some(echo) = packet.and_then(|packet| Echo::from_reply(Family::V4, packet)) {
                        return Ok(echo);
                    }
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(failed(error)),
                Err(_) => {}
            }
        }
    }
}
