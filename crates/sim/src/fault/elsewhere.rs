//! What befalls the segment that only VIPs are on, and the hosts' interfaces there.

use core::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Fault, Who};
use crate::group::{Place, Places};
use crate::nic::Nic;
use crate::world::{Change, Cut, World};

/// A fault on that segment. How long it lasts its [`Fault`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "`who` is whom it meets")]
pub enum Elsewhere {
    /// The host and all others hear each other no more.
    Cut { who: Who },
    /// The first `left` hosts and the others hear each other no more.
    Partition { left: usize },
    /// The host hears nobody, and is heard.
    ReceiveDown { who: Who },
    /// The host is heard by nobody, and hears.
    Mute { who: Who },
    /// This share of all frames is lost, in percent.
    Loss { percent: u8 },
    /// This share of the frames that the host sends is lost, in percent.
    LossFrom { who: Who, percent: u8 },
    /// Some frames come twice.
    Duplicated,
    /// Frames overtake each other, by 5 ms at the most.
    Reordered,
    /// Some frames are up to 2 s late.
    Late,
    /// A host that is no member uses the VIP.
    Stranger,
    /// A switch answers probes from its cache.
    SwitchAnswers,
    /// The interface goes, and comes back with another hardware address.
    InterfaceGone { who: Who },
    /// The interface has no carrier: its addresses stay.
    CarrierLost { who: Who },
    /// The interface loses the address that it has beside VIPs.
    AddressGone { who: Who },
}

impl Elsewhere {
    /// The same there as that on the members' segment, if there is such a one.
    pub fn like(fault: Fault) -> Option<Self> {
        Some(match fault {
            Fault::ClientSideCut { who, .. } => Self::Cut { who },
            Fault::Partition { left, .. } => Self::Partition { left },
            Fault::ReceiveDown { who, .. } => Self::ReceiveDown { who },
            Fault::Mute { who, .. } => Self::Mute { who },
            Fault::Loss { percent, .. } => Self::Loss { percent },
            Fault::LossFrom { who, percent, .. } => Self::LossFrom { who, percent },
            Fault::Duplicated { .. } => Self::Duplicated,
            Fault::Reordered { .. } => Self::Reordered,
            Fault::Late { .. } => Self::Late,
            Fault::Stranger { .. } => Self::Stranger,
            Fault::SwitchAnswers { .. } => Self::SwitchAnswers,
            Fault::InterfaceGone { who, .. } => Self::InterfaceGone { who },
            _ => return None,
        })
    }

    /// Frames between hosts that hear each other are lost or late.
    pub fn loses_frames(self) -> bool {
        matches!(self, Self::Loss { .. } | Self::LossFrom { .. } | Self::Late)
    }

    /// Lets it happen now. Where no VIP is on that segment it is nobody's.
    pub(super) fn happen(self, world: &mut World, length: Duration) {
        if !world.has_elsewhere() {
            return;
        }
        let only = |place: Place| -> Places { [place].into_iter().collect() };
        let nic = Nic::Eth1;
        let whom = |who: Who| world.who_elsewhere(who);
        let cut = match self {
            Self::Cut { who } => Cut::Segment(nic, only(whom(who))),
            Self::Partition { left } => {
                Cut::Segment(nic, Places::first(left.clamp(1, world.hosts.len().saturating_sub(1))))
            }
            Self::ReceiveDown { who } => Cut::ReceiveDown(nic, whom(who)),
            Self::Mute { who } => Cut::Mute(nic, whom(who)),
            Self::Loss { percent } => Cut::Loss(nic, percent),
            Self::LossFrom { who, percent } => Cut::LossFrom(nic, whom(who), percent),
            Self::Duplicated => Cut::Duplicated(nic),
            Self::Reordered => Cut::Reordered(nic),
            Self::Late => Cut::Late(nic),
            Self::Stranger => Cut::Stranger(nic),
            Self::SwitchAnswers => Cut::SwitchAnswers(nic),
            Self::InterfaceGone { who } | Self::CarrierLost { who } | Self::AddressGone { who } => {
                let host = whom(who);
                return self.take_interface(world, host, length);
            }
        };
        world.cut_for(cut, length);
    }

    fn take_interface(self, world: &mut World, host: Place, length: Duration) {
        let nic = Nic::Eth1;
        let (goes, comes) = match self {
            Self::CarrierLost { .. } => (Change::Carrier(host, nic, false), Change::Carrier(host, nic, true)),
            Self::AddressGone { .. } => {
                (Change::OwnAddress(host, nic, false), Change::OwnAddress(host, nic, true))
            }
            _ => (Change::InterfaceGoes(host, nic), Change::InterfaceComes(host, nic)),
        };
        world.change_in(Duration::ZERO, goes);
        world.change_in(length, comes);
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("on the second segment ")?;
        match self {
            Self::Cut { who } => write!(f, "{who} is cut off"),
            Self::Partition { left } => write!(f, "the first {left} and the others are apart"),
            Self::ReceiveDown { who } => write!(f, "{who} hears nobody"),
            Self::Mute { who } => write!(f, "{who} is heard by nobody"),
            Self::Loss { percent } => write!(f, "{percent} % of all frames are lost"),
            Self::LossFrom { who, percent } => write!(f, "{percent} % of {who}'s frames are lost"),
            Self::Duplicated => f.write_str("frames come twice"),
            Self::Reordered => f.write_str("frames overtake each other"),
            Self::Late => f.write_str("frames are up to 2 s late"),
            Self::Stranger => f.write_str("a stranger uses the VIP"),
            Self::SwitchAnswers => f.write_str("a switch answers probes from its cache"),
            Self::InterfaceGone { who } => write!(f, "{who}'s interface goes"),
            Self::CarrierLost { who } => write!(f, "{who}'s interface has no carrier"),
            Self::AddressGone { who } => write!(f, "{who}'s interface has no address of its own"),
        }
    }
}
