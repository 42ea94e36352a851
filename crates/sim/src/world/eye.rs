//! An independent eye on one agent: what it was told, in simpler words than the rules', and what follows from that alone.
//! EVIDENCE, LEASE, UNKNOWN-IS-NOT-NO and NEWEST-VIEW are judged by it.

mod judgement;

use std::time::Duration;

use decide::action::{Action, Outcome, VipAction};
use decide::event::{
    Event, Fact, Frame, Gateway, GroupView, Mac, Member, MemberPort, MemberState, Says, Server, ViewId,
};
use decide::policy::{GatewayLost, Policy};
use decide::time::Time;

use super::VIP;
use super::segment::place_of;
use crate::group::{Place, Places, id};

/// Who held the VIP no longer ago than this can say that it is free.
const HELD_LATELY: Duration = Duration::from_secs(3);
/// An agent that claims looks at the time each 200 ms at the least.
const STANDS_STILL: Duration = Duration::from_millis(600);

/// What an agent was last told of its own server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing yet.
    Nothing,
    /// ONLINE, PRIMARY, with a majority, in no view that is known to be old; takes writes or not.
    Leads { writable: bool },
    /// ONLINE with a majority, a secondary, and it still takes writes: the VIP may stay until it is claimed.
    TakesWrites,
    /// It answers, and does not lead.
    Follows,
    /// It leads by its own word, and can't reach the majority.
    NoMajority,
    /// It leads by its own word, in a view that is older than one that the agent was told of.
    Stale,
    /// Its process is gone.
    Dead,
    /// It does not answer.
    Silent,
    /// It lives, and turns the question away.
    TurnsAway,
}

/// What an agent was told.
#[derive(Clone, Debug)]
pub(super) struct Eye {
    word: Word,
    word_since: Time,
    /// Its process has been gone since it last said anything of its group.
    started_anew: bool,
    /// When the question was put whose answer was the first such word.
    word_asked: Time,
    server_asked: Time,
    own_view: Option<ViewId>,
    newest: Option<ViewId>,
    gateway: Option<bool>,
    gateway_since: Time,
    gateway_asked: Time,
    host_since: Time,
    host_asked: Time,
    /// Who is UNREACHABLE, by its own server's word.
    suspects: Places,
    here: bool,
    member: bool,
    probes: u32,
    last_probe: Time,
    /// Since when it has been told "no" of some kind, without a "yes" of all in between.
    no_since: Option<Time>,
    /// When it was last told something, or looked at the time.
    last_step: Time,
    /// How long before that it was told nothing.
    stood_still: Duration,
    /// How often in a row each member's MySQL port refused.
    refusals: [u32; 8],
    /// Whose server last said that it is in no group.
    outside: Places,
    answered: Option<(Mac, Time)>,
    /// Since when others have answered for it.
    taken_since: Option<Time>,
    released_at: Option<Time>,
    heard_at: Option<Time>,
}

impl Default for Eye {
    fn default() -> Self {
        Self::new(Time(0))
    }
}

impl Eye {
    pub(super) fn new(now: Time) -> Self {
        Self {
            word: Word::Nothing,
            word_since: now,
            started_anew: false,
            word_asked: now,
            server_asked: Time(0),
            own_view: None,
            newest: None,
            gateway: None,
            gateway_since: now,
            gateway_asked: Time(0),
            host_since: now,
            host_asked: Time(0),
            suspects: Places::default(),
            here: false,
            member: false,
            probes: 0,
            last_probe: Time(0),
            no_since: None,
            last_step: now,
            stood_still: Duration::ZERO,
            refusals: [0; 8],
            outside: Places::default(),
            answered: None,
            taken_since: None,
            released_at: None,
            heard_at: None,
        }
    }

    /// Polls that were left out would have made the facts this young.
    pub(super) fn aged(&mut self, asked_at: Time) {
        self.server_asked = self.server_asked.max(asked_at);
        self.gateway_asked = self.gateway_asked.max(asked_at);
    }

    pub(super) fn probed(&mut self, at: Time) {
        self.probes += 1;
        self.last_probe = at;
    }

    /// Since when all that a start needs has been so, by what was told: the wish to have the VIP.
    fn wish_since(&self) -> Option<Time> {
        let leads = self.word == Word::Leads { writable: true };
        (leads && self.gateway == Some(true) && self.member && !self.here)
            .then(|| self.word_since.max(self.gateway_since).max(self.host_since))
    }

    /// All that it was ever told of its server is that this lives and turns questions away: not what server that is.
    pub(super) fn is_turned_away(&self) -> bool {
        self.word == Word::TurnsAway && self.own_view.is_none() && !self.started_anew
    }

    pub(super) fn take_in(&mut self, policy: &Policy, event: &Event, now: Time) {
        let wish = self.wish_since();
        self.stood_still = now.since(self.last_step);
        self.last_step = now;
        if self.stood_still > STANDS_STILL {
            // What was sent to it meanwhile may be unread: probes from before prove nothing.
            self.probes = 0;
            self.released_at = None;
        }
        match event {
            Event::Server(seen) => {
                if let Fact::Known(Server::Member(view)) = &seen.fact {
                    self.learn_view(view, seen.asked_at >= self.server_asked);
                }
                if seen.asked_at >= self.server_asked {
                    self.server_asked = seen.asked_at;
                    self.own_view = match &seen.fact {
                        Fact::Known(Server::Member(view)) => view.view.clone(),
                        _ => self.own_view.take(),
                    };
                    if let Fact::Known(Server::Member(view)) = &seen.fact {
                        let unreachable = |member: &&Member| member.state == MemberState::Unreachable;
                        let suspects = view.members.iter().filter(unreachable);
                        self.suspects = suspects.filter_map(|member| place_of_id(&member.id)).collect();
                    }
                    self.hear(word(&seen.fact), now);
                }
            }
            Event::Peer { member, seen } => {
                if let Fact::Known(Server::Member(view)) = &seen.fact {
                    self.learn_view(view, false);
                }
                if let (Some(place), Fact::Known(server)) = (place_of(*member, 8), &seen.fact) {
                    self.outside.remove(place);
                    if is_outside(server) {
                        self.outside.add(place);
                    }
                }
            }
            Event::Gateway(seen) => {
                if let (true, Fact::Known(known)) = (seen.asked_at >= self.gateway_asked, &seen.fact) {
                    self.gateway_asked = seen.asked_at;
                    let reachable = *known == Gateway::Reachable;
                    if self.gateway != Some(reachable) {
                        self.gateway = Some(reachable);
                        self.gateway_since = now;
                    }
                }
            }
            Event::Host(seen) => {
                if let Fact::Known(host) = &seen.fact {
                    if seen.asked_at < self.host_asked {
                        return;
                    }
                    self.host_asked = seen.asked_at;
                    let has = |address| host.addresses.iter().any(|own| own.address == address);
                    let (here, member) = (has(VIP), policy.members.keys().any(|member| has(*member)));
                    if (here, member) != (self.here, self.member) {
                        self.host_since = now;
                    }
                    (self.here, self.member) = (here, member);
                }
            }
            Event::Frame(frame) => self.take_in_frame(*frame, now),
            // What it was told before counts no more, for the rules neither.
            Event::ClocksParted { .. } => {
                self.word = Word::Nothing;
                self.word_since = now;
                self.server_asked = now;
                self.gateway = None;
                self.gateway_asked = now;
            }
            // The kernel's own word that it is not here: newer than any look that is yet to be read.
            Event::Done {
                action: Action::Vip(_, VipAction::RenewAddress { .. }),
                outcome: Outcome::Gone,
            } if self.here => {
                self.here = false;
                (self.host_since, self.host_asked) = (now, now);
            }
            Event::MemberPort { member, seen } => {
                let refuses = seen.fact == Fact::Known(MemberPort::Refuses);
                if let Some(place) = place_of(*member, self.refusals.len()) {
                    self.refusals[place] = if refuses { self.refusals[place] + 1 } else { 0 };
                }
            }
            _ => {}
        }
        self.note_stale(now);
        let no = matches!(self.word, Word::Follows | Word::NoMajority | Word::Stale | Word::Dead);
        if no || self.gateway == Some(false) {
            self.no_since.get_or_insert(now);
        } else if matches!(self.word, Word::Leads { .. } | Word::TakesWrites) {
            self.no_since = None;
        }
        if self.wish_since() != wish {
            self.probes = 0;
            self.released_at = None;
        }
    }

    fn take_in_frame(&mut self, frame: Frame, now: Time) {
        self.heard_at = Some(now);
        if let Says::Release { heard_at } = frame.says {
            let held =
                self.answered.is_some_and(|(mac, at)| mac == frame.from && now.since(at) <= HELD_LATELY);
            self.released_at = held.then_some(heard_at).or(self.released_at);
        } else if frame.says.is_use() {
            self.answered = Some((frame.from, now));
            self.taken_since.get_or_insert(now);
            self.released_at = None;
            self.probes = 0;
        }
    }

    fn hear(&mut self, word: Word, now: Time) {
        let word = match word {
            Word::Leads { .. } | Word::TakesWrites if self.is_stale() => Word::Stale,
            // Whatever runs there now is not what led.
            Word::Silent | Word::TurnsAway if self.started_anew => Word::Dead,
            word => word,
        };
        self.started_anew = word == Word::Dead;
        if self.word != word {
            // What is not known since then counts from then.
            self.word_asked = if self.word == Word::Nothing { self.word_since } else { self.server_asked };
            self.word = word;
            self.word_since = now;
        }
    }

    /// The view of a member that is ONLINE in the majority counts.
    fn learn_view(&mut self, view: &GroupView, own: bool) {
        let online = view.local_member().is_some_and(|local| local.state == MemberState::Online);
        let (true, Some(view)) = (online && view.has_majority(), &view.view) else { return };
        let other_group = |newest: &ViewId| own && !newest.is_of_the_same_group(view);
        if self.newest.as_ref().is_none_or(|newest| view.is_newer_than(newest) || other_group(newest)) {
            let first = self.newest.is_none();
            if own || !first {
                self.newest = Some(view.clone());
            }
        }
    }

    fn is_stale(&self) -> bool {
        matches!((&self.own_view, &self.newest), (Some(own), Some(newest)) if newest.is_newer_than(own))
    }

    /// A peer's answer may show that its own server's word is old.
    fn note_stale(&mut self, now: Time) {
        if matches!(self.word, Word::Leads { .. } | Word::TakesWrites) && self.is_stale() {
            self.word = Word::Stale;
            self.word_since = now;
        }
    }

    /// How long a holder may go on, by what it was told. None: for ever.
    fn may_hold_until(&self, policy: &Policy, held_since: Time) -> Option<Time> {
        let since = self.word_since.max(held_since);
        let by_server = match self.word {
            Word::Nothing | Word::Leads { .. } | Word::TakesWrites => None,
            Word::Silent => Some(since + policy.hung_patience),
            Word::TurnsAway => policy.refused_patience.map(|patience| since + patience),
            Word::Follows | Word::Stale => Some(since + policy.claim_wait),
            Word::Dead => Some(since + policy.linger),
            Word::NoMajority => Some(since),
        };
        let gateway_since = self.gateway_since.max(held_since);
        let by_gateway = match (self.gateway, policy.gateway_lost) {
            (Some(false), GatewayLost::Release) => Some(gateway_since),
            // Counts from when its server does not lead.
            (Some(false), GatewayLost::HoldWithMajority) => {
                (!matches!(self.word, Word::Leads { .. } | Word::TakesWrites))
                    .then(|| gateway_since.max(self.word_since))
            }
            _ => None,
        };
        [by_server, by_gateway].into_iter().flatten().min()
    }
}

fn place_of_id(wanted: &str) -> Option<Place> {
    (0..8).find(|place| id(*place) == wanted)
}

fn is_outside(server: &Server) -> bool {
    match server {
        Server::NotInGroup(_) => true,
        Server::Member(view) => view.local_member().is_some_and(|local| local.state == MemberState::Offline),
        Server::Refused(_) => false,
    }
}

fn word(fact: &Fact<Server>) -> Word {
    match fact {
        Fact::Unknown(why) if why.server_lives() => Word::TurnsAway,
        Fact::Unknown(_) => Word::Silent,
        Fact::Known(Server::Refused(_)) => Word::Dead,
        Fact::Known(Server::NotInGroup(_)) => Word::Follows,
        Fact::Known(Server::Member(view)) if view.is_primary() => {
            Word::Leads { writable: !view.super_read_only }
        }
        Fact::Known(Server::Member(view)) => {
            let online = view.local_member().is_some_and(|local| local.state == MemberState::Online);
            match (online, view.has_majority()) {
                (true, false) => Word::NoMajority,
                (true, true) if !view.super_read_only => Word::TakesWrites,
                _ => Word::Follows,
            }
        }
    }
}
