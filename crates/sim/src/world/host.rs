//! One host: its power, its kernel with the VIP, its agent's memory, its server.

use std::time::Duration;

use decide::event::{Card, Event, Fact, Host, HostAddress, Seen};
use decide::reason::Reason;
use decide::state::State;
use decide::time::Time;

use super::{Due, VIP, World, address};
use crate::group::{Group, ModelServer, Place, Process};

/// One host.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent of each other, each set by a fault of its own")]
pub struct ModelHost {
    /// It has power.
    pub powered: bool,
    /// The agent's memory, while it runs.
    pub agent: Option<State>,
    /// Counts the agent's starts: what was meant for an earlier one is dropped.
    pub life: u32,
    /// The agent handles nothing before this.
    pub busy_until: Time,
    /// Its server.
    pub server: ModelServer,
    /// The kernel bears the VIP, and drops it then.
    pub vip: Option<Option<Time>>,
    /// It hears nobody on the segment, and nobody hears it.
    pub isolated: bool,
    /// What its agent last said of how things stand, and how often that changed: each change is a line in its log.
    pub stands: Option<Reason>,
    /// How often `stands` changed.
    pub changes_of_mind: usize,
    /// Since when the gateway does not answer it.
    pub gateway_lost_since: Option<Time>,
    /// Since when its own server has led, its gateway answered and its agent run undisturbed.
    pub well_since: Option<Time>,
    pub(super) poll: Duration,
    pub(super) last_frame: Time,
    pub(super) wake: u64,
    /// A question to its server is under way: one kept connection takes one at a time.
    pub(super) asking: bool,
    /// … and another is to be put when it is answered.
    pub(super) ask_again: bool,
}

impl ModelHost {
    /// With power, an idle agent's place, and a server that answers.
    pub(super) fn new(group: &Group, place: Place, now: Time, poll: Duration) -> Self {
        Self {
            powered: true,
            agent: None,
            life: 0,
            busy_until: now,
            server: ModelServer { process: Process::Answers, shows: group.seen_by(place, place != 0, &[]) },
            vip: None,
            isolated: false,
            stands: None,
            changes_of_mind: 0,
            gateway_lost_since: None,
            well_since: None,
            poll,
            wake: 0,
            last_frame: now,
            asking: false,
            ask_again: false,
        }
    }
}

impl World {
    #[allow(clippy::option_option, reason = "here or not; and if here, for ever or until then")]
    pub(super) fn set_vip(&mut self, host: Place, vip: Option<Option<Time>>) {
        let changes = self.hosts[host].vip.is_some() != vip.is_some();
        self.hosts[host].vip = vip;
        if let Some(Some(at)) = vip {
            self.push(at, Due::Expire { host, at });
        }
        if changes {
            self.tell(&format!("db{}: VIP {}", host + 1, if vip.is_some() { "up" } else { "down" }));
            self.tell_addresses(host);
        }
    }

    pub(super) fn tell_addresses(&mut self, host: Place) {
        let on_card = |address, prefix| HostAddress { address, prefix, card: "eth0".to_owned() };
        let mut addresses = vec![on_card(address(host), 24)];
        addresses.extend(self.hosts[host].vip.map(|_| on_card(VIP, 32)));
        let cards = vec![Card { name: "eth0".to_owned(), running: true }];
        let fact = Fact::Known(Host { addresses, cards });
        self.tell_agent(host, self.hosts[host].life, Event::Host(Seen { asked_at: self.now, fact }));
    }
}
