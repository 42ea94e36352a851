//! What an agent was told, and said, of how fit hosts are to serve readers: each host's last word, as far as a reader VIP's judge needs it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::inputs::{Action, Event, Fitness, Frame, Mac, Says, Time, VipAction};

/// A member that has not said for so long how fit it is has said nothing.
pub(crate) const WORD_HOLDS_FOR: Duration = Duration::from_secs(3);

/// Each host's last word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ReaderWords {
    own: Option<Fitness>,
    others: BTreeMap<Mac, (Fitness, Time)>,
}

impl ReaderWords {
    /// Whichever reader VIP the word was said about: it is about the host.
    pub(crate) fn told(&mut self, event: &Event, now: Time) {
        if let Event::Frame(_, Frame { from, says: Says::Fitness(fitness) }) = event {
            self.others.insert(*from, (*fitness, now));
        }
    }

    pub(crate) fn ordered(&mut self, actions: &[Action]) {
        for action in actions {
            if let Action::Vip(_, VipAction::SayFitness(fitness)) = action {
                self.own = Some(*fitness);
            }
        }
    }

    /// No secondary is fit, by these words: then it is as `when_no_reader` says.
    pub(crate) fn nobody_is_fit(&self, now: Time) -> bool {
        let fit = |fitness: Fitness| matches!(fitness, Fitness::Ready | Fitness::Settling);
        let known = self.others.values().filter(|(_, at)| now.since(*at) < WORD_HOLDS_FOR);
        !self.own.is_some_and(fit) && !known.map(|(fitness, _)| *fitness).any(fit)
    }

    pub(crate) fn grow_older(&mut self, by: Duration) {
        for (_, at) in self.others.values_mut() {
            *at = *at - by;
        }
    }
}
