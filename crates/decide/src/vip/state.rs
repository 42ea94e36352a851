//! What one agent has to do with one VIP, as data.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::input::Says;
use crate::net::Mac;
use crate::time::Time;

/// A host that is no member, as far as is known, and uses or asks for the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stranger {
    /// Its hardware address.
    pub mac: Mac,
    /// What it said: an announcement outweighs a probe.
    pub says: Says,
    /// When it was first heard: the members are asked for their hardware addresses before it is called a stranger.
    pub since: Time,
    /// When it was last named in a reason.
    pub named_at: Option<Time>,
}

/// Connections of the VIP that stayed behind when it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeftBehind {
    /// When the address left.
    pub at: Time,
    /// When the clients were tickled first.
    pub tickled_at: Option<Time>,
}

/// What this agent has to do with the address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VipState {
    /// The VIP is not here.
    Absent,
    /// It should be here, and the network is being asked for it.
    Claiming(Claim),
    /// It is here, or is just being added.
    Holding(Hold),
    /// It is just being removed.
    Releasing {
        /// Since when.
        since: Time,
        /// The interface that it is removed from.
        interface: String,
        /// When to try again, should it still be there.
        retry_at: Time,
    },
}

/// The asking side.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// When the wish arose: facts asked for after this are the second check (S13).
    pub since: Time,
    /// When the server and the gateway were last asked for this claim.
    pub asked_at: Time,
    /// Probes sent since the last answer.
    pub probes: u32,
    /// When the next is due.
    pub next_probe: Time,
    /// Since when another host answers for the address.
    pub taken_since: Option<Time>,
    /// The host that answered, and when it last did.
    pub answered: Option<(Mac, Time)>,
    /// Other hosts that answered before it, and have not been heard to let go since: its word is not theirs.
    #[serde(default)]
    pub others: Vec<(Mac, Time)>,
    /// When the host that answered said that it is free, and this host's to take.
    #[serde(default)]
    pub released_at: Option<Time>,
    /// Since when nothing but a rival keeps this host from taking it.
    #[serde(default)]
    pub ready_since: Option<Time>,
    /// Members that probe at the same time: when first and when last heard.
    pub rivals: BTreeMap<IpAddr, Rival>,
}

/// A member that claims at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rival {
    /// First heard in this claim.
    pub since: Time,
    /// Last heard.
    pub heard_at: Time,
}

/// The holding side.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hold {
    /// Since when.
    pub since: Time,
    /// The interface that bears the VIP.
    pub interface: String,
    /// The kernel has shown the address.
    pub confirmed: bool,
    /// A stage failed then, and is asked about a second time (S13).
    pub recheck_since: Option<Time>,
    /// … and failed again: it is certain since then that the VIP should not be here.
    pub down_since: Option<Time>,
    /// Another member asked for the address or announced it, and proof is being gathered.
    pub dispute: Option<Dispute>,
    /// The member that was last found to have no better right, and until when its frames are not asked about again.
    pub settled: Option<(IpAddr, Time)>,
    /// A host that is no member uses the address too.
    #[serde(default)]
    pub conflict: Option<Conflict>,
    /// It began because nobody answered, a moment ago.
    #[serde(default)]
    pub post_claim_check: Option<PostClaimCheck>,
    /// When the next announcement is due, or the question of who else has the VIP where nothing can be proven; and how many announcements there
    /// were.
    pub next_announce: Time,
    /// Announcements so far.
    pub announced: u32,
    /// When the lease is to be renewed.
    pub next_renewal: Option<Time>,
    /// How often, and when last, the kernel was asked for the address since that was due.
    #[serde(default)]
    pub renewal_looks: Option<(u32, Time)>,
    /// When the agent last ran and did not renew a lease that was due, because what it knew was not fit for that: the lease lapses,
    /// and when it is over the agent has not stood still.
    #[serde(default)]
    pub lapsing_at: Option<Time>,
}

/// A member's claim against a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dispute {
    /// Who claims.
    pub claimant: IpAddr,
    /// Only answers asked for after this count.
    pub since: Time,
    /// Our own server answered, asked after the claim, and all stages passed: a later silence does not undo that.
    pub proven: bool,
    /// It announced the address as its own: two holders, settle it and announce again.
    pub announced: bool,
}

/// A holding that began because nobody answered: for a moment the question is put again and again, since the answers to the
/// probes may have been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PostClaimCheck {
    /// Until when an answer undoes it.
    pub until: Time,
    /// When to ask next.
    pub next_question: Time,
    /// The member that answered.
    pub answered_by: Option<IpAddr>,
}

/// A stranger's use of the address that is held here: a conflicting ARP frame (RFC 5227 section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conflict {
    /// Who used it last.
    pub mac: Mac,
    /// When the conflict began.
    pub since: Time,
    /// When it was last heard.
    pub heard_at: Time,
    /// A frame of then is yet to be answered: only proof that was asked for since counts.
    pub owed_since: Option<Time>,
    /// When the address was last defended.
    pub defended_at: Option<Time>,
}

/// Clients that ask the former holder for a connection are being watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrphanSyns {
    /// The former holder's hardware address.
    pub mac: Mac,
    /// When the reason for it was there last.
    pub suspected_at: Time,
}
