//! What a sign of the local server's process is worth: a question at once, and short polling for a moment. Whoever can
//! make a server write to its log must not make the agent ask like that without an end, so there is an allowance for each.
//!
//! And whether a dead server's successor would be seen before it listens. Until it has joined its group it takes writes that the
//! group will never have, so no client may be led to it: a VIP lingers only where that is certain.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::news::News;
use crate::input::ProcessSign;
use crate::time::Time;

/// A question at once costs so much of its allowance: two a second in the long run …
const QUESTION: Duration = Duration::from_millis(500);
/// … and forty in one go. What Group Replication writes about one election is worth five.
const QUESTIONS: Duration = Duration::from_secs(20);

/// After a sign, the server is polled at the short interval for this long: what it announces is about to happen.
const ALERT_FOR: Duration = Duration::from_millis(300);
/// So much of that in one stretch …
const ALERTS: Duration = Duration::from_secs(20);
/// … and, in the long run, this part of the time: at the default intervals, three more questions a second.
const ALERT_EARNED_BACK: u32 = 30;

/// What the signs of the local server's process have been worth so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signs {
    /// The server is polled at the short interval until then.
    pub alert_until: Option<Time>,
    /// For this polling.
    pub alerts: Allowance,
    /// For questions at once.
    pub questions: Allowance,
    /// What is known of the process.
    #[serde(default)]
    pub process: Process,
}

/// What is known of the local server's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// Nothing: it was not found, or a new one may listen by now.
    #[default]
    Unknown,
    /// It runs, and is watched.
    Watched,
    /// It has ended, and any successor is told of before it listens.
    Ended,
}

impl Signs {
    /// Where the local server refuses connections: whether another one would be noticed before it listens.
    pub fn successor_would_be_seen(&self) -> bool {
        self.process != Process::Unknown
    }
}

/// Something that is used up, and earned back with time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Allowance {
    /// Used up, and not earned back yet …
    pub spent: Duration,
    /// … as of this time.
    pub counted_at: Time,
}

impl Allowance {
    /// Uses up `cost`, if there is as much left of `most`. One part in `slowness` of the time that passes is earned back.
    fn covers(&mut self, cost: Duration, most: Duration, slowness: u32, now: Time) -> bool {
        self.spent = self.spent.saturating_sub(now.since(self.counted_at) / slowness);
        self.counted_at = now;
        let covered = self.spent + cost <= most;
        if covered {
            self.spent += cost;
        }
        covered
    }
}

impl Signs {
    /// Takes a sign in.
    pub(super) fn take_in(&mut self, sign: ProcessSign, now: Time) -> Vec<News> {
        self.process = match sign {
            ProcessSign::Watched => Process::Watched,
            ProcessSign::Ended => Process::Ended,
            ProcessSign::MayStart => Process::Unknown,
            ProcessSign::WroteToItsLog => self.process,
        };
        if sign == ProcessSign::Watched {
            return Vec::new();
        }
        let mut news = Vec::new();
        if sign == ProcessSign::Ended {
            news.push(News::ProcessEnded);
        }
        let until = now + ALERT_FOR;
        let longer = until.since(self.alert_until.map_or(now, |until| until.max(now)));
        if self.alerts.covers(longer, ALERTS, ALERT_EARNED_BACK, now) {
            self.alert_until = Some(until);
        }
        // A process starts and ends once; that is not to be missed because its log was noisy before.
        if self.questions.covers(QUESTION, QUESTIONS, 1, now) || sign != ProcessSign::WroteToItsLog {
            news.push(News::WorthAsking);
        }
        news
    }

    /// A sign calls for short polling until then.
    pub fn alerted_until(&self, now: Time) -> Option<Time> {
        self.alert_until.filter(|until| now < *until)
    }
}
