//! Questions and orders to the kernel's routing socket (netlink, RFC 3549): each is answered whole, or it is an error.
//!
//! The crates below this give up a stream of answers when their socket fails, and a dump cut short then looks like
//! a dump that is complete: addresses would seem to have gone. So the kernel's own end mark is waited for here.
//!
//! The socket that asks never subscribes to notifications. A notification carries the sequence number of whoever
//! caused it, and could be taken for the answer to a question with the same number. [`Ipv6News`] has a socket of its own.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_proto::ConnectionHandle;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket as _, SocketAddr};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::route_message::{Link, RouteMessage};

/// How often a dump is begun anew when the kernel says that things changed under it.
const DUMP_ATTEMPTS: u32 = 8;

/// Addresses that came, and that nobody who waits has looked at yet.
const KEPT_NEWS: usize = 64;

/// Why the kernel's answer is missing.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket could not be opened.
    #[error("cannot open a netlink socket: {0}")]
    Open(#[source] io::Error),
    /// The kernel says no.
    #[error("{0}")]
    Refused(#[source] io::Error),
    /// The socket failed before the answer was whole.
    #[error("the netlink socket failed before the kernel's answer was whole")]
    Cut,
    /// Addresses or interfaces kept changing while they were read.
    #[error("addresses or interfaces kept changing while they were read")]
    Unsteady,
}

impl NetlinkError {
    /// The kernel's error number, where it is the kernel that says no.
    pub fn number(&self) -> Option<nix::errno::Errno> {
        match self {
            Self::Refused(source) => source.raw_os_error().map(nix::errno::Errno::from_raw),
            _ => None,
        }
    }
}

/// A socket for questions and orders; a clone shares it.
#[derive(Clone, Debug)]
pub struct RouteSocket(ConnectionHandle<RouteMessage>);

impl RouteSocket {
    /// Opens one, in the network namespace of the calling thread. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// Out of descriptors, or no netlink in this kernel.
    pub fn open() -> Result<Self, NetlinkError> {
        let (mut connection, handle, _unsolicited) =
            netlink_proto::new_connection(NETLINK_ROUTE).map_err(NetlinkError::Open)?;
        connection.set_forward_done(true);
        connection.set_forward_ack(true);
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// Every interface.
    pub async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let answers = self.dump(&RouteMessage::GetLinks).await?;
        Ok(answers.into_iter().filter_map(link_in).collect())
    }

    /// Every address of every interface.
    pub async fn addresses(&self) -> Result<Vec<AddressMessage>, NetlinkError> {
        let answers = self.dump(&RouteMessage::GetAddresses).await?;
        Ok(answers
            .into_iter()
            .filter_map(
                |answer| if let RouteMessage::NewAddress(address) = answer { Some(address) } else { None },
            )
            .collect())
    }

    /// The interface of this name.
    ///
    /// # Errors
    /// `ENODEV`: there is none.
    pub async fn link(&self, name: &str) -> Result<Link, NetlinkError> {
        let answers = self.ask(RouteMessage::GetLink(name.to_owned()), 0).await?;
        answers.into_iter().find_map(link_in).ok_or(NetlinkError::Cut)
    }

    /// Gives an order, and waits until the kernel has carried it out. `flags` come on top of request and ack.
    pub async fn order(&self, message: RouteMessage, flags: u16) -> Result<(), NetlinkError> {
        self.ask(message, flags).await.map(|_| ())
    }

    async fn dump(&self, message: &RouteMessage) -> Result<Vec<RouteMessage>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            match self.ask(message.clone(), NLM_F_DUMP).await {
                Err(NetlinkError::Unsteady) => {}
                other => return other,
            }
        }
        Err(NetlinkError::Unsteady)
    }

    async fn ask(&self, message: RouteMessage, flags: u16) -> Result<Vec<RouteMessage>, NetlinkError> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut stream = self.0.request(request, SocketAddr::new(0, 0)).map_err(|_| NetlinkError::Cut)?;
        let mut answers = Vec::new();
        let mut unsteady = false;
        while let Some(reply) = stream.next().await {
            unsteady |= reply.header.flags & NLM_F_DUMP_INTR != 0;
            match reply.payload {
                NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    return Err(NetlinkError::Refused(error.to_io()));
                }
                NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => {
                    return if unsteady { Err(NetlinkError::Unsteady) } else { Ok(answers) };
                }
                _ => {}
            }
        }
        Err(NetlinkError::Cut)
    }
}

fn link_in(answer: RouteMessage) -> Option<Link> {
    if let RouteMessage::NewLink(link) = answer { Some(link) } else { None }
}

/// What the kernel tells of unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Interfaces.
    Links = 1,
    /// IPv4 addresses.
    Ipv4Addresses = 5,
    /// IPv6 addresses.
    Ipv6Addresses = 9,
}

/// What the kernel tells unasked. Notifications that were lost are told of as `Overrun`.
pub struct Notifications {
    told: BoxStream<'static, NetlinkPayload<RouteMessage>>,
    /// Moves them from the socket into the stream; ends with this struct.
    _pump: JoinSet<()>,
}

/// Opens a socket on which the kernel tells of these, in the network namespace of the calling thread. To be called inside a tokio runtime.
///
/// # Errors
/// Out of descriptors, or no netlink in this kernel.
pub fn notifications(topics: &[Topic]) -> io::Result<Notifications> {
    let (mut connection, _, messages) = netlink_proto::new_connection(NETLINK_ROUTE)?;
    // `RTNLGRP_…` of linux/rtnetlink.h, which count from 1, as bits.
    let groups = topics.iter().fold(0, |groups, topic| groups | 1 << (*topic as u32 - 1));
    connection.socket_mut().socket_mut().bind(&SocketAddr::new(0, groups))?;
    let mut pump = JoinSet::new();
    pump.spawn(connection);
    Ok(Notifications { told: messages.map(|(message, _)| message.payload).boxed(), _pump: pump })
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").finish_non_exhaustive()
    }
}

impl Notifications {
    /// The next one; none: the socket failed.
    pub async fn next(&mut self) -> Option<NetlinkPayload<RouteMessage>> {
        self.told.next().await
    }
}

/// What the kernel tells of IPv6 addresses that come.
///
/// Where an IPv6 address is added, the kernel says "done" before it is there: its route, without which no packet is taken for it, comes from
/// the kernel's work queue, and this with it. A thread of real-time priority that goes on at once holds that work up, for it is done on the
/// same processor; one that waits for this does not. Seen with Linux 6.18, `nodad` too.
#[derive(Clone, Debug)]
pub struct Ipv6News {
    tell: broadcast::Sender<(u32, IpAddr)>,
    /// Reads the socket; ends, and closes it, with the last clone.
    _pump: Arc<JoinSet<()>>,
}

/// What came since it was asked for.
#[derive(Debug)]
pub struct Ipv6Came(broadcast::Receiver<(u32, IpAddr)>);

impl Ipv6News {
    /// Opens the socket, in the network namespace of the calling thread. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// Out of descriptors, or no netlink in this kernel.
    pub fn open() -> Result<Self, NetlinkError> {
        let mut news = notifications(&[Topic::Ipv6Addresses]).map_err(NetlinkError::Open)?;
        let (tell, _) = broadcast::channel(KEPT_NEWS);
        let mut pump = JoinSet::new();
        let teller = tell.clone();
        pump.spawn(async move {
            while let Some(message) = news.next().await {
                if let NetlinkPayload::InnerMessage(RouteMessage::NewAddress(came)) = message
                    && let Some(address) = own_address(&came)
                {
                    // Nobody may be waiting.
                    let _ = teller.send((came.header.index, address));
                }
            }
        });
        Ok(Self { tell, _pump: Arc::new(pump) })
    }

    /// From now on.
    pub fn listen(&self) -> Ipv6Came {
        Ipv6Came(self.tell.subscribe())
    }
}

impl Ipv6Came {
    /// Waits until this address has come on this interface. Gives whether it has: it is not known where more came than is kept, or the
    /// socket failed.
    pub async fn wait_for(mut self, index: u32, address: IpAddr) -> bool {
        loop {
            match self.0.recv().await {
                Ok(came) if came == (index, address) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

/// The host's own address in a message about one: `IFA_LOCAL` where the kernel gives it (on a point-to-point interface
/// `IFA_ADDRESS` is the other end's), else `IFA_ADDRESS`.
pub fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let find = |local: bool| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) if local => Some(*address),
            AddressAttribute::Address(address) if !local => Some(*address),
            _ => None,
        })
    };
    find(true).or_else(|| find(false))
}
