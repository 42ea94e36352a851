//! Books in one form, for whoever keeps many of them: times become ages that no judgement can tell apart.

use std::time::Duration;

use crate::book::{Book, NO_MAJORITY_FOR};
use crate::claims::CLAIM_LASTS;
use crate::inputs::Time;
use crate::limits::Limits;
use crate::word::Word;

impl Book {
    /// Lets the clock run, of one that always stands at the same time: everything in the book lies further back.
    pub fn grow_older(&mut self, by: Duration) {
        for time in [
            &mut self.word_since,
            &mut self.word_asked,
            &mut self.server_asked,
            &mut self.gateway_since,
            &mut self.gateway_asked,
            &mut self.host_since,
            &mut self.host_asked,
            &mut self.last_probe,
        ] {
            *time = *time - by;
        }
        for time in [
            &mut self.held_since,
            &mut self.added_at,
            &mut self.taken_since,
            &mut self.released_at,
            &mut self.contested_at,
            &mut self.no_since,
            &mut self.paused_until,
            &mut self.pause_ended,
            &mut self.asks_since,
        ]
        .into_iter()
        .flatten()
        {
            *time = *time - by;
        }
        if let Some((at, _)) = &mut self.stood_still {
            *at = *at - by;
        }
        self.reader_words.grow_older(by);
        self.reached.grow_older(by);
        for claim in &mut self.claims.each {
            claim.since = claim.since - by;
            if let Some((_, at)) = &mut claim.said {
                *at = *at - by;
            }
        }
    }

    /// Makes two books equal that no judgement can tell apart, now or later. What ages is never compared beyond a limit; what
    /// plays no part in what the agent does next, a holder or not, is forgotten. Not for the survivors' side.
    /// `slack`: as in [`crate::Sight`].
    pub fn bring_to_form(&mut self, limits: &Limits<'_>, slack: Duration, now: Time) {
        const NEVER: Time = Time(0);
        let oldest = |limit: Duration| now - limit - Duration::from_millis(1);
        let holds = self.holds();
        // The host's addresses are read as they are when they are told.
        self.host_asked = NEVER;
        // The server's and the gateway's ages are compared with the age of evidence; the server's with patience too.
        let heard_of = limits.vip.hung_patience.max(limits.group.poll_interval * 2) + slack;
        self.server_asked = self.server_asked.max(oldest(heard_of.max(limits.group.evidence_age)));
        self.gateway_asked = self.gateway_asked.max(oldest(limits.group.evidence_age));
        // Of a wish only its beginning counts, and facts that are too old start nothing whenever it arose. What is still wanting
        // begins later than all that is so already.
        let wish = self.wish_since().map(|wish| wish.max(oldest(limits.group.evidence_age)));
        let against = match self.word {
            Word::Leads { .. } | Word::TakesWrites | Word::Serves => None,
            Word::Nothing | Word::Silent => Some(limits.vip.hung_patience),
            Word::TurnsAway => limits.vip.refused_patience,
            Word::Follows | Word::Stale => Some(limits.vip.claim_wait),
            Word::NoMajority => Some(NO_MAJORITY_FOR),
            Word::Dead => Some(limits.vip.linger),
        };
        let against = against.filter(|_| holds).map(|longest| self.word_since.max(oldest(longest + slack)));
        self.word_since = against.or(wish).unwrap_or(NEVER);
        self.word_asked = match self.word {
            Word::Nothing | Word::Silent if holds => self.word_asked.max(oldest(limits.vip.hung_patience)),
            _ => NEVER,
        };
        self.gateway_since = match self.gateway {
            Some(false) if holds => self.gateway_since.max(oldest(slack)),
            _ => NEVER,
        };
        self.host_since = if holds && !self.member { self.host_since.max(oldest(slack)) } else { NEVER };
        // Since when it holds counts where something speaks against it.
        let against = holds && (against.is_some() || self.gateway == Some(false));
        let since_then = self.word_since.max(self.gateway_since).max(NEVER);
        self.held_since =
            self.held_since.map(|since| if against && since > since_then { since } else { NEVER });
        let lease = limits.vip.lease.unwrap_or_default();
        self.added_at = self.added_at.filter(|_| holds).map(|at| at.max(oldest(lease)));
        let asked = self.server_asked.max(self.gateway_asked);
        self.no_since = self
            .no_since
            .filter(|_| holds)
            .map(|since| if asked >= since { NEVER } else { since.max(oldest(limits.vip.claim_wait)) });
        self.contested_at =
            self.contested_at.filter(|at| holds && now.since(*at) < limits.vip.dispute_limit * 3);
        self.taken_since = self.taken_since.filter(|_| limits.vip.takeover_after.is_some());
        self.released_at = self.released_at.filter(|at| now.since(*at) < Duration::from_millis(50));
        self.probes = if holds { 0 } else { self.probes.min(limits.vip.probe_count) };
        self.claims.each.retain(|claim| holds && now.since(claim.since) <= CLAIM_LASTS);
        self.last_probe =
            if self.probes == 0 { NEVER } else { self.last_probe.max(oldest(limits.vip.probe_spacing)) };
        // Whether it is over is all that counts of its end; what is far off stays far off.
        let far = |until: Time| {
            if until > now + Duration::from_secs(6) { now + Duration::from_secs(100) } else { until }
        };
        self.paused_until = self.paused_until.map(far);
        // It puts off what is due after a patience, and the longest of those is over by then.
        let longest = limits.vip.hung_patience.max(limits.vip.linger).max(limits.vip.claim_wait) + slack;
        self.pause_ended = self.pause_ended.filter(|at| holds && now.since(*at) <= longest);
        // Nothing but the pause of a holder asks for this.
        self.strays &= holds;
        self.stood_still = self.stood_still.filter(|(at, _)| holds && now.since(*at) < limits.vip.claim_wait);
    }
}
