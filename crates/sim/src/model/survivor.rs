//! The survivors' side, apart: one agent of three, whose own server counts the two others, and the group's patience with them
//! (`group_replication_member_expel_timeout`), which the agent may take from its server for a moment and must give back (RESTORED).
//!
//! The same `step`, on a clock of its own: time is counted from the start, and a run has an end. What the agent asks is answered
//! within the tick, by the truth of that tick; a silent port is silent. Between two ticks one of the faults may come or go. A member
//! that has died, or is cut off, is UNREACHABLE a second later, and expelled a second after the group's patience is over; but a
//! stubborn group never expels, which is what the agent's own limit is for. Where silent hosts are expelled (`silent_host`), the segment
//! is asked too: a member may be cut off in the group alone, and this host may hear nobody on the segment.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use decide::State;
use decide::input::{
    Event, Fact, Gateway, GroupView, Host, HostAddress, Interface, Member, MemberPort, MemberState, Role,
    Seen, Server, ViewId, Why,
};
use decide::net::Mac;
use decide::output::{Action, Outcome};
use decide::policy::{GroupPolicy, Policy, SilentHost, VipPolicy};
use decide::step;
use decide::time::Time;

use oracle::{Breach, Invariant, outside};

/// One tick.
const TICK: Duration = Duration::from_millis(500);
/// A run's length.
const END: u8 = 48;
/// No fault begins later than this: what it leads to is seen to its end.
const LAST_FAULT: u8 = 20;
/// Before the first fault: the agent gets to know its group.
const PRELUDE: u8 = 4;
/// After so many ticks of silence a member is UNREACHABLE (scaled: nothing happens meanwhile).
const UNREACHABLE_AFTER: u8 = 2;
/// So many ticks after the patience is over the group goes on without it.
const EXPELLED_AFTER: u8 = 2;
/// A host counts as silent after so many ticks and no sooner: a cable's blip is waited for.
const SILENT_AFTER: u8 = 7;
/// What the operator set, in seconds.
const OPERATORS: u32 = 5;
/// RESTORED: an agent that runs, and whose server answers, gives back what it owes within so many ticks.
const GIVEN_BACK_WITHIN: u8 = 4;
/// … and keeps it no longer than this in any case: 10 s, and a look.
const KEPT_AT_MOST: u8 = 24;
/// So many steps in one tick, and the agent does not come to rest.
const RESTLESS: usize = 400;
/// Members, by number; the agent's own is the second.
const OWN: u8 = 2;
const OTHERS: [u8; 2] = [1, 3];

/// What became of another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    /// It is well.
    Well,
    /// Its process is gone, its host refuses, for so many ticks.
    Dead(u8),
    /// It lives, and nothing of it is heard, for so many ticks.
    CutOff(u8),
    /// It lives, and only the group does not hear it, for so many ticks.
    CutInGroup(u8),
    /// The group goes on without it.
    Expelled,
}

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

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Survivor {
    tick: u8,
    agent: Option<Arc<State>>,
    wake_at: Time,
    others: [Fate; 2],
    counter: u64,
    hangs: bool,
    /// This host hears nobody on the segment: no host's answer, and no port's.
    deaf: bool,
    /// The server's own setting.
    timeout: u32,
    /// What the agent's file says is to be put back.
    file: Option<u32>,
    /// For so many ticks a running agent has owed the patience.
    owed: u8,
    /// For so many ticks it has kept it.
    kept: u8,
    faults: u8,
    /// The invariant that was broken on the way here.
    pub broken: Option<Invariant>,
}

/// The model.
#[derive(Debug)]
pub struct Survivors {
    policy: Policy,
    faults: u8,
    /// The group never expels.
    stubborn: bool,
}

fn address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 10 + number))
}

fn neighbor(number: u8) -> Event {
    Event::Neighbor { address: address(number), mac: Mac([2, 0, 0, 0, 0, number]) }
}

fn id(number: u8) -> String {
    format!("uuid-{number}")
}

impl Survivor {
    fn now(&self) -> Time {
        Time(1_000_000_000) + TICK * u32::from(self.tick)
    }

    fn fate(&self, number: u8) -> Fate {
        self.others[usize::from(number / 2)]
    }

    fn fate_of(&mut self, number: u8) -> &mut Fate {
        &mut self.others[usize::from(number / 2)]
    }

    fn is_unreachable(&self, number: u8) -> bool {
        matches!(self.fate(number), Fate::Dead(since) | Fate::CutOff(since) | Fate::CutInGroup(since) if since >= UNREACHABLE_AFTER)
    }

    /// There is somebody to expel, and all of them are dead in truth; or cut off from everybody, where silent hosts are to go.
    fn only_the_dead(&self, silent_too: bool) -> bool {
        let mut suspects = OTHERS.into_iter().filter(|number| self.is_unreachable(*number)).peekable();
        suspects.peek().is_some()
            && suspects.all(|number| match self.fate(number) {
                Fate::Dead(_) => true,
                Fate::CutOff(since) => silent_too && since >= SILENT_AFTER,
                Fate::CutInGroup(_) | Fate::Well | Fate::Expelled => false,
            })
    }

    fn view(&self) -> GroupView {
        let listed = |number: &u8| *number == OWN || self.fate(*number) != Fate::Expelled;
        let first = [1, OWN, 3].into_iter().find(listed);
        let row = |number: u8| Member {
            id: id(number),
            host: format!("db{number}"),
            port: 3306,
            state: if number != OWN && self.is_unreachable(number) {
                MemberState::Unreachable
            } else {
                MemberState::Online
            },
            // Never this one: the VIP is not what this is about.
            role: if number != OWN && Some(number) == first.or(Some(3)) {
                Role::Primary
            } else {
                Role::Secondary
            },
        };
        GroupView {
            local: id(OWN),
            super_read_only: true,
            view: Some(ViewId::new("17635", self.counter)),
            members: [1, OWN, 3].into_iter().filter(listed).map(row).collect(),
        }
    }

    /// What the agent reads when it asks.
    fn server(&self) -> Fact<Server> {
        if self.hangs { Fact::Unknown(Why::TimedOut(TICK)) } else { Fact::Known(Server::Member(self.view())) }
    }

    fn port(&self, member: IpAddr) -> Fact<MemberPort> {
        let number = OTHERS.into_iter().find(|number| address(*number) == member);
        match number.map(|number| (number, self.fate(number))) {
            _ if self.deaf => Fact::Unknown(Why::TimedOut(TICK)),
            Some((number, Fate::Well | Fate::CutInGroup(_))) => {
                Fact::Known(MemberPort::Answers(Some(id(number))))
            }
            Some((_, Fate::Dead(_))) => Fact::Known(MemberPort::Refuses),
            _ => Fact::Unknown(Why::TimedOut(TICK)),
        }
    }

    /// Who answers when the members are asked for their addresses: a kernel, whatever became of its server.
    fn neighbors(&self) -> Vec<Event> {
        let answers = |number: &u8| !self.deaf && !matches!(self.fate(*number), Fate::CutOff(_));
        OTHERS.into_iter().filter(answers).map(neighbor).collect()
    }

    fn peer(&self, member: IpAddr) -> Fact<Server> {
        match self.port(member) {
            Fact::Known(MemberPort::Refuses) => Fact::Known(Server::Refused("connection refused".to_owned())),
            _ => Fact::Unknown(Why::TimedOut(TICK)),
        }
    }

    fn host() -> Fact<Host> {
        Fact::Known(Host {
            addresses: vec![HostAddress { address: address(OWN), prefix: 24, interface: "eth0".to_owned() }],
            interfaces: vec![Interface { name: "eth0".to_owned(), running: true }],
        })
    }

    /// Carries out what was decided, and gives what the agent is told of it.
    fn carry_out(&mut self, action: &Action, at: Time, silent_too: bool) -> Vec<Event> {
        let done = |outcome| vec![Event::Done { action: action.clone(), outcome }];
        let refused = || Outcome::Failed("no answer".to_owned());
        match action {
            Action::AskServer => vec![Event::Server(Seen { asked_at: at, fact: self.server() })],
            Action::AskGateway => {
                vec![Event::Gateway(Seen { asked_at: at, fact: Fact::Known(Gateway::Reachable) })]
            }
            Action::AskHost => vec![Event::Host(Seen { asked_at: at, fact: Self::host() })],
            Action::AskPeer(member) => {
                vec![Event::Peer { member: *member, seen: Seen { asked_at: at, fact: self.peer(*member) } }]
            }
            Action::LookAtMember(member) => {
                let fact = self.port(*member);
                vec![Event::MemberPort { member: *member, seen: Seen { asked_at: at, fact } }]
            }
            Action::LearnNeighbors => self.neighbors(),
            Action::ReadExpelTimeout => {
                let fact =
                    if self.hangs { Fact::Unknown(Why::TimedOut(TICK)) } else { Fact::Known(self.timeout) };
                vec![Event::ExpelTimeout(Seen { asked_at: at, fact })]
            }
            Action::SetExpelTimeout { original } => {
                // On disk before it is changed.
                self.file = Some(*original);
                if self.hangs {
                    return done(refused());
                }
                self.timeout = 0;
                if !self.only_the_dead(silent_too) {
                    self.broken.get_or_insert(Invariant::Restored);
                }
                done(Outcome::Succeeded)
            }
            Action::RestoreExpelTimeout { .. } if self.hangs => done(refused()),
            Action::RestoreExpelTimeout { value } => {
                self.timeout = *value;
                self.file = None;
                done(Outcome::Succeeded)
            }
            Action::WakeExpel => done(if self.hangs { refused() } else { Outcome::Succeeded }),
            _ => Vec::new(),
        }
    }
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
