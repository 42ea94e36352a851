//! What follows from what an agent was told: whether it may start, hold, renew or let go. EVIDENCE, NEWEST-VIEW, LEASE,
//! UNKNOWN-IS-NOT-NO, NO-FLAP at the first word, RESTORED and WAKES, one definition each.

use std::net::IpAddr;
use std::time::Duration;

use crate::book::Book;
use crate::excuses::Excuse;
use crate::inputs::{
    Action, Event, ReadOnlyPrimary, Time, VipAction, VipGateway, VipId, VipRole, WhenNoReader,
};
use crate::invariant::{Breach, Invariant};
use crate::limits::Limits;
use crate::word::Word;

/// "It is free" is to be read no later than this after it was heard: another may have taken it then.
const WORD_HOLDS_FOR: Duration = Duration::from_millis(20);

/// What an agent gave back.
#[derive(Clone, Copy, Debug)]
pub struct Orders<'a> {
    /// What is to be done, in this order.
    pub actions: &'a [Action],
    /// When it wants to be woken, on its own clock.
    pub wake_at: Time,
    /// The member whose claim to this VIP it declares settled, for itself.
    pub settled: Option<IpAddr>,
}

/// What whoever watches sees of the host at that moment.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// The kernel bears the VIP. None: nobody looked, and what the agent was told and ordered counts.
    pub here: Option<bool>,
    /// So much later than the limits say an agent may let go: the second check, a slow server, a short processor.
    pub slack: Duration,
}

impl Sight {
    /// Nobody looked at the host: what the agent was told and ordered counts.
    pub const fn as_told(slack: Duration) -> Self {
        Self { here: None, slack }
    }
}

/// What is to be said of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What it breaks; the first one counts.
    pub breach: Option<Breach>,
    /// What it would break, but for this.
    pub excuse: Option<Excuse>,
    /// It takes the VIP.
    pub starts: bool,
}

impl Verdict {
    fn breach(invariant: Invariant, words: impl Into<String>) -> Self {
        Self { breach: Some(Breach::new(invariant, words)), ..Self::default() }
    }

    fn excused(excuse: Excuse) -> Self {
        Self { excuse: Some(excuse), ..Self::default() }
    }
}

impl Book {
    /// Reads one step into the book, what the agent was told and what it ordered, and judges it.
    pub fn step(
        &mut self,
        limits: &Limits<'_>,
        event: &Event,
        orders: &Orders<'_>,
        sight: &Sight,
        now: Time,
    ) -> Verdict {
        let held = self.holds();
        self.told(limits, event, now);
        let settled = orders.settled.and_then(|member| self.claims.settled(member));
        let verdict = self.judge(limits, event, orders, sight, now);
        // Who claims a reader VIP is fit by its own word.
        let is_for_readers = limits.vip.role == VipRole::Reader;
        let unproven = settled.is_some_and(|claim| {
            let entitled = is_for_readers || claim.leads_in_no_older(self.newest.as_ref());
            entitled && self.server_asked < claim.since
        });
        let verdict = if unproven && held && verdict.breach.is_none() {
            let words = "answers a claim by what its server said before it, and the claimant's server leads, or is fit";
            Verdict::breach(Invariant::Evidence, words)
        } else {
            verdict
        };
        self.ordered(limits, orders.actions, now);
        // The group's patience is no VIP's own: it is in the first one's book.
        let elects = limits.id == VipId::FIRST && limits.group.elects();
        let restored = elects.then(|| self.expelling.step(limits.group, event, orders.actions, now));
        match restored.flatten() {
            Some(breach) if verdict.breach.is_none() => Verdict { breach: Some(breach), ..verdict },
            _ => verdict,
        }
    }

    fn judge(
        &self,
        limits: &Limits<'_>,
        event: &Event,
        orders: &Orders<'_>,
        sight: &Sight,
        now: Time,
    ) -> Verdict {
        let actions = orders.actions;
        if orders.wake_at <= now && *event != Event::Stopping {
            return Verdict::breach(Invariant::Wakes, "wants to be woken in the past");
        }
        if let Some(breach) = self.lifetime_is_wrong(limits, actions) {
            return Verdict { breach: Some(breach), ..Verdict::default() };
        }
        if self.is_stale() && limits.orders(actions).any(|action| *action == VipAction::SendProbe) {
            let words = "claims in a view older than the newest it was told of";
            return Verdict::breach(Invariant::NewestView, words);
        }
        // The last order of an agent that stops is given on the kernel's word, asked for in the same breath.
        if limits.renews(actions) && !self.holds() && *event != Event::Stopping {
            let words = "renews the VIP, which is not here by what it was told, or whose lease was over";
            return Verdict::breach(Invariant::Lease, words);
        }
        if let Some(breach) = self.pause_is_broken(limits, actions) {
            return Verdict { breach: Some(breach), ..Verdict::default() };
        }
        let here = sight.here.unwrap_or(self.holds());
        match (here, limits.adds(actions), limits.removes(actions)) {
            (false, true, _) => self.judge_start(limits, actions, now),
            // Where the kernel shows it still there, it is removed once more.
            (true, _, true) if !self.holds() => Verdict::default(),
            (true, _, true) => self.judge_release(limits, now),
            (true, _, false) => self.judge_holding(limits, limits.renews(actions), sight, now),
            (false, false, _) => Verdict::default(),
        }
    }

    /// PAUSED: what a paused agent must not do, whatever it was told.
    fn pause_is_broken(&self, limits: &Limits<'_>, actions: &[Action]) -> Option<Breach> {
        if !self.is_paused() {
            return None;
        }
        if limits.adds(actions) {
            return Some(Breach::new(Invariant::Paused, "takes the VIP while it is paused"));
        }
        let sooner = |action: &Action| {
            matches!(action, Action::SetExpelTimeout { .. } | Action::WakeExpel | Action::Fence { .. })
        };
        let words = "has a member expelled sooner while it is paused";
        actions.iter().any(sooner).then(|| Breach::new(Invariant::Paused, words))
    }

    /// LEASE: the kernel's lifetime is never longer than the policy says; only an agent that is told to stop leaves none.
    fn lifetime_is_wrong(&self, limits: &Limits<'_>, actions: &[Action]) -> Option<Breach> {
        let lease = limits.vip.lease?;
        limits.orders(actions).find_map(|action| {
            let (lifetime, renews) = match action {
                VipAction::AddAddress { lifetime, .. } => (lifetime, false),
                VipAction::RenewAddress { lifetime, .. } => (lifetime, true),
                _ => return None,
            };
            let permanent = renews && lifetime.is_none() && self.stops;
            let wrong = !permanent && lifetime.is_none_or(|lifetime| lifetime > lease);
            wrong.then(|| {
                let words = format!("adds the VIP for {lifetime:?}, and the lease is {lease:?}");
                Breach::new(Invariant::Lease, words)
            })
        })
    }

    /// EVIDENCE and NEWEST-VIEW: the address is not there, and is to be added.
    fn judge_start(&self, limits: &Limits<'_>, actions: &[Action], now: Time) -> Verdict {
        if let Some(interface) = limits.added_where_it_does_not_belong(actions) {
            let words = format!("takes the VIP on {interface}, where it does not belong");
            return Verdict { starts: true, ..Verdict::breach(Invariant::Evidence, words) };
        }
        Verdict { breach: self.lacks_evidence(limits, now), starts: true, ..Verdict::default() }
    }

    fn lacks_evidence(&self, limits: &Limits<'_>, now: Time) -> Option<Breach> {
        let lacks = |words: String| Some(Breach::new(Invariant::Evidence, words));
        let Some(wish) = self.wish_since() else {
            let Self { word, gateway, member, .. } = self;
            let invariant = if *word == Word::Stale { Invariant::NewestView } else { Invariant::Evidence };
            let words =
                format!("takes the VIP, and was told: server {word:?}, gateway {gateway:?}, member {member}");
            return Some(Breach::new(invariant, words));
        };
        let old = |asked: Time| now.since(asked) > limits.group.evidence_age;
        if old(self.server_asked) || old(self.gateway_asked) {
            return lacks("takes the VIP on facts that are too old".to_owned());
        }
        if self.server_asked < wish || self.gateway_asked < wish {
            return lacks("takes the VIP without a second check".to_owned());
        }
        if limits.vip.role == VipRole::Reader && self.reached.are_too_few(limits.group, now) {
            return lacks("takes a reader VIP while too few of the others answer on the segment".to_owned());
        }
        if self.hears_nothing {
            return lacks("takes the VIP while it can hear no answer".to_owned());
        }
        let overrules = limits.vip.takeover_after.zip(self.taken_since);
        if overrules.is_some_and(|(after, since)| now >= since + after) {
            return None;
        }
        if self.was_released(now) || self.has_asked_around(limits, now) {
            return None;
        }
        let ago = now.since(self.last_probe).as_millis();
        lacks(format!(
            "takes the VIP after {} probes, the last {ago} ms ago, and nobody let go of it",
            self.probes
        ))
    }

    /// Whoever had it said that it is free, just now.
    fn was_released(&self, now: Time) -> bool {
        self.released_at.is_some_and(|at| now.since(at) <= WORD_HOLDS_FOR)
    }

    /// The network was asked often enough, and the last question had its time to be answered.
    fn has_asked_around(&self, limits: &Limits<'_>, now: Time) -> bool {
        self.probes >= limits.vip.probe_count && now.since(self.last_probe) >= limits.vip.probe_spacing
    }

    /// Judges an agent that does nothing: one that holds the VIP may do so for no longer than its limits say.
    pub fn goes_on(&self, limits: &Limits<'_>, sight: &Sight, now: Time) -> Verdict {
        if sight.here.unwrap_or(self.holds()) {
            self.judge_holding(limits, false, sight, now)
        } else {
            Verdict::default()
        }
    }

    /// LEASE and NEWEST-VIEW: it goes on holding, or renews.
    fn judge_holding(&self, limits: &Limits<'_>, renews: bool, sight: &Sight, now: Time) -> Verdict {
        let heard_of = limits.vip.hung_patience.max(limits.group.poll_interval * 2) + sight.slack;
        if renews && self.word == Word::Nothing {
            return Verdict::breach(Invariant::Lease, "renews, and nothing was heard of its server");
        }
        if renews && now.since(self.server_asked) > heard_of {
            return Verdict::breach(Invariant::Lease, "renews, and nothing more is heard of its server");
        }
        let Some(until) = self.held_since.and_then(|since| self.may_hold_until(limits, since)) else {
            return Verdict::default();
        };
        if now <= until + sight.slack {
            return Verdict::default();
        }
        // One that stood still after the first word asks again, and waits for a claim from then on.
        if self.stood_still.is_some_and(|(at, _)| now.since(at) < limits.vip.claim_wait) {
            return Verdict::excused(Excuse::StoodStill);
        }
        let invariant = if self.word == Word::Stale { Invariant::NewestView } else { Invariant::Lease };
        let since = self.word_since.min(self.gateway_since);
        let words = format!(
            "goes on holding, though its server: {:?}, its gateway: {:?}, its interface of use: {}, for {:.1} s",
            self.word,
            self.gateway,
            self.member,
            now.since(since).as_secs_f64()
        );
        Verdict::breach(invariant, words)
    }

    /// NO-FLAP and UNKNOWN-IS-NOT-NO: it lets go.
    fn judge_release(&self, limits: &Limits<'_>, now: Time) -> Verdict {
        let Some(breach) = self.lets_go_too_soon(limits, now) else { return Verdict::default() };
        let forgot = |(at, still): (Time, Duration)| {
            at == now && limits.vip.lease.is_some_and(|lease| still > lease / 2)
        };
        // A claim is settled in time; what lies in a pause is no time.
        let within = limits.vip.dispute_limit * 3;
        let still = self.stood_still.filter(|(at, _)| now.since(*at) < within);
        let within = within + still.map_or(Duration::ZERO, |(_, still)| still);
        let contested = |at: Time| now.since(at) < within;
        // One that has just taken it lets go of it again at the first answer, whoever leads.
        let settled = self.held_since.is_some_and(|since| now.since(since) > limits.vip.dispute_limit);
        let is_for_readers = limits.vip.role == VipRole::Reader;
        if settled
            && !is_for_readers
            && !self.gives_up
            && self.claims.are_all_of_older_views(self.newest.as_ref())
        {
            let words = "yields to a claim of an older view";
            return Verdict::breach(Invariant::NewestView, words);
        }
        let excuse = if self.gives_up {
            Excuse::GivenUp
        } else if self.stood_still.is_some_and(forgot) {
            Excuse::AllForgotten
        } else if self.contested_at.is_some_and(contested) {
            Excuse::Contested
        } else {
            return Verdict { breach: Some(breach), ..Verdict::default() };
        };
        Verdict::excused(excuse)
    }

    /// A reader VIP belongs to nobody: no secondary is fit by its own word, and then nobody is to have it.
    fn has_no_reader(&self, limits: &Limits<'_>, now: Time) -> bool {
        limits.vip.role == VipRole::Reader
            && limits.group.readers.when_none == WhenNoReader::Nobody
            && !self.is_paused()
            && self.reader_words.nobody_is_fit(now)
    }

    /// A reader VIP's host may be cut off on the segment: the others may have it soon.
    fn may_be_cut_off(&self, limits: &Limits<'_>, now: Time) -> bool {
        limits.vip.role == VipRole::Reader && self.reached.may_be_too_few(limits.group, now)
    }

    fn lets_go_too_soon(&self, limits: &Limits<'_>, now: Time) -> Option<Breach> {
        if !self.member || self.has_no_reader(limits, now) || self.may_be_cut_off(limits, now) {
            return None;
        }
        let asks_none = limits.vip.gateway == VipGateway::Nobody;
        let asked = if asks_none { self.server_asked } else { self.server_asked.max(self.gateway_asked) };
        // Where nothing at all is answered any more, the first word has to do in the end.
        let once = |since: Time| asked < since && now.since(since) < limits.vip.claim_wait;
        if self.no_since.is_some_and(once) {
            let words = format!("lets go at the first word: {:?}, gateway {:?}", self.word, self.gateway);
            return Some(Breach::new(Invariant::NoFlap, words));
        }
        let paused = self.is_paused();
        if self.gateway == Some(false) && !(paused && self.word.may_stay()) {
            return None;
        }
        let patience = match self.word {
            Word::Silent
            | Word::TurnsAway
            | Word::Leads { .. }
            | Word::TakesWrites
            | Word::Serves
            | Word::Follows
                if paused && !self.strays =>
            {
                let words = format!("lets go by choice while it is paused: {:?}", self.word);
                return Some(Breach::new(Invariant::Paused, words));
            }
            Word::Leads { writable: false } if limits.vip.read_only_primary == ReadOnlyPrimary::Release => {
                return None;
            }
            Word::Leads { .. } | Word::TakesWrites => {
                return Some(Breach::new(
                    Invariant::NoFlap,
                    "lets go, though its server leads, or still takes writes",
                ));
            }
            Word::Serves => {
                let words = "lets go of a reader VIP, though its server is ONLINE with the majority";
                return Some(Breach::new(Invariant::NoFlap, words));
            }
            Word::Silent | Word::Nothing => limits.vip.hung_patience,
            Word::TurnsAway => limits.vip.refused_patience.unwrap_or(Duration::MAX),
            Word::Follows | Word::NoMajority | Word::Stale | Word::Dead => return None,
        };
        let since = now.since(self.word_asked);
        (since < patience).then(|| {
            let words = format!("lets go after {:.3} s of {:?}", since.as_secs_f64(), self.word);
            Breach::new(Invariant::UnknownIsNotNo, words)
        })
    }
}
