//! For how long reader VIPs stayed on hosts that were not entitled to them, step by step.

use std::fmt;
use std::time::Duration;

use crate::end_to_end::expect::promise;
use crate::end_to_end::{Broken, UnderTest};
use crate::measure::entitled::{ENTITLED_WITHIN, longest};

/// Steps in which a host may keep a reader VIP for longer, by a part of their name: somebody has paused it, its agent is dead or hung
/// (then its lease ends first), all readers are made to be behind (which no witness sees), or frames get lost by the lab's own doing.
const OTHERWISE: [&str; 11] = [
    "pause",
    "all_behind",
    "agent_",
    "killed_and_back",
    "lease",
    "frames_lost",
    "is_not_heard",
    "hears_nothing",
    "cut_off",
    "gateway",
    "stop_release",
];

/// The longest of all steps in which it counts.
#[derive(Debug, Default)]
pub(super) struct Stays {
    longest: Duration,
    judged: usize,
    otherwise: usize,
}

impl Stays {
    /// Adds what a step that went well showed of it.
    ///
    /// # Errors
    /// A reader VIP stayed for longer than a word holds.
    pub(super) fn judge(
        &mut self,
        under_test: &UnderTest,
        step: &str,
        since_us: u64,
        figures: String,
    ) -> Result<String, Broken> {
        if OTHERWISE.iter().any(|part| step.contains(part)) {
            self.otherwise += 1;
            return Ok(figures);
        }
        self.judged += 1;
        let all = under_test.experiment.overstays(since_us);
        let Some(stay) = longest(&all) else { return Ok(figures) };
        self.longest = self.longest.max(stay.lasted);
        promise(stay.lasted <= ENTITLED_WITHIN, || {
            format!(
                "{stay}, and another could have had it; {} s is the limit; {figures}",
                ENTITLED_WITHIN.as_secs_f64()
            )
        })?;
        Ok(figures)
    }
}

impl fmt::Display for Stays {
    /// Nothing where there was nothing to judge.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.longest.is_zero() {
            return Ok(());
        }
        write!(
            f,
            "\nA reader VIP on a host that was not entitled to it while another was: {:.3} s at the longest, in {} steps; {} more in which a host may keep it for longer",
            self.longest.as_secs_f64(),
            self.judged,
            self.otherwise
        )
    }
}
