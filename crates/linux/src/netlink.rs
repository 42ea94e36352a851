//! Questions and orders to the kernel's routing socket (netlink, RFC 3549): each is answered whole, or it is an error.
//!
//! The crates below this give up a stream of answers when their socket fails, and a dump cut short then looks like
//! a dump that is complete: addresses would seem to have gone. So the kernel's own end mark is waited for here.
//!
//! The socket that asks never subscribes to notifications. A notification carries the sequence number of whoever
//! caused it, and could be taken for the answer to a question with the same number. [`Ipv6News`] has a socket of its own.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::StreamExt as _;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

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
pub struct RouteSocket(Handle);

impl RouteSocket {
    /// Opens one, in the network namespace of the calling thread. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// Out of descriptors, or no netlink in this kernel.
    pub fn open() -> Result<Self, NetlinkError> {
        let (mut connection, handle, _unsolicited) =
            rtnetlink::new_connection().map_err(NetlinkError::Open)?;
        connection.set_forward_done(true);
        connection.set_forward_ack(true);
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// Every interface.
    pub async fn links(&self) -> Result<Vec<LinkMessage>, NetlinkError> {
        let mut question = LinkMessage::default();
        question.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let answers = self.dump(&RouteNetlinkMessage::GetLink(question)).await?;
        Ok(answers
            .into_iter()
            .filter_map(
                |answer| if let RouteNetlinkMessage::NewLink(link) = answer { Some(link) } else { None },
            )
            .collect())
    }

    /// Every address of every interface.
    pub async fn addresses(&self) -> Result<Vec<AddressMessage>, NetlinkError> {
        let answers = self.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default())).await?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| {
                if let RouteNetlinkMessage::NewAddress(address) = answer { Some(address) } else { None }
            })
            .collect())
    }

    /// The interface of this name.
    ///
    /// # Errors
    /// `ENODEV`: there is none.
    pub async fn link(&self, name: &str) -> Result<LinkMessage, NetlinkError> {
        let mut question = LinkMessage::default();
        question.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let answers = self.ask(RouteNetlinkMessage::GetLink(question), 0).await?;
        answers
            .into_iter()
            .find_map(
                |answer| if let RouteNetlinkMessage::NewLink(link) = answer { Some(link) } else { None },
            )
            .ok_or(NetlinkError::Cut)
    }

    /// Gives an order, and waits until the kernel has carried it out. `flags` come on top of request and ack.
    pub async fn order(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), NetlinkError> {
        self.ask(message, flags).await.map(|_| ())
    }

    async fn dump(&self, message: &RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            match self.ask(message.clone(), NLM_F_DUMP).await {
                Err(NetlinkError::Unsteady) => {}
                other => return other,
            }
        }
        Err(NetlinkError::Unsteady)
    }

    async fn ask(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut stream = self.0.clone().request(request).map_err(|_| NetlinkError::Cut)?;
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
        let (connection, _, mut messages) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Ipv6Ifaddr]).map_err(NetlinkError::Open)?;
        let (tell, _) = broadcast::channel(KEPT_NEWS);
        let mut pump = JoinSet::new();
        pump.spawn(connection);
        let teller = tell.clone();
        pump.spawn(async move {
            while let Some((message, _)) = messages.next().await {
                if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(came)) = message.payload
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
