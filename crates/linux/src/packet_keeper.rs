//! Packets that the kernel keeps until it is known where they are to go: those that still arrive for an address after it
//! has left, and the SYNs that pass on their way to a dead host.

use std::io;
use std::net::IpAddr;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wire::{ETHERNET_HEADER, Mac};

use crate::packet_filter::{arrived_for, asks_another};
use crate::packet_socket::{IPV4, IPV6, PacketSocket, PacketSocketError, keep_offload_header};

/// `struct virtio_net_hdr` of `linux/virtio_net.h`, which stands before each frame under `PACKET_VNET_HDR`.
const OFFLOAD_HEADER: usize = 10;
/// The kernel joins segments into one frame of at most this, and its headers.
const LARGEST_JOINED: usize = 64 * 1024;

/// A packet socket in which the kernel keeps, in order, the frames that arrive at an interface's own MAC with a packet
/// to one address, until they are passed on. What finds no more room is dropped.
///
/// Each frame comes with what the interface has left undone or has done ahead (`PACKET_VNET_HDR`): checksums that a virtual
/// machine's neighbor has not filled in, segments that were joined. It is sent with the same, so that the kernel fills
/// in and cuts up again: a bare copy of such a frame would be thrown away by its receiver.
#[derive(Debug)]
pub struct FrameKeeper(AsyncFd<PacketSocket>);

/// What became of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOn {
    /// Sent.
    Yes,
    /// Not one to be passed on, or it could not be sent.
    Dropped,
    /// There is none.
    NoneLeft,
}

impl FrameKeeper {
    /// Opens it, within a tokio runtime with IO; frames are kept from now on. `room` is in bytes of the kernel's own
    /// counting: at least 512 a frame, with what it needs to keep it.
    ///
    /// To drop it takes the kernel some milliseconds, in which the thread waits.
    pub fn open(interface: &str, destination: IpAddr, room: usize) -> Result<Self, PacketSocketError> {
        let prepare = |socket: &Socket| {
            // The kernel doubles it (socket(7)).
            socket.set_recv_buffer_size(room / 2)?;
            keep_offload_header(socket)?;
            socket.attach_filter(&arrived_for(destination))
        };
        PacketSocket::open(interface, protocol_of(destination), prepare)?.watched().map(Self)
    }

    /// The interface's hardware address.
    pub fn mac(&self) -> Mac {
        self.0.get_ref().mac()
    }

    /// Passes the oldest frame on to this MAC, with the interface's own as sender: with the client's, switches would look for
    /// the client here. The packet in it is not touched. A frame that this host or the new holder sent is dropped: it would
    /// go round in circles, or come back to its own sender.
    ///
    /// # Errors
    /// The socket is of no use any more.
    pub fn pass_on_one(&self, to: Mac) -> Result<PassedOn, PacketSocketError> {
        let socket = self.0.get_ref();
        let mac = socket.mac();
        let mut buffer = vec![0; OFFLOAD_HEADER + ETHERNET_HEADER + LARGEST_JOINED];
        // Reads into initialised bytes, and says how many it has overwritten.
        let length = match socket.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(PassedOn::NoneLeft),
            // EINVAL: the frame was joined in a way that the header can't tell.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EINVAL)) => {
                return Ok(PassedOn::Dropped);
            }
            Err(source) => {
                return Err(PacketSocketError::new(
                    socket.interface(),
                    "receiving frames to pass on",
                    source,
                ));
            }
        };
        let whole = length < buffer.len();
        let Some((_, frame)) =
            buffer.get_mut(..length).and_then(|all| all.split_at_mut_checked(OFFLOAD_HEADER))
        else {
            return Ok(PassedOn::Dropped);
        };
        let Some((ethernet, _packet)) = frame.split_at_mut_checked(ETHERNET_HEADER) else {
            return Ok(PassedOn::Dropped);
        };
        let (destination, source) = ethernet.split_at_mut(6);
        let Some(source) = source.get_mut(..6) else { return Ok(PassedOn::Dropped) };
        if !whole || *source == mac.0 || *source == to.0 {
            return Ok(PassedOn::Dropped);
        }
        destination.copy_from_slice(&to.0);
        source.copy_from_slice(&mac.0);
        // Bound as it is, it sends from its interface. Full queues and frames that don't fit pass; TCP sends again.
        let sent = buffer.get(..length).map(|all| socket.send(all));
        Ok(if matches!(sent, Some(Ok(()))) { PassedOn::Yes } else { PassedOn::Dropped })
    }

    /// Waits until there may be a frame to pass on.
    pub async fn ready(&self) -> Result<(), PacketSocketError> {
        let failed = |source| {
            PacketSocketError::new(self.0.get_ref().interface(), "receiving frames to pass on", source)
        };
        self.0.ready(Interest::READABLE | Interest::ERROR).await.map_err(failed)?.clear_ready();
        Ok(())
    }
}

fn protocol_of(address: IpAddr) -> u16 {
    if address.is_ipv4() { IPV4 } else { IPV6 }
}

/// The longest headers of IPv4 and TCP; IPv6's is shorter.
const LONGEST_HEADERS: usize = 60 + 60;

/// A packet socket in which the kernel keeps the TCP SYNs to one address that pass an interface on their way to another
/// host's MAC, until they are read. What finds no more room is dropped.
#[derive(Debug)]
pub struct SynKeeper(PacketSocket);

impl SynKeeper {
    /// Opens it, for SYNs to `address` at `mac`; they are kept from now on. An interface that takes in only what is for itself is
    /// told to take in what is for `mac` too, until the keeper is dropped (`PACKET_MR_UNICAST`, packet(7)). `room` is in
    /// bytes of the kernel's own counting: at least 512 a frame.
    ///
    /// To drop it takes the kernel some milliseconds, in which the thread waits.
    pub fn open(interface: &str, address: IpAddr, mac: Mac, room: usize) -> Result<Self, PacketSocketError> {
        let prepare = |socket: &Socket| {
            // The kernel doubles it (socket(7)).
            socket.set_recv_buffer_size(room / 2)?;
            socket.attach_filter(&asks_another(address, mac))
        };
        let socket = PacketSocket::open(interface, protocol_of(address), prepare)?;
        let failed =
            |source| PacketSocketError::new(interface, "opening the interface for another's MAC", source);
        socket.take_in_frames_for(mac).map_err(failed)?;
        Ok(Self(socket))
    }

    /// Gives the oldest packet, from its IP header on, cut off after the longest headers; nothing where there is none.
    ///
    /// # Errors
    /// The socket is of no use any more.
    pub fn read<T>(&self, with: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, PacketSocketError> {
        let mut buffer = [0; ETHERNET_HEADER + LONGEST_HEADERS];
        match self.0.read(&mut buffer) {
            Ok(length) => Ok(Some(with(buffer.get(ETHERNET_HEADER..length).unwrap_or_default()))),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(source) => Err(PacketSocketError::new(self.0.interface(), "receiving clients' SYNs", source)),
        }
    }
}
