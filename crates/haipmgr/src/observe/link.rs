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

use decide::input::{Fact, Host, HostAddress, Interface, Seen, Why};
use decide::time::Time;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkFlags;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use linux::netlink::{NetlinkError, Notifications, RouteSocket, Topic, notifications, own_address};
use linux::route_message::{Link, RouteMessage};

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

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkNews {
    /// This host's addresses and interfaces, whole.
    Host(Seen<Host>),
    /// Frames leave this host by another way: what is held there is to be announced anew.
    Path(PathChange),
}

/// The way to an interface's neighbors is another: their switches and caches know the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    /// The interface that bears addresses.
    pub interface: String,
    /// What happened, as the end of a sentence that begins with the interface.
    pub what: &'static str,
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
/// Also tells each [`PathChange`] of an interface that runs: its hardware address, its carrier, the ports of a bond or bridge, those of
/// the interface below a VLAN, and whatever the kernel itself calls for an announcement for (`NETDEV_NOTIFY_PEERS`).
///
/// # Errors
/// The kernel can't be asked at all at the start.
pub async fn watch(tell: impl Fn(LinkNews) + Send + Sync + 'static) -> Result<LinkWatch, LinkError> {
    let ask = Arc::new(Notify::new());
    let mut kernel = Kernel::open()?;
    let mut known = kernel.read().await?;
    tell(LinkNews::Host(known.seen()));
    let asked = Arc::clone(&ask);
    let task = tokio::spawn(async move {
        loop {
            let error = follow(&mut kernel, &mut known, &asked, &tell).await;
            let fact = Fact::Unknown(Why::Other(error.to_string()));
            tell(LinkNews::Host(Seen { asked_at: crate::clock::now(), fact }));
            (kernel, known) = reopen().await;
            tell(LinkNews::Host(known.seen()));
        }
    });
    Ok(LinkWatch { ask, task })
}

/// Tells each change, until the kernel can't be asked any more.
async fn follow(
    kernel: &mut Kernel,
    known: &mut View,
    ask: &Notify,
    tell: &(impl Fn(LinkNews) + Send + Sync),
) -> LinkError {
    loop {
        let asked = tokio::select! {
            () = ask.notified() => true,
            notification = kernel.notifications.next() => match notification {
                None => return LinkError::Read(NetlinkError::Cut),
                Some(notification) => {
                    for change in known.called_for(&notification) {
                        tell(LinkNews::Path(change));
                    }
                    if !known.differs_from(&notification) {
                        continue;
                    }
                    false
                }
            },
        };
        match kernel.read().await {
            Ok(view) => {
                // An interface that was made anew may look like the one before it; what is bound to the old one must know.
                let changed = view.host != known.host || view.interfaces != known.interfaces;
                let before = std::mem::replace(known, view);
                if changed || asked {
                    tell(LinkNews::Host(known.seen()));
                }
                for change in known.path_changes_since(&before) {
                    tell(LinkNews::Path(change));
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
    notifications: Notifications,
    questions: RouteSocket,
}

impl Kernel {
    fn open() -> Result<Self, LinkError> {
        let topics = [Topic::Links, Topic::Ipv4Addresses, Topic::Ipv6Addresses];
        let notifications = notifications(&topics).map_err(LinkError::Subscribe)?;
        Ok(Self { notifications, questions: RouteSocket::open()? })
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
    mac: Vec<u8>,
    /// The bond or bridge that it is a port of (`IFLA_MASTER`), by index.
    port_of: Option<u32>,
    /// The interface that it is a VLAN or the like on (`IFLA_LINK`), by index.
    on: Option<u32>,
}

impl View {
    pub(crate) fn new(asked_at: Time, links: &[Link], addresses: &[AddressMessage]) -> Self {
        let interfaces: BTreeMap<_, _> =
            links.iter().filter_map(|link| Some((link.index, interface_state(link)?))).collect();
        let addresses: BTreeSet<_> = addresses.iter().filter_map(address_key).collect();
        let host = Host {
            addresses: addresses
                .iter()
                .filter(|(_, address, _)| !address.is_loopback())
                .filter_map(|(index, address, prefix)| {
                    let interface = interfaces.get(index)?.name.clone();
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

    /// By which interfaces frames go another way than before.
    fn path_changes_since(&self, before: &Self) -> Vec<PathChange> {
        let mut changes = Vec::new();
        for (index, now) in self.interfaces.iter().filter(|(_, now)| now.running && !now.loopback) {
            let Some(was) = before.interfaces.get(index) else { continue };
            let what = if now.mac != was.mac {
                "its hardware address changed"
            } else if !was.running {
                "its carrier is back"
            } else if self.ports_of(*index) != before.ports_of(*index) {
                "its ports changed"
            } else {
                continue;
            };
            changes.extend(self.path_changed(*index, what));
        }
        changes
    }

    /// The running ports of a bond or a bridge.
    fn ports_of(&self, index: u32) -> BTreeSet<u32> {
        let ports = self.interfaces.iter().filter(|(_, port)| port.port_of == Some(index) && port.running);
        ports.map(|(index, _)| *index).collect()
    }

    /// Of this interface, and of those that are on it.
    fn path_changed(&self, index: u32, what: &'static str) -> Vec<PathChange> {
        let affected =
            self.interfaces.iter().filter(|(other, state)| **other == index || state.on == Some(index));
        affected.map(|(_, state)| PathChange { interface: state.name.clone(), what }).collect()
    }

    /// Where the kernel calls for announcements: a bond's other port took over, a virtual machine came from another host.
    fn called_for(&self, notification: &NetlinkPayload<RouteMessage>) -> Vec<PathChange> {
        match notification {
            NetlinkPayload::InnerMessage(RouteMessage::NewLink(link)) if link.calls_for_announcements => {
                self.path_changed(link.index, "the kernel calls for announcements")
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn differs_from(&self, notification: &NetlinkPayload<RouteMessage>) -> bool {
        let known = |address: &AddressMessage| address_key(address).map(|key| self.addresses.contains(&key));
        match notification {
            NetlinkPayload::InnerMessage(message) => match message {
                RouteMessage::NewAddress(address) => known(address) == Some(false),
                RouteMessage::DelAddress(address) => known(address) == Some(true),
                RouteMessage::NewLink(link) => {
                    self.interfaces.get(&link.index) != interface_state(link).as_ref()
                }
                RouteMessage::DelLink(link) => self.interfaces.contains_key(&link.index),
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

fn interface_state(link: &Link) -> Option<InterfaceState> {
    let flags = link.flags;
    // IFF_LOWER_UP is the carrier itself. IFF_RUNNING would be late: the kernel holds it back for up to a second.
    // A dormant interface has carrier and may not pass traffic yet (802.1X).
    let running = flags.contains(LinkFlags::Up | LinkFlags::LowerUp) && !flags.contains(LinkFlags::Dormant);
    Some(InterfaceState {
        name: link.name.clone()?,
        running,
        loopback: flags.contains(LinkFlags::Loopback),
        mac: link.mac.clone(),
        port_of: link.port_of,
        on: link.on,
    })
}
