//! Hosts with their kernels, agents and servers, one segment, one clock; the invariants are looked at after each step.

mod agent;
mod change;
mod cut_off;
mod expel;
mod group_life;
mod host;
mod invariants;
mod joining;
mod kernel;
mod questions;
mod queue;
mod readers;
mod segment;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use decide::input::{Event, Says};
use decide::net::{Mac, VipId};
use decide::policy::{GroupPolicy, Policy, VipPolicy};
use decide::time::Time;
use fastrand::Rng;

pub use change::Change;
pub use host::ModelHost;
pub use invariants::Measured;
pub use segment::{Cut, address};

use crate::fault::Fault;
use crate::group::{Group, Place, Places, View};
use crate::measure::Durations;
use crate::nic::Nic;
use invariants::Calm;
use oracle::outside::OneHolder;
use oracle::placed::Stillness;
use oracle::{Broken, Counts};
use queue::Queue;
use segment::Segment;

/// The addresses that all are about: the writers', one or two, and after them the readers', none to three.
pub const VIPS: [IpAddr; 5] =
    [vip_address(100), vip_address(101), vip_address(102), vip_address(103), vip_address(104)];
const fn vip_address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, last))
}

/// When a world begins.
pub const BEGIN: Time = Time(1_000_000_000);

/// What the segment and the hosts' processors do to frames and agents, all the time.
#[derive(Clone, Copy, Debug, PartialEq)]
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

/// How a world is to be run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The source of all that is random.
    pub seed: u64,
    /// How many hosts, 2 to 7.
    pub members: usize,
    /// The agents' limits and choices.
    pub policy: Policy,
    /// What goes wrong all the time.
    pub chances: Chances,
    /// Tell the story, for a reader.
    pub recording: bool,
    /// Polls that would change nothing are left out; otherwise each is carried out, and those that would have been left
    /// out are checked to change nothing.
    pub skipping: bool,
}

impl Setup {
    /// Three hosts, defaults, nothing goes wrong by itself.
    pub fn new(seed: u64) -> Self {
        Self { seed, members: 3, policy: policy(3), chances: Chances::FAIR, recording: false, skipping: true }
    }
}

/// The default policy of a cluster with so many members.
pub fn policy(members: usize) -> Policy {
    let members = (0..members).map(|place| (address(place), "eth0".to_owned())).collect();
    Policy::new(GroupPolicy::new(members), VipPolicy::new(VIPS[0]))
}

/// Something that is due.
#[derive(Clone, Debug)]
enum Due {
    /// An event reaches the agent's queues.
    ToAgent {
        host: Place,
        life: u32,
        event: Event,
    },
    /// The agent's loop goes on, where it has something to do.
    Loop {
        host: Place,
        life: u32,
    },
    Wake {
        host: Place,
        life: u32,
    },
    Poll {
        host: Place,
        life: u32,
        poll: u32,
    },
    Unpark(Place),
    AskedServer {
        host: Place,
        life: u32,
        question: u32,
    },
    AskedPeer {
        host: Place,
        life: u32,
        peer: Place,
        asked_at: Time,
        limit: Time,
    },
    Arp {
        to: Place,
        vip: VipId,
        from: Mac,
        says: Says,
    },
    AskBacklog {
        host: Place,
        life: u32,
    },
    StrangerAnnounces(u32),
    Expire {
        host: Place,
        vip: usize,
        at: Time,
    },
    Resume(Place),
    Change(Change),
    Fault(Fault),
    Heal(u32),
    /// An observer has not heard a member of the group for long enough.
    Suspect {
        observer: Place,
        member: Place,
        since: Time,
    },
    Expel {
        observer: Place,
        member: Place,
        since: Time,
    },
    /// A member's server shows the group's newest view.
    Show(Place, View),
    Elected {
        place: Place,
        term: u32,
    },
    /// The target of a switchover has applied what it had queued.
    Applied {
        place: Place,
        term: u32,
    },
    Writable {
        place: Place,
        term: u32,
    },
    Leave {
        place: Place,
        life: u32,
    },
    NoticeExpelled(Place),
    Join {
        place: Place,
        life: u32,
    },
    Recovered {
        place: Place,
        life: u32,
    },
    Born {
        place: Place,
        life: u32,
    },
    FollowCheck(usize, Time),
    /// Nothing has changed for readers since then, and all is to be in its place.
    PlacedCheck(Time),
    /// A host said then that it is not fit to serve readers.
    GivenAwayCheck(Place, Time),
    ClosedCheck(Place, u32),
    /// A host has been cut off from the others on the segment since then.
    CutOffCheck(Place, Time),
    SettleCheck,
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
    /// What was told, for a reader; empty where nothing is recorded.
    pub story: Vec<(Time, String)>,
    /// Invariants that were broken.
    pub broken: Vec<Broken>,
    /// How often each excuse was needed.
    pub excuses: Counts,
    /// How long two held the VIP, and how often.
    pub measured: Measured,
    /// From "a primary could have the VIP" to "it is there, and nowhere else".
    pub followed: Durations,
    /// How often reader VIPs were looked for in their places, after nothing had changed for long; and how often one moved.
    pub placed: (u64, u64),
    /// The source of all that is random.
    pub rng: Rng,
    chances: Chances,
    recording: bool,
    skipping: bool,
    queue: Queue<Due>,
    segment: Segment,
    /// On each segment.
    receiving_since: [[[Option<Time>; 8]; 8]; 2],
    silent_since: [[Option<Time>; 8]; 8],
    vips: Vec<WorldVip>,
    stillness: Stillness,
}

/// Who bears one VIP, and what is to be said of that.
#[derive(Clone, Debug)]
struct WorldVip {
    /// The interface that it belongs on.
    nic: Nic,
    holders: Places,
    one_holder: OneHolder,
    calm: Calm,
    /// The host that a reader VIP left last, of its own.
    left: Option<readers::Left>,
}

impl WorldVip {
    fn new(policy: &VipPolicy) -> Self {
        let nic = if policy.interfaces.is_empty() { Nic::Eth0 } else { Nic::Eth1 };
        Self {
            nic,
            holders: Places::default(),
            one_holder: OneHolder::default(),
            calm: Calm::default(),
            left: None,
        }
    }
}

/// The VIP at this place.
fn id_of_vip(place: usize) -> VipId {
    VipId(u16::try_from(place).unwrap_or(u16::MAX))
}

/// A VIP's place among the hosts' and the world's.
fn place_of_vip(vip: VipId) -> usize {
    usize::from(vip.0)
}

impl World {
    /// A whole group led by the first host, agents that start within the first 100 ms.
    pub fn new(setup: &Setup) -> Self {
        let now = BEGIN;
        let members = setup.members.clamp(1, 8);
        let group = Group::whole(members, now);
        let (poll, vips) = (setup.policy.group.poll_interval, setup.policy.vips.len());
        let host = |place| ModelHost::new(group.view, place, now, poll, vips);
        let mut world = Self {
            now,
            hosts: (0..members).map(host).collect(),
            policy: setup.policy.clone(),
            group,
            story: Vec::new(),
            broken: Vec::new(),
            excuses: Counts::default(),
            measured: Measured::default(),
            followed: Durations::default(),
            placed: (0, 0),
            rng: Rng::with_seed(setup.seed),
            chances: setup.chances,
            recording: setup.recording,
            skipping: setup.skipping,
            queue: Queue::new(),
            segment: Segment::default(),
            receiving_since: Default::default(),
            silent_since: Default::default(),
            vips: setup.policy.vips.values().map(WorldVip::new).collect(),
            stillness: Stillness::default(),
        };
        for place in 0..members {
            let wait = world.between_us(0, 100_000);
            world.change_in(wait, Change::AgentStarts(place));
        }
        world.reassess();
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

    /// Lets a fault happen later.
    pub fn fault_in(&mut self, wait: Duration, fault: Fault) {
        self.push(self.now + wait, Due::Fault(fault));
    }

    /// Cuts something, and heals it later.
    pub fn cut_for(&mut self, cut: Cut, length: Duration) {
        let number = self.cut(cut);
        self.push(self.now + length, Due::Heal(number));
        self.reassess();
    }

    /// Who bears the first VIP.
    pub fn holders(&self) -> Vec<Place> {
        self.vips[0].holders.each().collect()
    }

    fn push(&mut self, at: Time, due: Due) {
        self.queue.push(at.max(self.now), due);
    }

    /// Tells the reader, where there is one.
    fn tell(&mut self, words: impl FnOnce() -> String) {
        if self.recording {
            self.story.push((self.now, words()));
        }
    }

    pub(crate) fn tell_fault(&mut self, fault: &Fault) {
        self.tell(|| format!("==== {fault}"));
    }

    fn chance(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.rng.f64() < chance
    }

    /// Lets the clock run, or until an invariant is broken.
    pub fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some((at, serial, due)) = self.queue.pop(end) {
            self.count_overlaps(at);
            self.now = self.now.max(at);
            self.happen(serial, due);
            if !self.broken.is_empty() {
                return;
            }
        }
        self.count_overlaps(end);
        self.now = end;
    }

    #[allow(clippy::too_many_lines, reason = "one line for each kind of thing that can be due")]
    fn happen(&mut self, serial: u64, due: Due) {
        match due {
            Due::ToAgent { host, life, .. }
            | Due::Loop { host, life }
            | Due::Wake { host, life }
            | Due::Poll { host, life, .. }
            | Due::AskBacklog { host, life }
            | Due::AskedServer { host, life, .. }
            | Due::AskedPeer { host, life, .. }
                if !self.runs(host, life) => {}
            // What happens on a host that is paused happens when it goes on.
            Due::ToAgent { host, .. }
            | Due::Loop { host, .. }
            | Due::Wake { host, .. }
            | Due::Poll { host, .. }
            | Due::AskBacklog { host, .. }
            | Due::AskedServer { host, .. }
            | Due::AskedPeer { host, .. }
                if self.hosts[host].paused_until.is_some_and(|until| until > self.now) =>
            {
                let until = self.hosts[host].paused_until.unwrap_or(self.now);
                self.queue.push_again(until, serial, due);
            }
            Due::ToAgent { host, event, .. } => self.queue_event(host, event),
            Due::Loop { host, .. } => self.agent_loop(host),
            Due::Wake { host, life } => {
                if self.clock(host) >= self.hosts[host].wake_at {
                    self.agent_goes_on(host, life);
                }
            }
            Due::Poll { host, poll, .. } => self.poll(host, poll),
            Due::AskBacklog { host, life } => self.ask_backlog(host, life),
            Due::Unpark(host) => self.unpark(host),
            Due::AskedServer { host, life, question } => self.server_answers(host, life, question),
            Due::AskedPeer { host, life, peer, asked_at, limit } => {
                self.peer_answers(host, life, peer, asked_at, limit);
            }
            Due::Expire { host, vip, at } => self.expire(host, vip, at),
            Due::Arp { to, vip, from, says } => self.arp(to, vip, from, says),
            Due::StrangerAnnounces(number) => self.stranger_announces(number),
            Due::Change(change) => self.change(change),
            Due::Fault(fault) => fault.happen(self),
            Due::Heal(number) => {
                self.tell(|| format!("… healed (cut {number})"));
                self.heal(number);
                self.reassess();
            }
            Due::Resume(host) => self.resume(host),
            Due::Suspect { observer, member, since } => self.suspect(observer, member, since),
            Due::Expel { observer, member, since } => self.expel(observer, member, since),
            Due::Show(place, view) => self.show(place, view),
            Due::Elected { place, term } => self.elected(place, term),
            Due::Applied { place, term } => self.has_applied(place, term),
            Due::Writable { place, term } => self.becomes_writable(place, term),
            Due::Leave { place, life } => self.leaves(place, life),
            Due::NoticeExpelled(place) => self.notices_expelled(place),
            Due::Join { place, life } => self.joins(place, life),
            Due::Recovered { place, life } => self.recovered(place, life),
            Due::Born { place, life } => self.born(place, life),
            Due::FollowCheck(vip, since) => self.check_followed(vip, since),
            Due::PlacedCheck(since) => self.check_placed(since),
            Due::GivenAwayCheck(host, said_at) => self.check_given_away(host, said_at),
            Due::ClosedCheck(host, life) => self.check_closed(host, life),
            Due::CutOffCheck(host, since) => self.check_cut_off(host, since),
            Due::SettleCheck => self.look(),
        }
    }

    /// What happened, for the reader.
    pub fn story(&self) -> String {
        let mut text = String::new();
        for (at, words) in &self.story {
            text.push_str(&format!("{:9.4} s  {words}\n", at.since(BEGIN).as_secs_f64()));
        }
        for broken in &self.broken {
            text.push_str(&format!("{:9.4} s  BROKEN {broken}\n", broken.at.since(BEGIN).as_secs_f64()));
        }
        text
    }
}
