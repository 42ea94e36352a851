//! Clients that ask a dead holder for a connection: watched for, so that whoever takes the VIP can refuse them, and they try again
//! at once. Touches nothing of the VIP.

use std::time::Duration;

use super::machine::VipMachine;
use super::state::{OrphanSyns, VipState};
use crate::input::{GroupView, Member, MemberState, Role};
use crate::moment::VipMoment;
use crate::net::Mac;
use crate::output::{Output, VipAction};
use crate::timers::Timer;

/// Watched for this long after the last UNREACHABLE: the dead member is expelled, then the new primary is elected, then
/// the VIP is claimed.
const STILL_AFTER: Duration = Duration::from_secs(5);

impl VipMachine {
    /// Begins to watch for them, and ends it.
    pub(crate) fn watch_orphan_syns(&mut self, at: VipMoment<'_>, out: &mut Output) {
        let suspect = self.unreachable_holder(at);
        if let Some(watched) = self.orphan_syns {
            let here = matches!(&self.state, VipState::Holding(hold) if hold.confirmed);
            let other = self.other_holder.is_some_and(|(mac, _)| mac != watched.mac);
            let suspected_at = if suspect.is_some() { at.now } else { watched.suspected_at };
            let until = suspected_at + STILL_AFTER;
            if here || other || at.now >= until {
                out.order(VipAction::EndOrphanSyns);
                self.orphan_syns = None;
            } else {
                out.wake(Timer::OrphanSyns, until);
                self.orphan_syns = Some(OrphanSyns { suspected_at, ..watched });
            }
        } else if let Some(mac) = suspect
            && matches!(self.state, VipState::Absent | VipState::Claiming(_))
            && let Some(interface) = at.home().map(str::to_owned)
        {
            out.order(VipAction::WatchOrphanSyns { interface, mac });
            self.orphan_syns = Some(OrphanSyns { mac, suspected_at: at.now });
            out.wake(Timer::OrphanSyns, at.now + STILL_AFTER);
        }
    }

    /// The hardware address of whoever held the VIP last, where a member is UNREACHABLE that may be it.
    fn unreachable_holder(&self, at: VipMoment<'_>) -> Option<Mac> {
        let view = at.facts.own_view().filter(|view| view.unreachable() > 0 && at.survives())?;
        match self.other_holder {
            Some((mac, _)) => (!Self::is_reachable(at, view, mac)).then_some(mac),
            // An agent that has just started: a holder announces itself once a minute.
            None => Self::unreachable_primary(at, view),
        }
    }

    fn unreachable_primary(at: VipMoment<'_>, view: &GroupView) -> Option<Mac> {
        let lost =
            |member: &&Member| member.state == MemberState::Unreachable && member.role == Role::Primary;
        let primary = view.members.iter().find(lost)?;
        let open = at.facts.peers.open.get(&primary.id)?;
        at.mac_of(open.address)
    }

    /// Whether this hardware address is certainly that of a member whom the group reaches.
    fn is_reachable(at: VipMoment<'_>, view: &GroupView, mac: Mac) -> bool {
        let Some(address) = at.member_of(mac) else { return false };
        let open = &at.facts.peers.open;
        view.members
            .iter()
            .filter(|member| member.state != MemberState::Unreachable)
            .any(|member| open.get(&member.id).is_some_and(|open| open.address == address))
    }
}
