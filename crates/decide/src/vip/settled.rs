//! A member's claim to what is held here, and what comes of it.

use super::state::{Dispute, Hold};
use crate::checks::{Cause, Stage, Stages, Verdict};
use crate::input::NotInGroup;
use crate::moment::VipMoment;
use crate::output::{LetGo, Output};
use crate::time::Time;
use crate::timers::Timer;

/// What comes of a claim.
pub(super) enum Settled {
    /// The claimant has the better right.
    Yield(LetGo),
    /// It has none.
    Stay,
    /// That is not known yet.
    NotYet,
}

/// A claim, and what this host's own stages say since.
#[derive(Clone, Copy)]
pub(super) struct Claimed<'a> {
    pub(super) dispute: Dispute,
    pub(super) stages: &'a Stages,
    pub(super) verdict: &'a Verdict,
    /// Our own server has answered since.
    pub(super) own_answered: bool,
    /// It is certain that the VIP should not be here: a stage had failed twice before the claim.
    down: bool,
    /// Until then our own server may take to answer before the claimant's word counts alone.
    pub(super) own_limit: Time,
    /// By then it is settled, whatever is known.
    pub(super) limit: Time,
}

impl<'a> Claimed<'a> {
    pub(super) fn new(
        at: VipMoment<'_>,
        dispute: Dispute,
        hold: &Hold,
        stages: &'a Stages,
        verdict: &'a Verdict,
    ) -> Self {
        Self {
            dispute,
            stages,
            verdict,
            own_answered: stages.asked_at(Stage::Server) >= dispute.since,
            down: hold.down_since.is_some(),
            own_limit: dispute.since + at.policy.own_answer_limit,
            limit: dispute.since + at.policy.dispute_limit,
        }
    }

    /// A stage certainly fails here: whoever claims may have it.
    pub(super) fn while_failing(&self) -> Option<LetGo> {
        match self.verdict {
            Verdict::Down(stage, cause) if self.own_answered || self.down => {
                Some(LetGo::ClaimedWhileFailing(self.dispute.claimant, *stage, cause.clone()))
            }
            _ => None,
        }
    }

    /// Our own server shows a group with two primaries.
    pub(super) fn shows_two_primaries(&self) -> bool {
        matches!(self.verdict, Verdict::Down(_, Cause::NotInGroup(NotInGroup::MultiPrimary)))
    }

    /// Not yet; it is looked at again when the next limit is over.
    pub(super) fn unsettled(&self, at: VipMoment<'_>, out: &mut Output) -> Settled {
        out.wake(Timer::Dispute, if at.now < self.own_limit { self.own_limit } else { self.limit });
        Settled::NotYet
    }
}
