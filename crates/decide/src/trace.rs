//! One line per (now, event, decision): recording and replay are this one format. The text form is
//! JSON, made by whoever writes the line; here are only its types and the comparison.

use serde::{Deserialize, Serialize};

use crate::input::Event;
use crate::policy::Policy;
use crate::step::{Decision, State, step};
use crate::time::Time;

/// The format of the lines that are written here, and the only one that is played. Format 1 had no number: its state was one list
/// of fields. Format 2 knew of one VIP: policy, state, frames and reasons did not say which. Format 3 did not say of which VIP
/// nothing could be heard.
pub const FORMAT: u32 = 4;

/// A line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Where a stretch begins: all that later lines build on.
    Start {
        /// [`FORMAT`] of who wrote it.
        format: u32,
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
    /// A stretch begins that is written in this format, which is not played here.
    OtherFormat(u32),
}

impl Replay {
    /// The limits and choices of the stretch that is being played.
    pub fn policy(&self) -> Option<&Policy> {
        self.running.as_ref().map(|(policy, _)| policy)
    }

    /// Plays one line.
    pub fn play(&mut self, line: &Line) -> Played {
        match line {
            Line::Start { format, .. } if *format != FORMAT => {
                self.running = None;
                Played::OtherFormat(*format)
            }
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

/// As much of a line as tells its format, whatever else of it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Heading {
    start: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Format {
    #[serde(default = "without_a_number")]
    format: u32,
}

fn without_a_number() -> u32 {
    1
}

impl Heading {
    /// The format of a stretch that begins here, where it is not [`FORMAT`].
    pub fn other_format(&self) -> Option<u32> {
        self.start.map(|start| start.format).filter(|format| *format != FORMAT)
    }
}
