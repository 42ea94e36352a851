//! In which order what was seen is taken in.

use std::collections::VecDeque;

use crate::input::Event;

/// What was seen and is yet to be taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inbox {
    clocks: Option<Event>,
    pub(super) outcomes: VecDeque<Event>,
    frames: VecDeque<Event>,
    pub(super) last_word: Option<Event>,
    addresses: VecDeque<Event>,
    others: VecDeque<Event>,
}

impl Inbox {
    pub(super) fn push(&mut self, event: Event) {
        match event {
            Event::ClocksParted { .. } => self.clocks = Some(event),
            Event::Done { .. } => self.outcomes.push_back(event),
            Event::Frame(..) | Event::ReceiveUp(..) => self.frames.push_back(event),
            Event::Host(_) => self.addresses.push_back(event),
            other => self.others.push_back(other),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.clocks
            .take()
            .or_else(|| self.outcomes.pop_front())
            .or_else(|| self.frames.pop_front())
            .or_else(|| self.last_word.take())
            .or_else(|| self.addresses.pop_front())
            .or_else(|| self.others.pop_front())
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.clocks.is_some())
            + self.outcomes.len()
            + self.frames.len()
            + usize::from(self.last_word.is_some())
            + self.addresses.len()
            + self.others.len()
    }
}
