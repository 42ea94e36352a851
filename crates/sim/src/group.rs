//! A model of Group Replication: who leads in truth, and what each server says, lies included.

use std::time::Duration;

use decide::input::{Fact, GroupView, Member, MemberState, NotInGroup, Role, Server, ViewId, Why};
use decide::time::Time;

/// A member, by its place among the hosts.
pub type Place = usize;

/// Hosts, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places(pub u8);

impl Places {
    /// The first `count`, 8 at the most.
    pub fn first(count: usize) -> Self {
        (0..count).collect()
    }

    /// Whether it is one of them.
    pub fn has(self, place: Place) -> bool {
        self.0 & 1 << place != 0
    }

    /// One more.
    pub fn add(&mut self, place: Place) {
        self.0 |= 1 << place;
    }

    /// One less.
    pub fn remove(&mut self, place: Place) {
        self.0 &= !(1 << place);
    }

    /// These without those.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn both(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// How many.
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// In order.
    pub fn each(self) -> impl Iterator<Item = Place> {
        (0..8).filter(move |place| self.has(*place))
    }
}

impl FromIterator<Place> for Places {
    fn from_iter<T: IntoIterator<Item = Place>>(places: T) -> Self {
        let mut set = Self::default();
        places.into_iter().for_each(|place| set.add(place));
        set
    }
}

/// How a server treats a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// It answers.
    Answers,
    /// The process is gone: connections are refused.
    Refuses,
    /// It takes the question and does not answer.
    Blocks,
    /// It answers, and Group Replication is stopped.
    LeftGroup,
}

/// A server that lives and turns the question away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnsAway {
    /// Error 1045.
    WrongPassword,
    /// Error 1040.
    TooManyConnections,
}

impl TurnsAway {
    /// As the agent sees it.
    pub fn fact(self) -> Fact<Server> {
        Fact::Unknown(match self {
            Self::WrongPassword => Why::WrongPassword("1045".to_owned()),
            Self::TooManyConnections => Why::TooManyConnections("1040".to_owned()),
        })
    }
}

/// A view of the group, as the members of it agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Counts the group's births.
    pub birth: u32,
    /// Counts the changes of membership since.
    pub counter: u64,
    /// Its members.
    pub members: Places,
    /// The elected primary.
    pub primary: Place,
}

impl core::fmt::Display for View {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let members: Vec<_> = self.members.each().map(name).collect();
        write!(
            f,
            "view {}:{} of {}, led by db{}",
            self.birth,
            self.counter,
            members.join(" "),
            self.primary + 1
        )
    }
}

/// One server.
#[derive(Clone, Debug)]
pub struct ModelServer {
    /// How it treats a question.
    pub process: Process,
    /// It turns questions away, though it lives.
    pub turns_away: Option<TurnsAway>,
    /// It is shutting down: it takes no part any more, and shows for a while what it showed last.
    pub lies: bool,
    /// It takes new clients.
    pub listens: bool,
    /// The view that it has; none while it is in no group.
    pub view: Option<View>,
    /// Whom it can't reach.
    pub unreachable: Places,
    /// Its own state in that view.
    pub state: MemberState,
    /// `super_read_only`.
    pub read_only: bool,
    /// Counts its starts: what was planned for an earlier process is dropped.
    pub life: u32,
    /// Its answer, made of all that.
    said: Fact<Server>,
}

impl ModelServer {
    /// A member of this view.
    pub fn new(place: Place, view: View) -> Self {
        let mut server = Self {
            process: Process::Answers,
            turns_away: None,
            lies: false,
            listens: true,
            view: Some(view),
            unreachable: Places::default(),
            state: MemberState::Online,
            read_only: place != view.primary,
            life: 0,
            said: Fact::Known(Server::NotInGroup(NotInGroup::NotRunning)),
        };
        server.refresh(place);
        server
    }

    /// Makes its answer anew after a change. Gives whether it differs.
    pub fn refresh(&mut self, place: Place) -> bool {
        let said = match self.process {
            Process::Refuses => Fact::Known(Server::Refused("connection refused".to_owned())),
            Process::Answers | Process::Blocks => match (self.turns_away, &self.view) {
                (Some(why), _) => why.fact(),
                (None, Some(view)) => Fact::Known(Server::Member(self.shows(place, *view))),
                (None, None) => Fact::Known(Server::NotInGroup(NotInGroup::NotRunning)),
            },
            Process::LeftGroup => Fact::Known(Server::Member(self.shows_itself_alone(place))),
        };
        let differs = said != self.said;
        self.said = said;
        differs
    }

    /// Its answer to a question; none where it gives none.
    pub fn answer(&self) -> Option<&Fact<Server>> {
        (self.process != Process::Blocks).then_some(&self.said)
    }

    /// Whether it says that it is the writable primary.
    pub fn says_it_leads(&self) -> bool {
        matches!(self.answer(), Some(Fact::Known(Server::Member(view))) if view.is_writable_primary())
    }

    /// Whether it says that it is ONLINE with a majority and takes writes, whatever its role.
    pub fn says_it_takes_writes(&self) -> bool {
        let Some(Fact::Known(Server::Member(view))) = self.answer() else { return false };
        let online = view.local_member().is_some_and(|local| local.state == MemberState::Online);
        online && view.has_majority() && !view.super_read_only
    }

    /// Takes part in the group's talk.
    pub fn takes_part(&self) -> bool {
        self.process == Process::Answers && !self.lies && self.view.is_some()
    }

    /// It listens, takes writes, and is in no group: what is written there is lost.
    pub fn takes_stray_writes(&self) -> bool {
        self.process == Process::Answers && self.view.is_none() && !self.read_only
    }

    /// After `STOP GROUP_REPLICATION`: OFFLINE, and read-only.
    fn shows_itself_alone(&self, place: Place) -> GroupView {
        let (state, role) = (MemberState::Offline, Role::Secondary);
        let own = Member { id: id(place), host: name(place), port: 3306, state, role };
        GroupView { local: id(place), super_read_only: self.read_only, view: None, members: vec![own] }
    }

    fn shows(&self, place: Place, view: View) -> GroupView {
        let row = |member: Place| Member {
            id: id(member),
            host: name(member),
            port: 3306,
            state: if member == place {
                self.state
            } else if self.unreachable.has(member) {
                MemberState::Unreachable
            } else {
                MemberState::Online
            },
            role: if member == view.primary { Role::Primary } else { Role::Secondary },
        };
        GroupView {
            local: id(place),
            super_read_only: self.read_only,
            view: Some(ViewId::new(view.birth.to_string(), view.counter)),
            members: view.members.each().map(row).collect(),
        }
    }
}

/// The group as it is in truth.
#[derive(Clone, Debug)]
pub struct Group {
    /// The newest view.
    pub view: View,
    /// The primary that takes writes, and since when.
    pub writable: Option<(Place, Time)>,
    /// A switchover is under way whose target has yet to apply what it had queued, for so long: the former primary takes writes.
    pub yielding: Option<(Place, Duration)>,
    /// Counts the elections: what was planned for an earlier one is dropped.
    pub term: u32,
    /// An election is under way.
    pub(crate) electing: bool,
    /// It is being born anew: nobody else does that meanwhile.
    pub(crate) bearing: bool,
}

impl Group {
    /// Whether this is the former primary, which takes writes until the new one does.
    pub fn yields(&self, place: Place) -> bool {
        self.yielding.is_some_and(|(yielding, _)| yielding == place)
    }

    /// All hosts in it, the first leads.
    pub fn whole(hosts: usize, now: Time) -> Self {
        let view = View { birth: 17635, counter: 545, members: Places::first(hosts), primary: 0 };
        Self { view, writable: Some((0, now)), yielding: None, term: 0, electing: false, bearing: false }
    }
}

/// `server_uuid`.
pub fn id(place: Place) -> String {
    const IDS: [&str; 8] = ["uuid-1", "uuid-2", "uuid-3", "uuid-4", "uuid-5", "uuid-6", "uuid-7", "uuid-8"];
    IDS.get(place).copied().unwrap_or("uuid-9").to_owned()
}

/// `MEMBER_HOST`, and how a timeline names the host.
pub fn name(place: Place) -> String {
    const NAMES: [&str; 8] = ["db1", "db2", "db3", "db4", "db5", "db6", "db7", "db8"];
    NAMES.get(place).copied().unwrap_or("db9").to_owned()
}
