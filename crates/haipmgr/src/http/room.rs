//! Room for so many connections at a time. Whoever has connected and asks nothing gives way to whoever comes: a thousand silent
//! connections keep no health check and no scraper out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// The connections by their number, the oldest first. Some: its request has not been read yet, and this sends it away.
type Holders = Arc<Mutex<BTreeMap<u64, Option<oneshot::Sender<()>>>>>;

/// The room.
#[derive(Debug)]
pub(super) struct Room {
    places: usize,
    holders: Holders,
    next: u64,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    holders: Holders,
}

/// Comes true when the place goes to another.
pub(super) type SentAway = oneshot::Receiver<()>;

impl Room {
    pub(super) fn of(places: usize) -> Self {
        Self { places, holders: Arc::default(), next: 0 }
    }

    /// A place for a new connection: a free one, or that of the one that has asked nothing for the longest time. None: all have asked.
    pub(super) fn take(&mut self) -> Option<(Place, SentAway)> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if holders.len() >= self.places {
            let silent = holders.iter().find(|(_, waits)| waits.is_some()).map(|(number, _)| *number)?;
            if let Some(Some(end_it)) = holders.remove(&silent) {
                // It may have ended at this very moment.
                let _ = end_it.send(());
            }
        }
        let (end_it, sent_away) = oneshot::channel();
        holders.insert(self.next, Some(end_it));
        let place = Place { number: self.next, holders: Arc::clone(&self.holders) };
        self.next += 1;
        Some((place, sent_away))
    }
}

impl Place {
    /// Its request has been read: it is not sent away any more.
    pub(super) fn has_asked(&self) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waits) = holders.get_mut(&self.number) {
            *waits = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Waits until the place goes to another; for ever, where it has asked.
pub(super) async fn until(sent_away: SentAway) {
    if sent_away.await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_asks_nothing_gives_way_the_oldest_first_and_who_has_asked_does_not() {
        let mut room = Room::of(2);
        let (asked, mut first) = room.take().unwrap();
        let (_silent, mut second) = room.take().unwrap();
        asked.has_asked();
        let (newer, mut third) = room.take().unwrap();
        assert_eq!(second.try_recv(), Ok(()), "it had asked nothing");
        assert_eq!(first.try_recv(), Err(oneshot::error::TryRecvError::Closed), "it had asked");
        assert_eq!(third.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        newer.has_asked();
        assert!(room.take().is_none(), "all have asked");
        drop(asked);
        assert!(room.take().is_some(), "one has gone");
    }

    #[test]
    fn a_place_that_went_to_another_frees_none_when_it_is_dropped() {
        let mut room = Room::of(1);
        let (old, _) = room.take().unwrap();
        let (new, _) = room.take().unwrap();
        new.has_asked();
        drop(old);
        assert!(room.take().is_none());
    }
}
