//! Carries out what was decided about a dead member.

use std::net::IpAddr;

use decide::input::Event;
use decide::output::Outcome;

use super::{Agent, wiring};
use crate::act::expel::Expel;
use crate::act::fence;
use crate::observe::member_port;

impl Agent {
    /// What comes of an order to the server is told by an event.
    pub(super) fn expel(&self, order: impl FnOnce(&Expel)) {
        if let Some(expel) = self.wiring.expel() {
            order(expel);
        }
    }

    pub(super) fn look_at(&self, member: IpAddr) {
        let access = wiring::access_to(&self.cluster, member);
        let events = self.events.clone();
        // Fails only when the agent is stopping.
        let tell = move |seen| drop(events.send(Event::MemberPort { member, seen }));
        if let Err(error) = member_port::look_and_tell(&self.wiring.servers(), access, tell) {
            self.journal.error(&error.to_string());
        }
    }

    pub(super) fn fence(&self, member: IpAddr, name: &str) {
        let command = self.cluster.fence_command.clone().unwrap_or_default();
        let (name, limit, events) = (name.to_owned(), self.cluster.fence_limit, self.events.clone());
        tokio::spawn(async move {
            let outcome = match fence::run(&command, member, &name, limit).await {
                Ok(()) => Outcome::Succeeded,
                Err(error) => Outcome::Failed(error.to_string()),
            };
            // Fails only when the agent is stopping.
            let _ = events.send(Event::Fenced { member, outcome });
        });
    }
}
