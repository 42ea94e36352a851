//! An agent's questions, to its own server, the gateway and other members' servers, and their answers.
//!
//! Most polls of a quiet world tell an agent what it knows. Once such an answer has changed nothing in the agent's memory but
//! the facts' age, and has led to no action, the polls that follow would do the same, until something else happens: that is
//! what `wake_at` promises. They are left out then (the host is *parked*), and whatever happens next first gives the facts the
//! age that they would have had.

use std::net::IpAddr;
use std::time::Duration;

use decide::State;
use decide::input::{Event, Fact, Gateway, MemberPort, Seen, Why};
use decide::output::Action;
use decide::policy::VipGateway;
use decide::time::Time;
use oracle::{Breach, Invariant};

use super::segment::{Cut, place_of};
use super::{Due, World, address};
use crate::group::{Place, Process, TurnsAway, id};
use crate::nic::Nic;

/// A query to the local server is given up after this long.
pub(super) const QUERY_LIMIT: Duration = Duration::from_millis(1000);
/// A query to a peer's server is given up after this long.
const PEER_LIMIT: Duration = Duration::from_millis(400);

impl World {
    pub(super) fn poll(&mut self, host: Place, poll: u32) {
        if self.hosts[host].poll_serial != poll {
            return;
        }
        if let Some(until) = self.hosts[host].hung_until.filter(|until| *until > self.now) {
            let life = self.hosts[host].life;
            return self.push(until, Due::Poll { host, life, poll });
        }
        self.hosts[host].poll_base = self.now;
        if self.hosts[host].question.is_none() {
            self.ask_server(host);
        }
        self.ask_gateway(host);
        self.next_poll(host);
    }

    fn next_poll(&mut self, host: Place) {
        self.hosts[host].poll_serial += 1;
        let agent = &self.hosts[host];
        let (life, poll) = (agent.life, agent.poll_serial);
        // The first of the regular times that is yet to come.
        let every = u64::try_from(agent.poll.as_micros()).unwrap_or(u64::MAX).max(1);
        let gone = self.now.0.saturating_sub(agent.poll_base.0) / every;
        let at = Time(agent.poll_base.0 + (gone + 1) * every);
        self.push(at, Due::Poll { host, life, poll });
    }

    pub(super) fn poll_every(&mut self, host: Place, every: Duration) {
        self.hosts[host].poll = every;
        self.hosts[host].poll_base = self.now;
        self.next_poll(host);
    }

    /// Whether this answer may be one that tells nothing new.
    pub(super) fn may_park(&self, host: Place, state: &State, event: &Event) -> bool {
        let Event::Server(seen) = event else { return false };
        let agent = &self.hosts[host];
        seen.asked_at > state.facts.server.asked_at
            && !agent.would_park
            && agent.question.is_none()
            && agent.asker_stuck_until.is_none()
            && seen.fact == state.facts.server.fact
            // It may have changed since it answered.
            && agent.server.answer().is_none_or(|answer| *answer == seen.fact)
            && (agent.server.answer().is_some() || matches!(seen.fact, Fact::Unknown(Why::TimedOut(_))))
            && matches!(state.facts.gateway.fact, Fact::Known(_))
            && (agent.gateway_lost_at.is_none() || !self.gateway(host))
            && self.gateway(host) == gateway_known(&state.facts.gateway.fact)
            && self.own_gateway_may_park(host, state)
            && self.chances.held_up == 0.0
    }

    pub(super) fn park(&mut self, host: Place) {
        if self.skipping {
            self.hosts[host].parked = true;
            self.hosts[host].poll_serial += 1;
        } else {
            self.hosts[host].would_park = true;
        }
    }

    /// A poll that would have been left out was carried out: it must have led to nothing.
    pub(super) fn check_park(&mut self, host: Place, actions: &[Action]) {
        if !actions.is_empty() {
            let words = format!("looks at a poll that would have been left out, which led to {actions:?}");
            self.found(host, Err(Breach { invariant: Invariant::Wakes, words }));
        }
    }

    /// Something happens: the facts get the age that the polls left out would have given them, and polls go on.
    pub(super) fn unpark(&mut self, host: Place) {
        self.hosts[host].would_park = false;
        if !std::mem::take(&mut self.hosts[host].parked) {
            return;
        }
        let every = u64::try_from(self.hosts[host].poll.as_micros()).unwrap_or(u64::MAX).max(1);
        // An answer takes 2 ms at the most: by then the last poll but that is answered.
        let gone = self.now.0.saturating_sub(self.hosts[host].poll_base.0 + 2_500) / every;
        let last = Time(self.hosts[host].poll_base.0 + gone * every);
        let asked_at = Time(last.0.saturating_add_signed(self.hosts[host].clock_ahead));
        let agent = &mut self.hosts[host];
        if let Some(driver) = &mut agent.agent {
            let state = driver.state_mut();
            state.facts.server.asked_at = state.facts.server.asked_at.max(asked_at);
            state.facts.gateway.asked_at = state.facts.gateway.asked_at.max(asked_at);
            for own in state.facts.own_gateways.values_mut() {
                own.asked_at = own.asked_at.max(asked_at);
            }
            agent.vips.iter_mut().for_each(|vip| vip.book.aged(asked_at));
        }
        self.next_poll(host);
    }

    pub(super) fn ask_server(&mut self, host: Place) {
        if self.hosts[host].question.is_some() {
            self.hosts[host].ask_again = true;
            return;
        }
        self.hosts[host].question_serial += 1;
        let (life, question) = (self.hosts[host].life, self.hosts[host].question_serial);
        self.hosts[host].question = Some((question, self.now));
        self.hosts[host].ask_again = false;
        let wait = self.between_us(200, 2000);
        self.push(self.now + wait, Due::AskedServer { host, life, question });
    }

    pub(super) fn server_answers(&mut self, host: Place, life: u32, question: u32) {
        let Some((_, asked)) = self.hosts[host].question.filter(|(known, _)| *known == question) else {
            return;
        };
        if self.hosts[host].asker_stuck_until.is_some() {
            return;
        }
        let fact = match self.hosts[host].server.answer() {
            Some(fact) => fact.clone(),
            None if self.now.since(asked) >= QUERY_LIMIT => Fact::Unknown(Why::TimedOut(QUERY_LIMIT)),
            None => return self.push(asked + QUERY_LIMIT, Due::AskedServer { host, life, question }),
        };
        let asked_at = Time(asked.0.saturating_add_signed(self.hosts[host].clock_ahead));
        self.tell_agent(host, life, Event::Server(Seen { asked_at, fact }));
        self.hosts[host].question = None;
        if self.hosts[host].ask_again {
            self.ask_server(host);
        }
    }

    /// A server that blocked answers again, or its process ended: who waits for it hears at once.
    pub(super) fn answer_the_waiting(&mut self, host: Place) {
        let life = self.hosts[host].life;
        match self.hosts[host].question {
            Some((question, _)) => {
                let wait = self.between_us(200, 2000);
                self.push(self.now + wait, Due::AskedServer { host, life, question });
            }
            None if self.hosts[host].agent.is_some() => self.ask_server(host),
            None => {}
        }
    }

    /// Whether the gateway answers this host, as far as it can know.
    fn gateway(&self, host: Place) -> bool {
        self.hosts[host].gateway_lost_at.is_none_or(|at| self.now < at)
    }

    /// The same of the one that one VIP has of its own.
    fn own_gateway(&self, host: Place) -> bool {
        self.hosts[host].own_gateway_lost_at.is_none_or(|at| self.now < at)
    }

    /// One VIP has a gateway of its own.
    pub(super) fn has_own_gateway(&self) -> bool {
        !self.policy.own_gateways().is_empty()
    }

    /// The gateway that a host must reach to have this VIP.
    pub(super) fn gateway_of(&self, vip: usize) -> VipGateway {
        self.policy.vips.values().nth(vip).map(|vip| vip.gateway).unwrap_or_default()
    }

    fn own_gateway_may_park(&self, host: Place, state: &State) -> bool {
        if !self.has_own_gateway() {
            return true;
        }
        let known = state.facts.own_gateways.values().next().map(|own| &own.fact);
        let misses = self.hosts[host].own_gateway_lost_at.is_some() && self.own_gateway(host);
        !misses
            && known.is_some_and(|fact| {
                matches!(fact, Fact::Known(_)) && self.own_gateway(host) == gateway_known(fact)
            })
    }

    pub(super) fn ask_gateway(&mut self, host: Place) {
        let life = self.hosts[host].life;
        // A miss that does not yet make it lost tells nothing.
        let told = |reachable: bool, lost_at: Option<Time>| {
            let fact = Fact::Known(if reachable { Gateway::Reachable } else { Gateway::Lost { misses: 16 } });
            (!reachable || lost_at.is_none()).then_some(fact)
        };
        let asked_at = self.clock(host);
        if let Some(fact) = told(self.gateway(host), self.hosts[host].gateway_lost_at) {
            self.tell_agent(host, life, Event::Gateway(Seen { asked_at, fact }));
        }
        let own = self.policy.own_gateways().into_iter().next();
        if let Some(own) = own
            && let Some(fact) = told(self.own_gateway(host), self.hosts[host].own_gateway_lost_at)
        {
            self.tell_agent(host, life, Event::OwnGateway(own, Seen { asked_at, fact }));
        }
    }

    /// A question of this host is lost.
    pub(super) fn loses_frame(&mut self, nic: Nic, from: Place) -> bool {
        let mut kept = 1.0 - self.chances.loss;
        for (_, cut) in &self.segment.cuts {
            match *cut {
                Cut::Loss(there, percent) if there == nic => kept *= 1.0 - f64::from(percent) / 100.0,
                Cut::LossFrom(there, host, percent) if there == nic && host == from => {
                    kept *= 1.0 - f64::from(percent) / 100.0;
                }
                _ => {}
            }
        }
        kept < 1.0 && self.rng.f64() >= kept
    }

    /// Of a question on the members' segment and its answer, one is lost.
    pub(super) fn loses_round_trip(&mut self, one: Place, other: Place) -> bool {
        let mut kept = (1.0 - self.chances.loss) * (1.0 - self.chances.loss);
        for (_, cut) in &self.segment.cuts {
            match *cut {
                Cut::Loss(Nic::Eth0, percent) => kept *= (1.0 - f64::from(percent) / 100.0).powi(2),
                Cut::LossFrom(Nic::Eth0, host, percent) if host == one || host == other => {
                    kept *= 1.0 - f64::from(percent) / 100.0;
                }
                _ => {}
            }
        }
        kept < 1.0 && self.rng.f64() >= kept
    }

    pub(super) fn ask_peer(&mut self, host: Place, peer: Place) {
        let (life, asked_at, limit) = (self.hosts[host].life, self.clock(host), self.now + PEER_LIMIT);
        let lost = !self.hear_each_other(Nic::Eth0, host, peer) || self.loses_round_trip(host, peer);
        // TCP sends again what was lost, and no sooner than the question is given up.
        let wait = if lost { PEER_LIMIT } else { self.between_ms(2, 20) };
        self.push(self.now + wait, Due::AskedPeer { host, life, peer, asked_at, limit });
    }

    pub(super) fn peer_answers(&mut self, host: Place, life: u32, peer: Place, asked_at: Time, limit: Time) {
        let fact = if !self.hosts[peer].powered || !self.hosts[peer].is_on(Nic::Eth0) {
            Fact::Unknown(Why::Unreachable("no route to host".to_owned()))
        } else if !self.hear_each_other(Nic::Eth0, host, peer) || self.now >= limit {
            Fact::Unknown(Why::TimedOut(PEER_LIMIT))
        } else if self.chance(self.chances.peer_unknown) {
            TurnsAway::WrongPassword.fact()
        } else if let Some(fact) = self.hosts[peer].server.answer() {
            fact.clone()
        } else {
            let again = (self.now + Duration::from_millis(20)).min(limit);
            return self.push(again, Due::AskedPeer { host, life, peer, asked_at, limit });
        };
        self.tell_agent(host, life, Event::Peer { member: address(peer), seen: Seen { asked_at, fact } });
    }

    pub(super) fn look_at_member(&mut self, host: Place, member: IpAddr) {
        let Some(peer) = place_of(member, self.hosts.len()) else { return };
        let hears = self.hear_each_other(Nic::Eth0, host, peer) && !self.loses_round_trip(host, peer);
        let server = &self.hosts[peer].server;
        let fact = match server.process {
            _ if !hears => Fact::Unknown(Why::TimedOut(PEER_LIMIT)),
            Process::Refuses => Fact::Known(MemberPort::Refuses),
            Process::Blocks => Fact::Unknown(Why::TimedOut(PEER_LIMIT)),
            Process::Answers | Process::LeftGroup if server.turns_away.is_some() => {
                Fact::Known(MemberPort::Answers(None))
            }
            Process::Answers | Process::LeftGroup => Fact::Known(MemberPort::Answers(Some(id(peer)))),
        };
        let (life, asked_at) = (self.hosts[host].life, self.clock(host));
        self.tell_agent(host, life, Event::MemberPort { member, seen: Seen { asked_at, fact } });
    }
}

fn gateway_known(fact: &Fact<Gateway>) -> bool {
    matches!(fact, Fact::Known(Gateway::Reachable))
}
