//! The clients: one that inserts rows through the VIP, one at a time, and tells each insert's fate; one that sits
//! asleep in a long query. And the check, afterwards, that every acknowledged row is there.
//!
//! For comparison the first one can do without the VIP: it then knows every server's own address, and goes through them until one takes
//! its rows. What it loses so is what the group itself takes.
//!
//! They are what an application with sound manners would be: connect time-out 1 s, read time-out 3 s, and a row whose
//! fate is not known is tried again.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Args;
use mysql::prelude::Queryable;
use mysql::{Conn, DriverError, OptsBuilder};

use crate::record::{Outcome, Recorded, What, now_us};
use crate::statement;
use crate::witness::{WitnessError, tell, tell_now};

/// How long a connection may take, from the first packet to the end of the log-in.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// How long a statement's answer may take.
const READ_LIMIT: Duration = Duration::from_secs(3);

/// Before a row is tried again after a server's error, or a connection after a refusal.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// `ER_DUP_ENTRY`, `MySQL` error reference.
const DUPLICATE_KEY: u16 = 1062;

/// Errors after which the server ends the connection: `ER_SERVER_SHUTDOWN`, `ER_SERVER_OFFLINE_MODE`,
/// `ER_CLIENT_INTERACTION_TIMEOUT`.
const ENDS_CONNECTION: [u16; 3] = [1053, 3032, 4031];

/// Where the clients connect to.
#[derive(Clone, Debug, Args)]
pub struct Through {
    /// The VIP; or, for comparison, the servers' own addresses, which are tried in turn.
    #[arg(long = "host", required = true, value_delimiter = ',')]
    pub hosts: Vec<IpAddr>,
    /// `MySQL`'s port.
    #[arg(long, default_value_t = 3306)]
    pub port: u16,
    /// The account.
    #[arg(long)]
    pub user: String,
    /// Its password.
    #[arg(long, default_value = "")]
    pub password: String,
}

impl Through {
    /// The address of this attempt: all of them in turn.
    fn host(&self, attempt: usize) -> Option<IpAddr> {
        self.hosts.get(attempt % self.hosts.len().max(1)).copied()
    }

    /// Before the next attempt: a round of all addresses takes as long as two attempts at the VIP are apart.
    fn share_of(&self, pause: Duration) -> Duration {
        pause / u32::try_from(self.hosts.len()).unwrap_or(1).max(1)
    }

    fn options(&self, attempt: usize, read_limit: Option<Duration>) -> OptsBuilder {
        OptsBuilder::new()
            .ip_or_hostname(self.host(attempt).map(|host| host.to_string()))
            .tcp_port(self.port)
            .user(Some(self.user.as_str()))
            .pass(Some(self.password.as_str()))
            // Without these the crate would look for a local socket, and ask a question more.
            .prefer_socket(false)
            .max_allowed_packet(Some(1 << 20))
            .tcp_nodelay(true)
            .tcp_connect_timeout(Some(CONNECT_LIMIT))
            .read_timeout(read_limit)
            .write_timeout(Some(READ_LIMIT))
    }

    /// A connection and its server's name, in [`CONNECT_LIMIT`] or not at all. The crate's own limit bounds the TCP
    /// connection alone; a server that accepts and then says nothing would hold us for the read limit, several times.
    /// So it connects in a thread of its own, which is left behind when it is late.
    pub(crate) fn connect(
        &self,
        attempt: usize,
        read_limit: Option<Duration>,
    ) -> Result<(Conn, String), NotConnected> {
        let options = self.options(attempt, read_limit);
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let connection = Conn::new(options).and_then(|mut connection| {
                let server: Option<String> = connection.query_first("SELECT @@hostname")?;
                Ok((connection, server.unwrap_or_default()))
            });
            // Nobody listens when it is late; the connection is then closed here.
            drop(sender.send(connection));
        });
        match receiver.recv_timeout(CONNECT_LIMIT) {
            Ok(connection) => connection.map_err(NotConnected::Refused),
            Err(_) => Err(NotConnected::TimedOut),
        }
    }
}

/// The failed read or write behind an error, where that is what it is. The crate gives a read time-out as an error of its
/// packet codec, with the kernel's inside.
fn input_output(error: &mysql::Error) -> Option<&io::Error> {
    match error {
        mysql::Error::IoError(cause) => Some(cause),
        mysql::Error::CodecError(cause) => cause.source().and_then(|cause| cause.downcast_ref()),
        _ => None,
    }
}

/// The cause alone: the crate's own text wraps it in the names of its types.
pub(crate) fn words(error: &mysql::Error) -> String {
    match (input_output(error), error) {
        (Some(cause), _) if is_time_out(cause) => "no answer in time".to_owned(),
        (Some(cause), _) => cause.to_string(),
        (None, mysql::Error::DriverError(cause)) => cause.to_string(),
        (None, other) => other.to_string(),
    }
}

/// Whether no answer came in time.
pub(crate) fn timed_out(error: &mysql::Error) -> bool {
    input_output(error).is_some_and(is_time_out)
}

fn is_time_out(cause: &io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Why there is no connection.
pub(crate) enum NotConnected {
    /// The server, or its host, said so.
    Refused(mysql::Error),
    /// Nobody said anything in time.
    TimedOut,
}

impl NotConnected {
    /// In words.
    pub(crate) fn words(&self) -> String {
        match self.outcome() {
            (Outcome::ConnectFailed { text }, _) => text,
            _ => String::new(),
        }
    }

    /// In words, and how long to wait before the next attempt: a time-out has been waiting enough.
    fn outcome(&self) -> (Outcome, Duration) {
        let (text, pause) = match self {
            Self::Refused(mysql::Error::DriverError(DriverError::ConnectTimeout)) | Self::TimedOut => {
                (format!("no connection within {} ms", CONNECT_LIMIT.as_millis()), Duration::ZERO)
            }
            Self::Refused(cause) => (words(cause), RETRY_PAUSE),
        };
        (Outcome::ConnectFailed { text }, pause)
    }
}

/// Inserts the rows `first_id`, `first_id` + 1 … into `lab.ledger (id, note)`, and tells the fate of each attempt, until
/// nobody listens.
pub(crate) fn insert_for_ever(
    who: &str,
    through: &Through,
    first_id: u64,
    pause: Duration,
) -> Result<(), WitnessError> {
    let mut connection: Option<Conn> = None;
    let mut attempt = 0;
    let mut id = first_id;
    // Whether an earlier attempt at this row may have been committed.
    let mut in_recheck = false;
    loop {
        let sent_us = now_us();
        let (outcome, wait) = match &mut connection {
            None => match through.connect(attempt, Some(READ_LIMIT)) {
                Ok((new, server)) => {
                    connection = Some(new);
                    tell_now(who, What::Connected { server })?;
                    continue;
                }
                Err(cause) => {
                    attempt += 1;
                    cause.outcome()
                }
            },
            Some(open) => {
                let statement = format!("INSERT INTO lab.ledger (id, note) VALUES ({id}, 'row {id}')");
                let outcome = fate(statement::run(open, statement), in_recheck);
                let wait = if outcome.is_acknowledged() { pause } else { wait_after(&outcome) };
                (outcome, wait)
            }
        };
        let at_us = now_us();
        let (acknowledged, unknown) = (outcome.is_acknowledged(), leaves_doubt(&outcome));
        // Where there are other addresses, a server that takes no rows is not the one to stay with.
        let over = ends_connection(&outcome) || (through.hosts.len() > 1 && !acknowledged);
        tell(&Recorded { at_us, who: who.to_owned(), what: What::Insert { id, sent_us, outcome } })?;
        if over && connection.take().is_some() {
            attempt += 1;
        }
        if acknowledged {
            id += 1;
            in_recheck = false;
        } else {
            in_recheck |= unknown;
        }
        thread::sleep(if acknowledged { wait } else { through.share_of(wait) });
    }
}

fn fate(answer: Result<(), mysql::Error>, in_recheck: bool) -> Outcome {
    match answer {
        Ok(()) => Outcome::Acknowledged,
        Err(mysql::Error::MySqlError(error)) if error.code == DUPLICATE_KEY && in_recheck => {
            Outcome::AcknowledgedLate
        }
        Err(mysql::Error::MySqlError(error)) => Outcome::Error { code: error.code, text: error.message },
        Err(cause) if input_output(&cause).is_some_and(is_time_out) => Outcome::TimedOut,
        Err(cause) => Outcome::Disconnected { text: words(&cause) },
    }
}

/// An error of the server's leaves no row, but for one: 3100 is told by the commit hook, and the transaction is rolled
/// back; so that is none either. Only a lost answer leaves doubt.
fn leaves_doubt(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Disconnected { .. } | Outcome::TimedOut)
}

fn ends_connection(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Disconnected { .. } | Outcome::TimedOut => true,
        Outcome::Error { code, .. } => ENDS_CONNECTION.contains(code),
        Outcome::Acknowledged | Outcome::AcknowledgedLate | Outcome::ConnectFailed { .. } => false,
    }
}

fn wait_after(outcome: &Outcome) -> Duration {
    match outcome {
        Outcome::Error { .. } => RETRY_PAUSE,
        _ => Duration::ZERO,
    }
}

/// Sits in `SELECT SLEEP(seconds)` through the VIP, tells how that ends, and begins again, until nobody listens.
pub(crate) fn sleep_for_ever(who: &str, through: &Through, seconds: u32) -> Result<(), WitnessError> {
    let mut told = None;
    loop {
        match through.connect(0, None) {
            Ok((mut connection, server)) => {
                told = None;
                tell_now(who, What::Asleep { server })?;
                let text = match statement::run(&mut connection, format!("SELECT SLEEP({seconds})")) {
                    Ok(()) => "the sleep is over".to_owned(),
                    Err(cause) => words(&cause),
                };
                tell_now(who, What::Woken { text })?;
            }
            Err(cause) => {
                let (Outcome::ConnectFailed { text }, pause) = cause.outcome() else { continue };
                if told.as_ref() != Some(&text) {
                    tell_now(who, What::Said { line: format!("can't connect: {text}") })?;
                    told = Some(text);
                }
                thread::sleep(pause);
            }
        }
    }
}

/// The acknowledged rows could not be looked for.
#[derive(Debug, thiserror::Error)]
#[error("can't read lab.ledger through {socket}: {cause}; is that server up, and in the group?")]
pub struct NotVerified {
    socket: PathBuf,
    cause: mysql::Error,
}

/// Those of the acknowledged rows that are not in `lab.ledger`, as the server behind this unix socket has it. Ask a server
/// that is ONLINE, best the primary.
///
/// # Errors
/// The table can't be read.
pub fn missing(socket: &Path, user: &str, acknowledged: &[u64]) -> Result<Vec<u64>, NotVerified> {
    let (Some(first), Some(last)) = (acknowledged.iter().min(), acknowledged.iter().max()) else {
        return Ok(Vec::new());
    };
    let refuse = |cause| NotVerified { socket: socket.to_owned(), cause };
    let options = OptsBuilder::new()
        .socket(Some(socket.to_string_lossy()))
        .user(Some(user))
        .max_allowed_packet(Some(1 << 24))
        .read_timeout(Some(Duration::from_secs(30)));
    let mut connection = Conn::new(options).map_err(refuse)?;
    let there: Vec<u64> = connection
        .query(format!("SELECT id FROM lab.ledger WHERE id BETWEEN {first} AND {last}"))
        .map_err(refuse)?;
    let there: BTreeSet<u64> = there.into_iter().collect();
    Ok(acknowledged.iter().copied().filter(|id| !there.contains(id)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Instant;

    use mysql::MySqlError;

    use super::*;

    fn through(port: u16) -> Through {
        Through { hosts: vec![Ipv4Addr::LOCALHOST.into()], port, user: "app".into(), password: String::new() }
    }

    fn server_error(code: u16) -> Result<(), mysql::Error> {
        Err(mysql::Error::MySqlError(MySqlError { state: "HY000".into(), message: String::new(), code }))
    }

    #[test]
    fn a_server_that_accepts_and_says_nothing_holds_the_client_for_one_second_and_no_longer() {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let begun = Instant::now();
        let told = through(silent.local_addr().unwrap().port()).connect(0, Some(READ_LIMIT));
        assert!(matches!(told, Err(NotConnected::TimedOut)));
        let took = begun.elapsed();
        assert!(took >= CONNECT_LIMIT && took < CONNECT_LIMIT * 3 / 2, "took {took:?}");
    }

    #[test]
    fn a_refusal_is_told_at_once_and_tried_again_soon() {
        let port = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            listener.local_addr().unwrap().port()
        };
        let begun = Instant::now();
        let Err(refused) = through(port).connect(0, Some(READ_LIMIT)) else {
            panic!("nothing listens there")
        };
        assert!(begun.elapsed() < CONNECT_LIMIT / 2);
        let (outcome, pause) = refused.outcome();
        assert!(matches!(outcome, Outcome::ConnectFailed { text } if text.contains("refused")));
        assert_eq!(pause, RETRY_PAUSE);
    }

    #[test]
    fn a_duplicate_key_counts_as_acknowledged_only_where_an_answer_was_lost_before() {
        assert_eq!(fate(server_error(1062), true), Outcome::AcknowledgedLate);
        assert!(matches!(fate(server_error(1062), false), Outcome::Error { code: 1062, .. }));
    }

    #[test]
    fn a_read_time_out_leaves_doubt_and_a_read_only_server_leaves_none() {
        let cause = io::Error::from(ErrorKind::WouldBlock);
        let late = fate(Err(mysql::Error::CodecError(cause.into())), false);
        assert_eq!(late, Outcome::TimedOut);
        assert!(leaves_doubt(&late) && ends_connection(&late));
        let read_only = fate(server_error(1290), false);
        assert!(!leaves_doubt(&read_only) && !ends_connection(&read_only));
        assert_eq!(wait_after(&read_only), RETRY_PAUSE);
    }
}
