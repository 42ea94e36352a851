//! The task that owns a connection: it puts the question when called and by itself, tells what is overdue, and notices the
//! connection's end. A hung server holds up its own task and nothing else.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use decide::input::{Fact, Seen, Server, Why};
use decide::time::Time;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Limits;
use super::connection::{Connection, Doing, Phase};
use crate::clock;
use crate::server_access::GIVE_UP;

/// Polls that are due at about the same time are put at the same time: each time that the thread wakes costs as much as a question.
const TICK: Duration = Duration::from_millis(10);
/// Polls closer together than this are put when they are due.
const SHORTEST_ON_TICKS: Duration = Duration::from_millis(50);
/// Watches' first polls are spread over so many parts of the interval, so that not all servers are asked at once.
const PARTS: u32 = 10;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) seen: Seen<Server>,
    /// When its question was last told as timed out.
    pub(super) told: Option<Time>,
    /// Somebody waits for it: its question was called for, or polls are closer together than they were to be at first.
    pub(super) awaited: bool,
}

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same question once more.
    AtOnce,
    /// The next poll, this long after the last question at the soonest.
    Poll(Duration),
}

/// Whom the task tells. Neither may block.
pub(super) trait Tell: Send {
    /// An answer came, be it to a question that was put by itself or to one that was called for.
    fn answered(&mut self, answer: Answer) -> Next;
    /// No answer came within the limit; it is still waited for.
    fn overdue(&mut self, seen: Seen<Server>);
}

/// How the task is called.
#[derive(Debug)]
pub(super) struct Calls {
    called: Notify,
    question: AtomicBool,
    /// Microseconds between two polls.
    every: AtomicU64,
}

impl Calls {
    /// The first question is called for.
    pub(super) fn new(every: Duration) -> Arc<Self> {
        Arc::new(Self {
            called: Notify::new(),
            question: AtomicBool::new(true),
            every: AtomicU64::new(micros(every)),
        })
    }

    /// Puts the question as soon as the one before it is answered.
    pub(super) fn ask(&self) {
        self.question.store(true, Ordering::SeqCst);
        self.called.notify_one();
    }

    /// Polls at this interval from now on.
    pub(super) fn poll_every(&self, every: Duration) {
        self.every.store(micros(every), Ordering::SeqCst);
        self.called.notify_one();
    }

    fn every(&self) -> Duration {
        Duration::from_micros(self.every.load(Ordering::SeqCst))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// Watches a server until it is dropped. `number`: which watch of the host it is.
pub(super) struct Asker<T> {
    pub(super) calls: Arc<Calls>,
    pub(super) connection: Connection,
    pub(super) limits: Limits,
    pub(super) number: u32,
    pub(super) tell: T,
}

impl<T: Tell> Asker<T> {
    pub(super) async fn run(mut self) {
        let at_rest = self.calls.every();
        let began = Instant::now();
        let mut alarm = std::pin::pin!(sleep_until(began));
        let mut next = Next::AtOnce;
        let (mut asked, mut first) = (began, true);
        loop {
            let called = self.rest(asked, next, alarm.as_mut()).await;
            asked = Instant::now();
            let (seen, told) = self.ask(alarm.as_mut()).await;
            let awaited = called || self.calls.every() < at_rest;
            next = self.tell.answered(Answer { seen, told, awaited });
            if std::mem::take(&mut first) {
                asked = asked.checked_sub(at_rest / PARTS * (self.number % PARTS)).unwrap_or(asked);
            }
        }
    }

    /// Until the next question is to be put. Gives whether it was called for.
    async fn rest(&mut self, asked: Instant, next: Next, mut alarm: Pin<&mut Sleep>) -> bool {
        loop {
            if self.calls.question.swap(false, Ordering::SeqCst) {
                return true;
            }
            let Some(due) = next_poll(asked, next, self.calls.every()) else { return false };
            alarm.as_mut().reset(due);
            tokio::select! {
                biased;
                () = self.calls.called.notified() => {}
                // Anything that comes on an idle connection is its end, or the word before it: the question finds out which.
                () = self.connection.stirred() => return false,
                () = alarm.as_mut() => return false,
            }
        }
    }

    /// Puts the question, and tells meanwhile that it is overdue, each time that its limit has passed. Gives when that was last
    /// told.
    async fn ask(&mut self, mut alarm: Pin<&mut Sleep>) -> (Seen<Server>, Option<Time>) {
        let phase = Phase::new();
        let mut told = None;
        let mut asking = std::pin::pin!(self.connection.ask(&phase));
        loop {
            let now = clock::now();
            let wait = match due(phase.get(), told, self.limits, now) {
                Due::In(left) => left,
                Due::Over { asked_at, limit } => {
                    let silent = Seen { asked_at, fact: Fact::Unknown(Why::TimedOut(limit)) };
                    if let Some(asked_at) = phase.since().filter(|since| now.since(*since) >= GIVE_UP) {
                        let fact = Fact::Unknown(Why::TimedOut(GIVE_UP));
                        return (Seen { asked_at, fact }, told);
                    }
                    told = Some(now);
                    self.tell.overdue(silent);
                    limit
                }
            };
            // A connection that is made meanwhile begins the query's own limit, which is shorter.
            alarm.as_mut().reset(Instant::now() + wait.min(self.limits.query));
            tokio::select! {
                biased;
                seen = asking.as_mut() => return (seen, told),
                () = alarm.as_mut() => {}
            }
        }
    }
}

/// When the next question is put by itself; none: at once.
fn next_poll(asked: Instant, next: Next, every: Duration) -> Option<Instant> {
    let Next::Poll(pause) = next else { return None };
    let due = asked + pause.max(every);
    if every < SHORTEST_ON_TICKS {
        return Some(due);
    }
    Some(nearest_tick(due))
}

/// On one grid for all watches.
fn nearest_tick(at: Instant) -> Instant {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let origin = *ORIGIN.get_or_init(|| at);
    let past = at.saturating_duration_since(origin) + TICK / 2;
    let beyond = past.as_nanos() % TICK.as_nanos();
    at + TICK / 2 - Duration::from_nanos(u64::try_from(beyond).unwrap_or_default())
}

/// When the question that is being put is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Not before this much longer.
    In(Duration),
    /// Now: no answer within this limit, to the question put at this time.
    Over { asked_at: Time, limit: Duration },
}

/// `told`: when the question was last told as timed out. It counts as put anew then: had the server been able to answer
/// a later question, it would have answered this one.
pub(super) fn due(doing: Doing, told: Option<Time>, limits: Limits, now: Time) -> Due {
    let (since, limit) = match doing {
        // The answer is on its way to us, or the question on its way to the thread.
        Doing::Nothing => return Due::In(limits.query.min(limits.connect)),
        Doing::Connecting(since) => (since, limits.connect),
        Doing::Asking(since) => (since, limits.query),
    };
    let asked_at = told.map_or(since, |told| told.max(since));
    match limit.checked_sub(now.since(asked_at)) {
        Some(left) if !left.is_zero() => Due::In(left),
        _ => Due::Over { asked_at, limit },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LIMITS: Limits = Limits { connect: Duration::from_secs(1), query: Duration::from_millis(500) };

    fn at(millis: u64) -> Time {
        Time(millis * 1000)
    }

    #[test]
    fn a_connection_and_a_query_each_have_their_own_limit() {
        assert_eq!(due(Doing::Connecting(at(0)), None, LIMITS, at(600)), Due::In(Duration::from_millis(400)));
        assert_eq!(due(Doing::Asking(at(0)), None, LIMITS, at(400)), Due::In(Duration::from_millis(100)));
        let over = Due::Over { asked_at: at(0), limit: LIMITS.query };
        assert_eq!(due(Doing::Asking(at(0)), None, LIMITS, at(500)), over);
    }

    #[test]
    fn polls_are_put_at_the_interval_or_the_pause_and_those_of_many_watches_together() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let after =
            |asked: Instant, pause, every| next_poll(asked, Next::Poll(pause), every).map(|at| at - asked);
        assert_eq!(after(now, ms(0), ms(20)), Some(ms(20)), "polls close together are put when they are due");
        let (first, second) =
            (next_poll(now, Next::Poll(ms(0)), ms(100)), next_poll(now + ms(2), Next::Poll(ms(0)), ms(100)));
        let apart = second.unwrap().saturating_duration_since(first.unwrap());
        assert!(apart == ms(0) || apart == ms(10), "{apart:?}");
        for pause in [ms(0), ms(500)] {
            let waited = after(now, pause, ms(100)).unwrap();
            assert!(waited.abs_diff(pause.max(ms(100))) <= ms(5), "{waited:?}");
        }
        // One after another, late by what it takes to wake: the interval does not grow.
        let on_tick = nearest_tick(now + ms(1000));
        assert_eq!(next_poll(on_tick + ms(1), Next::Poll(ms(0)), ms(100)), Some(on_tick + ms(100)));
        assert_eq!(next_poll(now, Next::AtOnce, ms(100)), None);
    }

    #[test]
    fn a_question_told_as_timed_out_counts_as_put_anew() {
        let told = Some(at(500));
        assert_eq!(due(Doing::Asking(at(0)), told, LIMITS, at(700)), Due::In(Duration::from_millis(300)));
        let over = Due::Over { asked_at: at(500), limit: LIMITS.query };
        assert_eq!(due(Doing::Asking(at(0)), told, LIMITS, at(1000)), over);
    }

    #[test]
    fn the_limit_of_a_query_begins_with_the_query_not_with_the_connection_before_it() {
        assert_eq!(
            due(Doing::Asking(at(900)), Some(at(100)), LIMITS, at(1000)),
            Due::In(Duration::from_millis(400))
        );
    }
}
