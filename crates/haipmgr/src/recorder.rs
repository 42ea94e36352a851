//! The flight recorder: the last seconds of events in memory, written out as a trace when the VIP is switched. Since
//! the rules are pure, a snapshot of the state and the events are enough: the decisions are worked out again.

use std::collections::VecDeque;
use std::mem;

use decide::event::Event;
use decide::policy::Policy;
use decide::state::State;
use decide::step;
use decide::time::Time;
use decide::trace::Line;

use crate::config::DecisionTrace;

/// Events in a stretch; memory holds at most two stretches a cluster.
const STRETCH: usize = 128;
/// Events after a switch that are written too.
const AFTERMATH: usize = 200;

struct Stretch {
    now: Time,
    state: State,
    events: Vec<(Time, Event)>,
}

/// Steps written after one start at the most: a trace file is begun anew at a start only.
const PLAYED_FROM_ONE_START: usize = 4096;

/// One cluster's recorder.
pub struct Recorder {
    mode: DecisionTrace,
    policy: Policy,
    stretches: VecDeque<Stretch>,
    still_to_write: usize,
    started: bool,
    written_since_start: usize,
}

impl Recorder {
    /// A recorder for a cluster with this policy.
    pub fn new(mode: DecisionTrace, policy: Policy) -> Self {
        Self {
            mode,
            policy,
            stretches: VecDeque::new(),
            still_to_write: 0,
            started: false,
            written_since_start: 0,
        }
    }

    /// To be called before each step, with the state that the step will find. Gives the lines to be written now.
    pub fn before(
        &mut self,
        now: Time,
        state: &State,
        event: &Event,
        note: impl Fn() -> String,
    ) -> Vec<Line> {
        let writing = match self.mode {
            DecisionTrace::Off => return Vec::new(),
            DecisionTrace::All => true,
            DecisionTrace::Switches => self.still_to_write > 0,
        };
        if !writing {
            self.started = false;
            self.remember(now, state, event);
            return Vec::new();
        }
        self.still_to_write = self.still_to_write.saturating_sub(1);
        let mut lines = Vec::new();
        self.written_since_start += 1;
        if !mem::replace(&mut self.started, true) || self.written_since_start > PLAYED_FROM_ONE_START {
            self.written_since_start = 0;
            lines.push(self.start(now, state.clone(), note()));
        }
        lines.push(self.decided(now, &mut state.clone(), event.clone()));
        lines
    }

    /// To be called after a step that switched the VIP: the stretch that led to it.
    pub fn switched(&mut self, note: impl Fn() -> String) -> Vec<Line> {
        if self.mode != DecisionTrace::Switches {
            return Vec::new();
        }
        self.still_to_write = AFTERMATH;
        let mut lines = Vec::new();
        let stretches = mem::take(&mut self.stretches);
        let Some(first) = stretches.front() else { return lines };
        let mut state = first.state.clone();
        lines.push(self.start(first.now, state.clone(), note()));
        for (now, event) in stretches.into_iter().flat_map(|stretch| stretch.events) {
            let line = self.decided(now, &mut state, event);
            lines.push(line);
        }
        self.started = true;
        lines
    }

    fn remember(&mut self, now: Time, state: &State, event: &Event) {
        if self.stretches.back().is_none_or(|last| last.events.len() >= STRETCH) {
            if self.stretches.len() >= 2 {
                self.stretches.pop_front();
            }
            self.stretches.push_back(Stretch { now, state: state.clone(), events: Vec::new() });
        }
        if let Some(last) = self.stretches.back_mut() {
            last.events.push((now, event.clone()));
        }
    }

    fn start(&self, now: Time, state: State, note: String) -> Line {
        Line::Start { now, note, policy: Box::new(self.policy.clone()), state: Box::new(state) }
    }

    fn decided(&self, now: Time, state: &mut State, event: Event) -> Line {
        let decision = step(&self.policy, state, &event, now);
        Line::Step { now, event: Box::new(event), decision: Box::new(decision) }
    }
}
