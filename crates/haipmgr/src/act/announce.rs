//! Probes for the VIP, announcements and releases of it, in either family. Sent at once; nothing here waits, repeats or decides.

use std::net::IpAddr;

use decide::net::Mac;
use linux::neighbor_socket::NeighborSender;
use linux::packet_socket::PacketSocketError;
use wire::{NeighborMessage, Word};

/// A probe, an announcement or a release could not be sent.
#[derive(Debug, thiserror::Error)]
#[error("no {what} for {vip} was sent: {source}")]
pub struct AnnounceError {
    /// "probe", "announcement" …
    what: &'static str,
    /// The VIP.
    vip: IpAddr,
    /// Why; it names the interface.
    source: PacketSocketError,
}

/// Sends frames about one VIP from the interface that it is on.
#[derive(Debug)]
pub struct Announcer {
    interface: String,
    vip: IpAddr,
    /// Opened when first needed, and anew when the interface has changed.
    socket: Option<NeighborSender>,
}

impl Announcer {
    /// For this VIP on this interface. Nothing is opened yet: the interface may come later.
    pub fn new(interface: impl Into<String>, vip: IpAddr) -> Self {
        Self { interface: interface.into(), vip, socket: None }
    }

    /// Opens the socket, so that the first frame need not wait for it. A failure is left for the first frame to tell.
    pub fn prepare(&mut self) {
        self.socket = NeighborSender::open(&self.interface).ok();
    }

    /// One probe (RFC 5227 section 1.1, RFC 4862 section 5.4.2): asks whether anybody holds the VIP, without claiming it in any cache.
    pub fn probe(&mut self) -> Result<(), AnnounceError> {
        self.send("probe", NeighborMessage::Probe { target: self.vip })
    }

    /// Says that the VIP is free: to the host with this MAC, or to nobody in particular.
    pub fn announce_release(&mut self, to: Option<Mac>) -> Result<(), AnnounceError> {
        let to = to.map(|mac| wire::Mac(mac.0));
        self.send("release", NeighborMessage::Release { address: self.vip, to })
    }

    /// One announcement: gratuitous ARP in each of its two forms, or an unsolicited neighbor advertisement.
    pub fn announce(&mut self) -> Result<(), AnnounceError> {
        self.send("announcement", NeighborMessage::Announcement { address: self.vip })
    }

    /// Says that this host is the one at this place among the members, in their order, and asks who has the VIP; from this address of the
    /// interface, of the VIP's family.
    pub fn say_member(&mut self, place: usize, from: IpAddr) -> Result<(), AnnounceError> {
        // The configuration has no more members than there are numbers.
        let Some(word) = Word::of_place(place) else { return Ok(()) };
        self.send("word", NeighborMessage::Word { target: self.vip, asker: from, word })
    }

    fn send(&mut self, what: &'static str, message: NeighborMessage) -> Result<(), AnnounceError> {
        let not_sent = |source| AnnounceError { what, vip: self.vip, source };
        if let Some(socket) = self.socket.take()
            && socket.send(message, None).is_ok()
        {
            self.socket = Some(socket);
            return Ok(());
        }
        // The first time, or the old socket is of no use: an interface that was made anew or got a new MAC needs a new one.
        let socket = NeighborSender::open(&self.interface).map_err(not_sent)?;
        socket.send(message, None).map_err(not_sent)?;
        self.socket = Some(socket);
        Ok(())
    }
}
