//! What each error says of the server.

use std::io;
use std::time::Duration;

use super::Endpoint;
use super::session::Error;
use decide::input::{Fact, NotInGroup, Server, Why};

/// Why a question has no answer, and what becomes of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) fact: Fact<Server>,
    pub(crate) connection: After,
}

impl Failure {
    /// Why there is no answer, in the words of an unknown fact.
    pub(crate) fn why(self) -> Why {
        match self.fact {
            Fact::Unknown(why) => why,
            Fact::Known(Server::Refused(text)) => Why::Unreachable(text),
            Fact::Known(Server::NotInGroup(why)) => Why::Unreachable(why.to_string()),
            Fact::Known(Server::Member(_)) => Why::NotAskedYet,
        }
    }
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
    /// A certificate of the account's own is configured.
    pub(super) client_certificate: bool,
    /// The limit on TCP's own handshake.
    pub(super) connect_limit: Duration,
}

pub(super) fn failure(error: &Error, circumstances: Circumstances<'_>) -> Failure {
    let endpoint = circumstances.endpoint;
    match error {
        Error::Server { code, message } => said_by_server(*code, message, circumstances),
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

/// What an error of a server says, beyond that the server lives: each is its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// The account is at fault: password, lock, certificate.
    Account,
    /// The account is at fault: it lacks a privilege. A `GRANT` takes effect on this very connection.
    Privilege,
    /// It may not come from this host, or not without TLS.
    NotFromHere,
    /// TLS is wanted.
    TlsWanted,
    /// The server is overloaded: no connection is left.
    Overloaded,
    /// `max_connect_errors` interrupted connections from this host: nobody from here gets in.
    HostBlocked,
    /// It is in offline mode.
    Offline,
    /// It is shutting down: soon it refuses, or it lives on after all.
    ShuttingDown,
    /// This connection is over; the next one tells more.
    ConnectionOver,
}

/// Numbers and names: MySQL's server error message reference. What is not here says nothing but that the server lives.
const ERRORS: [(u16, Says); 20] = [
    (1045, Says::Account),        // ER_ACCESS_DENIED_ERROR
    (1698, Says::Account),        // ER_ACCESS_DENIED_NO_PASSWORD_ERROR
    (1820, Says::Account),        // ER_MUST_CHANGE_PASSWORD
    (1862, Says::Account),        // ER_MUST_CHANGE_PASSWORD_LOGIN
    (3118, Says::Account),        // ER_ACCOUNT_HAS_BEEN_LOCKED
    (3955, Says::Account),        // ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK
    (1044, Says::Privilege),      // ER_DBACCESS_DENIED_ERROR
    (1142, Says::Privilege),      // ER_TABLEACCESS_DENIED_ERROR
    (1143, Says::Privilege),      // ER_COLUMNACCESS_DENIED_ERROR
    (1227, Says::Privilege),      // ER_SPECIFIC_ACCESS_DENIED_ERROR
    (1130, Says::NotFromHere),    // ER_HOST_NOT_PRIVILEGED
    (3159, Says::TlsWanted),      // ER_SECURE_TRANSPORT_REQUIRED
    (1040, Says::Overloaded),     // ER_CON_COUNT_ERROR
    (1203, Says::Overloaded),     // ER_TOO_MANY_USER_CONNECTIONS
    (1226, Says::Overloaded),     // ER_USER_LIMIT_REACHED
    (1129, Says::HostBlocked),    // ER_HOST_IS_BLOCKED
    (3032, Says::Offline),        // ER_SERVER_OFFLINE_MODE
    (1053, Says::ShuttingDown),   // ER_SERVER_SHUTDOWN
    (1317, Says::ConnectionOver), // ER_QUERY_INTERRUPTED (KILL)
    (4031, Says::ConnectionOver), // ER_CLIENT_INTERACTION_TIMEOUT
];

fn said_by_server(code: u16, message: &str, circumstances: Circumstances<'_>) -> Failure {
    let missing = |name: &str, what: u16| code == what && message.contains(name);
    // ER_UNKNOWN_SYSTEM_VARIABLE: @@group_replication_single_primary_mode comes with the plugin. ER_NO_SUCH_TABLE:
    // replication_group_members.
    if missing("group_replication", 1193) || missing("replication_group_member", 1146) {
        return plugin_missing();
    }
    let text = format!("error {code}: {message}");
    let says = ERRORS.iter().find(|(known, _)| *known == code).map(|(_, says)| *says);
    match says {
        Some(Says::Account) if code == 1045 && !circumstances.client_certificate => {
            useless(Why::WrongPassword(format!(
                "{text}; for an account with REQUIRE X509, SUBJECT or ISSUER, tls_cert and tls_key are missing too"
            )))
        }
        Some(Says::Account) => useless(Why::WrongPassword(text)),
        Some(Says::Privilege) => {
            Failure { fact: Fact::Unknown(Why::NotAllowed(text)), connection: After::Kept }
        }
        Some(Says::NotFromHere) => useless(Why::NotAllowed(text)),
        Some(Says::TlsWanted) => useless(Why::Tls(text)),
        Some(Says::Overloaded) => useless(Why::TooManyConnections(text)),
        Some(Says::HostBlocked) => useless(Why::TooManyConnections(format!(
            "{text}; run TRUNCATE TABLE performance_schema.host_cache on that server"
        ))),
        Some(Says::Offline) => Failure {
            fact: Fact::Known(Server::NotInGroup(NotInGroup::OfflineMode)),
            connection: After::Useless,
        },
        Some(Says::ShuttingDown) => ended(Why::Other(format!("the server is shutting down ({text})"))),
        Some(Says::ConnectionOver) => ended(Why::Other(text)),
        None => useless(Why::ServerError(text)),
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
        failure(
            error,
            Circumstances {
                endpoint: &endpoint,
                tls: true,
                client_certificate: false,
                connect_limit: second,
            },
        )
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
    fn an_error_that_nobody_knows_says_that_the_server_lives() {
        for code in [1184, 1231, 1305, 3024, 65535] {
            let fact = server(code, "any words").fact;
            assert!(matches!(&fact, Fact::Unknown(why) if why.server_lives()), "{code}: {fact:?}");
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
