//! Another member claims a reader VIP that is held here: it belongs to whom it is placed on, and no other server is asked.

use super::machine::VipMachine;
use super::settled::Settled;
use super::state::{Dispute, Hold};
use crate::checks::{Cause, Finding, Stage, Stages, Verdict};
use crate::input::Why;
use crate::moment::VipMoment;
use crate::output::{LetGo, Output};
use crate::planted::planted;
use crate::time::Time;
use crate::timers::Timer;

impl VipMachine {
    /// Of a reader VIP. Who claims is fit by its own word, and the VIP belongs there by what it has heard: where that is so here too, or
    /// this host is not fit, it is yielded.
    pub(super) fn settle_for_readers(
        at: VipMoment<'_>,
        out: &mut Output,
        dispute: Dispute,
        hold: &Hold,
        stages: &Stages,
        verdict: &Verdict,
    ) -> Settled {
        let member = dispute.claimant;
        let own_answered = stages.asked_at(Stage::Server) >= dispute.since;
        let (own_limit, limit) =
            (dispute.since + at.policy.own_answer_limit, dispute.since + at.policy.dispute_limit);
        if own_answered && planted!(at.group, KeepReadersFromTheirPlace) {
            return Settled::Stay;
        }
        match (verdict, &stages.primary.0) {
            (Verdict::Down(stage, cause), _) if own_answered || hold.down_since.is_some() => {
                return Settled::Yield(LetGo::ClaimedWhileFailing(member, *stage, cause.clone()));
            }
            (_, Finding::Failed(Cause::PlacedOn(place))) if *place == member || at.now >= limit => {
                return Settled::Yield(LetGo::PlacedThere(member));
            }
            // Both say that it belongs to them: each has heard others. Nothing is gained by moving it.
            (Verdict::Up, Finding::Passed) if own_answered => {
                let lower = at.own_address().is_some_and(|own| member < own);
                return if dispute.announced && lower {
                    Settled::Yield(LetGo::LowerKeepsIt(member))
                } else {
                    Settled::Stay
                };
            }
            // It has just begun to listen, and does not know where the VIP belongs.
            (Verdict::Unknown(Stage::Primary, Why::NotAskedYet), _) if at.facts.own_view().is_some() => {
                if dispute.announced {
                    // The other has it, and has heard who else is fit; this one has not, after a pause or a start.
                    return if at.now >= own_limit {
                        Settled::Yield(LetGo::PlacedThere(member))
                    } else {
                        Self::unsettled(out, own_limit)
                    };
                }
                return if at.now >= limit { Settled::Stay } else { Self::unsettled(out, limit) };
            }
            (Verdict::Unknown(..), _) if at.now >= own_limit => {
                return Settled::Yield(LetGo::NothingKnown(member));
            }
            _ if at.now >= limit => return Settled::Yield(LetGo::NothingKnown(member)),
            _ => {}
        }
        Self::unsettled(out, if at.now < own_limit { own_limit } else { limit })
    }

    fn unsettled(out: &mut Output, until: Time) -> Settled {
        out.wake(Timer::Dispute, until);
        Settled::NotYet
    }
}
