//! A second network beside the segment, for a VIP on an interface of its own: another bridge, and one interface more on each database host
//! and on the client. It is there for as long as a test needs it.

use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::packet_route::link::BridgeStpState;
use rtnetlink::{LinkBridge, LinkUnspec, LinkVeth};

use super::{PREFIX, Segment, SegmentError, Step, addresses_of, index, on};
use crate::host::Host;

/// Each host's interface there.
pub const SECOND_INTERFACE: &str = "eth1";
/// The bridge, which carries that network's gateway's address.
const SECOND_BRIDGE: &str = "br1";
/// What its hosts' ends of the cables are called.
const CABLE: &str = "-2";

/// The address in the second network of the host that has this one in the first: 10.78.0.11 of 10.77.0.11.
pub fn in_second(address: Ipv4Addr) -> Ipv4Addr {
    let [_, _, _, last] = address.octets();
    Ipv4Addr::new(10, 78, 0, last)
}

impl Segment {
    /// Makes it, and plugs the database hosts and the client in.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn plug_in_second(&self) -> Result<(), SegmentError> {
        on(&self.gateway, "making the second bridge", async |netlink| {
            let bridge = LinkBridge::new(SECOND_BRIDGE)
                .stp_state(BridgeStpState::Disabled)
                .forward_delay(0)
                .mcast_snooping(false)
                .up();
            netlink.link().add(bridge.build()).execute().await?;
            let gateway = in_second(self.gateway.address());
            Ok(netlink.address().add(index(SECOND_BRIDGE)?, gateway.into(), PREFIX).execute().await?)
        })?;
        self.databases.iter().chain([&self.client]).try_for_each(|host| self.plug_in_there(host))
    }

    fn plug_in_there(&self, host: &Host) -> Result<(), SegmentError> {
        let near_end = format!("{}{CABLE}", host.name());
        on(&self.gateway, "plugging a host into the second network", async |netlink| {
            let far_end = "far-end-2";
            netlink.link().add(LinkVeth::new(&near_end, far_end).build()).execute().await?;
            let near = LinkUnspec::new_with_index(index(&near_end)?).controller(index(SECOND_BRIDGE)?).up();
            netlink.link().set(near.build()).execute().await?;
            let far = LinkUnspec::new_with_index(index(far_end)?)
                .setns_by_pid(host.holder())
                .name(SECOND_INTERFACE.to_owned());
            Ok(netlink.link().set(far.build()).execute().await?)
        })?;
        on(host, "setting its second interface up", async |netlink| {
            let interface = index(SECOND_INTERFACE)?;
            let own = in_second(host.address()).into();
            netlink.address().add(interface, own, PREFIX).execute().await?;
            Ok(netlink.link().set(LinkUnspec::new_with_index(interface).up().build()).execute().await?)
        })
    }

    /// Takes it all away again.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn unplug_second(&self) -> Result<(), SegmentError> {
        on(&self.gateway, "taking the second network away", async |netlink| {
            for host in self.databases.iter().chain([&self.client]) {
                netlink.link().del(index(&format!("{}{CABLE}", host.name()))?).execute().await?;
            }
            Ok(netlink.link().del(index(SECOND_BRIDGE)?).execute().await?)
        })
    }

    /// Sets a host's second interface up or down. It keeps its IPv4 addresses.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_second(&self, host: &Host, up: bool) -> Result<(), SegmentError> {
        on(host, "setting its second interface up or down", async |netlink| {
            let link = LinkUnspec::new_with_index(index(SECOND_INTERFACE)?);
            let link = if up { link.up() } else { link.down() };
            Ok(netlink.link().set(link.build()).execute().await?)
        })
    }

    /// The addresses that a host has on this interface now; none where there is no such interface.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn addresses_on(&self, host: &Host, interface: &str) -> Result<Vec<IpAddr>, SegmentError> {
        on(host, "reading the addresses of an interface", async |netlink| {
            let interface = match index(interface) {
                Ok(interface) => interface,
                Err(Step::NoInterface(_, nix::Error::ENODEV)) => return Ok(Vec::new()),
                Err(other) => return Err(other),
            };
            let found = addresses_of(netlink, interface).await?;
            Ok(found.into_iter().map(|(address, _)| address).collect())
        })
    }
}
