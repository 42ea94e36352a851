//! What the log is told of hearing on a segment.

use std::net::IpAddr;
use std::sync::Arc;

use linux::packet_socket::PacketSocketError;
use wire::Family;

use super::FRAMES_PER_SECOND;

/// Something for the log. Each is told when it begins, not each time that it is found again.
#[derive(Debug, thiserror::Error)]
pub enum NeighborReport {
    /// Nothing can be heard; it is tried again and again.
    #[error("{} can't be received: {cause}; trying again", about(*family, *vip))]
    ReceiveDown {
        /// Of which kind nothing is heard.
        family: Family,
        /// The VIP.
        vip: IpAddr,
        /// Why.
        cause: Arc<PacketSocketError>,
    },
    /// Heard again after `ReceiveDown`.
    #[error("{} are received again on {interface}", about(*family, *vip))]
    ReceiveUp {
        /// Of which kind.
        family: Family,
        /// The VIP.
        vip: IpAddr,
        /// The interface.
        interface: String,
    },
    /// More frames than the limit: what is more is dropped.
    #[error(
        "a flood of {} on {interface}: more than {FRAMES_PER_SECOND} a second are dropped",
        about(Family::of(*vip), *vip)
    )]
    Flood {
        /// The VIP.
        vip: IpAddr,
        /// The interface.
        interface: String,
    },
    /// The flood is over.
    #[error("the flood of {} on {interface} is over; {dropped} were dropped", about(Family::of(*vip), *vip))]
    FloodOver {
        /// The VIP.
        vip: IpAddr,
        /// The interface.
        interface: String,
        /// Frames dropped during it.
        dropped: u64,
    },
}

/// What is spoken of. In the other family than the VIP's it is the members' or the gateway's addresses that are asked for.
fn about(family: Family, vip: IpAddr) -> String {
    let frames = match family {
        Family::V4 => "ARP frames",
        Family::V6 => "neighbor discovery messages",
    };
    if family == Family::of(vip) {
        format!("{frames} about {vip}")
    } else {
        format!("{frames} about the members and the gateway of {vip}")
    }
}
