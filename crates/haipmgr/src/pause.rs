//! The operator's pause as it is told, kept and read: until when, by whom, why. No IO but the clock's.

use core::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// No pause is longer: who paused may forget it.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The words that somebody else wrote are no longer than this, in bytes.
const MOST_BY: usize = 100;
const MOST_REASON: usize = 200;

/// A pause, of one host's agent or of the whole cluster's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Its end, in milliseconds since 1970 (UTC). Every clock of the cluster is to show the same time, as NTP has it.
    pub until_ms: u64,
    /// Who ordered it, and where.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

impl Pause {
    /// One that ends at this time. Words are cut to what fits, and lose their control characters.
    pub fn new(until_ms: u64, by: &str, reason: &str) -> Self {
        Self { until_ms, by: one_line(by, MOST_BY), reason: one_line(reason, MOST_REASON) }
    }

    /// How much of it is left at this time, [`LONGEST`] at the most; none where it is over.
    pub fn left(&self, now_ms: u64) -> Option<Duration> {
        let left = Duration::from_millis(self.until_ms.saturating_sub(now_ms));
        (!left.is_zero()).then(|| left.min(LONGEST))
    }
}

impl fmt::Display for Pause {
    /// "until 2026-05-01T12:00:00Z, ordered by root on db1: kernel update".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until =
            i64::try_from(self.until_ms / 1000).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
        match until {
            Some(until) => write!(f, "until {until}, ordered by {}", self.by)?,
            None => write!(f, "ordered by {}", self.by)?,
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

/// What the wall clock shows, in milliseconds since 1970 (UTC).
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > most {
            break;
        }
        line.push(c);
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_says_its_end_in_utc_who_ordered_it_and_why() {
        let pause = Pause::new(1_777_636_800_250, "root on db1", "kernel\nupdate");
        assert_eq!(pause.to_string(), "until 2026-05-01T12:00:00Z, ordered by root on db1: kernel update");
        assert_eq!(Pause::new(0, "x", "").to_string(), "until 1970-01-01T00:00:00Z, ordered by x");
    }

    #[test]
    fn what_is_left_ends_with_the_pause_and_is_never_longer_than_a_day() {
        let pause = Pause::new(10_000, "x", "");
        assert_eq!(pause.left(9_500), Some(Duration::from_millis(500)));
        assert_eq!(pause.left(10_000), None);
        assert_eq!(Pause::new(u64::MAX, "x", "").left(0), Some(LONGEST));
    }

    #[test]
    fn long_words_are_cut_between_two_characters() {
        let pause = Pause::new(0, &"ü".repeat(200), &"x".repeat(1000));
        assert_eq!((pause.by.len(), pause.reason.len()), (MOST_BY, MOST_REASON));
    }
}
