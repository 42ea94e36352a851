//! The survivors' side, apart: one agent of three, whose own server counts the two others, and the group's patience with them
//! (`group_replication_member_expel_timeout`), which the agent may take from its server for a moment and must give back (RESTORED).
//!
//! The same `step`, on a clock of its own: time is counted from the start, and a run has an end. What the agent asks is answered
//! within the tick, by the truth of that tick; a silent port is silent. Between two ticks one of the faults may come or go. A member
//! that has died, or is cut off, is UNREACHABLE a second later, and expelled a second after the group's patience is over; but a
//! stubborn group never expels, which is what the agent's own limit is for. Where silent hosts are expelled (`silent_host`), the segment
//! is asked too: a member may be cut off in the group alone, and this host may hear nobody on the segment.

mod world;

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use decide::State;
use decide::input::{Event, Seen};
use decide::policy::{GroupPolicy, Policy, SilentHost, VipPolicy};
use decide::step;
use decide::time::Time;

use oracle::{Breach, Invariant, outside};

use self::world::{Fate, OTHERS, SILENT_AFTER, TICK, UNREACHABLE_AFTER, address, neighbor};

pub use self::world::Survivor;

/// A run's length.
const END: u8 = 48;
/// No fault begins later than this: what it leads to is seen to its end.
const LAST_FAULT: u8 = 20;
/// Before the first fault: the agent gets to know its group.
const PRELUDE: u8 = 4;
/// So many ticks after the patience is over the group goes on without it.
const EXPELLED_AFTER: u8 = 2;
/// What the operator set, in seconds.
const OPERATORS: u32 = 5;
/// RESTORED: an agent that runs, and whose server answers, gives back what it owes within so many ticks.
const GIVEN_BACK_WITHIN: u8 = 4;
/// … and keeps it no longer than this in any case: 10 s, and a look.
const KEPT_AT_MOST: u8 = 24;
/// So many steps in one tick, and the agent does not come to rest.
const RESTLESS: usize = 400;

/// What may happen between two ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A member's process is killed.
    Dies(u8),
    /// A member is cut off.
    CutOff(u8),
    /// A member is cut off in the group, and its host answers on the segment.
    CutInGroup(u8),
    /// This host hears nobody on the segment.
    Deaf,
    /// … and does again.
    Hears,
    /// … and heard again.
    Back(u8),
    /// The agent is killed, and what it remembers with it; the value to restore is on disk.
    AgentKilled,
    /// Another one is started.
    AgentStarts,
    /// The own server stands still.
    Hangs,
    /// … and goes on.
    GoesOn,
}

/// A tick passes, after this.
pub type Step = Option<Fault>;

/// The model.
#[derive(Debug)]
pub struct Survivors {
    policy: Policy,
    faults: u8,
    /// The group never expels.
    stubborn: bool,
}

impl Survivors {
    /// Of so many faults; of a group that expels, or never does.
    pub fn new(faults: u8, stubborn: bool) -> Self {
        let members: BTreeMap<_, _> = (1..=3).map(|number| (address(number), "eth0".to_owned())).collect();
        let policy =
            Policy::new(GroupPolicy::new(members), VipPolicy::new(Ipv4Addr::new(10, 77, 0, 100).into()));
        Self { policy, faults, stubborn }
    }

    /// The same, where silent hosts are expelled without the operator's patience.
    #[must_use]
    pub fn expelling_silent_hosts(mut self) -> Self {
        self.policy.group.silent_host = SilentHost::Expel;
        self
    }

    fn silent_too(&self) -> bool {
        self.policy.group.expels_silent_hosts()
    }

    /// Plants a mistake.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, mistake: Option<decide::planted::Planted>) {
        self.policy.group.planted = mistake;
    }

    fn faults(&self, world: &Survivor, push: &mut impl FnMut(Fault)) {
        for number in OTHERS {
            match world.fate(number) {
                Fate::Well => {
                    push(Fault::Dies(number));
                    push(Fault::CutOff(number));
                    if self.silent_too() {
                        push(Fault::CutInGroup(number));
                    }
                }
                Fate::CutOff(_) | Fate::CutInGroup(_) => push(Fault::Back(number)),
                Fate::Dead(_) | Fate::Expelled => {}
            }
        }
        if world.agent.is_some() {
            push(Fault::AgentKilled);
        }
        if !world.hangs {
            push(Fault::Hangs);
        }
        if self.silent_too() && !world.deaf {
            push(Fault::Deaf);
        }
    }

    /// What ends costs nothing, and may come at any time.
    fn mends(world: &Survivor, push: &mut impl FnMut(Fault)) {
        if world.agent.is_none() {
            push(Fault::AgentStarts);
        }
        if world.hangs {
            push(Fault::GoesOn);
        }
        if world.deaf {
            push(Fault::Hears);
        }
    }

    fn begin(&self, world: &mut Survivor, fault: Fault) {
        match fault {
            Fault::Dies(number) => *world.fate_of(number) = Fate::Dead(0),
            Fault::CutOff(number) => *world.fate_of(number) = Fate::CutOff(0),
            Fault::CutInGroup(number) => *world.fate_of(number) = Fate::CutInGroup(0),
            Fault::Deaf => world.deaf = true,
            Fault::Hears => world.deaf = false,
            Fault::Back(number) => *world.fate_of(number) = Fate::Well,
            Fault::AgentKilled => world.agent = None,
            Fault::AgentStarts => world.agent = Some(Arc::new(State::new(&self.policy, world.now()))),
            Fault::Hangs => world.hangs = true,
            Fault::GoesOn => world.hangs = false,
        }
    }

    /// The group, in truth.
    fn group_goes_on(&self, world: &mut Survivor) {
        let patience = u8::try_from(world.timeout * 2).unwrap_or(u8::MAX);
        let lost = OTHERS.into_iter().filter(|number| world.is_unreachable(*number)).count();
        let majority = 2 * lost < world.view().members.len();
        for number in OTHERS {
            let over = UNREACHABLE_AFTER.saturating_add(patience).saturating_add(EXPELLED_AFTER);
            match world.fate_of(number) {
                Fate::Dead(since) | Fate::CutOff(since) | Fate::CutInGroup(since) => {
                    *since = since.saturating_add(1).min(over.max(SILENT_AFTER));
                    if *since >= over && majority && !self.stubborn && !world.hangs {
                        *world.fate_of(number) = Fate::Expelled;
                        world.counter += 1;
                    }
                }
                Fate::Well | Fate::Expelled => {}
            }
        }
    }

    /// The agent's part of a tick: the answer to its poll, what it asks besides, and the time when it wants to be woken.
    fn agent_goes_on(&self, world: &mut Survivor, first: Option<Event>) {
        let Some(agent) = world.agent.take() else { return };
        let mut state = State::clone(&agent);
        let (mut at, end) = (world.now(), world.now() + TICK);
        let mut events: VecDeque<Event> = first.into_iter().collect();
        events.push_back(Event::Server(Seen { asked_at: at, fact: world.server() }));
        for _ in 0..RESTLESS {
            let event = match events.pop_front() {
                Some(event) => event,
                None if world.wake_at < end => {
                    at = at.max(world.wake_at);
                    Event::Wake
                }
                None => {
                    world.agent = Some(Arc::new(state));
                    return;
                }
            };
            let decision = step(&self.policy, &mut state, &event, at);
            world.wake_at = decision.wake_at;
            for action in &decision.actions {
                events.extend(world.carry_out(action, at, self.silent_too()));
            }
        }
        world.broken.get_or_insert(Invariant::Wakes);
    }

    fn judge(&self, world: &mut Survivor) {
        let taken = world.timeout == 0 && world.agent.is_some() && !world.hangs;
        let owes = taken && !world.only_the_dead(self.silent_too());
        world.owed = if owes { world.owed + 1 } else { 0 };
        world.kept = if taken { world.kept + 1 } else { 0 };
        for (ticks, within) in [(world.owed, GIVEN_BACK_WITHIN), (world.kept, KEPT_AT_MOST)] {
            let found = outside::restored(TICK * ticks.into(), TICK * within.into());
            if let Err(Breach { invariant, .. }) = found {
                world.broken.get_or_insert(invariant);
            }
        }
    }
}

impl stateright::Model for Survivors {
    type State = Survivor;
    type Action = Step;

    fn init_states(&self) -> Vec<Survivor> {
        let mut world = Survivor {
            tick: 0,
            agent: None,
            wake_at: Time(0),
            others: [Fate::Well; 2],
            counter: 5,
            hangs: false,
            deaf: false,
            timeout: OPERATORS,
            file: None,
            owed: 0,
            kept: 0,
            faults: self.faults,
            broken: None,
        };
        self.begin(&mut world, Fault::AgentStarts);
        for number in OTHERS {
            // The members' hardware addresses are learned elsewhere.
            self.agent_goes_on(&mut world, Some(neighbor(number)));
        }
        vec![world]
    }

    fn actions(&self, world: &Survivor, steps: &mut Vec<Step>) {
        if world.broken.is_some() || world.tick >= END {
            return;
        }
        steps.push(None);
        if world.tick < PRELUDE {
            return;
        }
        let mut push = |fault| steps.push(Some(fault));
        if world.faults > 0 && world.tick <= LAST_FAULT {
            self.faults(world, &mut push);
        }
        Self::mends(world, &mut push);
    }

    fn next_state(&self, before: &Survivor, step: Step) -> Option<Survivor> {
        let mut world = before.clone();
        world.tick += 1;
        let mut first = None;
        if let Some(fault) = step {
            if !matches!(fault, Fault::AgentStarts | Fault::GoesOn | Fault::Hears) {
                world.faults -= 1;
            }
            self.begin(&mut world, fault);
            if fault == Fault::AgentStarts {
                first = world.file.map(Event::ExpelTimeoutLeft);
                world.wake_at = world.now();
            }
        }
        self.group_goes_on(&mut world);
        self.agent_goes_on(&mut world, first);
        self.judge(&mut world);
        Some(world)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        vec![stateright::Property::always("invariants", |_, world: &Survivor| world.broken.is_none())]
    }
}
