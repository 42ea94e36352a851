//! What an agent remembers of one cluster: the latest facts, and what it has to do with the address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Fact, Gateway, GroupView, Host, Mac, Says, Seen, Server, ViewId, Why};
use crate::expel::ExpelState;
use crate::orphan_syns::OrphanSyns;
use crate::policy::Policy;
use crate::signs::Signs;
use crate::stages::{Cause, Finding, Stages, own_member};
use crate::time::Time;

/// Everything that `step` remembers between two events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// This host's addresses and interfaces.
    pub host: Seen<Host>,
    /// The local server.
    pub server: Seen<Server>,
    /// The gateway.
    pub gateway: Seen<Gateway>,
    /// Since when the local server's facts have been unknown.
    pub server_unknown_since: Option<Time>,
    /// The local server has refused connections since it last spoke: what may listen now was started anew, and is in no group
    /// until it says that it is.
    #[serde(default)]
    pub started_anew: bool,
    /// When the local server was last heard to speak of its group.
    #[serde(default)]
    pub spoke_at: Option<Time>,
    /// When it was heard again after it, or this agent, had stood still.
    #[serde(default)]
    pub spoke_again_at: Option<Time>,
    /// The newest view seen of the group that the local server is in (NEWEST-VIEW).
    pub newest_view: Option<ViewId>,
    /// The view that the local server showed last, also when it has been silent since.
    pub last_own_view: Option<ViewId>,
    /// Members' hardware addresses.
    pub macs: BTreeMap<IpAddr, Mac>,
    /// When each member's host was last heard to answer for its own address.
    pub alive_at: BTreeMap<IpAddr, Time>,
    /// What was asked of other members' servers and what they said.
    pub peers: BTreeMap<IpAddr, Peer>,
    /// Who else was last heard to hold the VIP, and has not been heard to let go since.
    pub other_holder: Option<(Mac, Time)>,
    /// Members that were heard to claim while this agent did not, and when last: they are its rivals once it does.
    #[serde(default)]
    pub claimants: BTreeMap<IpAddr, Time>,
    /// What this agent has to do with the address.
    pub vip_state: VipState,
    /// The VIP's connections were listed when it left; they are yet to be tickled and closed.
    pub left_behind: Option<LeftBehind>,
    /// When the state file goes back to `1` (S6).
    pub stat_quiet_at: Option<Time>,
    /// The interval that was last asked for, and since when there has been a call for the short one.
    pub pace: Pace,
    /// When all is looked at anew, whatever happens (the legacy program's loop).
    pub next_look: Time,
    /// Not before then is the address asked for again, after an attempt to add it failed.
    pub retry_at: Time,
    /// A host that is no member and uses or asks for the VIP.
    pub stranger: Option<Stranger>,
    /// When the members' hardware addresses were last asked for.
    pub learnt_at: Option<Time>,
    /// ARP can't be heard on the VIP's interface at present.
    #[serde(default)]
    pub receive_down: bool,
    /// When the VIP was last found gone, without this agent having removed it: the last few times.
    #[serde(default)]
    pub removals: Vec<Time>,
    /// When it was last said that this happens again and again.
    #[serde(default)]
    pub removals_named_at: Option<Time>,
    /// When the lease was last renewed so as to replace a copy of the VIP that has another prefix length.
    #[serde(default)]
    pub tidied_at: Option<Time>,
    /// When a copy of the VIP on another interface was last ordered away.
    #[serde(default)]
    pub removed_copy_at: Option<Time>,
    /// What is remembered of dead members and the group's patience with them.
    #[serde(default)]
    pub expel: ExpelState,
    /// Clients that knock at a dead holder are being watched for.
    #[serde(default)]
    pub orphan_syns: Option<OrphanSyns>,
    /// What the signs of the local server's process have been worth so far.
    #[serde(default)]
    pub signs: Signs,
    /// The agent was told to give the VIP up: it is not taken any more.
    #[serde(default)]
    pub giving_up: bool,
}

/// Another member's server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// When it was last asked; none while an answer is not being waited for.
    pub waiting_since: Option<Time>,
    /// What it said last.
    pub seen: Option<Seen<Server>>,
}

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

/// The polling interval in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pace {
    /// What was last asked for; none: nothing yet, the default is in force.
    pub every: Option<Duration>,
    /// Since when something has been in the air.
    pub alert_since: Option<Time>,
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

impl State {
    /// An agent that has just started and knows nothing.
    pub fn new(now: Time) -> Self {
        Self {
            host: not_asked(),
            server: not_asked(),
            gateway: not_asked(),
            server_unknown_since: Some(now),
            started_anew: false,
            spoke_at: None,
            spoke_again_at: None,
            newest_view: None,
            last_own_view: None,
            macs: BTreeMap::new(),
            alive_at: BTreeMap::new(),
            peers: BTreeMap::new(),
            other_holder: None,
            claimants: BTreeMap::new(),
            vip_state: VipState::Absent,
            left_behind: None,
            stat_quiet_at: None,
            pace: Pace::default(),
            next_look: now,
            retry_at: now,
            stranger: None,
            learnt_at: None,
            receive_down: false,
            removals: Vec::new(),
            removals_named_at: None,
            tidied_at: None,
            removed_copy_at: None,
            expel: ExpelState::default(),
            orphan_syns: None,
            signs: Signs::default(),
            giving_up: false,
        }
    }

    /// Whether the VIP was to be given up, and is: nothing of it is left to be done here.
    pub fn has_given_up(&self) -> bool {
        self.giving_up
            && self.vip_state == VipState::Absent
            && self.left_behind.is_none()
            && matches!(self.host.fact, Fact::Known(_))
    }

    /// Takes nothing for known any more; answers to questions put before `now` count no more either.
    pub(crate) fn forget_facts(&mut self, now: Time) {
        self.host = Seen { asked_at: now, fact: Fact::Unknown(Why::NotAskedYet) };
        self.server = Seen { asked_at: now, fact: Fact::Unknown(Why::NotAskedYet) };
        self.gateway = Seen { asked_at: now, fact: Fact::Unknown(Why::NotAskedYet) };
        self.server_unknown_since = Some(now);
    }

    /// The stages, as the facts stand.
    pub fn stages(&self, policy: &Policy) -> Stages {
        let mut stages =
            Stages::look(policy, &self.host, &self.server, &self.gateway, self.newest_view.as_ref());
        if self.started_anew
            && let Finding::Unknown(why) = &stages.primary.0
            && *why != Why::NotAskedYet
        {
            stages.primary.0 = Finding::Failed(Cause::StartedAnew);
        }
        stages
    }

    /// The interface that bears the VIP: `None` when it is not here, `Unknown` when the host's addresses are not known. On a
    /// member only its own interface counts (`copies.rs` has the others); a host that is none lets go of it wherever it is.
    pub fn vip_interface(&self, policy: &Policy) -> Fact<Option<String>> {
        match &self.host.fact {
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
            Fact::Known(host) => {
                let own_interface = own_member(policy, host).map(|(_, interface)| interface);
                let mut interfaces =
                    host.addresses.iter().filter(|own| own.address == policy.vip).map(|own| &own.interface);
                Fact::Known(
                    interfaces.find(|interface| own_interface.is_none_or(|own| own == *interface)).cloned(),
                )
            }
        }
    }

    /// The member that owns this hardware address, another than this host.
    pub fn member_of(&self, mac: Mac) -> Option<IpAddr> {
        self.macs.iter().find(|(_, known)| **known == mac).map(|(member, _)| *member)
    }

    /// The group as the local server showed it last, if it did.
    pub fn own_view(&self) -> Option<&GroupView> {
        match &self.server.fact {
            Fact::Known(Server::Member(view)) => Some(view),
            _ => None,
        }
    }

    /// What a member's server said to a question put at `since` or later.
    pub fn peer_since(&self, member: IpAddr, since: Time) -> Option<&Fact<Server>> {
        let seen = self.peers.get(&member)?.seen.as_ref()?;
        (seen.asked_at >= since).then_some(&seen.fact)
    }

    /// Remembers a view, where it is newer than the newest known.
    pub(crate) fn remember_view(&mut self, view: &ViewId) {
        if self.newest_view.as_ref().is_some_and(|newest| view.is_newer_than(newest)) {
            self.newest_view = Some(view.clone());
        }
    }
}

fn not_asked<T>() -> Seen<T> {
    Seen { asked_at: Time(0), fact: Fact::Unknown(Why::NotAskedYet) }
}
