//! This host's addresses and interfaces, from the kernel's netlink notifications. One watcher serves all clusters.
//!
//! A notification is only the reason to look: what is told is always read whole from the kernel, after the
//! notification. So an old notification can't bring a dead address back, and a lost one (`ENOBUFS`) costs one more
//! look. A notification that says nothing new, such as a renewed lifetime, is not looked into.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use decide::event::{Fact, Host, HostAddress, Interface, Seen, Why};
use decide::time::Time;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::MulticastGroup;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use linux::netlink::{NetlinkError, RouteSocket, own_address};

/// How long to wait before a failed socket is opened anew.
const REOPEN_AFTER: Duration = Duration::from_millis(500);

/// The host's addresses can't be watched.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No socket for notifications.
    #[error(
        "cannot subscribe to the kernel's notifications of addresses and interfaces: {0}; under systemd, RestrictAddressFamilies= must allow AF_NETLINK"
    )]
    Subscribe(#[source] io::Error),
    /// The addresses and interfaces can't be read.
    #[error("cannot read this host's addresses and interfaces: {0}")]
    Read(#[from] NetlinkError),
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct LinkWatch {
    ask: Arc<Notify>,
    task: JoinHandle<()>,
}

impl LinkWatch {
    /// Read everything anew and tell it, changed or not; `asked_at` is not before this call.
    pub fn ask_now(&self) {
        self.ask.notify_one();
    }
}

impl Drop for LinkWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Subscribes, reads everything, tells it, and from then on tells the whole [`Host`] after each change of an address, a
/// interface's name, or whether it is running, and when an interface is another one of the same name. While the kernel can't be asked: `Unknown(Why::Other)`, once.
///
/// # Errors
/// The kernel can't be asked at all at the start.
pub async fn watch(tell: impl Fn(Seen<Host>) + Send + Sync + 'static) -> Result<LinkWatch, LinkError> {
    let ask = Arc::new(Notify::new());
    let mut kernel = Kernel::open()?;
    let mut known = kernel.read().await?;
    tell(known.seen());
    let asked = Arc::clone(&ask);
    let task = tokio::spawn(async move {
        loop {
            let error = follow(&mut kernel, &mut known, &asked, &tell).await;
            tell(Seen { asked_at: crate::clock::now(), fact: Fact::Unknown(Why::Other(error.to_string())) });
            (kernel, known) = reopen().await;
            tell(known.seen());
        }
    });
    Ok(LinkWatch { ask, task })
}

/// Tells each change, until the kernel can't be asked any more.
async fn follow(
    kernel: &mut Kernel,
    known: &mut View,
    ask: &Notify,
    tell: &(impl Fn(Seen<Host>) + Send + Sync),
) -> LinkError {
    loop {
        let asked = tokio::select! {
            () = ask.notified() => true,
            notification = kernel.notifications.next() => match notification {
                None => return LinkError::Read(NetlinkError::Cut),
                Some(notification) if known.differs_from(&notification) => false,
                Some(_) => continue,
            },
        };
        match kernel.read().await {
            Ok(view) => {
                // An interface that was made anew may look like the one before it; what is bound to the old one must know.
                let changed = view.host != known.host || view.interfaces != known.interfaces;
                *known = view;
                if changed || asked {
                    tell(known.seen());
                }
            }
            Err(error) => return error.into(),
        }
    }
}

async fn reopen() -> (Kernel, View) {
    loop {
        tokio::time::sleep(REOPEN_AFTER).await;
        if let Ok(mut kernel) = Kernel::open()
            && let Ok(view) = kernel.read().await
        {
            return (kernel, view);
        }
    }
}

/// The two sockets; `linux::netlink` says why notifications have their own.
struct Kernel {
    notifications: BoxStream<'static, NetlinkPayload<RouteNetlinkMessage>>,
    questions: RouteSocket,
    /// Moves notifications from the socket into the stream; ends with this struct.
    _pump: JoinSet<()>,
}

impl Kernel {
    fn open() -> Result<Self, LinkError> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, _, messages) =
            rtnetlink::new_multicast_connection(&groups).map_err(LinkError::Subscribe)?;
        let mut pump = JoinSet::new();
        pump.spawn(connection);
        let notifications = messages.map(|(message, _): (NetlinkMessage<_>, _)| message.payload).boxed();
        Ok(Self { notifications, questions: RouteSocket::open()?, _pump: pump })
    }

    async fn read(&mut self) -> Result<View, NetlinkError> {
        let asked_at = crate::clock::now();
        // Interfaces first: an address whose interface is not known yet is left out, and an interface that appears in between is
        // notified of.
        let links = self.questions.links().await?;
        let addresses = self.questions.addresses().await?;
        Ok(View::new(asked_at, &links, &addresses))
    }
}

/// What the kernel last said.
pub(crate) struct View {
    asked_at: Time,
    interfaces: BTreeMap<u32, InterfaceState>,
    addresses: BTreeSet<(u32, IpAddr, u8)>,
    pub(crate) host: Host,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct InterfaceState {
    name: String,
    running: bool,
    loopback: bool,
}

impl View {
    pub(crate) fn new(asked_at: Time, links: &[LinkMessage], addresses: &[AddressMessage]) -> Self {
        let interfaces: BTreeMap<_, _> =
            links.iter().filter_map(|link| Some((link.header.index, interface_state(link)?))).collect();
        let addresses: BTreeSet<_> = addresses.iter().filter_map(address_key).collect();
        let shown = |index: &u32| interfaces.get(index).filter(|interface| !interface.loopback);
        let host = Host {
            addresses: addresses
                .iter()
                .filter_map(|(index, address, prefix)| {
                    let interface = shown(index)?.name.clone();
                    Some(HostAddress { address: *address, prefix: *prefix, interface })
                })
                .collect(),
            interfaces: interfaces
                .values()
                .filter(|interface| !interface.loopback)
                .map(|interface| Interface { name: interface.name.clone(), running: interface.running })
                .collect(),
        };
        Self { asked_at, interfaces, addresses, host }
    }

    fn seen(&self) -> Seen<Host> {
        Seen { asked_at: self.asked_at, fact: Fact::Known(self.host.clone()) }
    }

    pub(crate) fn differs_from(&self, notification: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
        let known = |address: &AddressMessage| address_key(address).map(|key| self.addresses.contains(&key));
        match notification {
            NetlinkPayload::InnerMessage(message) => match message {
                RouteNetlinkMessage::NewAddress(address) => known(address) == Some(false),
                RouteNetlinkMessage::DelAddress(address) => known(address) == Some(true),
                RouteNetlinkMessage::NewLink(link) => {
                    self.interfaces.get(&link.header.index) != interface_state(link).as_ref()
                }
                RouteNetlinkMessage::DelLink(link) => self.interfaces.contains_key(&link.header.index),
                _ => false,
            },
            // Notifications were lost (the kernel's ENOBUFS arrives as `Overrun`), or something is odd: look.
            _ => true,
        }
    }
}

fn address_key(message: &AddressMessage) -> Option<(u32, IpAddr, u8)> {
    Some((message.header.index, own_address(message)?, message.header.prefix_len))
}

fn interface_state(message: &LinkMessage) -> Option<InterfaceState> {
    let name = message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute { Some(name.clone()) } else { None }
    })?;
    let flags = message.header.flags;
    // IFF_LOWER_UP is the carrier itself. IFF_RUNNING would be late: the kernel holds it back for up to a second.
    // A dormant interface has carrier and may not pass traffic yet (802.1X).
    let running = flags.contains(LinkFlags::Up | LinkFlags::LowerUp) && !flags.contains(LinkFlags::Dormant);
    Some(InterfaceState { name, running, loopback: flags.contains(LinkFlags::Loopback) })
}
