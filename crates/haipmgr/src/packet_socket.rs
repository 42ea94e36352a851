//! ARP frames in and out of one network card, and the frames of one IPv4 address passed on to another host, through
//! packet sockets (packet(7)). Needs `CAP_NET_RAW`.
//!
//! The one module with `unsafe`: `sockaddr_ll` has no safe type that both builds and reads it on every kernel (that of
//! `nix` refuses the shorter form which kernels before 5.1 give).

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, RawFd};

use decide::event::Mac;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::packet_filter::{ETHERNET_HEADER, arrived_for, asks_another};
use crate::wire::arp::{ArpFrame, FRAME_LENGTH};

/// `ARPHRD_ETHER`: the only kind of card that ARP frames of this kind fit.
const HARDWARE_ETHERNET: u16 = libc::ARPHRD_ETHER;

/// Bytes asked for; the kernel gives less where `net.core.rmem_max` is less. Some hundreds of frames fit: a burst that
/// comes while the agent is busy is kept, a flood is dropped.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// What went wrong with a card's packet socket.
#[derive(Debug, thiserror::Error)]
pub enum PacketSocketError {
    /// The card is not there.
    #[error(
        "there is no network card {card}; see `ip link` for the cards, and the members table for this name"
    )]
    NoSuchCard {
        /// Its name.
        card: String,
    },
    /// The card is administratively down.
    #[error("network card {card} is down; bring it up with `ip link set {card} up`")]
    Down {
        /// Its name.
        card: String,
    },
    /// The card has no Ethernet addresses.
    #[error(
        "network card {card} is not Ethernet (hardware type {hardware_type}); ARP needs an Ethernet card"
    )]
    NotEthernet {
        /// Its name.
        card: String,
        /// `ARPHRD_…` of `linux/if_arp.h`.
        hardware_type: u16,
    },
    /// The card's MAC or index is no longer the one that the socket was opened with: open a new one.
    #[error("network card {card} has changed (a new hardware address, or a new card of the same name)")]
    Changed {
        /// Its name.
        card: String,
    },
    /// `CAP_NET_RAW` is missing.
    #[error("not allowed to open a packet socket on {card}: run as root, or with the capability CAP_NET_RAW")]
    NotAllowed {
        /// Its name.
        card: String,
        /// EPERM or EACCES.
        source: io::Error,
    },
    /// Anything else that the kernel said.
    #[error("{doing} on network card {card}: {source}")]
    Failed {
        /// Its name.
        card: String,
        /// What was being done.
        doing: &'static str,
        /// The kernel's word.
        source: io::Error,
    },
}

impl PacketSocketError {
    fn new(card: &str, doing: &'static str, source: io::Error) -> Self {
        let card = card.to_owned();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENETDOWN) => Self::Down { card },
            Some(Errno::ENODEV | Errno::ENXIO) => Self::NoSuchCard { card },
            Some(Errno::EPERM | Errno::EACCES) => Self::NotAllowed { card, source },
            _ => Self::Failed { card, doing, source },
        }
    }
}

/// A packet socket that sends ARP frames from one card. It never blocks.
#[derive(Debug)]
pub struct PacketSocket {
    socket: Socket,
    card: String,
    index: i32,
    mac: Mac,
    destination: SockAddr,
}

impl PacketSocket {
    /// Opens a socket that only sends: it receives nothing, so that nothing piles up in it.
    pub fn to_send(card: &str) -> Result<Self, PacketSocketError> {
        Self::open(card, 0, |_| Ok(()))
    }

    /// `protocol` 0 receives nothing.
    fn open(
        card: &str,
        protocol: u16,
        prepare: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> Result<Self, PacketSocketError> {
        let failed = |doing| move |source| PacketSocketError::new(card, doing, source);
        let index = card_index(card)?;
        // Protocol 0 until it is bound, so that no frame of another card slips in before.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), Some(Protocol::from(0)))
            .map_err(failed("opening a packet socket"))?;
        prepare(&socket).map_err(failed("preparing a packet socket"))?;
        socket.bind(&link_address(index, protocol)).map_err(failed("binding a packet socket"))?;
        // Binding to a card that is down succeeds, and leaves this error behind.
        if let Some(source) = socket.take_error().map_err(failed("reading a packet socket's state"))? {
            return Err(PacketSocketError::new(card, "binding a packet socket", source));
        }
        let bound = bound_to(&socket).map_err(failed("reading the card's address"))?;
        if bound.index != index {
            return Err(PacketSocketError::Changed { card: card.to_owned() });
        }
        if bound.hardware_type != HARDWARE_ETHERNET {
            return Err(PacketSocketError::NotEthernet {
                card: card.to_owned(),
                hardware_type: bound.hardware_type,
            });
        }
        let destination = link_address(index, ARP);
        Ok(Self { socket, card: card.to_owned(), index, mac: bound.mac, destination })
    }

    /// The card's hardware address, as it was when the socket was opened.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Whether the card is still the one that the socket was opened on, with the same MAC; `Changed` where not.
    pub fn check(&self) -> Result<(), PacketSocketError> {
        let bound = bound_to(&self.socket)
            .map_err(|source| PacketSocketError::new(&self.card, "reading the card's address", source))?;
        if card_index(&self.card)? == self.index && bound.index == self.index && bound.mac == self.mac {
            Ok(())
        } else {
            Err(PacketSocketError::Changed { card: self.card.clone() })
        }
    }

    /// Sends one frame now. The card is checked before, so that no frame bears a MAC which is not the card's.
    pub fn send(&self, frame: &ArpFrame) -> Result<(), PacketSocketError> {
        self.check()?;
        self.socket
            .send_to(&frame.encode(), &self.destination)
            .map(|_| ())
            .map_err(|source| PacketSocketError::new(&self.card, "sending an ARP frame", source))
    }

    /// The next frame, or nothing where it is one to be dropped.
    fn receive(&self) -> io::Result<Option<Received>> {
        let mut buffer = [MaybeUninit::new(0); FRAME_LENGTH];
        let (length, from) = self.socket.recv_from(&mut buffer)?;
        // SAFETY: every byte was initialised above, and the kernel only overwrites.
        let bytes = buffer.map(|byte| unsafe { byte.assume_init() });
        let Some(address) = read_link_address(&from) else { return Ok(None) };
        let to_us_alone = match address.sll_pkttype {
            libc::PACKET_HOST => true,
            libc::PACKET_BROADCAST | libc::PACKET_MULTICAST => false,
            // PACKET_OUTGOING is our own; PACKET_OTHERHOST belongs to another host or to a VLAN that we are not on.
            _ => return Ok(None),
        };
        let Some(Ok(frame)) = bytes.get(..length).map(ArpFrame::decode) else { return Ok(None) };
        Ok((frame.sender_mac != self.mac).then_some(Received { frame, to_us_alone }))
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// An ARP frame of another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The frame.
    pub frame: ArpFrame,
    /// Sent to this card's own MAC, not to everybody.
    pub to_us_alone: bool,
}

/// A packet socket that hears the ARP frames which arrive at one card, and sends too.
#[derive(Debug)]
pub struct PacketListener(AsyncFd<PacketSocket>);

impl PacketListener {
    /// Opens it; within a tokio runtime with IO.
    pub fn open(card: &str) -> Result<Self, PacketSocketError> {
        let socket = PacketSocket::open(card, ARP, |socket| socket.set_recv_buffer_size(RECEIVE_BUFFER))?;
        watched(socket).map(Self)
    }

    /// To send from, and to check.
    pub fn socket(&self) -> &PacketSocket {
        self.0.get_ref()
    }

    /// The next ARP frame of another host that is for us or for everybody. Frames that this host sent, frames for
    /// others and what is not ARP for IPv4 over Ethernet are dropped. An error means that the socket is to be opened
    /// anew. Cancelling it loses no frame.
    pub async fn receive(&self) -> Result<Received, PacketSocketError> {
        let failed = |source| PacketSocketError::new(&self.socket().card, "receiving ARP frames", source);
        loop {
            let mut ready = self.0.ready(Interest::READABLE | Interest::ERROR).await.map_err(failed)?;
            match ready.try_io(|socket| socket.get_ref().receive()) {
                Ok(Ok(Some(received))) => return Ok(received),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(failed(error)),
            }
        }
    }
}

fn watched(socket: PacketSocket) -> Result<AsyncFd<PacketSocket>, PacketSocketError> {
    let card = socket.card.clone();
    // SAFETY: the descriptor is the socket's own, which the PacketSocket owns, never closes and never replaces
    // before it is dropped itself.
    unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE | Interest::ERROR) }
        .map_err(|error| PacketSocketError::new(&card, "watching a packet socket", error.into()))
}

/// `struct virtio_net_hdr` of `linux/virtio_net.h`, which stands before each frame under `PACKET_VNET_HDR`.
const OFFLOAD_HEADER: usize = 10;
/// The kernel joins segments into one frame of at most this, and its headers.
const LARGEST_JOINED: usize = 64 * 1024;

/// A packet socket in which the kernel keeps, in order, the frames that arrive at a card's own MAC with an IPv4 packet
/// to one address, until they are passed on. What finds no more room is dropped.
///
/// Each frame comes with what the card has left undone or has done ahead (`PACKET_VNET_HDR`): checksums that a virtual
/// machine's neighbour has not filled in, segments that were joined. It is sent with the same, so that the kernel fills
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
    pub fn open(card: &str, destination: Ipv4Addr, room: usize) -> Result<Self, PacketSocketError> {
        let prepare = |socket: &Socket| {
            // The kernel doubles it (socket(7)).
            socket.set_recv_buffer_size(room / 2)?;
            keep_offload_header(socket)?;
            socket.attach_filter(&arrived_for(destination))
        };
        watched(PacketSocket::open(card, IPV4, prepare)?).map(Self)
    }

    /// The card's hardware address.
    pub fn mac(&self) -> Mac {
        self.0.get_ref().mac
    }

    /// Passes the oldest frame on to this MAC, with the card's own as sender: with the client's, switches would look for
    /// the client here. The packet in it is not touched. A frame that this host or the new holder sent is dropped: it would
    /// go round in circles, or come back to its own sender.
    ///
    /// # Errors
    /// The socket is of no use any more.
    pub fn pass_on_one(&self, to: Mac) -> Result<PassedOn, PacketSocketError> {
        let PacketSocket { socket, card, mac, .. } = self.0.get_ref();
        let mut buffer = vec![0; OFFLOAD_HEADER + ETHERNET_HEADER + LARGEST_JOINED];
        // Reads into initialised bytes, and says how many it has overwritten.
        let length = match io::Read::read(&mut &*socket, &mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(PassedOn::NoneLeft),
            // EINVAL: the frame was joined in a way that the header can't tell.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EINVAL)) => {
                return Ok(PassedOn::Dropped);
            }
            Err(source) => return Err(PacketSocketError::new(card, "receiving frames to pass on", source)),
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
        // Bound as it is, it sends from its card. Full queues and frames that don't fit pass; TCP sends again.
        let sent = buffer.get(..length).map(|all| socket.send(all));
        Ok(if matches!(sent, Some(Ok(_))) { PassedOn::Yes } else { PassedOn::Dropped })
    }

    /// Waits until there may be a frame to pass on.
    pub async fn ready(&self) -> Result<(), PacketSocketError> {
        let failed =
            |source| PacketSocketError::new(&self.0.get_ref().card, "receiving frames to pass on", source);
        self.0.ready(Interest::READABLE | Interest::ERROR).await.map_err(failed)?.clear_ready();
        Ok(())
    }
}

/// The longest headers of IPv4 and TCP.
const LONGEST_HEADERS: usize = 60 + 60;

/// A packet socket in which the kernel keeps the TCP SYNs to one IPv4 address that pass a card on their way to another
/// host's MAC, until they are read. What finds no more room is dropped.
#[derive(Debug)]
pub struct SynKeeper(PacketSocket);

impl SynKeeper {
    /// Opens it, for SYNs to `address` at `mac`; they are kept from now on. A card that takes in only what is for itself is
    /// told to take in what is for `mac` too, until the keeper is dropped (`PACKET_MR_UNICAST`, packet(7)). `room` is in
    /// bytes of the kernel's own counting: at least 512 a frame.
    ///
    /// To drop it takes the kernel some milliseconds, in which the thread waits.
    pub fn open(card: &str, address: Ipv4Addr, mac: Mac, room: usize) -> Result<Self, PacketSocketError> {
        let prepare = |socket: &Socket| {
            // The kernel doubles it (socket(7)).
            socket.set_recv_buffer_size(room / 2)?;
            socket.attach_filter(&asks_another(address, mac))
        };
        let socket = PacketSocket::open(card, IPV4, prepare)?;
        let failed = |source| PacketSocketError::new(card, "opening the card for another's MAC", source);
        take_in_frames_for(&socket.socket, socket.index, mac).map_err(failed)?;
        Ok(Self(socket))
    }

    /// Gives the oldest packet, from its IPv4 header on, cut off after the longest headers; nothing where there is none.
    ///
    /// # Errors
    /// The socket is of no use any more.
    pub fn read<T>(&self, with: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, PacketSocketError> {
        let mut buffer = [0; ETHERNET_HEADER + LONGEST_HEADERS];
        match io::Read::read(&mut &self.0.socket, &mut buffer) {
            Ok(length) => Ok(Some(with(buffer.get(ETHERNET_HEADER..length).unwrap_or_default()))),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(source) => Err(PacketSocketError::new(&self.0.card, "receiving clients' SYNs", source)),
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a MAC has 6 bytes, and the struct 16")]
fn take_in_frames_for(socket: &Socket, index: i32, mac: Mac) -> io::Result<()> {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&mac.0);
    let request = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_UNICAST as libc::c_ushort,
        mr_alen: 6,
        mr_address: address,
    };
    // SAFETY: the descriptor is open, and the value is a whole packet_mreq that lives through the call, of the length
    // that is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const request).cast(),
            size_of_val(&request) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Frames come with, and are sent with, their `virtio_net_hdr`.
#[allow(clippy::cast_possible_truncation, reason = "an int has 4 bytes")]
fn keep_offload_header(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, and the value is an int that lives through the call, of the length that is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_VNET_HDR,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `ETH_P_IP`, in the machine's byte order.
#[allow(clippy::cast_possible_truncation, reason = "0x0800")]
const IPV4: u16 = libc::ETH_P_IP as u16;

/// `ETH_P_ARP`, in the machine's byte order.
#[allow(clippy::cast_possible_truncation, reason = "0x0806")]
const ARP: u16 = libc::ETH_P_ARP as u16;

fn card_index(card: &str) -> Result<i32, PacketSocketError> {
    let index = if_nametoindex(card).map_err(|errno| {
        PacketSocketError::new(card, "looking the card up", io::Error::from_raw_os_error(errno as i32))
    })?;
    i32::try_from(index).map_err(|_| PacketSocketError::NoSuchCard { card: card.to_owned() })
}

/// A card as the kernel shows it through a socket that is bound to it, now.
struct Bound {
    index: i32,
    hardware_type: u16,
    mac: Mac,
}

fn bound_to(socket: &Socket) -> io::Result<Bound> {
    let address = socket.local_addr()?;
    let link = read_link_address(&address).ok_or(io::ErrorKind::InvalidData)?;
    let (mac, _) = link.sll_addr.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
    Ok(Bound { index: link.sll_ifindex, hardware_type: link.sll_hatype, mac: Mac(*mac) })
}

#[allow(clippy::cast_possible_truncation, reason = "AF_PACKET is 17, and a sockaddr_ll has 20 bytes")]
fn link_address(index: i32, protocol: u16) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_storage is made to hold, and is aligned for, every sockaddr of the system; sockaddr_ll is plain
    // integers, for which zeroed bytes are valid.
    let link: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    link.sll_family = libc::AF_PACKET as libc::sa_family_t;
    link.sll_protocol = protocol.to_be();
    link.sll_ifindex = index;
    // SAFETY: the storage has just been filled in as the sockaddr_ll that its family says, of this length.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

fn read_link_address(address: &SockAddr) -> Option<libc::sockaddr_ll> {
    if i32::from(address.family()) != libc::AF_PACKET {
        return None;
    }
    // SAFETY: the family says sockaddr_ll, which fits into the storage and its alignment; socket2 zeroes the storage
    // before the kernel fills it in, so that bytes which the kernel left out are initialised too.
    Some(unsafe { *address.as_ptr().cast::<libc::sockaddr_ll>() })
}
