//! A step of the soak with `haipmgr status` beside it: what it shows must be what the witnesses see.

use std::fmt;
use std::time::Duration;

use super::agreement::{Compared, compare};
use super::looks::{Asking, Looked};
use super::witnessed::Witnessed;
use crate::end_to_end::{Broken, Proof, UnderTest, prove};
use crate::record::{Phase, Recording, What};

/// So many contradictions of one step are told in full.
const TOLD: usize = 8;

/// All that `haipmgr status` showed so far.
#[derive(Debug, Default)]
pub(super) struct Shown {
    looks: usize,
    /// … of which while a fault lasted.
    during_faults: usize,
    refusals: usize,
    compared: Compared,
    took: Vec<Duration>,
}

impl Shown {
    /// Does a step, and holds what was shown meanwhile against what was seen.
    ///
    /// # Errors
    /// Those of the step; or something was shown that was not so.
    pub(super) fn beside(&mut self, under_test: &mut UnderTest, proof: Proof) -> Result<String, Broken> {
        let asking = Asking::start(under_test)?;
        let outcome = prove(under_test, proof);
        let looked = asking.end();
        let contradictions = self.take_in(under_test, &looked);
        if contradictions.is_empty() {
            return outcome;
        }
        let all = contradictions.len();
        let told = contradictions.into_iter().take(TOLD).collect::<Vec<_>>().join("\n    ");
        let step = outcome.unwrap_or_else(|error| error.to_string());
        Err(Broken::NotAsPromised(format!(
            "{all} facts were shown that were not so:\n    {told}\n  The step: {step}"
        )))
    }

    fn take_in(&mut self, under_test: &UnderTest, looked: &Looked) -> Vec<String> {
        let recording = under_test.experiment.recording();
        let hosts = &under_test.experiment.lab.segment.databases;
        let named = hosts.iter().map(|host| (host.name().to_owned(), host.address().to_string()));
        let witnessed = Witnessed::of(named, recording.all().iter().chain(&looked.heard));
        let mut compared = Compared::default();
        for look in &looked.looks {
            compared.add(compare(look, &witnessed));
        }
        let contradictions = std::mem::take(&mut compared.contradictions);
        self.compared.add(compared);
        self.looks += looked.looks.len();
        self.during_faults += during_faults(&recording, looked);
        self.took.extend(&looked.took);
        if let Some((words, times)) = &looked.refused {
            self.refusals += times;
            println!("  haipmgr status showed nothing, {times} times: {}", words.trim());
        }
        contradictions
    }
}

/// How many looks there were between a fault and its healing.
fn during_faults(recording: &Recording, looked: &Looked) -> usize {
    let phases: Vec<(u64, Phase)> = recording
        .all()
        .iter()
        .filter_map(|recorded| match recorded.what {
            What::Fault { phase, .. } => Some((recorded.at_us, phase)),
            _ => None,
        })
        .collect();
    let lasts = |at: u64| {
        phases.iter().rfind(|(since, _)| *since <= at).is_some_and(|(_, phase)| *phase == Phase::Injected)
    };
    looked.looks.iter().filter(|look| lasts(look.begun_us)).count()
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { looks, during_faults, refusals, compared, took } = self;
        let mut took = took.clone();
        took.sort_unstable();
        let (median, longest) = (took.get(took.len() / 2), took.last());
        let ms = |time: Option<&Duration>| time.map_or(0, Duration::as_millis);
        write!(
            f,
            "haipmgr status: {looks} looks, {during_faults} of them while a fault lasted, {refusals} refused; {} facts compared and so, {} of them shown as old; {} shown as not known; {} not witnessed; {} times nobody was heard to answer for a VIP that a host bore; it took {} ms in the median, {} ms at the longest",
            compared.agreed,
            compared.old,
            compared.unknown,
            compared.not_witnessed,
            compared.unheard,
            ms(median),
            ms(longest)
        )
    }
}
