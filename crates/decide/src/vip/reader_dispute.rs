//! Another member claims a reader VIP that is held here: it belongs to whom it is placed on, and no other server is asked.

use super::machine::VipMachine;
use super::settled::{Claimed, Settled};
use crate::checks::{Cause, Finding, Stage, Verdict};
use crate::input::Why;
use crate::moment::VipMoment;
use crate::output::{LetGo, Output};
use crate::planted::planted;

impl VipMachine {
    /// Who claims is fit by its own word, and the VIP belongs there by what it has heard: where that is so here too, it is yielded.
    pub(super) fn settle_for_readers(at: VipMoment<'_>, out: &mut Output, claimed: Claimed<'_>) -> Settled {
        let Claimed { dispute, own_answered, own_limit, limit, .. } = claimed;
        let member = dispute.claimant;
        // At a switchover a server may show two primaries for some milliseconds. That says nothing about whether it may serve readers: whoever
        // claims a reader VIP then, because it has not heard who has it, is not to get it for that.
        if claimed.shows_two_primaries() && !at.belongs_to(member) && at.now < limit {
            return claimed.unsettled(at, out);
        }
        if let Some(because) = claimed.while_failing() {
            return Settled::Yield(because);
        }
        if own_answered && planted!(at.group, KeepReadersFromTheirPlace) {
            return Settled::Stay;
        }
        match (claimed.verdict, &claimed.stages.primary.0) {
            (_, Finding::Failed(Cause::PlacedOn(place))) if *place == member || at.now >= limit => {
                Settled::Yield(LetGo::PlacedThere(member))
            }
            // Both say that it belongs to them: each has heard others. Nothing is gained by moving it, where only one has it.
            (Verdict::Up, Finding::Passed) if own_answered => {
                let lower = at.own_address().is_some_and(|own| member < own);
                if dispute.announced && lower {
                    Settled::Yield(LetGo::LowerKeepsIt(member))
                } else {
                    Settled::Stay
                }
            }
            // The other has it, and has heard who else is fit; this one has not, after a pause or a start.
            (Verdict::Unknown(Stage::Primary, Why::OthersNotHeard), _)
                if dispute.announced && at.now >= own_limit =>
            {
                Settled::Yield(LetGo::PlacedThere(member))
            }
            (Verdict::Unknown(Stage::Primary, Why::OthersNotHeard), _) if at.now < limit => {
                claimed.unsettled(at, out)
            }
            (Verdict::Unknown(Stage::Primary, Why::OthersNotHeard), _) => Settled::Stay,
            (Verdict::Unknown(..), _) if at.now >= own_limit => Settled::Yield(LetGo::NothingKnown(member)),
            _ if at.now >= limit => Settled::Yield(LetGo::NothingKnown(member)),
            _ => claimed.unsettled(at, out),
        }
    }
}
