//! Reader VIPs in the world: how far servers are behind, what hosts say of themselves, and what PLACED's judge is shown.

use std::time::Duration;

use decide::fitness::Fitness;
use decide::input::{Backlog, Event, Fact, GroupView, MemberState, Says, Seen, Server, Why};
use decide::net::VipId;
use decide::policy::{VipGateway, VipRole};
use decide::time::Time;
use oracle::placed::{self, CLOSED_FOR, GIVEN_AWAY_WITHIN, Move, Standing};

use super::questions::QUERY_LIMIT;
use super::{Change, Due, World};
use crate::group::{Place, Process};
use crate::nic::Nic;

/// A server is asked how far it is behind this often.
const BACKLOG_EVERY: Duration = Duration::from_secs(1);
/// Whoever was not fit for so long, beside an agent that runs, is known not to have been.
const NOTICED_AFTER: Duration = Duration::from_millis(1_500);
/// A VIP that comes to a host later than this after it left another has not moved from there.
const MOVES_WITHIN: Duration = Duration::from_secs(2);
/// A word that is older than this counts no more, with the time that a frame takes.
const WORD_HOLDS_FOR: Duration = Duration::from_millis(3_100);

/// How a host stands as one that may serve readers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Candidate {
    /// Since when it has been fit, and everybody has heard it, and nothing was lost.
    pub(super) fit_since: Option<Time>,
    /// Since when it has said so too.
    serves_since: Option<Time>,
    /// Since when it has been fit or the primary, and everybody has heard it, and nothing was lost.
    steady_since: Option<Time>,
    /// Since when everybody has heard it, and nothing was lost.
    heard_since: Option<Time>,
    /// Since when it has certainly not been fit, beside an agent that runs.
    down_since: Option<Time>,
    /// Since when it has been well again after that; none: it was never known not to be.
    well_since: Option<Time>,
    /// Its last word, and when it was said.
    said: Option<(Fitness, Time)>,
    /// Since when its words have been that it is not fit.
    unfit_since: Option<Time>,
    /// Since when it has reached too few of the others on the segment, beside an agent that runs and a server that is ONLINE.
    pub(super) cut_since: Option<Time>,
}

/// A reader VIP has left a host, by its agent's order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    from: Place,
    at: Time,
    fit_for: Option<Duration>,
    serves_for: Option<Duration>,
    load: usize,
    least: usize,
}

impl World {
    /// Whether the cluster has reader VIPs.
    pub(super) fn has_readers(&self) -> bool {
        self.policy.reader_vips().next().is_some()
    }

    /// Whether the VIP at this place is for writers.
    pub(super) fn is_writers(&self, vip: usize) -> bool {
        let id = VipId(u16::try_from(vip).unwrap_or(u16::MAX));
        self.policy.vips.get(&id).is_none_or(|vip| vip.role == VipRole::Writer)
    }

    /// The places of the readers' VIPs among the VIPs.
    fn reader_vips(&self) -> impl Iterator<Item = usize> {
        (0..self.vips.len()).filter(|vip| !self.is_writers(*vip))
    }

    /// What a VIP is called in a story.
    pub(super) fn name_of_vip(&self, vip: usize) -> String {
        match (vip, self.is_writers(vip)) {
            (0, _) => "VIP".to_owned(),
            (_, true) => "second VIP".to_owned(),
            _ => format!("reader VIP {}", self.reader_vips().filter(|other| *other <= vip).count()),
        }
    }

    /// Who bears the first reader VIP.
    pub(crate) fn reader_holder(&self) -> Option<Place> {
        let first = self.reader_vips().next()?;
        self.vips[first].holders.each().next()
    }

    /// The agent's server is asked how far it is behind.
    pub(super) fn ask_backlog(&mut self, host: Place, life: u32) {
        if let Some(until) = self.hosts[host].hung_until.filter(|until| *until > self.now) {
            return self.push(until, Due::AskBacklog { host, life });
        }
        let asked_at = self.clock(host);
        let server = &self.hosts[host].server;
        let answers = server.answer().is_some() && server.process != Process::Refuses;
        let fact = if answers && server.turns_away.is_none() {
            Fact::Known(Backlog { transactions: self.hosts[host].backlog, age: Duration::ZERO })
        } else {
            Fact::Unknown(Why::TimedOut(QUERY_LIMIT))
        };
        self.tell_agent(host, life, Event::Backlog(Seen { asked_at, fact }));
        self.look_whether_it_listens(host);
        self.push(self.now + BACKLOG_EVERY, Due::AskBacklog { host, life });
    }

    /// The agent looks whether its server takes new clients.
    pub(super) fn look_whether_it_listens(&mut self, host: Place) {
        let (asked_at, life) = (self.clock(host), self.hosts[host].life);
        let fact = Fact::Known(self.hosts[host].server.listens);
        self.tell_agent(host, life, Event::Listens(Seen { asked_at, fact }));
    }

    /// A server that shuts down writes so to its log, and takes no more clients a moment later. In a cluster without readers nobody looks.
    pub(super) fn closes_its_sockets(&mut self, host: Place, life: u32) {
        if self.has_readers() {
            let closes = self.between_ms(0, 50);
            self.change_in(closes, Change::ClosesSockets(host, life));
        }
    }

    pub(super) fn sockets_are_closed(&mut self, host: Place, life: u32) {
        let server = &mut self.hosts[host].server;
        if server.life != life || server.process == Process::Refuses {
            return;
        }
        server.listens = false;
        if !self.hosts[host].process_is_hidden {
            let seen = self.between_ms(0, 40);
            self.change_in(seen, Change::LooksWhetherItListens(host));
        }
        // It leaves its group meanwhile, which unsettles the others' views for a moment: that they were well for long is asked now.
        if self.another_is_ready(host, self.placed_within()) {
            self.push(self.now + CLOSED_FOR + self.held_up(), Due::ClosedCheck(host, life));
        }
    }

    /// PLACED: a server has taken no more clients for a while.
    pub(super) fn check_closed(&mut self, host: Place, life: u32) {
        let seen = &self.hosts[host];
        let closed = seen.server.life == life && !seen.server.listens && seen.is_awake();
        let heard_for = seen.candidate.heard_since.map(|since| self.now.since(since));
        let acts_for = seen.acts_since.map(|since| self.now.since(since));
        let long = |length: Option<Duration>| length.is_some_and(|length| length > self.placed_within());
        let hangs = seen.hung_until.is_some_and(|until| until > self.now);
        if !closed
            || hangs
            || !long(heard_for)
            || !long(acts_for)
            || !self.another_is_ready(host, Duration::ZERO)
        {
            return;
        }
        let found = placed::closed(CLOSED_FOR, self.load(host) > 0);
        self.found(host, found.map(|()| None));
    }

    /// Another has been fit for so long, and says that it is ready.
    fn another_is_ready(&self, host: Place, fit_for: Duration) -> bool {
        let long = |since: Time| self.now.since(since) > fit_for;
        (0..self.hosts.len()).any(|other| {
            let known = &self.hosts[other].candidate;
            other != host
                && known.fit_since.is_some_and(long)
                && matches!(known.said, Some((Fitness::Ready, _)))
        })
    }

    /// A host says how fit it is: a question which everybody reads, and whoever has the VIP answers.
    pub(super) fn say_fitness(&mut self, host: Place, vip: VipId, fitness: Fitness) {
        let now = self.now;
        if self.hosts[host].candidate.said.is_none_or(|(said, _)| said != fitness) {
            self.tell(|| format!("db{}: says: {fitness}", host + 1));
        }
        let candidate = &mut self.hosts[host].candidate;
        candidate.said = Some((fitness, now));
        candidate.serves_since = if says_it_serves(fitness) {
            candidate.fit_since.map(|_| candidate.serves_since.unwrap_or(now))
        } else {
            None
        };
        if matches!(fitness, Fitness::Primary | Fitness::Behind | Fitness::Unfit) {
            if candidate.unfit_since.is_none() {
                candidate.unfit_since = Some(now);
                self.push(now + GIVEN_AWAY_WITHIN + self.held_up(), Due::GivenAwayCheck(host, now));
            }
        } else {
            candidate.unfit_since = None;
        }
        self.broadcast(host, vip, Says::Fitness(fitness));
    }

    /// What the server shows, where it is ONLINE with the majority.
    pub(super) fn serves(&self, host: Place) -> Option<&GroupView> {
        let Some(Fact::Known(Server::Member(view))) = self.hosts[host].server.answer() else { return None };
        let online = view.local_member().is_some_and(|local| local.state == MemberState::Online);
        (online && view.has_majority()).then_some(view)
    }

    /// A gateway that reader VIPs have does not answer this host, from such a time on: one word is said for all of them.
    fn readers_gateway_lost(&self, host: Place, by_then: impl Fn(Time) -> bool) -> bool {
        let seen = &self.hosts[host];
        let lost_at = |vip: usize| match self.gateway_of(vip) {
            VipGateway::TheClusters => seen.gateway_lost_at,
            VipGateway::Own(_) => seen.own_gateway_lost_at,
            VipGateway::Nobody => None,
        };
        let readers = (0..self.vips.len()).filter(|vip| !self.is_writers(*vip));
        readers.filter_map(lost_at).any(by_then)
    }

    /// How a host stands; none: its agent may believe this or that.
    fn standing(&self, host: Place) -> Option<Standing> {
        let seen = &self.hosts[host];
        if !seen.agent_acts()
            || !seen.is_on(Nic::Eth0)
            || seen.giving_up
            || self.readers_gateway_lost(host, |_| true)
        {
            return Some(Standing::Unfit);
        }
        if !seen.server.listens {
            return Some(Standing::Unfit);
        }
        if seen.asker_stuck_until.is_some() || seen.server.lies {
            return None;
        }
        let Some(view) = self.serves(host) else { return Some(Standing::Unfit) };
        if seen.server.view != Some(self.group.view) {
            return None;
        }
        let limit = self.policy.group.readers.max_transactions;
        Some(if self.is_paused_by_operator(host) {
            Standing::Paused
        } else if view.is_primary() {
            Standing::Primary
        } else if limit.is_some_and(|limit| seen.backlog > limit) {
            Standing::Behind
        } else {
            Standing::Fit
        })
    }

    /// Nothing is lost, and nobody but the members answers for a VIP.
    fn frames_are_fair(&self) -> bool {
        !self.lossy(Nic::Eth0) && !self.is_cut(|cut| cut.answers_for_others_on(Nic::Eth0))
    }

    fn everybody_hears(&self, host: Place) -> bool {
        let there = |other: &Place| self.hosts[*other].is_awake() && self.hosts[*other].is_on(Nic::Eth0);
        let others = (0..self.hosts.len()).filter(|other| *other != host);
        others.filter(there).all(|other| self.hear_each_other(Nic::Eth0, host, other))
    }

    /// Something that no standing shows has happened.
    pub(super) fn readers_are_disturbed(&mut self) {
        self.stillness.look(None, self.now);
    }

    /// Looks at how each host stands.
    pub(super) fn look_at_candidates(&mut self) {
        if !self.has_readers() {
            return;
        }
        let (now, fair) = (self.now, self.frames_are_fair());
        for host in 0..self.hosts.len() {
            let heard = fair && self.hosts[host].is_awake() && self.everybody_hears(host);
            let standing = self.standing(host).filter(|_| heard);
            let fit = standing == Some(Standing::Fit);
            let steady = fit || standing == Some(Standing::Primary);
            let seen = &self.hosts[host];
            let says_no = matches!(seen.server.answer(), Some(Fact::Known(_))) && self.serves(host).is_none();
            let no_gateway = self.readers_gateway_lost(host, |at| at <= now);
            let down = seen.agent_acts() && (says_no || no_gateway || !seen.server.listens);
            let candidate = &mut self.hosts[host].candidate;
            candidate.fit_since = fit.then(|| candidate.fit_since.unwrap_or(now));
            let serves = fit && candidate.said.is_some_and(|(said, _)| says_it_serves(said));
            candidate.serves_since = serves.then(|| candidate.serves_since.unwrap_or(now));
            candidate.steady_since = steady.then(|| candidate.steady_since.unwrap_or(now));
            candidate.heard_since = heard.then(|| candidate.heard_since.unwrap_or(now));
            if candidate.down_since.is_some_and(|since| !down && now.since(since) >= NOTICED_AFTER) {
                candidate.well_since = Some(now);
            }
            candidate.down_since = down.then(|| candidate.down_since.unwrap_or(now));
        }
        self.look_who_is_cut_off();
        self.look_whether_readers_stand_still();
    }

    /// This host's agent is to forget what it knew, or its addresses went without its order.
    pub(super) fn disturb_candidate(&mut self, host: Place) {
        let candidate = &mut self.hosts[host].candidate;
        candidate.fit_since = None;
        candidate.serves_since = None;
        candidate.steady_since = None;
        candidate.heard_since = None;
        candidate.cut_since = None;
        self.readers_are_disturbed();
    }

    pub(super) fn look_whether_readers_stand_still(&mut self) {
        if !self.has_readers() {
            return;
        }
        let there = |host: &Place| self.hosts[*host].is_awake() && self.hosts[*host].is_on(Nic::Eth0);
        let all_hear = (0..self.hosts.len()).filter(there).all(|host| self.everybody_hears(host));
        let orphaned = self.reader_vips().any(|vip| {
            self.hosts.iter().any(|host| host.powered && host.vips[vip].here.is_some() && !host.agent_acts())
        });
        let standings = (0..self.hosts.len()).map(|host| self.standing(host)).collect::<Option<Vec<_>>>();
        let standings = standings.filter(|_| all_hear && !orphaned && self.frames_are_fair());
        if let Some(since) = self.stillness.look(standings, self.now) {
            self.push(since + self.placed_within(), Due::PlacedCheck(since));
        }
    }

    fn placed_within(&self) -> Duration {
        placed::settles_within(&self.policy.group.readers) + self.held_up()
    }

    /// PLACED: nothing has changed for long.
    pub(super) fn check_placed(&mut self, since: Time) {
        let Some((_, standings)) = self.stillness.since().filter(|(known, _)| *known == since) else {
            return;
        };
        self.placed.0 += 1;
        let holders: Vec<Vec<Place>> =
            self.reader_vips().map(|vip| self.vips[vip].holders.each().collect()).collect();
        if let Err(breach) = placed::placed(standings, &holders, self.policy.group.readers.when_none) {
            self.broke(self.now, None, breach);
        }
    }

    /// PLACED, at the end of a run.
    pub(super) fn check_placed_at_the_end(&mut self) {
        if let Some((since, _)) = self.stillness.since()
            && self.now.since(since) >= self.placed_within()
        {
            self.check_placed(since);
        }
    }

    pub(super) fn load(&self, host: Place) -> usize {
        self.reader_vips().filter(|vip| self.hosts[host].vips[*vip].here.is_some()).count()
    }

    /// A VIP is removed by its agent's order.
    pub(super) fn note_leaving(&mut self, host: Place, vip: usize) {
        if self.is_writers(vip) {
            return;
        }
        let now = self.now;
        // Those that are settling share while none is ready.
        let settling = matches!(self.hosts[host].candidate.said, Some((Fitness::Settling, _)));
        let may_have = |other: &Place| {
            let ready = |(said, at): (Fitness, Time)| {
                let may = said == Fitness::Ready || (settling && said == Fitness::Settling);
                may && now.since(at) < WORD_HOLDS_FOR
            };
            *other != host
                && (self.standing(*other) == Some(Standing::Fit)
                    || self.hosts[*other].candidate.said.is_some_and(ready))
        };
        let others = (0..self.hosts.len()).filter(may_have);
        let least = others.map(|other| self.load(other)).min().unwrap_or(usize::MAX);
        let seen = &self.hosts[host].candidate;
        let fit_for = seen.fit_since.map(|since| now.since(since));
        let serves_for = seen.serves_since.map(|since| now.since(since));
        let load = self.load(host);
        self.vips[vip].left = Some(Left { from: host, at: now, fit_for, serves_for, load, least });
    }

    /// How many reader VIPs another has that may have one in a moment, and has been nothing but a secondary or the primary for long. While
    /// a second one leads, whoever did is about to be a secondary. What else is about to move may come to it.
    fn fewest_steady(&self, taker: Place, from: Place) -> Option<usize> {
        let long = |since: Time| self.now.since(since) > self.placed_within();
        let two_lead = self.standing(from) == Some(Standing::Primary);
        let others = (0..self.hosts.len()).filter(|other| ![taker, from].contains(other));
        let steady = others.filter(|other| {
            let may_have = match self.standing(*other) {
                Some(Standing::Fit) => true,
                Some(Standing::Primary) => two_lead,
                _ => false,
            };
            may_have && self.hosts[*other].candidate.steady_since.is_some_and(long)
        });
        let moving = |vip: &usize| {
            (0..self.hosts.len()).all(|place| place == from || self.hosts[place].vips[*vip].here.is_none())
        };
        let to_come = self.reader_vips().filter(moving).count();
        steady.map(|other| self.load(other) + to_come).min()
    }

    /// PLACED: a VIP comes to a host.
    pub(super) fn note_coming(&mut self, host: Place, vip: usize) {
        let Some(left) = self.vips[vip].left.take() else { return };
        let Left { from, at, fit_for, serves_for, load, least } = left;
        self.placed.1 += u64::from(from != host);
        if from == host || self.now.since(at) > MOVES_WITHIN || self.chances.held_up > 0.0 {
            return;
        }
        let settles_for = self.hosts[host].candidate.well_since.map(|since| self.now.since(since));
        // With this one.
        let (takers, steady) = (self.load(host).saturating_sub(1), self.fewest_steady(host, from));
        let moved = Move { fit_for, serves_for, load, least, settles_for, takers, steady };
        if let Err(breach) = placed::moves(&moved, &self.policy.group.readers) {
            let its_own = steady.is_some_and(|steady| takers > steady)
                || settles_for.is_some_and(|_| load > least.saturating_add(1));
            let blamed = if its_own { host } else { from };
            self.broke(self.now, Some(blamed), breach);
        }
    }

    /// PLACED: a host has said for a while that it is not fit.
    pub(super) fn check_given_away(&mut self, host: Place, said_at: Time) {
        let long =
            |since: Option<Time>| since.is_some_and(|since| self.now.since(since) > self.placed_within());
        let seen = &self.hosts[host];
        if seen.candidate.unfit_since != Some(said_at)
            || !long(seen.candidate.heard_since)
            || !seen.agent_acts()
            || !self.another_is_ready(host, self.placed_within())
        {
            return;
        }
        let within = GIVEN_AWAY_WITHIN + self.held_up();
        let found = placed::given_away(self.now.since(said_at), within, self.load(host) > 0);
        self.found(host, found.map(|()| None));
    }
}

/// A word by which a host may keep what it has.
fn says_it_serves(said: Fitness) -> bool {
    matches!(said, Fitness::Ready | Fitness::Settling)
}
