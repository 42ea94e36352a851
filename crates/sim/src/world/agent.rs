//! A host's agent in the world: what it is told and when, its loop, its step, its deeds.

use std::time::Duration;

use decide::State;
use decide::action::{Action, Outcome};
use decide::event::{Event, Says};
use decide::reason::{Reason, Vacant};
use decide::step;
use decide::time::Time;

use super::segment::place_of;
use super::{Broken, Change, Due, Invariant, World, address};
use crate::group::Place;

/// An agent that gets to add the address only this long after it was decided does not add it.
const PROOF_HOLDS_FOR: Duration = Duration::from_millis(20);

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
        // One packet socket, one netlink socket: what comes through each reaches the loop in the order of its arrival.
        let last = match event {
            Event::Frame(_) => Some(&mut self.hosts[host].last_frame),
            Event::Host(_) => Some(&mut self.hosts[host].last_addresses),
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
        if matches!(event, Event::Frame(_)) {
            agent.frames.push_back(event);
        } else {
            agent.inbox.push_back(event);
        }
        let life = agent.life;
        self.agent_goes_on(host, life);
    }

    /// Lets the loop look at its queues as soon as it can.
    pub(super) fn agent_goes_on(&mut self, host: Place, life: u32) {
        let at = self.hosts[host].busy_until.max(self.now);
        if at == self.now && self.hosts[host].loop_at.is_none() {
            self.agent_loop(host);
        } else if self.hosts[host].loop_at.is_none_or(|planned| planned > at) {
            self.hosts[host].loop_at = Some(at);
            self.push(at, Due::Loop { host, life });
        }
    }

    /// The agent's loop: outcomes first, then frames, so that a claim heard in between is answered before anything is
    /// taken; the time last.
    pub(super) fn agent_loop(&mut self, host: Place) {
        self.hosts[host].loop_at = None;
        while self.hosts[host].agent.is_some() {
            let agent = &mut self.hosts[host];
            if agent.busy_until > self.now {
                let (at, life) = (agent.busy_until, agent.life);
                let waits = agent.wake_due
                    || !(agent.outcomes.is_empty() && agent.frames.is_empty() && agent.inbox.is_empty());
                if waits {
                    agent.loop_at = Some(at);
                    self.push(at, Due::Loop { host, life });
                }
                return;
            }
            let next = agent.outcomes.pop_front().or_else(|| agent.frames.pop_front());
            let Some(event) = next.or_else(|| agent.inbox.pop_front()) else {
                if !std::mem::take(&mut agent.wake_due) {
                    return;
                }
                self.step(host, &Event::Wake);
                continue;
            };
            self.step(host, &event);
        }
    }

    pub(super) fn step(&mut self, host: Place, event: &Event) {
        self.unpark(host);
        let now = self.clock(host);
        let Some(mut state) = self.hosts[host].agent.take() else { return };
        let before = self.may_park(host, &state, event).then(|| state.clone());
        let decision = step(&self.policy, &mut state, event, now);
        self.hosts[host].eye.take_in(&self.policy, event, now);
        if self.recording {
            self.tell_reasons(host, &decision.reasons);
        }
        if decision.wake_at <= now {
            self.broke(Invariant::Wakes, format!("db{} wakes up in the past", host + 1));
        }
        self.check_decision(host, &state, &decision.actions);
        for reason in &decision.reasons {
            if let Reason::Started { because, .. } = reason {
                self.hosts[host].overruled = matches!(because, Vacant::Overruled(..));
            }
        }
        if state.has_given_up() && self.hosts[host].giving_up {
            self.change_in(Duration::ZERO, Change::AgentEnds { host, told: true });
        }
        self.hosts[host].wake_at = decision.wake_at;
        let life = self.hosts[host].life;
        let wake_at = self.on_world_clock(host, decision.wake_at);
        self.push(wake_at, Due::Wake { host, life });
        if let Some(before) = before
            && decision.actions.is_empty()
            && same_but_for_age(before, &state)
        {
            self.park(host);
        } else if self.hosts[host].would_park && matches!(event, Event::Server(_)) {
            self.check_park(host, &decision.actions);
        }
        self.hosts[host].agent = Some(state);
        if !decision.actions.is_empty() {
            // Between proof and deed time passes; the loop does nothing else meanwhile.
            let mut deed = self.now + self.between_us(20, 800);
            if self.chance(self.chances.held_up) {
                deed = deed + self.between_ms(0, 80);
            }
            self.hosts[host].busy_until = self.hosts[host].busy_until.max(deed);
            self.push(deed, Due::Deed { host, life, decided: now, actions: decision.actions });
        }
    }

    fn tell_reasons(&mut self, host: Place, reasons: &[Reason]) {
        for reason in reasons {
            if !matches!(reason, Reason::Holding | Reason::NotWanted(..))
                && (reason.is_switch() || reasons.last() == Some(reason))
            {
                let words = format!("db{}: {reason}", host + 1);
                if self.story.iter().rev().take(6).all(|(_, told)| *told != words) {
                    self.tell(|| words);
                }
            }
        }
        if self.hosts[host].stands.as_ref() != reasons.last() {
            self.hosts[host].stands = reasons.last().cloned();
            self.hosts[host].changes_of_mind += 1;
        }
    }

    pub(super) fn carry_out(&mut self, host: Place, decided: Time, actions: Vec<Action>) {
        if self.hosts[host].hung_until.is_some_and(|until| until > self.now) {
            // The process was stopped between the decision and the deed.
            let (until, life) = (self.hosts[host].busy_until, self.hosts[host].life);
            return self.push(until, Due::Deed { host, life, decided, actions });
        }
        let life = self.hosts[host].life;
        let mut removed = false;
        for action in actions {
            match &action {
                Action::AskServer => self.ask_server(host),
                Action::AskGateway => self.ask_gateway(host),
                Action::AskHost => self.tell_addresses(host),
                Action::AskPeer(member) => {
                    if let Some(peer) = place_of(*member, self.hosts.len()) {
                        self.ask_peer(host, peer);
                    }
                }
                Action::LearnNeighbors => self.learn_neighbors(host, life),
                Action::SendProbe => {
                    self.hosts[host].eye.probed(decided);
                    self.broadcast(host, Says::Probe);
                }
                Action::AskWhoHasVip => self.ask_who_has_vip(host),
                Action::Announce => {
                    // The request form and the reply form.
                    self.broadcast(host, Says::Announcement);
                    self.broadcast(host, Says::Announcement);
                }
                Action::AddAddress { lifetime, .. } => {
                    let here = self.hosts[host].vip.is_some();
                    let late = !here && self.clock(host).since(decided) > PROOF_HOLDS_FOR;
                    if late || !self.hosts[host].interface {
                        let outcome =
                            Outcome::Failed("the proof is too old, or the interface is gone".to_owned());
                        self.hosts[host].outcomes.push_back(Event::Done { action: action.clone(), outcome });
                        self.agent_goes_on(host, life);
                        return;
                    }
                    self.check_lifetime(host, *lifetime);
                    let expires = lifetime.map(|lifetime| self.now + lifetime);
                    self.set_vip(host, Some(expires));
                    let now = self.clock(host);
                    self.hosts[host].eye.added(now);
                }
                Action::RemoveAddress { .. } => {
                    self.check_flap(host);
                    removed = self.hosts[host].vip.is_some();
                    self.set_vip(host, None);
                }
                Action::AnnounceRelease(to) => self.announce_release(host, to.filter(|_| removed)),
                Action::PollEvery(every) => self.poll_every(host, *every),
                Action::ReadExpelTimeout => self.read_expel_timeout(host),
                Action::LookAtMember(member) => self.look_at_member(host, *member),
                Action::WakeExpel => self.wake_expel(host),
                Action::SetExpelTimeout { original } => self.set_expel_timeout(host, *original, &action),
                Action::RestoreExpelTimeout { value } => self.restore_expel_timeout(host, *value, &action),
                Action::ListConnections
                | Action::KeepLatePackets { .. }
                | Action::ForwardLatePackets(_)
                | Action::WatchOrphanSyns { .. }
                | Action::RefuseOrphanSyns
                | Action::EndOrphanSyns
                | Action::TickleClients
                | Action::DestroyConnections
                | Action::WriteStat(_)
                | Action::Fence { .. } => {}
            }
        }
    }

    fn learn_neighbors(&mut self, host: Place, life: u32) {
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            if self.hear_each_other(host, other) && !self.loses_round_trip(host, other) {
                let mac = self.mac(other);
                self.tell_agent(host, life, Event::Neighbor { address: address(other), mac });
            }
        }
    }

    pub(super) fn broke(&mut self, invariant: Invariant, words: String) {
        self.broken.push(Broken { at: self.now, invariant, words });
    }
}

/// Whether a step changed nothing but the age of the facts.
fn same_but_for_age(mut before: State, after: &State) -> bool {
    before.facts.server.asked_at = after.facts.server.asked_at;
    before.facts.gateway.asked_at = after.facts.gateway.asked_at;
    before == *after
}
