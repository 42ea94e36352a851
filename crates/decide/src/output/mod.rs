//! What one decision says and orders: as data, and as it is being made.

pub(crate) mod findings;
pub(crate) mod group;
mod reason;
pub(crate) mod vip;

use std::net::IpAddr;

pub use group::{Action, Outcome, StatMark};
pub use reason::{LetGo, Reason, Said, Vacant};
pub use vip::VipAction;

use crate::net::VipId;
use crate::time::Time;
use crate::timers::{Timer, Timers};

/// What one decision says and orders, in order.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Whose machine is at work; none: the rules of the whole cluster are.
    pub(crate) vip: Option<VipId>,
    pub(crate) actions: Vec<Action>,
    pub(crate) reasons: Vec<Said>,
    /// Reasons that say nothing of how a VIP stands.
    pub(crate) asides: Vec<Said>,
    pub(crate) timers: Timers,
    /// Whose servers are asked.
    pub(crate) asked_peers: Vec<IpAddr>,
    /// The members' hardware addresses are asked for because of an unknown one.
    pub(crate) learns: bool,
    /// The first VIP was switched (S6).
    pub(crate) switched: bool,
}

impl Output {
    /// Orders this. A question is put once.
    pub(crate) fn act(&mut self, action: Action) {
        let question = matches!(
            action,
            Action::AskServer
                | Action::AskGateway
                | Action::AskHost
                | Action::AskPeer(_)
                | Action::Vip(_, VipAction::AskWhoHasVip)
                | Action::LearnNeighbors
                | Action::ReadExpelTimeout
        );
        if !(question && self.actions.contains(&action)) {
            self.actions.push(action);
        }
    }

    /// Orders this about the VIP whose machine is at work.
    pub(crate) fn order(&mut self, action: VipAction) {
        debug_assert!(self.vip.is_some(), "{action:?} is ordered by no VIP's machine");
        if let Some(vip) = self.vip {
            self.act(Action::Vip(vip, action));
        }
    }

    /// Says why, of the VIP whose machine is at work.
    pub(crate) fn say(&mut self, reason: Reason) {
        self.reasons.push(Said { vip: self.vip, reason });
    }

    /// Says something that is not about how a VIP stands.
    pub(crate) fn say_aside(&mut self, reason: Reason) {
        self.asides.push(Said { vip: self.vip, reason });
    }

    /// Asks to be called again then, at the latest, for this.
    pub(crate) fn wake(&mut self, timer: Timer, at: Time) {
        self.timers.set(timer, at);
    }

    /// Asks a member's server.
    pub(crate) fn ask_peer(&mut self, member: IpAddr) {
        if !self.asked_peers.contains(&member) {
            self.asked_peers.push(member);
            self.act(Action::AskPeer(member));
        }
    }

    /// Asks for the members' hardware addresses because of an unknown one.
    pub(crate) fn learn_neighbors(&mut self) {
        self.learns = true;
        self.act(Action::LearnNeighbors);
    }

    /// Writes the state file after a switch (S6): it is one file with one character, and tells of the first VIP alone.
    pub(crate) fn mark_switch(&mut self, mark: StatMark) {
        if self.vip != Some(VipId::FIRST) {
            return;
        }
        self.act(Action::WriteStat(mark));
        self.switched = true;
    }
}
