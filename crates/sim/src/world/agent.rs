//! A host's agent in the world: what it is told and when, its loop, its deeds. What the loop means
//! is `decide::driver`'s business.

use std::time::Duration;

use decide::State;
use decide::driver::{Driver, Next};
use decide::input::{Event, Frame, Says};
use decide::net::VipId;
use decide::output::{Action, Outcome, Reason, Said, Vacant, VipAction};
use decide::planted::renewal_adds_what_is_gone;
use decide::time::Time;

use super::segment::place_of;
use super::{Change, Due, World, address, place_of_vip};
use crate::group::Place;
use crate::nic::Nic;

impl World {
    pub(super) fn runs(&self, host: Place, life: u32) -> bool {
        let host = &self.hosts[host];
        host.powered && host.agent.is_some() && host.life == life
    }

    pub(super) fn tell_agent(&mut self, host: Place, life: u32, event: Event) {
        if !self.runs(host, life) {
            return;
        }
        let mut wait = self.between_us(20, 200);
        if self.chance(self.chances.held_up) {
            wait += self.between_ms(0, 80);
            let until = self.now + wait;
            self.hosts[host].busy_until = self.hosts[host].busy_until.max(until);
        }
        let mut at = self.now + wait;
        // One packet socket, one netlink socket, one word of the operator: what comes through each reaches the loop in the order of its arrival.
        let last = match event {
            Event::Frame(..) | Event::ReceiveUp(..) => Some(&mut self.hosts[host].last_frame),
            Event::Host(_) => Some(&mut self.hosts[host].last_addresses),
            Event::Pause { .. } | Event::Resume => Some(&mut self.hosts[host].last_of_operator),
            _ => None,
        };
        if let Some(last) = last {
            at = at.max(*last);
            *last = at;
        }
        self.push(at, Due::ToAgent { host, life, event });
    }

    pub(super) fn queue_event(&mut self, host: Place, event: Event) {
        let agent = &mut self.hosts[host];
        if let Some(driver) = &mut agent.agent {
            driver.push(event);
        }
        let life = agent.life;
        self.agent_goes_on(host, life);
    }

    /// Lets the agent go on as soon as it can.
    pub(super) fn agent_goes_on(&mut self, host: Place, life: u32) {
        let at = self.hosts[host].busy_until.max(self.now);
        if at == self.now && self.hosts[host].loop_at.is_none() {
            self.agent_loop(host);
        } else if self.hosts[host].loop_at.is_none_or(|planned| planned > at) {
            self.hosts[host].loop_at = Some(at);
            self.push(at, Due::Loop { host, life });
        }
    }

    /// The agent does what its driver asks for, until it waits, or is busy.
    pub(super) fn agent_loop(&mut self, host: Place) {
        self.hosts[host].loop_at = None;
        let clock = self.clock(host);
        let idle = |driver: &Driver| driver.is_at_rest() && clock < driver.waits_until();
        while let Some(driver) = &self.hosts[host].agent {
            let agent = &self.hosts[host];
            if agent.busy_until > self.now {
                if !idle(driver) {
                    let (at, life) = (agent.busy_until, agent.life);
                    self.hosts[host].loop_at = Some(at);
                    self.push(at, Due::Loop { host, life });
                }
                return;
            }
            if !idle(driver) && driver.decision().is_none() {
                self.hosts[host].was_parked = agent.parked || agent.would_park;
                self.unpark(host);
            }
            match self.next_of(host) {
                Some(Next::Decided(event)) => self.decided(host, &event),
                Some(Next::Deed(action)) => {
                    let outcome = self.carry_out(host, &action);
                    if let Some(driver) = &mut self.hosts[host].agent {
                        driver.done(outcome);
                    }
                    if is_about_the_address(&action) {
                        self.hang_at_a_deed(host);
                    }
                    self.take_time(host, 0);
                }
                Some(Next::Settled(_)) => {}
                Some(Next::ReadUnread { addresses }) => {
                    let seen = self.addresses(host);
                    if let Some(driver) = self.hosts[host].agent.as_mut().filter(|_| addresses) {
                        driver.push(seen);
                    }
                }
                Some(Next::Wait { until }) => return self.wait(host, until),
                Some(Next::Ended) => return self.agent_has_ended(host),
                None => return,
            }
        }
    }

    fn next_of(&mut self, host: Place) -> Option<Next> {
        let now = self.clock(host);
        let mut driver = self.hosts[host].agent.take()?;
        let alone = driver.unread_count() == 1;
        let mut before = None;
        let this = &*self;
        let next = driver.next(&this.policy, now, |state, event| {
            let parks_again = this.hosts[host].was_parked && comes_once_a_second(event);
            if alone && (parks_again || this.may_park(host, state, event)) {
                before = Some(Box::new(state.clone()));
            }
        });
        self.hosts[host].before = before;
        self.hosts[host].agent = Some(driver);
        Some(next)
    }

    /// Wakes the agent then, unless something wakes it before.
    fn wait(&mut self, host: Place, until: Time) {
        if self.hosts[host].wake_at != until {
            self.hosts[host].wake_at = until;
            let life = self.hosts[host].life;
            let at = self.on_world_clock(host, until);
            self.push(at, Due::Wake { host, life });
        }
    }

    /// Between proof and deed, and between two deeds, time passes; the agent does nothing else meanwhile.
    fn take_time(&mut self, host: Place, at_least_us: u64) {
        let mut until = self.now;
        if at_least_us > 0 {
            until = until + self.between_us(at_least_us, 800);
        }
        if self.chance(self.chances.held_up) {
            until = until + self.between_ms(0, 80);
        }
        self.hosts[host].busy_until = self.hosts[host].busy_until.max(until);
    }

    /// It is stopped (SIGSTOP) just now, where that was to be: for so long, or so shortly that the deed is not too late, and then
    /// the VIP is removed by hand meanwhile.
    fn hang_at_a_deed(&mut self, host: Place) {
        let Some(length) = self.hosts[host].hangs_at_a_deed.take() else { return };
        if self.rng.bool() {
            return self.hang_agent(host, length);
        }
        let (goes, length) = (self.between_ms(1, 50), self.between_ms(60, 200));
        self.change_in(goes, Change::Flush(host));
        self.hang_agent(host, length);
    }

    /// What the oracle says of a step; and how long it takes until its deeds.
    fn decided(&mut self, host: Place, event: &Event) {
        let now = self.clock(host);
        self.hosts[host].decided_at = now;
        let Some(driver) = self.hosts[host].agent.take() else { return };
        let (before, state) = (self.hosts[host].before.take(), driver.state());
        if let Some(decision) = driver.decision() {
            if self.recording {
                self.tell_reasons(host, &decision.reasons);
            }
            self.check_step(host, event, decision, now);
            for said in &decision.reasons {
                if let (Reason::Started { because, .. }, Some(vip)) = (&said.reason, said.vip) {
                    self.hosts[host].vips[place_of_vip(vip)].overruled =
                        matches!(because, Vacant::Overruled(..));
                }
            }
            if let Some(before) = before
                && decision.actions.is_empty()
                && same_but_for_age(before, state)
            {
                self.hosts[host].was_parked = false;
                self.park(host);
            } else if self.hosts[host].would_park && matches!(event, Event::Server(_)) {
                self.check_park(host, &decision.actions);
            }
            if !decision.actions.is_empty() {
                self.take_time(host, 20);
            }
        }
        let touches =
            driver.decision().is_some_and(|decision| decision.actions.iter().any(is_about_the_address));
        self.hosts[host].agent = Some(driver);
        // Before the deed, or between it and the next.
        if touches && self.hosts[host].hangs_at_a_deed.is_some() && self.rng.bool() {
            self.hang_at_a_deed(host);
        }
    }

    fn tell_reasons(&mut self, host: Place, reasons: &[Said]) {
        for said in reasons {
            let reason = &said.reason;
            if !matches!(reason, Reason::Holding | Reason::NotWanted(..))
                && (reason.is_switch() || reasons.last() == Some(said))
            {
                let words = format!("db{}: {}", host + 1, said.text(&self.policy));
                if self.story.iter().rev().take(6).all(|(_, told)| *told != words) {
                    self.tell(|| words);
                }
            }
        }
        if self.hosts[host].stands.as_ref() != reasons.last().map(|said| &said.reason) {
            self.hosts[host].stands = reasons.last().map(|said| said.reason.clone());
            self.hosts[host].changes_of_mind += 1;
        }
    }

    /// Carries one deed out.
    pub(super) fn carry_out(&mut self, host: Place, action: &Action) -> Outcome {
        let life = self.hosts[host].life;
        match action {
            Action::AskServer => self.ask_server(host),
            Action::AskGateway => self.ask_gateway(host),
            Action::AskHost => self.tell_addresses(host),
            Action::AskPeer(member) => {
                if let Some(peer) = place_of(*member, self.hosts.len()) {
                    self.ask_peer(host, peer);
                }
            }
            Action::LearnNeighbors => self.learn_neighbors(host, life),
            Action::Vip(vip, VipAction::SendProbe) => self.broadcast(host, *vip, Says::Probe),
            Action::Vip(vip, VipAction::SayFitness(fitness)) => self.say_fitness(host, *vip, *fitness),
            Action::Vip(vip, VipAction::SayMember { member, .. }) => {
                self.broadcast(host, *vip, Says::Member(*member));
            }
            Action::Vip(vip, VipAction::AskWhoHasVip) => self.ask_who_has_vip(host, *vip),
            Action::Vip(vip, VipAction::Announce) => {
                // The request form and the reply form.
                self.broadcast(host, *vip, Says::Announcement);
                self.broadcast(host, *vip, Says::Announcement);
            }
            Action::Vip(vip, VipAction::AddAddress { interface, lifetime }) => {
                return self.add(host, *vip, interface, *lifetime);
            }
            Action::Vip(vip, VipAction::RenewAddress { lifetime, .. }) => {
                return self.renew(host, *vip, *lifetime);
            }
            Action::Vip(vip, VipAction::RemoveAddress { .. }) => {
                let vip = place_of_vip(*vip);
                if self.is_writers(vip) {
                    // What an agent lets go of readers' VIPs for, its judge knows.
                    self.check_flap(host, vip);
                }
                if self.hosts[host].vips[vip].here.is_none() {
                    return Outcome::Gone;
                }
                self.hosts[host].vips[vip].removed_at = Some(self.now);
                self.note_leaving(host, vip);
                self.set_vip(host, vip, None);
            }
            Action::Vip(vip, VipAction::AnnounceRelease(to)) => {
                self.check_release_word(host, place_of_vip(*vip), *to);
                self.announce_release(host, *vip, *to);
            }
            Action::PollEvery(every) => self.poll_every(host, *every),
            Action::ReadExpelTimeout => self.read_expel_timeout(host),
            Action::LookAtMember(member) => self.look_at_member(host, *member),
            Action::WakeExpel => self.wake_expel(host),
            Action::SetExpelTimeout { original } => self.set_expel_timeout(host, *original, action),
            Action::RestoreExpelTimeout { value } => self.restore_expel_timeout(host, *value, action),
            Action::Vip(
                _,
                VipAction::ListConnections
                | VipAction::KeepLatePackets { .. }
                | VipAction::ForwardLatePackets(_)
                | VipAction::WatchOrphanSyns { .. }
                | VipAction::RefuseOrphanSyns
                | VipAction::EndOrphanSyns
                | VipAction::TickleClients
                | VipAction::DestroyConnections,
            )
            | Action::WriteStat(_)
            | Action::Fence { .. } => {}
        }
        Outcome::Succeeded
    }

    /// An interface without a carrier takes an address too. On another than its own a VIP is a mistake, which its judge names.
    fn add(&mut self, host: Place, vip: VipId, interface: &str, lifetime: Option<Duration>) -> Outcome {
        let vip = place_of_vip(vip);
        let nic = self.nic_of(vip);
        let is_there = self.hosts[host].card(nic).there && nic.name() == interface;
        if self.hosts[host].vips[vip].here.is_some() || !is_there {
            return Outcome::Failed("it is there already, or the interface is gone".to_owned());
        }
        let expires = lifetime.map(|lifetime| self.now + lifetime);
        self.set_vip(host, vip, Some(expires));
        Outcome::Succeeded
    }

    /// The kernel renews what is there, and adds nothing.
    fn renew(&mut self, host: Place, vip: VipId, lifetime: Option<Duration>) -> Outcome {
        let vip = place_of_vip(vip);
        let adds =
            renewal_adds_what_is_gone(&self.policy.group) && self.hosts[host].card(self.nic_of(vip)).there;
        if self.hosts[host].vips[vip].here.is_none() && !adds {
            return Outcome::Gone;
        }
        self.check_renewal(host, vip);
        let expires = lifetime.map(|lifetime| self.now + lifetime);
        self.set_vip(host, vip, Some(expires));
        Outcome::Succeeded
    }

    fn learn_neighbors(&mut self, host: Place, life: u32) {
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            if self.hear_each_other(Nic::Eth0, host, other) && !self.loses_round_trip(host, other) {
                let mac = self.mac(Nic::Eth0, other);
                self.tell_agent(host, life, Event::Neighbor { address: address(other), mac });
            }
        }
    }
}

fn is_about_the_address(action: &Action) -> bool {
    matches!(
        action,
        Action::Vip(
            _,
            VipAction::AddAddress { .. } | VipAction::RenewAddress { .. } | VipAction::RemoveAddress { .. }
        )
    )
}

/// Once a second from everybody, where there are reader VIPs, or one on an interface of its own: it leads to nothing as long as it says the same.
fn comes_once_a_second(event: &Event) -> bool {
    let word = matches!(event, Event::Frame(_, Frame { says: Says::Fitness(_) | Says::Member(_), .. }));
    word || matches!(event, Event::Backlog(_) | Event::Listens(_))
}

/// Whether a step changed nothing but the age of the facts.
fn same_but_for_age(mut before: Box<State>, after: &State) -> bool {
    let (known, now) = (&mut before.facts.readers, &after.facts.readers);
    for (member, (fitness, at)) in &mut known.said {
        if let Some((_, told)) = now.said.get(member).filter(|(told, _)| told == fitness) {
            *at = *told;
        }
    }
    if let (Some(known), Some(now)) = (&mut known.backlog, &now.backlog) {
        known.asked_at = now.asked_at;
    }
    if let (Some(known), Some(now)) = (&mut known.listens, &now.listens) {
        known.asked_at = now.asked_at;
    }
    for (interface, known) in &mut before.facts.neighbors.introduced {
        let Some(now) = after.facts.neighbors.introduced.get(interface) else { continue };
        for (member, macs) in known {
            let Some(now) = now.get(member) else { continue };
            // Whose is whose changes what is made of a claim; when it was said again does not, but of two that say the same.
            if let ([(mac, at)], [(same, said)]) = (macs.as_mut_slice(), now.as_slice())
                && mac == same
            {
                *at = *said;
            }
        }
    }
    before.facts.server.asked_at = after.facts.server.asked_at;
    before.facts.gateway.asked_at = after.facts.gateway.asked_at;
    for (gateway, known) in &mut before.facts.own_gateways {
        if let Some(now) = after.facts.own_gateways.get(gateway) {
            known.asked_at = now.asked_at;
        }
    }
    *before == *after
}
