//! A model of Group Replication: who leads in truth, and what each server says, lies included.

use std::time::Duration;

use decide::event::{Fact, GroupView, Member, MemberState, NotInGroup, Role, Server, ViewId, Why};
use decide::time::Time;

/// A member, by its place among the hosts.
pub type Place = usize;

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

/// One server.
#[derive(Clone, Debug)]
pub struct ModelServer {
    /// How it treats a question.
    pub process: Process,
    /// What it says of the group, true or not.
    pub shows: GroupView,
}

impl ModelServer {
    /// Its answer to a question; none where it gives none.
    pub fn answer(&self) -> Option<Fact<Server>> {
        match self.process {
            Process::Answers => Some(Fact::Known(Server::Member(self.shows.clone()))),
            Process::Refuses => Some(Fact::Known(Server::Refused("connection refused".to_owned()))),
            Process::LeftGroup => Some(Fact::Known(Server::NotInGroup(NotInGroup::NotRunning))),
            Process::Blocks => None,
        }
    }
}

/// What is asked of a server that blocks.
pub fn no_answer(limit: Duration) -> Fact<Server> {
    Fact::Unknown(Why::TimedOut(limit))
}

/// The group as it is in truth.
#[derive(Clone, Debug)]
pub struct Group {
    /// The newest view's counter.
    pub counter: u64,
    /// Members of the newest view.
    pub members: Vec<Place>,
    /// The elected primary.
    pub primary: Place,
    /// The primary that takes writes, and since when.
    pub writable: Option<(Place, Time)>,
}

impl Group {
    /// All hosts in it, the first leads.
    pub fn whole(hosts: usize, now: Time) -> Self {
        Self { counter: 545, members: (0..hosts).collect(), primary: 0, writable: Some((0, now)) }
    }

    /// The group as `local` shows it when it tells the truth and can't reach `unreachable`.
    pub fn seen_by(&self, local: Place, super_read_only: bool, unreachable: &[Place]) -> GroupView {
        let row = |place: &Place| Member {
            id: id(*place),
            host: format!("db{}", place + 1),
            port: 3306,
            state: if unreachable.contains(place) { MemberState::Unreachable } else { MemberState::Online },
            role: if *place == self.primary { Role::Primary } else { Role::Secondary },
        };
        GroupView {
            local: id(local),
            super_read_only,
            view: Some(ViewId::new("17635", self.counter)),
            members: self.members.iter().map(row).collect(),
        }
    }
}

fn id(place: Place) -> String {
    format!("uuid-{}", place + 1)
}
