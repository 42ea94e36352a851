//! A host's agent in the world: what it is told and when, its step, its deeds, its questions and their answers.

use std::time::Duration;

use decide::action::{Action, Outcome};
use decide::event::{Event, Fact, Gateway, Says, Seen, Why};
use decide::reason::Reason;
use decide::step;
use decide::time::Time;

use super::segment::mac;
use super::{Due, World, address};
use crate::group::{Place, no_answer};

/// A query to the local server is given up after this long.
const QUERY_LIMIT: Duration = Duration::from_millis(1000);
/// A query to a peer's server is given up after this long.
const PEER_LIMIT: Duration = Duration::from_millis(400);
/// An agent that gets to add the address only this long after it was decided does not add it.
const PROOF_HOLDS_FOR: Duration = Duration::from_millis(20);
/// A gateway is called lost after this long without an answer.
const GATEWAY_LOST_AFTER: Duration = Duration::from_millis(600);

impl World {
    pub(super) fn runs(&self, host: Place, life: u32) -> bool {
        let host = &self.hosts[host];
        host.powered && host.agent.is_some() && host.life == life
    }

    pub(super) fn frame_waits(&self, host: Place) -> bool {
        self.chances.held_up > 0.0 && self.due.range(..=(self.now, u64::MAX)).any(|(_, due)| {
            matches!(due, Due::ToAgent { host: to, event: Event::Frame(_), life } if *to == host && self.runs(host, *life))
        })
    }

    pub(super) fn tell_agent(&mut self, host: Place, life: u32, event: Event) {
        let mut wait = self.between_us(20, 200);
        if self.chance(self.chances.held_up) {
            wait += self.between_ms(0, 80);
            let until = self.now + wait;
            self.hosts[host].busy_until = self.hosts[host].busy_until.max(until);
        }
        let mut at = self.now + wait;
        if matches!(event, Event::Frame(_)) {
            // One packet socket: frames reach the loop in the order of their arrival.
            at = at.max(self.hosts[host].last_frame);
            self.hosts[host].last_frame = at;
        }
        self.push(at, Due::ToAgent { host, life, event });
    }

    pub(super) fn step(&mut self, host: Place, event: &Event) {
        let now = self.now;
        let Some(mut state) = self.hosts[host].agent.take() else { return };
        let decision = step(&self.policy, &mut state, event, now);
        for reason in &decision.reasons {
            if !matches!(reason, Reason::Holding | Reason::NotWanted(..))
                && (reason.is_switch() || decision.reason() == Some(reason))
            {
                let words = format!("db{}: {reason}", host + 1);
                if self.story.iter().rev().take(4).all(|line| !line.ends_with(&words)) {
                    self.tell(&words);
                }
            }
        }
        if self.hosts[host].stands.as_ref() != decision.reason() {
            self.hosts[host].stands = decision.reason().cloned();
            self.hosts[host].changes_of_mind += 1;
        }
        if decision.wake_at <= now {
            self.broken.push(format!("db{}: wakes up in the past", host + 1));
        }
        self.check_start(host, &state, &decision.actions);
        self.hosts[host].agent = Some(state);
        self.hosts[host].wake += 1;
        let (life, wake) = (self.hosts[host].life, self.hosts[host].wake);
        self.push(decision.wake_at, Due::Wake { host, life, wake });
        if !decision.actions.is_empty() {
            // Between proof and deed time passes; the loop does nothing else meanwhile.
            let mut deed = now + self.between_us(20, 800);
            if self.chance(self.chances.held_up) {
                deed = deed + self.between_ms(0, 80);
            }
            self.hosts[host].busy_until = self.hosts[host].busy_until.max(deed);
            self.push(deed, Due::Deed { host, life, decided: now, actions: decision.actions });
        }
    }

    pub(super) fn carry_out(&mut self, host: Place, decided: Time, actions: Vec<Action>) {
        let life = self.hosts[host].life;
        for action in actions {
            match &action {
                Action::AskServer => self.ask_server(host),
                Action::AskGateway => self.ask_gateway(host),
                Action::AskHost => self.tell_addresses(host),
                Action::AskPeer(member) => {
                    let Some(peer) = (0..self.hosts.len()).find(|place| address(*place) == *member) else {
                        continue;
                    };
                    let asked_at = self.now;
                    let wait = if self.hosts[peer].powered { self.between_ms(2, 20) } else { PEER_LIMIT };
                    self.push(self.now + wait, Due::AskedPeer { host, life, peer, asked_at });
                }
                Action::LearnNeighbours => {
                    for other in (0..self.hosts.len()).filter(|other| *other != host) {
                        let apart = self.hosts[host].isolated || self.hosts[other].isolated;
                        if !apart && self.hosts[other].powered && !self.chance(self.chances.loss) {
                            self.tell_agent(
                                host,
                                life,
                                Event::Neighbour { address: address(other), mac: mac(other) },
                            );
                        }
                    }
                }
                Action::SendProbe => self.broadcast(host, Says::Probe),
                Action::Announce => {
                    // The request form and the reply form.
                    self.broadcast(host, Says::Announcement);
                    self.broadcast(host, Says::Announcement);
                }
                Action::AddAddress { .. } if self.now.since(decided) > PROOF_HOLDS_FOR => {
                    let outcome = Outcome::Failed("the proof is too old".to_owned());
                    self.tell_agent(host, life, Event::Done { action: action.clone(), outcome });
                    return;
                }
                Action::AddAddress { lifetime, .. } => {
                    let expires = lifetime.map(|lifetime| self.now + lifetime);
                    self.set_vip(host, Some(expires));
                    self.tell_agent(
                        host,
                        life,
                        Event::Done { action: action.clone(), outcome: Outcome::Succeeded },
                    );
                }
                Action::RemoveAddress { .. } => {
                    self.check_flap(host);
                    self.set_vip(host, None);
                    self.tell_agent(
                        host,
                        life,
                        Event::Done { action: action.clone(), outcome: Outcome::Succeeded },
                    );
                }
                Action::PollEvery(every) => {
                    self.hosts[host].poll = *every;
                }
                Action::ListConnections
                | Action::KeepStragglers { .. }
                | Action::PassOnStragglers(_)
                | Action::WatchStrays { .. }
                | Action::RefuseStrays
                | Action::EndStrays
                | Action::TickleClients
                | Action::DestroyConnections
                | Action::WriteStat(_)
                // The model group elects by itself.
                | Action::ReadExpelTimeout
                | Action::LookAtMember(_)
                | Action::WakeElection
                | Action::SetExpelTimeout { .. }
                | Action::RestoreExpelTimeout { .. }
                | Action::Fence { .. } => {}
            }
        }
    }

    pub(super) fn ask_server(&mut self, host: Place) {
        if self.hosts[host].asking {
            self.hosts[host].ask_again = true;
            return;
        }
        self.hosts[host].asking = true;
        self.hosts[host].ask_again = false;
        let (life, asked_at) = (self.hosts[host].life, self.now);
        let wait = self.between_us(200, 2000);
        self.push(self.now + wait, Due::AskedServer { host, life, asked_at });
    }

    pub(super) fn ask_gateway(&mut self, host: Place) {
        let lost = self.hosts[host].gateway_lost_since;
        let fact = match lost {
            Some(since) if self.now.since(since) >= GATEWAY_LOST_AFTER => {
                Fact::Known(Gateway::Lost { misses: 3 })
            }
            _ => Fact::Known(Gateway::Reachable),
        };
        self.tell_agent(host, self.hosts[host].life, Event::Gateway(Seen { asked_at: self.now, fact }));
    }

    pub(super) fn server_answers(&mut self, host: Place, life: u32, asked_at: Time) {
        let fact = match self.hosts[host].server.answer() {
            Some(fact) => fact,
            None if self.now.since(asked_at) >= QUERY_LIMIT => no_answer(QUERY_LIMIT),
            None => {
                let again = self.now + Duration::from_millis(5);
                return self.push(again, Due::AskedServer { host, life, asked_at });
            }
        };
        self.tell_agent(host, life, Event::Server(Seen { asked_at, fact }));
        self.hosts[host].asking = false;
        if self.hosts[host].ask_again {
            self.ask_server(host);
        }
    }

    pub(super) fn peer_answers(&mut self, host: Place, life: u32, peer: Place, asked_at: Time) {
        let apart = self.hosts[host].isolated || self.hosts[peer].isolated;
        let fact = if apart {
            Fact::Unknown(Why::Unreachable("no route to host".to_owned()))
        } else if self.hosts[peer].powered && self.chance(self.chances.peer_unknown) {
            Fact::Unknown(Why::WrongPassword("1045".to_owned()))
        } else if self.hosts[peer].powered {
            match self.hosts[peer].server.answer() {
                Some(fact) => fact,
                None if self.now.since(asked_at) >= PEER_LIMIT => no_answer(PEER_LIMIT),
                None => {
                    let again = self.now + Duration::from_millis(5);
                    return self.push(again, Due::AskedPeer { host, life, peer, asked_at });
                }
            }
        } else {
            Fact::Unknown(Why::Unreachable("no route to host".to_owned()))
        };
        self.tell_agent(host, life, Event::Peer { member: address(peer), seen: Seen { asked_at, fact } });
    }
}
