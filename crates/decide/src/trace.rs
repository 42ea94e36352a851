//! One line per (now, event, decision): recording, golden file and replay are this one format. The text form is
//! JSON, made by whoever writes the line; here are only its types and the comparison.

use serde::{Deserialize, Serialize};

use crate::decide::{Decision, step};
use crate::event::Event;
use crate::policy::Policy;
use crate::state::State;
use crate::time::Time;

/// A line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Where a stretch begins: all that later lines build on.
    Start {
        /// The time.
        now: Time,
        /// Wall clock and other words for the reader.
        note: String,
        /// The limits and choices.
        policy: Box<Policy>,
        /// What was remembered.
        state: Box<State>,
    },
    /// One step.
    Step {
        /// The time handed to `step`.
        now: Time,
        /// The event.
        event: Box<Event>,
        /// What was decided.
        decision: Box<Decision>,
    },
}

/// A trace being played again.
#[derive(Debug, Default)]
pub struct Replay {
    running: Option<(Policy, State)>,
}

/// What playing one line gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Played {
    /// A stretch begins.
    Started,
    /// The rules decide now as they did then.
    Same(Decision),
    /// They decide differently.
    Different(Decision),
    /// A step without a start before it.
    NoStart,
}

impl Replay {
    /// Plays one line.
    pub fn play(&mut self, line: &Line) -> Played {
        match line {
            Line::Start { policy, state, .. } => {
                self.running = Some((policy.as_ref().clone(), state.as_ref().clone()));
                Played::Started
            }
            Line::Step { now, event, decision } => {
                let Some((policy, state)) = &mut self.running else { return Played::NoStart };
                let again = step(policy, state, event, *now);
                if again == **decision { Played::Same(again) } else { Played::Different(again) }
            }
        }
    }
}
