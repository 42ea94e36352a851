//! One agent, told by hand, that orders what the test says.
#![allow(dead_code, unreachable_pub, clippy::expect_used)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use decide::input::{
    Event, Fact, Frame, Gateway, GroupView, Host, HostAddress, Member, MemberState, Role, Says, Seen, Server,
    ViewId, Why,
};
use decide::net::{Mac, VipId};
use decide::output::{Action, VipAction};
use decide::policy::{GroupPolicy, VipPolicy};
use decide::time::Time;
use oracle::{Book, Excuse, Invariant, Limits, Orders, Sight, Verdict};

pub const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100));
pub const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn member(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 10 + number))
}

pub fn uuid(number: u8) -> String {
    format!("uuid-{number}")
}

/// As member `local` shows it; `unreachable` are so by its word.
pub fn view(local: u8, primary: u8, counter: u64, unreachable: &[u8]) -> GroupView {
    let row = |number: u8| Member {
        id: uuid(number),
        host: format!("db{number}"),
        port: 3306,
        state: if unreachable.contains(&number) { MemberState::Unreachable } else { MemberState::Online },
        role: if number == primary { Role::Primary } else { Role::Secondary },
    };
    GroupView {
        local: uuid(local),
        super_read_only: local != primary,
        view: Some(ViewId::new("17635", counter)),
        members: (1..=3).map(row).collect(),
    }
}

pub fn leads() -> Fact<Server> {
    Fact::Known(Server::Member(view(1, 1, 545, &[])))
}

pub fn follows() -> Fact<Server> {
    Fact::Known(Server::Member(view(1, 2, 545, &[])))
}

pub fn silent() -> Fact<Server> {
    Fact::Unknown(Why::TimedOut(ms(1_000)))
}

pub fn add(lifetime: Option<Duration>) -> Action {
    Action::Vip(VipId::FIRST, VipAction::AddAddress { interface: "eth0".to_owned(), lifetime })
}

pub fn renew(lifetime: Option<Duration>) -> Action {
    Action::Vip(VipId::FIRST, VipAction::RenewAddress { interface: "eth0".to_owned(), lifetime })
}

pub fn remove() -> Action {
    Action::Vip(VipId::FIRST, VipAction::RemoveAddress { interface: "eth0".to_owned() })
}

/// Member 1's agent.
pub struct Agent {
    pub group: GroupPolicy,
    pub vip: VipPolicy,
    pub now: Time,
    pub book: Book,
    pub sight: Sight,
}

impl Agent {
    pub fn new() -> Self {
        let members = (1..=3).map(|number| (member(number), "eth0".to_owned())).collect();
        let now = Time(1_000_000_000);
        let (group, vip) = (GroupPolicy::new(members), VipPolicy::new(VIP));
        let mut agent = Self { group, vip, now, book: Book::new(now), sight: Sight::as_told(ms(100)) };
        agent.addresses(false);
        agent
    }

    /// All stages pass, and it has wanted the VIP for a moment.
    pub fn that_wants_it() -> Self {
        let mut agent = Self::new();
        agent.gateway(true);
        agent.server(leads());
        agent.wait(1);
        agent
    }

    /// It has had the VIP for long, and all is well.
    pub fn that_holds_it() -> Self {
        let mut agent = Self::new();
        agent.gateway(true);
        agent.server(leads());
        agent.addresses(true);
        agent.wait(5_000);
        agent.gateway(true);
        agent.server(leads());
        agent
    }

    pub fn wait(&mut self, length: u64) {
        self.now = self.now + ms(length);
    }

    /// It is told, and orders nothing.
    pub fn hears(&mut self, event: &Event) {
        let verdict = self.does(event, &[]);
        assert_eq!(verdict.breach, None);
    }

    pub fn server(&mut self, fact: Fact<Server>) {
        self.hears(&self.answer(fact));
    }

    pub fn answer(&self, fact: Fact<Server>) -> Event {
        Event::Server(Seen { asked_at: self.now, fact })
    }

    pub fn gateway(&mut self, answers: bool) {
        let gateway = if answers { Gateway::Reachable } else { Gateway::Lost { misses: 3 } };
        self.hears(&Event::Gateway(Seen { asked_at: self.now, fact: Fact::Known(gateway) }));
    }

    pub fn addresses(&mut self, vip: bool) {
        let on = |address, prefix| HostAddress { address, prefix, interface: "eth0".to_owned() };
        let mut addresses = vec![on(member(1), 24)];
        addresses.extend(vip.then(|| on(VIP, 32)));
        let fact = Fact::Known(Host { addresses, interfaces: Vec::new() });
        self.hears(&Event::Host(Seen { asked_at: self.now, fact }));
    }

    pub fn frame(&mut self, says: Says) {
        self.hears(&Event::Frame(VipId::FIRST, Frame { from: OTHER, says }));
    }

    /// So many probes, 20 ms apart, and time for the last one's answer.
    pub fn probes(&mut self, count: u32) {
        for _ in 0..count {
            let verdict = self.orders(&[Action::Vip(VipId::FIRST, VipAction::SendProbe)]);
            assert_eq!(verdict.breach, None);
            self.wait(20);
        }
    }

    /// Stages 3 and 4 once more.
    pub fn second_check(&mut self) {
        self.gateway(true);
        self.server(leads());
    }

    pub fn orders(&mut self, actions: &[Action]) -> Verdict {
        self.does(&Event::Wake, actions)
    }

    pub fn does(&mut self, event: &Event, actions: &[Action]) -> Verdict {
        self.step(event, &Orders { actions, wake_at: self.now + ms(1), settled: None })
    }

    pub fn step(&mut self, event: &Event, orders: &Orders<'_>) -> Verdict {
        let limits = Limits { id: VipId::FIRST, group: &self.group, vip: &self.vip };
        self.book.step(&limits, event, orders, &self.sight, self.now)
    }

    pub fn book_in_form(&mut self) {
        let limits = Limits { id: VipId::FIRST, group: &self.group, vip: &self.vip };
        self.book.bring_to_form(&limits, self.sight.slack, self.now);
    }

    pub fn takes_it(&mut self) -> Verdict {
        self.orders(&[add(self.vip.lease)])
    }

    pub fn renews(&mut self) -> Verdict {
        self.orders(&[renew(self.vip.lease)])
    }
}

pub fn broken(verdict: &Verdict) -> Option<Invariant> {
    verdict.breach.as_ref().map(|breach| breach.invariant)
}

/// Nothing is broken, and nothing had to be excused.
#[track_caller]
pub fn fine(verdict: &Verdict) {
    assert_eq!((broken(verdict), verdict.excuse), (None, None), "{verdict:?}");
}

#[track_caller]
pub fn breaks(verdict: &Verdict, invariant: Invariant) {
    assert_eq!(broken(verdict), Some(invariant), "{verdict:?}");
}

#[track_caller]
pub fn excused(verdict: &Verdict, excuse: Excuse) {
    assert_eq!((broken(verdict), verdict.excuse), (None, Some(excuse)), "{verdict:?}");
}
