//! Agents in the model: their memories, numbered, and what each does when it is told something. Few memories make up many
//! states, so each step is computed once.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use decide::State;
use decide::facts::process::Process;
use decide::input::{
    Event, Fact, Frame, Gateway, GroupView, Host, HostAddress, Interface, Member, MemberState, Role, Says,
    Seen, Server, ViewId, Why,
};
use decide::net::{Mac, VipId};
use decide::output::{Action, Outcome, Reason, VipAction};
use decide::policy::{GroupPolicy, Policy, VipPolicy};
use decide::step;
use oracle::{Book, Counts, Excuse, Invariant, Limits, Orders, Sight};

use super::normal::{NOW, TICK, ago, bring_to_form, grow_older};
use super::world::{Answer, Memory, NEVER, Place, Shows, What};

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100));

fn address(place: Place) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 11 + place))
}

/// … that it has on the interface that only the VIP is on.
fn own_address(place: Place) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 78, 0, 11 + place))
}

fn mac(place: Place) -> Mac {
    Mac([2, 0, 0, 0, 0, place])
}

/// The defaults' order, in ticks: what is scaled and what is left out.
pub fn group_policy(hosts: u8) -> GroupPolicy {
    let never = Duration::from_secs(3600);
    GroupPolicy {
        poll_interval: TICK * 2,
        alert_interval: TICK,
        alert_limit: never,
        sleeptime: never,
        wake_expel: false,
        proven_dead: false,
        fence: false,
        ..GroupPolicy::new((0..hosts).map(|place| (address(place), "eth0".to_owned())).collect())
    }
}

/// The same, of the one VIP that the model has.
pub fn vip_policy() -> VipPolicy {
    VipPolicy {
        probe_count: 3,
        probe_spacing: TICK,
        probe_spacing_when_taken: TICK * 2,
        own_answer_limit: TICK,
        dispute_limit: TICK * 3,
        linger: TICK * 6,
        lease: Some(TICK * u32::from(LEASE)),
        hung_patience: TICK * PATIENCE,
        refused_patience: None,
        announce_interval: TICK * 10,
        ..VipPolicy::new(VIP)
    }
}

/// The lease, in ticks.
pub const LEASE: u8 = 15;
/// The patience with a server that does not answer, in ticks.
pub const PATIENCE: u32 = 18;

/// What an agent does, as far as it concerns the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Ask the own server.
    AskServer,
    /// Ask the gateway.
    AskGateway,
    /// Read the addresses.
    AskHost,
    /// Ask a member's server.
    AskPeer(Place),
    /// Ask for the members' hardware addresses.
    Learn,
    /// Say that this host is that member.
    SayMember(IpAddr),
    /// Probe.
    Probe,
    /// Say that it is free, to this host or to nobody in particular.
    AnnounceRelease(Option<Place>),
    /// Announce.
    Announce,
    /// Add the VIP, for so many ticks.
    Add(u8),
    /// Renew it where it is there, for so many ticks.
    Renew(u8),
    /// Remove it.
    Remove,
    /// Poll each so many ticks.
    Poll(u8),
}

/// An agent: what the rules remember, and the book of what it was told and ordered. The book is judged by, the memory never.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mind {
    /// What the rules remember.
    pub state: State,
    /// What it was told and ordered.
    pub book: Book,
}

/// One step of one agent.
#[derive(Clone, Debug)]
pub struct Reaction {
    /// Its memory afterwards.
    pub next: Memory,
    /// Ticks until it looks by itself.
    pub wake: u8,
    /// What it does, as far as it concerns the model.
    pub acts: Vec<Act>,
    /// … in the driver's words, one for each.
    pub actions: Vec<Action>,
    /// What it breaks, by what the agent was told and ordered.
    pub breaks: Option<Invariant>,
    /// What it would break, but for this.
    pub excuse: Option<Excuse>,
    /// It takes the VIP.
    pub starts: bool,
}

type Told = (Memory, Place, What, u8, Option<Shown>);

/// What a host's kernel shows of the VIP, where it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The VIP is here.
    pub vip: bool,
    /// The interface that only the VIP is on has no carrier.
    pub down: bool,
}

/// Every memory that was met, and every step.
#[derive(Debug)]
pub struct Memories {
    policy: Policy,
    sight: Sight,
    /// How often each excuse was needed.
    pub excuses: Counts,
    numbers: HashMap<Arc<Mind>, Memory>,
    minds: Vec<Arc<Mind>>,
    /// What a holder breaks that goes on with this memory.
    overdue: Vec<Option<Invariant>>,
    older: Vec<Option<Memory>>,
    reactions: HashMap<Told, Arc<Reaction>>,
}

impl Memories {
    /// None yet. `slack`: in ticks, how much later than its limits an agent lets go.
    pub fn new(policy: Policy, slack: u32) -> Self {
        Self {
            policy,
            sight: Sight::as_told(TICK * slack),
            excuses: Counts::default(),
            numbers: HashMap::new(),
            minds: Vec::new(),
            overdue: Vec::new(),
            older: Vec::new(),
            reactions: HashMap::new(),
        }
    }

    /// How many different memories were met.
    pub fn count(&self) -> usize {
        self.minds.len()
    }

    /// An agent that has just started.
    pub fn newborn(&mut self) -> Memory {
        let mut state = State::new(&self.policy, NOW);
        // It sees its server's process, so that a dead server's VIP lingers.
        state.facts.process.process = Process::Watched;
        self.number(Mind { state, book: Book::new(NOW) })
    }

    /// All agents' limits and choices.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// An agent, to be read.
    pub fn mind(&self, memory: Memory) -> &Mind {
        &self.minds[memory as usize]
    }

    /// What a holder breaks that goes on with this memory: it knows a certain "no", or nothing, for too long.
    pub fn overdue(&self, memory: Memory) -> Option<Invariant> {
        self.overdue[memory as usize]
    }

    /// It stood still for so many ticks, and goes on.
    pub fn goes_on_after(&mut self, memory: Memory, ticks: u8) -> Memory {
        let mut mind = Mind::clone(&self.minds[memory as usize]);
        mind.book.went_on_after(TICK * u32::from(ticks) + Duration::from_millis(1), NOW);
        self.number(mind)
    }

    /// The memory a tick later.
    pub fn older(&mut self, memory: Memory) -> Memory {
        if let Some(older) = self.older[memory as usize] {
            return older;
        }
        let mut mind = Mind::clone(&self.minds[memory as usize]);
        grow_older(&mut mind.state);
        mind.book.grow_older(TICK);
        let older = self.number(mind);
        self.older[memory as usize] = Some(older);
        older
    }

    /// What an agent does when it is told this; `shown`: by its kernel.
    pub fn react(
        &mut self,
        memory: Memory,
        place: Place,
        what: What,
        age: u8,
        shown: Shown,
    ) -> Arc<Reaction> {
        // Only the word about addresses depends on the kernel.
        let told = (memory, place, what, age, Some(shown).filter(|_| what == What::Addresses));
        if let Some(known) = self.reactions.get(&told) {
            self.excuses.count(known.excuse);
            return Arc::clone(known);
        }
        let Mind { mut state, mut book } = Mind::clone(&self.minds[memory as usize]);
        let (mut actions, mut wake_at) = (Vec::new(), NOW);
        let (mut breaks, mut excuse, mut starts) = (None, None, false);
        for event in self.events(place, what, age, shown) {
            let decision = step(&self.policy, &mut state, &event, NOW);
            let settled = decision.each_reason().find_map(|reason| match reason {
                Reason::DisputeWon(member) => Some(*member),
                _ => None,
            });
            let orders = Orders { actions: &decision.actions, wake_at: decision.wake_at, settled };
            let verdict =
                book.step(&Limits::of(&self.policy, VipId::FIRST), &event, &orders, &self.sight, NOW);
            breaks = breaks.or(verdict.breach.map(|breach| breach.invariant));
            excuse = excuse.or(verdict.excuse);
            starts |= verdict.starts;
            actions.extend(decision.actions.into_iter().filter(|action| act(action).is_some()));
            wake_at = decision.wake_at;
        }
        self.excuses.count(excuse);
        let wait = wake_at.since(NOW).as_micros().div_ceil(TICK.as_micros());
        let wake = u8::try_from(wait).ok().filter(|ticks| *ticks <= 60).unwrap_or(NEVER);
        let next = self.number(Mind { state, book });
        let acts = actions.iter().filter_map(act).collect();
        let reaction = Arc::new(Reaction { next, wake, acts, actions, breaks, excuse, starts });
        self.reactions.insert(told, Arc::clone(&reaction));
        reaction
    }

    /// What an agent is told, as the events that its observers make of it.
    fn events(&self, place: Place, what: What, age: u8, shown: Shown) -> Vec<Event> {
        let asked_at = ago(u32::from(age));
        vec![match what {
            What::Frame(from, Says::Release { .. }) => Event::Frame(
                VipId::FIRST,
                Frame { from: mac(from), says: Says::Release { heard_at: asked_at } },
            ),
            What::Frame(from, says) => Event::Frame(VipId::FIRST, Frame { from: mac(from), says }),
            What::Server(answer) => Event::Server(Seen { asked_at, fact: fact(place, answer) }),
            What::Peer(peer, answer) => {
                Event::Peer { member: address(peer), seen: Seen { asked_at, fact: fact(peer, answer) } }
            }
            What::Addresses => {
                Event::Host(Seen { asked_at: NOW, fact: Fact::Known(self.host(place, shown)) })
            }
            What::Gateway(answers) => {
                let gateway = if answers { Gateway::Reachable } else { Gateway::Lost { misses: 3 } };
                Event::Gateway(Seen { asked_at: NOW, fact: Fact::Known(gateway) })
            }
            What::Neighbors(members) => {
                return (0..3)
                    .filter(|member| members & (1 << member) != 0)
                    .map(|member| Event::Neighbor { address: address(member), mac: self.mac_at_home(member) })
                    .collect();
            }
            What::Sign(sign) => Event::Process(sign),
            What::Wake => Event::Wake,
            What::Stopping => Event::Stopping,
            // Its end is far off: when it comes is the model's choice.
            What::OperatorPauses(true) => Event::Pause { until: NOW + TICK * 1000 },
            What::OperatorPauses(false) => Event::Resume,
            What::RenewalGone => Event::Done {
                action: Action::Vip(
                    VipId::FIRST,
                    VipAction::RenewAddress { interface: self.interface().to_owned(), lifetime: None },
                ),
                outcome: Outcome::Gone,
            },
        }]
    }

    /// What a host's kernel shows.
    fn host(&self, place: Place, shown: Shown) -> Host {
        let on = |address, prefix, interface: &str| HostAddress {
            address,
            prefix,
            interface: interface.to_owned(),
        };
        let elsewhere = self.is_elsewhere();
        let mut addresses = vec![on(address(place), 24, "eth0")];
        addresses.extend(elsewhere.then(|| on(own_address(place), 24, "eth1")));
        addresses.extend(shown.vip.then(|| on(VIP, 32, self.interface())));
        let mut interfaces = vec![Interface { name: "eth0".to_owned(), running: true }];
        interfaces.extend(elsewhere.then(|| Interface { name: "eth1".to_owned(), running: !shown.down }));
        Host { addresses, interfaces }
    }

    /// The VIP is on an interface of its own.
    fn is_elsewhere(&self) -> bool {
        !self.policy.vips[&VipId::FIRST].interfaces.is_empty()
    }

    /// A host's hardware address on the members' interface: another one where the VIP is not on that.
    fn mac_at_home(&self, place: Place) -> Mac {
        if self.is_elsewhere() { Mac([2, 0, 0, 0, 1, place]) } else { mac(place) }
    }

    /// The interface that the VIP belongs on.
    fn interface(&self) -> &'static str {
        if self.is_elsewhere() { "eth1" } else { "eth0" }
    }

    fn number(&mut self, mut mind: Mind) -> Memory {
        bring_to_form(&mut mind.state);
        mind.book.bring_to_form(&Limits::of(&self.policy, VipId::FIRST), self.sight.slack, NOW);
        if let Some(known) = self.numbers.get(&mind) {
            return *known;
        }
        let number = u32::try_from(self.minds.len()).unwrap_or(u32::MAX);
        let verdict = mind.book.goes_on(&Limits::of(&self.policy, VipId::FIRST), &self.sight, NOW);
        self.overdue.push(verdict.breach.map(|breach| breach.invariant));
        let mind = Arc::new(mind);
        self.minds.push(Arc::clone(&mind));
        self.older.push(None);
        self.numbers.insert(mind, number);
        number
    }
}

/// Each member's interface that only the VIP is on.
pub fn own_interfaces(group: &GroupPolicy) -> BTreeMap<IpAddr, String> {
    group.members.keys().map(|member| (*member, "eth1".to_owned())).collect()
}

fn act(action: &Action) -> Option<Act> {
    let ticks =
        |wait: &Duration| u8::try_from(wait.as_micros().div_ceil(TICK.as_micros())).ok().unwrap_or(NEVER);
    Some(match action {
        Action::AskServer => Act::AskServer,
        Action::AskGateway => Act::AskGateway,
        Action::AskHost => Act::AskHost,
        Action::AskPeer(member) => Act::AskPeer((0..3).find(|place| address(*place) == *member)?),
        Action::LearnNeighbors => Act::Learn,
        Action::Vip(_, VipAction::SayMember { member, .. }) => Act::SayMember(*member),
        Action::Vip(_, VipAction::SendProbe) => Act::Probe,
        // Nobody hears it there who has another hardware address.
        Action::Vip(_, VipAction::AnnounceRelease(to)) => {
            Act::AnnounceRelease(to.map(|mac| mac.0[5]).filter(|place| *to == Some(mac(*place))))
        }
        Action::Vip(_, VipAction::Announce) => Act::Announce,
        Action::Vip(_, VipAction::AddAddress { lifetime, .. }) => {
            Act::Add(lifetime.as_ref().map_or(NEVER, ticks))
        }
        Action::Vip(_, VipAction::RenewAddress { lifetime, .. }) => {
            Act::Renew(lifetime.as_ref().map_or(NEVER, ticks))
        }
        Action::Vip(_, VipAction::RemoveAddress { .. }) => Act::Remove,
        Action::PollEvery(every) => Act::Poll(ticks(every)),
        _ => return None,
    })
}

fn fact(local: Place, answer: Answer) -> Fact<Server> {
    match answer {
        Answer::Shows(shows) => Fact::Known(Server::Member(group_view(local, shows))),
        Answer::Refused => Fact::Known(Server::Refused("connection refused".to_owned())),
        Answer::NotInGroup => Fact::Known(Server::Member(left_the_group(local, true))),
        Answer::Outside => Fact::Known(Server::Member(left_the_group(local, false))),
        Answer::TimedOut => Fact::Unknown(Why::TimedOut(TICK)),
        Answer::Occupied => Fact::Unknown(Why::TooManyConnections("1040".to_owned())),
        Answer::Unreachable => Fact::Unknown(Why::Unreachable("no route to host".to_owned())),
    }
}

/// After `STOP GROUP_REPLICATION`: OFFLINE, and read-only; after a start: OFFLINE, and not.
fn left_the_group(local: Place, super_read_only: bool) -> GroupView {
    let (id, host) = (format!("uuid-{local}"), format!("db{local}"));
    let (state, role) = (MemberState::Offline, Role::Secondary);
    let own = Member { id: id.clone(), host, port: 3306, state, role };
    GroupView { local: id, super_read_only, view: None, members: vec![own] }
}

fn group_view(local: Place, shows: Shows) -> GroupView {
    let id = |place: Place| format!("uuid-{place}");
    let row = |place: Place| Member {
        id: id(place),
        host: format!("db{place}"),
        port: 3306,
        state: if shows.unreachable & (1 << place) == 0 {
            MemberState::Online
        } else {
            MemberState::Unreachable
        },
        role: if place == shows.primary { Role::Primary } else { Role::Secondary },
    };
    GroupView {
        local: id(local),
        super_read_only: shows.read_only,
        view: Some(ViewId::new("17635", u64::from(shows.counter))),
        members: (0..3).filter(|place| shows.members & (1 << place) != 0).map(row).collect(),
    }
}
