//! What a fault does to the world.

use std::time::Duration;

use decide::driver::{Driver, Stop};
use decide::input::{Event, ProcessSign};
use decide::time::Time;
use oracle::Book;

use super::questions::QUERY_LIMIT;
use super::{Due, World};
use crate::group::{Place, Process, TurnsAway};
use crate::nic::Nic;

/// Where hosts have to say who they are a new hardware address counts once the old one has been silent for 3 s, at the word after that: it is
/// said once a second.
const KNOWN_AGAIN_AFTER: Duration = Duration::from_millis(4_200);

/// What a fault does to the world, at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The server's process ends, if it still is this one.
    ServerEnds(Place, u32),
    /// The server's process is started.
    ServerStarts(Place),
    /// … and seen by the agent, if none has ended since.
    ServerSeenToStart(Place, u32),
    /// … and takes connections.
    ServerListens(Place, u32),
    /// `STOP GROUP_REPLICATION` has ended, if it still is this process.
    ServerHasLeft(Place, u32),
    /// The server's process is stopped (SIGSTOP).
    ServerHangs(Place),
    /// … and goes on, if it still is this one.
    ServerGoesOn(Place, u32),
    /// The server turns questions away, or no longer.
    ServerTurnsAway(Place, Option<TurnsAway>),
    /// `START GROUP_REPLICATION`.
    ServerJoins(Place),
    /// Power off.
    PowerOff(Place),
    /// Power on: server and agent start.
    PowerOn(Place),
    /// Someone removes the VIP by hand, or a network service that is restarted does.
    Flush(Place),
    /// The interface goes.
    InterfaceGoes(Place, Nic),
    /// An interface comes: another hardware address.
    InterfaceComes(Place, Nic),
    /// The interface has a carrier, or none: its addresses stay.
    Carrier(Place, Nic, bool),
    /// The interface has an address of its own beside VIPs, or none.
    OwnAddress(Place, Nic, bool),
    /// The agent's process goes on.
    AgentGoesOn(Place),
    /// What watches the agent's server is no longer stuck.
    AskerGoesOn(Place),
    /// The agent ends, with or without a word.
    AgentEnds {
        /// Where.
        host: Place,
        /// It is told to stop (SIGTERM), and not killed.
        told: bool,
    },
    /// The agent is told to give the VIP up (`haipmgr stop --release`).
    AgentGivesUp(Place),
    /// The operator pauses the agent until then, on the world's clock.
    OperatorPauses(Place, Time),
    /// The operator resumes it.
    OperatorResumes(Place),
    /// A pause has come to its end by the host's clock, unless that lags behind.
    PauseEnds(Place),
    /// An agent starts.
    AgentStarts(Place),
    /// So many transactions wait in the server's applier queue.
    Backlog(Place, u64),
    /// A server that is shutting down takes no more clients.
    ClosesSockets(Place, u32),
    /// The host's agent looks whether it does.
    LooksWhetherItListens(Place),
}

impl Change {
    /// The host on which it happens; none where it happens to the host.
    fn host(self) -> Option<Place> {
        match self {
            Self::PowerOff(_) | Self::PowerOn(_) => None,
            Self::ServerEnds(host, _)
            | Self::ServerStarts(host)
            | Self::ServerSeenToStart(host, _)
            | Self::ServerListens(host, _)
            | Self::ServerHasLeft(host, _)
            | Self::ServerHangs(host)
            | Self::ServerGoesOn(host, _)
            | Self::ServerTurnsAway(host, _)
            | Self::ServerJoins(host)
            | Self::Flush(host)
            | Self::InterfaceGoes(host, _)
            | Self::InterfaceComes(host, _)
            | Self::Carrier(host, ..)
            | Self::OwnAddress(host, ..)
            | Self::AgentGoesOn(host)
            | Self::AskerGoesOn(host)
            | Self::AgentEnds { host, .. }
            | Self::AgentGivesUp(host)
            | Self::OperatorPauses(host, _)
            | Self::OperatorResumes(host)
            | Self::PauseEnds(host)
            | Self::AgentStarts(host)
            | Self::Backlog(host, _)
            | Self::ClosesSockets(host, _)
            | Self::LooksWhetherItListens(host) => Some(host),
        }
    }
}

impl World {
    pub(super) fn change(&mut self, change: Change) {
        let paused = change.host().and_then(|host| self.hosts[host].paused_until);
        if let Some(until) = paused {
            // What happens on a host that is paused happens when it goes on.
            return self.push(until, Due::Change(change));
        }
        self.tell(|| format!("— {change:?}"));
        match change {
            Change::PowerOff(_)
            | Change::PowerOn(_)
            | Change::Flush(_)
            | Change::InterfaceGoes(..)
            | Change::InterfaceComes(..)
            | Change::Carrier(..)
            | Change::OwnAddress(..) => self.change_host(change),
            Change::AgentGoesOn(_)
            | Change::AskerGoesOn(_)
            | Change::AgentEnds { .. }
            | Change::AgentGivesUp(_)
            | Change::OperatorPauses(..)
            | Change::OperatorResumes(_)
            | Change::PauseEnds(_)
            | Change::AgentStarts(_) => self.change_agent(change),
            server => self.change_server(server),
        }
        self.reassess();
    }

    /// The host's power, its addresses and its interface.
    fn change_host(&mut self, change: Change) {
        match change {
            Change::PowerOff(host) => {
                self.agent_is_gone(host);
                self.hosts[host].powered = false;
                self.hosts[host].paused_until = None;
                self.server_ends(host);
                self.lose_vips(host);
            }
            Change::PowerOn(host) if !self.hosts[host].powered => {
                self.hosts[host].powered = true;
                for nic in Nic::EACH {
                    let card = self.hosts[host].card_mut(nic);
                    (card.there, card.carrier, card.addressed) = (true, true, true);
                }
                self.hosts[host].clock_ahead = 0;
                self.server_starts(host);
                self.agent_starts(host);
            }
            Change::Flush(host) => {
                let vip = if self.vips.len() > 1 { self.rng.usize(0..self.vips.len()) } else { 0 };
                self.hosts[host].vips[vip].flushed_at = Some(self.now);
                self.readers_are_disturbed();
                self.set_vip(host, vip, None);
            }
            _ => self.change_interface(change),
        }
    }

    fn change_interface(&mut self, change: Change) {
        let (host, nic) = match change {
            Change::InterfaceGoes(host, nic) => {
                self.flushed(host, Some(nic));
                let known_from = self.now + KNOWN_AGAIN_AFTER;
                let card = self.hosts[host].card_mut(nic);
                (card.there, card.known_from) = (false, known_from);
                self.lose_vips_of(host, nic);
                (host, nic)
            }
            Change::InterfaceComes(host, nic) => {
                let card = self.hosts[host].card_mut(nic);
                card.there = true;
                card.serial = card.serial.wrapping_add(1);
                (host, nic)
            }
            Change::Carrier(host, nic, has_one) => {
                self.hosts[host].card_mut(nic).carrier = has_one;
                (host, nic)
            }
            Change::OwnAddress(host, nic, has_one) => {
                self.hosts[host].card_mut(nic).addressed = has_one;
                (host, nic)
            }
            _ => return,
        };
        self.tell_addresses(host);
        if nic == Nic::Eth1 {
            self.tell_of_receiving(host);
        }
        self.wire_up();
    }

    /// The agent, and what the operator tells it.
    fn change_agent(&mut self, change: Change) {
        match change {
            Change::AgentGoesOn(host)
                if self.hosts[host].hung_until.is_some_and(|until| until <= self.now) =>
            {
                self.hosts[host].hung_until = None;
            }
            Change::AskerGoesOn(host)
                if self.hosts[host].asker_stuck_until.is_some_and(|until| until <= self.now) =>
            {
                self.hosts[host].asker_stuck_until = None;
                self.hosts[host].asker_back_at = Some(self.now);
                self.hosts[host].question = None;
            }
            Change::AgentEnds { host, told } => self.agent_ends(host, told),
            Change::AgentGivesUp(host) => {
                if let Some(driver) = &mut self.hosts[host].agent {
                    driver.stop(Stop::GiveUp);
                    self.hosts[host].giving_up = true;
                    let life = self.hosts[host].life;
                    self.agent_goes_on(host, life);
                }
            }
            Change::OperatorPauses(host, until) => {
                self.hosts[host].operator_pauses_until = Some(until);
                let until = self.clock(host) + until.since(self.now);
                self.tell_of_pause(host, Some(until));
                self.change_in(self.on_world_clock(host, until).since(self.now), Change::PauseEnds(host));
            }
            Change::OperatorResumes(host) => {
                self.hosts[host].operator_pauses_until = None;
                self.tell_of_pause(host, None);
            }
            Change::PauseEnds(host) => {
                if let Some(until) =
                    self.hosts[host].paused_on_its_clock.filter(|_| self.is_paused_by_operator(host))
                {
                    self.change_in(self.on_world_clock(host, until).since(self.now), Change::PauseEnds(host));
                }
            }
            Change::AgentStarts(host) => self.agent_starts(host),
            _ => {}
        }
    }

    fn change_server(&mut self, change: Change) {
        match change {
            Change::ServerEnds(host, life) if self.hosts[host].server.life == life => self.server_ends(host),
            Change::ServerStarts(host) => self.server_starts(host),
            Change::ServerSeenToStart(host, life) if self.hosts[host].server.life == life => {
                self.tell_of_process(host, ProcessSign::MayStart);
            }
            Change::ServerListens(host, life) => self.server_listens(host, life),
            Change::ServerHasLeft(host, life) => self.server_has_left(host, life),
            Change::ServerHangs(host) if self.hosts[host].server.process == Process::Answers => {
                self.hosts[host].server.process = Process::Blocks;
                self.unpark(host);
            }
            Change::ServerGoesOn(host, life) => {
                let server = &mut self.hosts[host].server;
                if server.life == life && server.process == Process::Blocks && !server.lies {
                    server.process = Process::Answers;
                    self.hosts[host].went_on_at = self.now;
                    self.server_changed(host);
                    self.unpark(host);
                    self.answer_the_waiting(host);
                }
            }
            Change::ServerTurnsAway(host, why) => {
                self.hosts[host].server.turns_away = why;
                self.server_changed(host);
            }
            Change::ServerJoins(host) => self.joins_in(host, 1, 300),
            Change::Backlog(host, transactions) => self.hosts[host].backlog = transactions,
            Change::ClosesSockets(host, life) => self.sockets_are_closed(host, life),
            Change::LooksWhetherItListens(host) => self.look_whether_it_listens(host),
            // Meant for a process that is gone, or not about a server.
            _ => {}
        }
    }

    /// The agent is told of the operator's word: paused until then, on its clock, or not.
    fn tell_of_pause(&mut self, host: Place, until: Option<Time>) {
        self.unpark(host);
        self.hosts[host].paused_on_its_clock = until;
        let life = self.hosts[host].life;
        self.tell_agent(host, life, until.map_or(Event::Resume, |until| Event::Pause { until }));
    }

    /// All VIPs leave a host, or this interface of it, and its agent has not ordered it.
    pub(super) fn flushed(&mut self, host: Place, nic: Option<Nic>) {
        for (vip, seen) in self.hosts[host].vips.iter_mut().zip(&self.vips) {
            if nic.is_none_or(|nic| seen.nic == nic) {
                vip.flushed_at = Some(self.now);
            }
        }
        if nic != Some(Nic::Eth1) {
            self.disturb_candidate(host);
        }
    }

    /// What watches the agent's server gets stuck for so long: not even a time-out is told.
    pub(crate) fn asker_sticks(&mut self, host: Place, length: Duration) {
        self.unpark(host);
        let until = self.now + length;
        let known = self.hosts[host].asker_stuck_until;
        self.hosts[host].asker_stuck_until = Some(known.map_or(until, |known| known.max(until)));
        self.change_in(length, Change::AskerGoesOn(host));
        // Looked at once more when a time-out would have been told.
        self.change_in(length + QUERY_LIMIT, Change::AskerGoesOn(host));
        self.reassess();
    }

    /// The agent's process is stopped (SIGSTOP) for so long, between its next decision about the address and the deed, or after that deed.
    pub(crate) fn hang_agent_at_a_deed(&mut self, host: Place, length: Duration) {
        if self.hosts[host].agent.is_some() {
            self.hosts[host].hangs_at_a_deed = Some(length);
        }
    }

    /// The agent's process is stopped (SIGSTOP) for so long.
    pub(crate) fn hang_agent(&mut self, host: Place, length: Duration) {
        if !self.hosts[host].is_awake() || self.hosts[host].agent.is_none() {
            return;
        }
        self.unpark(host);
        let until = self.now + length;
        self.hosts[host].hung_until =
            Some(self.hosts[host].hung_until.map_or(until, |known| known.max(until)));
        self.hosts[host].busy_until = self.hosts[host].busy_until.max(until);
        self.change_in(length, Change::AgentGoesOn(host));
        self.reassess();
    }

    /// One that is told, and stands still, ends when it goes on.
    fn agent_ends(&mut self, host: Place, told: bool) {
        let life = self.hosts[host].life;
        match &mut self.hosts[host].agent {
            Some(driver) if told => {
                driver.stop(Stop::LeaveVip);
                self.agent_goes_on(host, life);
            }
            _ => self.agent_is_gone(host),
        }
    }

    pub(super) fn agent_has_ended(&mut self, host: Place) {
        self.tell(|| format!("db{}: the agent has ended", host + 1));
        self.agent_is_gone(host);
        if std::mem::take(&mut self.hosts[host].starts_again) {
            self.change_in(Duration::ZERO, Change::AgentStarts(host));
        }
        self.reassess();
    }

    fn agent_is_gone(&mut self, host: Place) {
        self.unpark(host);
        let agent = &mut self.hosts[host];
        agent.agent = None;
        agent.hung_until = None;
        agent.asker_stuck_until = None;
        agent.hangs_at_a_deed = None;
        agent.question = None;
    }

    fn agent_starts(&mut self, host: Place) {
        if !self.hosts[host].is_awake() {
            return;
        }
        if let Some(driver) = &self.hosts[host].agent {
            self.hosts[host].starts_again = driver.is_stopping();
            return;
        }
        let now = self.clock(host);
        let poll = self.policy.group.poll_interval;
        let agent = &mut self.hosts[host];
        agent.life += 1;
        agent.giving_up = false;
        agent.agent = Some(Box::new(Driver::new(&self.policy, now)));
        for vip in &mut agent.vips {
            vip.book = Book::new(now);
        }
        agent.last_step = now;
        agent.candidate = super::readers::Candidate::default();
        agent.busy_until = self.now;
        agent.loop_at = None;
        agent.wake_at = Time(0);
        agent.question = None;
        agent.ask_again = false;
        agent.poll = poll;
        agent.poll_base = self.now;
        agent.poll_serial += 1;
        let (life, poll, left) = (agent.life, agent.poll_serial, agent.expel_on_disk);
        self.push(self.now, Due::Poll { host, life, poll });
        if self.has_readers() {
            self.push(self.now, Due::AskBacklog { host, life });
        }
        if let Some(original) = left {
            self.tell_agent(host, life, Event::ExpelTimeoutLeft(original));
        }
        let left = self.hosts[host].operator_pauses_until.map(|until| now + until.since(self.now));
        self.hosts[host].paused_on_its_clock = left;
        if let (Some(until), Some(driver)) = (left, &mut self.hosts[host].agent) {
            // What is kept of it is read before anything else.
            driver.push(Event::Pause { until });
        }
        self.tell_agent(host, life, Event::Wake);
        self.tell_of_receiving(host);
        self.hosts[host].process_is_hidden = self.chance(0.1);
        if self.hosts[host].server.process != Process::Refuses {
            self.tell_of_process(host, ProcessSign::Watched);
        }
    }
}
