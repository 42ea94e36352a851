//! The VIP up, down, and its lifetime, by netlink. Each order may be given again without harm.

mod behind;
mod label;
mod message;
mod tidy;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressHeaderFlags, AddressMessage};
use nix::errno::Errno;
use tokio::time::timeout;

pub use self::behind::OwnAddresses;
pub use self::label::Label;
use self::message::{address_to_add, address_to_delete, address_to_renew};
pub use self::tidy::{AllAddresses, Company};
use linux::netlink::{Ipv6News, NetlinkError, RouteSocket, own_address};
use linux::route_message::RouteMessage;

/// An IPv6 address that was added is there within this, unless the interface is down or the machine stands still.
const THERE_WITHIN: Duration = Duration::from_millis(20);

/// What was being done to the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Adding it.
    Adding,
    /// Setting its lifetime anew.
    Renewing,
    /// Removing it.
    Removing,
    /// Putting it behind the host's own addresses.
    Moving,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adding => "add",
            Self::Renewing => "renew",
            Self::Removing => "remove",
            Self::Moving => "put behind the host's own addresses",
        })
    }
}

/// The VIP could not be added, renewed or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// EPERM, EACCES.
    #[error(
        "cannot {doing} {address} on {interface}: {source}; the agent needs CAP_NET_ADMIN: run it as root, or give it that capability"
    )]
    NotAllowed {
        /// What was being done.
        doing: Doing,
        /// The VIP.
        address: IpAddr,
        /// The interface.
        interface: String,
        /// The kernel's word.
        #[source]
        source: NetlinkError,
    },
    /// EACCES, of an IPv6 address.
    #[error(
        "cannot {doing} {address} on {interface}: IPv6 is switched off there; set net.ipv6.conf.{interface}.disable_ipv6 to 0"
    )]
    Ipv6Off {
        /// What was being done.
        doing: Doing,
        /// The VIP.
        address: IpAddr,
        /// The interface.
        interface: String,
    },
    /// ENODEV.
    #[error(
        "cannot {doing} {address} on {interface}: this host has no interface of that name; compare `members` in the configuration with the host's interfaces"
    )]
    NoSuchInterface {
        /// What was being done.
        doing: Doing,
        /// The VIP.
        address: IpAddr,
        /// The interface.
        interface: String,
    },
    /// EEXIST: somebody else has added it.
    #[error(
        "cannot {doing} {address} on {interface}: it is there already, and this agent has not put it there; it is kept if this host may have it, else removed. Find out what added it"
    )]
    AlreadyThere {
        /// What was being done.
        doing: Doing,
        /// The VIP.
        address: IpAddr,
        /// The interface.
        interface: String,
    },
    /// The prefix is longer than the address.
    #[error(
        "cannot {doing} {address}/{prefix} on {interface}: a prefix length goes up to {most} here; correct `vip` in the configuration"
    )]
    Prefix {
        /// What was being done.
        doing: Doing,
        /// The VIP.
        address: IpAddr,
        /// The interface.
        interface: String,
        /// What was asked for.
        prefix: u8,
        /// 32 or 128.
        most: u8,
    },
    /// It was taken away to be added again, and that came too late.
    #[error(
        "{address} on {interface} was taken away, to be put behind this host's own addresses, and is not added again: the agent was delayed for too long meanwhile; it is started anew if it belongs here"
    )]
    TooLate {
        /// The VIP.
        address: IpAddr,
        /// The interface.
        interface: String,
    },
    /// Anything else.
    #[error("cannot {doing} {address} on {interface}: {source}")]
    Kernel {
        /// What was being done.
        doing: Doing,
        /// The VIP.
        address: IpAddr,
        /// The interface.
        interface: String,
        /// What failed.
        #[source]
        source: NetlinkError,
    },
}

/// A VIP's own prefix length, which has no network but the address itself.
pub fn full_prefix(vip: IpAddr) -> u8 {
    if vip.is_ipv4() { 32 } else { 128 }
}

/// Gives the orders. A clone shares the socket, which is kept open so that a lease is renewed even where no more
/// descriptors are to be had; after a failure it is opened anew.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    socket: Arc<Mutex<Option<RouteSocket>>>,
    /// Opened for the first IPv6 VIP.
    news: Arc<Mutex<Option<Ipv6News>>>,
    /// One removal at a time: see [`Addresses::delete_each`].
    removal: Arc<tokio::sync::Mutex<()>>,
}

impl Addresses {
    /// Opens nothing yet: that is done by the first order, inside the tokio runtime and network namespace of its caller.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the VIP to the interface, where it is not yet; there already, it is left as it is, and that is an error.
    ///
    /// After `lifetime` (from 2 s) the kernel has dropped it, up to 1¼ s sooner at the most; none: it stays until removed.
    /// Comes back as soon as the kernel has it: nothing is to stand between that and the announcement. With IPv6 that is when the kernel
    /// tells of it, which is after it has said that it is done. Under a lifetime [`Addresses::remove_other_prefixes`] is to follow.
    pub async fn add(
        &self,
        interface: &str,
        address: IpAddr,
        prefix: u8,
        label: &Label,
        lifetime: Option<Duration>,
    ) -> Result<(), AddressError> {
        check_prefix(Doing::Adding, interface, address, prefix)?;
        let wanted = Wanted { interface, address, prefix, label, lifetime };
        let came = if address.is_ipv6() { self.news().map(|news| news.listen()) } else { None };
        let mut done = self.try_to_add(wanted).await;
        if self.was_cut(&done) {
            done = self.try_to_add(wanted).await;
        }
        if let (Ok(index), Some(came)) = (&done, came) {
            let there = timeout(THERE_WITHIN, came.wait_for(*index, address)).await;
            if there != Ok(true) {
                // It is announced all the same: it may be there, and only the word of it lost with the socket.
                self.news.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        }
        done.map(drop).map_err(|source| explain(Doing::Adding, address, interface, source))
    }

    /// Sets the lifetime of the VIP on this interface anew, in place, without a gap, and only where it is there: what is gone
    /// is never added. Gives whether it was there. `lifetime` as in [`Addresses::add`].
    ///
    /// Where it is there with another prefix only (the predecessor's), that one gets the lifetime; under a lease ours comes
    /// beside it in the same breath, so that [`Addresses::remove_other_prefixes`] can end it without a gap.
    pub async fn renew(
        &self,
        interface: &str,
        address: IpAddr,
        prefix: u8,
        label: &Label,
        lifetime: Option<Duration>,
    ) -> Result<bool, AddressError> {
        check_prefix(Doing::Renewing, interface, address, prefix)?;
        let wanted = Wanted { interface, address, prefix, label, lifetime };
        let mut done = self.try_to_renew(wanted).await;
        if self.was_cut(&done) {
            done = self.try_to_renew(wanted).await;
        }
        match done {
            Err(error) if error.number() == Some(Errno::ENODEV) => Ok(false),
            other => other.map_err(|source| explain(Doing::Renewing, address, interface, source)),
        }
    }

    /// Removes copies of the VIP from the interface that have another prefix than ours (the predecessor adds it with the
    /// class's netmask): they would outlive a lease. To be called after [`Addresses::add`], once the VIP is announced.
    pub async fn remove_other_prefixes(
        &self,
        interface: &str,
        address: IpAddr,
        prefix: u8,
    ) -> Result<(), AddressError> {
        let other = |there: &AddressMessage| is(there, address) && there.header.prefix_len != prefix;
        self.remove_each(interface, address, other).await.map(drop)
    }

    /// Opens the sockets for this VIP, so that the first order need not. Inside the tokio runtime and network namespace of the orders.
    /// A failure is left for the first order to tell.
    pub fn prepare(&self, vip: IpAddr) {
        let _ = self.socket();
        if vip.is_ipv6() {
            let _ = self.news();
        }
    }

    /// Removes the VIP from the interface, whichever prefix it has there. Gone already, or no such interface any more: that is
    /// what was wanted. The host's own addresses stay. Gives whether it was there.
    pub async fn remove(&self, interface: &str, address: IpAddr) -> Result<bool, AddressError> {
        self.remove_each(interface, address, |there| is(there, address)).await
    }

    async fn remove_each(
        &self,
        interface: &str,
        address: IpAddr,
        meant: impl Fn(&AddressMessage) -> bool,
    ) -> Result<bool, AddressError> {
        let mut done = self.try_to_remove(interface, &meant).await;
        if self.was_cut(&done) {
            done = self.try_to_remove(interface, &meant).await;
        }
        match done {
            Err(error) if error.number() == Some(Errno::ENODEV) => Ok(false),
            other => other.map_err(|source| explain(Doing::Removing, address, interface, source)),
        }
    }

    /// The kept socket failed before it was done. The next order opens a new one.
    fn was_cut<T>(&self, done: &Result<T, NetlinkError>) -> bool {
        let was_cut = matches!(done, Err(NetlinkError::Cut));
        if was_cut {
            self.kept().take();
        }
        was_cut
    }

    /// Gives the interface's index.
    async fn try_to_add(&self, wanted: Wanted<'_>) -> Result<u32, NetlinkError> {
        let socket = self.socket()?;
        let index = interface_index(wanted.interface)?;
        let message = RouteMessage::NewAddress(address_to_add(index, wanted));
        socket.order(message, NLM_F_CREATE | NLM_F_EXCL).await.map(|()| index)
    }

    async fn try_to_renew(&self, wanted: Wanted<'_>) -> Result<bool, NetlinkError> {
        let socket = self.socket()?;
        let index = interface_index(wanted.interface)?;
        if renew_what_is_there(&socket, index, wanted).await? {
            return Ok(true);
        }
        let on_interface = addresses_of(&socket, index).await?;
        let copies: Vec<_> = on_interface.iter().filter(|there| is(there, wanted.address)).collect();
        if copies.iter().any(|there| there.header.prefix_len == wanted.prefix) {
            // It came this moment, or this kernel refuses to renew as other kernels do: it was there a breath ago.
            let message = RouteMessage::NewAddress(address_to_add(index, wanted));
            return socket.order(message, NLM_F_REPLACE).await.map(|()| true);
        }
        let mut renewed = false;
        for copy in copies {
            let copy = Wanted { prefix: copy.header.prefix_len, ..wanted };
            renewed |= renew_what_is_there(&socket, index, copy).await?;
        }
        if renewed && wanted.lifetime.is_some() {
            let message = RouteMessage::NewAddress(address_to_add(index, wanted));
            socket.order(message, NLM_F_CREATE | NLM_F_EXCL).await?;
        }
        Ok(renewed)
    }

    async fn try_to_remove(
        &self,
        interface: &str,
        meant: impl Fn(&AddressMessage) -> bool,
    ) -> Result<bool, NetlinkError> {
        let socket = self.socket()?;
        let on_interface = addresses_of(&socket, interface_index(interface)?).await?;
        self.delete_each(&socket, interface, &on_interface, meant).await
    }

    /// Deletes the addresses of one interface that are `meant`. Gives whether there was one.
    ///
    /// When the first IPv4 address of a subnet (same network, same prefix) goes, the kernel takes the later ones,
    /// "secondary", with it, unless the interface's `promote_secondaries` is set. A /32 has no such company, but the
    /// predecessor's VIP, with a longer netmask and added before the host's own address, takes that one along. So there
    /// the setting is switched on for the one deletion, and back; killed in between, it stays on, and does no harm.
    async fn delete_each(
        &self,
        socket: &RouteSocket,
        interface: &str,
        on_interface: &[AddressMessage],
        meant: impl Fn(&AddressMessage) -> bool,
    ) -> Result<bool, NetlinkError> {
        let mut any = false;
        let _one_at_a_time = self.removal.lock().await;
        for victim in on_interface.iter().filter(|there| meant(there)) {
            let company = on_interface.iter().any(|other| !meant(other) && goes_with(other, victim));
            let link = if company { Some(socket.link(interface).await?) } else { None };
            let switch = link.filter(|link| link.promotes_secondaries != Some(true)).map(|link| link.index);
            if let Some(index) = switch {
                // Refused: then two holders are worse than a host without its own address.
                let _ = socket.order(RouteMessage::SetPromoteSecondaries { index, on: true }, 0).await;
            }
            let deleted = socket.order(RouteMessage::DelAddress(address_to_delete(victim)), 0).await;
            if let Some(index) = switch {
                let _ = socket.order(RouteMessage::SetPromoteSecondaries { index, on: false }, 0).await;
            }
            match deleted {
                Err(error) if error.number() == Some(Errno::EADDRNOTAVAIL) => {}
                other => {
                    other?;
                    any = true;
                }
            }
        }
        Ok(any)
    }

    fn socket(&self) -> Result<RouteSocket, NetlinkError> {
        let mut kept = self.kept();
        if let Some(socket) = &*kept {
            return Ok(socket.clone());
        }
        Ok(kept.insert(RouteSocket::open()?).clone())
    }

    /// None where it can't be had: the address is announced without it.
    fn news(&self) -> Option<Ipv6News> {
        let mut kept = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            *kept = Ipv6News::open().ok();
        }
        kept.clone()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<RouteSocket>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives whether the kernel has the address with this prefix.
async fn renew_what_is_there(
    socket: &RouteSocket,
    index: u32,
    wanted: Wanted<'_>,
) -> Result<bool, NetlinkError> {
    let message = RouteMessage::NewAddress(address_to_renew(index, wanted));
    match socket.order(message, NLM_F_REPLACE).await {
        Err(error) if matches!(error.number(), Some(Errno::EINVAL | Errno::EOPNOTSUPP)) => Ok(false),
        other => other.map(|()| true),
    }
}

fn check_prefix(doing: Doing, interface: &str, address: IpAddr, prefix: u8) -> Result<(), AddressError> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    if prefix > most {
        let interface = interface.to_owned();
        return Err(AddressError::Prefix { doing, address, interface, prefix, most });
    }
    Ok(())
}

/// The VIP as it is to be.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    interface: &'a str,
    address: IpAddr,
    prefix: u8,
    label: &'a Label,
    lifetime: Option<Duration>,
}

fn explain(doing: Doing, address: IpAddr, interface: &str, source: NetlinkError) -> AddressError {
    let interface = interface.to_owned();
    match source.number() {
        Some(Errno::EACCES) if address.is_ipv6() => AddressError::Ipv6Off { doing, address, interface },
        Some(Errno::EPERM | Errno::EACCES) => AddressError::NotAllowed { doing, address, interface, source },
        Some(Errno::ENODEV) => AddressError::NoSuchInterface { doing, address, interface },
        Some(Errno::EEXIST) => AddressError::AlreadyThere { doing, address, interface },
        _ => AddressError::Kernel { doing, address, interface, source },
    }
}

/// Asked by ioctl: a netlink question waits for the lock that changes of any interface hold.
fn interface_index(interface: &str) -> Result<u32, NetlinkError> {
    nix::net::if_::if_nametoindex(interface).map_err(|errno| NetlinkError::Refused(errno.into()))
}

async fn addresses_of(socket: &RouteSocket, index: u32) -> Result<Vec<AddressMessage>, NetlinkError> {
    let mut addresses = socket.addresses().await?;
    addresses.retain(|there| there.header.index == index);
    Ok(addresses)
}

fn is(there: &AddressMessage, address: IpAddr) -> bool {
    own_address(there) == Some(address)
}

/// Whether the kernel would delete `other` along with `victim`.
fn goes_with(other: &AddressMessage, victim: &AddressMessage) -> bool {
    let secondary = |there: &AddressMessage| there.header.flags.contains(AddressHeaderFlags::Secondary);
    let network = |there: &AddressMessage| match own_address(there) {
        Some(IpAddr::V4(address)) => {
            let host_bits = 32_u32.saturating_sub(u32::from(there.header.prefix_len));
            Some(u32::from(address).checked_shr(host_bits).unwrap_or(0))
        }
        _ => None,
    };
    secondary(other)
        && !secondary(victim)
        && other.header.prefix_len == victim.header.prefix_len
        && network(other).is_some_and(|shared| network(victim) == Some(shared))
}
