//! Effects as data. `step` returns them in the order in which they are to be carried out; each is idempotent.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::net::{Mac, VipId};

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// About this VIP.
    Vip(VipId, VipAction),
    /// Put a question to the local server now, not at the next poll.
    AskServer,
    /// Probe the gateway now.
    AskGateway,
    /// Read the host's addresses and interfaces anew.
    AskHost,
    /// Ask the server of this member what it is (`Event::Peer`).
    AskPeer(IpAddr),
    /// Ask by ARP for the members' addresses, so that their MACs are known (`Event::Neighbor`).
    LearnNeighbors,
    /// Poll the local server at this interval from now on.
    PollEvery(Duration),
    /// Write the state file (S6).
    WriteStat(StatMark),
    /// Read the local server's `group_replication_member_expel_timeout` (`Event::ExpelTimeout`).
    ReadExpelTimeout,
    /// Ask whether a member's MySQL port answers or refuses (`Event::MemberPort`).
    LookAtMember(IpAddr),
    /// Set the local server's `group_replication_member_expel_timeout` to the value that it has, which wakes the
    /// server's thread that expels. `Done` comes back.
    WakeExpel,
    /// Set it to 0, after `original` is on disk. `Done` comes back.
    SetExpelTimeout {
        /// The value to be restored, in seconds.
        original: u32,
    },
    /// Put it back where it is still 0, and forget the value on disk. `Done` comes back.
    RestoreExpelTimeout {
        /// In seconds.
        value: u32,
    },
    /// Run the operator's fence command for this member (`Event::Fenced`).
    Fence {
        /// Its address.
        member: IpAddr,
        /// Its name, `MEMBER_HOST`.
        name: String,
    },
}

/// What is to be done about one VIP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VipAction {
    /// Send one ARP probe for the VIP (RFC 5227: sender address 0.0.0.0).
    SendProbe,
    /// Say that the VIP, removed just before, is free: to this member alone, which may take it at once, or to nobody in
    /// particular, and then whoever wants it asks the network as ever. Where it was not here to be removed, or that was
    /// more than a moment ago, it is said to nobody in particular: another may have found it free since.
    AnnounceRelease(Option<Mac>),
    /// Ask by ARP, from this host's own address, who has the VIP: another that has it answers (`Says::Reply`).
    AskWhoHasVip,
    /// Start the VIP: add it to this interface, where it is not yet. An address that is there already is left as it is, and
    /// that is a failure. Not carried out later than [`crate::driver::START_WITHIN`].
    AddAddress {
        /// The interface.
        interface: String,
        /// After this the kernel itself drops the address; none: it stays until removed.
        lifetime: Option<Duration>,
    },
    /// Set the lifetime of the VIP on this interface anew, in place, and only where it is there: what is gone is not added,
    /// it is [`Outcome::Gone`]. Not carried out later than [`crate::driver::RENEWAL_WITHIN`].
    RenewAddress {
        /// The interface.
        interface: String,
        /// After this the kernel itself drops the address; none: it stays until removed.
        lifetime: Option<Duration>,
    },
    /// Remove the VIP from this interface.
    RemoveAddress {
        /// The interface.
        interface: String,
    },
    /// Tell the network that the VIP is here: gratuitous ARP, request and reply forms.
    Announce,
    /// Remember the VIP's TCP connections, as they are now, for `TickleClients` and `DestroyConnections`.
    ListConnections,
    /// Keep, within bounds, what still arrives at this interface for the VIP once it has left. Where it can't be done the
    /// VIP leaves all the same. It ends by itself, and when the VIP is added here.
    KeepLatePackets {
        /// The interface.
        interface: String,
    },
    /// Send what was kept, and what still comes within a moment, on to the new holder's hardware address. Nothing is done
    /// where nothing is kept.
    ForwardLatePackets(Mac),
    /// Remember who asks at this interface for a connection to the VIP and is sent to this hardware address, its former
    /// holder's, which no longer answers. Where it can't be done the VIP comes all the same.
    WatchOrphanSyns {
        /// The interface.
        interface: String,
        /// The former holder's hardware address.
        mac: Mac,
    },
    /// Refuse those who asked within the last moment, so that they try again at once, and end it. Nothing is done where
    /// nobody is watched for.
    RefuseOrphanSyns,
    /// Watch for them no more.
    EndOrphanSyns,
    /// Send each remembered client one bare ACK from the VIP, so that its kernel asks the new holder's, which resets it.
    TickleClients,
    /// Close this host's ends of the remembered connections, and forget them.
    DestroyConnections,
}

/// How an action went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Succeeded,
    /// Nothing was done: the address that was to be renewed, or removed, was not there.
    Gone,
    /// Not done, in the words of what failed.
    Failed(String),
}

/// The character in the state file (S6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatMark {
    /// `0`: the VIP was closed here.
    Stopped,
    /// `1`: nothing has changed lately.
    Quiet,
    /// `2`: the VIP was started here.
    Started,
}

impl StatMark {
    /// The one character.
    pub fn character(self) -> char {
        match self {
            Self::Stopped => '0',
            Self::Quiet => '1',
            Self::Started => '2',
        }
    }
}
