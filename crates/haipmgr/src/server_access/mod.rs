//! How to reach a MySQL server and as whom. Below `observe` and `act`, which both speak to servers.
//!
//! | file | the one idea |
//! |---|---|
//! | `account.rs` | the SQL that makes the account, and what it may do |
//! | `agent_shown.rs` | what an agent shows of itself, on its connection, to whoever asks its server |
//! | `session/` | a session with a server: login, questions, answers |
//! | `connect.rs` | a new session: TLS or not |
//! | `failure.rs` | what each error says of the server |
//! | `kept_session.rs` | a session that is kept from one statement to the next |
//! | `versions.rs` | what differs between MySQL's versions |
//! | `servers.rs` | the one thread that speaks to all servers |

pub mod account;
pub(crate) mod agent_shown;
mod connect;
mod failure;
pub(crate) mod kept_session;
pub(crate) mod servers;
pub(crate) mod session;
pub(crate) mod versions;

use core::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{ClientCertificate, Cluster};

pub use crate::config::Password;

pub(crate) use self::connect::{Connector, GIVE_UP};
pub(crate) use self::failure::{After, Failure, useless};
pub(crate) use self::servers::Kept;
pub use self::servers::Servers;

/// How to reach one server, and as whom.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The account; [`account::account_sql`] makes it.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// PEM file with the authority that signed the server's certificate. Given: TLS is required and the chain is
    /// verified, the host name is not (MySQL's own certificates carry none), as `--ssl-mode=VERIFY_CA` does. None:
    /// TLS without verification where the server offers it, as `PREFERRED`. A socket file never has TLS.
    pub tls_ca: Option<PathBuf>,
    /// The account's own certificate. Given: TLS is required.
    pub tls_client: Option<ClientCertificate>,
    /// How long to wait for it.
    pub limits: Limits,
    /// What `performance_schema.session_connect_attrs` shows of the connections beside the program's name and process.
    pub shows: Vec<(&'static str, String)>,
}

impl Access {
    /// Whether a connection over TCP without TLS is none.
    pub(crate) fn requires_tls(&self) -> bool {
        self.tls_ca.is_some() || self.tls_client.is_some()
    }

    /// As the agent of this cluster.
    pub fn of(cluster: &Cluster, endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            user: cluster.user.clone(),
            password: cluster.password.clone(),
            tls_ca: cluster.tls_ca.clone(),
            tls_client: cluster.tls_client.clone(),
            limits: Limits { connect: cluster.connect_limit, query: cluster.query_limit },
            shows: Vec::new(),
        }
    }

    /// The same, for the connection by which the agent of this cluster shows itself to whoever asks this server.
    pub(crate) fn showing_agent(mut self, cluster: &Cluster) -> Self {
        self.shows = agent_shown::AgentShown::of(cluster).attributes();
        self
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Its socket file.
    Socket(PathBuf),
    /// Its address and port.
    Tcp(IpAddr, u16),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp(address, port) => SocketAddr::new(*address, *port).fmt(f),
        }
    }
}

/// After how long an answer is told as missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the connection, TLS and the account's check included.
    pub connect: Duration,
    /// For the query.
    pub query: Duration,
}

impl Default for Limits {
    /// One second to connect; half a second to answer, so that a `STOP GROUP_REPLICATION`, which blocks the answer
    /// for three, is known of early.
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), query: Duration::from_millis(500) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_shows_in_no_debug_output() {
        let access = Access {
            endpoint: Endpoint::Socket("/run/mysqld/mysqld.sock".into()),
            user: "haip".into(),
            password: Password::new("very secret"),
            tls_ca: None,
            tls_client: None,
            limits: Limits::default(),
            shows: Vec::new(),
        };
        assert!(!format!("{access:?} {access:#?}").contains("secret"));
    }

    #[test]
    fn an_ipv6_endpoint_is_shown_with_brackets() {
        assert_eq!(
            Endpoint::Tcp("fd00::1".parse().unwrap_or([0; 4].into()), 3306).to_string(),
            "[fd00::1]:3306"
        );
    }
}
