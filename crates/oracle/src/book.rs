//! One agent's book: what it was told and what it ordered, in simpler words than the rules', and nothing of what it remembers.

use std::time::Duration;

use crate::claims::Claims;
use crate::expelling::Expelling;
use crate::inputs::{
    Action, Event, Fact, Frame, Gateway, GroupView, Host, Mac, MemberState, Outcome, ReadOnlyPrimary, Says,
    Seen, Server, Time, ViewId, VipAction, VipGateway, VipPolicy, VipRole,
};
use crate::limits::Limits;
use crate::reached::Reached;
use crate::reader_words::ReaderWords;
use crate::word::{Word, takes_stray_writes};

/// An agent that claims looks at the time each 200 ms at the least: one that comes back after this has stood still.
const STANDS_STILL: Duration = Duration::from_millis(600);
/// A server that stood still, or whose agent did, says for a moment that it lacks the majority; that is looked at once more.
pub(crate) const NO_MAJORITY_FOR: Duration = Duration::from_millis(300);

/// What one agent was told and ordered that concerns one VIP. Small and comparable, so that it can be a part of a model checker's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
pub struct Book {
    pub(crate) word: Word,
    pub(crate) word_since: Time,
    /// When the question was put whose answer was the first such word.
    pub(crate) word_asked: Time,
    pub(crate) server_asked: Time,
    /// Its process has been gone since it last said anything of its group.
    pub(crate) started_anew: bool,
    pub(crate) own_view: Option<ViewId>,
    pub(crate) newest: Option<ViewId>,
    pub(crate) gateway: Option<bool>,
    pub(crate) gateway_since: Time,
    pub(crate) gateway_asked: Time,
    pub(crate) host_since: Time,
    pub(crate) host_asked: Time,
    /// What it was told last of this host's addresses is known.
    pub(crate) addresses_known: bool,
    /// Its kernel showed the VIP.
    pub(crate) here: bool,
    /// Its kernel showed a member's own address; and, of a VIP that has an interface of its own, that this is of use.
    pub(crate) member: bool,
    /// Since when it has the VIP, by what it was told or ordered.
    pub(crate) held_since: Option<Time>,
    /// When it last ordered that the address be there for a lease.
    pub(crate) added_at: Option<Time>,
    /// It ordered the address away, and its kernel has not shown it gone yet.
    pub(crate) removes: bool,
    pub(crate) probes: u32,
    pub(crate) last_probe: Time,
    /// No answer to a probe can be heard.
    pub(crate) hears_nothing: bool,
    /// Who used the VIP last: it alone can say that it is free.
    pub(crate) used_by: Option<Mac>,
    /// Since when others have answered for it.
    pub(crate) taken_since: Option<Time>,
    pub(crate) released_at: Option<Time>,
    /// When another last claimed the VIP, or said that it has it.
    pub(crate) contested_at: Option<Time>,
    /// Since when it has been told "no" of some kind, without a "yes" of all in between.
    pub(crate) no_since: Option<Time>,
    /// It stood still for so long, and went on then.
    pub(crate) stood_still: Option<(Time, Duration)>,
    /// It was told to give the VIP up.
    pub(crate) gives_up: bool,
    /// It was told to stop.
    pub(crate) stops: bool,
    /// Until when the operator has paused it.
    pub(crate) paused_until: Option<Time>,
    /// When a pause ended last: what it put up with counts from then.
    pub(crate) pause_ended: Option<Time>,
    /// Its server takes writes outside its group, by what it was told.
    pub(crate) strays: bool,
    pub(crate) claims: Claims,
    /// Of a reader VIP: since when it has asked the network for it.
    pub(crate) asks_since: Option<Time>,
    /// Of a reader VIP: how fit each host says that it is.
    pub(crate) reader_words: ReaderWords,
    /// Of a reader VIP: whose hosts answer on the segment.
    pub(crate) reached: Reached,
    /// What it knows of dead members, and does about them.
    pub expelling: Expelling,
}

/// An address that was ordered shows in what the kernel is asked for so much later, or is gone again.
const SHOWS_WITHIN: Duration = Duration::from_millis(100);

impl Book {
    /// Of an agent that starts now.
    pub fn new(now: Time) -> Self {
        Self {
            word: Word::Nothing,
            word_since: now,
            word_asked: now,
            server_asked: Time(0),
            started_anew: false,
            own_view: None,
            newest: None,
            gateway: None,
            gateway_since: now,
            gateway_asked: Time(0),
            addresses_known: false,
            host_since: now,
            host_asked: Time(0),
            here: false,
            member: false,
            held_since: None,
            added_at: None,
            removes: false,
            probes: 0,
            last_probe: Time(0),
            hears_nothing: false,
            used_by: None,
            taken_since: None,
            released_at: None,
            contested_at: None,
            no_since: None,
            stood_still: None,
            gives_up: false,
            stops: false,
            paused_until: None,
            pause_ended: None,
            strays: false,
            claims: Claims::default(),
            asks_since: None,
            reader_words: ReaderWords::default(),
            reached: Reached::default(),
            expelling: Expelling::default(),
        }
    }

    /// Whether it has the VIP, by what it was told and ordered.
    pub fn holds(&self) -> bool {
        self.held_since.is_some()
    }

    /// Whether all that was ever told of its server is that it lives and turns questions away: not what server that is.
    pub fn is_turned_away(&self) -> bool {
        self.word == Word::TurnsAway && self.own_view.is_none() && !self.started_anew
    }

    /// Answers that were left out, since they would have told nothing new, would have made the facts this young.
    pub fn aged(&mut self, asked_at: Time) {
        self.server_asked = self.server_asked.max(asked_at);
        self.gateway_asked = self.gateway_asked.max(asked_at);
        self.expelling.aged(asked_at);
    }

    /// It was told nothing, and did not look at the time, for so long until now.
    pub fn went_on_after(&mut self, still: Duration, now: Time) {
        if still > STANDS_STILL {
            self.stood_still = Some((now, still));
            // What was sent to it meanwhile may be unread: probes from before prove nothing.
            self.probes = 0;
            self.released_at = None;
        }
    }

    /// Since when all that a start needs has been so, by what was told: the wish to have the VIP. That a reader VIP belongs here, others'
    /// words may have made so later: then the wish began with the first question to the network.
    pub(crate) fn wish_since(&self) -> Option<Time> {
        let entitled = matches!(self.word, Word::Leads { writable: true } | Word::Serves);
        let told = self.word_since.max(self.gateway_since).max(self.host_since);
        (entitled && self.gateway == Some(true) && self.member && !self.here)
            .then(|| self.asks_since.map_or(told, |asks| asks.max(told)))
    }

    pub(crate) fn is_stale(&self) -> bool {
        matches!((&self.own_view, &self.newest), (Some(own), Some(newest)) if newest.is_newer_than(own))
    }

    pub(crate) fn told(&mut self, limits: &Limits<'_>, event: &Event, now: Time) {
        let wish = self.wish_since();
        self.forget_after_the_lease(limits, now);
        self.told_of_pause(event, now);
        if limits.vip.role == VipRole::Reader {
            self.reader_words.told(event, now);
            self.reached.told(event, now);
        }
        if let Some((member, mac)) = limits.whose(event)
            && self.used_by == Some(mac)
            && !self.claims.knows(member, mac)
        {
            // Whoever used the VIP and was a stranger is a member: what it said is taken up now.
            self.contested_at = Some(now);
        }
        match event {
            // Another VIP's business.
            Event::Frame(vip, _)
            | Event::ReceiveUp(vip, _)
            | Event::Done { action: Action::Vip(vip, _), .. }
                if *vip != limits.id => {}
            Event::Server(seen) => self.told_of_server(limits.vip, seen, now),
            Event::Peer { seen, .. } => {
                if let Fact::Known(Server::Member(view)) = &seen.fact {
                    self.learn_view(view, None);
                }
            }
            Event::Gateway(seen) => self.told_of_gateway(limits, VipGateway::TheClusters, seen, now),
            Event::OwnGateway(own, seen) => {
                self.told_of_gateway(limits, VipGateway::Own(*own), seen, now);
            }
            Event::Host(seen) if seen.asked_at >= self.host_asked => self.told_of_host(limits, seen, now),
            Event::Frame(_, frame) => self.told_of_frame(*frame, now),
            Event::ReceiveUp(_, up) => {
                self.hears_nothing = !up;
                if self.hears_nothing {
                    self.probes = 0;
                    self.released_at = None;
                }
            }
            Event::ClocksParted { suspended, .. } => self.clocks_parted(*suspended, now),
            Event::Done {
                action: Action::Vip(_, VipAction::AddAddress { .. }),
                outcome: Outcome::Failed(_),
            } if !self.here => {
                self.held_since = None;
                self.added_at = None;
            }
            // The kernel's own word that it is not here.
            Event::Done {
                action: Action::Vip(_, VipAction::RenewAddress { .. }),
                outcome: Outcome::Gone,
            } if self.here => {
                self.host_asked = now;
                self.told_of_addresses(false, self.member, now);
            }
            Event::Release => self.gives_up = true,
            Event::Undrain => self.gives_up = false,
            Event::Stopping => self.stops = true,
            _ => {}
        }
        self.note_no(limits, now);
        self.claims.told(limits, event, self.holds(), now);
        if self.wish_since() != wish {
            self.probes = 0;
            self.released_at = None;
            self.asks_since = None;
        }
    }

    pub(crate) fn ordered(&mut self, limits: &Limits<'_>, actions: &[Action], now: Time) {
        let is_for_readers = limits.vip.role == VipRole::Reader;
        if is_for_readers {
            self.reader_words.ordered(actions);
            self.reached.ordered(actions, now);
        }
        for action in limits.orders(actions) {
            match action {
                VipAction::SendProbe => {
                    self.probes += 1;
                    self.last_probe = now;
                    if is_for_readers {
                        self.asks_since.get_or_insert(now);
                    }
                }
                VipAction::AddAddress { .. } => {
                    self.asks_since = None;
                    self.held_since.get_or_insert(now);
                    self.added_at = Some(now);
                    self.removes = false;
                }
                VipAction::RenewAddress { .. } if self.holds() => self.added_at = Some(now),
                VipAction::RemoveAddress { .. } => {
                    self.removes = true;
                    self.held_since = None;
                    self.added_at = None;
                }
                _ => {}
            }
        }
    }

    /// An agent that comes to act only after its lease was over has nothing, and knows nothing, until it is told anew.
    fn forget_after_the_lease(&mut self, limits: &Limits<'_>, now: Time) {
        let over = |(at, lease): (Time, Duration)| now.since(at) >= lease;
        if self.added_at.zip(limits.vip.lease).is_some_and(over) {
            self.forget(now);
            (self.here, self.held_since, self.added_at) = (false, None, None);
            self.stood_still = Some((now, limits.vip.lease.unwrap_or_default()));
        }
    }

    fn forget(&mut self, now: Time) {
        self.word = Word::Nothing;
        (self.word_since, self.word_asked) = (now, now);
        self.server_asked = self.server_asked.max(now);
        self.gateway = None;
        self.gateway_asked = self.gateway_asked.max(now);
        self.addresses_known = false;
        self.host_asked = self.host_asked.max(now);
    }

    /// Whether the operator has paused it.
    pub fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    /// A pause ends by the operator's word, or in its time: an agent that does not act then goes by its clock when it does.
    fn told_of_pause(&mut self, event: &Event, now: Time) {
        let was = self.paused_until;
        match event {
            Event::Pause { until } => self.paused_until = Some(*until),
            Event::Resume => self.paused_until = None,
            _ => {}
        }
        self.paused_until = self.paused_until.filter(|until| *until > now);
        if was.is_some() && self.paused_until.is_none() {
            self.pause_ended = Some(now);
        }
    }

    /// What it was told before counts no more.
    fn clocks_parted(&mut self, suspended: Duration, now: Time) {
        self.forget(now);
        let already =
            self.stood_still.filter(|(at, _)| *at == now).map_or(Duration::ZERO, |(_, still)| still);
        if suspended > already {
            self.stood_still = Some((now, suspended));
        }
    }

    fn told_of_server(&mut self, vip: &VipPolicy, seen: &Seen<Server>, now: Time) {
        let in_time = seen.asked_at >= self.server_asked;
        if let Fact::Known(Server::Member(view)) = &seen.fact {
            self.learn_view(view, Some(in_time));
        }
        if !in_time {
            return;
        }
        self.server_asked = seen.asked_at;
        self.own_view = match &seen.fact {
            Fact::Known(Server::Member(view)) => view.view.clone(),
            _ => self.own_view.take(),
        };
        self.strays = takes_stray_writes(&seen.fact);
        let word = match Word::of_role(vip.role, &seen.fact) {
            word if word.may_stay() && self.is_stale() => Word::Stale,
            // Whatever runs there now is not what led.
            Word::Silent | Word::TurnsAway if self.started_anew => Word::Dead,
            // To a VIP that follows the primary it is the same.
            Word::Leads { .. } if vip.read_only_primary == ReadOnlyPrimary::Follow => {
                Word::Leads { writable: true }
            }
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

    /// Another's is another VIP's business.
    fn told_of_gateway(&mut self, limits: &Limits<'_>, which: VipGateway, seen: &Seen<Gateway>, now: Time) {
        let fresh = limits.vip.gateway == which && seen.asked_at >= self.gateway_asked;
        if let (true, Fact::Known(known)) = (fresh, &seen.fact) {
            self.gateway_asked = seen.asked_at;
            let reachable = *known == Gateway::Reachable;
            if self.gateway != Some(reachable) {
                self.gateway = Some(reachable);
                self.gateway_since = now;
            }
        }
    }

    fn told_of_host(&mut self, limits: &Limits<'_>, seen: &Seen<Host>, now: Time) {
        self.host_asked = seen.asked_at;
        self.addresses_known = matches!(seen.fact, Fact::Known(_));
        if let Fact::Known(host) = &seen.fact {
            let here = host.addresses.iter().any(|own| own.address == limits.vip.address);
            self.told_of_addresses(here, limits.may_be_on(host), now);
        }
    }

    fn told_of_addresses(&mut self, here: bool, member: bool, now: Time) {
        if (here, member) != (self.here, self.member) {
            self.host_since = now;
        }
        if here && !self.removes {
            self.held_since.get_or_insert(now);
        } else if !here && (self.here || self.added_at.is_some_and(|at| self.host_asked >= at + SHOWS_WITHIN))
        {
            self.held_since = None;
            self.added_at = None;
        }
        self.removes &= here;
        (self.here, self.member) = (here, member);
    }

    fn told_of_frame(&mut self, frame: Frame, now: Time) {
        if let Says::Release { heard_at } = frame.says {
            if self.used_by == Some(frame.from) {
                self.released_at = Some(heard_at);
            }
        } else if frame.says.is_use() {
            self.used_by = Some(frame.from);
            self.taken_since.get_or_insert(now);
            self.contested_at = Some(now);
            self.released_at = None;
            self.probes = 0;
        } else if frame.says == Says::Probe {
            self.contested_at = Some(now);
        }
    }

    /// The view of a member that is ONLINE in the majority counts.
    /// `own`: its own server showed it, and not later than something that was asked after it.
    fn learn_view(&mut self, view: &GroupView, own: Option<bool>) {
        let online = view.local_member().is_some_and(|local| local.state == MemberState::Online);
        let (true, Some(view)) = (online && view.has_majority(), &view.view) else { return };
        let other_group = |newest: &ViewId| own == Some(true) && !newest.is_of_the_same_group(view);
        let newer = |newest: &ViewId| view.is_newer_than(newest) || other_group(newest);
        if self.newest.as_ref().map_or(own.is_some(), newer) {
            self.newest = Some(view.clone());
        }
    }

    fn note_no(&mut self, limits: &Limits<'_>, now: Time) {
        if limits.vip.gateway == VipGateway::Nobody {
            // None is asked: there is none that could be lost, or have been asked too long ago.
            (self.gateway, self.gateway_asked) = (Some(true), now);
        }
        // A peer's answer may show that its own server's word is old.
        if self.word.may_stay() && self.is_stale() {
            self.word = Word::Stale;
            self.word_since = now;
        }
        let no = matches!(self.word, Word::Follows | Word::NoMajority | Word::Stale | Word::Dead);
        if no || self.gateway == Some(false) {
            self.no_since.get_or_insert(now);
        } else if self.word.may_stay() && self.gateway == Some(true) && self.addresses_known {
            self.no_since = None;
        }
    }

    /// How long a holder may go on, by what it was told. None: without an end.
    pub(crate) fn may_hold_until(&self, limits: &Limits<'_>, held_since: Time) -> Option<Time> {
        use crate::inputs::GatewayLost;
        let ended = self.pause_ended.unwrap_or(held_since);
        let since = self.word_since.max(held_since).max(ended);
        let paused = self.is_paused();
        let by_server = match self.word {
            // While it is paused a holder lets go of nothing by choice. What takes stray writes is not its choice, and is
            // another invariant's.
            Word::Leads { .. } | Word::Silent | Word::TurnsAway | Word::Follows | Word::Dead if paused => {
                None
            }
            Word::Leads { writable: false } if limits.vip.read_only_primary == ReadOnlyPrimary::Release => {
                Some(since + limits.vip.claim_wait)
            }
            Word::Nothing | Word::Leads { .. } | Word::TakesWrites | Word::Serves => None,
            Word::Silent => Some(since + limits.vip.hung_patience),
            Word::TurnsAway => limits.vip.refused_patience.map(|patience| since + patience),
            Word::Follows | Word::Stale => Some(since + limits.vip.claim_wait),
            Word::Dead => Some(since + limits.vip.linger),
            Word::NoMajority => Some(since + NO_MAJORITY_FOR),
        };
        let gateway_since = self.gateway_since.max(held_since).max(ended);
        let gateway_lost = if paused { GatewayLost::HoldWithMajority } else { limits.vip.gateway_lost };
        let by_gateway = match (self.gateway, gateway_lost) {
            (Some(false), GatewayLost::Release) => Some(gateway_since),
            // Counts from when its server does not lead.
            (Some(false), GatewayLost::HoldWithMajority) => {
                (!self.word.may_stay()).then(|| gateway_since.max(self.word_since))
            }
            _ => None,
        };
        // Where the interface is of no use nobody is served, and none of another's claims is heard.
        let off = self.addresses_known && self.here && !self.member;
        let by_host = off.then(|| self.host_since.max(held_since));
        [by_server, by_gateway, by_host].into_iter().flatten().min()
    }

    /// Whether it was told a certain "no": its server follows, is gone, passed by or without a majority, or its gateway is lost.
    pub fn knows_a_no(&self) -> bool {
        matches!(self.word, Word::Follows | Word::NoMajority | Word::Stale | Word::Dead)
            || self.gateway == Some(false)
    }
}
