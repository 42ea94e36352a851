//! What the invariants' judge is shown of the world: who is well, who hears whom, what stands in the way. What counts as broken is
//! the oracle's.

use std::time::Duration;

use decide::Decision;
use decide::input::Event;
use decide::net::{Mac, VipId};
use decide::output::Reason;
use decide::policy::{GatewayLost, VipGateway, VipPolicy};
use decide::time::Time;
use oracle::outside::{self, LetsGo, Overlap, SETTLE_WITHIN, Together};
use oracle::{Breach, Broken, Excuse, Limits, Orders, Sight};

use super::questions::QUERY_LIMIT;
use super::{Due, World, WorldVip, id_of_vip as id};
use crate::group::{Place, View};
use crate::nic::Nic;

/// A writable primary on a whole network has the VIP after this long.
pub(super) const FOLLOW_WITHIN: Duration = Duration::from_millis(1_500);
/// A holder that has been well for longer than this lets go of nothing.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// An agent that runs lets go within this of a server that takes writes outside the group.
const STRAYS_AT_MOST: Duration = Duration::from_secs(1);
/// The second check, a question to a server that is slow to answer, and a processor that is short.
const SLACK: Duration = Duration::from_millis(1_600);

/// Two holders at once: how long, by what excuses it. Nothing excuses the last.
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

    /// So much more of this overlap, which has lasted for `stretch` by now.
    fn count(&mut self, because: Option<Excuse>, length: Duration, stretch: Duration) {
        match because {
            Some(Excuse::FramesLost) => {
                self.lossy += length;
                self.lossy_longest = self.lossy_longest.max(stretch);
            }
            Some(Excuse::Settling) => {
                self.settling += length;
                self.settling_longest = self.settling_longest.max(stretch);
            }
            Some(Excuse::AgentDoesNotRun) => self.agentless += length,
            Some(_) => self.apart += length,
            None => self.unexplained += length,
        }
    }
}

/// Since when a writable primary could have the VIP.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calm {
    primary: Option<Place>,
    /// The operator has paused its agent: it does not follow.
    paused: bool,
    /// The VIP has an interface of its own, and on the members' own somebody's server can't be asked.
    unasked: bool,
    since: Time,
    followed: bool,
}

impl World {
    pub(super) fn broke(&mut self, at: Time, host: Option<Place>, breach: Breach) {
        let words = match host {
            Some(host) => format!("db{} {}", host + 1, breach.words),
            None => breach.words,
        };
        self.broken.push(Broken { at, invariant: breach.invariant, words });
    }

    /// Notes what was found: a broken invariant, or an excuse that was needed.
    pub(super) fn found(&mut self, host: Place, found: Result<Option<Excuse>, Breach>) {
        match found {
            Ok(excuse) => self.excuses.count(excuse),
            Err(breach) => self.broke(self.now, Some(host), breach),
        }
    }

    /// One step of an agent, by what it was told and what it ordered.
    pub(super) fn check_step(&mut self, host: Place, event: &Event, decision: &Decision, now: Time) {
        let still = now.since(self.hosts[host].last_step);
        self.hosts[host].last_step = now;
        for vip in 0..self.vips.len() {
            let (id, sight) = (id(vip), self.sight(host, vip));
            let settled = decision.reasons.iter().find_map(|said| match said.reason {
                Reason::DisputeWon(member) if said.vip == Some(id) => Some(member),
                _ => None,
            });
            let orders = Orders { actions: &decision.actions, wake_at: decision.wake_at, settled };
            let book = &mut self.hosts[host].vips[vip].book;
            book.went_on_after(still, now);
            let verdict = book.step(&Limits::of(&self.policy, id), event, &orders, &sight, now);
            self.found(host, verdict.breach.map_or(Ok(verdict.excuse), Err));
        }
    }

    /// The VIPs are held by the same limits.
    fn limits(&self) -> &VipPolicy {
        &self.policy.vips[&VipId::FIRST]
    }

    fn sight(&self, host: Place, vip: usize) -> Sight {
        let slack = if self.chances.held_up > 0.0 { SLACK * 2 } else { SLACK };
        Sight { here: Some(self.hosts[host].vips[vip].here.is_some()), slack }
    }

    pub(super) fn count_overlaps(&mut self, until: Time) {
        for vip in 0..self.vips.len() {
            // The measures are the writers'.
            if self.is_writers(vip)
                && let Some(Overlap { because, since }) = self.vips[vip].one_holder.overlap()
            {
                self.measured.count(because, until.since(self.now), until.since(since));
            }
        }
    }

    /// ONE-HOLDER. Called whenever an address comes or goes, and whenever somebody begins or ceases to hear another.
    pub(super) fn look(&mut self) {
        for vip in 0..self.vips.len() {
            self.look_at_vip(vip);
        }
    }

    fn look_at_vip(&mut self, vip: usize) {
        let holders: Vec<Place> = self.vips[vip].holders.each().collect();
        let act = holders.iter().map(|place| self.hosts[*place].acts_since);
        // An agent that does not act settles nothing.
        let act = act.zip(&holders).map(|(since, place)| since.filter(|_| self.hosts[*place].agent_acts()));
        let act_since = act.collect::<Option<Vec<Time>>>().and_then(|each| each.into_iter().max());
        let together = Together {
            holders: &holders,
            hear_since: &self.receiving_since[self.nic_of(vip).place()],
            frames_lost: holders.len() > 1 && self.lossy(self.nic_of(vip)),
            overruled: holders.iter().any(|place| self.hosts[*place].vips[vip].overruled),
            act_since,
            settle_within: SETTLE_WITHIN
                + self.unproven(vip)
                + self.held_up()
                + self.strange_for(vip, &holders),
        };
        let look = self.vips[vip].one_holder.look(&together, self.now);
        if let Some(Overlap { because, .. }) = look.news {
            let counts = because == Some(Excuse::FramesLost) && self.is_writers(vip);
            self.measured.lossy_times += u32::from(counts);
            self.tell(|| format!("TWO HOLDERS ({})", because.map_or("nothing excuses it", Excuse::name)));
            self.excuses.count(because);
        }
        if let Some(at) = look.look_at {
            self.push(at, Due::SettleCheck);
        }
        if let Some(breach) = look.breach {
            self.broke(self.now, None, breach);
        }
        if holders.len() < 2 {
            self.look_whether_followed(vip);
        }
    }

    /// Where the peers' servers turn questions away, nothing proves a newer view to an old holder whose own server has yet
    /// to learn of it: the server itself learns it within 2 s, and the agent waits `claim_wait` for a claim. One whose group
    /// port is cut learns nothing; 6 s later it knows that it has no majority.
    fn unproven(&self, vip: usize) -> Duration {
        if self.chances.peer_unknown > 0.0
            || self.somebody_is_unasked(vip)
            || self.hosts.iter().any(|host| host.server.turns_away.is_some())
        {
            let members = 0..self.hosts.len();
            let apart = members.clone().any(|one| members.clone().any(|other| !self.group_link(one, other)));
            let learns = if apart { 6 } else { 3 };
            Duration::from_secs(learns) + self.limits().claim_wait
        } else {
            Duration::ZERO
        }
    }

    /// An agent that is held up now and then takes its time for all, and may three times in a row not come to take the VIP while its
    /// proof is fresh: a second each time. With reader VIPs there is more that it is held up at.
    pub(super) fn held_up(&self) -> Duration {
        if self.chances.held_up > 0.0 { FOLLOW_WITHIN * 3 } else { Duration::ZERO }
    }

    fn follow_within(&self, vip: usize) -> Duration {
        FOLLOW_WITHIN + self.unproven(vip) + self.held_up()
    }

    /// Servers are asked on the members' interface. A VIP that is on another may be claimed by hosts that hear each other there, and
    /// can't be asked.
    fn somebody_is_unasked(&self, vip: usize) -> bool {
        let awake = |place: &Place| self.hosts[*place].is_awake();
        let apart =
            |one: Place| (0..one).filter(awake).any(|other| !self.hear_each_other(Nic::Eth0, one, other));
        self.nic_of(vip) == Nic::Eth1 && (0..self.hosts.len()).filter(awake).any(apart)
    }

    /// So long one of these is a stranger yet to the others, where hosts have to say who they are: its interface was replaced.
    fn strange_for(&self, vip: usize, hosts: &[Place]) -> Duration {
        let known_from = hosts.iter().filter_map(|host| self.known_from(vip, *host)).max();
        known_from.map_or(Duration::ZERO, |known_from| known_from.since(self.now))
    }

    /// From when on the others know whose hardware address this host's is, where hosts have to say who they are.
    fn known_from(&self, vip: usize, host: Place) -> Option<Time> {
        let nic = self.nic_of(vip);
        (nic == Nic::Eth1).then(|| self.hosts[host].card(nic).known_from)
    }

    /// NO-FLAP: an address leaves, by its agent's order or at the end of its lease.
    pub(super) fn check_flap(&mut self, host: Place, vip: usize) {
        let seen = &self.hosts[host];
        if seen.vips[vip].here.is_none() {
            return;
        }
        let well_since = match self.limits().gateway_lost {
            _ if !self.is_writers(vip) => seen.candidate.fit_since,
            GatewayLost::Release => self.well_since(host, vip),
            GatewayLost::HoldWithMajority => self.on_its_interface(host, vip, seen.leads_since),
        };
        let lets_go = LetsGo {
            well_for: well_since.map(|since| self.now.since(since.max(seen.busy_until))),
            beside: self.vips[vip].holders.count() > 1
                && self.now.since(seen.vips[vip].since) < self.limits().dispute_limit * 2,
            given_up: seen.giving_up,
        };
        self.found(host, outside::lets_go(lets_go, SETTLED_AFTER));
    }

    /// Since when the host's server has led, and answered the gateway that this VIP has.
    fn well_since(&self, host: Place, vip: usize) -> Option<Time> {
        let seen = &self.hosts[host];
        let since = match self.gateway_of(vip) {
            VipGateway::TheClusters => seen.well_since,
            VipGateway::Own(_) => seen.own_well_since,
            VipGateway::Nobody => seen.leads_since,
        };
        self.on_its_interface(host, vip, since)
    }

    /// The same of a VIP that has an interface of its own, which has to be of use as long.
    fn on_its_interface(&self, host: Place, vip: usize, since: Option<Time>) -> Option<Time> {
        match self.nic_of(vip) {
            Nic::Eth0 => since,
            Nic::Eth1 => Some(since?.max(self.hosts[host].card(Nic::Eth1).serves_since?)),
        }
    }

    /// LEASE: the kernel is ordered to renew the VIP.
    pub(super) fn check_renewal(&mut self, host: Place, vip: usize) {
        let late = self.clock(host).since(self.hosts[host].decided_at);
        let here = self.hosts[host].vips[vip].here.is_some();
        self.found(host, outside::renewed(here, late).map(|()| None));
    }

    /// EVIDENCE: "it is free, and yours" is said.
    pub(super) fn check_release_word(&mut self, host: Place, vip: usize, to: Option<Mac>) {
        if to.is_some() {
            let removed = self.hosts[host].vips[vip].removed_at.map(|at| self.now.since(at));
            self.found(host, outside::released_to_one(removed).map(|()| None));
        }
    }

    /// Something changed in the world: who is well, who hears whom, and whether the VIP could follow.
    pub(super) fn reassess(&mut self) {
        self.group_listens();
        for nic in self.nics() {
            self.look_who_hears_whom(nic);
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
                && host.is_on(Nic::Eth0)
                && (host.server.says_it_leads() || (yields && host.server.says_it_takes_writes()));
            let well = leads && host.gateway_lost_at.is_none();
            let own_well = leads && host.own_gateway_lost_at.is_none();
            let now = self.now;
            let host = &mut self.hosts[place];
            let acts = host.agent_acts();
            host.acts_since = acts.then(|| host.acts_since.unwrap_or(now));
            host.fit_since = fit.then(|| host.fit_since.unwrap_or(now));
            host.well_since = well.then(|| host.well_since.unwrap_or(now));
            host.own_well_since = own_well.then(|| host.own_well_since.unwrap_or(now));
            host.leads_since = leads.then(|| host.leads_since.unwrap_or(now));
        }
        self.look_whether_calm();
        self.look_at_candidates();
        self.look_for_stray_writes();
        self.look();
    }

    fn look_who_hears_whom(&mut self, nic: Nic) {
        for one in 0..self.hosts.len() {
            for other in 0..self.hosts.len() {
                let hear = one != other && self.hear_each_other(nic, one, other);
                let since = &mut self.receiving_since[nic.place()][one][other];
                *since = hear.then(|| since.unwrap_or(self.now));
            }
            let serves = self.hosts[one].is_awake() && self.hosts[one].card(nic).serves();
            let since = &mut self.hosts[one].card_mut(nic).serves_since;
            *since = serves.then(|| since.unwrap_or(self.now));
        }
    }

    /// NO-STRAY-WRITES: no VIP where a server takes writes outside its group. An agent that does not run is bounded by its lease.
    fn look_for_stray_writes(&mut self) {
        let each = |(vip, seen): (usize, &WorldVip)| {
            seen.holders.each().map(move |place| (vip, place)).collect::<Vec<_>>()
        };
        let held: Vec<_> = self.vips.iter().enumerate().flat_map(each).collect();
        for (vip, place) in held {
            let host = &self.hosts[place];
            let Some(acts_since) = host.acts_since.filter(|_| host.server.takes_stray_writes()) else {
                continue;
            };
            let stuck = host.asker_stuck_until.is_some()
                || host.asker_back_at.is_some_and(|back| self.now.since(back) < STRAYS_AT_MOST);
            let excuse = if stuck || self.chances.held_up > 0.0 {
                Some(Excuse::NotToldYet)
            } else {
                host.vips[vip].book.is_turned_away().then_some(Excuse::TurnedAway)
            };
            // While its server hangs, an agent that has just started can't learn of it; and the server takes nothing.
            let since = acts_since.max(host.went_on_at);
            self.found(place, outside::strays(self.now.since(since), STRAYS_AT_MOST, excuse));
        }
    }

    /// The writable primary, where nothing stands between it and the VIP.
    fn calm_primary(&self, vip: usize) -> Option<Place> {
        let (primary, _) = self.group.writable?;
        self.well_since(primary, vip)?;
        let nic = self.nic_of(vip);
        // Where the VIP has an interface of its own, whoever lacks that interface has nothing to do with it.
        let concerned = |place: &Place| {
            let host = &self.hosts[*place];
            let may_have_it = nic == Nic::Eth0 || host.is_on(nic) || host.vips[vip].here.is_some();
            host.is_awake() && may_have_it
        };
        let heard = (0..self.hosts.len())
            .filter(concerned)
            .all(|place| place == primary || self.hear_each_other(nic, primary, place));
        let held_by_agents =
            self.hosts.iter().all(|host| !host.powered || host.vips[vip].here.is_none() || host.agent_acts());
        let frames = !self.lossy(nic) && !self.is_cut(|cut| cut.answers_for_others_on(nic));
        // A rival whose own server can't be heard goes on asking until it is told of a time-out; it is asked about first.
        let told = self.hosts.iter().all(|host| {
            let waits = host.asker_back_at.is_some_and(|back| self.now.since(back) < QUERY_LIMIT);
            !host.is_awake() || (host.asker_stuck_until.is_none() && !waits)
        });
        (heard && held_by_agents && frames && told).then_some(primary)
    }

    fn look_whether_calm(&mut self) {
        for vip in (0..self.vips.len()).filter(|vip| self.is_writers(*vip)).collect::<Vec<_>>() {
            let primary = self.calm_primary(vip);
            let paused = primary.is_some_and(|primary| self.is_paused_by_operator(primary));
            let unasked = self.somebody_is_unasked(vip);
            let calm = &self.vips[vip].calm;
            if (primary, paused, unasked) == (calm.primary, calm.paused, calm.unasked) {
                continue;
            }
            self.vips[vip].calm = Calm { primary, paused, unasked, since: self.now, followed: false };
            if primary.is_some() {
                self.push(self.now + self.follow_within(vip), Due::FollowCheck(vip, self.now));
            }
        }
    }

    /// The operator has paused this host's agent.
    pub(super) fn is_paused_by_operator(&self, host: Place) -> bool {
        self.hosts[host].paused_on_its_clock.is_some_and(|until| until > self.clock(host))
    }

    fn look_whether_followed(&mut self, vip: usize) {
        let WorldVip { holders, calm, .. } = &mut self.vips[vip];
        let Some(primary) = calm.primary.filter(|_| !calm.paused) else { return };
        if !calm.followed && holders.has(primary) {
            calm.followed = true;
            self.followed.add(self.now.since(calm.since));
        }
    }

    /// FOLLOWS: the VIP is where the writable primary is, within the budget.
    pub(super) fn check_followed(&mut self, vip: usize, since: Time) {
        let WorldVip { holders, calm, .. } = &self.vips[vip];
        let Some(primary) = calm.primary.filter(|_| calm.since == since) else { return };
        let paused = calm.paused;
        let holders: Vec<Place> = holders.each().collect();
        let within = self.follow_within(vip);
        let known = self.known_from(vip, primary).map(|from| from + within);
        let has_another = holders.iter().any(|holder| *holder != primary);
        if let Some(known) = known.filter(|known| has_another && self.now < *known) {
            // To whoever has it the primary has been a stranger.
            return self.push(known, Due::FollowCheck(vip, since));
        }
        let found = outside::follows(self.now.since(since), within, primary, &holders);
        // What was flushed a moment ago is being put back.
        let flushed = self.hosts[primary].vips[vip].flushed_at.map(|at| at + within);
        match (found, flushed.filter(|until| self.now < *until)) {
            (Ok(()), _) => {}
            (Err(_), _) if paused => self.excuses.count(Excuse::Paused),
            (Err(_), Some(until)) => {
                self.excuses.count(Excuse::JustRemoved);
                self.push(until, Due::FollowCheck(vip, since));
            }
            (Err(breach), None) => self.broke(self.now, Some(primary), breach),
        }
    }

    /// What is to be true at the end of a run.
    pub fn check_end(&mut self) {
        if !self.broken.is_empty() {
            return;
        }
        for vip in 0..self.vips.len() {
            let Calm { primary, since, .. } = self.vips[vip].calm;
            if primary.is_some() && self.now.since(since) > self.follow_within(vip) {
                self.check_followed(vip, since);
            }
        }
        self.check_placed_at_the_end();
        self.check_restored();
    }
}
