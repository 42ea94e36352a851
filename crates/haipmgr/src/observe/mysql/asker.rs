//! The thread that owns a connection, so that a server that hangs blocks that thread and nothing else.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use decide::event::{Seen, Server};
use decide::time::Time;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::connection::{Connection, Doing, Phase};
use super::{Access, Endpoint, Limits};
use crate::clock;

/// Enough for a TLS handshake in an unoptimised build; only what is touched costs memory.
pub(super) const STACK: usize = 256 << 10;

const CALLED: Token = Token(0);
const CONNECTION: Token = Token(1);

/// The system gave no thread or no descriptor for watching a server.
#[derive(Debug, thiserror::Error)]
#[error(
    "can't watch the MySQL server at {endpoint}: {source}; look at the limits on open files and on tasks"
)]
pub struct CannotAsk {
    /// Which server.
    pub endpoint: Endpoint,
    /// What the system said.
    pub source: io::Error,
}

/// A thread with one connection, which puts the question when called, and by itself where it is told how often. Each answer
/// is delivered on that thread, and one more when the connection has ended: that of the new connection. Dropped, it ends: at
/// once when idle, else when the server answers or the connection is given up (10 s).
pub(super) struct Asker {
    shared: Arc<Shared>,
}

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

#[derive(Debug)]
pub(super) struct Shared {
    /// Here, not in [`Asker`]: closed by its last owner only, or else a wake-up that was not yet seen would be lost.
    waker: Waker,
    question: AtomicBool,
    stop: AtomicBool,
    /// Microseconds between two polls; 0: asks only when called.
    every: AtomicU64,
    phase: Phase,
}

impl Shared {
    /// What the thread is doing.
    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }
}

impl Asker {
    /// `deliver` gets each answer.
    pub(super) fn start(
        access: Access,
        every: Option<Duration>,
        deliver: impl Fn(Answer) -> Next + Send + 'static,
    ) -> Result<Self, CannotAsk> {
        let endpoint = access.endpoint.clone();
        let cannot = |source| CannotAsk { endpoint: endpoint.clone(), source };
        let poll = Poll::new().map_err(cannot)?;
        let waker = Waker::new(poll.registry(), CALLED).map_err(cannot)?;
        let shared = Arc::new(Shared {
            waker,
            question: AtomicBool::new(every.is_some()),
            stop: AtomicBool::new(false),
            every: AtomicU64::new(every.map_or(0, micros)),
            phase: Phase::new(),
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("mysql-ask".to_owned())
            .stack_size(STACK)
            .spawn(move || run(poll, &theirs, Connection::new(access), deliver))
            .map_err(cannot)?;
        Ok(Self { shared })
    }

    /// Puts the question as soon as the one before it is answered.
    pub(super) fn ask(&self) {
        self.shared.question.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Polls at this interval from now on.
    pub(super) fn poll_every(&self, every: Duration) {
        self.shared.every.store(micros(every), Ordering::SeqCst);
        self.wake();
    }

    /// What the thread is doing.
    pub(super) fn doing(&self) -> Doing {
        self.shared.phase.get()
    }

    /// What the thread shares with those that wait for it.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn wake(&self) {
        // Writing to an eventfd of our own; were it ever to fail, the time limit would tell.
        let _ = self.shared.waker.wake();
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.wake();
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

fn run(mut poll: Poll, shared: &Shared, mut connection: Connection, deliver: impl Fn(Answer) -> Next) {
    let at_rest = shared.every.load(Ordering::SeqCst);
    let mut events = Events::with_capacity(4);
    let mut watched = None;
    let mut asked = clock::now();
    let mut next = Next::Poll(Duration::ZERO);
    let mut stirred = false;
    loop {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let called = shared.question.swap(false, Ordering::SeqCst);
        let wait = wait(asked, next, shared.every.load(Ordering::SeqCst), clock::now());
        if called || stirred || wait == Some(Duration::ZERO) {
            asked = clock::now();
            let seen = connection.ask(&shared.phase);
            let awaited = called || shared.every.load(Ordering::SeqCst) < at_rest;
            next = deliver(Answer { seen, told: shared.phase.done(), awaited });
            let now_watched = connection.conn().map(|conn| (conn.connection_id(), conn.as_raw_fd()));
            if watched != now_watched {
                // A closed descriptor leaves the epoll set by itself.
                watched = now_watched;
                if let Some((_, descriptor)) = watched {
                    let _ =
                        poll.registry().register(&mut SourceFd(&descriptor), CONNECTION, Interest::READABLE);
                }
            }
            stirred = false;
            continue;
        }
        // Anything that comes on an idle connection is its end, or the word before it: the question finds out which.
        // Edge-triggered: what the last answer left behind is not told again.
        stirred = match poll.poll(&mut events, wait) {
            Ok(()) => events.iter().any(|event| event.token() == CONNECTION),
            Err(_) => false,
        };
    }
}

/// How long until the next question, put by itself; none: it waits to be called.
fn wait(asked: Time, next: Next, every: u64, now: Time) -> Option<Duration> {
    match next {
        Next::AtOnce => Some(Duration::ZERO),
        Next::Poll(_) if every == 0 => None,
        Next::Poll(pause) => Some(pause.max(Duration::from_micros(every)).saturating_sub(now.since(asked))),
    }
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
    fn the_next_poll_is_no_sooner_than_the_interval_and_the_pause() {
        let (asked, every) = (at(1000), 100_000);
        let in_ms = |millis| Some(Duration::from_millis(millis));
        assert_eq!(wait(asked, Next::Poll(Duration::ZERO), every, at(1030)), in_ms(70));
        assert_eq!(wait(asked, Next::Poll(Duration::from_millis(500)), every, at(1030)), in_ms(470));
        assert_eq!(wait(asked, Next::Poll(Duration::ZERO), every, at(1200)), in_ms(0));
        assert_eq!(wait(asked, Next::AtOnce, every, at(1000)), in_ms(0));
        assert_eq!(wait(asked, Next::Poll(Duration::ZERO), 0, at(9000)), None, "a peer is asked when called");
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
