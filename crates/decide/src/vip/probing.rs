//! The asking side: probes, rivals, the second check, and taking the address.

use std::net::IpAddr;
use std::time::Duration;

use super::lease::announce_after;
use super::machine::VipMachine;
use super::state::{Claim, Hold, Rival, VipState};
use crate::checks::{Stage, Verdict};
use crate::entitlement::Entitlement;
use crate::input::{Fact, Says, Server};
use crate::moment::VipMoment;
use crate::net::Mac;
use crate::output::{Action, Output, Reason, StatMark, Vacant, VipAction};
use crate::planted::planted;
use crate::time::Time;
use crate::timers::Timer;

/// A claim that has been answered "taken" for this long slows its probes down.
const EAGER: Duration = Duration::from_secs(1);
/// Unanswered probes before an address is taken that another host answered for in this claim, or was heard to hold lately
/// without having let go since, where that host still answers for its own address: the missing answers may be lost frames. On a segment that loses a tenth of its frames, ten rounds in a row are lost once in
/// ten million; three, once in 150.
const PROBES_AFTER_AN_ANSWER: u32 = 10;
/// A claimant that looks at its last probe's time late sends one more instead of taking the VIP, so often: a starved one is to take it in
/// the end.
const LATE_LOOKS: u32 = 5;
/// A claim that is looked at later than this after its next probe was due has not heard all that was sent to it.
const ON_TIME: Duration = Duration::from_millis(300);
/// Another holder's server is asked for its view at most this often while it answers.
const ASK_HOLDER_EVERY: Duration = Duration::from_secs(1);
/// Only a host that answered for the address no longer ago than this can say that it is free.
const ANSWERED_LATELY: Duration = Duration::from_secs(3);

impl VipMachine {
    /// A rival of whom nothing was heard for two probes and a half has given up. A claimant that was told "taken" probes slowly.
    pub(super) fn given_up_after(at: VipMoment<'_>) -> Duration {
        at.policy.probe_spacing.max(at.policy.probe_spacing_when_taken) * 5 / 2
    }

    /// A frame about the VIP while it is being claimed.
    pub(crate) fn frame_while_claiming(
        at: VipMoment<'_>,
        out: &mut Output,
        claim: &mut Claim,
        from: Mac,
        says: Says,
    ) {
        match says {
            Says::Reply | Says::Announcement => {
                let before = claim.answered.filter(|(known, _)| *known != from);
                let gone = |known: Mac| known == from || before.is_some_and(|(before, _)| before == known);
                claim.others.retain(|(known, _)| !gone(*known));
                claim.others.extend(before);
                claim.others.sort_unstable();
                claim.answered = Some((from, at.now));
                claim.released_at = None;
                claim.probes = 0;
                claim.taken_since.get_or_insert(at.now);
                if let Some(member) = at.member_of(from) {
                    at.ask_peer_unless_asked_since(out, member, at.now - ASK_HOLDER_EVERY);
                }
            }
            Says::Release { .. } | Says::ReleaseToOthers => Self::heard_free(at, claim, from, says),
            Says::Probe if planted!(at.group, BelieveAnyRelease) => {
                Self::heard_free(at, claim, from, Says::Release { heard_at: at.now });
            }
            // Also of the host that had the address: it lost it otherwise than by letting go, and wants it back.
            Says::Probe => {
                if let Some(member) = at.member_of(from) {
                    let rival =
                        claim.rivals.entry(member).or_insert(Rival { since: at.now, heard_at: at.now });
                    rival.heard_at = at.now;
                    at.ask_peer_unless_asked_since(out, member, rival.since);
                }
            }
            Says::Fitness(_) | Says::Member(_) => {}
        }
    }

    /// The host that had the address says that it is free. Where that was said to this host, and is read at once, nobody
    /// else can have taken it; else the network is asked, as ever, and now at the quick pace.
    fn heard_free(at: VipMoment<'_>, claim: &mut Claim, from: Mac, says: Says) {
        let lately = |heard: Time| at.now.since(heard) <= ANSWERED_LATELY;
        claim.others.retain(|(known, at)| *known != from && lately(*at));
        let held = claim.answered.filter(|(_, at)| lately(*at));
        if held.is_none_or(|(holder, _)| holder != from) {
            return;
        }
        if let Some(other) = claim.others.pop() {
            // One of two holders: its word is not the other's.
            claim.answered = Some(other);
            return;
        }
        if let Says::Release { heard_at } = says {
            claim.released_at = Some(heard_at);
        }
        claim.taken_since = None;
        // A probe that was sent just now is given its time to be answered, by another that may have taken the address since.
        let spacing = if claim.probes == 0 { Duration::ZERO } else { at.policy.probe_spacing };
        claim.next_probe = claim.next_probe.min(at.now + spacing);
    }

    /// A word that the address is free is as good as this long. Whoever else asks for it, from when it is free, takes it
    /// after `probe_count` probes; a quarter of that is for the word, and the rest for the deed.
    fn release_holds_for(at: VipMoment<'_>) -> Duration {
        at.policy.probe_spacing * at.policy.probe_count / 4
    }

    /// Goes on with a claim: drop it, take the address, or probe on.
    pub(crate) fn pursue(&mut self, at: VipMoment<'_>, out: &mut Output, mut claim: Claim) -> VipState {
        match at.verdict_to_start() {
            Verdict::Up if at.may_not_take() => {
                // A probe that is under way is called off: whoever has the address keeps it.
                out.say(Reason::Paused);
                return VipState::Absent;
            }
            Verdict::Up => {}
            Verdict::Down(stage, cause) => {
                out.say(Reason::NotWanted(stage, cause));
                return VipState::Absent;
            }
            Verdict::Unknown(stage, why) => {
                out.say(Reason::NotKnown(stage, why));
                return VipState::Absent;
            }
        }
        Self::forget_what_a_pause_has_made_old(at, &mut claim);
        let fresh = Self::has_fresh_evidence(at, &mut claim);
        Self::ask_for_evidence(at, out, &mut claim);
        if self.receive_down {
            // An answer that can't be heard is not missing.
            claim.probes = 0;
            claim.released_at = None;
            out.say(Reason::ReceiveDown);
            return VipState::Claiming(claim);
        }
        let held_by = self.held_lately_by(at);
        let needed = Self::enough_probes(at, &claim, held_by);
        let enough = claim.probes >= needed;
        // Looked at late, it is old news that nobody answered the last probe: another may have added the address since, and its
        // announcement may be on its way.
        let late = at.now.since(claim.next_probe) > at.policy.probe_spacing;
        let on_time = !late || claim.probes >= needed.saturating_add(LATE_LOOKS);
        let unanswered =
            (enough && on_time && at.now >= claim.next_probe) || planted!(at.group, AcquireWithoutProbing);
        let overruled = Self::held_without_right(at, &claim);
        let ready = fresh && (claim.released_at.is_some() || enough || overruled.is_some());
        claim.ready_since = ready.then(|| claim.ready_since.unwrap_or(at.now));
        let rival = Self::unsettled_rival(at, &mut claim);
        if claim.released_at.is_some() || unanswered || overruled.is_some() {
            match rival {
                Some(member) => out.say(Reason::Rival(member)),
                None if fresh => return self.take(at, out, &claim, overruled),
                None => out.say(Reason::SecondCheck),
            }
        } else if let Some((mac, _)) = claim.answered {
            Self::say_taken(at, out, &claim, mac);
        } else {
            out.say(Reason::Claiming);
        }
        if claim.answered.is_none() || !planted!(at.group, GiveUpWhenTaken) {
            self.introduce_before_claim(at, out, claim.since);
            Self::probe_on(at, out, &mut claim, held_by);
        }
        VipState::Claiming(claim)
    }

    /// Probes that were sent before the agent stood still, and a word that the address is free, prove nothing after it.
    fn forget_what_a_pause_has_made_old(at: VipMoment<'_>, claim: &mut Claim) {
        let late = at.now.since(claim.next_probe) > (at.policy.probe_spacing * 2).max(ON_TIME);
        if late && !planted!(at.group, ClaimOnAfterAPause) {
            // The agent stood still or is starved: an answer may lie unread, and another may have taken the address.
            claim.probes = 0;
            claim.released_at = None;
        }
        let holds_for = Self::release_holds_for(at);
        let believed =
            |heard: &Time| at.now.since(*heard) <= holds_for || planted!(at.group, BelieveAnyRelease);
        claim.released_at = claim.released_at.filter(believed);
    }

    /// The second check: whether server and gateway were asked since the wish arose, and lately.
    fn has_fresh_evidence(at: VipMoment<'_>, claim: &mut Claim) -> bool {
        let stages = at.stages();
        let fresh = [Stage::Server, Stage::Gateway].into_iter().all(|stage| {
            let asked_at = stages.asked_at(stage);
            asked_at >= claim.since && at.now.since(asked_at) <= at.group.evidence_age
        }) || planted!(at.group, SkipSecondCheck);
        if !fresh && at.now.since(claim.since) > at.group.evidence_age {
            // Neither its server's nor the gateway's answer came in time: this host may be cut off, or stand still, and then
            // that nobody answers its probes proves nothing.
            claim.probes = 0;
        }
        fresh
    }

    /// A claim may last for hours, and the polls may be seconds apart: when the address falls free, the proof is to be at hand.
    fn ask_for_evidence(at: VipMoment<'_>, out: &mut Output, claim: &mut Claim) {
        let ask_every = at.group.evidence_age / 2;
        if at.now.since(claim.asked_at) >= ask_every {
            claim.asked_at = at.now;
            out.act(Action::AskServer);
            out.act(Action::AskGateway);
        }
        out.wake(Timer::ClaimEvidence, claim.asked_at + ask_every);
    }

    /// So many unanswered probes take the address.
    fn enough_probes(at: VipMoment<'_>, claim: &Claim, held_by: Option<Mac>) -> u32 {
        let holder_lives = held_by.is_some_and(|mac| Self::may_live(at, mac, claim.since));
        if claim.answered.is_some() || holder_lives {
            at.policy.probe_count.max(PROBES_AFTER_AN_ANSWER)
        } else {
            at.policy.probe_count
        }
    }

    fn probe_on(at: VipMoment<'_>, out: &mut Output, claim: &mut Claim, held_by: Option<Mac>) {
        let asked_at = at.facts.server.asked_at.max(claim.since);
        if at.now >= claim.next_probe && at.now.since(asked_at) > at.group.evidence_age * 3 {
            // Not even a time-out was told since: what watches the server is stuck. To go on asking the network would hold up
            // a member with fresh facts, which takes whoever asks for a rival.
            claim.probes = 0;
            claim.next_probe = at.now + at.policy.probe_spacing_when_taken;
        } else if at.now >= claim.next_probe {
            out.order(VipAction::SendProbe);
            if held_by.is_some() {
                // Does its host answer for its own address?
                out.act(Action::LearnNeighbors);
            }
            claim.probes = claim.probes.saturating_add(1);
            // Slow only as long as each probe is answered: the first that is not may be the end of the other's holding.
            let eager = claim.probes > 1 || claim.taken_since.is_none_or(|since| at.now.since(since) < EAGER);
            let spacing = if eager { at.policy.probe_spacing } else { at.policy.probe_spacing_when_taken };
            claim.next_probe = at.now + spacing;
        }
        out.wake(Timer::Probe, claim.next_probe);
    }

    fn say_taken(at: VipMoment<'_>, out: &mut Output, claim: &Claim, mac: Mac) {
        let member = at.member_of(mac);
        let known_by_now =
            claim.taken_since.is_some_and(|since| at.now.since(since) >= at.members_known_within());
        out.say(match member {
            // A member's MAC may not have been learned yet.
            None if known_by_now => Reason::TakenByStranger(mac),
            _ => Reason::Taken(mac, member),
        });
        if member.is_none() {
            at.learn_neighbors(out);
        }
    }

    /// `takeover_after`: the member whose host has answered for the address for that long without yielding, though its
    /// server was asked since and is not shown to lead. A stranger is never overruled: nothing can be asked of it.
    fn held_without_right(at: VipMoment<'_>, claim: &Claim) -> Option<IpAddr> {
        if at.is_for_readers() {
            return None;
        }
        let after = at.policy.takeover_after?;
        let since = claim.taken_since?;
        let (mac, heard_at) = claim.answered?;
        let member = at.member_of(mac)?;
        if at.now < since + after || at.now.since(heard_at) > ANSWERED_LATELY {
            return None;
        }
        let leads = match at.facts.peer_since(member, at.now - ASK_HOLDER_EVERY * 3)? {
            Fact::Known(Server::Member(view)) => at.entitlement(view) == Entitlement::Start,
            Fact::Known(_) | Fact::Unknown(_) => false,
        };
        (!leads).then_some(member)
    }

    /// Who was heard to hold the VIP lately, and not to let go since.
    fn held_lately_by(&self, at: VipMoment<'_>) -> Option<Mac> {
        let lately = at.policy.announce_interval * 2;
        self.other_holder.filter(|(_, heard)| at.now.since(*heard) <= lately).map(|(mac, _)| mac)
    }

    /// A member is asked for its own address with each probe, so one that lives is heard; of a stranger nothing is known.
    fn may_live(at: VipMoment<'_>, mac: Mac, since: Time) -> bool {
        let Some(member) = at.member_of(mac) else { return true };
        at.facts.neighbors.alive_at.get(&member).is_some_and(|at| *at >= since)
    }

    /// The first rival whose right is not settled. One that leads in a newer view never comes here: its view makes
    /// ours stale. One that is known to have no better right is dropped; where nothing can be learned of it, or two
    /// groups lead at once, the member with the lower address goes first.
    fn unsettled_rival(at: VipMoment<'_>, claim: &mut Claim) -> Option<IpAddr> {
        if planted!(at.group, IgnoreRivals) {
            return None;
        }
        let own = at.own_address();
        let (facts, now) = (at.facts, at.now);
        let silent = Self::given_up_after(at);
        claim.rivals.retain(|_, rival| now.since(rival.heard_at) < silent);
        let (limit, ready_since) = (at.policy.dispute_limit, claim.ready_since);
        claim
            .rivals
            .iter()
            .find(|(member, rival)| {
                let goes_first = own.is_none_or(|own| **member < own);
                if at.is_for_readers() {
                    // Both are fit by their own word, and hear each other: nothing has to be learned of either.
                    return goes_first;
                }
                match facts.peer_since(**member, rival.since) {
                    Some(Fact::Known(Server::Member(view))) if at.leads(view) => {
                        let older = facts
                            .own_view()
                            .and_then(|own| Some(own.view.as_ref()?.is_newer_than(view.view.as_ref()?)));
                        !older.unwrap_or(false) && goes_first
                    }
                    Some(Fact::Known(_)) => false,
                    // It may know more of us than we of it, and take at once: leave it the time, also where both have waited
                    // for the same thing, a gateway or a stranger's end.
                    Some(Fact::Unknown(_)) | None => {
                        let waited = ready_since.map(|ready| now.since(ready.max(rival.since)));
                        goes_first || waited.is_none_or(|waited| waited < limit)
                    }
                }
            })
            .map(|(member, _)| *member)
    }

    fn take(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        claim: &Claim,
        overruled: Option<IpAddr>,
    ) -> VipState {
        let Some(interface) = at.home().map(str::to_owned) else { return VipState::Absent };
        let because = match (claim.answered, overruled) {
            (Some((mac, _)), _) if claim.released_at.is_some() => Vacant::Released(mac),
            (Some((mac, _)), Some(member)) => Vacant::Overruled(mac, member),
            _ => Vacant::Unanswered(claim.probes),
        };
        out.order(VipAction::AddAddress { interface: interface.clone(), lifetime: Self::lifetime(at) });
        out.order(VipAction::Announce);
        // Clients of a holder that lives were answered by it.
        if self.orphan_syns.is_some() && matches!(because, Vacant::Unanswered(_)) {
            out.order(VipAction::RefuseOrphanSyns);
        }
        out.mark_switch(StatMark::Started);
        out.say(Reason::Started { interface: interface.clone(), because: because.clone() });
        self.left_behind = None;
        self.other_holder = None;
        let post_claim_check =
            matches!(because, Vacant::Unanswered(_)).then(|| Self::begin_post_claim_check(at, out));
        VipState::Holding(Hold {
            since: at.now,
            interface,
            confirmed: false,
            recheck_since: None,
            down_since: None,
            dispute: None,
            settled: None,
            conflict: None,
            post_claim_check,
            next_announce: at.now + announce_after(at.policy, 1),
            announced: 1,
            next_renewal: Self::next_renewal(at),
            renewal_looks: None,
            lapsing_at: None,
        })
    }
}
