//! What has happened in one cluster since its agent began, counted: for `/metrics` (`http/metrics.rs`). Nothing decides by it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use decide::checks::{Finding, Stage, Stages};
use decide::input::Why;
use decide::output::Action;

/// Upper bounds of the buckets in which a poll's time is counted, in seconds.
const POLL_BOUNDS: &[f64] = &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0];
/// The same for the parts of an outage.
const OUTAGE_BOUNDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 25.0];

/// What may come of a hook.
const HOOK_OUTCOMES: [&str; 3] = ["succeeded", "failed", "not_run"];

/// One cluster's counts. Clones share them. Whoever counts holds it for less than a microsecond, and so does who reads.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    counts: Counts,
    /// What of each stage is not known, as it was last counted.
    unknown: [Option<&'static str>; 4],
}

/// The counts as they are at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// VIPs that came or left: which, which end, and the history's code.
    pub switches: BTreeMap<(IpAddr, &'static str, String), u64>,
    /// What the time of those that came was spent on, by the history's names.
    pub outages: BTreeMap<&'static str, Histogram>,
    /// So often the group was asked to expel a member sooner.
    pub expels_asked: u64,
    /// So often a stage became unknown: which, and why, in a word.
    pub unknowns: BTreeMap<(&'static str, &'static str), u64>,
    /// How long the local server's answers took.
    pub polls: Histogram,
    /// So often the log was told that a host which has no business with a VIP uses it.
    pub conflicts: u64,
    /// Hooks: which, and what came of it, in a word.
    pub hooks: BTreeMap<(&'static str, &'static str), u64>,
}

/// How often which time was taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds in seconds, each with how many were within it and above the one before; infinity is the last.
    pub buckets: Vec<(f64, u64)>,
    /// All together, in seconds.
    pub sum: f64,
}

impl Histogram {
    fn add(&mut self, bounds: &[f64], seconds: f64) {
        if self.buckets.is_empty() {
            self.buckets = bounds.iter().chain([&f64::INFINITY]).map(|bound| (*bound, 0)).collect();
        }
        self.sum += seconds;
        if let Some((_, count)) = self.buckets.iter_mut().find(|(bound, _)| seconds <= *bound) {
            *count += 1;
        }
    }

    /// So many.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As they are now.
    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// A VIP came or left: which, which end, the history's code; and what its time was spent on, in milliseconds.
    pub(crate) fn switched(
        &self,
        vip: IpAddr,
        kind: &'static str,
        code: &str,
        parts: &[(&'static str, f64)],
    ) {
        let counts = &mut self.lock().counts;
        *counts.switches.entry((vip, kind, code.to_owned())).or_default() += 1;
        for (part, ms) in parts {
            counts.outages.entry(part).or_default().add(OUTAGE_BOUNDS, ms / 1000.0);
        }
    }

    /// A deed is carried out.
    pub(crate) fn done(&self, action: &Action) {
        if matches!(action, Action::SetExpelTimeout { .. } | Action::WakeExpel) {
            self.lock().counts.expels_asked += 1;
        }
    }

    /// A decision was made on these stages: what was known before, and is not any more.
    pub(crate) fn looked(&self, stages: &Stages) {
        let mut kept = self.lock();
        let Kept { counts, unknown } = &mut *kept;
        for ((stage, finding, _), before) in stages.each().into_iter().zip(unknown) {
            let now = match finding {
                Finding::Unknown(why) => word(why),
                Finding::Passed | Finding::Failed(_) => None,
            };
            if *before != now
                && let Some(why) = now
            {
                *counts.unknowns.entry((stage_word(stage), why)).or_default() += 1;
            }
            *before = now;
        }
    }

    /// The log was told of a host that uses a VIP and has no business with it.
    pub(crate) fn conflict(&self) {
        self.lock().counts.conflicts += 1;
    }

    /// There is such a hook: what may come of it is counted from 0, or nobody could tell the first failure from none.
    pub(crate) fn has_hook(&self, hook: &'static str) {
        let counts = &mut self.lock().counts;
        for outcome in HOOK_OUTCOMES {
            counts.hooks.entry((hook, outcome)).or_default();
        }
    }

    /// A hook was run, or not.
    pub(crate) fn hook(&self, hook: &'static str, outcome: &'static str) {
        *self.lock().counts.hooks.entry((hook, outcome)).or_default() += 1;
    }

    /// The local server's answer to a question took so long.
    pub(crate) fn polled(&self, took: Duration) {
        self.lock().counts.polls.add(POLL_BOUNDS, took.as_secs_f64());
    }
}

/// A stage in one word, as labels have it.
pub(crate) fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Member => "member",
        Stage::Server => "server",
        Stage::Primary => "primary",
        Stage::Gateway => "gateway",
    }
}

/// Why something is not known, in one word; none where nothing was asked yet.
fn word(why: &Why) -> Option<&'static str> {
    Some(match why {
        Why::NotAskedYet => return None,
        Why::OthersNotHeard => "others_not_heard",
        Why::TimedOut(_) => "timed_out",
        Why::WrongPassword(_) => "wrong_password",
        Why::TooManyConnections(_) => "too_many_connections",
        Why::NotAllowed(_) => "not_allowed",
        Why::ServerError(_) => "server_error",
        Why::Tls(_) => "tls",
        Why::Unreachable(_) => "unreachable",
        Why::Other(_) => "other",
    })
}

#[cfg(test)]
mod tests {
    use decide::checks::Cause;
    use decide::time::Time;

    use super::*;

    fn stages(server: Finding, gateway: Finding) -> Stages {
        let at = Time(0);
        Stages {
            member: (Finding::Passed, at),
            server: (server.clone(), at),
            primary: (server, at),
            gateway: (gateway, at),
        }
    }

    #[test]
    fn a_stage_that_is_unknown_is_counted_when_it_becomes_so_and_when_the_reason_changes() {
        let tally = Tally::default();
        let hangs = || Finding::Unknown(Why::TimedOut(Duration::from_secs(1)));
        let lost = Finding::Failed(Cause::GatewayLost { misses: 4, own: None });
        tally.looked(&stages(Finding::Unknown(Why::NotAskedYet), Finding::Passed));
        for _ in 0..3 {
            tally.looked(&stages(hangs(), lost.clone()));
        }
        tally.looked(&stages(Finding::Passed, Finding::Passed));
        tally.looked(&stages(hangs(), Finding::Passed));
        tally.looked(&stages(Finding::Unknown(Why::Tls(String::new())), Finding::Passed));
        let unknowns = tally.counts().unknowns;
        assert_eq!(unknowns.get(&("server", "timed_out")), Some(&2));
        assert_eq!(unknowns.get(&("primary", "tls")), Some(&1));
        assert_eq!(unknowns.len(), 4, "{unknowns:?}");
    }

    #[test]
    fn each_time_is_in_one_bucket_and_the_longest_are_in_the_last() {
        let tally = Tally::default();
        for ms in [0, 1, 3, 5_000] {
            tally.polled(Duration::from_millis(ms));
        }
        let polls = tally.counts().polls;
        assert_eq!(
            (polls.count(), polls.buckets.first(), polls.buckets.last()),
            (4, Some(&(0.0005, 1)), Some(&(f64::INFINITY, 1)))
        );
        assert!((polls.sum - 5.004).abs() < 1e-9);
    }
}
