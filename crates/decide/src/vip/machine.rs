//! What is remembered of one VIP.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::state::{LeftBehind, OrphanSyns, Stranger, VipState};
use crate::facts::Facts;
use crate::input::Event;
use crate::net::Mac;
use crate::policy::VipGateway;
use crate::time::Time;

/// A lease lapsed: of what was asked before, so much has not been answered anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AsksAnew {
    /// When it was over.
    pub since: Time,
    /// This host's addresses.
    pub host: bool,
    /// The server.
    pub server: bool,
    /// The gateway.
    pub gateway: bool,
}

impl AsksAnew {
    /// Nothing has been asked yet.
    pub(super) fn from(since: Time) -> Self {
        Self { since, host: true, server: true, gateway: true }
    }
}

/// One VIP, as one agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VipMachine {
    /// What this agent has to do with the address.
    pub state: VipState,
    /// Who else was last heard to hold the VIP, and has not been heard to let go since.
    pub other_holder: Option<(Mac, Time)>,
    /// Frames about it can't be heard at present: no answer to a probe would be.
    pub receive_down: bool,
    /// Members that were heard to claim while this agent did not, and when last: they are its rivals once it does.
    pub claimants: BTreeMap<IpAddr, Time>,
    /// A host that is no member and uses or asks for the VIP.
    pub stranger: Option<Stranger>,
    /// The VIP's connections were listed when it left; they are yet to be tickled and closed.
    pub left_behind: Option<LeftBehind>,
    /// Not before then is the address asked for again, after an attempt to add it failed.
    pub retry_at: Time,
    /// When the VIP was last found gone, without this agent having removed it: the last few times.
    pub removals: Vec<Time>,
    /// When it was last said that this happens again and again.
    pub removals_named_at: Option<Time>,
    /// When the lease was last renewed so as to replace a copy of the VIP that has another prefix length.
    pub tidied_at: Option<Time>,
    /// When a copy of the VIP on another interface was last ordered away.
    pub removed_copy_at: Option<Time>,
    /// A lease of it ended then, which the agent had let lapse: what was asked before is not known for this VIP. None: all of that has
    /// been asked since.
    #[serde(default)]
    pub asks_anew: Option<AsksAnew>,
    /// Clients that ask a dead holder for a connection are being watched for.
    pub orphan_syns: Option<OrphanSyns>,
    /// When it was last said, on an interface that only VIPs are on, which member this host is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introduced_at: Option<Time>,
}

impl VipMachine {
    /// Of an agent that has just started.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            state: VipState::Absent,
            other_holder: None,
            receive_down: false,
            claimants: BTreeMap::new(),
            stranger: None,
            left_behind: None,
            retry_at: now,
            removals: Vec::new(),
            removals_named_at: None,
            tidied_at: None,
            removed_copy_at: None,
            asks_anew: None,
            orphan_syns: None,
            introduced_at: None,
        }
    }

    /// What may be known for this VIP: after a lease of it lapsed, nothing that was asked before. None: all that is known.
    pub(crate) fn knows(&self, facts: &Facts) -> Option<Facts> {
        self.asks_anew.as_ref().map(|anew| facts.without(anew.since, anew.host, anew.server, anew.gateway))
    }

    /// An answer: to a question that was put since a lease of it lapsed it is known again.
    pub(crate) fn note_answer(&mut self, event: &Event, gateway: VipGateway) {
        let Some(anew) = &mut self.asks_anew else { return };
        match event {
            Event::Host(seen) => anew.host &= seen.asked_at < anew.since,
            Event::Server(seen) => anew.server &= seen.asked_at < anew.since,
            Event::Gateway(seen) if gateway == VipGateway::TheClusters => {
                anew.gateway &= seen.asked_at < anew.since;
            }
            Event::OwnGateway(own, seen) if gateway == VipGateway::Own(*own) => {
                anew.gateway &= seen.asked_at < anew.since;
            }
            _ => {}
        }
        // What is never asked is not waited for.
        anew.gateway &= gateway != VipGateway::Nobody;
        self.asks_anew = self.asks_anew.filter(|anew| anew.host || anew.server || anew.gateway);
    }

    /// It is here, or is just being added.
    pub fn holds(&self) -> bool {
        matches!(self.state, VipState::Holding(_))
    }

    /// Nothing of it is left to be done here.
    pub fn is_done(&self) -> bool {
        self.state == VipState::Absent && self.left_behind.is_none()
    }
}
