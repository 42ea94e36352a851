//! Tells each cluster of this host's addresses: a change to all, and what one asked for to that one. With a hundred clusters,
//! each would otherwise hear the answers to the questions of all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use decide::input::{Event, Host, Seen};
use decide::time::Time;
use tokio::sync::mpsc;

use crate::clock;
use crate::observe::link::{LinkNews, LinkWatch, PathChange};

/// The clusters that hear of this host.
#[derive(Default)]
pub(super) struct Hosts {
    clusters: Mutex<Vec<Hearer>>,
    last: Mutex<Option<Seen<Host>>>,
}

/// One of them.
struct Hearer {
    asked: Asked,
    events: mpsc::UnboundedSender<Event>,
    paths: mpsc::UnboundedSender<PathChange>,
}

/// When one cluster put the question that it has open.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<Mutex<Option<Time>>>);

impl Asked {
    /// Has the host looked at; the answer is for this cluster, and for the others where something has changed.
    pub(super) fn ask(&self, link: &LinkWatch) {
        self.note(clock::now());
        link.ask_now();
    }

    fn note(&self, now: Time) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether this is the answer. What was looked at before the question is none: the look that answers it is yet to come.
    fn is_answered_by(&self, seen: &Seen<Host>) -> bool {
        let mut asked_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked_at.take_if(|asked_at| *asked_at <= seen.asked_at).is_some()
    }
}

impl Hosts {
    /// One more cluster, which is told there until it listens no more: at once what is known. It asks with what is given back.
    pub(super) fn add(
        &self,
        events: mpsc::UnboundedSender<Event>,
        paths: mpsc::UnboundedSender<PathChange>,
    ) -> Asked {
        let asked = Asked::default();
        if let Some(seen) = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            // Who adds itself listens.
            let _ = events.send(Event::Host(seen));
        }
        let mut clusters = self.lock();
        clusters.retain(|hearer| !hearer.events.is_closed());
        clusters.push(Hearer { asked: asked.clone(), events, paths });
        asked
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Hearer>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen.
    pub(super) fn tell(&self, news: LinkNews) {
        match news {
            LinkNews::Host(seen) => self.tell_host(&seen),
            LinkNews::Path(change) => {
                for hearer in self.lock().iter() {
                    // Fails only when that cluster's task has ended: nobody needs it then.
                    let _ = hearer.paths.send(change.clone());
                }
            }
        }
    }

    fn tell_host(&self, seen: &Seen<Host>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = last.as_ref().map(|last| &last.fact) != Some(&seen.fact);
        *last = Some(seen.clone());
        drop(last);
        for hearer in self.lock().iter() {
            if hearer.asked.is_answered_by(seen) || changed {
                // Fails only when that cluster's task has ended: nobody needs it then.
                let _ = hearer.events.send(Event::Host(seen.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use decide::input::{Fact, Why};

    use super::*;

    #[test]
    fn a_change_is_for_all_and_an_answer_for_who_asked() {
        let hosts = Hosts::default();
        let (one, mut told_one) = mpsc::unbounded_channel();
        let (other, mut told_other) = mpsc::unbounded_channel();
        hosts.add(one, mpsc::unbounded_channel().0);
        let asked = hosts.add(other, mpsc::unbounded_channel().0);
        let host = Host { addresses: Vec::new(), interfaces: Vec::new() };
        let seen = |at| Seen { asked_at: Time(at), fact: Fact::Known(host.clone()) };
        hosts.tell_host(&seen(1));
        assert!(told_one.try_recv().is_ok() && told_other.try_recv().is_ok());
        asked.note(Time(2));
        hosts.tell_host(&seen(1));
        assert!(told_other.try_recv().is_err(), "what was looked at before is no answer");
        hosts.tell_host(&seen(2));
        assert!(told_one.try_recv().is_err());
        assert_eq!(told_other.try_recv().ok(), Some(Event::Host(seen(2))));
        hosts.tell_host(&seen(3));
        assert!(told_other.try_recv().is_err(), "an answer is told once");
    }

    #[test]
    fn a_cluster_that_has_ended_is_told_nothing_and_one_that_comes_later_is() {
        let hosts = Hosts::default();
        let (ended, hears_no_more) = mpsc::unbounded_channel();
        hosts.add(ended, mpsc::unbounded_channel().0);
        drop(hears_no_more);
        let (later, mut told_later) = mpsc::unbounded_channel();
        let asked = hosts.add(later, mpsc::unbounded_channel().0);
        assert_eq!(hosts.lock().len(), 1);
        asked.note(Time(1));
        let seen = Seen { asked_at: Time(1), fact: Fact::Unknown(Why::NotAskedYet) };
        hosts.tell_host(&seen);
        assert!(told_later.try_recv().is_ok());
        let (last, mut told_last) = mpsc::unbounded_channel();
        hosts.add(last, mpsc::unbounded_channel().0);
        assert_eq!(told_last.try_recv().ok(), Some(Event::Host(seen)), "what is known is told at once");
    }
}
