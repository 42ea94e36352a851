//! This host's addresses, and how long the kernel keeps them: asked of the kernel, whatever an agent thinks.

use std::net::IpAddr;
use std::time::Duration;

use linux::netlink::{RouteSocket, own_address};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};

use super::picture::Known;

/// An address that the kernel keeps without an end.
const FOR_EVER: u32 = u32::MAX;

/// One address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KernelAddress {
    /// The address.
    pub(super) address: IpAddr,
    /// The interface that bears it.
    pub(super) interface: String,
    /// How long the kernel keeps it, in whole seconds; none: without an end.
    pub(super) left: Option<Duration>,
}

/// All of them. To be called inside a tokio runtime.
pub(super) async fn addresses() -> Known<Vec<KernelAddress>> {
    let socket = RouteSocket::open().map_err(|error| error.to_string())?;
    let all = socket.addresses().await.map_err(|error| error.to_string())?;
    Ok(all.iter().filter_map(read).collect())
}

fn read(message: &AddressMessage) -> Option<KernelAddress> {
    let interface = nix::net::if_::if_indextoname(message.header.index).ok()?;
    let left = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::CacheInfo(times) => Some(times.ifa_valid),
        _ => None,
    });
    let left = left.filter(|left| *left != FOR_EVER).map(|left| Duration::from_secs(left.into()));
    Some(KernelAddress {
        address: own_address(message)?,
        interface: interface.to_string_lossy().into_owned(),
        left,
    })
}
