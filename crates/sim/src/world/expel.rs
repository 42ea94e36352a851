//! What the agents do about a dead member: the local server's patience with it, changed and put back (RESTORED).

use std::time::Duration;

use decide::input::{Event, Fact, Seen, Why};
use decide::output::{Action, Outcome};
use oracle::outside;

use super::World;
use super::host::OPERATORS_TIMEOUT;
use crate::group::{Place, Process};

/// The rules keep it changed for 10 s at the most; the answers take a moment.
const CHANGED_AT_MOST: Duration = Duration::from_millis(12_500);

impl World {
    fn procedures_work(&self, host: Place) -> bool {
        let server = &self.hosts[host].server;
        matches!(server.process, Process::Answers | Process::LeftGroup) && server.turns_away.is_none()
    }

    pub(super) fn read_expel_timeout(&mut self, host: Place) {
        let fact = if self.procedures_work(host) {
            Fact::Known(self.hosts[host].expel_timeout)
        } else {
            Fact::Unknown(Why::TimedOut(Duration::from_secs(1)))
        };
        let (life, asked_at) = (self.hosts[host].life, self.clock(host));
        self.tell_agent(host, life, Event::ExpelTimeout(Seen { asked_at, fact }));
    }

    /// Sets the server's variable to the value that it has: the thread that expels looks.
    pub(super) fn wake_expel(&mut self, host: Place) {
        if self.procedures_work(host) {
            self.expel_those_due(host);
        }
    }

    pub(super) fn set_expel_timeout(&mut self, host: Place, original: u32, action: &Action) {
        let works = self.procedures_work(host);
        let outcome = if works { Outcome::Succeeded } else { Outcome::Failed("no answer".to_owned()) };
        // On disk first, whatever becomes of the rest.
        self.hosts[host].expel_on_disk = Some(original);
        if works {
            self.hosts[host].expel_timeout = 0;
            self.hosts[host].expel_changed_since = Some(self.now);
            self.tell(|| format!("db{}: expel timeout 0", host + 1));
            self.expel_those_due(host);
        }
        let life = self.hosts[host].life;
        self.tell_agent(host, life, Event::Done { action: action.clone(), outcome });
    }

    pub(super) fn restore_expel_timeout(&mut self, host: Place, value: u32, action: &Action) {
        let works = self.procedures_work(host);
        let outcome = if works { Outcome::Succeeded } else { Outcome::Failed("no answer".to_owned()) };
        if works {
            if self.hosts[host].expel_timeout == 0 {
                self.hosts[host].expel_timeout = value;
            }
            self.hosts[host].expel_on_disk = None;
            self.hosts[host].expel_changed_since = None;
            self.tell(|| format!("db{}: expel timeout {value} again", host + 1));
        }
        let life = self.hosts[host].life;
        self.tell_agent(host, life, Event::Done { action: action.clone(), outcome });
    }

    /// RESTORED: what was changed is put back, once there are an agent and a server to do it, within the time that the
    /// rules allow for the change itself.
    pub(super) fn check_restored(&mut self) {
        for host in 0..self.hosts.len() {
            let (Some(changed), Some(fit)) =
                (self.hosts[host].expel_changed_since, self.hosts[host].fit_since)
            else {
                continue;
            };
            // Once nobody is UNREACHABLE any more there is nothing to wait for.
            let since = changed.max(fit);
            let idle = self.hosts[host].server.unreachable.count() == 0;
            let limit = if idle { Duration::from_millis(3_500) } else { CHANGED_AT_MOST };
            let since = if idle { since.max(self.hosts[host].all_reachable_since) } else { since };
            if self.hosts[host].expel_timeout != OPERATORS_TIMEOUT {
                let found = outside::restored(self.now.since(since), limit);
                self.found(host, found.map(|()| None));
            }
        }
    }
}
