//! A stretch of a trace: a start, and the steps that build on it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use decide::input::Event;
use decide::policy::Policy;
use decide::time::Time;
use decide::trace::{FORMAT, Line};
use decide::{Decision, State, step};

/// No more of a trace file than this is read: the agent's are not longer.
const READ_LIMIT: u64 = 64 << 20;

/// A start, and the steps after it. Only those that an agent of this version would decide are there.
pub(super) struct Stretch {
    /// When it was written, in the words of the start: the wall clock.
    pub(super) note: String,
    pub(super) policy: Policy,
    /// What was remembered before the first step.
    pub(super) state: State,
    pub(super) steps: Vec<(Time, Event)>,
}

/// One step, played again.
pub(super) struct Played<'s> {
    pub(super) now: Time,
    pub(super) event: &'s Event,
    pub(super) decision: Decision,
}

impl Stretch {
    /// Plays it: `look` is shown each step, and what is remembered after it. Gives what is remembered in the end.
    pub(super) fn play(&self, mut look: impl FnMut(&Played<'_>, &State)) -> State {
        let mut state = self.state.clone();
        for (now, event) in &self.steps {
            let decision = step(&self.policy, &mut state, event, *now);
            look(&Played { now: *now, event, decision }, &state);
        }
        state
    }

    /// Whether a step of this time is in it.
    pub(super) fn has(&self, at: Time) -> bool {
        self.steps.iter().any(|(now, _)| *now == at)
    }

    pub(super) fn began(&self) -> Option<Time> {
        self.steps.first().map(|(now, _)| *now)
    }

    pub(super) fn ended(&self) -> Option<Time> {
        self.steps.last().map(|(now, _)| *now)
    }
}

/// The stretches with a step from `since` to `until`, the oldest first. Where a host has been booted since, and its clock came by again,
/// there may be some of another time.
pub(super) fn between(trace: &Path, since: Time, until: Time) -> Vec<Stretch> {
    let mut found = Vec::new();
    for path in [older(trace), trace.to_owned()] {
        each(&path, |stretch| {
            if stretch.steps.iter().any(|(now, _)| (since..=until).contains(now)) {
                found.push(stretch);
            }
        });
    }
    found
}

/// The last stretch.
pub(super) fn last(trace: &Path) -> Option<Stretch> {
    let mut last = None;
    each(trace, |stretch| last = Some(stretch));
    last
}

/// Hands out each stretch of a file that can be played, one after the other. What can't be read ends its stretch.
fn each(path: &Path, mut with: impl FnMut(Stretch)) {
    let Ok(file) = File::open(path) else { return };
    let mut current: Option<Stretch> = None;
    for text in BufReader::new(file.take(READ_LIMIT)).split(b'\n') {
        let line = text.ok().and_then(|text| serde_json::from_slice::<Line>(&text).ok());
        match (line, &mut current) {
            (Some(Line::Step { now, event, .. }), Some(stretch)) => stretch.steps.push((now, *event)),
            (Some(Line::Start { format, note, policy, state, .. }), _) => {
                let next = Stretch { note, policy: *policy, state: *state, steps: Vec::new() };
                if let Some(done) = current.replace(next) {
                    with(done);
                }
                if format != FORMAT {
                    current = None;
                }
            }
            (Some(Line::Step { .. }), None) => {}
            (None, _) => {
                if let Some(done) = current.take() {
                    with(done);
                }
            }
        }
    }
    if let Some(done) = current {
        with(done);
    }
}

fn older(path: &Path) -> PathBuf {
    let mut older = path.as_os_str().to_owned();
    older.push(".1");
    older.into()
}
