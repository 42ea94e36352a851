//! When an agent wrote a line of its log, on the recording's clock.
//!
//! A line carries the wall clock, to the millisecond. It is read up to 20 ms later, or more on a busy machine; the time of
//! reading alone would put what an agent saw after what it then did.

use jiff::Timestamp;

use crate::record::{Recording, What};

/// The wall clock and the recording's, side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogTime {
    /// The recording's clock less the wall clock, microseconds.
    offset_us: i128,
}

impl LogTime {
    /// From the line of all that was read soonest after it was written; none where no line has a time. Right to the delay of
    /// that one line and the millisecond that is cut off, provided that nobody sets the wall clock during the run.
    pub(super) fn of(recording: &Recording) -> Option<Self> {
        recording
            .all()
            .iter()
            .filter_map(|recorded| match &recorded.what {
                What::Agent { line } => Some(i128::from(recorded.at_us) - written_us(line)?),
                _ => None,
            })
            .min()
            .map(|offset_us| Self { offset_us })
    }

    /// When this line was written, microseconds of the recording's clock; none where it has no time.
    pub(super) fn when(self, line: &str) -> Option<u64> {
        u64::try_from(written_us(line)? + self.offset_us).ok()
    }
}

/// The time at the beginning of a line, microseconds of the wall clock.
fn written_us(line: &str) -> Option<i128> {
    let (end, _) = line.match_indices(' ').nth(1)?;
    let time: Timestamp = line.get(..end)?.parse().ok()?;
    Some(i128::from(time.as_microsecond()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::Recorded;

    fn line(at_us: u64, text: &str) -> Recorded {
        Recorded { at_us, who: "db1".into(), what: What::Agent { line: text.into() } }
    }

    #[test]
    fn a_line_stands_where_it_was_written_and_not_where_it_was_read() {
        let recording: Recording = [
            line(5_000_000, "2026-11-23 00:02:46.878+00:00 INFO  one"),
            line(6_019_000, "2026-11-23 00:02:47.879+00:00 INFO  read 18 ms late"),
            line(6_019_000, "no time at all"),
            line(6_019_000, ""),
        ]
        .into_iter()
        .collect();
        let time = LogTime::of(&recording).unwrap();
        assert_eq!(time.when("2026-11-23 00:02:47.879+00:00 INFO  read 18 ms late"), Some(6_001_000));
        assert_eq!(time.when("2026-11-23 01:02:47.879+01:00 INFO  of another time zone"), Some(6_001_000));
        assert_eq!(time.when("no time at all"), None);
        assert_eq!(LogTime::of(&Recording::default()), None);
    }
}
