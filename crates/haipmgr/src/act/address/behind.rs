//! A VIP with a network of its own stays behind this host's addresses.
//!
//! The kernel takes the first IPv4 address of an interface whose network has the next hop for the source of the host's own connections, and
//! where two are of one network and prefix length it calls the later one "secondary": that has no route, and goes with the first. So the VIP,
//! which is added last, is neither source nor first. But where the host's own address is removed and added again while the VIP is there
//! (a network service that starts anew), the order is the other one: the VIP is taken away for a moment then, and added last.

use std::net::IpAddr;
use std::time::Duration;

use decide::driver::START_WITHIN;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use super::message::address_to_add;
use super::{
    AddressError, Addresses, Company, Doing, Label, Wanted, addresses_of, explain, full_prefix,
    interface_index, is,
};
use crate::clock;
use linux::netlink::{NetlinkError, own_address};
use linux::route_message::RouteMessage;

/// Which of an interface's addresses are the host's own.
#[derive(Clone, Copy, Debug)]
pub enum OwnAddresses<'a> {
    /// Those that are a member's.
    Among(&'a [IpAddr]),
    /// Where no member's address is: those with a network that bear no label but the interface's name. A VIP has one of its own.
    Unlabelled,
}

impl Addresses {
    /// Puts the IPv4 VIP behind those of `own` that are on the interface, where it comes before one of them, or has a route of its own (the
    /// predecessor's). One that has its full prefix is left where it is: it has no network. Gives whether it had to be moved. To be called
    /// after [`Addresses::add`] and [`Addresses::renew`], with the same arguments.
    pub async fn put_behind(
        &self,
        interface: &str,
        address: IpAddr,
        prefix: u8,
        label: &Label,
        lifetime: Option<Duration>,
        own: OwnAddresses<'_>,
    ) -> Result<bool, AddressError> {
        if address.is_ipv6() || prefix == full_prefix(address) {
            return Ok(false);
        }
        let wanted = Wanted { interface, address, prefix, label, lifetime };
        let mut done = self.try_to_put_behind(wanted, own).await;
        if self.was_cut(&done) {
            done = self.try_to_put_behind(wanted, own).await;
        }
        match done {
            Ok(Moved::TooLate) => Err(AddressError::TooLate { address, interface: interface.to_owned() }),
            Ok(moved) => Ok(moved == Moved::Behind),
            Err(source) => Err(explain(Doing::Moving, address, interface, source)),
        }
    }

    async fn try_to_put_behind(
        &self,
        wanted: Wanted<'_>,
        own: OwnAddresses<'_>,
    ) -> Result<Moved, NetlinkError> {
        let socket = self.socket()?;
        let index = interface_index(wanted.interface)?;
        let on_interface = addresses_of(&socket, index).await?;
        let Wanted { interface, address, prefix, .. } = wanted;
        let company = Company { interface, address, prefix, leased: wanted.lifetime.is_some(), own };
        if !is_to_be_moved(on_interface.iter(), company) {
            return Ok(Moved::No);
        }
        let it =
            |there: &AddressMessage| is(there, wanted.address) && there.header.prefix_len == wanted.prefix;
        let began = clock::now();
        // What goes with it is kept by `delete_each`: it is the host's own address.
        if !self.delete_each(&socket, wanted.interface, &on_interface, it).await? {
            return Ok(Moved::No);
        }
        // Whoever asks for the VIP meanwhile hears nobody. So it is added as late as a start may be, and no later: the rules see that it
        // is gone, ask the network, and start it.
        if clock::now().since(began) > START_WITHIN {
            return Ok(Moved::TooLate);
        }
        let message = RouteMessage::NewAddress(address_to_add(index, wanted));
        socket.order(message, NLM_F_CREATE | NLM_F_EXCL).await.map(|()| Moved::Behind)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    /// It is where it should be, or gone.
    No,
    Behind,
    /// It is gone: there was no time to add it again.
    TooLate,
}

/// `on_interface`: in the kernel's order.
pub(super) fn is_to_be_moved<'a>(
    on_interface: impl Iterator<Item = &'a AddressMessage>,
    wanted: Company<'_>,
) -> bool {
    let mut from_it = on_interface
        .skip_while(|there| !(is(there, wanted.address) && there.header.prefix_len == wanted.prefix));
    let Some(vip) = from_it.next() else { return false };
    let has_a_route = !vip.attributes.iter().any(|attribute| {
        matches!(attribute, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Noprefixroute))
    });
    has_a_route || from_it.any(|later| wanted.own.are_of(later, wanted.interface))
}

impl OwnAddresses<'_> {
    fn are_of(self, there: &AddressMessage, interface: &str) -> bool {
        let Some(address) = own_address(there) else { return false };
        match self {
            Self::Among(members) => members.contains(&address),
            Self::Unlabelled => {
                let plain = AddressAttribute::Label(interface.to_owned());
                there.header.prefix_len < full_prefix(address) && there.attributes.contains(&plain)
            }
        }
    }
}
