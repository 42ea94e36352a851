//! Servers that leave the group, end, start, join, and bear it anew.

use std::time::Duration;

use decide::input::{Event, MemberState, ProcessSign};

use super::host::OPERATORS_TIMEOUT;
use super::{Change, Due, World};
use crate::group::{Place, Places, Process, View};

impl World {
    /// A server's answer may be another from now on.
    pub(super) fn server_changed(&mut self, place: Place) {
        if self.hosts[place].server.refresh(place) {
            self.unpark(place);
        }
    }

    /// The process ends.
    pub(super) fn server_ends(&mut self, place: Place) {
        let host = &mut self.hosts[place];
        if host.server.process == Process::Refuses {
            return;
        }
        host.server.process = Process::Refuses;
        host.server.view = None;
        host.server.lies = false;
        host.server.listens = false;
        host.server.unreachable = Places::default();
        host.server.life += 1;
        host.expel_timeout = OPERATORS_TIMEOUT;
        host.expel_changed_since = None;
        self.server_changed(place);
        self.answer_the_waiting(place);
        self.tell_of_process(place, ProcessSign::Ended);
        self.reassess();
    }

    /// The process is started: it listens a little later, and its agent, where it waits for it, sees it before.
    pub(super) fn server_starts(&mut self, place: Place) {
        let server = &self.hosts[place].server;
        if !self.hosts[place].powered || server.process != Process::Refuses {
            return;
        }
        let life = server.life;
        let seen = self.between_ms(0, 60);
        self.change_in(seen, Change::ServerSeenToStart(place, life));
        let listens = self.between_ms(500, 1_000);
        self.change_in(listens, Change::ServerListens(place, life));
    }

    /// Where it does not join by itself at its start (`group_replication_start_on_boot`), it takes writes until it is told to join.
    pub(super) fn server_listens(&mut self, place: Place, life: u32) {
        let joins_by_itself = self.chance(0.5);
        let server = &mut self.hosts[place].server;
        if server.process != Process::Refuses || server.life != life {
            return;
        }
        server.process = Process::Answers;
        server.listens = true;
        server.read_only = joins_by_itself;
        server.state = MemberState::Offline;
        self.server_changed(place);
        self.tell_of_process(place, ProcessSign::Watched);
        self.joins_in(place, 300, 2_000);
        self.reassess();
    }

    /// Tells the agent on this host of its server's process, where it can see it.
    pub(super) fn tell_of_process(&mut self, place: Place, sign: ProcessSign) {
        if !self.hosts[place].process_is_hidden {
            let life = self.hosts[place].life;
            self.tell_agent(place, life, Event::Process(sign));
        }
    }

    /// `SHUTDOWN`: it goes on answering for 2 to 3 s as if nothing had happened, while the group goes on without it. New clients are refused
    /// all the while.
    pub(crate) fn server_shuts_down(&mut self, place: Place) {
        if !self.hosts[place].is_awake() {
            return;
        }
        let server = &mut self.hosts[place].server;
        if !server.takes_part() {
            return self.server_ends(place);
        }
        server.lies = true;
        let life = server.life;
        self.closes_its_sockets(place, life);
        let gone = self.now + self.between_ms(400, 1_000);
        self.push(gone, Due::Leave { place, life });
        let ends = self.between_ms(2_000, 3_000);
        self.change_in(ends, Change::ServerEnds(place, life));
        self.reassess();
    }

    /// `STOP GROUP_REPLICATION`: its answers block for 3 s.
    pub(crate) fn server_stops_replication(&mut self, place: Place) {
        let awake = self.hosts[place].is_awake();
        let server = &mut self.hosts[place].server;
        if !awake || !server.takes_part() {
            return;
        }
        server.process = Process::Blocks;
        server.lies = true;
        let life = server.life;
        let gone = self.now + self.between_ms(300, 700);
        self.push(gone, Due::Leave { place, life });
        self.change_in(Duration::from_secs(3), Change::ServerHasLeft(place, life));
        self.reassess();
    }

    pub(super) fn server_has_left(&mut self, place: Place, life: u32) {
        let server = &mut self.hosts[place].server;
        if server.life != life || server.process != Process::Blocks {
            return;
        }
        server.process = Process::LeftGroup;
        server.lies = false;
        server.view = None;
        server.read_only = true;
        server.unreachable = Places::default();
        self.server_changed(place);
        self.answer_the_waiting(place);
        self.reassess();
    }

    /// A member that takes its leave is gone from the group at once.
    pub(super) fn leaves(&mut self, place: Place, life: u32) {
        if self.hosts[place].server.life != life || !self.group.view.members.has(place) {
            return;
        }
        let members = self.group.view.members;
        let mut rest = members;
        rest.remove(place);
        let agrees = |other: &Place| {
            self.is_current(*other) && 2 * (self.company(*other).count() + 1) > members.count()
        };
        let speaker = rest.each().find(agrees);
        if let Some(other) = speaker {
            let company = self.company(other);
            self.agree(rest, company);
        }
    }

    pub(super) fn joins_in(&mut self, place: Place, from_ms: u64, to_ms: u64) {
        let life = self.hosts[place].server.life;
        let at = self.now + self.between_ms(from_ms, to_ms);
        self.push(at, Due::Join { place, life });
    }

    pub(super) fn notices_expelled(&mut self, place: Place) {
        let server = &self.hosts[place].server;
        let talks =
            self.group.view.members.each().any(|other| self.is_current(other) && self.can_talk(place, other));
        let behind =
            server.view.is_some_and(|view| view != self.group.view) && !self.group.view.members.has(place);
        if !self.hosts[place].is_awake()
            || !server.takes_part()
            || server.state == MemberState::Error
            || !behind
            || !talks
        {
            return;
        }
        self.tell(|| format!("db{}'s server learns that it is expelled", place + 1));
        let server = &mut self.hosts[place].server;
        server.state = MemberState::Error;
        server.read_only = true;
        self.server_changed(place);
        self.joins_in(place, 1_000, 6_000);
        self.reassess();
    }

    /// Joins the group; waits where there is none to join; bears it anew where nobody has it any more.
    pub(super) fn joins(&mut self, place: Place, life: u32) {
        let server = &mut self.hosts[place].server;
        let outside = server.view.is_none() || server.state == MemberState::Error;
        if server.life != life || !outside || !matches!(server.process, Process::Answers | Process::LeftGroup)
        {
            return;
        }
        if !self.hosts[place].is_awake() {
            return self.joins_in(place, 1_000, 2_000);
        }
        let newest = self.group.view;
        let reaches =
            |other: &Place| *other != place && self.is_current(*other) && self.group_link(place, *other);
        let speaker = newest.members.each().find(|other| reaches(other) && self.has_majority(*other));
        if let Some(other) = speaker {
            let mut company = self.company(other);
            let mut members = newest.members;
            members.add(place);
            let server = &mut self.hosts[place].server;
            server.process = Process::Answers;
            server.view = Some(newest);
            server.unreachable = Places::default();
            server.state = MemberState::Recovering;
            server.read_only = true;
            company.add(place);
            self.hosts[place].all_reachable_since = self.now;
            self.agree(members, company);
            let at = self.now + self.between_ms(300, 2_000);
            return self.push(at, Due::Recovered { place, life });
        }
        let nobody_has_it = self
            .hosts
            .iter()
            .all(|host| host.server.view.is_none() || host.server.state == MemberState::Error);
        if nobody_has_it && !self.group.bearing {
            self.group.bearing = true;
            let at = self.now + self.between_ms(100, 1_000);
            self.push(at, Due::Born { place, life });
        } else {
            self.joins_in(place, 500, 1_500);
        }
    }

    pub(super) fn recovered(&mut self, place: Place, life: u32) {
        let server = &mut self.hosts[place].server;
        if server.life == life && server.state == MemberState::Recovering {
            server.state = MemberState::Online;
            self.server_changed(place);
            self.reassess();
        }
    }

    /// The operator bootstraps the group on this server: nobody has it any more.
    pub(super) fn born(&mut self, place: Place, life: u32) {
        self.group.bearing = false;
        let server = &mut self.hosts[place].server;
        if server.life != life || !matches!(server.process, Process::Answers | Process::LeftGroup) {
            return;
        }
        if !self.hosts[place].is_awake() {
            return self.joins_in(place, 500, 1_500);
        }
        let members = [place].into_iter().collect();
        let view = View { birth: self.group.view.birth + 1, counter: 1, members, primary: place };
        self.group.view = view;
        self.group.writable = None;
        self.group.yielding = None;
        self.tell(|| format!("the group is born anew: {view}"));
        let server = &mut self.hosts[place].server;
        server.process = Process::Answers;
        server.view = Some(view);
        server.unreachable = Places::default();
        server.state = MemberState::Online;
        server.read_only = true;
        self.hosts[place].all_reachable_since = self.now;
        self.group.electing = false;
        self.takes_writes_soon(place, 21, 60);
        self.server_changed(place);
        self.reassess();
    }
}
