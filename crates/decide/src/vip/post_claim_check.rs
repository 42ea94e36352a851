//! The first moment of a holding that began because nobody answered. Where frames are lost, the answers may have been: the
//! question is put again and again, and the first answer of a member undoes it. Who has it is asked about then, as ever.

use std::time::Duration;

use super::machine::VipMachine;
use super::state::{Hold, PostClaimCheck};
use crate::moment::VipMoment;
use crate::output::{LetGo, Output, VipAction};
use crate::timers::Timer;

impl VipMachine {
    /// A post-claim check that begins now.
    pub(crate) fn begin_post_claim_check(at: VipMoment<'_>, out: &mut Output) -> PostClaimCheck {
        out.order(VipAction::AskWhoHasVip);
        let post_claim_check = PostClaimCheck {
            until: at.now + at.policy.dispute_limit,
            next_question: at.now + Self::post_claim_spacing(at, Duration::ZERO),
            answered_by: None,
        };
        out.wake(Timer::PostClaimQuestion, post_claim_check.next_question);
        post_claim_check
    }

    /// Each 5 ms for the first tenth of a second, then each 50 ms.
    fn post_claim_spacing(at: VipMoment<'_>, gone: Duration) -> Duration {
        let spacing = at.policy.probe_spacing;
        if gone < spacing * 5 { spacing / 4 } else { spacing * 5 / 2 }
    }

    /// Asks on; gives why to let go, where somebody has answered.
    pub(crate) fn run_post_claim_check(
        at: VipMoment<'_>,
        out: &mut Output,
        hold: &mut Hold,
    ) -> Option<LetGo> {
        let post_claim_check = hold.post_claim_check.as_mut()?;
        if let Some(member) = post_claim_check.answered_by {
            return Some(LetGo::Answered(member));
        }
        if at.now >= post_claim_check.until {
            hold.post_claim_check = None;
            return None;
        }
        if at.now >= post_claim_check.next_question {
            post_claim_check.next_question = at.now + Self::post_claim_spacing(at, at.now.since(hold.since));
            out.order(VipAction::AskWhoHasVip);
        }
        let next = post_claim_check.next_question;
        out.wake(Timer::PostClaimQuestion, next);
        None
    }
}
