//! What is due whatever the VIPs do: the polling pace, the safety net under the events, the state file (S6).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::entitlement::Entitlement;
use crate::input::{Fact, Server};
use crate::moment::Moment;
use crate::output::{Action, Output, StatMark};
use crate::policy::GroupPolicy;
use crate::time::Time;
use crate::timers::Timer;

/// The state file goes back to `1` after this many loops (S6).
const LOOPS_UNTIL_QUIET: u32 = 20;

/// The polling pace, the safety net and the state file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Polling {
    /// The interval that was last asked for, and since when there has been a call for the short one.
    pub pace: Pace,
    /// When all is looked at anew, whatever happens (the legacy program's loop).
    pub next_look: Time,
    /// When the state file goes back to `1` (S6).
    pub stat_quiet_at: Option<Time>,
}

/// The polling interval in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pace {
    /// What was last asked for; none: nothing yet, the default is in force.
    pub every: Option<Duration>,
    /// Since when something has been in the air.
    pub alert_since: Option<Time>,
}

impl Polling {
    pub(crate) fn new(now: Time) -> Self {
        Self { pace: Pace::default(), next_look: now, stat_quiet_at: None }
    }

    /// At start: what the state file holds, and for how long it has.
    pub(crate) fn take_in_stat(
        &mut self,
        policy: &GroupPolicy,
        found: Option<(StatMark, Duration)>,
        now: Time,
        out: &mut Output,
    ) {
        let quiet_after = policy.sleeptime * LOOPS_UNTIL_QUIET;
        match found {
            Some((StatMark::Quiet, _)) => {}
            Some((_, age)) if age < quiet_after => {
                self.stat_quiet_at = Some(now + quiet_after.saturating_sub(age));
            }
            Some(_) | None => out.act(Action::WriteStat(StatMark::Quiet)),
        }
    }

    /// A VIP was switched: plans the state file's way back to `1`.
    pub(crate) fn note_switch(&mut self, policy: &GroupPolicy, now: Time) {
        self.stat_quiet_at = Some(now + policy.sleeptime * LOOPS_UNTIL_QUIET);
    }

    /// The state file.
    pub(crate) fn quieten_stat(&mut self, now: Time, out: &mut Output) {
        match self.stat_quiet_at {
            Some(due) if now >= due => {
                self.stat_quiet_at = None;
                out.act(Action::WriteStat(StatMark::Quiet));
            }
            Some(due) => out.wake(Timer::StatFileQuiet, due),
            None => {}
        }
    }

    /// The safety net: looks at everything anew. Gives whether it does.
    pub(crate) fn look_around(&mut self, policy: &GroupPolicy, now: Time, out: &mut Output) -> bool {
        let due = now >= self.next_look;
        if due {
            for question in [Action::AskHost, Action::AskServer, Action::AskGateway, Action::LearnNeighbors] {
                out.act(question);
            }
            self.next_look = now + policy.sleeptime;
        }
        out.wake(Timer::LookAround, self.next_look);
        due
    }

    /// `vips`: something is under way with a VIP that calls for the short interval.
    pub(crate) fn set_pace(&mut self, at: Moment<'_>, vips: bool, out: &mut Output) {
        let signed_until = at.facts.process.alerted_until(at.now);
        if let Some(until) = signed_until {
            out.wake(Timer::SignOver, until);
        }
        let alert = vips || calls_for_short_polling(at);
        let since = alert.then(|| self.pace.alert_since.unwrap_or(at.now));
        self.pace.alert_since = since;
        let short = at.group.alert_interval.min(at.group.poll_interval);
        let every = match since {
            Some(since) if at.now.since(since) < at.group.alert_limit => {
                out.wake(Timer::AlertLimit, since + at.group.alert_limit);
                short
            }
            _ if signed_until.is_some() => short,
            _ => at.group.poll_interval,
        };
        if self.pace.every.unwrap_or(at.group.poll_interval) != every {
            out.act(Action::PollEvery(every));
        }
        self.pace.every = Some(every);
    }
}

/// What the local server says of itself is about to change, or is no word at all.
fn calls_for_short_polling(at: Moment<'_>) -> bool {
    match &at.facts.server.fact {
        Fact::Known(Server::Member(view)) => {
            view.unreachable() > 0 || at.entitlement(view) == Entitlement::Keep
        }
        Fact::Known(Server::Refused(_)) => true,
        Fact::Known(Server::NotInGroup(_)) => false,
        Fact::Unknown(why) => !why.server_lives(),
    }
}
