//! What was seen and done lately and is worth telling of a switch. Bounded in number, age and length.

use std::time::Duration;

use super::row::{MOST_MARKS, Mark};
use crate::time::Time;

/// Older ones have to do with nothing any more.
const KEPT_FOR: Duration = Duration::from_mins(10);
/// The same is not marked again within this time.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// In characters. A server's own words may be of any length.
const LONGEST: usize = 240;

#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    /// Keeps this, unless the same was marked a moment ago. Where there are too many, those in the middle are given up.
    pub(super) fn add(&mut self, at: Time, what: impl Into<String>) {
        let mut what: String = what.into();
        if let Some((end, _)) = what.char_indices().nth(LONGEST) {
            what.truncate(end);
        }
        self.0.retain(|mark| at.since(mark.at) < KEPT_FOR);
        if self.0.iter().any(|mark| mark.what == what && at.since(mark.at) < AGAIN_AFTER) {
            return;
        }
        if self.0.len() >= MOST_MARKS {
            self.0.remove(MOST_MARKS / 2);
        }
        self.0.push(Mark { at, what });
    }

    /// Those from then on.
    pub(super) fn since(&self, since: Time) -> Vec<Mark> {
        self.0.iter().filter(|mark| mark.at >= since).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_marks_keeps_the_first_and_the_last_and_no_text_without_an_end() {
        let mut marks = Marks::default();
        for at in 0..1_000 {
            marks.add(Time(at), format!("{at} {}", "ä".repeat(1_000)));
        }
        let kept = marks.since(Time(0));
        assert_eq!(kept.len(), MOST_MARKS);
        assert!(kept.first().is_some_and(|mark| mark.what.starts_with("0 ")));
        assert!(kept.last().is_some_and(|mark| mark.what.starts_with("999 ")));
        assert!(kept.iter().all(|mark| mark.what.chars().count() <= LONGEST));
    }

    #[test]
    fn the_same_is_marked_again_only_after_a_while_and_what_is_old_is_forgotten() {
        let mut marks = Marks::default();
        marks.add(Time(0), "again");
        marks.add(Time(1), "again");
        marks.add(Time(0) + AGAIN_AFTER, "again");
        assert_eq!(marks.since(Time(0)).len(), 2);
        marks.add(Time(0) + KEPT_FOR * 2, "later");
        assert_eq!(marks.since(Time(0)).len(), 1);
    }
}
