//! The segment: a bridge that is also the gateway, three database hosts and a client.

mod addresses;
mod second;

use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{BridgeStpState, LinkAttribute};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::host::{Host, HostError};
use crate::namespace::Layout;

pub use self::addresses::{
    CLIENT, Family, GATEWAY, VIP, all_readers, databases, family, gateway, ipv6, members, readers,
    set_family, set_members, set_vips, some_readers, vip, vips,
};

pub use self::second::{SECOND_INTERFACE, in_second};

/// The network's prefix length, in bits.
pub const PREFIX: u8 = 24;
/// The same of its IPv6 network.
const PREFIX_V6: u8 = 64;
/// The machine that is no member, where a fault needs one: name and address.
const STRANGER: (&str, Ipv4Addr) = ("stranger", Ipv4Addr::new(10, 77, 0, 66));
/// A hardware address.
pub type Mac = [u8; 6];
/// Every host's interface.
pub const INTERFACE: &str = "eth0";
/// The bridge, which carries the gateway's address.
pub const BRIDGE: &str = "br0";

/// Why the segment could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The host itself failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The kernel refused a link, an address or a route.
    #[error("{what}: {cause}. The kernel needs veth and bridge (modprobe veth bridge)")]
    Netlink {
        /// What was being done, and on which host.
        what: String,
        /// The kernel's answer.
        cause: rtnetlink::Error,
    },
    /// No such interface.
    #[error("{what}: no interface called {interface}: {cause}")]
    NoInterface {
        /// What was being done, and on which host.
        what: String,
        /// The interface's name.
        interface: String,
        /// The system's answer.
        cause: nix::Error,
    },
    /// The netlink socket could not be opened.
    #[error("can't speak netlink: {0}")]
    Socket(#[from] std::io::Error),
}

/// The segment and all that is joined to it. Hosts are shared, so that witnesses and clients can be started on them.
#[derive(Debug)]
pub struct Segment {
    /// Holds the bridge, the gateway's address and the other end of each host's cable.
    pub gateway: Host,
    /// Where the writing client runs.
    pub client: Host,
    /// The database hosts, in the order of [`databases`].
    pub databases: Vec<Host>,
}

impl Segment {
    /// Makes the hosts and plugs them in.
    pub fn start(layout: &Layout) -> Result<Self, SegmentError> {
        let gateway = Host::start(layout, "gateway", GATEWAY)?;
        on(&gateway, "making the bridge", async |netlink| {
            let bridge = LinkBridge::new(BRIDGE)
                .stp_state(BridgeStpState::Disabled)
                .forward_delay(0)
                .mcast_snooping(false);
            netlink.link().add(bridge.build()).execute().await.map_err(Step::Netlink)
        })?;
        let client = Host::start(layout, "client", CLIENT)?;
        let mut databases = Vec::new();
        for (name, address) in self::databases() {
            databases.push(Host::start(layout, name, *address)?);
        }
        let segment = Self { gateway, client, databases };
        segment.set_gateway(true)?;
        for host in segment.databases.iter().chain([&segment.client]) {
            segment.plug_in(host)?;
        }
        Ok(segment)
    }

    /// A cable from the bridge (its end is called as the host) to the host's interface.
    fn plug_in(&self, host: &Host) -> Result<(), SegmentError> {
        on(&self.gateway, "plugging a host in", async |netlink| {
            let far_end = "far-end";
            netlink.link().add(LinkVeth::new(host.name(), far_end).build()).execute().await?;
            let near = LinkUnspec::new_with_index(index(host.name())?).controller(index(BRIDGE)?).up();
            netlink.link().set(near.build()).execute().await?;
            let far = LinkUnspec::new_with_index(index(far_end)?)
                .setns_by_pid(host.holder())
                .name(INTERFACE.to_owned());
            Ok(netlink.link().set(far.build()).execute().await?)
        })?;
        self.set_interface_up(host)
    }

    /// Gives a host's interface what the host's network service gives it at boot: its own address, up, the default route. What is
    /// there already stays.
    pub fn set_interface_up(&self, host: &Host) -> Result<(), SegmentError> {
        on(host, "setting the interface up", async |netlink| {
            let interface = index(INTERFACE)?;
            netlink.address().add(interface, host.address().into(), PREFIX).replace().execute().await?;
            netlink.link().set(LinkUnspec::new_with_index(interface).up().build()).execute().await?;
            add_v6(netlink, interface, host.address()).await?;
            let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(GATEWAY).build();
            Ok(netlink.route().add(default).replace().execute().await?)
        })
    }

    /// Sets a host's interface down. It keeps its IPv4 addresses, and loses those of IPv6 and its routes: [`Self::set_interface_up`] undoes that.
    pub fn set_interface_down(&self, host: &Host) -> Result<(), SegmentError> {
        on(host, "setting the interface down", async |netlink| {
            let down = LinkUnspec::new_with_index(index(INTERFACE)?).down().build();
            Ok(netlink.link().set(down).execute().await?)
        })
    }

    /// Takes every address but the link-local one off a host's interface, its own too, and with them its routes, as a network service does that is
    /// started anew: [`Self::set_interface_up`] is the rest of that.
    pub fn flush_addresses(&self, host: &Host) -> Result<(), SegmentError> {
        on(host, "flushing its addresses", async |netlink| {
            let interface = index(INTERFACE)?;
            // The kernel takes an address along with the first of its network: what is left is asked for anew each time.
            while let Some((_, first)) = addresses_of(netlink, interface).await?.into_iter().next() {
                netlink.address().del(first).execute().await?;
            }
            Ok(())
        })
    }

    /// A machine that is no member, with an interface of its own on the segment. It is gone when it is dropped.
    pub fn join_stranger(&self, layout: &Layout) -> Result<Host, SegmentError> {
        let stranger = Host::start(layout, STRANGER.0, STRANGER.1)?;
        self.plug_in(&stranger)?;
        Ok(stranger)
    }

    /// Takes a host's interface away, and puts a new one in: of the same name, with the host's own address and route, and another
    /// hardware address.
    pub fn renew_interface(&self, host: &Host) -> Result<(), SegmentError> {
        self.take_interface(host)?;
        self.plug_in(host)
    }

    /// Takes a host's interface away, with its cable.
    pub fn take_interface(&self, host: &Host) -> Result<(), SegmentError> {
        on(&self.gateway, "taking an interface away", async |netlink| {
            Ok(netlink.link().del(index(host.name())?).execute().await?)
        })
    }

    /// Pulls (`false`) or plugs (`true`) the cable of a host, at the switch's end. The host keeps its addresses.
    pub fn set_cable(&self, host: &Host, plugged: bool) -> Result<(), SegmentError> {
        on(&self.gateway, "moving a cable", async |netlink| {
            let port = LinkUnspec::new_with_index(index(host.name())?);
            let port = if plugged { port.up() } else { port.down() };
            Ok(netlink.link().set(port.build()).execute().await?)
        })
    }

    /// Gives the gateway its address or takes it away: without it neither ARP nor echo is answered.
    pub fn set_gateway(&self, there: bool) -> Result<(), SegmentError> {
        if !there {
            remove_address(&self.gateway, BRIDGE, ipv6(GATEWAY).into())?;
            return remove_address(&self.gateway, BRIDGE, GATEWAY.into());
        }
        on(&self.gateway, "giving the gateway its address", async |netlink| {
            let bridge = index(BRIDGE)?;
            netlink.address().add(bridge, GATEWAY.into(), PREFIX).replace().execute().await?;
            add_v6(netlink, bridge, GATEWAY).await
        })
    }

    /// Adds the VIP to a host's interface with the segment's prefix length and without an end, as `ip address add` does; with IPv6 as
    /// `ip address add … nodad`.
    pub fn add_vip(&self, host: &Host) -> Result<(), SegmentError> {
        on(host, "adding the VIP", async |netlink| {
            let prefix = if vip().is_ipv6() { PREFIX_V6 } else { PREFIX };
            let mut add = netlink.address().add(index(INTERFACE)?, vip(), prefix);
            if vip().is_ipv6() {
                add.message_mut().header.flags = AddressHeaderFlags::Nodad;
            }
            Ok(add.execute().await?)
        })
    }

    /// Takes the VIP off a host's interface, as an operator's hand would. Not being there is an error.
    pub fn remove_vip(&self, host: &Host) -> Result<(), SegmentError> {
        remove_address(host, INTERFACE, vip())
    }

    /// Takes any other address off a host's interface. Not being there is an error.
    pub fn remove_address(&self, host: &Host, address: impl Into<IpAddr>) -> Result<(), SegmentError> {
        remove_address(host, INTERFACE, address.into())
    }

    /// The addresses that a host has on its interface now, but for the link-local one.
    pub fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, SegmentError> {
        on(host, "reading its addresses", async |netlink| {
            let found = addresses_of(netlink, index(INTERFACE)?).await?;
            Ok(found.into_iter().map(|(address, _)| address).collect())
        })
    }

    /// A host's hardware address.
    pub fn mac(&self, host: &Host) -> Result<Mac, SegmentError> {
        on(host, "reading its hardware address", async |netlink| {
            let mut links = netlink.link().get().match_name(INTERFACE.to_owned()).execute();
            let link = links.try_next().await?;
            link.and_then(|link| {
                link.attributes.iter().find_map(|attribute| match attribute {
                    LinkAttribute::Address(bytes) => Mac::try_from(bytes.as_slice()).ok(),
                    _ => None,
                })
            })
            .ok_or_else(|| Step::NoInterface(INTERFACE.to_owned(), nix::Error::ENODEV))
        })
    }

    /// Where the client sends what is for the VIP: what its kernel has learnt by ARP. None while it is asking.
    pub fn clients_way_to_the_vip(&self) -> Result<Option<Mac>, SegmentError> {
        on(&self.client, "reading its neighbors", async |netlink| {
            let entry = among_neighbors(netlink, vip()).await?;
            Ok(entry.and_then(|entry| {
                entry.attributes.iter().find_map(|attribute| match attribute {
                    NeighbourAttribute::LinkLayerAddress(bytes) => Mac::try_from(bytes.as_slice()).ok(),
                    _ => None,
                })
            }))
        })
    }

    /// Lets the client's kernel ask anew who has the VIP, as one does that has not spoken to it for long.
    pub fn forget_clients_way_to_the_vip(&self) -> Result<(), SegmentError> {
        Self::forget_neighbor(&self.client, vip())
    }

    /// Tells a host's kernel for good where another is.
    pub(crate) fn pin_neighbor(&self, host: &Host, other: &Host) -> Result<(), SegmentError> {
        let (address, mac) = (other.address().into(), self.mac(other)?);
        on(host, "pinning a neighbor", async |netlink| {
            let add = netlink.neighbours().add(index(INTERFACE)?, address).link_layer_address(&mac);
            Ok(add.replace().execute().await?)
        })
    }

    /// Lets a host's kernel ask anew where an address is.
    pub(crate) fn forget_neighbor(host: &Host, address: IpAddr) -> Result<(), SegmentError> {
        on(host, "forgetting a neighbor", async |netlink| match among_neighbors(netlink, address).await? {
            Some(entry) => Ok(netlink.neighbours().del(entry).execute().await?),
            None => Ok(()),
        })
    }

    /// Lets the gateway's kernel ask anew, by ARP, where a host is, before it can answer it.
    pub fn forget_gateways_way_to(&self, host: &Host) -> Result<(), SegmentError> {
        Self::forget_neighbor(&self.gateway, host.address().into())
    }

    /// Leaves a host only its own address, as a boot does.
    pub fn forget_other_addresses(&self, host: &Host) -> Result<(), SegmentError> {
        for address in self.addresses(host)? {
            if address != IpAddr::from(host.address()) && address != IpAddr::from(ipv6(host.address())) {
                remove_address(host, INTERFACE, address)?;
            }
        }
        Ok(())
    }
}

/// The names of the segment's hosts, as their `/etc/hosts` has them.
pub(crate) fn hosts_file() -> String {
    let mut lines = String::from("127.0.0.1 localhost\n::1 localhost\n");
    let others = [("gateway", GATEWAY), ("client", CLIENT)];
    lines.extend(databases().iter().chain(&others).map(|(name, address)| format!("{address} {name}\n")));
    lines + &format!("{} vip\n", vip())
}

/// Brings `lo` up in this process's network.
pub(crate) fn raise_loopback() -> Result<(), SegmentError> {
    let outcome = with_netlink(async |netlink| {
        let loopback = LinkUnspec::new_with_index(index("lo")?).up().build();
        Ok(netlink.link().set(loopback).execute().await?)
    })?;
    outcome.map_err(|step| step.named("bringing the loopback up".to_owned()))
}

async fn among_neighbors(netlink: &Handle, address: IpAddr) -> Result<Option<NeighbourMessage>, Step> {
    let wanted = NeighbourAttribute::Destination(match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    });
    let mut entries = netlink.neighbours().get().execute();
    while let Some(entry) = entries.try_next().await? {
        if entry.attributes.contains(&wanted) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

fn remove_address(host: &Host, interface: &str, address: IpAddr) -> Result<(), SegmentError> {
    on(host, "removing an address", async |netlink| {
        let found = addresses_of(netlink, index(interface)?).await?;
        let message = found.into_iter().find(|(found, _)| *found == address).map(|(_, message)| message);
        match message {
            Some(message) => Ok(netlink.address().del(message).execute().await?),
            None => Err(Step::NoInterface(format!("{interface} with {address}"), nix::Error::EADDRNOTAVAIL)),
        }
    })
}

/// Gives an interface the IPv6 address beside this one, usable at once. What is there already stays.
async fn add_v6(netlink: &Handle, interface: u32, beside: Ipv4Addr) -> Result<(), Step> {
    let mut add = netlink.address().add(interface, ipv6(beside).into(), PREFIX_V6).replace();
    add.message_mut().header.flags = AddressHeaderFlags::Nodad;
    Ok(add.execute().await?)
}

/// An interface's addresses of both families, but for the link-local one.
async fn addresses_of(netlink: &Handle, interface: u32) -> Result<Vec<(IpAddr, AddressMessage)>, Step> {
    let mut stream = netlink.address().get().set_link_index_filter(interface).execute();
    let mut found = Vec::new();
    while let Some(message) = stream.try_next().await? {
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address @ IpAddr::V4(_)) => Some(*address),
            AddressAttribute::Address(IpAddr::V6(address)) if !address.is_unicast_link_local() => {
                Some(IpAddr::from(*address))
            }
            _ => None,
        });
        if let Some(address) = address {
            found.push((address, message));
        }
    }
    Ok(found)
}

/// What stopped a piece of netlink work, before it is known where it ran.
enum Step {
    Netlink(rtnetlink::Error),
    NoInterface(String, nix::Error),
}

impl From<rtnetlink::Error> for Step {
    fn from(cause: rtnetlink::Error) -> Self {
        Self::Netlink(cause)
    }
}

impl Step {
    fn named(self, what: String) -> SegmentError {
        match self {
            Self::Netlink(cause) => SegmentError::Netlink { what, cause },
            Self::NoInterface(interface, cause) => SegmentError::NoInterface { what, interface, cause },
        }
    }
}

fn index(interface: &str) -> Result<u32, Step> {
    if_nametoindex(interface).map_err(|cause| Step::NoInterface(interface.to_owned(), cause))
}

/// Does netlink work in a host's network.
fn on<T: Send>(
    host: &Host,
    what: &'static str,
    work: impl AsyncFnOnce(&Handle) -> Result<T, Step> + Send,
) -> Result<T, SegmentError> {
    let outcome = host.in_network(|| with_netlink(work))??;
    outcome.map_err(|step| step.named(format!("{}: {what}", host.name())))
}

/// Does netlink work in this thread's network.
fn with_netlink<T>(
    work: impl AsyncFnOnce(&Handle) -> Result<T, Step>,
) -> Result<Result<T, Step>, SegmentError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        let outcome = work(&handle).await;
        connection.abort();
        Ok(outcome)
    })
}
