//! The VIP up, down, and its lifetime, by netlink. Each order may be given again without harm.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use netlink_packet_core::{DefaultNla, Emitable as _, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::link::{AfSpecInet, AfSpecUnspec, LinkAttribute, LinkMessage};
use nix::errno::Errno;

use crate::netlink::{NetlinkError, RouteSocket, own_address};

/// The longest label, in bytes: IFNAMSIZ less the closing zero.
const LABEL_BYTES: usize = 15;

/// `INFINITY_LIFE_TIME` of linux/rtnetlink.h: the address stays until it is removed.
const FOR_EVER: u32 = u32::MAX;

/// What was being done to the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Adding it, or setting its lifetime anew.
    Adding,
    /// Removing it.
    Removing,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adding => "add",
            Self::Removing => "remove",
        })
    }
}

/// The VIP could not be added or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// EPERM, EACCES.
    #[error(
        "cannot {doing} {address} on {card}: {source}; the agent needs CAP_NET_ADMIN: run it as root, or give it that capability"
    )]
    NotAllowed {
        /// What was being done.
        doing: Doing,
        /// The VIP.
        address: IpAddr,
        /// The card.
        card: String,
        /// The kernel's word.
        #[source]
        source: NetlinkError,
    },
    /// ENODEV.
    #[error(
        "cannot {doing} {address} on {card}: this host has no card of that name; compare `members` in the configuration with the host's cards"
    )]
    NoSuchCard {
        /// What was being done.
        doing: Doing,
        /// The VIP.
        address: IpAddr,
        /// The card.
        card: String,
    },
    /// The prefix is longer than the address.
    #[error(
        "cannot {doing} {address}/{prefix} on {card}: a prefix length goes up to {most} here; correct `vip` in the configuration"
    )]
    Prefix {
        /// What was being done.
        doing: Doing,
        /// The VIP.
        address: IpAddr,
        /// The card.
        card: String,
        /// What was asked for.
        prefix: u8,
        /// 32 or 128.
        most: u8,
    },
    /// Anything else.
    #[error("cannot {doing} {address} on {card}: {source}")]
    Kernel {
        /// What was being done.
        doing: Doing,
        /// The VIP.
        address: IpAddr,
        /// The card.
        card: String,
        /// What failed.
        #[source]
        source: NetlinkError,
    },
}

/// The name under which `ifconfig` and `ip` show the VIP: `card:port`, at most 15 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// The label for this card and database port. Where `card:port` is too long: a shorter one, and a line that says so.
    ///
    /// The kernel takes any text; `ifconfig` finds an address only when its label is the card's name, or begins with the
    /// card's name and a colon. So the end of the port is what stays, or the card's name alone.
    pub fn new(card: &str, port: u16) -> (Self, Option<String>) {
        let whole = format!("{card}:{port}");
        if whole.len() <= LABEL_BYTES {
            return (Self(whole), None);
        }
        let digits = port.to_string();
        let room = LABEL_BYTES.saturating_sub(card.len() + 1).min(digits.len());
        let short = match digits.get(digits.len() - room..) {
            Some(end) if room > 0 => format!("{card}:{end}"),
            _ => card.to_owned(),
        };
        let note = format!(
            "the label \"{whole}\" is longer than the kernel's {LABEL_BYTES} bytes: the VIP is labelled \"{short}\""
        );
        (Self(short), Some(note))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives the orders. A clone shares the socket, which is kept open so that a lease is renewed even where no more
/// descriptors are to be had; after a failure it is opened anew.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    socket: Arc<Mutex<Option<RouteSocket>>>,
    /// One removal at a time: see [`Addresses::delete_each`].
    removal: Arc<tokio::sync::Mutex<()>>,
}

impl Addresses {
    /// Opens nothing yet: that is done by the first order, inside the tokio runtime and network namespace of its caller.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the VIP to the card, or, where it is there already, sets its lifetime anew in place, without a gap.
    ///
    /// After `lifetime` (from 2 s) the kernel has dropped it, up to 1¼ s sooner at the most; none: it stays until removed.
    /// Comes back as soon as the kernel has it: nothing is to stand between that and the announcement. Under a lifetime
    /// [`Addresses::remove_other_prefixes`] is to follow.
    pub async fn add(
        &self,
        card: &str,
        address: IpAddr,
        prefix: u8,
        label: &Label,
        lifetime: Option<Duration>,
    ) -> Result<(), AddressError> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        if prefix > most {
            let card = card.to_owned();
            return Err(AddressError::Prefix { doing: Doing::Adding, address, card, prefix, most });
        }
        let wanted = Wanted { card, address, prefix, label, lifetime };
        let mut done = self.try_to_add(wanted).await;
        if matches!(done, Err(NetlinkError::Cut)) {
            self.kept().take();
            done = self.try_to_add(wanted).await;
        }
        done.map_err(|source| explain(Doing::Adding, address, card, source))
    }

    /// Removes copies of the VIP from the card that have another prefix than ours (the predecessor adds it with the
    /// class's netmask): they would outlive a lease. To be called after [`Addresses::add`], once the VIP is announced.
    pub async fn remove_other_prefixes(
        &self,
        card: &str,
        address: IpAddr,
        prefix: u8,
    ) -> Result<(), AddressError> {
        let other = |there: &AddressMessage| is(there, address) && there.header.prefix_len != prefix;
        self.remove_each(card, address, other).await.map(drop)
    }

    /// Opens the socket, so that the first order need not. Inside the tokio runtime and network namespace of the orders.
    /// A failure is left for the first order to tell.
    pub fn prepare(&self) {
        let _ = self.socket();
    }

    /// Removes the VIP from the card, whichever prefix it has there. Gone already, or no such card any more: that is
    /// what was wanted. The host's own addresses stay. Gives whether it was there.
    pub async fn remove(&self, card: &str, address: IpAddr) -> Result<bool, AddressError> {
        self.remove_each(card, address, |there| is(there, address)).await
    }

    async fn remove_each(
        &self,
        card: &str,
        address: IpAddr,
        meant: impl Fn(&AddressMessage) -> bool,
    ) -> Result<bool, AddressError> {
        let mut done = self.try_to_remove(card, &meant).await;
        if matches!(done, Err(NetlinkError::Cut)) {
            self.kept().take();
            done = self.try_to_remove(card, &meant).await;
        }
        match done {
            Err(error) if error.number() == Some(Errno::ENODEV) => Ok(false),
            other => other.map_err(|source| explain(Doing::Removing, address, card, source)),
        }
    }

    async fn try_to_add(&self, wanted: Wanted<'_>) -> Result<(), NetlinkError> {
        let socket = self.socket()?;
        let message = RouteNetlinkMessage::NewAddress(address_to_add(card_index(wanted.card)?, wanted));
        socket.order(message, NLM_F_CREATE | NLM_F_REPLACE).await
    }

    async fn try_to_remove(
        &self,
        card: &str,
        meant: impl Fn(&AddressMessage) -> bool,
    ) -> Result<bool, NetlinkError> {
        let socket = self.socket()?;
        let on_card = addresses_of(&socket, card_index(card)?).await?;
        self.delete_each(&socket, card, &on_card, meant).await
    }

    /// Deletes the addresses of one card that are `meant`. Gives whether there was one.
    ///
    /// When the first IPv4 address of a subnet (same network, same prefix) goes, the kernel takes the later ones,
    /// "secondary", with it, unless the card's `promote_secondaries` is set. A /32 has no such company, but the
    /// predecessor's VIP, with a longer netmask and added before the host's own address, takes that one along. So there
    /// the setting is switched on for the one deletion, and back; killed in between, it stays on, and does no harm.
    async fn delete_each(
        &self,
        socket: &RouteSocket,
        card: &str,
        on_card: &[AddressMessage],
        meant: impl Fn(&AddressMessage) -> bool,
    ) -> Result<bool, NetlinkError> {
        let mut any = false;
        let _one_at_a_time = self.removal.lock().await;
        for victim in on_card.iter().filter(|there| meant(there)) {
            let company = on_card.iter().any(|other| !meant(other) && goes_with(other, victim));
            let link = if company { Some(socket.link(card).await?) } else { None };
            let switch = link.filter(|link| !promotes_secondaries(link)).map(|link| link.header.index);
            if let Some(index) = switch {
                // Refused: then two holders are worse than a host without its own address.
                let _ = socket.order(promote_secondaries(index, true), 0).await;
            }
            let deleted = socket.order(RouteNetlinkMessage::DelAddress(address_to_delete(victim)), 0).await;
            if let Some(index) = switch {
                let _ = socket.order(promote_secondaries(index, false), 0).await;
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

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<RouteSocket>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The VIP as it is to be.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    card: &'a str,
    address: IpAddr,
    prefix: u8,
    label: &'a Label,
    lifetime: Option<Duration>,
}

fn explain(doing: Doing, address: IpAddr, card: &str, source: NetlinkError) -> AddressError {
    let card = card.to_owned();
    match source.number() {
        Some(Errno::EPERM | Errno::EACCES) => AddressError::NotAllowed { doing, address, card, source },
        Some(Errno::ENODEV) => AddressError::NoSuchCard { doing, address, card },
        _ => AddressError::Kernel { doing, address, card, source },
    }
}

/// Asked by ioctl: a netlink question waits for the lock that changes of any card hold.
fn card_index(card: &str) -> Result<u32, NetlinkError> {
    nix::net::if_::if_nametoindex(card).map_err(|errno| NetlinkError::Refused(errno.into()))
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

fn address_to_add(index: u32, wanted: Wanted<'_>) -> AddressMessage {
    let Wanted { address, prefix, label, lifetime, .. } = wanted;
    let mut message = address_message(index, address, prefix);
    message.header.scope = AddressScope::Universe;
    let mut cache = CacheInfo::default();
    cache.ifa_valid = lifetime.map_or(FOR_EVER, whole_seconds);
    cache.ifa_preferred = cache.ifa_valid;
    message.attributes.push(AddressAttribute::CacheInfo(cache));
    if address.is_ipv4() {
        message.attributes.push(AddressAttribute::Label(label.0.clone()));
    } else {
        // IPv6 has no labels. Whether the address is in use was asked before (stage 5); the kernel's own duplicate address
        // detection (RFC 4862) would keep it unusable for a second more.
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

/// Names the address, and no label: it goes whatever it is called.
fn address_to_delete(there: &AddressMessage) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = there.header.family;
    message.header.index = there.header.index;
    message.header.prefix_len = there.header.prefix_len;
    let names = |attribute: &&AddressAttribute| {
        matches!(attribute, AddressAttribute::Local(_) | AddressAttribute::Address(_))
    };
    message.attributes = there.attributes.iter().filter(names).cloned().collect();
    message
}

fn address_message(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.index = index;
    message.header.prefix_len = prefix;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

/// What to tell the kernel, so that the address has gone after `lifetime`. It counts in whole seconds and looks for addresses
/// that are over at most once a second (`check_lifetime` in net/ipv4/devinet.c): one of `n` seconds goes after `n` - ¼ to
/// `n` + 1 of them. It refuses 0, and takes the largest number for "for ever".
fn whole_seconds(lifetime: Duration) -> u32 {
    let seconds = lifetime.as_secs().saturating_sub(1);
    u32::try_from(seconds).unwrap_or(FOR_EVER).clamp(1, FOR_EVER - 1)
}

fn promotes_secondaries(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| {
        let LinkAttribute::AfSpecUnspec(families) = attribute else { return false };
        families.iter().any(|family| {
            let AfSpecUnspec::Inet(settings) = family else { return false };
            settings
                .iter()
                .any(|setting| matches!(setting, AfSpecInet::DevConf(conf) if conf.promote_secondaries != 0))
        })
    })
}

/// Orders one IPv4 setting of a card: `IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { number: value } } }`. It is put together
/// here because the crate only knows the form that the kernel answers with, not the one it takes.
fn promote_secondaries(index: u32, on: bool) -> RouteNetlinkMessage {
    const IFLA_AF_SPEC: u16 = 26;
    const AF_INET: u16 = 2;
    const IFLA_INET_CONF: u16 = 1;
    const IPV4_DEVCONF_PROMOTE_SECONDARIES: u16 = 20;
    let bytes = |attribute: &DefaultNla| {
        let mut bytes = vec![0; attribute.buffer_len()];
        attribute.emit(&mut bytes);
        bytes
    };
    let value = DefaultNla::new(IPV4_DEVCONF_PROMOTE_SECONDARIES, u32::from(on).to_ne_bytes().to_vec());
    let settings = DefaultNla::new(IFLA_INET_CONF, bytes(&value));
    let family = DefaultNla::new(AF_INET, bytes(&settings));
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Other(DefaultNla::new(IFLA_AF_SPEC, bytes(&family))));
    RouteNetlinkMessage::SetLink(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_fits_is_card_and_port() {
        assert_eq!(Label::new("eth0", 3306), (Label("eth0:3306".into()), None));
        assert_eq!(Label::new("enp0s31f6", 33061).0.to_string(), "enp0s31f6:33061");
    }

    #[test]
    fn a_label_that_is_too_long_still_begins_with_the_card_and_a_line_says_so() {
        for (card, port, short) in [
            ("enp0s31f6n", 33061, "enp0s31f6n:3061"),
            ("enp0s31f6np0", 33061, "enp0s31f6np0:61"),
            ("enp0s31f6np01", 3306, "enp0s31f6np01:6"),
            ("enp0s31f6np012", 3306, "enp0s31f6np012"),
            ("enp0s31f6np0123", 3306, "enp0s31f6np0123"),
        ] {
            let (label, note) = Label::new(card, port);
            assert_eq!(label.to_string(), short);
            assert!(label.0.len() <= LABEL_BYTES);
            let note = note.unwrap_or_default();
            assert!(note.contains(&format!("{card}:{port}")) && note.contains(short), "{note}");
            assert!(!note.to_lowercase().contains("warn"));
        }
    }

    #[test]
    fn lifetimes_leave_the_kernel_its_second_and_never_become_for_ever() {
        assert_eq!(whole_seconds(Duration::from_millis(3999)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(10)), 9);
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::MAX), FOR_EVER - 1);
    }
}
