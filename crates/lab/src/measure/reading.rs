//! One figure of one run, and what several runs come to.

use core::fmt;

use serde::{Serialize, Serializer};

/// A time that was measured, or why there is none. In order of badness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// The question makes no sense for this fault.
    DoesNotApply,
    /// Microseconds. Negative only in a difference.
    After(i64),
    /// It did not happen while it was watched for, this many microseconds.
    Never(i64),
}

impl Reading {
    /// From one moment to a later one, both in microseconds.
    pub fn between(from_us: u64, to_us: u64) -> Self {
        Self::After(difference(from_us, to_us))
    }

    /// Seconds, where it was measured.
    pub fn seconds(self) -> Option<f64> {
        match self {
            Self::After(us) => Some(seconds(us)),
            Self::DoesNotApply | Self::Never(_) => None,
        }
    }

    /// `self` less `other`: never where `self` is never, and nothing where either has no meaning or `other` is never.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        match (self, other) {
            (Self::After(us), Self::After(other)) => Self::After(us - other),
            (Self::Never(us), Self::After(_)) => Self::Never(us),
            _ => Self::DoesNotApply,
        }
    }
}

impl fmt::Display for Reading {
    /// Seconds to the millisecond; `–` or `never (90 s)` where there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoesNotApply => f.pad("–"),
            Self::After(us) => f.pad(&format!("{:.3}", seconds(*us))),
            Self::Never(us) => f.pad(&format!("never ({:.0} s)", seconds(*us))),
        }
    }
}

impl Serialize for Reading {
    /// A number of seconds, `never`, or nothing.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::DoesNotApply => serializer.serialize_none(),
            Self::After(us) => serializer.serialize_f64(seconds(*us)),
            Self::Never(_) => serializer.serialize_str("never"),
        }
    }
}

/// The middle one of several runs; of an even number, the mean of the two in the middle, or the worse of them where they
/// have no mean. Runs to which it does not apply are left out.
pub fn median(readings: impl IntoIterator<Item = Reading>) -> Reading {
    let mut all: Vec<Reading> =
        readings.into_iter().filter(|reading| *reading != Reading::DoesNotApply).collect();
    all.sort_unstable();
    let middle = all.len() / 2;
    let Some(upper) = all.get(middle).copied() else { return Reading::DoesNotApply };
    if all.len() % 2 == 1 {
        return upper;
    }
    match (all.get(middle.saturating_sub(1)), upper) {
        (Some(Reading::After(lower)), Reading::After(upper)) => Reading::After(i64::midpoint(*lower, upper)),
        _ => upper,
    }
}

/// The worst of several runs: one that never came is worse than any that did.
pub fn worst(readings: impl IntoIterator<Item = Reading>) -> Reading {
    readings.into_iter().max().unwrap_or(Reading::DoesNotApply)
}

/// `to_us` − `from_us`.
pub(crate) fn difference(from_us: u64, to_us: u64) -> i64 {
    i64::try_from(i128::from(to_us) - i128::from(from_us)).unwrap_or(i64::MAX)
}

/// For show alone: a run's microseconds are far below what an `f64` holds exactly.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reading::{After, DoesNotApply, Never};

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(median([After(4), After(1), After(2), After(100)]), After(3));
        assert_eq!(median([After(3), After(1), After(2)]), After(2));
        assert_eq!(median([]), DoesNotApply);
    }

    #[test]
    fn a_run_that_never_recovered_is_the_worst_and_pulls_the_median_up() {
        assert_eq!(worst([After(9_000_000), Never(5), After(1)]), Never(5));
        assert_eq!(median([After(1), Never(5)]), Never(5));
        assert_eq!(median([After(1), After(2), Never(5)]), After(2));
    }

    #[test]
    fn runs_to_which_a_figure_does_not_apply_do_not_count() {
        assert_eq!(median([DoesNotApply, After(7), DoesNotApply]), After(7));
        assert_eq!(worst([DoesNotApply, DoesNotApply]), DoesNotApply);
    }

    #[test]
    fn figures_are_shown_in_seconds_and_absences_in_words() {
        assert_eq!(After(1_234_567).to_string(), "1.235");
        assert_eq!(After(-20_000).to_string(), "-0.020");
        assert_eq!(Never(90_000_000).to_string(), "never (90 s)");
        assert_eq!(DoesNotApply.to_string(), "–");
    }
}
