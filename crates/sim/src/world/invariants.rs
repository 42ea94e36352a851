//! The invariants, as they are seen from outside: at a step, at any moment, and at the end.

use std::time::Duration;

use decide::action::Action;
use decide::stages::Verdict;
use decide::state::{State, Tenure};

use super::World;
use crate::group::{Place, Process};

impl World {
    pub(super) fn check_start(&mut self, host: Place, state: &State, actions: &[Action]) {
        let adds = actions.iter().any(|action| matches!(action, Action::AddAddress { .. }));
        let unconfirmed = matches!(&state.tenure, Tenure::Holding(hold) if !hold.confirmed);
        if adds && unconfirmed && state.stages(&self.policy).verdict_to_start() != Verdict::Up {
            self.broken.push(format!("EVIDENCE: db{} starts the VIP, and not all stages pass", host + 1));
        }
    }

    /// NO-FLAP: a holder that has been well for a while lets go of nothing.
    pub(super) fn check_flap(&mut self, host: Place) {
        let well =
            self.hosts[host].well_since.is_some_and(|since| self.now.since(since) > Duration::from_secs(2));
        if well && self.hosts[host].vip.is_some() {
            self.broken.push(format!(
                "NO-FLAP: db{} leads, and lets go of the VIP at {}",
                host + 1,
                self.now
            ));
        }
    }

    /// The invariants that can be seen from outside at any moment.
    pub(super) fn look(&mut self) {
        let holders = self.holders();
        let hearing = holders.iter().filter(|place| !self.hosts[**place].isolated).count();
        if hearing > 1 && self.chances.loss == 0.0 {
            let words = format!("ONE-HOLDER: {holders:?}");
            if !self.broken.contains(&words) {
                self.tell(&words);
                self.broken.push(words);
            }
        }
        for place in 0..self.hosts.len() {
            let leads = self.group.writable.is_some_and(|(primary, _)| primary == place);
            let host = &self.hosts[place];
            let well = leads
                && host.powered
                && host.agent.is_some()
                && host.busy_until <= self.now + Duration::from_millis(100)
                && host.server.process == Process::Answers
                && host.gateway_lost_since.is_none()
                && !host.isolated;
            self.hosts[place].well_since = well.then(|| self.hosts[place].well_since.unwrap_or(self.now));
        }
        if let (Some(since), Some((primary, _))) = (self.following_since, self.group.writable)
            && holders.contains(&primary)
            && holders.iter().all(|place| *place == primary || self.hosts[*place].isolated)
        {
            self.followed.add(self.now.since(since));
            self.following_since = None;
        }
    }

    /// FOLLOWS, at the end of a run: the VIP is where the writable primary is, and nowhere else.
    pub fn check_end(&mut self) {
        let Some((primary, _)) = self.group.writable else { return };
        let host = &self.hosts[primary];
        if host.agent.is_some() && host.gateway_lost_since.is_none() && self.holders() != [primary] {
            self.broken.push(format!(
                "FOLLOWS: db{} takes writes, and the VIP is at {:?}",
                primary + 1,
                self.holders()
            ));
        }
    }
}
