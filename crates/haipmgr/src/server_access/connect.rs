//! A new session with a server: TLS or not.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use decide::input::{Fact, Why};
use tokio::time::{sleep, timeout};

use super::failure::{Circumstances, Failure, failure, useless};
use super::session::{Account, Connected, Error, Session, Tls};
use super::{Access, Endpoint};

/// How long a question stays open on its connection after it was told as timed out. Long enough for a server that was
/// hung to answer on it, so that no second connection is made meanwhile; short enough for a lost one to be given up.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(10);

/// How often a socket file whose queue is full is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// Makes sessions with one server.
pub(crate) struct Connector {
    access: Access,
    /// The server offered no TLS, or none that works, and no `tls_ca` requires it: the next attempts go without, until one
    /// has succeeded. Attempts broken off at the greeting would sooner or later make the server block this host
    /// (`max_connect_errors`).
    without_tls: bool,
}

impl Connector {
    pub(crate) fn new(access: Access) -> Self {
        Self { access, without_tls: false }
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// A new session. TCP's handshake has the limit on connecting; whoever calls sees to all else.
    pub(crate) async fn connect(&mut self) -> Result<Session, Failure> {
        let tls = self.tls()?;
        match self.connect_with(tls.as_ref()).await {
            Ok(session) => {
                self.without_tls = false;
                Ok(session)
            }
            Err(failure) if !self.access.requires_tls() && tls.is_some() && is_about_tls(&failure) => {
                self.without_tls = true;
                let session = self.connect_with(None).await?;
                self.without_tls = false;
                Ok(session)
            }
            Err(failure) => Err(failure),
        }
    }

    fn tls(&self) -> Result<Option<Tls>, Failure> {
        let Endpoint::Tcp(address, _) = self.access.endpoint else { return Ok(None) };
        if self.without_tls && !self.access.requires_tls() {
            return Ok(None);
        }
        Tls::new(self.access.tls_ca.as_deref(), self.access.tls_client.as_ref(), address)
            .map(Some)
            .map_err(|problem| useless(Why::Tls(problem.to_string())))
    }

    async fn connect_with(&self, tls: Option<&Tls>) -> Result<Session, Failure> {
        let Access { user, shows, .. } = &self.access;
        let account = Account { user, password: self.access.password.reveal(), shows };
        let connected = self.open().await?;
        connected.log_in(account, tls).await.map_err(|error| self.explain(&error, tls.is_some()))
    }

    async fn open(&self) -> Result<Connected, Failure> {
        let limit = self.access.limits.connect;
        match &self.access.endpoint {
            Endpoint::Tcp(address, port) => {
                match timeout(limit, Connected::over_tcp(SocketAddr::new(*address, *port))).await {
                    Ok(connected) => connected.map_err(|error| self.explain(&error, false)),
                    Err(_) => Err(useless(Why::TimedOut(limit))),
                }
            }
            Endpoint::Socket(path) => loop {
                match Connected::over_socket(path).await {
                    Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                        sleep(QUEUE_PAUSE).await;
                    }
                    connected => return connected.map_err(|error| self.explain(&error, false)),
                }
            },
        }
    }

    /// What this error, on a connection with or without TLS, says of the server.
    pub(crate) fn explain(&self, error: &Error, tls: bool) -> Failure {
        failure(
            error,
            Circumstances {
                endpoint: &self.access.endpoint,
                tls,
                client_certificate: self.access.tls_client.is_some(),
                connect_limit: self.access.limits.connect,
            },
        )
    }
}

fn is_about_tls(failure: &Failure) -> bool {
    matches!(failure.fact, Fact::Unknown(Why::Tls(_)))
}
