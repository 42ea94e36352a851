//! What each error says of the server.

use std::io;
use std::time::Duration;

use decide::event::{Fact, NotInGroup, Server, Why};
use mysql::{DriverError, Error, MySqlError};

use super::Endpoint;

/// Why a question has no answer, and what becomes of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) fact: Fact<Server>,
    pub(super) connection: Connection,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// It is as good as before.
    Kept,
    /// It ended. A new one may tell why.
    Ended,
    /// It is of no use any more, and a new one at once would fare no better.
    Useless,
}

/// Under which circumstances an error came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'a> {
    pub(super) endpoint: &'a Endpoint,
    /// The connection uses TLS or tries to.
    pub(super) tls: bool,
    /// The socket's own time limit.
    pub(super) given_up_after: Duration,
    /// The limit on TCP's own handshake.
    pub(super) connect_limit: Duration,
}

pub(super) fn failure(error: &Error, circumstances: Circumstances<'_>) -> Failure {
    match error {
        Error::MySqlError(error) => said_by_server(error),
        Error::DriverError(error) => said_by_driver(error, circumstances),
        Error::IoError(error) => ended_by(error, circumstances),
        Error::TlsError(error) => useless(Why::Tls(error.to_string())),
        Error::CodecError(codec) => {
            match std::error::Error::source(codec).and_then(|source| source.downcast_ref::<io::Error>()) {
                Some(error) => ended_by(error, circumstances),
                None => useless(Why::Other(format!("{}: {codec}", circumstances.endpoint))),
            }
        }
        // The last two carry values of the answer, and their text leaves them out.
        Error::UrlError(_) | Error::FromValueError(_) | Error::FromRowError(_) => {
            useless(Why::Other(format!("{}: {error}", circumstances.endpoint)))
        }
    }
}

/// Numbers and names: MySQL's server error message reference.
fn said_by_server(error: &MySqlError) -> Failure {
    let text = format!("error {}: {}", error.code, error.message);
    match error.code {
        // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR; password expired
        // (ER_MUST_CHANGE_PASSWORD, ER_MUST_CHANGE_PASSWORD_LOGIN); account locked (ER_ACCOUNT_HAS_BEEN_LOCKED,
        // ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK).
        1045 | 1698 | 1820 | 1862 | 3118 | 3955 => useless(Why::WrongPassword(text)),
        // ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED.
        1040 | 1203 | 1226 => useless(Why::TooManyConnections(text)),
        // ER_HOST_IS_BLOCKED: max_connect_errors interrupted connections from this host; the server lives and gives this
        // host no connection until somebody flushes its host cache.
        1129 => useless(Why::TooManyConnections(format!(
            "{text}; run TRUNCATE TABLE performance_schema.host_cache on that server"
        ))),
        // ER_HOST_NOT_PRIVILEGED: no account for this host.
        1130 => useless(Why::NotAllowed(text)),
        // ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR,
        // ER_SPECIFIC_ACCESS_DENIED_ERROR: a GRANT takes effect on this very connection.
        1044 | 1142 | 1143 | 1227 => {
            Failure { fact: Fact::Unknown(Why::NotAllowed(text)), connection: Connection::Kept }
        }
        // ER_SECURE_TRANSPORT_REQUIRED.
        3159 => useless(Why::Tls(text)),
        // ER_SERVER_OFFLINE_MODE.
        3032 => Failure {
            fact: Fact::Known(Server::NotInGroup(NotInGroup::OfflineMode)),
            connection: Connection::Useless,
        },
        // ER_UNKNOWN_SYSTEM_VARIABLE: @@group_replication_single_primary_mode comes with the plugin. ER_NO_SUCH_TABLE:
        // replication_group_members.
        1193 if error.message.contains("group_replication") => plugin_missing(),
        1146 if error.message.contains("replication_group_member") => plugin_missing(),
        // ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_QUERY_INTERRUPTED (KILL), ER_CLIENT_INTERACTION_TIMEOUT: the
        // connection is over, which a server that refuses, or lives on, will make plain.
        1053 | 1077 => ended(Why::Other(format!("the server is shutting down ({text})"))),
        1317 | 4031 => ended(Why::Other(text)),
        _ => useless(Why::Other(text)),
    }
}

fn said_by_driver(error: &DriverError, circumstances: Circumstances<'_>) -> Failure {
    let endpoint = circumstances.endpoint;
    match error {
        DriverError::ConnectTimeout => useless(Why::TimedOut(circumstances.connect_limit)),
        DriverError::CouldNotConnect(Some((_, text, kind))) => match kind {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Failure {
                fact: Fact::Known(Server::Refused(format!("{endpoint}: {text}"))),
                connection: Connection::Useless,
            },
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable => useless(Why::Unreachable(format!("{endpoint}: {text}"))),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                useless(Why::TimedOut(circumstances.connect_limit))
            }
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
                ended(Why::Other(format!("{endpoint}: {text}")))
            }
            _ => useless(Why::Other(format!("{endpoint}: {text}"))),
        },
        DriverError::TlsNotSupported => {
            useless(Why::Tls(format!("{endpoint}: tls_ca is given, and the server offers no TLS")))
        }
        _ => useless(Why::Other(format!("{endpoint}: {error}"))),
    }
}

fn ended_by(error: &io::Error, circumstances: Circumstances<'_>) -> Failure {
    let text = format!("{}: {error}", circumstances.endpoint);
    match error.kind() {
        // What SO_RCVTIMEO and SO_SNDTIMEO give.
        io::ErrorKind::WouldBlock => useless(Why::TimedOut(circumstances.given_up_after)),
        // What TCP_USER_TIMEOUT gives: the other host does not even acknowledge.
        io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => useless(Why::Unreachable(text)),
        // How rustls reports an alert, or a certificate that is not accepted.
        io::ErrorKind::InvalidData if circumstances.tls => useless(Why::Tls(text)),
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::WriteZero => ended(Why::Other(format!("{text} (the connection ended)"))),
        _ => useless(Why::Other(text)),
    }
}

fn plugin_missing() -> Failure {
    Failure { fact: Fact::Known(Server::NotInGroup(NotInGroup::PluginMissing)), connection: Connection::Kept }
}

pub(super) fn useless(why: Why) -> Failure {
    Failure { fact: Fact::Unknown(why), connection: Connection::Useless }
}

fn ended(why: Why) -> Failure {
    Failure { fact: Fact::Unknown(why), connection: Connection::Ended }
}
