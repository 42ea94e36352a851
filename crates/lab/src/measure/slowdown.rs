//! How much a fault that leaves the primary where it is slows its commits down: a member that is silent, or that joins, is waited
//! for at each of them.

use crate::record::{Expects, Phase, Recording, What};

use super::{Fault, acknowledged, faults};

/// Commits are counted over windows of this length from the fault on, microseconds. Four rows a second, which is what a silent member
/// leaves, are one for each.
const WINDOW: u64 = 250_000;
/// How long before the fault the rate is taken from, microseconds.
const BEFORE: u64 = 5_000_000;

/// What one fault did to the rate of commits.
#[derive(Clone, Debug, PartialEq)]
pub struct Slowdown {
    /// The fault's name.
    pub fault: String,
    /// Whether this is the time in which it was undone: the member joins the group again.
    pub joining: bool,
    /// Rows a second before: the median of the windows of the last 5 s.
    pub before: f64,
    /// Seconds in which less than half of that was committed, to a quarter of a second.
    pub slow: f64,
    /// Rows a second in these; none where there are none.
    pub meanwhile: Option<f64>,
}

/// For each fault that leaves the primary where it is: while it lasted, and while it was undone.
pub fn slowdowns(recording: &Recording) -> Vec<Slowdown> {
    let rows: Vec<u64> = acknowledged(recording).into_keys().collect();
    let mut found = Vec::new();
    for fault in faults(recording).iter().filter(|fault| fault.expects == Expects::SamePrimary) {
        let before = counts(&rows, fault.injected_us.saturating_sub(BEFORE), fault.injected_us);
        let usual = median(before);
        let healed_us = healed(recording, fault).unwrap_or(fault.end_us);
        found.push(of(fault, false, usual, counts(&rows, fault.injected_us, healed_us)));
        if healed_us < fault.end_us {
            found.push(of(fault, true, usual, counts(&rows, healed_us, fault.end_us)));
        }
    }
    found
}

fn healed(recording: &Recording, fault: &Fault<'_>) -> Option<u64> {
    let within = |at_us: u64| at_us > fault.injected_us && at_us < fault.end_us;
    let is_healing = |what: &What| matches!(what, What::Fault { phase: Phase::Healed, .. });
    let mut all = recording.all().iter();
    all.find(|recorded| within(recorded.at_us) && is_healing(&recorded.what)).map(|recorded| recorded.at_us)
}

/// The rows of each whole window of a stretch.
fn counts(rows: &[u64], from_us: u64, to_us: u64) -> Vec<u32> {
    let windows = to_us.saturating_sub(from_us) / WINDOW;
    let mut counts = vec![0; usize::try_from(windows).unwrap_or_default()];
    for at_us in rows.iter().filter(|at_us| **at_us >= from_us) {
        let window = usize::try_from((at_us - from_us) / WINDOW).unwrap_or(usize::MAX);
        if let Some(count) = counts.get_mut(window) {
            *count += 1;
        }
    }
    counts
}

fn median(mut counts: Vec<u32>) -> u32 {
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or_default()
}

fn of(fault: &Fault<'_>, joining: bool, usual: u32, counts: Vec<u32>) -> Slowdown {
    let slow: Vec<u32> = counts.into_iter().filter(|count| 2 * count < usual).collect();
    let seconds = seconds(slow.len());
    Slowdown {
        fault: fault.name.to_owned(),
        joining,
        before: f64::from(usual) / self::seconds(1),
        slow: seconds,
        meanwhile: (!slow.is_empty()).then(|| f64::from(slow.iter().sum::<u32>()) / seconds),
    }
}

/// For show alone: a run's windows are far below what an `f64` holds exactly.
#[allow(clippy::cast_precision_loss)]
fn seconds(windows: usize) -> f64 {
    windows as f64 * WINDOW as f64 / 1e6
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use crate::record::{Outcome, Recorded};

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn row(at_us: u64) -> Recorded {
        let what = What::Insert { id: at_us, sent_us: at_us, outcome: Outcome::Acknowledged };
        Recorded { at_us, who: "client".into(), what }
    }

    fn deed(at_us: u64, phase: Phase, expects: Expects) -> Recorded {
        let (name, host) = ("secondary-kill-9".into(), "db2".into());
        Recorded { at_us, who: "lab".into(), what: What::Fault { name, host, target: None, expects, phase } }
    }

    /// Rows every so many microseconds, from and to in seconds.
    fn rows(from: u64, to: u64, every_us: u64) -> impl Iterator<Item = Recorded> {
        (from * SECOND..to * SECOND).step_by(usize::try_from(every_us).unwrap_or(1)).map(row)
    }

    fn run(expects: Expects) -> Recording {
        rows(0, 10, 4_000)
            .chain(rows(10, 16, 250_000))
            .chain(rows(16, 20, 4_000))
            .chain(rows(20, 23, 10_000))
            .chain(rows(23, 25, 4_000))
            .chain([deed(10 * SECOND, Phase::Injected, expects), deed(20 * SECOND, Phase::Healed, expects)])
            .collect()
    }

    #[test]
    fn a_silent_member_slows_commits_for_as_long_as_less_than_half_is_committed() {
        let found = slowdowns(&run(Expects::SamePrimary));
        let [silent, joining] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((silent.before, silent.slow, silent.meanwhile), (252.0, 6.0, Some(4.0)));
        assert_eq!((joining.joining, joining.slow, joining.meanwhile), (true, 3.0, Some(100.0)));
    }

    #[test]
    fn a_rate_just_above_half_is_not_slow() {
        let recording: Recording = rows(0, 10, 4_000)
            .chain(rows(10, 20, 7_000))
            .chain([deed(10 * SECOND, Phase::Injected, Expects::SamePrimary)])
            .collect();
        assert_eq!(slowdowns(&recording).first().map(|run| (run.slow, run.meanwhile)), Some((0.0, None)));
    }

    #[test]
    fn a_fault_that_moves_the_primary_has_an_outage_and_no_slowdown() {
        assert_eq!(slowdowns(&run(Expects::NewPrimary)), []);
    }
}
