//! ARP frames in and out of one network interface.

use std::io;

use decide::event::Mac;
use decide::time::Time;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock;
use crate::packet_socket::{ARP, PacketSocket, PacketSocketError};
use crate::wire::arp::{ArpFrame, FRAME_LENGTH};

/// Bytes asked for; the kernel gives less where `net.core.rmem_max` is less. Some hundreds of frames fit: a burst that
/// comes while the agent is busy is kept, a flood is dropped.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// Sends ARP frames from one interface. It never blocks.
#[derive(Debug)]
pub struct ArpSocket(PacketSocket);

impl ArpSocket {
    /// Opens a socket that only sends: it receives nothing, so that nothing piles up in it.
    pub fn to_send(interface: &str) -> Result<Self, PacketSocketError> {
        PacketSocket::open(interface, 0, |_| Ok(())).map(Self)
    }

    /// The interface's hardware address, as it was when the socket was opened.
    pub fn mac(&self) -> Mac {
        self.0.mac()
    }

    /// Sends one frame now. The interface is checked before, so that no frame bears a MAC which is not the interface's.
    pub fn send(&self, frame: &ArpFrame) -> Result<(), PacketSocketError> {
        send(&self.0, frame)
    }
}

fn send(socket: &PacketSocket, frame: &ArpFrame) -> Result<(), PacketSocketError> {
    socket.check()?;
    socket
        .send_as(ARP, &frame.encode())
        .map_err(|source| PacketSocketError::new(socket.interface(), "sending an ARP frame", source))
}

/// An ARP frame of another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The frame.
    pub frame: ArpFrame,
    /// Sent to this interface's own MAC, not to everybody.
    pub to_us_alone: bool,
    /// The interface's own hardware address.
    pub own_mac: Mac,
    /// When the kernel received it, where that is known.
    pub heard_at: Option<Time>,
}

/// Hears the ARP frames which arrive at one interface, and sends too.
#[derive(Debug)]
pub struct ArpListener(AsyncFd<PacketSocket>);

impl ArpListener {
    /// Opens it; within a tokio runtime with IO.
    pub fn open(interface: &str) -> Result<Self, PacketSocketError> {
        let socket =
            PacketSocket::open(interface, ARP, |socket| socket.set_recv_buffer_size(RECEIVE_BUFFER))?;
        // From here on the kernel notes when it received a frame.
        let _ = socket.last_received_at();
        socket.watched().map(Self)
    }

    /// The interface's hardware address, as it was when the socket was opened.
    pub fn mac(&self) -> Mac {
        self.0.get_ref().mac()
    }

    /// Whether the interface is still the one that the socket was opened on, with the same MAC; `Changed` where not.
    pub fn check(&self) -> Result<(), PacketSocketError> {
        self.0.get_ref().check()
    }

    /// Sends one frame now. The interface is checked before, so that no frame bears a MAC which is not the interface's.
    pub fn send(&self, frame: &ArpFrame) -> Result<(), PacketSocketError> {
        send(self.0.get_ref(), frame)
    }

    /// The next ARP frame of another host that is for us or for everybody. Frames that this host sent, frames for
    /// others and what is not ARP for IPv4 over Ethernet are dropped. An error means that the socket is to be opened
    /// anew. Cancelling it loses no frame.
    pub async fn receive(&self) -> Result<Received, PacketSocketError> {
        let failed =
            |source| PacketSocketError::new(self.0.get_ref().interface(), "receiving ARP frames", source);
        loop {
            let mut ready = self.0.ready(Interest::READABLE | Interest::ERROR).await.map_err(failed)?;
            match ready.try_io(|socket| receive(socket.get_ref())) {
                Ok(Ok(Some(received))) => return Ok(received),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(failed(error)),
            }
        }
    }
}

/// The next frame, or nothing where it is one to be dropped.
fn receive(socket: &PacketSocket) -> io::Result<Option<Received>> {
    let arrived = socket.receive::<FRAME_LENGTH>()?;
    let to_us_alone = match arrived.packet_type {
        Some(libc::PACKET_HOST) => true,
        Some(libc::PACKET_BROADCAST | libc::PACKET_MULTICAST) => false,
        // PACKET_OUTGOING is our own; PACKET_OTHERHOST belongs to another host or to a VLAN that we are not on.
        _ => return Ok(None),
    };
    let Some(Ok(frame)) = arrived.bytes.get(..arrived.length).map(ArpFrame::decode) else { return Ok(None) };
    let (own_mac, heard_at) = (socket.mac(), arrived.wall_time.and_then(clock::at_wall_time));
    Ok((frame.sender_mac != own_mac).then_some(Received { frame, to_us_alone, own_mac, heard_at }))
}
