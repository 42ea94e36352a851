//! One connection to a server, made anew when it ends.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use decide::event::{Fact, Seen, Server, Why};
use decide::time::Time;
use mysql::prelude::Queryable;
use mysql::{Conn, Value};

use super::Access;
use super::query::{COLUMNS, Dialect, Row, understand};
use crate::clock;
use crate::server_access::{After, Connector, Failure, guard, useless};

/// No group has more than nine members.
const MOST_ROWS: usize = 64;

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

/// [`Doing`], shared by the two.
#[derive(Debug)]
pub(super) struct Phase(Mutex<Doing>);

impl Phase {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Doing::Nothing))
    }

    pub(super) fn get(&self) -> Doing {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, doing: Doing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = doing;
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

    pub(super) fn nothing(&self) {
        self.set(Doing::Nothing);
    }
}

/// The driver reads through a buffer of 4 MiB from one end to the other before it begins again, and so comes to hold all of
/// it. A connection that has read this many answers, about a fifth of that, is exchanged for a new one.
const WORN_AFTER: u32 = 700;

/// A connection is not exchanged sooner than this, however often it is asked.
const KEPT_AT_LEAST: Duration = Duration::from_secs(10);

/// A connection that is ready for the query.
struct Ready {
    conn: Conn,
    dialect: Dialect,
    tls: bool,
    since: Time,
    answers: u32,
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

    /// Exchanges a connection whose buffer has grown. The new one comes first: a server that has none to spare leaves us the
    /// old one. Call it between two questions.
    pub(super) fn exchange_if_worn(&mut self, phase: &Phase) {
        let worn =
            |ready: &Ready| ready.answers >= WORN_AFTER && clock::now().since(ready.since) >= KEPT_AT_LEAST;
        let Some(old) = self.ready.as_mut().filter(|ready| worn(ready)) else { return };
        // Whatever comes of it, the next attempt is a while off.
        old.answers = 0;
        old.since = clock::now();
        phase.connecting();
        if let Ok(ready) = self.connect() {
            self.ready = Some(ready);
        }
        phase.nothing();
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

    fn keep(&mut self, mut ready: Ready, asked_at: Time, fact: Fact<Server>) -> Seen<Server> {
        ready.answers = ready.answers.saturating_add(1);
        self.ready = Some(ready);
        Seen { asked_at, fact }
    }

    fn connect(&mut self) -> Result<Ready, Failure> {
        let (conn, tls) = self.connector.connect()?;
        let dialect = Dialect::of(conn.server_version());
        Ok(Ready { conn, dialect, tls, since: clock::now(), answers: 0 })
    }

    fn query(&self, ready: &mut Ready) -> Result<Server, Failure> {
        let rows = guard(|| {
            let mut rows = Vec::new();
            for row in ready.conn.query_iter(ready.dialect.query())?.take(MOST_ROWS) {
                rows.push(text(row?.unwrap_raw()));
            }
            Ok(rows)
        })
        .map_err(|error| self.connector.explain(&error, ready.tls))?;
        let rows = rows.into_iter().collect::<Option<Vec<Row>>>();
        let rows = rows.ok_or("the server answered with columns that were not asked for".to_owned());
        rows.and_then(|rows| understand(ready.dialect, rows)).map_err(|problem| {
            useless(Why::Other(format!("{}: {problem}", self.connector.access().endpoint)))
        })
    }
}

fn text(cells: Vec<Option<Value>>) -> Option<Row> {
    let cells: [Option<Value>; COLUMNS] = cells.try_into().ok()?;
    Some(cells.map(|cell| match cell? {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        // Kinds that only the binary protocol has.
        _ => Some(String::new()),
    }))
}
