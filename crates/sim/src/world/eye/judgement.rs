//! What follows from what an agent was told: whether it may start, hold, renew or let go.

use std::time::Duration;

use decide::State;
use decide::action::{Action, VipAction};
use decide::net::VipId;
use decide::time::Time;
use decide::vip::VipState;

use super::super::{Invariant, World};
use super::Word;
use crate::group::Place;

/// "It is free" is to be read no later than this after it was heard: another may have taken it then.
const WORD_HOLDS_FOR: Duration = Duration::from_millis(20);
/// The second check, a question to a server that is slow to answer, and a processor that is short.
const SLACK: Duration = Duration::from_millis(1_600);

impl World {
    /// EVIDENCE, NEWEST-VIEW, LEASE and UNKNOWN-IS-NOT-NO, by what the agent was told, at each of its steps.
    pub(in crate::world) fn check_decision(&mut self, host: Place, state: &State, actions: &[Action]) {
        let now = self.clock(host);
        let here = self.hosts[host].vip.is_some();
        if let Some(words) = self.expels_the_living(host, actions) {
            return self.broke(Invariant::Restored, words);
        }
        let eye = &self.hosts[host].eye;
        if actions.iter().any(|action| matches!(action, Action::Vip(_, VipAction::AddAddress { .. }))) {
            if let Some(words) = self.lacks_evidence(host, now) {
                self.broke(Invariant::Evidence, words);
            }
            return;
        }
        if eye.is_stale()
            && actions.contains(&Action::Vip(VipId::FIRST, VipAction::SendProbe))
            && matches!(state.vip.state, VipState::Claiming(_))
        {
            let words = format!("db{} claims in a view older than the newest it was told of", host + 1);
            return self.broke(Invariant::NewestView, words);
        }
        if !here {
            return;
        }
        let releases =
            actions.iter().any(|action| matches!(action, Action::Vip(_, VipAction::RemoveAddress { .. })));
        if let (false, VipState::Holding(hold)) = (releases, &state.vip.state) {
            let slack = if self.chances.held_up > 0.0 { SLACK * 2 } else { SLACK };
            let until = eye.may_hold_until(&self.policy, hold.since);
            // One that stood still after the first word asks again, and waits for a claim from then on.
            let acts_since = self.hosts[host].acts_since;
            let asks_again = acts_since.is_some_and(|since| self.now.since(since) < self.policy.claim_wait);
            let renews =
                actions.iter().any(|action| matches!(action, Action::Vip(_, VipAction::RenewAddress { .. })));
            let heard_of = self.policy.hung_patience.max(self.policy.poll_interval * 2) + slack;
            if renews && eye.word != Word::Nothing && now.since(eye.server_asked) > heard_of {
                let words = format!("db{} renews, and nothing more is heard of its server", host + 1);
                self.broke(Invariant::Lease, words);
            } else if until.is_some_and(|until| now > until + slack) && !asks_again {
                let invariant =
                    if eye.word == Word::Stale { Invariant::NewestView } else { Invariant::Lease };
                let words = format!(
                    "db{} goes on holding, though its server: {:?}, its gateway: {:?}, for {:.1} s",
                    host + 1,
                    eye.word,
                    eye.gateway,
                    now.since(eye.word_since.min(eye.gateway_since)).as_secs_f64()
                );
                self.broke(invariant, words);
            }
        } else if releases {
            self.check_release(host, now);
        }
    }

    fn check_release(&mut self, host: Place, now: Time) {
        if self.hosts[host].giving_up {
            return;
        }
        let eye = &self.hosts[host].eye;
        if self.policy.lease.is_some_and(|lease| eye.stood_still > lease / 2) {
            return;
        }
        let contested = eye.heard_at.is_some_and(|at| now.since(at) < self.policy.dispute_limit * 3);
        let once = eye.no_since.is_some_and(|since| eye.server_asked.max(eye.gateway_asked) < since);
        if once && eye.member && !contested {
            let words = format!("db{} lets go at the first word: {:?}", host + 1, eye.word);
            return self.broke(Invariant::NoFlap, words);
        }
        let patience = match eye.word {
            Word::Silent => self.policy.hung_patience,
            Word::TurnsAway => self.policy.refused_patience.unwrap_or(Duration::MAX),
            _ => return,
        };
        let patience_over = now.since(eye.word_asked) >= patience;
        if eye.gateway != Some(false) && eye.member && !contested && !patience_over {
            let words = format!(
                "db{} lets go after {:.3} s of {:?}, and nobody claims it",
                host + 1,
                now.since(eye.word_since).as_secs_f64(),
                eye.word
            );
            self.broke(Invariant::UnknownIsNotNo, words);
        }
    }

    /// The group's patience is taken from a member that is not proven dead: one that is only cut off.
    fn expels_the_living(&self, host: Place, actions: &[Action]) -> Option<String> {
        if !actions.iter().any(|action| matches!(action, Action::SetExpelTimeout { .. })) {
            return None;
        }
        let suspects = self.hosts[host].eye.suspects;
        let eye = &self.hosts[host].eye;
        let dead = |member: &Place| eye.refusals[*member] >= 2 || eye.outside.has(*member);
        let living = suspects.each().find(|member| !dead(member))?;
        Some(format!("db{} has db{} expelled at once, which is not proven dead", host + 1, living + 1))
    }

    fn lacks_evidence(&self, host: Place, now: Time) -> Option<String> {
        let eye = &self.hosts[host].eye;
        let name = host + 1;
        let policy = &self.policy;
        let Some(wish) = eye.wish_since() else {
            return Some(format!(
                "db{name} starts the VIP, and was told: server {:?}, gateway {:?}, member {}",
                eye.word, eye.gateway, eye.member
            ));
        };
        let old = |asked: Time| now.since(asked) > policy.evidence_age;
        if old(eye.server_asked) || old(eye.gateway_asked) {
            return Some(format!("db{name} starts the VIP on facts that are too old"));
        }
        if eye.server_asked < wish || eye.gateway_asked < wish {
            return Some(format!("db{name} starts the VIP without a second check"));
        }
        let overrules = policy.takeover_after.zip(eye.taken_since);
        if overrules.is_some_and(|(after, since)| now >= since + after) {
            return None;
        }
        let vacant = eye.released_at.is_some_and(|at| now.since(at) <= WORD_HOLDS_FOR)
            // The last one may have no answer yet: then as many as it takes had time for theirs before it.
            || eye.probes > policy.probe_count
            || eye.probes == policy.probe_count && now.since(eye.last_probe) >= policy.probe_spacing;
        (!vacant)
            .then(|| format!("db{name} starts the VIP after {} probes, and nobody let go of it", eye.probes))
    }
}
