//! Hosts with their kernels, agents and servers, one segment, one clock; the invariants are looked at after each step.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use decide::action::{Action, Outcome};
use decide::event::{Card, Event, Fact, Frame, Gateway, Host, HostAddress, Mac, Says, Seen, Server, Why};
use decide::policy::Policy;
use decide::reason::Reason;
use decide::stages::Verdict;
use decide::state::{State, Tenure};
use decide::step;
use decide::time::Time;
use fastrand::Rng;

use crate::group::{Group, ModelServer, Place, Process, no_answer};
use crate::measure::Durations;

/// The address that all are about.
pub const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100));
/// A query to the local server is given up after this long.
const QUERY_LIMIT: Duration = Duration::from_millis(1000);
/// A query to a peer's server is given up after this long.
const PEER_LIMIT: Duration = Duration::from_millis(400);
/// An agent that gets to add the address only this long after it was decided does not add it.
const PROOF_HOLDS_FOR: Duration = Duration::from_millis(20);
/// A gateway is called lost after this long without an answer.
const GATEWAY_LOST_AFTER: Duration = Duration::from_millis(600);

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
    poll: Duration,
    last_frame: Time,
    wake: u64,
    /// A question to its server is under way: one kept connection takes one at a time.
    asking: bool,
    /// … and another is to be put when it is answered.
    ask_again: bool,
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

/// What a fault does to the world, at its time.
#[derive(Clone, Debug)]
pub enum Change {
    /// A server treats questions so from now on.
    Process(Place, Process),
    /// A server shows the group's truth as it is now, read-only or not, unable to reach these.
    Show(Place, bool, Vec<Place>),
    /// The group agrees on a new view of these members, led by the second.
    View(Vec<Place>, Place),
    /// The group elects this primary in the same view.
    Elect(Place),
    /// Nobody takes writes any more.
    NotWritable,
    /// The elected primary takes writes from now on.
    Writable(Place),
    /// Power off.
    PowerOff(Place),
    /// Someone removes the VIP by hand.
    RemoveByHand(Place),
    /// The gateway answers this host no more, or again.
    GatewayAnswers(Place, bool),
    /// The host is cut off from the whole segment, its gateway too, or is back on it.
    Isolated(Place, bool),
    /// The agent is held up until then.
    Hang(Place, Time),
    /// The agent ends, with or without a word.
    AgentEnds {
        /// Where.
        host: Place,
        /// It is told to stop (SIGTERM), and not killed.
        told: bool,
    },
    /// An agent starts.
    AgentStarts(Place),
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

/// The address of a host.
pub fn address(place: Place) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 11 + u8::try_from(place).unwrap_or(u8::MAX)))
}

fn mac(place: Place) -> Mac {
    Mac([2, 0, 0, 0, 0, u8::try_from(place).unwrap_or(u8::MAX)])
}

impl World {
    /// Three hosts, a whole group led by the first, agents that start within the first 100 ms.
    pub fn new(seed: u64, chances: Chances) -> Self {
        let now = Time(1_000_000_000);
        let hosts = 3;
        let members = (0..hosts).map(|place| (address(place), "eth0".to_owned())).collect();
        let policy = Policy::new(VIP, members);
        let group = Group::whole(hosts, now);
        let host = |place| ModelHost {
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
            poll: policy.poll_interval,
            wake: 0,
            last_frame: now,
            asking: false,
            ask_again: false,
        };
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

    fn runs(&self, host: Place, life: u32) -> bool {
        let host = &self.hosts[host];
        host.powered && host.agent.is_some() && host.life == life
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
            Due::AskedServer { host, life, asked_at } => {
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
            Due::AskedPeer { host, life, peer, asked_at } => {
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
                self.tell_agent(
                    host,
                    life,
                    Event::Peer { member: address(peer), seen: Seen { asked_at, fact } },
                );
            }
        }
    }

    fn frame_waits(&self, host: Place) -> bool {
        self.chances.held_up > 0.0 && self.due.range(..=(self.now, u64::MAX)).any(|(_, due)| {
            matches!(due, Due::ToAgent { host: to, event: Event::Frame(_), life } if *to == host && self.runs(host, *life))
        })
    }

    fn tell_agent(&mut self, host: Place, life: u32, event: Event) {
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

    fn step(&mut self, host: Place, event: &Event) {
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

    fn check_start(&mut self, host: Place, state: &State, actions: &[Action]) {
        let adds = actions.iter().any(|action| matches!(action, Action::AddAddress { .. }));
        let unconfirmed = matches!(&state.tenure, Tenure::Holding(hold) if !hold.confirmed);
        if adds && unconfirmed && state.stages(&self.policy).verdict_to_start() != Verdict::Up {
            self.broken.push(format!("EVIDENCE: db{} starts the VIP, and not all stages pass", host + 1));
        }
    }

    fn carry_out(&mut self, host: Place, decided: Time, actions: Vec<Action>) {
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

    /// NO-FLAP: a holder that has been well for a while lets go of nothing.
    fn check_flap(&mut self, host: Place) {
        let well =
            self.hosts[host].well_since.is_some_and(|since| self.now.since(since) > Duration::from_secs(2));
        if well && self.hosts[host].vip.is_some() {
            self.broken.push(format!(
                "NO-FLAP: db{} leads, and lets go of the VIP at {}",
                host + 1,
                self.now
            ));
        }
    }

    #[allow(clippy::option_option, reason = "here or not; and if here, for ever or until then")]
    fn set_vip(&mut self, host: Place, vip: Option<Option<Time>>) {
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

    fn tell_addresses(&mut self, host: Place) {
        let on_card = |address, prefix| HostAddress { address, prefix, card: "eth0".to_owned() };
        let mut addresses = vec![on_card(address(host), 24)];
        addresses.extend(self.hosts[host].vip.map(|_| on_card(VIP, 32)));
        let cards = vec![Card { name: "eth0".to_owned(), running: true }];
        let fact = Fact::Known(Host { addresses, cards });
        self.tell_agent(host, self.hosts[host].life, Event::Host(Seen { asked_at: self.now, fact }));
    }

    fn ask_server(&mut self, host: Place) {
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

    fn ask_gateway(&mut self, host: Place) {
        let lost = self.hosts[host].gateway_lost_since;
        let fact = match lost {
            Some(since) if self.now.since(since) >= GATEWAY_LOST_AFTER => {
                Fact::Known(Gateway::Lost { misses: 3 })
            }
            _ => Fact::Known(Gateway::Reachable),
        };
        self.tell_agent(host, self.hosts[host].life, Event::Gateway(Seen { asked_at: self.now, fact }));
    }

    fn broadcast(&mut self, from: Place, says: Says) {
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            self.send(from, to, says);
        }
    }

    fn send(&mut self, from: Place, to: Place, says: Says) {
        let apart = self.hosts[from].isolated || self.hosts[to].isolated;
        if apart || !self.hosts[to].powered || self.chance(self.chances.loss) {
            return;
        }
        let wait = self.between_us(50, 400);
        // A switch does not let one frame overtake another between the same two ports.
        let last = self.last_arrival.get(&(from, to)).copied().unwrap_or_default();
        let at = (self.now + wait).max(last);
        self.last_arrival.insert((from, to), at);
        self.push(at, Due::Arp { to, from, says });
    }

    fn arp(&mut self, to: Place, from: Place, says: Says) {
        if !self.hosts[to].powered {
            return;
        }
        if says == Says::Probe && self.hosts[to].vip.is_some() {
            self.send(to, from, Says::Reply);
        }
        self.tell_agent(to, self.hosts[to].life, Event::Frame(Frame { from: mac(from), says }));
    }

    fn change(&mut self, change: Change) {
        self.tell(&format!("— {change:?}"));
        match change {
            Change::Process(host, process) => self.hosts[host].server.process = process,
            Change::Show(host, read_only, unreachable) => {
                self.hosts[host].server.shows = self.group.seen_by(host, read_only, &unreachable);
            }
            Change::View(members, primary) => {
                self.group.counter += 1;
                self.group.members = members;
                self.group.primary = primary;
            }
            Change::Elect(primary) => self.group.primary = primary,
            Change::NotWritable => {
                self.group.writable = None;
                self.following_since = None;
            }
            Change::Writable(host) => {
                self.group.writable = Some((host, self.now));
                self.following_since = Some(self.now);
            }
            Change::PowerOff(host) => {
                self.hosts[host].powered = false;
                self.hosts[host].vip = None;
                self.hosts[host].agent = None;
            }
            Change::RemoveByHand(host) => {
                self.set_vip(host, None);
                self.following_since = self.group.writable.map(|_| self.now);
            }
            Change::GatewayAnswers(host, answers) => {
                self.hosts[host].gateway_lost_since = (!answers).then_some(self.now);
                self.following_since = None;
            }
            Change::Isolated(host, isolated) => {
                self.hosts[host].isolated = isolated;
                self.hosts[host].gateway_lost_since = isolated.then_some(self.now);
            }
            Change::Hang(host, until) => self.hosts[host].busy_until = until,
            Change::AgentEnds { host, told } => {
                if told {
                    self.step(host, &Event::Stopping);
                    let ready: Vec<_> = self
                        .due
                        .iter()
                        .filter(|(_, due)| matches!(due, Due::Deed { host: at, .. } if *at == host))
                        .map(|(key, _)| *key)
                        .collect();
                    for key in ready {
                        if let Some(Due::Deed { decided, actions, .. }) = self.due.remove(&key) {
                            self.carry_out(host, decided, actions);
                        }
                    }
                }
                self.hosts[host].agent = None;
            }
            Change::AgentStarts(host) if self.hosts[host].powered => {
                let agent = &mut self.hosts[host];
                agent.life += 1;
                agent.agent = Some(State::new(self.now));
                agent.busy_until = self.now;
                agent.asking = false;
                agent.ask_again = false;
                agent.poll = self.policy.poll_interval;
                let life = agent.life;
                self.push(self.now, Due::Poll { host, life });
                self.tell_agent(host, life, Event::Wake);
            }
            Change::AgentStarts(_) => {}
        }
    }

    /// The invariants that can be seen from outside at any moment.
    fn look(&mut self) {
        let holders = self.holders();
        let hearing = holders.iter().filter(|place| !self.hosts[**place].isolated).count();
        if hearing > 1 && self.chances.loss == 0.0 {
            let words = format!("ONE-HOLDER: {holders:?}");
            if !self.broken.contains(&words) {
                self.tell(&words);
                self.broken.push(words);
            }
        }
        for place in 0..self.hosts.len() {
            let leads = self.group.writable.is_some_and(|(primary, _)| primary == place);
            let host = &self.hosts[place];
            let well = leads
                && host.powered
                && host.agent.is_some()
                && host.busy_until <= self.now + Duration::from_millis(100)
                && host.server.process == Process::Answers
                && host.gateway_lost_since.is_none()
                && !host.isolated;
            self.hosts[place].well_since = well.then(|| self.hosts[place].well_since.unwrap_or(self.now));
        }
        if let (Some(since), Some((primary, _))) = (self.following_since, self.group.writable)
            && holders.contains(&primary)
            && holders.iter().all(|place| *place == primary || self.hosts[*place].isolated)
        {
            self.followed.add(self.now.since(since));
            self.following_since = None;
        }
    }

    /// FOLLOWS, at the end of a run: the VIP is where the writable primary is, and nowhere else.
    pub fn check_end(&mut self) {
        let Some((primary, _)) = self.group.writable else { return };
        let host = &self.hosts[primary];
        if host.agent.is_some() && host.gateway_lost_since.is_none() && self.holders() != [primary] {
            self.broken.push(format!(
                "FOLLOWS: db{} takes writes, and the VIP is at {:?}",
                primary + 1,
                self.holders()
            ));
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
