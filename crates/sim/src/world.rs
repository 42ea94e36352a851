//! Hosts with their kernels, agents and servers, one segment, one clock; the invariants are looked at after each step.

mod agent;
mod change;
mod host;
mod invariants;
mod segment;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use decide::action::Action;
use decide::event::{Event, Fact, Says, Server};
use decide::policy::Policy;
use decide::time::Time;
use fastrand::Rng;

pub use change::Change;
pub use host::ModelHost;
pub use segment::address;

use crate::group::{Group, Place};
use crate::measure::Durations;

/// The address that all are about.
pub const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100));

/// What the segment and the hosts' processors do to frames and agents.
#[derive(Clone, Copy, Debug)]
pub struct Chances {
    /// Of a frame to be lost on its way to one receiver, 0–1.
    pub loss: f64,
    /// Of an agent to be held up for up to 80 ms before it handles an event, and between proof and deed, 0–1.
    pub held_up: f64,
    /// Of a peer's server to turn the question away (wrong password, too many connections), 0–1.
    pub peer_unknown: f64,
}

impl Chances {
    /// Nothing is lost, nobody is held up.
    pub const FAIR: Self = Self { loss: 0.0, held_up: 0.0, peer_unknown: 0.0 };
}

/// Something that is due.
#[derive(Clone, Debug)]
enum Due {
    ToAgent { host: Place, life: u32, event: Event },
    Wake { host: Place, life: u32, wake: u64 },
    Poll { host: Place, life: u32 },
    Deed { host: Place, life: u32, decided: Time, actions: Vec<Action> },
    AskedServer { host: Place, life: u32, asked_at: Time },
    AskedPeer { host: Place, life: u32, peer: Place, asked_at: Time },
    Arp { to: Place, from: Place, says: Says },
    Expire { host: Place, at: Time },
    Change(Change),
}

/// All of it.
#[derive(Debug)]
pub struct World {
    /// Now.
    pub now: Time,
    /// The limits and choices of all agents.
    pub policy: Policy,
    /// The hosts.
    pub hosts: Vec<ModelHost>,
    /// The group in truth.
    pub group: Group,
    /// What was told, for the reader of a failing seed.
    pub story: Vec<String>,
    /// Invariants that were broken, in words.
    pub broken: Vec<String>,
    /// How long two held the VIP.
    pub two_holders: Duration,
    /// From "a new primary takes writes" to "the VIP is there, and nowhere else".
    pub followed: Durations,
    /// Since when a new primary waits for the VIP.
    pub following_since: Option<Time>,
    /// The source of all that is random.
    pub rng: Rng,
    chances: Chances,
    due: BTreeMap<(Time, u64), Due>,
    serial: u64,
    last_arrival: BTreeMap<(Place, Place), Time>,
}

impl World {
    /// Three hosts, a whole group led by the first, agents that start within the first 100 ms.
    pub fn new(seed: u64, chances: Chances) -> Self {
        let now = Time(1_000_000_000);
        let hosts = 3;
        let members = (0..hosts).map(|place| (address(place), "eth0".to_owned())).collect();
        let policy = Policy::new(VIP, members);
        let group = Group::whole(hosts, now);
        let host = |place| ModelHost::new(&group, place, now, policy.poll_interval);
        let mut world = Self {
            now,
            hosts: (0..hosts).map(host).collect(),
            policy,
            group,
            story: Vec::new(),
            broken: Vec::new(),
            two_holders: Duration::ZERO,
            followed: Durations::default(),
            following_since: Some(now),
            rng: Rng::with_seed(seed),
            chances,
            due: BTreeMap::new(),
            serial: 0,
            last_arrival: BTreeMap::new(),
        };
        for place in 0..hosts {
            let wait = world.between_us(0, 100_000);
            world.change_in(wait, Change::AgentStarts(place));
        }
        world
    }

    /// A random duration, microseconds.
    pub fn between_us(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.rng.u64(from..=to))
    }

    /// A random duration, milliseconds.
    pub fn between_ms(&mut self, from: u64, to: u64) -> Duration {
        self.between_us(from * 1000, to * 1000)
    }

    /// Lets something happen later.
    pub fn change_in(&mut self, wait: Duration, change: Change) {
        self.push(self.now + wait, Due::Change(change));
    }

    /// Who bears the VIP.
    pub fn holders(&self) -> Vec<Place> {
        (0..self.hosts.len())
            .filter(|place| self.hosts[*place].powered && self.hosts[*place].vip.is_some())
            .collect()
    }

    fn push(&mut self, at: Time, due: Due) {
        self.serial += 1;
        self.due.insert((at, self.serial), due);
    }

    fn tell(&mut self, words: &str) {
        self.story.push(format!("{} {words}", self.now));
    }

    fn chance(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.rng.f64() < chance
    }

    /// Lets the clock run.
    pub fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some((&(at, serial), _)) = self.due.first_key_value() {
            if at > end {
                break;
            }
            let Some(due) = self.due.remove(&(at, serial)) else { break };
            if self.holders().len() > 1 {
                self.two_holders += at.since(self.now);
            }
            self.now = self.now.max(at);
            self.happen(serial, due);
            self.look();
        }
        if self.holders().len() > 1 {
            self.two_holders += end.since(self.now);
        }
        self.now = end;
    }

    fn happen(&mut self, serial: u64, due: Due) {
        match due {
            Due::Change(change) => self.change(change),
            Due::Expire { host, at } => {
                if self.hosts[host].vip == Some(Some(at)) {
                    self.tell(&format!("db{}: the lease ran out", host + 1));
                    self.set_vip(host, None);
                }
            }
            Due::Arp { to, from, says } => self.arp(to, from, says),
            Due::ToAgent { host, life, .. } | Due::Wake { host, life, .. } | Due::Deed { host, life, .. }
                if !self.runs(host, life) => {}
            Due::ToAgent { host, .. } | Due::Wake { host, .. } if self.hosts[host].busy_until > self.now => {
                // One loop: it waits its turn, in the order of arrival.
                self.due.insert((self.hosts[host].busy_until, serial), due);
            }
            Due::ToAgent { host, ref event, .. }
                if !matches!(event, Event::Frame(_)) && self.frame_waits(host) =>
            {
                // The loop takes frames first.
                self.push(self.now, due);
            }
            Due::Wake { host, .. } if self.frame_waits(host) => self.push(self.now, due),
            Due::ToAgent { host, event, .. } => self.step(host, &event),
            Due::Wake { host, wake, .. } if self.hosts[host].wake == wake => self.step(host, &Event::Wake),
            Due::Deed { host, decided, actions, .. } => self.carry_out(host, decided, actions),
            Due::Poll { host, life } if self.runs(host, life) => {
                if !self.hosts[host].asking {
                    self.ask_server(host);
                }
                self.ask_gateway(host);
                let again = self.now + self.hosts[host].poll;
                self.push(again, Due::Poll { host, life });
            }
            Due::Wake { .. } | Due::Poll { .. } => {}
            Due::AskedServer { host, life, .. } if self.hosts[host].life != life => {}
            Due::AskedServer { host, life, asked_at } => self.server_answers(host, life, asked_at),
            Due::AskedPeer { host, life, peer, asked_at } => self.peer_answers(host, life, peer, asked_at),
        }
    }

    /// What happened, for the reader.
    pub fn story(&self) -> String {
        format!("{}\nbroken: {:#?}", self.story.join("\n"), self.broken)
    }

    /// What a server says, for tests.
    pub fn server_says(&self, host: Place) -> Option<Fact<Server>> {
        self.hosts[host].server.answer()
    }
}
