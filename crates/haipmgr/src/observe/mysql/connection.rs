//! One connection to a server, made anew when it ends.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use decide::event::{Fact, Seen, Server, Why};
use decide::time::Time;
use mysql::Conn;

use super::Access;
use super::query::{Dialect, understand};
use super::question::Question;
use crate::clock;
use crate::server_access::{After, Connector, Failure, guard, useless};

/// How often a connection that ends before it was ready is tried again at once: a server that is being killed accepts
/// and drops, and a moment later refuses.
const FRESH_ATTEMPTS: u32 = 3;

/// Between these.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(5);

/// What the thread that asks is doing, for the one that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    Connecting(Time),
    Asking(Time),
}

/// [`Doing`], shared by the two, and when the question was last told as timed out.
#[derive(Debug)]
pub(super) struct Phase(Mutex<(Doing, Option<Time>)>);

impl Phase {
    pub(super) const fn new() -> Self {
        Self(Mutex::new((Doing::Nothing, None)))
    }

    pub(super) fn get(&self) -> Doing {
        self.lock().0
    }

    /// For the one that waits: `judge` is handed what is being done, and the time at which that was told as timed out, to
    /// set it.
    pub(super) fn judge<T>(&self, judge: impl FnOnce(Doing, &mut Option<Time>) -> T) -> T {
        let (doing, told) = &mut *self.lock();
        judge(*doing, told)
    }

    /// The question is answered; gives when it was last told as timed out.
    pub(super) fn done(&self) -> Option<Time> {
        let (doing, told) = &mut *self.lock();
        *doing = Doing::Nothing;
        told.take()
    }

    fn set(&self, doing: Doing) {
        self.lock().0 = doing;
    }

    fn lock(&self) -> MutexGuard<'_, (Doing, Option<Time>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connecting(&self) -> Time {
        let now = clock::now();
        self.set(Doing::Connecting(now));
        now
    }

    fn asking(&self) -> Time {
        let now = clock::now();
        self.set(Doing::Asking(now));
        now
    }
}

/// A connection that is ready for the query.
struct Ready {
    conn: Conn,
    question: Question,
    tls: bool,
}

/// A server that can be asked; the connection is made with the first question and kept.
pub(super) struct Connection {
    connector: Connector,
    ready: Option<Ready>,
}

impl Connection {
    pub(super) fn new(access: Access) -> Self {
        Self { connector: Connector::new(access), ready: None }
    }

    /// The connection, while there is one.
    pub(super) fn conn(&self) -> Option<&Conn> {
        self.ready.as_ref().map(|ready| &ready.conn)
    }

    /// Puts the question, on a new connection where there is none or where the kept one has ended. Blocks: at the worst
    /// 10 s for each packet of the other side, and without limit in connecting to a socket file whose queue is full.
    pub(super) fn ask(&mut self, phase: &Phase) -> Seen<Server> {
        if let Some(mut ready) = self.ready.take() {
            let asked_at = phase.asking();
            match self.query(&mut ready) {
                Ok(server) => return self.keep(ready, asked_at, Fact::Known(server)),
                Err(Failure { fact, connection: After::Kept }) => {
                    return self.keep(ready, asked_at, fact);
                }
                Err(Failure { connection: After::Ended, .. }) => {}
                Err(Failure { fact, connection: After::Useless }) => {
                    return Seen { asked_at, fact };
                }
            }
        }
        let mut attempt = 1;
        loop {
            let seen = self.ask_anew(phase);
            match seen {
                Ok(seen) => return seen,
                Err(seen) if attempt == FRESH_ATTEMPTS => return seen,
                Err(_) => std::thread::sleep(ATTEMPT_PAUSE),
            }
            attempt += 1;
        }
    }

    /// On a new connection. An error: it ended, and another may fare better.
    fn ask_anew(&mut self, phase: &Phase) -> Result<Seen<Server>, Seen<Server>> {
        let asked_at = phase.connecting();
        let verdict = |asked_at, failure: Failure| match failure.connection {
            After::Ended => Err(Seen { asked_at, fact: failure.fact }),
            After::Kept | After::Useless => Ok(Seen { asked_at, fact: failure.fact }),
        };
        let mut ready = match self.connect() {
            Ok(ready) => ready,
            Err(failure) => return verdict(asked_at, failure),
        };
        let asked_at = phase.asking();
        match self.query(&mut ready) {
            Ok(server) => Ok(self.keep(ready, asked_at, Fact::Known(server))),
            Err(Failure { fact, connection: After::Kept }) => Ok(self.keep(ready, asked_at, fact)),
            Err(failure) => verdict(asked_at, failure),
        }
    }

    fn keep(&mut self, ready: Ready, asked_at: Time, fact: Fact<Server>) -> Seen<Server> {
        self.ready = Some(ready);
        Seen { asked_at, fact }
    }

    fn connect(&mut self) -> Result<Ready, Failure> {
        let (conn, tls) = self.connector.connect()?;
        let question = Question::new(Dialect::of(conn.server_version()));
        Ok(Ready { conn, question, tls })
    }

    fn query(&self, ready: &mut Ready) -> Result<Server, Failure> {
        let rows = guard(|| ready.question.put(&mut ready.conn))
            .map_err(|error| self.connector.explain(&error, ready.tls))?;
        let rows = rows.ok_or("the server answered with columns that were not asked for".to_owned());
        rows.and_then(|rows| understand(ready.question.dialect(), rows)).map_err(|problem| {
            useless(Why::Other(format!("{}: {problem}", self.connector.access().endpoint)))
        })
    }
}
