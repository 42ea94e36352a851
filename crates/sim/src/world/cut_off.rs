//! Hosts that are cut off from the others on the segment alone: the group's traffic goes on, and the gateway answers.

use decide::input::{Member, MemberState, Role};
use decide::time::Time;
use oracle::placed::{self, CUT_OFF_FOR};

use super::{Due, World};
use crate::group::{Place, id};
use crate::nic::Nic;

impl World {
    /// Looks who reaches too few of the others to serve readers.
    pub(super) fn look_who_is_cut_off(&mut self) {
        for host in 0..self.hosts.len() {
            let cut = self.is_cut_off(host);
            let known = &mut self.hosts[host].candidate.cut_since;
            if !cut {
                *known = None;
            } else if known.is_none() {
                *known = Some(self.now);
                self.push(self.now + CUT_OFF_FOR + self.held_up(), Due::CutOffCheck(host, self.now));
            }
        }
    }

    /// Its agent runs beside a server that is ONLINE, and hears and is heard by no more than half of the ONLINE members, itself among them,
    /// and not by the primary where it is just half. Which host is whose its agent may not know: any counts.
    fn is_cut_off(&self, host: Place) -> bool {
        let seen = &self.hosts[host];
        if !seen.agent_acts()
            || !seen.is_on(Nic::Eth0)
            || seen.asker_stuck_until.is_some()
            || seen.server.lies
        {
            return false;
        }
        let Some(view) = self.serves(host) else { return false };
        let online = view.members.iter().filter(|member| member.state == MemberState::Online).count();
        let is_heard = |other: &Place| *other == host || self.hear_each_other(Nic::Eth0, host, *other);
        let reached: Vec<Place> = (0..self.hosts.len()).filter(is_heard).collect();
        let leads = |member: &&Member| member.role == Role::Primary && member.state == MemberState::Online;
        let primary = view.members.iter().find(leads).map(|member| member.id.as_str());
        let with_primary = reached.iter().any(|place| Some(id(*place).as_str()) == primary);
        2 * reached.len() < online || (2 * reached.len() == online && !with_primary)
    }

    /// PLACED: a host has been cut off for so long.
    pub(super) fn check_cut_off(&mut self, host: Place, since: Time) {
        if self.hosts[host].candidate.cut_since == Some(since) {
            let found = placed::cut_off(self.now.since(since), self.load(host) > 0);
            self.found(host, found.map(|()| None));
        }
    }
}
