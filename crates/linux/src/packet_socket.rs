//! Packet sockets (packet(7)): frames in and out of one network interface. Needs `CAP_NET_RAW`. What is said over them is in
//! `neighbor_socket.rs` and `packet_keeper.rs`.
//!
//! With `unsafe`: `sockaddr_ll` has no safe type that both builds and reads it on every kernel (that of
//! `nix` refuses the shorter form which kernels before 5.1 give), and two socket options have no safe function.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wire::Mac;

/// `ARPHRD_ETHER`: the only kind of interface that frames with Ethernet headers fit.
const HARDWARE_ETHERNET: u16 = libc::ARPHRD_ETHER;

/// `ETH_P_IP`, in the machine's byte order.
#[allow(clippy::cast_possible_truncation, reason = "0x0800")]
pub(crate) const IPV4: u16 = libc::ETH_P_IP as u16;

/// `ETH_P_IPV6`, in the machine's byte order.
#[allow(clippy::cast_possible_truncation, reason = "0x86dd")]
pub(crate) const IPV6: u16 = libc::ETH_P_IPV6 as u16;

/// `ETH_P_ARP`, in the machine's byte order.
#[allow(clippy::cast_possible_truncation, reason = "0x0806")]
pub(crate) const ARP: u16 = libc::ETH_P_ARP as u16;

/// What went wrong with an interface's packet socket.
#[derive(Debug, thiserror::Error)]
pub enum PacketSocketError {
    /// The interface is not there.
    #[error(
        "there is no network interface {interface}; see `ip link` for the interfaces, and the members table for this name"
    )]
    NoSuchInterface {
        /// Its name.
        interface: String,
    },
    /// The interface is administratively down.
    #[error("network interface {interface} is down; bring it up with `ip link set {interface} up`")]
    Down {
        /// Its name.
        interface: String,
    },
    /// The interface has no Ethernet addresses.
    #[error(
        "network interface {interface} is not Ethernet (hardware type {hardware_type}); ARP needs an Ethernet interface"
    )]
    NotEthernet {
        /// Its name.
        interface: String,
        /// `ARPHRD_…` of `linux/if_arp.h`.
        hardware_type: u16,
    },
    /// The interface's MAC or index is no longer the one that the socket was opened with: open a new one.
    #[error(
        "network interface {interface} has changed (a new hardware address, or a new interface of the same name)"
    )]
    Changed {
        /// Its name.
        interface: String,
    },
    /// `CAP_NET_RAW` is missing.
    #[error(
        "not allowed to open a packet socket on {interface}: run as root, or with the capability CAP_NET_RAW"
    )]
    NotAllowed {
        /// Its name.
        interface: String,
        /// EPERM or EACCES.
        source: io::Error,
    },
    /// Anything else that the kernel said.
    #[error("{doing} on network interface {interface}: {source}")]
    Failed {
        /// Its name.
        interface: String,
        /// What was being done.
        doing: &'static str,
        /// The kernel's word.
        source: io::Error,
    },
}

impl PacketSocketError {
    pub(crate) fn new(interface: &str, doing: &'static str, source: io::Error) -> Self {
        let interface = interface.to_owned();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENETDOWN) => Self::Down { interface },
            Some(Errno::ENODEV | Errno::ENXIO) => Self::NoSuchInterface { interface },
            Some(Errno::EPERM | Errno::EACCES) => Self::NotAllowed { interface, source },
            _ => Self::Failed { interface, doing, source },
        }
    }
}

/// A packet socket that is bound to one interface. It never blocks.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    socket: Socket,
    interface: String,
    index: i32,
    mac: Mac,
}

/// A frame as it was received.
pub(crate) struct Arrived<const LENGTH: usize> {
    /// Its beginning.
    pub(crate) bytes: [u8; LENGTH],
    /// How many of them the frame has.
    pub(crate) length: usize,
    /// `PACKET_HOST`, `PACKET_BROADCAST` … (packet(7)), where the kernel tells it.
    pub(crate) packet_type: Option<u8>,
    /// When the kernel received it, in microseconds of the wall clock, where the kernel tells it.
    pub(crate) wall_time: Option<i64>,
}

impl PacketSocket {
    /// Opens it, for frames of this protocol: `ARP`, `IPV4`, `IPV6`, or 0, which receives nothing. `prepare` comes before anything
    /// is received.
    pub(crate) fn open(
        interface: &str,
        protocol: u16,
        prepare: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> Result<Self, PacketSocketError> {
        let failed = |doing| move |source| PacketSocketError::new(interface, doing, source);
        let index = interface_index(interface)?;
        // Protocol 0 until it is bound, so that no frame of another interface slips in before.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), Some(Protocol::from(0)))
            .map_err(failed("opening a packet socket"))?;
        prepare(&socket).map_err(failed("preparing a packet socket"))?;
        socket.bind(&link_address(index, protocol)).map_err(failed("binding a packet socket"))?;
        // Binding to an interface that is down succeeds, and leaves this error behind.
        if let Some(source) = socket.take_error().map_err(failed("reading a packet socket's state"))? {
            return Err(PacketSocketError::new(interface, "binding a packet socket", source));
        }
        let bound = bound_to(&socket).map_err(failed("reading the interface's address"))?;
        if bound.index != index {
            return Err(PacketSocketError::Changed { interface: interface.to_owned() });
        }
        if bound.hardware_type != HARDWARE_ETHERNET {
            return Err(PacketSocketError::NotEthernet {
                interface: interface.to_owned(),
                hardware_type: bound.hardware_type,
            });
        }
        Ok(Self { socket, interface: interface.to_owned(), index, mac: bound.mac })
    }

    /// The interface's name.
    pub(crate) fn interface(&self) -> &str {
        &self.interface
    }

    /// The interface's index, as it was when the socket was opened.
    pub(crate) fn index(&self) -> u32 {
        self.index.cast_unsigned()
    }

    /// The interface's hardware address, as it was when the socket was opened.
    pub(crate) fn mac(&self) -> Mac {
        self.mac
    }

    /// Whether the interface is still the one that the socket was opened on, with the same MAC; `Changed` where not.
    pub(crate) fn check(&self) -> Result<(), PacketSocketError> {
        let bound = bound_to(&self.socket).map_err(|source| {
            PacketSocketError::new(&self.interface, "reading the interface's address", source)
        })?;
        if interface_index(&self.interface)? == self.index
            && bound.index == self.index
            && bound.mac == self.mac
        {
            Ok(())
        } else {
            Err(PacketSocketError::Changed { interface: self.interface.clone() })
        }
    }

    /// Sends a frame, Ethernet header and all, as one of this protocol.
    pub(crate) fn send_as(&self, protocol: u16, frame: &[u8]) -> io::Result<()> {
        self.socket.send_to(frame, &link_address(self.index, protocol)).map(|_| ())
    }

    /// Sends a frame as one of the protocol that the socket was opened for.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(|_| ())
    }

    /// Reads the next frame, or its beginning, and gives how many bytes that is.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &self.socket, buffer)
    }

    /// Reads the next frame, or its beginning, with what the kernel says about it.
    pub(crate) fn receive<const LENGTH: usize>(&self) -> io::Result<Arrived<LENGTH>> {
        let mut buffer = [MaybeUninit::new(0); LENGTH];
        let (length, from) = self.socket.recv_from(&mut buffer)?;
        // SAFETY: every byte was initialised above, and the kernel only overwrites; and a MaybeUninit is laid out as what it holds.
        let bytes = unsafe { std::mem::transmute_copy::<[MaybeUninit<u8>; LENGTH], [u8; LENGTH]>(&buffer) };
        let packet_type = read_link_address(&from).map(|address| address.sll_pkttype);
        Ok(Arrived { bytes, length, packet_type, wall_time: self.last_received_at() })
    }

    /// When the kernel received the frame that was read last. The first question tells nothing: from it on, it is noted.
    pub(crate) fn last_received_at(&self) -> Option<i64> {
        /// `SIOCGSTAMPNS` of linux/sockios.h, which takes a `timespec`.
        const LAST_STAMP: libc::Ioctl = 0x8907;
        let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the descriptor is open, and the value is a whole timespec that lives through the call.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), LAST_STAMP, &raw mut at) };
        (result == 0).then_some(at.tv_sec * 1_000_000 + at.tv_nsec / 1000)
    }

    /// Watched by tokio's reactor; within a runtime with IO.
    pub(crate) fn watched(self) -> Result<AsyncFd<Self>, PacketSocketError> {
        let interface = self.interface.clone();
        // SAFETY: the descriptor is the socket's own, which the PacketSocket owns, never closes and never replaces
        // before it is dropped itself.
        unsafe { AsyncFd::register_with_interest(self, Interest::READABLE | Interest::ERROR) }
            .map_err(|error| PacketSocketError::new(&interface, "watching a packet socket", error.into()))
    }

    /// An interface that takes in only what is for itself takes in what is for `mac` too, as long as this socket is open
    /// (`PACKET_MR_UNICAST`, packet(7)).
    #[allow(clippy::cast_possible_truncation, reason = "a MAC has 6 bytes, and the struct 16")]
    pub(crate) fn take_in_frames_for(&self, mac: Mac) -> io::Result<()> {
        let mut address = [0; 8];
        address[..6].copy_from_slice(&mac.0);
        let request = libc::packet_mreq {
            mr_ifindex: self.index,
            mr_type: libc::PACKET_MR_UNICAST as libc::c_ushort,
            mr_alen: 6,
            mr_address: address,
        };
        // SAFETY: the descriptor is open, and the value is a whole packet_mreq that lives through the call, of the length
        // that is given.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const request).cast(),
                size_of_val(&request) as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Frames come with, and are sent with, their `virtio_net_hdr`.
#[allow(clippy::cast_possible_truncation, reason = "an int has 4 bytes")]
pub(crate) fn keep_offload_header(socket: &Socket) -> io::Result<()> {
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

fn interface_index(interface: &str) -> Result<i32, PacketSocketError> {
    let index = if_nametoindex(interface).map_err(|errno| {
        PacketSocketError::new(
            interface,
            "looking the interface up",
            io::Error::from_raw_os_error(errno as i32),
        )
    })?;
    i32::try_from(index).map_err(|_| PacketSocketError::NoSuchInterface { interface: interface.to_owned() })
}

/// An interface as the kernel shows it through a socket that is bound to it, now.
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
