//! How late each deed may be carried out, and what a failed deed undoes. The simulator and the model keep to these too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::input::Event;
use crate::net::VipId;
use crate::output::group::{Action, Outcome};
use crate::output::vip::VipAction;
use crate::planted::planted;
use crate::policy::GroupPolicy;
use crate::time::Time;

/// From the decision to start the VIP to the deed, at the most: a claimant that probes meanwhile finds it free after 60 ms.
pub const START_WITHIN: Duration = Duration::from_millis(20);
/// From the decision to renew the lease, or to make the address permanent, to the deed, at the most. Nothing is added by a
/// late renewal ([`VipAction::RenewAddress`]), but the address would outlive what it was decided on by as much. This is what the
/// kernel's whole seconds leave open anyway (ARCHITECTURE.md, "The lease").
pub const RENEWAL_WITHIN: Duration = Duration::from_millis(250);
/// From the order to remove the VIP to the word to one other host that it is free, at the most: others may find it free
/// after 60 ms, and that host needs some of them too.
pub const RELEASE_WORD_WITHIN: Duration = Duration::from_millis(10);

/// Whether a deed may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// As it was decided.
    AsDecided,
    /// The word that the VIP is free may be said, but to nobody in particular.
    ToNobodyInParticular,
    /// It may not: a deed before it failed, and it rests on that.
    Dropped,
    /// It may not any more, in these words.
    TooLate(&'static str),
}

const START_TOO_LATE: &str = "VIP not started: the agent was delayed for too long after the decision; \
                              it tries again in a second (is the host short of processor time?)";
const RENEWAL_TOO_LATE: &str = "lease not renewed: the agent was delayed for too long after the decision; it decides again \
                                (is the host short of processor time?)";

/// The deeds of one decision, as they are carried out one after the other. What failed about one VIP drops what rests on that
/// one, and nothing of another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deeds {
    decided: Time,
    /// When the removal of each VIP was ordered, if there was something to remove.
    removed: BTreeMap<VipId, Time>,
    /// The VIPs of which an order to the kernel has failed.
    failed: BTreeSet<VipId>,
}

impl Deeds {
    /// Of a decision of then.
    pub fn new(decided: Time) -> Self {
        Self { decided, removed: BTreeMap::new(), failed: BTreeSet::new() }
    }

    /// Whether this deed, the next of the decision, may be carried out at `now`.
    pub fn may(&self, policy: &GroupPolicy, action: &Action, now: Time) -> Permit {
        if rests_on_the_address_of(action).is_some_and(|vip| self.failed.contains(&vip)) {
            return Permit::Dropped;
        }
        let late = now.since(self.decided);
        match action {
            Action::Vip(_, VipAction::AddAddress { .. }) if late > START_WITHIN => {
                Permit::TooLate(START_TOO_LATE)
            }
            Action::Vip(_, VipAction::RenewAddress { .. })
                if late > RENEWAL_WITHIN && !planted!(policy, RenewLate) =>
            {
                Permit::TooLate(RENEWAL_TOO_LATE)
            }
            Action::Vip(vip, VipAction::AnnounceRelease(Some(_)))
                if !self.may_name_its_successor(*vip, policy, now) =>
            {
                Permit::ToNobodyInParticular
            }
            _ => Permit::AsDecided,
        }
    }

    /// What was not here to be removed may be another's, and so may what was removed a while ago.
    fn may_name_its_successor(&self, vip: VipId, policy: &GroupPolicy, now: Time) -> bool {
        self.removed.get(&vip).is_some_and(|at| {
            now.since(*at) <= RELEASE_WORD_WITHIN || planted!(policy, ReleaseWordAfterItsLimit)
        })
    }

    /// How a deed went that was begun then. Gives what the rules are to be told of it.
    pub fn done(&mut self, action: &Action, begun: Time, outcome: Outcome) -> Option<Event> {
        let gone =
            outcome == Outcome::Gone && matches!(action, Action::Vip(_, VipAction::RenewAddress { .. }));
        let undone = gone || matches!(outcome, Outcome::Failed(_));
        if let Action::Vip(vip, VipAction::RemoveAddress { .. }) = action {
            self.removed.remove(vip);
            self.removed.extend((outcome == Outcome::Succeeded).then_some((*vip, begun)));
        }
        if let (true, Some(vip)) = (undone, is_about_the_address_of(action)) {
            self.failed.insert(vip);
        }
        undone.then(|| Event::Done { action: action.clone(), outcome })
    }

    /// An order to the kernel about this VIP has failed, and what rests on it is not carried out.
    pub fn has_failed(&self, vip: VipId) -> bool {
        self.failed.contains(&vip)
    }
}

/// The VIP about which this is an order to the kernel.
fn is_about_the_address_of(action: &Action) -> Option<VipId> {
    match action {
        Action::Vip(
            vip,
            VipAction::AddAddress { .. } | VipAction::RenewAddress { .. } | VipAction::RemoveAddress { .. },
        ) => Some(*vip),
        _ => None,
    }
}

/// The VIP that this is done for because it is here now, or is not here any more: after an order to the kernel that failed it
/// would be a lie. Questions (who is connected is one), the polling pace, and what concerns the group are not; the state file tells of the first VIP (S6).
fn rests_on_the_address_of(action: &Action) -> Option<VipId> {
    match action {
        Action::Vip(
            vip,
            VipAction::AddAddress { .. }
            | VipAction::RenewAddress { .. }
            | VipAction::RemoveAddress { .. }
            | VipAction::SendProbe
            | VipAction::AnnounceRelease(_)
            | VipAction::Announce
            | VipAction::KeepLatePackets { .. }
            | VipAction::ForwardLatePackets(_)
            | VipAction::RefuseOrphanSyns
            | VipAction::TickleClients
            | VipAction::DestroyConnections,
        ) => Some(*vip),
        Action::WriteStat(_) => Some(VipId::FIRST),
        Action::AskServer
        | Action::AskGateway
        | Action::AskHost
        | Action::AskPeer(_)
        | Action::LearnNeighbors
        | Action::Vip(
            _,
            VipAction::AskWhoHasVip
            | VipAction::ListConnections
            | VipAction::SayFitness(_)
            | VipAction::SayMember { .. }
            | VipAction::WatchOrphanSyns { .. }
            | VipAction::EndOrphanSyns,
        )
        | Action::PollEvery(_)
        | Action::ReadExpelTimeout
        | Action::LookAtMember(_)
        | Action::WakeExpel
        | Action::SetExpelTimeout { .. }
        | Action::RestoreExpelTimeout { .. }
        | Action::Fence { .. } => None,
    }
}
