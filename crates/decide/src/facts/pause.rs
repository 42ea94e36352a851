//! The operator's pause, as it is known here.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Until when the operator has paused this agent. It ends by itself: whoever paused may forget it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pause {
    /// Until then. None: it is not paused.
    pub until: Option<Time>,
    /// When the last pause ended. What a paused holder put up with counts from then.
    pub ended_at: Option<Time>,
}

impl Pause {
    /// Whether the agent is paused.
    pub fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// The operator's word: until then, or no longer. Gives whether that changes anything.
    pub(crate) fn take_in(&mut self, until: Option<Time>, now: Time) -> bool {
        let until = until.filter(|until| *until > now);
        if self.until == until {
            return false;
        }
        if self.until.is_some() && until.is_none() {
            self.ended_at = Some(now);
        }
        self.until = until;
        true
    }

    /// Ends a pause whose time is over. Gives whether it did.
    pub(crate) fn end_in_time(&mut self, now: Time) -> bool {
        let over = self.until.is_some_and(|until| until <= now);
        if over {
            self.until = None;
            self.ended_at = Some(now);
        }
        over
    }

    /// This, or when the last pause ended, whichever is later.
    pub(crate) fn since(&self, since: Time) -> Time {
        self.ended_at.map_or(since, |ended| ended.max(since))
    }
}
