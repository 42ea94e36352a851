//! What was said last, so that the log gets one line for each change and not one for each poll (S1, S5).

use std::collections::BTreeMap;
use std::time::Duration;

use decide::checks::{Finding, Stage};
use decide::driver::Settled;
use decide::event::Why;
use decide::net::VipId;
use decide::policy::Policy;
use decide::reason::Reason;
use decide::time::Time;

use crate::journal::Log;

/// The same words are not said again within this time, but for a switch and what took the VIP away.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Words remembered at the most.
const REMEMBERED: usize = 64;

/// One line for the log.
pub(super) enum Line {
    Switch(String),
    Info(String),
    Error(String),
}

impl Line {
    pub(super) fn write(&self, journal: &Log) {
        match self {
            Self::Switch(text) => journal.switch(text),
            Self::Info(text) => journal.info(text),
            Self::Error(text) => journal.error(text),
        }
    }
}

/// What the log has been told of one cluster.
#[derive(Default)]
pub(super) struct LogDedup {
    stages: BTreeMap<Stage, Finding>,
    standing: BTreeMap<VipId, String>,
    said_at: BTreeMap<String, Time>,
}

impl LogDedup {
    /// The lines that a decision adds.
    pub(super) fn lines(&mut self, policy: &Policy, settled: &Settled) -> Vec<Line> {
        let (now, decision) = (settled.at, &settled.decision);
        let mut lines = Vec::new();
        for (stage, finding, _) in decision.stages.each() {
            if *finding == Finding::Unknown(Why::NotAskedYet) {
                // The first moments after a start; the answer is worth a line, the question is not.
                continue;
            }
            if self.stages.get(&stage) != Some(finding) && self.may_say(now, &stage_text(stage, finding)) {
                lines.push(Line::Info(stage_text(stage, finding)));
                self.stages.insert(stage, finding.clone());
            }
        }
        for (place, said) in decision.reasons.iter().enumerate() {
            // A start that failed is no switch; the failure says so itself, as the next event.
            if said.vip.is_some_and(|vip| settled.not_started.contains(&vip)) {
                continue;
            }
            let text = said.text(policy);
            let is_last = || decision.reasons.iter().skip(place + 1).all(|later| later.vip != said.vip);
            // How a VIP stands is said when it changes; what happens on the way, each time.
            let standing = said.vip.filter(|_| is_last());
            let known = standing.is_some_and(|vip| self.standing.get(&vip) == Some(&text));
            if is_said_each_time(&said.reason) || (!known && self.may_say(now, &text)) {
                lines.push(line(&said.reason, text.clone()));
                self.standing.extend(standing.map(|vip| (vip, text)));
            }
        }
        lines
    }

    fn may_say(&mut self, now: Time, text: &str) -> bool {
        self.said_at.retain(|_, at| now.since(*at) < AGAIN_AFTER);
        if self.said_at.contains_key(text) {
            return false;
        }
        if self.said_at.len() < REMEMBERED {
            self.said_at.insert(text.to_owned(), now);
        }
        true
    }
}

/// A start of the VIP without what had ended it would be a riddle.
fn is_said_each_time(reason: &Reason) -> bool {
    reason.is_switch() || matches!(reason, Reason::RemovedByOther(_))
}

fn line(reason: &Reason, text: String) -> Line {
    if reason.is_switch() {
        Line::Switch(text)
    } else if reason.is_error() {
        Line::Error(text)
    } else {
        Line::Info(text)
    }
}

fn stage_text(stage: Stage, finding: &Finding) -> String {
    match finding {
        Finding::Passed => format!("{stage} passes"),
        Finding::Failed(cause) => format!("{stage} fails: {cause}"),
        Finding::Unknown(why) => format!("{stage} is not known: {why}"),
    }
}
