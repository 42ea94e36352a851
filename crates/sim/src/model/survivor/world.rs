//! One state of it: the members and the group in truth, and what the agent reads when it asks.

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
use decide::time::Time;
use oracle::Invariant;

/// One tick.
pub(super) const TICK: Duration = Duration::from_millis(500);
/// After so many ticks of silence a member is UNREACHABLE (scaled: nothing happens meanwhile).
pub(super) const UNREACHABLE_AFTER: u8 = 2;
/// A host counts as silent after so many ticks and no sooner: a cable's blip is waited for.
pub(super) const SILENT_AFTER: u8 = 7;
/// Members, by number; the agent's own is the second.
const OWN: u8 = 2;
pub(super) const OTHERS: [u8; 2] = [1, 3];

/// What became of another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
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

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Survivor {
    pub(super) tick: u8,
    pub(super) agent: Option<Arc<State>>,
    pub(super) wake_at: Time,
    pub(super) others: [Fate; 2],
    pub(super) counter: u64,
    pub(super) hangs: bool,
    /// This host hears nobody on the segment: no host's answer, and no port's.
    pub(super) deaf: bool,
    /// The server's own setting.
    pub(super) timeout: u32,
    /// What the agent's file says is to be put back.
    pub(super) file: Option<u32>,
    /// For so many ticks a running agent has owed the patience.
    pub(super) owed: u8,
    /// For so many ticks it has kept it.
    pub(super) kept: u8,
    pub(super) faults: u8,
    /// The invariant that was broken on the way here.
    pub broken: Option<Invariant>,
}

pub(super) fn address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 10 + number))
}

pub(super) fn neighbor(number: u8) -> Event {
    Event::Neighbor { address: address(number), mac: Mac([2, 0, 0, 0, 0, number]) }
}

fn id(number: u8) -> String {
    format!("uuid-{number}")
}

impl Survivor {
    pub(super) fn now(&self) -> Time {
        Time(1_000_000_000) + TICK * u32::from(self.tick)
    }

    pub(super) fn fate(&self, number: u8) -> Fate {
        self.others[usize::from(number / 2)]
    }

    pub(super) fn fate_of(&mut self, number: u8) -> &mut Fate {
        &mut self.others[usize::from(number / 2)]
    }

    pub(super) fn is_unreachable(&self, number: u8) -> bool {
        matches!(self.fate(number), Fate::Dead(since) | Fate::CutOff(since) | Fate::CutInGroup(since) if since >= UNREACHABLE_AFTER)
    }

    /// There is somebody to expel, and all of them are dead in truth; or cut off from everybody, where silent hosts are to go.
    pub(super) fn only_the_dead(&self, silent_too: bool) -> bool {
        let mut suspects = OTHERS.into_iter().filter(|number| self.is_unreachable(*number)).peekable();
        suspects.peek().is_some()
            && suspects.all(|number| match self.fate(number) {
                Fate::Dead(_) => true,
                Fate::CutOff(since) => silent_too && since >= SILENT_AFTER,
                Fate::CutInGroup(_) | Fate::Well | Fate::Expelled => false,
            })
    }

    pub(super) fn view(&self) -> GroupView {
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
    pub(super) fn server(&self) -> Fact<Server> {
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
    pub(super) fn carry_out(&mut self, action: &Action, at: Time, silent_too: bool) -> Vec<Event> {
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
