//! The first moment of a holding that began because nobody answered. Where frames are lost, the answers may have been: the
//! question is put again and again, and the first answer of a member undoes it. Who has it is asked about then, as ever.

use std::time::Duration;

use crate::action::Action;
use crate::decide::Turn;
use crate::reason::LetGo;
use crate::state::{Hold, PostClaimCheck};

impl Turn<'_> {
    /// A post-claim check that begins now.
    pub(crate) fn begin_post_claim_check(&mut self) -> PostClaimCheck {
        self.act(Action::AskWhoHasVip);
        let post_claim_check = PostClaimCheck {
            until: self.now + self.policy.dispute_limit,
            next_question: self.now + self.post_claim_spacing(Duration::ZERO),
            answered_by: None,
        };
        self.wake(post_claim_check.next_question);
        post_claim_check
    }

    /// Each 5 ms for the first tenth of a second, then each 50 ms.
    fn post_claim_spacing(&self, gone: Duration) -> Duration {
        let spacing = self.policy.probe_spacing;
        if gone < spacing * 5 { spacing / 4 } else { spacing * 5 / 2 }
    }

    /// Asks on; gives why to let go, where somebody has answered.
    pub(crate) fn run_post_claim_check(&mut self, hold: &mut Hold) -> Option<LetGo> {
        let post_claim_check = hold.post_claim_check.as_mut()?;
        if let Some(member) = post_claim_check.answered_by {
            return Some(LetGo::Answered(member));
        }
        if self.now >= post_claim_check.until {
            hold.post_claim_check = None;
            return None;
        }
        if self.now >= post_claim_check.next_question {
            post_claim_check.next_question = self.now + self.post_claim_spacing(self.now.since(hold.since));
            self.act(Action::AskWhoHasVip);
        }
        let next = post_claim_check.next_question;
        self.wake(next);
        None
    }
}
