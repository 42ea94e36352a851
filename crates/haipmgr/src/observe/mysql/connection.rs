//! One connection to a server, made anew when it ends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use decide::event::{Fact, Seen, Server, Why};
use decide::time::Time;
use mysql::prelude::Queryable;
use mysql::{Conn, DriverError, Error, OptsBuilder, SslOpts, Value};

use super::failure::{self, Circumstances, Failure, failure};
use super::query::{COLUMNS, Dialect, Row, understand};
use super::{Access, Endpoint};
use crate::clock;

/// How long a question stays open on its connection after it was told as timed out. Long enough for a server that was
/// hung to answer on it, so that no second connection is made meanwhile; short enough for a lost one to be given up.
const GIVE_UP: Duration = Duration::from_secs(10);

/// After how long an unacknowledged segment ends a TCP connection (`TCP_USER_TIMEOUT`): the other host is gone, or came
/// back and knows nothing of it. A hung server's kernel goes on acknowledging.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// The longest packet that is accepted; a group's rows take less than a tenth.
const LONGEST_PACKET: usize = 1 << 20;

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

/// A connection that is ready for the query.
struct Ready {
    conn: Conn,
    dialect: Dialect,
    tls: bool,
}

/// A server that can be asked; the connection is made with the first question and kept.
pub(super) struct Connection {
    access: Access,
    ready: Option<Ready>,
    /// The server offered no TLS, or none that works, and no `tls_ca` requires it: the next attempts go without, until one
    /// has succeeded. Attempts broken off at the greeting would sooner or later make the server block this host
    /// (`max_connect_errors`).
    without_tls: bool,
}

impl Connection {
    pub(super) fn new(access: Access) -> Self {
        Self { access, ready: None, without_tls: false }
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
                Err(Failure { fact, connection: failure::Connection::Kept }) => {
                    return self.keep(ready, asked_at, fact);
                }
                Err(Failure { connection: failure::Connection::Ended, .. }) => {}
                Err(Failure { fact, connection: failure::Connection::Useless }) => {
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
            failure::Connection::Ended => Err(Seen { asked_at, fact: failure.fact }),
            failure::Connection::Kept | failure::Connection::Useless => {
                Ok(Seen { asked_at, fact: failure.fact })
            }
        };
        let mut ready = match self.connect() {
            Ok(ready) => ready,
            Err(failure) => return verdict(asked_at, failure),
        };
        let asked_at = phase.asking();
        match self.query(&mut ready) {
            Ok(server) => Ok(self.keep(ready, asked_at, Fact::Known(server))),
            Err(Failure { fact, connection: failure::Connection::Kept }) => {
                Ok(self.keep(ready, asked_at, fact))
            }
            Err(failure) => verdict(asked_at, failure),
        }
    }

    fn keep(&mut self, ready: Ready, asked_at: Time, fact: Fact<Server>) -> Seen<Server> {
        self.ready = Some(ready);
        Seen { asked_at, fact }
    }

    fn connect(&mut self) -> Result<Ready, Failure> {
        let tls = self.tls()?;
        match self.connect_with(tls.clone()) {
            Ok(ready) => {
                self.without_tls = false;
                Ok(ready)
            }
            Err(error) if self.access.tls_ca.is_none() && tls.is_some() && self.is_about_tls(&error) => {
                self.without_tls = true;
                let ready = self.connect_with(None).map_err(|error| self.explain(&error, false))?;
                self.without_tls = false;
                Ok(ready)
            }
            Err(error) => Err(self.explain(&error, tls.is_some())),
        }
    }

    fn tls(&self) -> Result<Option<SslOpts>, Failure> {
        if matches!(self.access.endpoint, Endpoint::Socket(_)) {
            return Ok(None);
        }
        let Some(path) = &self.access.tls_ca else {
            return Ok((!self.without_tls).then(|| SslOpts::default().with_danger_accept_invalid_certs(true)));
        };
        // Looked at here, since the driver's error for it would name no file.
        if let Err(error) = std::fs::File::open(path) {
            return Err(failure::useless(Why::Tls(format!("tls_ca {}: {error}", path.display()))));
        }
        Ok(Some(
            SslOpts::default()
                .with_root_cert_path(Some(path.clone()))
                .with_danger_skip_domain_validation(true),
        ))
    }

    fn is_about_tls(&self, error: &Error) -> bool {
        matches!(error, Error::DriverError(DriverError::TlsNotSupported))
            || matches!(self.explain(error, true).fact, Fact::Unknown(Why::Tls(_)))
    }

    fn connect_with(&self, tls: Option<SslOpts>) -> Result<Ready, Error> {
        let access = &self.access;
        let has_tls = tls.is_some();
        let mut options = OptsBuilder::new()
            .user(Some(access.user.as_str()))
            .pass(Some(access.password.reveal()))
            .connect_attrs(Some(HashMap::from([("program_name", "haipmgr")])))
            .read_timeout(Some(GIVE_UP))
            .write_timeout(Some(GIVE_UP))
            // Each of these would otherwise be a query, or a second connection, of the driver's own.
            .max_allowed_packet(Some(LONGEST_PACKET))
            .prefer_socket(false)
            .stmt_cache_size(0)
            .ssl_opts(tls);
        options = match &access.endpoint {
            Endpoint::Socket(path) => options.socket(Some(path.to_string_lossy())),
            Endpoint::Tcp(address, port) => options
                .ip_or_hostname(Some(match address {
                    IpAddr::V4(address) => address.to_string(),
                    // The driver reads it as in a URL.
                    IpAddr::V6(address) => format!("[{address}]"),
                }))
                .tcp_port(*port)
                .tcp_connect_timeout(Some(access.limits.connect))
                .tcp_user_timeout_ms(u32::try_from(UNACKNOWLEDGED.as_millis()).ok()),
        };
        guard(|| {
            let conn = Conn::new(options)?;
            let dialect = Dialect::of(conn.server_version());
            Ok(Ready { conn, dialect, tls: has_tls })
        })
    }

    fn query(&self, ready: &mut Ready) -> Result<Server, Failure> {
        let rows = guard(|| {
            let mut rows = Vec::new();
            for row in ready.conn.query_iter(ready.dialect.query())?.take(MOST_ROWS) {
                rows.push(text(row?.unwrap()));
            }
            Ok(rows)
        })
        .map_err(|error| self.explain(&error, ready.tls))?;
        let rows = rows.into_iter().collect::<Option<Vec<Row>>>();
        let rows = rows.ok_or("the server answered with columns that were not asked for".to_owned());
        rows.and_then(|rows| understand(ready.dialect, rows))
            .map_err(|problem| failure::useless(Why::Other(format!("{}: {problem}", self.access.endpoint))))
    }

    fn explain(&self, error: &Error, tls: bool) -> Failure {
        let circumstances = Circumstances {
            endpoint: &self.access.endpoint,
            tls,
            given_up_after: GIVE_UP,
            connect_limit: self.access.limits.connect,
        };
        failure(error, circumstances)
    }
}

/// The driver panics on some answers that no MySQL server gives; to this program they are one more failure.
fn guard<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Error::DriverError(DriverError::UnexpectedPacket)))
}

fn text(cells: Vec<Value>) -> Option<Row> {
    let cells: [Value; COLUMNS] = cells.try_into().ok()?;
    Some(cells.map(|cell| match cell {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        // Kinds that only the binary protocol has.
        _ => Some(String::new()),
    }))
}
