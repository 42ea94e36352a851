//! Which VIP a book is about, by which limits it is judged, and which orders are about it.

use std::net::IpAddr;

use crate::inputs::{
    Action, Event, Frame, GroupPolicy, Host, HostAddress, Mac, Policy, Says, VipAction, VipId, VipPolicy,
};

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

    /// Whose hardware address this shows, on the interface where the VIP is: on one that has no member's address each says who it is.
    pub(crate) fn whose(&self, event: &Event) -> Option<(IpAddr, Mac)> {
        let elsewhere = !self.vip.interfaces.is_empty();
        match event {
            Event::Neighbor { address, mac } if !elsewhere => Some((*address, *mac)),
            Event::Frame(_, Frame { from, says: Says::Member(member) }) if elsewhere => {
                Some((*member, *from))
            }
            _ => None,
        }
    }

    /// Whether this host is a member, and may have the VIP as far as its interfaces go.
    pub(crate) fn may_be_on(&self, host: &Host) -> bool {
        let named = |own: &HostAddress| self.group.members.get(&own.address);
        let is_member = |own: &&HostAddress| named(own).is_some_and(|named| *named == own.interface);
        let Some(own) = host.addresses.iter().find(is_member) else { return false };
        let Some(elsewhere) = self.vip.interfaces.get(&own.address) else { return true };
        let vip = self.vip.address;
        let asks = |there: &HostAddress| {
            let of_family = there.address.is_ipv4() == vip.is_ipv4();
            there.interface == *elsewhere && of_family && there.address != vip
        };
        let runs = host.interfaces.iter().any(|known| known.name == *elsewhere && known.running);
        runs && host.addresses.iter().any(asks)
    }

    /// The interface that it is ordered onto and does not belong on, at whichever member's host.
    pub(crate) fn added_where_it_does_not_belong(&self, actions: &[Action]) -> Option<String> {
        let own = &self.vip.interfaces;
        let named = if own.is_empty() { &self.group.members } else { own };
        self.orders(actions).find_map(|action| match action {
            VipAction::AddAddress { interface, .. } if !named.values().any(|known| known == interface) => {
                Some(interface.clone())
            }
            _ => None,
        })
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
