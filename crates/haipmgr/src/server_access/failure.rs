//! What each error says of the server.

use std::io;
use std::time::Duration;

use super::Endpoint;
use super::session::Error;
use decide::event::{Fact, NotInGroup, Server, Why};

/// Why a question has no answer, and what becomes of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) fact: Fact<Server>,
    pub(crate) connection: After,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
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
    /// The limit on TCP's own handshake.
    pub(super) connect_limit: Duration,
}

pub(super) fn failure(error: &Error, circumstances: Circumstances<'_>) -> Failure {
    let endpoint = circumstances.endpoint;
    match error {
        Error::Server { code, message } => said_by_server(*code, message),
        Error::Io(error) => ended_by(error, circumstances),
        Error::Tls(error) => useless(Why::Tls(format!("{endpoint}: {error}"))),
        Error::NoTls => {
            useless(Why::Tls(format!("{endpoint}: tls_ca is given, and the server offers no TLS")))
        }
        // A server that does not know the account asks for the password by some method that it picks from all it has, so
        // as not to give away which accounts it knows.
        Error::Method(_) => useless(Why::WrongPassword(format!(
            "{endpoint}: {error}; the account does not exist there, or is not one with caching_sha2_password"
        ))),
        // Most often how it takes leave of a connection that idled for too long.
        Error::OutOfPlace(_) => ended(Why::Other(format!("{endpoint}: {error}"))),
        Error::NotUnderstood(_) => useless(Why::Other(format!("{endpoint}: {error}"))),
    }
}

/// Numbers and names: MySQL's server error message reference.
fn said_by_server(code: u16, message: &str) -> Failure {
    let text = format!("error {code}: {message}");
    match code {
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
            Failure { fact: Fact::Unknown(Why::NotAllowed(text)), connection: After::Kept }
        }
        // ER_SECURE_TRANSPORT_REQUIRED.
        3159 => useless(Why::Tls(text)),
        // ER_SERVER_OFFLINE_MODE.
        3032 => Failure {
            fact: Fact::Known(Server::NotInGroup(NotInGroup::OfflineMode)),
            connection: After::Useless,
        },
        // ER_UNKNOWN_SYSTEM_VARIABLE: @@group_replication_single_primary_mode comes with the plugin. ER_NO_SUCH_TABLE:
        // replication_group_members.
        1193 if message.contains("group_replication") => plugin_missing(),
        1146 if message.contains("replication_group_member") => plugin_missing(),
        // ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_QUERY_INTERRUPTED (KILL), ER_CLIENT_INTERACTION_TIMEOUT: the
        // connection is over, which a server that refuses, or lives on, will make plain.
        1053 | 1077 => ended(Why::Other(format!("the server is shutting down ({text})"))),
        1317 | 4031 => ended(Why::Other(text)),
        _ => useless(Why::Other(text)),
    }
}

fn ended_by(error: &io::Error, circumstances: Circumstances<'_>) -> Failure {
    let text = format!("{}: {error}", circumstances.endpoint);
    match error.kind() {
        // Nobody listens; no socket file.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            Failure { fact: Fact::Known(Server::Refused(text)), connection: After::Useless }
        }
        // Nothing waits so long but TCP's own handshake, and what TCP_USER_TIMEOUT ends: the other host does not even
        // acknowledge.
        io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => useless(Why::Unreachable(text)),
        io::ErrorKind::WouldBlock => useless(Why::TimedOut(circumstances.connect_limit)),
        // How rustls reports an alert, or bytes that are no TLS.
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
    Failure { fact: Fact::Known(Server::NotInGroup(NotInGroup::PluginMissing)), connection: After::Kept }
}

pub(crate) fn useless(why: Why) -> Failure {
    Failure { fact: Fact::Unknown(why), connection: After::Useless }
}

fn ended(why: Why) -> Failure {
    Failure { fact: Fact::Unknown(why), connection: After::Ended }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    fn of(error: &Error) -> Failure {
        let endpoint = Endpoint::Tcp([192, 0, 2, 1].into(), 3306);
        let second = Duration::from_secs(1);
        failure(error, Circumstances { endpoint: &endpoint, tls: true, connect_limit: second })
    }

    fn server(code: u16, message: &str) -> Failure {
        of(&Error::Server { code, message: message.to_owned() })
    }

    fn io(kind: io::ErrorKind) -> Failure {
        of(&Error::Io(kind.into()))
    }

    #[test]
    fn every_error_of_a_server_that_turns_the_account_away_says_that_it_lives() {
        for code in
            [1045, 1698, 1820, 1862, 3118, 3955, 1040, 1203, 1226, 1129, 1130, 1142, 1044, 1143, 1227, 3159]
        {
            match server(code, "no").fact {
                Fact::Unknown(why) => {
                    assert!(
                        why.server_lives() && why.to_string().contains(&code.to_string()),
                        "{code}: {why}"
                    );
                }
                Fact::Known(known) => panic!("{code}: {known:?}"),
            }
        }
    }

    #[test]
    fn what_the_plugin_brings_is_missed_as_the_plugin() {
        let missing = Fact::Known(Server::NotInGroup(NotInGroup::PluginMissing));
        let unknown = server(1193, "Unknown system variable 'group_replication_single_primary_mode'");
        assert_eq!(unknown.fact, missing);
        let absent = server(1146, "Table 'performance_schema.replication_group_members' doesn't exist");
        assert_eq!(absent.fact, missing);
        assert_ne!(server(1193, "Unknown system variable 'super_read_only'").fact, missing);
    }

    #[test]
    fn only_a_refusal_is_a_dead_server() {
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound] {
            assert!(
                matches!(io(kind).fact, Fact::Known(Server::Refused(text)) if text.contains("192.0.2.1:3306"))
            );
        }
        for kind in [io::ErrorKind::HostUnreachable, io::ErrorKind::NetworkUnreachable] {
            assert!(matches!(io(kind).fact, Fact::Unknown(Why::Unreachable(_))));
        }
        assert!(matches!(io(io::ErrorKind::PermissionDenied).fact, Fact::Unknown(Why::Other(_))));
    }

    #[test]
    fn an_ended_connection_is_made_anew_and_a_silent_one_is_not() {
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof]
        {
            assert_eq!(io(kind).connection, After::Ended);
        }
        for code in [1053, 4031, 1317] {
            assert_eq!(server(code, "bye").connection, After::Ended);
        }
        assert!(matches!(io(io::ErrorKind::TimedOut).fact, Fact::Unknown(Why::Unreachable(_))));
    }

    #[test]
    fn a_missing_privilege_keeps_the_connection_on_which_a_grant_will_show() {
        assert_eq!(server(1142, "SELECT command denied").connection, After::Kept);
    }
}
