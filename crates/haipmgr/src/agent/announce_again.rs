//! Announcements that the way of the frames calls for, and not a decision: the VIP stays where it is, and neighbors are to learn how it
//! is reached now.

use std::time::Duration;

use tokio::time::Instant;

/// When the VIP is announced after a change. Right after a port came up frames may be dropped by the host itself, its switch or a
/// bridge, so it is said again.
const AFTER: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// What is still to be announced.
#[derive(Debug, Default)]
pub(super) struct AnnounceAgain {
    changed_at: Option<Instant>,
    /// How many of [`AFTER`] are done.
    done: usize,
}

impl AnnounceAgain {
    /// The way of the frames has changed.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Self { changed_at: Some(now), done: 0 };
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Option<Instant> {
        Some(self.changed_at? + *AFTER.get(self.done)?)
    }

    /// Whether one is due now; it counts as done.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let is_due = self.due().is_some_and(|due| due <= now);
        self.done += usize::from(is_due);
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_announced_at_once_and_a_few_times_more() {
        let mut again = AnnounceAgain::default();
        let now = Instant::now();
        assert!(!again.take(now) && again.due().is_none());
        again.begin(now);
        assert!(again.take(now) && !again.take(now));
        again.begin(now);
        let later = now + Duration::from_secs(10);
        assert_eq!((0..10).filter(|_| again.take(later)).count(), AFTER.len());
        assert_eq!(again.due(), None);
    }
}
