//! Probes for the VIP, and gratuitous ARP. Sent at once; nothing here waits, repeats or decides.

use std::net::{IpAddr, Ipv4Addr};

use decide::event::Mac;

use crate::arp_socket::ArpSocket;
use crate::packet_socket::PacketSocketError;
use crate::wire::arp::ArpFrame;

/// What went wrong in probing or announcing.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// The frame could not be sent.
    #[error("no {what} for {vip} was sent: {source}")]
    NotSent {
        /// "probe", "announcement" …
        what: &'static str,
        /// The VIP.
        vip: IpAddr,
        /// Why; it names the interface.
        source: PacketSocketError,
    },
    /// The VIP is IPv6.
    #[error(
        "{vip} is an IPv6 address: its announcement on {interface} is not supported yet, give an IPv4 VIP"
    )]
    Ipv6NotSupportedYet {
        /// The VIP.
        vip: IpAddr,
        /// The interface.
        interface: String,
    },
}

/// Sends frames about one VIP from one interface.
#[derive(Debug)]
pub struct Announcer {
    interface: String,
    vip: IpAddr,
    /// Opened when first needed, and anew when the interface has changed.
    socket: Option<ArpSocket>,
}

impl Announcer {
    /// For this VIP on this interface. Nothing is opened yet: the interface may come later.
    pub fn new(interface: impl Into<String>, vip: IpAddr) -> Self {
        Self { interface: interface.into(), vip, socket: None }
    }

    /// Opens the socket, so that the first frame need not wait for it. A failure is left for the first frame to tell.
    pub fn prepare(&mut self) {
        self.socket = ArpSocket::to_send(&self.interface).ok();
    }

    /// One ARP probe (RFC 5227 section 1.1): asks whether anybody holds the VIP, without claiming it in any cache.
    pub fn probe(&mut self) -> Result<(), AnnounceError> {
        self.send("probe", |socket, vip| socket.send(&ArpFrame::probe(socket.mac(), vip)))
    }

    /// Says that the VIP is free: to the host with this MAC, or to nobody in particular.
    pub fn announce_release(&mut self, to: Option<Mac>) -> Result<(), AnnounceError> {
        self.send("release", |socket, vip| socket.send(&ArpFrame::release(socket.mac(), vip, to)))
    }

    /// One gratuitous ARP in each of its two forms, request and reply: some equipment acts on only the one, some only
    /// the other.
    pub fn announce(&mut self) -> Result<(), AnnounceError> {
        self.send("announcement", |socket, vip| {
            socket.send(&ArpFrame::gratuitous_request(socket.mac(), vip))?;
            socket.send(&ArpFrame::gratuitous_reply(socket.mac(), vip))
        })
    }

    fn send(
        &mut self,
        what: &'static str,
        frames: impl Fn(&ArpSocket, Ipv4Addr) -> Result<(), PacketSocketError>,
    ) -> Result<(), AnnounceError> {
        let IpAddr::V4(vip) = self.vip else {
            return Err(AnnounceError::Ipv6NotSupportedYet {
                vip: self.vip,
                interface: self.interface.clone(),
            });
        };
        let not_sent = |source| AnnounceError::NotSent { what, vip: self.vip, source };
        if let Some(socket) = self.socket.take()
            && frames(&socket, vip).is_ok()
        {
            self.socket = Some(socket);
            return Ok(());
        }
        // The first time, or the old socket is of no use: an interface that was made anew or got a new MAC needs a new one.
        let socket = ArpSocket::to_send(&self.interface).map_err(not_sent)?;
        frames(&socket, vip).map_err(not_sent)?;
        self.socket = Some(socket);
        Ok(())
    }
}
