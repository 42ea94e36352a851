//! One connection to a server, made anew when it ends.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use decide::input::{Fact, Seen, Server, Why};
use decide::time::Time;
use tokio::time::sleep;

use super::Access;
use super::question::{Question, Unanswered};
use crate::clock;
use crate::server_access::session::Session;
use crate::server_access::{After, Connector, Failure, useless};

/// How often a connection that ends before it was ready is tried again at once: a server that is being killed accepts
/// and drops, and a moment later refuses.
const FRESH_ATTEMPTS: u32 = 3;

/// Between these.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(5);

/// What is being done about a question, for whoever waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    Connecting(Time),
    Asking(Time),
}

/// [`Doing`], shared by the one that asks and the one that waits.
#[derive(Debug)]
pub(super) struct Phase(Mutex<Doing>);

impl Phase {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Doing::Nothing))
    }

    pub(super) fn get(&self) -> Doing {
        *self.lock()
    }

    /// Since when that is being done.
    pub(super) fn since(&self) -> Option<Time> {
        match self.get() {
            Doing::Nothing => None,
            Doing::Connecting(since) | Doing::Asking(since) => Some(since),
        }
    }

    fn set(&self, doing: Doing) {
        *self.lock() = doing;
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
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

/// A session that is ready for the query.
struct Ready {
    session: Session,
    question: Question,
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

    /// Waits until the kept connection has ended, or anything else came of it unasked.
    pub(super) async fn stirred(&mut self) {
        match &mut self.ready {
            Some(ready) => ready.session.stirred().await,
            None => std::future::pending().await,
        }
    }

    /// Takes leave of the server.
    pub(super) async fn close(&mut self) {
        if let Some(ready) = self.ready.take() {
            ready.session.close().await;
        }
    }

    /// Puts the question, on a new connection where there is none or where the kept one has ended. Without limit, but for
    /// TCP's own handshake. Not waited for to the end, the connection is given up.
    pub(super) async fn ask(&mut self, phase: &Phase) -> Seen<Server> {
        if let Some(mut ready) = self.ready.take() {
            let asked_at = phase.asking();
            match self.query(&mut ready).await {
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
            let seen = self.ask_anew(phase).await;
            match seen {
                Ok(seen) => return seen,
                Err(seen) if attempt == FRESH_ATTEMPTS => return seen,
                Err(_) => sleep(ATTEMPT_PAUSE).await,
            }
            attempt += 1;
        }
    }

    /// On a new connection. An error: it ended, and another may fare better.
    async fn ask_anew(&mut self, phase: &Phase) -> Result<Seen<Server>, Seen<Server>> {
        let asked_at = phase.connecting();
        let verdict = |asked_at, failure: Failure| match failure.connection {
            After::Ended => Err(Seen { asked_at, fact: failure.fact }),
            After::Kept | After::Useless => Ok(Seen { asked_at, fact: failure.fact }),
        };
        let mut ready = match self.connect().await {
            Ok(ready) => ready,
            Err(failure) => return verdict(asked_at, failure),
        };
        let asked_at = phase.asking();
        match self.query(&mut ready).await {
            Ok(server) => Ok(self.keep(ready, asked_at, Fact::Known(server))),
            Err(Failure { fact, connection: After::Kept }) => Ok(self.keep(ready, asked_at, fact)),
            Err(failure) => verdict(asked_at, failure),
        }
    }

    fn keep(&mut self, ready: Ready, asked_at: Time, fact: Fact<Server>) -> Seen<Server> {
        self.ready = Some(ready);
        Seen { asked_at, fact }
    }

    async fn connect(&mut self) -> Result<Ready, Failure> {
        // Apart: what a handshake needs is there for as long as the handshake.
        let session = Box::pin(self.connector.connect()).await?;
        Ok(Ready { session, question: Question::new() })
    }

    async fn query(&self, ready: &mut Ready) -> Result<Server, Failure> {
        ready.question.put(&mut ready.session).await.map_err(|unanswered| match unanswered {
            Unanswered::Error(error) => self.connector.explain(&error, ready.session.has_tls()),
            Unanswered::Nonsense(problem) => {
                useless(Why::Other(format!("{}: {problem}", self.connector.access().endpoint)))
            }
        })
    }
}
