//! What one decision says and orders, as it is being made.

use std::net::IpAddr;

use crate::action::{Action, StatMark, VipAction};
use crate::net::VipId;
use crate::reason::Reason;
use crate::time::Time;

/// What one decision says and orders, in order.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Whose machine is at work.
    pub(crate) vip: VipId,
    pub(crate) actions: Vec<Action>,
    pub(crate) reasons: Vec<Reason>,
    /// Reasons that say nothing of a VIP.
    pub(crate) asides: Vec<Reason>,
    pub(crate) wake_at: Option<Time>,
    /// Whose servers are asked.
    pub(crate) asked_peers: Vec<IpAddr>,
    /// The members' hardware addresses are asked for because of an unknown one.
    pub(crate) learns: bool,
    /// A VIP was switched (S6).
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
        self.act(Action::Vip(self.vip, action));
    }

    /// Says why.
    pub(crate) fn say(&mut self, reason: Reason) {
        self.reasons.push(reason);
    }

    /// Says something that is not about how a VIP stands.
    pub(crate) fn say_aside(&mut self, reason: Reason) {
        self.asides.push(reason);
    }

    /// Asks to be called again then, at the latest.
    pub(crate) fn wake(&mut self, at: Time) {
        self.wake_at = Some(self.wake_at.map_or(at, |already| already.min(at)));
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

    /// Writes the state file after a switch (S6).
    pub(crate) fn mark_switch(&mut self, mark: StatMark) {
        self.act(Action::WriteStat(mark));
        self.switched = true;
    }
}
