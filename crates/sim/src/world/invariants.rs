//! The invariants as they are seen from outside: at any moment, and at the end. What one agent was told is another file's.

use core::fmt;
use std::time::Duration;

use decide::driver::Driver;
use decide::event::Mac;
use decide::policy::GatewayLost;
use decide::time::Time;

use super::questions::QUERY_LIMIT;
use super::{Due, World};
use crate::group::{Place, View};

/// Two hosts that begin to hear each other while both hold the VIP (a network is healed, a virtual machine goes on) have
/// this long to settle it: neither could have asked the other before.
pub(super) const SETTLE_WITHIN: Duration = Duration::from_millis(1_500);
/// A writable primary on a whole network has the VIP after this long.
pub(super) const FOLLOW_WITHIN: Duration = Duration::from_millis(1_500);

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// ONE-HOLDER
    OneHolder,
    /// EVIDENCE
    Evidence,
    /// NEWEST-VIEW
    NewestView,
    /// LEASE
    Lease,
    /// UNKNOWN-IS-NOT-NO
    UnknownIsNotNo,
    /// NO-FLAP
    NoFlap,
    /// FOLLOWS
    Follows,
    /// RESTORED
    Restored,
    /// NO-ORPHAN-WRITES
    NoStrayWrites,
    /// What `step` promises of the time: it comes back when it said, and nothing happens before.
    Wakes,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneHolder => "ONE-HOLDER",
            Self::Evidence => "EVIDENCE",
            Self::NewestView => "NEWEST-VIEW",
            Self::Lease => "LEASE",
            Self::UnknownIsNotNo => "UNKNOWN-IS-NOT-NO",
            Self::NoFlap => "NO-FLAP",
            Self::Follows => "FOLLOWS",
            Self::Restored => "RESTORED",
            Self::NoStrayWrites => "NO-ORPHAN-WRITES",
            Self::Wakes => "WAKES",
        })
    }
}

/// An invariant was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// When.
    pub at: Time,
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub words: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.words)
    }
}

/// Two holders at once: how long, by what explains it. Nothing explains the last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// They do not hear each other.
    pub apart: Duration,
    /// Frames between them are lost or late.
    pub lossy: Duration,
    /// … the longest at a stretch.
    pub lossy_longest: Duration,
    /// … how often.
    pub lossy_times: u32,
    /// They have just begun to hear each other.
    pub settling: Duration,
    /// … the longest at a stretch.
    pub settling_longest: Duration,
    /// They hear each other, and the agent of one does not run: it was cut off, or overruled after `takeover_after`.
    pub agentless: Duration,
    /// Nothing explains it.
    pub unexplained: Duration,
}

impl Measured {
    /// Together with those of another run.
    pub fn add(&mut self, other: &Self) {
        self.apart += other.apart;
        self.lossy += other.lossy;
        self.lossy_longest = self.lossy_longest.max(other.lossy_longest);
        self.lossy_times += other.lossy_times;
        self.settling += other.settling;
        self.settling_longest = self.settling_longest.max(other.settling_longest);
        self.agentless += other.agentless;
        self.unexplained += other.unexplained;
    }
}

/// Why two hold the VIP at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Explained {
    Apart,
    Lossy,
    Settling,
    Agentless,
    No,
}

/// Two holders at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overlap {
    because: Explained,
    since: Time,
}

/// Since when a writable primary could have the VIP.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calm {
    primary: Option<Place>,
    since: Time,
    followed: bool,
}

impl World {
    pub(super) fn count_overlap(&mut self, until: Time) {
        let Some(overlap) = self.overlap else { return };
        let (length, stretch) = (until.since(self.now), until.since(overlap.since));
        let measured = &mut self.measured;
        match overlap.because {
            Explained::Apart => measured.apart += length,
            Explained::Lossy => {
                measured.lossy += length;
                measured.lossy_longest = measured.lossy_longest.max(stretch);
            }
            Explained::Settling => {
                measured.settling += length;
                measured.settling_longest = measured.settling_longest.max(stretch);
            }
            Explained::Agentless => measured.agentless += length,
            Explained::No => measured.unexplained += length,
        }
    }

    /// ONE-HOLDER. Called whenever an address comes or goes, and whenever somebody begins or ceases to hear another.
    pub(super) fn look(&mut self) {
        if self.holders.count() < 2 {
            self.overlap = None;
            return self.look_whether_followed();
        }
        let because = self.explain();
        let known = self.overlap.map(|overlap| overlap.because);
        // What began without an explanation, or before frames were lost, is not explained by what came later.
        let because = match (known, because) {
            (Some(Explained::Lossy), Explained::No | Explained::Settling) => Explained::Lossy,
            (Some(Explained::Settling | Explained::Agentless), Explained::No) => Explained::Settling,
            (_, because) => because,
        };
        // An agent that does not run settles nothing: its lease does, or `takeover_after` was over.
        let all_act = self.holders.each().all(|place| self.hosts[place].agent_acts());
        let because = match because {
            Explained::Settling if !all_act => Explained::Agentless,
            because => because,
        };
        if known != Some(because) {
            self.overlap = Some(Overlap { because, since: self.now });
            self.measured.lossy_times += u32::from(because == Explained::Lossy);
            self.tell(|| format!("TWO HOLDERS ({because:?})"));
        }
        let Some(overlap) = self.overlap else { return };
        let holders = self.holders();
        match because {
            Explained::No => {
                let words = format!("{} hold the VIP and hear each other", names(&holders));
                self.broke(super::Invariant::OneHolder, words);
            }
            Explained::Settling => {
                let acts = holders.iter().map(|place| self.hosts[*place].acts_since);
                let Some(since) = acts.collect::<Option<Vec<Time>>>().and_then(|each| each.into_iter().max())
                else {
                    return;
                };
                let over = since.max(overlap.since) + self.settle_within();
                if self.now > over {
                    let words =
                        format!("{} still hold the VIP, and have heard each other for long", names(&holders));
                    self.broke(super::Invariant::OneHolder, words);
                } else if known != Some(because) || self.now == since {
                    self.push(over + Duration::from_micros(1), Due::SettleCheck);
                }
            }
            _ => {}
        }
    }

    /// Where the peers' servers turn questions away, nothing proves a newer view to an old holder whose own server has yet
    /// to learn of it: the server itself learns it within 2 s, and the agent waits `claim_wait` for a claim. One whose group
    /// port is cut learns nothing; 6 s later it knows that it has no majority.
    fn unproven(&self) -> Duration {
        if self.chances.peer_unknown > 0.0 || self.hosts.iter().any(|host| host.server.turns_away.is_some()) {
            let members = 0..self.hosts.len();
            let apart = members.clone().any(|one| members.clone().any(|other| !self.group_link(one, other)));
            let learns = if apart { 6 } else { 3 };
            Duration::from_secs(learns) + self.policy.claim_wait
        } else {
            Duration::ZERO
        }
    }

    /// An agent that is held up now and then takes its time for all, and may twice in a row not come to take the VIP while its
    /// proof is fresh: a second each time.
    fn held_up(&self) -> Duration {
        if self.chances.held_up > 0.0 { FOLLOW_WITHIN * 2 } else { Duration::ZERO }
    }

    fn settle_within(&self) -> Duration {
        SETTLE_WITHIN + self.unproven() + self.held_up()
    }

    fn follow_within(&self) -> Duration {
        FOLLOW_WITHIN + self.unproven() + self.held_up()
    }

    fn explain(&self) -> Explained {
        if self.lossy() {
            return Explained::Lossy;
        }
        let mut explained = Explained::Apart;
        for one in self.holders.each() {
            for other in self.holders.each().filter(|other| *other > one) {
                if !self.hear_each_other(one, other) {
                    continue;
                }
                let since = self.receiving_since[one][other].unwrap_or(self.now);
                // Whoever took it last asked before, for a second at the least where nothing was heard.
                let overruled = self.hosts[one].overruled || self.hosts[other].overruled;
                if self.now.since(since) > SETTLE_WITHIN && !overruled {
                    return Explained::No;
                }
                explained = Explained::Settling;
            }
        }
        explained
    }

    /// NO-FLAP: a holder that has been well for a while lets go of nothing.
    pub(super) fn check_flap(&mut self, host: Place) {
        let well_since = match self.policy.gateway_lost {
            GatewayLost::Release => self.hosts[host].well_since,
            GatewayLost::HoldWithMajority => self.hosts[host].leads_since,
        };
        let since = well_since.map(|since| since.max(self.hosts[host].busy_until));
        let well = since.is_some_and(|since| self.now.since(since) > Duration::from_secs(2));
        // One that has just taken it beside another holder puts that right.
        let beside = self.holders.count() > 1
            && self.now.since(self.hosts[host].vip_since) < self.policy.dispute_limit * 2;
        if well && self.hosts[host].vip.is_some() && !beside && !self.hosts[host].giving_up {
            let words = format!("db{} leads, and lets go of the VIP", host + 1);
            self.broke(super::Invariant::NoFlap, words);
        }
    }

    /// LEASE: the kernel's lifetime is never longer than the policy says; only an agent that is told to stop leaves none.
    pub(super) fn check_lifetime(&mut self, host: Place, lifetime: Option<Duration>) {
        let Some(lease) = self.policy.lease else { return };
        let stopping = self.hosts[host].agent.as_ref().is_some_and(Driver::is_stopping);
        if !(stopping && lifetime.is_none()) && lifetime.is_none_or(|lifetime| lifetime > lease) {
            let words = format!("db{} adds the VIP for {lifetime:?}, the lease is {lease:?}", host + 1);
            self.broke(super::Invariant::Lease, words);
        }
    }

    /// LEASE: only what is there is renewed, and the kernel's lifetime counts from the decision, but for the quarter of a second
    /// that the kernel itself is not precise about, and the deed.
    pub(super) fn check_renewal(&mut self, host: Place) {
        let late = self.clock(host).since(self.hosts[host].decided_at);
        if self.hosts[host].vip.is_none() {
            let words = format!("db{} renews the VIP, which is gone, and so adds it", host + 1);
            self.broke(super::Invariant::Lease, words);
        } else if late > Duration::from_millis(300) {
            let words = format!("db{} renews the VIP {} ms after it was decided", host + 1, late.as_millis());
            self.broke(super::Invariant::Lease, words);
        }
    }

    /// EVIDENCE: "it is free, and yours" is said only of what was here a moment ago: nobody else can have found it free since.
    pub(super) fn check_release_word(&mut self, host: Place, to: Option<Mac>) {
        let removed = self.hosts[host].removed_at.map(|at| self.now.since(at));
        if to.is_some() && removed.is_none_or(|ago| ago > Duration::from_millis(15)) {
            let words = format!("db{} names its successor, and let go {removed:?} ago", host + 1);
            self.broke(super::Invariant::Evidence, words);
        }
    }

    /// Something changed in the world: who is well, who hears whom, and whether the VIP could follow.
    pub(super) fn reassess(&mut self) {
        self.group_listens();
        for one in 0..self.hosts.len() {
            for other in 0..self.hosts.len() {
                let hear = one != other && self.hear_each_other(one, other);
                let since = self.receiving_since[one][other];
                self.receiving_since[one][other] = hear.then(|| since.unwrap_or(self.now));
            }
        }
        for place in 0..self.hosts.len() {
            let host = &self.hosts[place];
            let fit = host.agent_acts()
                && !host.giving_up
                && host.server.answer().is_some()
                && host.server.turns_away.is_none();
            let yields = self.group.yields(place);
            let leads = yields || self.group.writable.is_some_and(|(primary, _)| primary == place);
            // One that was cut off from the group as that agreed on a new view is not of it yet.
            let newest =
                |view: &View| (view.birth, view.counter) >= (self.group.view.birth, self.group.view.counter);
            let leads = leads && host.server.view.as_ref().is_some_and(newest);
            let leads = fit
                && leads
                && host.asker_stuck_until.is_none()
                && host.interface
                && (host.server.says_it_leads() || (yields && host.server.says_it_takes_writes()));
            let well = leads && host.gateway_lost_at.is_none();
            let now = self.now;
            let host = &mut self.hosts[place];
            let acts = host.agent_acts();
            host.acts_since = acts.then(|| host.acts_since.unwrap_or(now));
            host.fit_since = fit.then(|| host.fit_since.unwrap_or(now));
            host.well_since = well.then(|| host.well_since.unwrap_or(now));
            host.leads_since = leads.then(|| host.leads_since.unwrap_or(now));
        }
        self.look_whether_calm();
        self.look_for_stray_writes();
        self.look();
    }

    /// NO-ORPHAN-WRITES: no VIP where a server takes writes outside its group. An agent that does not run, or is held up, or whose
    /// server's watch is stuck, is excused: its lease does it. So is one that its server has turned away ever since it was started, and that was
    /// told of no server's end: it goes on while nothing contradicts it, as whoever can't log in does.
    fn look_for_stray_writes(&mut self) {
        let acts_for = Duration::from_secs(1);
        for place in self.holders() {
            let host = &self.hosts[place];
            let acts = host.acts_since.is_some_and(|since| self.now.since(since) > acts_for);
            let stuck = host.asker_stuck_until.is_some()
                || host.asker_back_at.is_some_and(|back| self.now.since(back) < acts_for);
            let excused = stuck || host.eye.is_turned_away() || self.chances.held_up > 0.0;
            if host.server.takes_stray_writes() && acts && !excused {
                let words =
                    format!("db{} has the VIP, and its server takes writes outside the group", place + 1);
                self.broke(Invariant::NoStrayWrites, words);
            }
        }
    }

    /// The writable primary, where nothing stands between it and the VIP.
    fn calm_primary(&self) -> Option<Place> {
        let (primary, _) = self.group.writable?;
        self.hosts[primary].well_since?;
        let awake = |place: &Place| self.hosts[*place].is_awake();
        let heard = (0..self.hosts.len())
            .filter(awake)
            .all(|place| place == primary || self.hear_each_other(primary, place));
        let held_by_agents =
            self.hosts.iter().all(|host| !host.powered || host.vip.is_none() || host.agent_acts());
        let frames = !self.lossy()
            && !self.is_cut(|cut| matches!(cut, super::Cut::Stranger | super::Cut::SwitchAnswers));
        // A rival whose own server can't be heard goes on asking until it is told of a time-out; it is asked about first.
        let told = self.hosts.iter().all(|host| {
            let waits = host.asker_back_at.is_some_and(|back| self.now.since(back) < QUERY_LIMIT);
            !host.is_awake() || (host.asker_stuck_until.is_none() && !waits)
        });
        (heard && held_by_agents && frames && told).then_some(primary)
    }

    fn look_whether_calm(&mut self) {
        let primary = self.calm_primary();
        if primary == self.calm.primary {
            return;
        }
        self.calm = Calm { primary, since: self.now, followed: false };
        if primary.is_some() {
            self.push(self.now + self.follow_within(), Due::FollowCheck(self.now));
        }
    }

    fn look_whether_followed(&mut self) {
        let Some(primary) = self.calm.primary else { return };
        if !self.calm.followed && self.holders.has(primary) {
            self.calm.followed = true;
            self.followed.add(self.now.since(self.calm.since));
        }
    }

    /// FOLLOWS: the VIP is where the writable primary is, within the budget.
    pub(super) fn check_followed(&mut self, since: Time) {
        let Some(primary) = self.calm.primary.filter(|_| self.calm.since == since) else { return };
        // What was flushed a moment ago is being put back.
        let flushed = self.hosts[primary].flushed_at.map(|at| at + self.follow_within());
        if let Some(until) = flushed.filter(|until| self.now < *until) {
            return self.push(until, Due::FollowCheck(since));
        }
        let holders = self.holders();
        if holders != [primary] {
            let words = format!(
                "db{} takes writes, and {} the VIP",
                primary + 1,
                match holders.as_slice() {
                    [] => "nobody has".to_owned(),
                    holders => format!("{} has", names(holders)),
                }
            );
            self.broke(super::Invariant::Follows, words);
        }
    }

    /// What is to be true at the end of a run.
    pub fn check_end(&mut self) {
        if !self.broken.is_empty() {
            return;
        }
        if let Some(primary) = self.calm.primary {
            if self.now.since(self.calm.since) > self.follow_within() {
                let since = self.calm.since;
                self.check_followed(since);
            }
            debug_assert!(primary < self.hosts.len());
        }
        self.check_restored();
    }
}

fn names(places: &[Place]) -> String {
    let names: Vec<String> = places.iter().map(|place| crate::group::name(*place)).collect();
    names.join(" and ")
}
