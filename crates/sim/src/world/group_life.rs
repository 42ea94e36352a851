//! The group's own life: who hears whom, suspicion, expulsion, election, with the delays that were measured on real servers.

use std::time::Duration;

use decide::input::MemberState;
use decide::time::Time;

use super::{Due, World};
use crate::group::{Place, Places, Process, View};

impl World {
    /// Works out anew who hears whom in the group, and what follows from it.
    pub(super) fn group_listens(&mut self) {
        for observer in 0..self.hosts.len() {
            let listens = self.hosts[observer].is_awake() && self.hosts[observer].server.takes_part();
            let members = self.hosts[observer].server.view.map(|view| view.members).unwrap_or_default();
            for member in 0..self.hosts.len() {
                let silent = listens && members.has(member) && !self.can_talk(observer, member);
                match (silent, self.silent_since[observer][member]) {
                    (true, None) => {
                        self.silent_since[observer][member] = Some(self.now);
                        // 5 s of silence, checked once a second.
                        let at = self.now + self.between_ms(5_000, 6_000);
                        self.push(at, Due::Suspect { observer, member, since: self.now });
                    }
                    (false, Some(_)) => {
                        self.silent_since[observer][member] = None;
                        if self.hosts[observer].server.unreachable.has(member) {
                            self.hosts[observer].server.unreachable.remove(member);
                            self.hosts[observer].all_reachable_since = self.now;
                            self.server_changed(observer);
                        }
                    }
                    _ => {}
                }
            }
            if listens {
                self.catch_up(observer);
            }
        }
        if let Some((primary, _)) = self.group.writable
            && !self.hosts[primary].server.takes_part()
            && self.hosts[primary].server.process != Process::Blocks
        {
            self.group.writable = None;
        }
        if let Some((former, _)) = self.group.yielding
            && !self.hosts[former].server.takes_part()
            && self.hosts[former].server.process != Process::Blocks
        {
            self.group.yielding = None;
        }
        let primary = self.group.view.primary;
        let leads = !self.group.electing && self.group.writable.is_none() && self.is_current(primary);
        if leads && self.has_majority(primary) {
            self.takes_writes_soon(primary, 21, 60);
        }
    }

    /// A member that missed a view is shown it, or learns that it is expelled.
    fn catch_up(&mut self, place: Place) {
        if self.is_current(place) {
            return self.ends_its_writes(place);
        }
        let newest = self.group.view;
        let talks = newest
            .members
            .each()
            .any(|other| other != place && self.is_current(other) && self.can_talk(place, other));
        if !talks || self.hosts[place].server.state == MemberState::Error {
            return;
        }
        if newest.members.has(place) {
            let at = self.now + self.between_us(1, 20_000);
            self.push(at, Due::Show(place, newest));
        } else {
            let at = self.now + self.between_ms(100, 2_000);
            self.push(at, Due::NoticeExpelled(place));
        }
    }

    /// A former primary that takes writes, and whose successor has applied what it had queued, takes none any more.
    fn ends_its_writes(&mut self, place: Place) {
        let primary = self.group.view.primary;
        let over = place != primary && !self.group.yields(place) && self.can_talk(place, primary);
        if over && !self.hosts[place].server.read_only {
            self.tell(|| format!("db{} takes no writes any more", place + 1));
            self.hosts[place].server.read_only = true;
            self.server_changed(place);
        }
    }

    /// It takes part in the group, in the newest view.
    pub(super) fn is_current(&self, place: Place) -> bool {
        let host = &self.hosts[place];
        host.is_awake() && host.server.takes_part() && host.server.view == Some(self.group.view)
    }

    /// The members that it can agree on something with, itself too.
    pub(super) fn company(&self, place: Place) -> Places {
        self.group.view.members.each().filter(|other| self.can_talk(place, *other)).collect()
    }

    pub(super) fn has_majority(&self, place: Place) -> bool {
        2 * self.company(place).count() > self.group.view.members.count()
    }

    pub(super) fn suspect(&mut self, observer: Place, member: Place, since: Time) {
        if self.silent_since[observer][member] != Some(since) {
            return;
        }
        self.tell(|| format!("db{}'s server: db{} is UNREACHABLE", observer + 1, member + 1));
        self.hosts[observer].server.unreachable.add(member);
        self.server_changed(observer);
        // The expel timeout, and then the thread that looks each 15 s.
        let at = self.now + self.between_ms(5_000, 17_000);
        self.push(at, Due::Expel { observer, member, since });
        self.reassess();
    }

    pub(super) fn expel(&mut self, observer: Place, member: Place, since: Time) {
        if self.silent_since[observer][member] == Some(since) {
            let member: Places = [member].into_iter().collect();
            self.expel_these(observer, member);
        }
    }

    /// The thread that expels is woken, or its patience is taken from it.
    pub(super) fn expel_those_due(&mut self, observer: Place) {
        let patience = Duration::from_secs(u64::from(self.hosts[observer].expel_timeout) + 5);
        let unreachable = self.hosts[observer].server.unreachable;
        let over = |member: &Place| {
            self.silent_since[observer][*member].is_some_and(|since| self.now.since(since) >= patience)
        };
        let these: Places = unreachable.each().filter(over).collect();
        if these.count() > 0 {
            self.expel_these(observer, these);
        }
    }

    fn expel_these(&mut self, observer: Place, these: Places) {
        let company = self.company(observer);
        let these = these.both(self.hosts[observer].server.unreachable).without(company);
        if self.is_current(observer)
            && self.has_majority(observer)
            && these.both(self.group.view.members).count() > 0
        {
            let members = self.group.view.members.without(these);
            self.agree(members, company);
        }
    }

    /// The group agrees on a new view; where the primary is not in it, on a new primary of this company.
    pub(super) fn agree(&mut self, members: Places, company: Places) {
        let view = &mut self.group.view;
        view.counter += 1;
        view.members = members;
        let lost = !members.has(view.primary);
        if lost {
            let online = |place: &Place| self.hosts[*place].server.state == MemberState::Online;
            let able: Vec<Place> = company.both(members).each().filter(online).collect();
            if let Some(place) = self.rng.choice(&able) {
                self.group.view.primary = *place;
            }
            self.group.writable = None;
            self.group.yielding = None;
            self.group.electing = false;
            self.takes_writes_soon(self.group.view.primary, 21, 60);
        }
        self.group.yielding = self.group.yielding.filter(|(former, _)| members.has(*former));
        let view = self.group.view;
        self.tell(|| format!("the group agrees on {view}"));
        for place in company.both(members).each() {
            let at = self.now + self.between_us(1, 20_000);
            self.push(at, Due::Show(place, view));
        }
        self.reassess();
    }

    /// Lets `place`, which leads the newest view, take writes in a moment.
    pub(super) fn takes_writes_soon(&mut self, place: Place, from_ms: u64, to_ms: u64) {
        self.group.term += 1;
        self.group.electing = true;
        let at = self.now + self.between_ms(from_ms, to_ms);
        self.push(at, Due::Writable { place, term: self.group.term });
    }

    pub(super) fn show(&mut self, place: Place, view: View) {
        let group = self.group.view;
        if !self.hosts[place].is_awake() {
            return;
        }
        let server = &mut self.hosts[place].server;
        if view != group || !server.takes_part() || !view.members.has(place) || server.view == Some(view) {
            return;
        }
        server.view = Some(view);
        server.unreachable = server.unreachable.both(view.members);
        let leads = place == view.primary && self.group.writable.is_some_and(|(leads, _)| leads == place);
        server.read_only = !leads && !self.group.yields(place);
        if server.unreachable.count() == 0 {
            self.hosts[place].all_reachable_since = self.now;
        }
        self.server_changed(place);
        self.reassess();
    }

    /// `group_replication_set_as_primary()`: only a whole group does it. Where the target has a backlog the roles flip at
    /// once, and the old primary takes writes until the new one has applied it.
    pub(crate) fn switch_over(&mut self, to: Place, backlog: Option<Duration>) {
        let Some((old, _)) = self.group.writable.filter(|(old, _)| *old != to) else { return };
        let members = self.group.view.members;
        let whole = members
            .each()
            .all(|one| self.is_current(one) && members.each().all(|other| self.can_talk(one, other)));
        if !whole || !members.has(to) || self.hosts[to].server.state != MemberState::Online {
            return;
        }
        self.group.writable = None;
        self.group.term += 1;
        self.group.electing = true;
        self.group.yielding = backlog.map(|backlog| (old, backlog));
        self.hosts[old].server.read_only = backlog.is_none();
        self.server_changed(old);
        let at = self.now + self.between_ms(30, 80);
        self.push(at, Due::Elected { place: to, term: self.group.term });
        self.reassess();
    }

    pub(super) fn elected(&mut self, place: Place, term: u32) {
        if self.group.term != term {
            return;
        }
        self.group.electing = false;
        if self.is_current(place) && self.has_majority(place) {
            self.group.view.primary = place;
            let view = self.group.view;
            self.tell(|| format!("the group elects db{}", place + 1));
            for member in self.company(place).each() {
                let at = self.now + self.between_us(1, 20_000);
                self.push(at, Due::Show(member, view));
            }
            if let Some((_, backlog)) = self.group.yielding {
                self.group.electing = true;
                self.push(self.now + backlog, Due::Applied { place, term });
            } else {
                self.takes_writes_soon(place, 21, 60);
            }
        }
        self.reassess();
    }

    /// The target of a switchover has applied what it had queued: the old primary takes no writes any more, and 1 to 12 ms later
    /// (measured) the new one does.
    pub(super) fn has_applied(&mut self, place: Place, term: u32) {
        if self.group.term != term {
            return;
        }
        let old = self.group.yielding.map(|(old, _)| old);
        if old.is_some_and(|old| self.group.view.members.has(old) && !self.can_talk(place, old)) {
            // The election's last step waits for the former primary's word, or for its expulsion: two are never writable.
            self.push(self.now + Duration::from_millis(50), Due::Applied { place, term });
            return;
        }
        self.tell(|| format!("db{} has applied what it had queued", place + 1));
        self.group.yielding = None;
        let at = self.now + self.between_ms(1, 12);
        self.push(at, Due::Writable { place, term });
        self.reassess();
    }

    pub(super) fn becomes_writable(&mut self, place: Place, term: u32) {
        if self.group.term != term {
            return;
        }
        self.group.electing = false;
        if self.is_current(place) && self.group.view.primary == place && self.has_majority(place) {
            self.tell(|| format!("db{} takes writes", place + 1));
            self.group.writable = Some((place, self.now));
            self.hosts[place].server.read_only = false;
            self.server_changed(place);
        }
        self.reassess();
    }
}
