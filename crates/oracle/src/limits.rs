//! Which VIP a book is about, by which limits it is judged, and which orders are about it.

use crate::inputs::{Action, GroupPolicy, Policy, VipAction, VipId, VipPolicy};

/// One VIP, and the limits that its agent is given for it.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// Which.
    pub id: VipId,
    /// What holds for the whole cluster.
    pub group: &'a GroupPolicy,
    /// What holds for this VIP.
    pub vip: &'a VipPolicy,
}

impl<'a> Limits<'a> {
    /// # Panics
    /// Where the policy has no such VIP.
    pub fn of(policy: &'a Policy, id: VipId) -> Self {
        Self { id, group: &policy.group, vip: &policy.vips[&id] }
    }

    /// What is ordered about this VIP.
    pub(crate) fn orders<'b>(&self, actions: &'b [Action]) -> impl Iterator<Item = &'b VipAction> + use<'b> {
        let id = self.id;
        actions.iter().filter_map(move |action| match action {
            Action::Vip(vip, action) if *vip == id => Some(action),
            _ => None,
        })
    }

    pub(crate) fn adds(&self, actions: &[Action]) -> bool {
        self.orders(actions).any(|action| matches!(action, VipAction::AddAddress { .. }))
    }

    pub(crate) fn renews(&self, actions: &[Action]) -> bool {
        self.orders(actions).any(|action| matches!(action, VipAction::RenewAddress { .. }))
    }

    pub(crate) fn removes(&self, actions: &[Action]) -> bool {
        self.orders(actions).any(|action| matches!(action, VipAction::RemoveAddress { .. }))
    }
}
