//! What can happen next, and what comes of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use decide::driver::{Deeds, Permit};
use decide::net::VipId;
use decide::output::Outcome;
use decide::planted::renewal_adds_what_is_gone;
use decide::policy::Policy;
use decide::vip::VipState;

use oracle::outside::{self, LetsGo};
use oracle::{Counts, Excuse, Invariant};

use super::agent::{Act, Memories, Shown, group_policy, own_interfaces, vip_policy};
use super::configuration::{Configuration, Kind};
use super::environment::Change;
use super::messages::{act_on, ask_server, gateway_answers, is_frame, put, sender, take};
use super::normal::{NOW, TICK};
use super::world::{Group, Host, Mail, Memory, NEVER, Pending, Place, Process, What, World};

/// An age that is old whatever it is compared with.
const OLDEST: u8 = 41;
/// A host that has been well for so long loses nothing any more.
const WELL: u8 = 6;
/// An agent lets go so much later than its limits say: it asks twice, each time for a tick, and has two to spare.
const SLACK: u32 = 4;
/// … and may have stood still meanwhile for less than counts as that.
const SLACK_OF_THE_PAUSED: u32 = SLACK + STOOD_STILL as u32;
/// An agent that has stood still for so many ticks counts its probes anew; two fewer may be no more than a late look.
pub(super) const STOOD_STILL: u8 = 6;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An agent handles a message.
    Tell(Place, Mail),
    /// An agent looks at the time.
    Wake(Place),
    /// A message is lost.
    Lose(Place, Mail),
    /// A message comes a tick late.
    Delay(Place, Mail),
    /// The world changes.
    Change(Change),
    /// A tick passes.
    Tick,
}

/// The model.
#[derive(Debug)]
pub struct Model {
    pub(super) configuration: Configuration,
    memories: Mutex<Memories>,
}

impl Model {
    /// Of this configuration.
    pub fn new(configuration: Configuration) -> Self {
        let (mut group, mut vip) = (group_policy(configuration.hosts), vip_policy());
        vip.claim_wait = TICK * u32::from(configuration.claim_wait);
        group.evidence_age = TICK * u32::from(configuration.evidence_age);
        configuration.plant(&mut group);
        if configuration.own_interface {
            vip.interfaces = own_interfaces(&group);
        }
        let pauses = configuration.kinds.contains(&Kind::AgentPaused);
        let slack = if pauses { SLACK_OF_THE_PAUSED } else { SLACK };
        Self { configuration, memories: Mutex::new(Memories::new(Policy::new(group, vip), slack)) }
    }

    /// All agents' memories.
    pub fn memories(&self) -> MutexGuard<'_, Memories> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A whole group, agents that start now and know nothing, and the VIP nowhere.
    pub fn start(&self) -> World {
        let hosts = self.configuration.hosts;
        let members = (1 << hosts) - 1;
        let group = Group {
            counter: 5,
            members,
            primary: self.configuration.first_primary,
            writable: true,
            yielding: None,
            pending: Pending::Nothing,
        };
        let newborn = self.memories().newborn();
        let host = |place| Host {
            powered: true,
            agent: Some(newborn),
            paused: false,
            paused_by_operator: false,
            wake: 0,
            poll: (1, 2),
            asking: (false, false),
            mail: Vec::new(),
            vip: None,
            process: Process::Answers,
            shows: group.shown_by(place),
            occupied: false,
            wrong_no: false,
            stuck: false,
            gateway_lost: false,
            interface_down: false,
            isolated: None,
            well: 0,
            stray: 0,
            still: 0,
        };
        World {
            hosts: (0..hosts).map(host).collect(),
            group,
            faults: self.configuration.faults,
            frames: self.configuration.frames,
            stranger: None,
            switch_answers: false,
            announced_by: None,
            unfollowed: 0,
            broken: None,
        }
    }

    /// All that can happen next.
    pub fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        if world.broken.is_some() {
            return;
        }
        if self.configuration.calm
            && let Some(step) = self.first_of_the_calm(world)
        {
            steps.push(step);
            return;
        }
        let mut rest = true;
        for place in world.places() {
            let host = &world.hosts[usize::from(place)];
            if host.agent.is_none() || host.paused {
                continue;
            }
            // The loop takes frames first: those that waited for it come before all else.
            let waited = host.mail.iter().any(|mail| mail.due == 0 && is_frame(*mail) && mail.age > 0);
            if host.wake == 0 {
                rest = false;
                if !waited {
                    steps.push(Step::Wake(place));
                }
            }
            let mut last = None;
            for mail in host.mail.iter().filter(|mail| mail.due == 0) {
                rest = false;
                let key = mail.what.key();
                // Only the first of its key: the others stay in order behind it.
                if last == Some(key) || (waited && !is_frame(*mail)) {
                    continue;
                }
                last = Some(key);
                steps.push(Step::Tell(place, *mail));
                if world.frames > 0 {
                    if is_frame(*mail) {
                        steps.push(Step::Lose(place, *mail));
                    }
                    if mail.what != What::Addresses {
                        steps.push(Step::Delay(place, *mail));
                    }
                }
            }
        }
        if rest {
            steps.push(Step::Tick);
            self.changes(world, &mut |change| steps.push(Step::Change(change)));
        }
    }

    /// What is handled at once, one host after the other, where not every order is explored: the own server's answer, the
    /// host's addresses, and a frame that comes to an agent whose server does not lead and that has nothing to do with the VIP.
    fn first_of_the_calm(&self, world: &World) -> Option<Step> {
        let memories = self.memories();
        for place in world.places() {
            let host = &world.hosts[usize::from(place)];
            let Some(memory) = host.agent.filter(|_| !host.paused) else { continue };
            let stands_by = memories.mind(memory).book.knows_a_no()
                && memories.mind(memory).state.vips[&VipId::FIRST].state == VipState::Absent;
            let waited = host.mail.iter().any(|mail| mail.due == 0 && is_frame(*mail) && mail.age > 0);
            let at_once = |mail: &&Mail| match mail.what {
                What::Server(_) | What::Addresses => !waited,
                What::Frame(..) => stands_by,
                _ => false,
            };
            if let Some(mail) = host.mail.iter().filter(|mail| mail.due == 0).find(at_once) {
                return Some(Step::Tell(place, *mail));
            }
        }
        None
    }

    /// What comes of it.
    pub fn next(&self, before: &World, step: Step) -> World {
        let mut world = before.clone();
        match step {
            Step::Tell(place, mail) => {
                take(&mut world, place, mail);
                self.tell(&mut world, place, mail.what, mail.age);
            }
            Step::Wake(place) => self.tell(&mut world, place, What::Wake, 0),
            Step::Lose(place, mail) => {
                take(&mut world, place, mail);
                world.frames -= 1;
            }
            Step::Delay(place, mail) => {
                world.frames -= 1;
                for behind in &mut world.hosts[usize::from(place)].mail {
                    // What follows it from the same host does not overtake it.
                    if *behind == mail || (sender(*behind).is_some() && sender(*behind) == sender(mail)) {
                        behind.due = behind.due.max(1);
                    }
                }
            }
            Step::Change(change) => self.change(&mut world, change),
            Step::Tick => self.tick(&mut world),
        }
        if world.has_two_holders() {
            world.break_(Invariant::OneHolder);
        }
        world
    }

    fn tick(&self, world: &mut World) {
        for place in world.places() {
            self.tick_host(world, place);
        }
        if let Pending::Expel(_, wait) = &mut world.group.pending {
            *wait = wait.saturating_sub(1);
        }
        for place in world.places() {
            let well = world.is_well(place);
            let host = &mut world.hosts[usize::from(place)];
            host.well = if well { WELL.min(host.well + 1) } else { 0 };
        }
        let primary = world.group.primary;
        let stranded =
            world.hosts.iter().any(|host| host.agent.is_none() && host.powered && host.vip == Some(NEVER));
        let follows = world.hosts[usize::from(primary)].vip.is_some();
        // Where somebody else answers for the VIP it is not taken: that is the rule.
        let answered = world.stranger.is_some() || world.switch_answers;
        let missing = world.is_well(primary) && !follows;
        let excused = missing && (stranded || answered);
        if excused {
            self.memories().excuses.count(Excuse::AnotherHasIt);
        }
        let paused = missing && world.hosts[usize::from(primary)].paused_by_operator;
        if paused {
            self.memories().excuses.count(Excuse::Paused);
        }
        world.unfollowed = if missing && !excused && !paused { world.unfollowed + 1 } else { 0 };
        if let Some(since) = &mut world.stranger {
            *since = 10.min(*since + 1);
        }
        let within = TICK * (u32::from(self.configuration.follows_within) + 1);
        world.found(outside::follows(TICK * u32::from(world.unfollowed), within, primary.into(), &[]));
    }

    fn tick_host(&self, world: &mut World, place: Place) {
        let mut memories = self.memories();
        let host = &mut world.hosts[usize::from(place)];
        for mail in &mut host.mail {
            if mail.due == 0 || !is_frame(*mail) {
                mail.age = OLDEST.min(mail.age + 1);
            }
            mail.due = mail.due.saturating_sub(1);
        }
        if let Some(since) = &mut host.isolated {
            *since = 10.min(*since + 1);
        }
        if host.wake != NEVER {
            host.wake = host.wake.saturating_sub(1);
        }
        host.agent = host.agent.map(|memory| memories.older(memory));
        if let Some(left) = host.vip.filter(|left| *left != NEVER) {
            host.vip = Some(left - 1).filter(|left| *left > 0);
            if host.vip.is_none() {
                put(host, Mail { due: 0, age: 0, what: What::Addresses });
                memories.excuses.count(lets_go(world, place));
            }
        }
        let host = &mut world.hosts[usize::from(place)];
        if host.paused {
            host.still = STOOD_STILL.min(host.still + 1);
        }
        let holds = host.agent.filter(|_| !host.paused && host.vip.is_some());
        let overdue = holds.and_then(|memory| memories.overdue(memory));
        let polls = host.agent.is_some() && !host.paused;
        if polls {
            host.poll.0 = host.poll.0.saturating_sub(1).min(host.poll.1);
            if host.poll.0 == 0 {
                host.poll.0 = host.poll.1;
                if !host.asking.0 {
                    ask_server(host);
                }
            }
        }
        let strays = polls && host.vip.is_some() && host.process == Process::StartedOutside;
        host.stray = if strays { host.stray + 1 } else { 0 };
        let (stray, within) = (host.stray.into(), self.configuration.strays_for.into());
        if let Some(invariant) = overdue {
            world.break_(invariant);
        }
        world.found(outside::strays(TICK * stray, TICK * within, None));
    }

    /// How often each excuse was needed.
    pub(super) fn excuses(&self) -> Counts {
        self.memories().excuses
    }

    /// An agent is told something, acts, and is told what it can read at once.
    pub(super) fn tell(&self, world: &mut World, place: Place, what: What, age: u8) {
        let mut memories = self.memories();
        let mut told = vec![(what, age)];
        if matches!(what, What::Server(_)) {
            let host = &mut world.hosts[usize::from(place)];
            host.asking.0 = false;
            if host.asking.1 {
                ask_server(host);
            }
            // The gateway is probed at the server's pace.
            told.push((What::Gateway(gateway_answers(host)), 0));
        }
        while let Some((what, age)) = told.pop() {
            let Some(memory) = world.hosts[usize::from(place)].agent else { return };
            let host = &world.hosts[usize::from(place)];
            let shown = Shown { vip: host.vip.is_some(), down: host.interface_down };
            let reaction = memories.react(memory, place, what, age, shown);
            let host = &mut world.hosts[usize::from(place)];
            host.agent = Some(reaction.next);
            host.wake = reaction.wake;
            let removes = reaction.acts.contains(&Act::Remove) && host.vip.is_some();
            if let Some(invariant) = reaction.breaks {
                world.break_(invariant);
            }
            // Every probe of this claim was answered by a host that has it.
            let beside = reaction.starts
                && world.is_on_segment(place)
                && world.stranger.is_some_and(|since| since >= STOOD_STILL);
            if beside {
                world.break_(Invariant::OneHolder);
            }
            if removes {
                memories.excuses.count(lets_go(world, place));
            }
            let mut deeds = Deeds::new(NOW);
            for (act, action) in reaction.acts.iter().zip(&reaction.actions) {
                let act = match deeds.may(&memories.policy().group, action, NOW) {
                    Permit::AsDecided => *act,
                    Permit::ToNobodyInParticular => Act::AnnounceRelease(None),
                    Permit::Dropped | Permit::TooLate(_) => continue,
                };
                let here = world.hosts[usize::from(place)].vip.is_some();
                let adds = matches!(act, Act::Renew(_))
                    && !here
                    && renewal_adds_what_is_gone(&memories.policy().group);
                if adds {
                    world.break_(Invariant::Lease);
                }
                let gone = matches!(act, Act::Renew(_) | Act::Remove) && !here && !adds;
                let outcome = if gone { Outcome::Gone } else { Outcome::Succeeded };
                if deeds.done(action, NOW, outcome).is_some() {
                    told.push((What::RenewalGone, 0));
                }
                if gone {
                    continue;
                }
                if act == Act::Announce && self.keeps_announcers() && world.is_on_segment(place) {
                    world.announced_by = Some(place);
                }
                if let Some(read) = act_on(world, place, act) {
                    told.insert(0, (read, 0));
                }
            }
        }
    }

    /// An agent is told to stop: what it has heard it reads first, and its kernel is asked for its addresses; one that stands
    /// still reads and stops when it goes on (the driver's contract).
    pub(super) fn stop_agent(&self, world: &mut World, place: Place) {
        let own = usize::from(place);
        world.hosts[own].paused = false;
        world.hosts[own].still = 0;
        for _ in 0..world.hosts[own].mail.len() {
            let Some(mail) = world.hosts[own].mail.iter().find(|mail| mail.due == 0).copied() else { break };
            take(world, place, mail);
            self.tell(world, place, mail.what, mail.age);
        }
        self.tell(world, place, What::Addresses, 0);
        self.tell(world, place, What::Stopping, 0);
    }

    /// Who announced the VIP last is a part of the state only where it decides anything.
    fn keeps_announcers(&self) -> bool {
        self.configuration.kinds.contains(&Kind::SwitchAnswers)
    }

    /// Forgets an agent, and starts another in its place.
    pub(super) fn newborn(&self) -> Memory {
        self.memories().newborn()
    }
}

/// NO-FLAP: an agent removes the address, or lets its lease run out.
fn lets_go(world: &mut World, place: Place) -> Option<Excuse> {
    let well = world.hosts[usize::from(place)].well;
    let seen = LetsGo {
        well_for: world.is_well(place).then_some(TICK * u32::from(well)),
        // One that has just taken it beside another holder puts that right.
        beside: world.has_two_holders(),
        given_up: false,
    };
    world.found(outside::lets_go(seen, TICK * u32::from(WELL - 1))).flatten()
}
