//! The agent's end of `haipmgr reload`, and of SIGHUP: one reload after the other, each looked at as a whole before anything is changed.
//!
//! | file | the one idea |
//! |---|---|
//! | `difference.rs`, `words.rs` | what a new configuration changes, and how that is said: pure |
//! | `account.rs` | whether the server takes an account that is new |
//! | `checked.rs` | a new configuration, looked at before anything is changed |
//! | `follow.rs` | which agents end and begin, and what is given up |

mod account;
mod checked;
mod difference;
mod follow;
mod words;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::serving::Serving;
use crate::config::Source;
use crate::control::Order;
use crate::control::message::{Answer, Request};
use crate::control::reloaded::{Outcome, Reloaded};
use crate::self_protection::as_ordinary_thread;
use checked::{Checked, Refused, Running, check};
use follow::{UnderWay, finish, follow};

/// At the agent's end, VIPs that are being given up have this long.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(5);
/// So many lines of what is wrong go to the log.
const LOGGED_AT_MOST: usize = 20;

/// Who asked.
#[derive(Debug)]
pub(super) enum Asked {
    /// SIGHUP.
    Signal,
    /// `haipmgr reload`.
    By(Order),
}

/// Reloads, one after the other.
#[derive(Default)]
pub(super) struct Reloads {
    waiting: VecDeque<Asked>,
    stage: Stage,
}

#[derive(Default)]
enum Stage {
    #[default]
    Idle,
    Checking(Asked, JoinHandle<Result<Checked, Refused>>),
    GivingUp(Asked, Box<UnderWay>),
}

/// The stage that is under way has ended.
#[derive(Debug)]
pub(super) struct Step(Ended);

#[derive(Debug)]
enum Ended {
    Check(Box<Result<Checked, Refused>>),
    GivingUp(Vec<String>),
}

impl Reloads {
    /// It is done when those before it are.
    pub(super) fn add(&mut self, asked: Asked) {
        self.waiting.push_back(asked);
    }

    /// Begins the next, where none is under way.
    pub(super) fn begin(&mut self, serving: &Serving) {
        if !matches!(self.stage, Stage::Idle) {
            return;
        }
        let Some(asked) = self.waiting.pop_front() else { return };
        if !asked.only_checks() {
            serving.manager.reloading();
        }
        let running = serving.as_it_runs();
        let named = match &asked {
            Asked::By(order) => match &order.request {
                Request::Reload { file, .. } => Some(file.clone()),
                _ => None,
            },
            Asked::Signal => None,
        };
        let work = move || as_ordinary_thread(|| check(&running, named.as_deref()));
        self.stage = Stage::Checking(asked, tokio::task::spawn_blocking(work));
    }

    /// Waits until the stage that is under way has ended; for ever where none is.
    pub(super) async fn next(&mut self) -> Step {
        match &mut self.stage {
            Stage::Idle => std::future::pending().await,
            Stage::Checking(_, checked) => {
                let checked = checked.await;
                let broken_off = |error: tokio::task::JoinError| {
                    Err(Refused::System(format!("the check of the configuration broke off: {error}")))
                };
                Step(Ended::Check(Box::new(checked.unwrap_or_else(broken_off))))
            }
            Stage::GivingUp(_, under_way) => {
                let broken_off = |error: tokio::task::JoinError| vec![error.to_string()];
                Step(Ended::GivingUp((&mut under_way.leaving).await.unwrap_or_else(broken_off)))
            }
        }
    }

    /// The next stage.
    pub(super) async fn go_on(&mut self, Step(step): Step, serving: &mut Serving) {
        match (std::mem::take(&mut self.stage), step) {
            (Stage::Checking(asked, _), Ended::Check(checked)) => match *checked {
                Err(refused) => end(asked, refused.told(&serving.written), serving),
                Ok(checked) if asked.only_checks() || checked.difference.is_none() => {
                    let told = unchanged(&checked, asked.only_checks());
                    end(asked, told, serving);
                }
                Ok(checked) => match follow(serving, checked).await {
                    Err(refused) => end(asked, refused.told(&serving.written), serving),
                    Ok(under_way) => self.stage = Stage::GivingUp(asked, Box::new(under_way)),
                },
            },
            (Stage::GivingUp(asked, under_way), Ended::GivingUp(still_here)) => {
                let (difference, mut trouble, removed) = under_way.parts();
                finish(serving, &removed);
                trouble.extend(still_here);
                let outcome = if trouble.is_empty() { Outcome::Done } else { Outcome::Failed };
                let mut lines = difference.lines();
                lines.push(format!("the configuration is loaded anew: {}", difference.in_short()));
                end(asked, Reloaded { outcome, lines, trouble }, serving);
            }
            // A stage ends with its own word alone.
            (stage, _) => self.stage = stage,
        }
    }

    /// The agent ends: what is being given up is given up; what waits is not done.
    pub(super) async fn end(self) {
        let mut turned_away: Vec<_> = self.waiting.into();
        match self.stage {
            Stage::Idle => {}
            Stage::Checking(asked, _) => turned_away.push(asked),
            Stage::GivingUp(asked, under_way) => {
                let _ = timeout(GIVEN_UP_WITHIN, under_way.leaving).await;
                turned_away.push(asked);
            }
        }
        for asked in turned_away {
            if let Asked::By(order) = asked {
                let words = "the agent was told to end meanwhile: its next start reads the file";
                order.answer_and_go_on(&Answer::Failed(words.to_owned())).await;
            }
        }
    }
}

impl Serving {
    fn as_it_runs(&self) -> Running {
        let leases = self.running.iter().filter(|(_, runs)| !runs.cluster.lease_given);
        let leases =
            leases.filter_map(|(name, runs)| Some((name.clone(), runs.cluster.policy.longest_lease()?)));
        Running { written: self.written.clone(), held: self.lock.held(), leases: leases.collect() }
    }
}

impl Asked {
    fn only_checks(&self) -> bool {
        matches!(self, Self::By(order) if matches!(order.request, Request::Reload { check: true, .. }))
    }
}

fn unchanged(checked: &Checked, only_checks: bool) -> Reloaded {
    let mut lines = checked.difference.lines();
    lines.push(match (checked.difference.is_none(), only_checks) {
        (true, _) => "the configuration is as it was".to_owned(),
        (false, true) => format!("would be loaded anew: {}", checked.difference.in_short()),
        (false, false) => checked.difference.in_short(),
    });
    let remarks = checked.to_begin.iter().flat_map(|begins| {
        begins.remarks.iter().map(|remark| format!("cluster {}: {remark}", begins.cluster.name))
    });
    lines.extend(remarks);
    Reloaded { outcome: Outcome::Done, lines, trouble: Vec::new() }
}

/// Tells the log, the service manager, and whoever asked.
fn end(asked: Asked, told: Reloaded, serving: &Serving) {
    let log = serving.journal.agent();
    if !asked.only_checks() {
        for line in told.trouble.iter().take(LOGGED_AT_MOST) {
            log.error(line);
        }
        if let Some(last) = told.lines.last() {
            log.info(last);
        }
        if told.outcome != Outcome::Done {
            log.error("the reload failed, as the lines before say");
        }
        serving.manager.reloaded();
    }
    if let Asked::By(order) = asked {
        // Who takes the answer slowly holds nobody up.
        tokio::spawn(async move { order.answer_and_go_on(&Answer::Reload(told)).await });
    }
}

/// Whether SIGHUP has this file read anew: a `parameter.py` is not, for its users know the signal as logrotate's alone.
pub(super) fn by_signal(source: Source) -> bool {
    source == Source::Toml
}
