//! The first moment of a holding that began because nobody answered. Where frames are lost, the answers may have been: the
//! question is put again and again, and the first answer of a member undoes it. Who has it is asked about then, as ever.

use std::time::Duration;

use crate::action::Action;
use crate::decide::Turn;
use crate::reason::LetGo;
use crate::state::{Hold, Trial};

impl Turn<'_> {
    /// A trial that begins now.
    pub(crate) fn on_trial(&mut self) -> Trial {
        self.act(Action::AskWhoHasVip);
        let trial = Trial {
            until: self.now + self.policy.dispute_limit,
            next_question: self.now + self.trial_spacing(Duration::ZERO),
            answered_by: None,
        };
        self.wake(trial.next_question);
        trial
    }

    /// Each 5 ms for the first tenth of a second, then each 50 ms.
    fn trial_spacing(&self, gone: Duration) -> Duration {
        let spacing = self.policy.probe_spacing;
        if gone < spacing * 5 { spacing / 4 } else { spacing * 5 / 2 }
    }

    /// Asks on; gives why to let go, where somebody has answered.
    pub(crate) fn look_at_trial(&mut self, hold: &mut Hold) -> Option<LetGo> {
        let trial = hold.trial.as_mut()?;
        if let Some(member) = trial.answered_by {
            return Some(LetGo::Answered(member));
        }
        if self.now >= trial.until {
            hold.trial = None;
            return None;
        }
        if self.now >= trial.next_question {
            trial.next_question = self.now + self.trial_spacing(self.now.since(hold.since));
            self.act(Action::AskWhoHasVip);
        }
        let next = trial.next_question;
        self.wake(next);
        None
    }
}
