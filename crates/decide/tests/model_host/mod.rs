//! One agent's rules on a virtual clock, with a host, a server, a gateway and a segment that answer as told.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use decide::State;
use decide::input::{
    Event, Fact, Frame, Gateway, GroupView, Host, HostAddress, Interface, Member, MemberState, NotInGroup,
    ProcessSign, Role, Says, Seen, Server, ViewId, Why,
};
use decide::net::{Mac, VipId};
use decide::output::{Action, Outcome, Reason, VipAction};
use decide::policy::{GroupPolicy, Policy, VipGateway, VipPolicy};
use decide::time::Time;
use decide::timers::Timer;
use decide::trace::Line;
use decide::vip::VipMachine;
use decide::{Decision, step, step_and_timers};
use oracle::{Book, Breach, Limits, Orders, Sight};

pub const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100));
pub const BIRTH: &str = "17635";

pub fn member(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 10 + number))
}

pub fn mac(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number])
}

pub fn group_policy() -> GroupPolicy {
    GroupPolicy::new((1..=3).map(|number| (member(number), "eth0".to_owned())).collect())
}

pub fn limits() -> VipPolicy {
    VipPolicy::new(VIP)
}

pub fn policy() -> Policy {
    Policy::new(group_policy(), limits())
}

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub fn host(interface: &str, vip_here: bool) -> Host {
    let address = |address| HostAddress {
        address,
        prefix: if address == VIP { 32 } else { 24 },
        interface: interface.to_owned(),
    };
    let mut addresses = vec![address(member(1))];
    addresses.extend(vip_here.then(|| address(VIP)));
    Host { addresses, interfaces: vec![Interface { name: interface.to_owned(), running: true }] }
}

/// The group of three as member `local` shows it.
pub fn group(local: u8, primary: u8, counter: u64, super_read_only: bool) -> GroupView {
    let row = |number: u8| Member {
        id: format!("uuid-{number}"),
        host: format!("db{number}"),
        port: 3306,
        state: MemberState::Online,
        role: if number == primary { Role::Primary } else { Role::Secondary },
    };
    GroupView {
        local: format!("uuid-{local}"),
        super_read_only,
        view: Some(ViewId::new(BIRTH, counter)),
        members: (1..=3).map(row).collect(),
    }
}

pub fn primary() -> Fact<Server> {
    Fact::Known(Server::Member(group(1, 1, 545, false)))
}

pub fn secondary() -> Fact<Server> {
    Fact::Known(Server::Member(group(1, 2, 545, true)))
}

pub fn hung() -> Why {
    Why::TimedOut(ms(1000))
}

pub fn not_in_group(why: NotInGroup) -> Fact<Server> {
    Fact::Known(Server::NotInGroup(why))
}

/// What the questions about the three sources of facts are answered with.
#[derive(Clone, Debug)]
pub struct Answers {
    pub interface: &'static str,
    pub host_known: bool,
    pub server: Fact<Server>,
    pub gateway: Fact<Gateway>,
}

impl Answers {
    pub fn all_pass() -> Self {
        Self {
            interface: "eth0",
            host_known: true,
            server: primary(),
            gateway: Fact::Known(Gateway::Reachable),
        }
    }
}

/// The agent under test is member 1.
pub struct ModelHost {
    pub group: GroupPolicy,
    pub vip: VipPolicy,
    pub state: State,
    pub now: Time,
    /// What questions are answered with; with `second`, up to the first wish or doubt.
    pub first: Answers,
    /// What questions put after the first wish or doubt are answered with.
    pub second: Option<Answers>,
    pub vip_here: bool,
    /// The member (by number) whose kernel answers probes.
    pub answering: Option<u8>,
    pub peers: BTreeMap<IpAddr, Fact<Server>>,
    /// How long an answer to a question takes.
    pub answer_after: Duration,
    /// The server blocks: questions to it are answered when this clears.
    pub server_blocks: bool,
    queue: BTreeMap<(Time, u64), Queued>,
    serial: u64,
    wake_at: Time,
    poll: Duration,
    next_poll: Time,
    reads: BTreeSet<Time>,
    wish_or_recheck: bool,
    pub reasons: Vec<Reason>,
    pub actions: Vec<(Time, Action)>,
    pub trace: Vec<Line>,
    pub last: Option<Decision>,
    /// All that it has asked to be woken for.
    pub timers: BTreeSet<Timer>,
    /// What it was told and ordered, for the invariants, and the first one that it broke.
    book: Book,
    last_step: Time,
    pub breach: Option<Breach>,
}

enum Queued {
    Ready(Event),
    AskedHost(Time),
    AskedServer(Time),
    AskedGateway(Time),
}

impl ModelHost {
    pub fn new(answers: Answers, vip_here: bool) -> Self {
        let now = Time(1_000_000_000);
        let (group, vip) = (group_policy(), limits());
        let poll = group.poll_interval;
        let mut model = Self {
            state: State::new(&policy(), now),
            group,
            vip,
            now,
            first: answers,
            second: None,
            vip_here,
            answering: None,
            peers: BTreeMap::new(),
            answer_after: ms(1),
            server_blocks: false,
            queue: BTreeMap::new(),
            serial: 0,
            wake_at: now,
            poll,
            next_poll: now,
            reads: BTreeSet::new(),
            wish_or_recheck: false,
            reasons: Vec::new(),
            actions: Vec::new(),
            trace: Vec::new(),
            last: None,
            timers: BTreeSet::new(),
            book: Book::new(now),
            last_step: now,
            breach: None,
        };
        for number in 2..=3 {
            model.tell(Event::Neighbor { address: member(number), mac: mac(number) });
        }
        model
    }

    pub fn policy(&self) -> Policy {
        Policy::new(self.group.clone(), self.vip.clone())
    }

    pub fn machine(&self) -> &VipMachine {
        &self.state.vips[&VipId::FIRST]
    }

    /// Records from here on.
    pub fn start_trace(&mut self, note: &str) {
        self.trace = vec![Line::Start {
            format: decide::trace::FORMAT,
            now: self.now,
            note: note.to_owned(),
            policy: Box::new(self.policy()),
            state: Box::new(self.state.clone()),
        }];
    }

    fn answers(&self) -> &Answers {
        match &self.second {
            Some(second) if self.wish_or_recheck => second,
            _ => &self.first,
        }
    }

    pub fn host_event(&self, asked_at: Time) -> Event {
        let answers = self.answers();
        let fact = if answers.host_known {
            Fact::Known(host(answers.interface, self.vip_here))
        } else {
            Fact::Unknown(Why::Other("netlink: no buffer space".to_owned()))
        };
        Event::Host(Seen { asked_at, fact })
    }

    fn later(&mut self, after: Duration, queued: Queued) {
        self.serial += 1;
        self.queue.insert((self.now + after, self.serial), queued);
    }

    /// Tells the rules something now.
    pub fn tell(&mut self, event: Event) -> Decision {
        let (before, policy) = (self.state.clone(), self.policy());
        let (decision, timers) = step_and_timers(&policy, &mut self.state, &event, self.now);
        self.timers.extend(Timer::EACH.iter().filter(|timer| timers.get(**timer).is_some()));
        let mut again = before;
        assert_eq!(step(&policy, &mut again, &event, self.now), decision, "step is not pure");
        self.book.went_on_after(self.now.since(self.last_step), self.now);
        self.last_step = self.now;
        let settled = decision.each_reason().find_map(|reason| match reason {
            Reason::DisputeWon(member) => Some(*member),
            _ => None,
        });
        let orders = Orders { actions: &decision.actions, wake_at: decision.wake_at, settled };
        let verdict = self.book.step(
            &Limits::of(&policy, VipId::FIRST),
            &event,
            &orders,
            &Sight::as_told(ms(1_600)),
            self.now,
        );
        self.breach = self.breach.take().or(verdict.breach);
        for reason in decision.each_reason() {
            self.wish_or_recheck |= matches!(
                reason,
                Reason::Rechecking(..)
                    | Reason::Claiming
                    | Reason::Taken(..)
                    | Reason::SecondCheck
                    | Reason::Rival(_)
            );
            if self.reasons.last() != Some(reason) {
                self.reasons.push(reason.clone());
            }
        }
        self.wake_at = decision.wake_at;
        if !self.trace.is_empty() {
            self.trace.push(Line::Step {
                now: self.now,
                event: Box::new(event),
                decision: Box::new(decision.clone()),
            });
        }
        for action in decision.actions.clone() {
            self.actions.push((self.now, action.clone()));
            self.carry_out(&action);
        }
        self.last = Some(decision.clone());
        decision
    }

    fn carry_out(&mut self, action: &Action) {
        let (now, after) = (self.now, self.answer_after);
        match action {
            Action::AskServer => self.later(after, Queued::AskedServer(now)),
            Action::AskGateway => self.later(after, Queued::AskedGateway(now)),
            Action::AskHost => self.later(after, Queued::AskedHost(now)),
            Action::AskPeer(address) => {
                let seen = match self.peers.get(address) {
                    Some(fact) => (after * 10, Seen { asked_at: now, fact: fact.clone() }),
                    None => (ms(400), Seen { asked_at: now, fact: Fact::Unknown(Why::TimedOut(ms(400))) }),
                };
                self.later(seen.0, Queued::Ready(Event::Peer { member: *address, seen: seen.1 }));
            }
            Action::Vip(_, VipAction::SendProbe) => {
                if let Some(number) = self.answering {
                    let frame = Frame { from: mac(number), says: Says::Reply };
                    self.later(ms(1), Queued::Ready(Event::Frame(VipId::FIRST, frame)));
                }
            }
            Action::Vip(_, VipAction::RenewAddress { .. }) if self.vip_here => {}
            Action::Vip(_, VipAction::RenewAddress { .. }) => {
                let done = Event::Done { action: action.clone(), outcome: Outcome::Gone };
                self.later(ms(0), Queued::Ready(done));
            }
            Action::Vip(_, VipAction::AddAddress { .. } | VipAction::RemoveAddress { .. }) => {
                self.vip_here = matches!(action, Action::Vip(_, VipAction::AddAddress { .. }));
                self.later(ms(1), Queued::AskedHost(now));
            }
            Action::PollEvery(every) => {
                self.poll = *every;
                self.next_poll = self.next_poll.min(now + *every);
            }
            _ => {}
        }
    }

    /// Lets the clock run for this long.
    pub fn run(&mut self, length: Duration) {
        let end = self.now + length;
        loop {
            let queued = self.queue.keys().next().map_or(end, |(at, _)| *at);
            let next = queued.min(self.wake_at).min(self.next_poll);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if self.next_poll <= self.now {
                self.next_poll = self.now + self.poll;
                let now = self.now;
                self.later(self.answer_after, Queued::AskedServer(now));
                self.later(self.answer_after, Queued::AskedGateway(now));
            } else if queued <= self.now {
                let (_, queued) = self.queue.pop_first().unwrap();
                if let Some(event) = self.event_of(queued) {
                    self.tell(event);
                }
            } else {
                self.tell(Event::Wake);
            }
        }
    }

    fn event_of(&mut self, queued: Queued) -> Option<Event> {
        Some(match queued {
            Queued::Ready(event) => event,
            Queued::AskedHost(at) => self.host_event(at),
            Queued::AskedServer(asked_at) if self.server_blocks => {
                // One kept connection: what is asked in the meantime waits behind the first.
                self.reads.insert(asked_at);
                if self.reads.len() == 1 {
                    self.later(ms(1), Queued::AskedServer(asked_at));
                }
                return None;
            }
            Queued::AskedServer(asked_at) => {
                self.reads.clear();
                Event::Server(Seen { asked_at, fact: self.answers().server.clone() })
            }
            Queued::AskedGateway(asked_at) => {
                let seen = Seen { asked_at, fact: self.answers().gateway.clone() };
                match self.vip.gateway {
                    VipGateway::Own(own) => Event::OwnGateway(own, seen),
                    VipGateway::TheClusters | VipGateway::Nobody => Event::Gateway(seen),
                }
            }
        })
    }

    /// Member `number` sends this frame, and it arrives now.
    pub fn frame(&mut self, number: u8, says: Says) -> Decision {
        self.tell(Event::Frame(VipId::FIRST, Frame { from: mac(number), says }))
    }

    /// Runs until a holder that is well and quiet has settled.
    pub fn settled_holder() -> Self {
        let mut model = Self::new(Answers::all_pass(), true);
        model.tell(Event::Process(ProcessSign::Watched));
        model.run(Duration::from_secs(10));
        assert!(model.vip_here);
        model
    }

    pub fn count(&self, wanted: impl Fn(&Action) -> bool) -> usize {
        self.actions.iter().filter(|(_, action)| wanted(action)).count()
    }

    pub fn said(&self, wanted: impl Fn(&Reason) -> bool) -> bool {
        self.reasons.iter().any(wanted)
    }

    /// Stage 5's return value over all steps: 0 or 2 when a switch was decided, else 1.
    pub fn stage_5(&self) -> u8 {
        self.reasons.iter().map(Reason::stage_5).find(|value| *value != 1).unwrap_or(1)
    }
}
