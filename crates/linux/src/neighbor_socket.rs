//! What is said about addresses, in and out of one network interface: by ARP for IPv4, by neighbor discovery for IPv6.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv6Addr;

use socket2::{Domain, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wire::ndisc::solicited_node;
use wire::{ETHERNET_HEADER, Family, Mac, NeighborMessage};

use crate::packet_filter::neighbor_discovery;
use crate::packet_socket::{ARP, IPV6, PacketSocket, PacketSocketError};

/// Bytes asked for; the kernel gives less where `net.core.rmem_max` is less. Some hundreds of frames fit: a burst that
/// comes while the agent is busy is kept, a flood is dropped.
const RECEIVE_BUFFER: usize = 512 * 1024;
/// A frame of Ethernet's own length. What is longer, no neighbor says.
const LONGEST_FRAME: usize = 1514;

/// Says things from one interface. It never blocks.
#[derive(Debug)]
pub struct NeighborSender(PacketSocket);

impl NeighborSender {
    /// Opens a socket that only sends: it receives nothing, so that nothing piles up in it.
    pub fn open(interface: &str) -> Result<Self, PacketSocketError> {
        PacketSocket::open(interface, 0, |_| Ok(())).map(Self)
    }

    /// The interface's hardware address, as it was when the socket was opened.
    pub fn mac(&self) -> Mac {
        self.0.mac()
    }

    /// Says this now, to the host with this MAC or to everybody. The interface is checked before, so that no frame bears a MAC which
    /// is not the interface's.
    pub fn send(&self, message: NeighborMessage, to: Option<Mac>) -> Result<(), PacketSocketError> {
        send(&self.0, message, to)
    }

    /// Sends this frame as it is, Ethernet header and all, with the same check.
    pub fn send_frame(&self, frame: &[u8]) -> Result<(), PacketSocketError> {
        self.0.check()?;
        send_frame(&self.0, frame)
    }
}

fn send(socket: &PacketSocket, message: NeighborMessage, to: Option<Mac>) -> Result<(), PacketSocketError> {
    socket.check()?;
    for frame in message.frames(socket.mac(), to) {
        send_frame(socket, &frame)?;
    }
    Ok(())
}

fn send_frame(socket: &PacketSocket, frame: &[u8]) -> Result<(), PacketSocketError> {
    let failed =
        |source| PacketSocketError::new(socket.interface(), "sending a frame about an address", source);
    let (header, _) = frame
        .split_first_chunk::<ETHERNET_HEADER>()
        .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    socket.send_as(u16::from_be_bytes([header[12], header[13]]), frame).map_err(failed)
}

/// What another host said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its hardware address, as the message has it.
    pub from: Mac,
    /// What it said.
    pub message: NeighborMessage,
    /// Said to this interface's own MAC, not to everybody.
    pub to_us_alone: bool,
    /// The interface's own hardware address.
    pub own_mac: Mac,
    /// When the kernel received it, in microseconds of the wall clock, where that is known.
    pub wall_time: Option<i64>,
}

/// Hears what is said in one family at one interface, and speaks too.
#[derive(Debug)]
pub struct NeighborListener {
    socket: AsyncFd<PacketSocket>,
    groups: Option<Groups>,
}

/// The solicited-node groups that a host is in so as to hear what others ask about addresses that it does not have: behind a switch
/// that looks at who is in which group (MLD snooping), a packet socket alone hears nothing, `PACKET_ADD_MEMBERSHIP` included.
#[derive(Debug)]
struct Groups {
    socket: Socket,
    joined: BTreeSet<Ipv6Addr>,
}

impl NeighborListener {
    /// Opens it; within a tokio runtime with IO.
    pub fn open(interface: &str, family: Family) -> Result<Self, PacketSocketError> {
        let (protocol, filter) = match family {
            Family::V4 => (ARP, None),
            Family::V6 => (IPV6, Some(neighbor_discovery())),
        };
        let prepare = |socket: &Socket| {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
            filter.map_or(Ok(()), |filter| socket.attach_filter(&filter))
        };
        let socket = PacketSocket::open(interface, protocol, prepare)?;
        let groups = match family {
            Family::V4 => None,
            Family::V6 => Some(Groups::none().map_err(|source| {
                PacketSocketError::new(interface, "opening a socket for groups of IPv6", source)
            })?),
        };
        // From here on the kernel notes when it received a frame.
        let _ = socket.last_received_at();
        Ok(Self { socket: socket.watched()?, groups })
    }

    /// From now on hears also what is asked about these addresses, and no longer what is asked about others that are not this
    /// host's. (By ARP everything is heard.) An interface that is made anew needs a new listener, which is in no group yet.
    ///
    /// # Errors
    /// The interface is gone, or does not do IPv6.
    pub fn hear_about(
        &mut self,
        addresses: impl IntoIterator<Item = Ipv6Addr>,
    ) -> Result<(), PacketSocketError> {
        let Some(groups) = &mut self.groups else { return Ok(()) };
        let socket = self.socket.get_ref();
        let wanted = addresses.into_iter().map(solicited_node).collect();
        groups.be_in(wanted, socket.index()).map_err(|source| {
            PacketSocketError::new(socket.interface(), "joining an address's solicited-node group", source)
        })
    }

    /// The interface's hardware address, as it was when the socket was opened.
    pub fn mac(&self) -> Mac {
        self.socket.get_ref().mac()
    }

    /// Whether the interface is still the one that the socket was opened on, with the same MAC; `Changed` where not.
    pub fn check(&self) -> Result<(), PacketSocketError> {
        self.socket.get_ref().check()
    }

    /// As [`NeighborSender::send`].
    pub fn send(&self, message: NeighborMessage, to: Option<Mac>) -> Result<(), PacketSocketError> {
        send(self.socket.get_ref(), message, to)
    }

    /// The next thing that another host said to us or to everybody. Frames that this host sent, frames for others and what is
    /// not a neighbor message of the family are dropped. An error means that the socket is to be opened anew. Cancelling it loses
    /// no frame.
    pub async fn receive(&self) -> Result<Received, PacketSocketError> {
        let failed = |source| {
            PacketSocketError::new(self.socket.get_ref().interface(), "receiving neighbor messages", source)
        };
        loop {
            let mut ready = self.socket.ready(Interest::READABLE | Interest::ERROR).await.map_err(failed)?;
            match ready.try_io(|socket| receive(socket.get_ref())) {
                Ok(Ok(Some(received))) => return Ok(received),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(failed(error)),
            }
        }
    }
}

impl Groups {
    fn none() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM.nonblocking(), None)?;
        Ok(Self { socket, joined: BTreeSet::new() })
    }

    fn be_in(&mut self, wanted: BTreeSet<Ipv6Addr>, index: u32) -> io::Result<()> {
        for group in self.joined.difference(&wanted) {
            // The interface may be gone, and the membership with it.
            let _ = self.socket.leave_multicast_v6(group, index);
        }
        self.joined.retain(|group| wanted.contains(group));
        for group in wanted {
            if !self.joined.contains(&group) {
                self.socket.join_multicast_v6(&group, index)?;
                self.joined.insert(group);
            }
        }
        Ok(())
    }
}

/// The next frame, or nothing where it is one to be dropped.
fn receive(socket: &PacketSocket) -> io::Result<Option<Received>> {
    let arrived = socket.receive::<LONGEST_FRAME>()?;
    let to_us_alone = match arrived.packet_type {
        Some(libc::PACKET_HOST) => true,
        Some(libc::PACKET_BROADCAST | libc::PACKET_MULTICAST) => false,
        // PACKET_OUTGOING is our own; PACKET_OTHERHOST belongs to another host or to a VLAN that we are not on.
        _ => return Ok(None),
    };
    let Some(Ok((from, message))) = arrived.bytes.get(..arrived.length).map(NeighborMessage::decode) else {
        return Ok(None);
    };
    let own_mac = socket.mac();
    let received = Received { from, message, to_us_alone, own_mac, wall_time: arrived.wall_time };
    Ok((from != own_mac).then_some(received))
}
