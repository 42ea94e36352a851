//! What was said last, so that the log gets one line for each change and not one for each poll (S1, S5).

use std::collections::BTreeMap;
use std::time::Duration;

use decide::checks::{Finding, Stage};
use decide::driver::Settled;
use decide::input::Why;
use decide::net::VipId;
use decide::output::Reason;
use decide::policy::Policy;
use decide::time::Time;

use crate::journal::Log;

/// The same is not said again within this time, but for a switch and what took the VIP away. What comes again soon after that waits
/// twice as long each time, up to [`LONGEST`]: whatever a server says, and however it changes its mind, the log stays small, and is not
/// wrong for longer than that.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);
/// After so many times its pause without it, something is news again.
const FORGOTTEN_AFTER: u32 = 2;
/// What is remembered at the most.
const REMEMBERED: usize = 64;

/// One line for the log.
pub(super) enum Line {
    Switch(String),
    Info(String),
    Error(String),
    /// An error: another host uses a VIP, or answers for it, that has no business with it.
    Conflict(String),
}

impl Line {
    pub(super) fn write(&self, journal: &Log) {
        match self {
            Self::Switch(text) => journal.switch(text),
            Self::Info(text) => journal.info(text),
            Self::Error(text) | Self::Conflict(text) => journal.error(text),
        }
    }
}

/// What the log has been told of one cluster.
#[derive(Default)]
pub(super) struct LogDedup {
    /// What was said of each, as far as its kind goes.
    stages: BTreeMap<Stage, String>,
    standing: BTreeMap<VipId, String>,
    said: BTreeMap<String, Said>,
}

/// When something was last said, and how long it is not said again.
struct Said {
    at: Time,
    pause: Duration,
}

impl LogDedup {
    /// The lines that a decision adds.
    pub(super) fn lines(&mut self, policy: &Policy, settled: &Settled) -> Vec<Line> {
        let (now, decision) = (settled.at, &settled.decision);
        let mut lines = Vec::new();
        for (place, said) in decision.reasons.iter().enumerate() {
            if was_not_asked(&said.reason) {
                // The first moments after a start; the answer is worth a line, the question is not.
                continue;
            }
            // A start that failed is no switch; the failure says so itself, as the next event.
            if said.vip.is_some_and(|vip| settled.not_started.contains(&vip)) {
                continue;
            }
            let text = said.text(policy);
            let is_last = || decision.reasons.iter().skip(place + 1).all(|later| later.vip != said.vip);
            // How a VIP stands is said when it changes; what happens on the way, each time.
            let standing = said.vip.filter(|_| is_last());
            let known =
                standing.is_some_and(|vip| self.standing.get(&vip).map(String::as_str) == Some(kind(&text)));
            if is_said_each_time(&said.reason) || (!known && self.may_say(now, &text)) {
                self.standing.extend(standing.map(|vip| (vip, kind(&text).to_owned())));
                lines.push(line(&said.reason, said.is_switch(policy), text));
            }
        }
        let mut of_stages = self.stage_lines(settled, &lines);
        of_stages.append(&mut lines);
        of_stages
    }

    /// What the stages say anew, but for what one of `said`, the other lines of the same decision, says too.
    fn stage_lines(&mut self, settled: &Settled, said: &[Line]) -> Vec<Line> {
        let mut lines = Vec::new();
        for (stage, finding, _) in settled.decision.stages.each() {
            if *finding == Finding::Unknown(Why::NotAskedYet) {
                continue;
            }
            let text = stage_text(stage, finding);
            let before = self.stages.get(&stage);
            if before.map(String::as_str) == Some(kind(&text)) {
                continue;
            }
            // That the agent is at work is said by the first stage; that the others pass from the start is no news.
            let no_news = before.is_none() && *finding == Finding::Passed && stage != Stage::Member;
            if no_news || is_said_by(said, finding) || self.may_say(settled.at, &text) {
                self.stages.insert(stage, kind(&text).to_owned());
                if !no_news && !is_said_by(said, finding) {
                    lines.push(Line::Info(text));
                }
            }
        }
        lines
    }

    /// One more line, where the same was not said lately.
    pub(super) fn info(&mut self, now: Time, text: String) -> Option<Line> {
        self.may_say(now, &text).then_some(Line::Info(text))
    }

    fn may_say(&mut self, now: Time, text: &str) -> bool {
        self.said.retain(|_, said| now.since(said.at) < said.pause * FORGOTTEN_AFTER);
        let before = self.said.get(kind(text));
        if before.is_some_and(|said| now.since(said.at) < said.pause) {
            return false;
        }
        let pause = before.map_or(AGAIN_AFTER, |said| (said.pause * 2).min(LONGEST));
        if self.said.len() >= REMEMBERED
            && let Some(oldest) =
                self.said.iter().min_by_key(|(_, said)| said.at).map(|(kind, _)| kind.clone())
        {
            self.said.remove(&oldest);
        }
        self.said.insert(kind(text).to_owned(), Said { at: now, pause });
        true
    }
}

/// What a text is about. A server's own words after its error's number are left away: they may name a connection, a time, anything, and
/// so be new each time.
fn kind(text: &str) -> &str {
    const ERROR: &str = "error ";
    let end = text.match_indices(ERROR).find_map(|(at, _)| {
        let number = at + ERROR.len();
        let digits = text.get(number..)?.find(|c: char| !c.is_ascii_digit())?;
        (digits > 0).then_some(number + digits)
    });
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Whether one of these lines, how the VIP stands, names what the stage found. A switch stands alone: what led to it is told before it.
fn is_said_by(lines: &[Line], finding: &Finding) -> bool {
    let found = match finding {
        Finding::Passed => Reason::Holding.to_string(),
        Finding::Failed(cause) => cause.to_string(),
        Finding::Unknown(why) => why.to_string(),
    };
    lines.iter().any(|line| match line {
        Line::Switch(_) => false,
        Line::Info(text) | Line::Error(text) | Line::Conflict(text) => text.contains(&found),
    })
}

fn was_not_asked(reason: &Reason) -> bool {
    matches!(reason, Reason::NotKnown(_, Why::NotAskedYet) | Reason::HoldingUnknown(_, Why::NotAskedYet))
}

/// A start of the VIP without what had ended it would be a riddle.
fn is_said_each_time(reason: &Reason) -> bool {
    reason.is_switch() || matches!(reason, Reason::RemovedByOther(_))
}

/// `is_switch`: of a writer's VIP; a reader's moves are no news for the legacy monitors (S1).
fn line(reason: &Reason, is_switch: bool, text: String) -> Line {
    if is_switch {
        Line::Switch(text)
    } else if matches!(reason, Reason::Stranger(_) | Reason::TakenByStranger(_)) {
        Line::Conflict(text)
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

#[cfg(test)]
mod tests {
    use decide::checks::Cause;

    use super::*;

    const WORDS: [&str; 2] = ["Aborted connection", "Illegal mix of collations"];

    #[test]
    fn a_server_that_finds_new_words_each_time_fills_no_log() {
        let mut dedup = LogDedup::default();
        let mut said = 0;
        // An hour of two errors in turn, each text another, ten a second.
        for poll in 0..36_000_u64 {
            let which = usize::from(poll % 2 == 1);
            let text = format!("VIP kept for now: error {}: {} {poll}", 1184 + which, WORDS[which]);
            said += usize::from(dedup.may_say(Time(poll * 100_000), &text));
        }
        assert!((60..=140).contains(&said), "{said} lines");
    }

    #[test]
    fn a_stage_that_the_vips_own_line_names_gets_no_line_of_its_own() {
        let failed = Finding::Failed(Cause::ReadOnly);
        let named = [Line::Info(Reason::NotWanted(Stage::Primary, Cause::ReadOnly).to_string())];
        assert!(is_said_by(&named, &failed));
        assert!(
            !is_said_by(&[Line::Switch(named_text(&named))], &failed),
            "what led to a switch is told apart"
        );
        assert!(!is_said_by(&[], &failed));
        assert!(!is_said_by(&named, &Finding::Passed));
        assert!(is_said_by(&[Line::Info(Reason::Holding.to_string())], &Finding::Passed));
    }

    fn named_text(lines: &[Line]) -> String {
        let [Line::Info(text), ..] = lines else { return String::new() };
        text.clone()
    }

    #[test]
    fn what_comes_again_long_after_is_news_again() {
        let mut dedup = LogDedup::default();
        let minutes = |count: u64| Time(count * 60_000_000);
        let said = (0..10).filter(|minute| dedup.may_say(minutes(*minute), "stage 4 fails")).count();
        assert_eq!(said, 10);
        assert!(!dedup.may_say(Time(minutes(9).0 + 1_000_000), "stage 4 fails"));
    }

    #[test]
    fn only_a_server_s_own_words_are_left_away() {
        assert_eq!(kind("unknown: error 1184: Aborted connection 7"), "unknown: error 1184");
        assert_eq!(
            kind("member 10.77.0.11: an error of the host"),
            "member 10.77.0.11: an error of the host"
        );
    }
}
