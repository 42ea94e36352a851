//! What is to be done about one VIP, as data.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fitness::Fitness;
use crate::net::Mac;

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
    /// Say to all members how fit this host is to have reader VIPs, and ask in the same breath who has this one, the first of them.
    SayFitness(Fitness),
    /// Say on the VIP's interface, which has no member's address, which member this host is, and ask in the same breath who has the VIP. It
    /// goes out before what is ordered after it.
    SayMember {
        /// The member.
        member: IpAddr,
        /// From which of the interface's own addresses.
        from: IpAddr,
    },
    /// Start the VIP: add it to this interface, where it is not yet. An address that is there already is left as it is, and
    /// that is a failure. Not carried out later than [`crate::driver::START_WITHIN`].
    AddAddress {
        /// The interface.
        interface: String,
        /// After this the kernel itself drops the address; none: it stays until removed.
        lifetime: Option<Duration>,
    },
    /// Set the lifetime of the VIP on this interface anew, in place, and only where it is there: what is gone is not added,
    /// it is [`Gone`](crate::output::Outcome::Gone). Not carried out later than [`crate::driver::RENEWAL_WITHIN`].
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
    /// Begin to list the VIP's TCP connections, for `TickleClients` and `DestroyConnections`. Ordered once the VIP has left: those of an
    /// address that is gone are still there, and none comes any more.
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
    /// Close this host's ends of the remembered connections, and forget them; and have the kernel forget the VIP's that are over.
    DestroyConnections,
}
