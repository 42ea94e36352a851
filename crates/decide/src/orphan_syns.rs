//! Clients that knock at a dead holder: watched for, so that whoever takes the VIP can refuse them, and they try again
//! at once. Touches nothing of the VIP.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::decide::Turn;
use crate::event::{Fact, GroupView, Mac, Member, MemberState, Role};
use crate::stages::own_member;
use crate::state::VipState;
use crate::time::Time;

/// Watched for this long after the last UNREACHABLE: the dead member is expelled, then the new primary is elected, then
/// the VIP is claimed.
const STILL_AFTER: Duration = Duration::from_secs(5);

/// Clients that knock at the former holder are being watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrphanSyns {
    /// The former holder's hardware address.
    pub mac: Mac,
    /// When the reason for it was there last.
    pub suspected_at: Time,
}

impl Turn<'_> {
    /// Begins to watch for them, and ends it.
    pub(crate) fn watch_orphan_syns(&mut self) {
        let suspect = self.unreachable_holder();
        if let Some(watched) = self.state.orphan_syns {
            let here = matches!(&self.state.vip_state, VipState::Holding(hold) if hold.confirmed);
            let other = self.state.other_holder.is_some_and(|(mac, _)| mac != watched.mac);
            let suspected_at = if suspect.is_some() { self.now } else { watched.suspected_at };
            let until = suspected_at + STILL_AFTER;
            if here || other || self.now >= until {
                self.act(Action::EndOrphanSyns);
                self.state.orphan_syns = None;
            } else {
                self.wake(until);
                self.state.orphan_syns = Some(OrphanSyns { suspected_at, ..watched });
            }
        } else if let Some(mac) = suspect
            && matches!(self.state.vip_state, VipState::Absent | VipState::Claiming(_))
            && let Fact::Known(host) = &self.state.host.fact
            && let Some((_, interface)) = own_member(self.policy, host)
        {
            let interface = interface.to_owned();
            self.act(Action::WatchOrphanSyns { interface, mac });
            self.state.orphan_syns = Some(OrphanSyns { mac, suspected_at: self.now });
            self.wake(self.now + STILL_AFTER);
        }
    }

    /// The hardware address of whoever held the VIP last, where a member is UNREACHABLE that may be it.
    fn unreachable_holder(&self) -> Option<Mac> {
        let view = self.state.own_view().filter(|view| view.unreachable() > 0 && self.survives())?;
        match self.state.other_holder {
            Some((mac, _)) => (!self.is_reachable(view, mac)).then_some(mac),
            // An agent that has just started: a holder announces itself once a minute.
            None => self.unreachable_primary(view),
        }
    }

    fn unreachable_primary(&self, view: &GroupView) -> Option<Mac> {
        let lost =
            |member: &&Member| member.state == MemberState::Unreachable && member.role == Role::Primary;
        let primary = view.members.iter().find(lost)?;
        let open = self.state.expel.open.get(&primary.id)?;
        self.state.macs.get(&open.address).copied()
    }

    /// Whether this hardware address is certainly that of a member whom the group reaches.
    fn is_reachable(&self, view: &GroupView, mac: Mac) -> bool {
        let Some(address) = self.state.member_of(mac) else { return false };
        let open = &self.state.expel.open;
        view.members
            .iter()
            .filter(|member| member.state != MemberState::Unreachable)
            .any(|member| open.get(&member.id).is_some_and(|open| open.address == address))
    }
}
