//! A host's kernel: the VIP with its lifetime, the interface, power, pauses.

use std::time::Duration;

use decide::input::{Event, Fact, Host, HostAddress, Interface, Seen};
use decide::time::Time;

use super::segment::address_on;
use super::{Due, VIPS, World, id_of_vip};
use crate::group::Place;
use crate::nic::Nic;

impl World {
    #[allow(clippy::option_option, reason = "here or not; and if here, without an end or until then")]
    pub(super) fn set_vip(&mut self, host: Place, vip: usize, here: Option<Option<Time>>) {
        let now = self.now;
        let known = &mut self.hosts[host].vips[vip];
        let changes = known.here.is_some() != here.is_some();
        known.here = here;
        if changes {
            known.since = now;
        }
        if let Some(Some(at)) = here {
            self.push(at, Due::Expire { host, vip, at });
        }
        if changes {
            let which = self.name_of_vip(vip);
            self.tell(|| format!("db{}: {which} {}", host + 1, if here.is_some() { "up" } else { "down" }));
            self.tell_addresses(host);
            if here.is_some() {
                self.note_coming(host, vip);
            }
            self.count_holders();
            self.look_whether_readers_stand_still();
        }
    }

    /// Works out anew who bears the VIPs.
    pub(super) fn count_holders(&mut self) {
        for (number, vip) in self.vips.iter_mut().enumerate() {
            let bears = |host: &super::ModelHost| host.is_awake() && host.vips[number].here.is_some();
            let hosts = self.hosts.iter().enumerate();
            vip.holders = hosts.filter_map(|(place, host)| bears(host).then_some(place)).collect();
        }
        self.look();
    }

    pub(super) fn expire(&mut self, host: Place, vip: usize, at: Time) {
        if self.hosts[host].vips[vip].here == Some(Some(at)) && self.hosts[host].is_awake() {
            self.tell(|| format!("db{}: the lease ran out", host + 1));
            self.check_flap(host, vip);
            self.set_vip(host, vip, None);
            self.reassess();
        }
    }

    /// Its kernel bears no VIP any more, whoever took it away.
    pub(super) fn lose_vips(&mut self, host: Place) {
        for nic in Nic::EACH {
            self.lose_vips_of(host, nic);
        }
    }

    /// … on this interface.
    pub(super) fn lose_vips_of(&mut self, host: Place, nic: Nic) {
        for (vip, seen) in self.hosts[host].vips.iter_mut().zip(&self.vips) {
            vip.here = vip.here.filter(|_| seen.nic != nic);
        }
        self.count_holders();
    }

    /// Frames on the interface that only VIPs are on can be heard by this host's agent, or no longer: its packet socket tells.
    pub(super) fn tell_of_receiving(&mut self, host: Place) {
        let Some(vip) = self.elsewhere() else { return };
        let (life, up) = (self.hosts[host].life, self.hosts[host].is_on(Nic::Eth1));
        self.tell_agent(host, life, Event::ReceiveUp(id_of_vip(vip), up));
    }

    pub(super) fn tell_addresses(&mut self, host: Place) {
        if self.hosts[host].agent.is_some() {
            let seen = self.addresses(host);
            self.tell_agent(host, self.hosts[host].life, seen);
        }
    }

    /// What the kernel shows of this host now.
    pub(super) fn addresses(&self, host: Place) -> Event {
        let (mut addresses, mut interfaces) = (Vec::new(), Vec::new());
        for nic in self.nics().filter(|nic| self.hosts[host].card(*nic).there) {
            let name = || nic.name().to_owned();
            let on_interface = |address, prefix| HostAddress { address, prefix, interface: name() };
            let card = self.hosts[host].card(nic);
            addresses.extend(card.addressed.then(|| on_interface(address_on(nic, host), 24)));
            let seen = VIPS.iter().zip(&self.hosts[host].vips).zip(&self.vips);
            let here = seen.filter(|((_, vip), world)| vip.here.is_some() && world.nic == nic);
            addresses.extend(here.map(|((address, _), _)| on_interface(*address, 32)));
            interfaces.push(Interface { name: name(), running: card.carrier });
        }
        let fact = Fact::Known(Host { addresses, interfaces });
        let asked_at = self.clock(host);
        Event::Host(Seen { asked_at, fact })
    }

    /// The virtual machine stands still for so long. Where `clock_jumps`, its clock shows that afterwards.
    pub(crate) fn pause(&mut self, host: Place, length: Duration, clock_jumps: bool) {
        if !self.hosts[host].is_awake() {
            return;
        }
        self.unpark(host);
        let until = self.now + length;
        self.hosts[host].paused_until = Some(until);
        self.hosts[host].pause_length = length;
        self.hosts[host].clock_jumps = clock_jumps;
        // Before all that waits for it.
        self.queue.push_again(until, 0, Due::Resume(host));
        self.count_holders();
        self.reassess();
    }

    /// The virtual machine goes on: its clock did not run, unless it was set right meanwhile; its leases did not run either.
    pub(super) fn resume(&mut self, host: Place) {
        if self.hosts[host].paused_until.is_none_or(|until| until > self.now) {
            return;
        }
        self.tell(|| format!("db{}: goes on", host + 1));
        self.hosts[host].paused_until = None;
        for vip in 0..self.vips.len() {
            if let Some(Some(expires)) = self.hosts[host].vips[vip].here {
                let at = expires + self.hosts[host].pause_length;
                self.hosts[host].vips[vip].here = Some(Some(at));
                self.push(at, Due::Expire { host, vip, at });
            }
        }
        let paused = i64::try_from(self.hosts[host].pause_length.as_micros()).unwrap_or(0);
        if self.hosts[host].clock_jumps {
            self.clocks_part(host, self.hosts[host].pause_length);
        } else {
            self.hosts[host].clock_ahead -= paused;
        }
        self.wake_again(host);
        self.count_holders();
        self.reassess();
    }

    /// A host's clock jumps ahead, with all that waits for it.
    pub(crate) fn clock_jumps(&mut self, host: Place, by_us: i64) {
        self.unpark(host);
        self.hosts[host].clock_ahead += by_us;
        self.clocks_part(host, Duration::from_micros(by_us.unsigned_abs()));
        // For its agent the machine stood still: it cannot know better.
        self.hosts[host].well_since = None;
        self.hosts[host].own_well_since = None;
        self.flushed(host, None);
        self.wake_again(host);
        self.reassess();
    }

    /// The agent is told at once, before whatever else woke it.
    fn clocks_part(&mut self, host: Place, suspended: Duration) {
        if let Some(driver) = &mut self.hosts[host].agent {
            driver.push(Event::ClocksParted { suspended, wall_step_ms: 0 });
            let life = self.hosts[host].life;
            self.push(self.now, Due::Loop { host, life });
        }
    }

    fn wake_again(&mut self, host: Place) {
        let (life, at) = (self.hosts[host].life, self.on_world_clock(host, self.hosts[host].wake_at));
        self.push(at, Due::Wake { host, life });
    }
}
