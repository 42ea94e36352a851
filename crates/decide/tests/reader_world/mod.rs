//! Three members' agents, each with the driver that the agent runs, on one segment that loses nothing and on one clock: a writer VIP and
//! as many reader VIPs as a test wants. The servers say what a test has them say.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use decide::driver::{Driver, Next};
use decide::input::{
    Backlog, Event, Fact, Frame, Gateway, Host, HostAddress, Interface, MemberState, Role, Says, Seen, Server,
};
use decide::net::VipId;
use decide::output::{Action, Outcome, Reason, Said, VipAction};
use decide::policy::{Policy, VipPolicy, VipRole};
use decide::time::Time;
use decide::timers::Timer;
use decide::{State, step_and_timers};

use crate::model_host::{group, group_policy, limits, mac, member, ms};

/// The members, by number.
pub const MEMBERS: [u8; 3] = [1, 2, 3];

/// One member: its agent, its kernel, its server.
pub struct Node {
    number: u8,
    driver: Driver,
    here: BTreeSet<VipId>,
    pub server: Fact<Server>,
    pub gateway: Fact<Gateway>,
    /// Whichever VIPs have of their own.
    pub own_gateway: Fact<Gateway>,
    pub backlog: u64,
    /// Whether its mysqld listens for clients, as its agent sees it; none: it does not look.
    pub listens: Option<Fact<bool>>,
    /// Its agent runs.
    pub runs: bool,
    /// It hears nobody on the segment, and nobody hears it.
    pub cut: bool,
    asked: u64,
}

/// All of them.
pub struct World {
    pub policy: Policy,
    pub now: Time,
    pub nodes: BTreeMap<u8, Node>,
    /// Each time that a VIP came to a member.
    pub moves: Vec<(VipId, u8)>,
    /// Why VIPs left.
    pub stopped: Vec<Said>,
    /// Each order, by whom.
    pub deeds: Vec<(u8, Action)>,
    /// Two that have just begun to hear each other may both have a VIP until then.
    pub settles_until: Time,
    /// Frames and answers take up to so many milliseconds, each its own; frames from one host to another stay in order.
    pub slowness: u64,
    /// What this member's agent would hear of who has a VIP is lost, nine times in ten.
    pub half_deaf: Option<u8>,
    /// These two do not hear each other.
    pub parted: Option<[u8; 2]>,
    /// What the slowness of each is drawn from.
    pub seed: u64,
    /// From then on a member's server says this.
    pub soon: Vec<(Time, u8, Fact<Server>)>,
    flying: Vec<(u8, Event)>,
    late: Vec<(Time, u8, Event)>,
    last_frame: BTreeMap<(u8, u8), Time>,
}

pub fn policy_with_readers(readers: u16) -> Policy {
    let mut policy = Policy::new(group_policy(), limits());
    for reader in 1..=readers {
        let address = IpAddr::from([10, 77, 0, 100 + u8::try_from(reader).unwrap()]);
        policy.vips.insert(VipId(reader), VipPolicy { role: VipRole::Reader, ..VipPolicy::new(address) });
    }
    policy
}

/// The group of three with its primary, as member `local` shows it.
pub fn shows(local: u8, primary: u8, counter: u64) -> Fact<Server> {
    Fact::Known(Server::Member(group(local, primary, counter, local != primary)))
}

impl World {
    pub fn new(policy: Policy) -> Self {
        let now = Time(1_000_000_000);
        let nodes = MEMBERS.map(|number| (number, Node::new(&policy, number, now))).into();
        Self {
            policy,
            now,
            nodes,
            moves: Vec::new(),
            stopped: Vec::new(),
            deeds: Vec::new(),
            settles_until: now,
            slowness: 0,
            half_deaf: None,
            parted: None,
            seed: 1,
            soon: Vec::new(),
            flying: Vec::new(),
            late: Vec::new(),
            last_frame: BTreeMap::new(),
        }
    }

    /// Settled: with two readers, each on its own secondary.
    pub fn settled(readers: u16) -> Self {
        let mut world = Self::new(policy_with_readers(readers));
        world.run(ms(4_000));
        world.moves.clear();
        world.stopped.clear();
        world.deeds.clear();
        world
    }

    pub fn node(&mut self, number: u8) -> &mut Node {
        self.nodes.get_mut(&number).unwrap()
    }

    /// Member `primary` is the primary from now on, in view `counter`.
    pub fn elect(&mut self, primary: u8, counter: u64) {
        for node in self.nodes.values_mut() {
            node.server = shows(node.number, primary, counter);
        }
    }

    /// What this member's own row says.
    pub fn becomes(&mut self, number: u8, state: MemberState) {
        let Fact::Known(Server::Member(view)) = &mut self.node(number).server else { panic!("no view") };
        let local = view.local.clone();
        let row = view.members.iter_mut().find(|member| member.id == local).unwrap();
        row.state = state;
        if state != MemberState::Online {
            row.role = Role::Secondary;
        }
    }

    /// Who has this VIP.
    pub fn holders(&self, vip: u16) -> Vec<u8> {
        self.nodes.values().filter(|node| node.here.contains(&VipId(vip))).map(|node| node.number).collect()
    }

    /// A new agent runs here from now on, and finds what its kernel has.
    pub fn restart(&mut self, number: u8) {
        let driver = Driver::new(&self.policy, self.now);
        let addresses = self.addresses(number);
        let vips: Vec<VipId> = self.policy.reader_vips().collect();
        let node = self.node(number);
        node.driver = driver;
        node.runs = true;
        node.driver.push(addresses);
        // Its socket is opened a moment later.
        for vip in &vips {
            node.driver.push(Event::ReceiveUp(*vip, false));
        }
        self.flying.extend(vips.into_iter().map(|vip| (number, Event::ReceiveUp(vip, true))));
    }

    /// The kernel of this host loses the VIP, as with an interface that goes for a moment.
    pub fn lose(&mut self, number: u8, vip: u16) {
        self.node(number).here.remove(&VipId(vip));
        let event = self.addresses(number);
        self.flying.push((number, event));
    }

    /// This agent is told something.
    pub fn tell(&mut self, number: u8, event: Event) {
        self.flying.push((number, event));
    }

    /// Lets time pass, a millisecond at a time. Nobody may have a VIP beside another, at no moment.
    pub fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while self.now < end {
            self.arrive();
            self.poll_servers();
            loop {
                let flying = std::mem::take(&mut self.flying);
                let flying = self.hold_up(flying);
                for (number, event) in flying {
                    self.node(number).driver.push(event);
                }
                for number in MEMBERS {
                    self.drive(number);
                }
                if self.flying.is_empty() {
                    break;
                }
            }
            for vip in self.policy.vips.keys().filter(|_| self.now >= self.settles_until) {
                let together = self.holders(vip.0).iter().filter(|number| !self.nodes[number].cut).count();
                assert!(together <= 1, "{vip}: {:?} at {:?}", self.holders(vip.0), self.now);
            }
            self.now = self.now + ms(1);
        }
    }

    /// What is due has happened, and arrives.
    fn arrive(&mut self) {
        let now = self.now;
        for (_, number, says) in self.soon.extract_if(.., |(at, ..)| *at <= now).collect::<Vec<_>>() {
            self.node(number).server = says;
        }
        self.late.sort_by_key(|(at, ..)| *at);
        for (_, number, event) in self.late.extract_if(.., |(at, ..)| *at <= now).collect::<Vec<_>>() {
            self.node(number).driver.push(event);
        }
    }

    /// Leaves what takes no time.
    fn hold_up(&mut self, flying: Vec<(u8, Event)>) -> Vec<(u8, Event)> {
        if self.slowness == 0 {
            return flying;
        }
        // What the kernel tells of its own addresses is in order, and at once.
        let (at_once, flying) = flying.into_iter().partition(|(_, event)| matches!(event, Event::Host(_)));
        for (to, event) in Vec::into_iter(flying) {
            if self.half_deaf == Some(to) && says_who_has_it(&event) && !self.draw().is_multiple_of(10) {
                continue;
            }
            let mut at = self.now + ms(self.draw() % (self.slowness + 1));
            if let Event::Frame(_, Frame { from, says }) = &event
                && *says != Says::Reply
            {
                let from = MEMBERS.into_iter().find(|number| mac(*number) == *from).unwrap();
                let last = self.last_frame.entry((from, to)).or_insert(at);
                at = at.max(*last);
                *last = at;
            }
            self.late.push((at.max(self.now + ms(1)), to, event));
        }
        at_once
    }

    /// The next of the numbers that follow from the seed.
    pub fn draw(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    /// Each server is asked every 20 ms, and how far it is behind once a second.
    fn poll_servers(&mut self) {
        let now = self.now;
        for node in self.nodes.values_mut() {
            node.asked += 1;
            if node.runs && node.asked % 20 == u64::from(node.number) {
                node.driver.push(Event::Server(Seen { asked_at: now, fact: node.server.clone() }));
                node.driver.push(Event::Gateway(Seen { asked_at: now, fact: node.gateway.clone() }));
                for own in self.policy.own_gateways() {
                    let seen = Seen { asked_at: now, fact: node.own_gateway.clone() };
                    node.driver.push(Event::OwnGateway(own, seen));
                }
            }
            if node.runs && node.asked.is_multiple_of(1_000) {
                let backlog = Backlog { transactions: node.backlog, age: Duration::ZERO };
                node.driver.push(Event::Backlog(Seen { asked_at: now, fact: Fact::Known(backlog) }));
                if let Some(fact) = node.listens.clone() {
                    node.driver.push(Event::Listens(Seen { asked_at: now, fact }));
                }
            }
        }
    }

    fn drive(&mut self, number: u8) {
        if !self.nodes[&number].runs {
            return;
        }
        loop {
            let (policy, now) = (self.policy.clone(), self.now);
            match self.node(number).driver.next(&policy, now, |_, _| {}) {
                Next::Decided(_) => {
                    let decision = self.nodes[&number].driver.decision();
                    let said = decision.map(|decision| decision.reasons.clone()).unwrap_or_default();
                    let stops = |said: &Said| matches!(said.reason, Reason::Stopped { .. });
                    self.stopped.extend(said.into_iter().filter(stops));
                }
                Next::Settled(_) => {}
                Next::Deed(action) => {
                    let outcome = self.carry_out(number, &action);
                    self.node(number).driver.done(outcome);
                    self.deeds.push((number, action));
                }
                Next::ReadUnread { addresses } => {
                    if addresses {
                        let event = self.addresses(number);
                        self.node(number).driver.push(event);
                    }
                }
                Next::Wait { until } if until > now => return,
                Next::Wait { .. } => self.node(number).driver.push(Event::Wake),
                Next::Ended => return,
            }
        }
    }

    fn addresses(&self, number: u8) -> Event {
        let address = |address, prefix| HostAddress { address, prefix, interface: "eth0".to_owned() };
        let mut addresses = vec![address(member(number), 24)];
        let here = &self.nodes[&number].here;
        addresses.extend(here.iter().map(|vip| address(self.policy.address_of(*vip).unwrap(), 32)));
        let interfaces = vec![Interface { name: "eth0".to_owned(), running: true }];
        Event::Host(Seen { asked_at: self.now, fact: Fact::Known(Host { addresses, interfaces }) })
    }

    fn hear(&self, one: u8, other: u8) -> bool {
        let parted = self.parted.is_some_and(|pair| pair.contains(&one) && pair.contains(&other));
        one != other && !parted && !self.nodes[&one].cut && !self.nodes[&other].cut
    }

    fn send(&mut self, from: u8, vip: VipId, says: Says) {
        for to in MEMBERS.into_iter().filter(|to| self.hear(*to, from)).collect::<Vec<_>>() {
            self.flying.push((to, Event::Frame(vip, Frame { from: mac(from), says })));
        }
    }

    /// Whoever has it answers to the asker; its agent hears the question where it is a probe.
    fn ask(&mut self, from: u8, vip: VipId, says: Option<Says>) {
        if let Some(says) = says {
            self.send(from, vip, says);
        }
        for holder in self.holders(vip.0) {
            if self.hear(holder, from) {
                self.flying.push((from, Event::Frame(vip, Frame { from: mac(holder), says: Says::Reply })));
            }
        }
    }

    fn carry_out(&mut self, number: u8, action: &Action) -> Outcome {
        let now = self.now;
        match action {
            Action::AskHost => {
                let event = self.addresses(number);
                self.flying.push((number, event));
            }
            Action::AskServer => {
                let fact = self.nodes[&number].server.clone();
                self.flying.push((number, Event::Server(Seen { asked_at: now, fact })));
            }
            Action::AskGateway => {
                let fact = self.nodes[&number].gateway.clone();
                self.flying.push((number, Event::Gateway(Seen { asked_at: now, fact })));
                for own in self.policy.own_gateways() {
                    let seen = Seen { asked_at: now, fact: self.nodes[&number].own_gateway.clone() };
                    self.flying.push((number, Event::OwnGateway(own, seen)));
                }
            }
            Action::AskPeer(of) => {
                let peer = MEMBERS.into_iter().find(|peer| member(*peer) == *of).unwrap();
                let seen = Seen { asked_at: now, fact: self.nodes[&peer].server.clone() };
                self.flying.push((number, Event::Peer { member: *of, seen }));
            }
            Action::LearnNeighbors => {
                for other in MEMBERS.into_iter().filter(|other| self.hear(*other, number)).collect::<Vec<_>>()
                {
                    let event = Event::Neighbor { address: member(other), mac: mac(other) };
                    self.flying.push((number, event));
                }
            }
            Action::Vip(vip, action) => self.carry_out_for_vip(number, *vip, action),
            _ => {}
        }
        Outcome::Succeeded
    }

    fn carry_out_for_vip(&mut self, number: u8, vip: VipId, action: &VipAction) {
        match action {
            VipAction::SendProbe => self.ask(number, vip, Some(Says::Probe)),
            VipAction::AskWhoHasVip => self.ask(number, vip, None),
            VipAction::SayFitness(fitness) => self.ask(number, vip, Some(Says::Fitness(*fitness))),
            VipAction::Announce => self.send(number, vip, Says::Announcement),
            VipAction::AnnounceRelease(to) => {
                for other in MEMBERS.into_iter().filter(|other| self.hear(*other, number)).collect::<Vec<_>>()
                {
                    let named = *to == Some(mac(other));
                    let says =
                        if named { Says::Release { heard_at: self.now } } else { Says::ReleaseToOthers };
                    let frame = Event::Frame(vip, Frame { from: mac(number), says });
                    self.flying.push((other, frame));
                }
            }
            VipAction::AddAddress { .. } => {
                self.node(number).here.insert(vip);
                self.moves.push((vip, number));
                let event = self.addresses(number);
                self.flying.push((number, event));
            }
            VipAction::RemoveAddress { .. } => {
                self.node(number).here.remove(&vip);
                let event = self.addresses(number);
                self.flying.push((number, event));
            }
            _ => {}
        }
    }
}

fn says_who_has_it(event: &Event) -> bool {
    matches!(event, Event::Frame(_, Frame { says: Says::Reply | Says::Announcement, .. }))
}

impl Node {
    fn new(policy: &Policy, number: u8, now: Time) -> Self {
        Self {
            number,
            driver: Driver::new(policy, now),
            here: BTreeSet::new(),
            server: shows(number, 1, 545),
            gateway: Fact::Known(Gateway::Reachable),
            own_gateway: Fact::Known(Gateway::Reachable),
            backlog: 0,
            listens: Some(Fact::Known(true)),
            runs: true,
            cut: false,
            asked: 0,
        }
    }

    pub fn here(&self) -> &BTreeSet<VipId> {
        &self.here
    }
}

/// What the agent of a member is woken for whose server comes into the group, and then falls behind.
pub fn timers_of_a_member_that_comes_back_and_falls_behind() -> BTreeSet<Timer> {
    let policy = policy_with_readers(1);
    let (mut state, mut now) = (State::new(&policy, Time(1_000_000_000)), Time(1_000_000_000));
    let mut set = BTreeSet::new();
    let mut tell = |event: &Event, now| {
        let timers = step_and_timers(&policy, &mut state, event, now).1;
        set.extend(Timer::EACH.iter().filter(|timer| timers.get(**timer).is_some()));
    };
    let addresses = vec![HostAddress { address: member(1), prefix: 24, interface: "eth0".to_owned() }];
    let interfaces = vec![Interface { name: "eth0".to_owned(), running: true }];
    tell(&Event::Host(Seen { asked_at: now, fact: Fact::Known(Host { addresses, interfaces }) }), now);
    tell(&Event::Gateway(Seen { asked_at: now, fact: Fact::Known(Gateway::Reachable) }), now);
    for other in [2, 3] {
        tell(&Event::Neighbor { address: member(other), mac: mac(other) }, now);
    }
    let mut joining = group(1, 2, 545, true);
    joining.members[0].state = MemberState::Recovering;
    for view in [joining, group(1, 2, 545, true)] {
        now = now + ms(10);
        tell(&Event::Server(Seen { asked_at: now, fact: Fact::Known(Server::Member(view)) }), now);
    }
    let backlog = Backlog { transactions: 1_000_000, age: Duration::ZERO };
    tell(&Event::Backlog(Seen { asked_at: now, fact: Fact::Known(backlog) }), now);
    set
}
