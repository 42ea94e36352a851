//! A new connection to a server: TLS or not, every wait with a limit.

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use decide::event::{Fact, Why};
use mysql::{Conn, DriverError, Error, OptsBuilder, SslOpts};

use super::failure::{Circumstances, Failure, failure, useless};
use super::{Access, Endpoint};

/// How long a question stays open on its connection after it was told as timed out. Long enough for a server that was
/// hung to answer on it, so that no second connection is made meanwhile; short enough for a lost one to be given up.
const GIVE_UP: Duration = Duration::from_secs(10);

/// After how long an unacknowledged segment ends a TCP connection (`TCP_USER_TIMEOUT`): the other host is gone, or came
/// back and knows nothing of it. A hung server's kernel goes on acknowledging.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// The longest packet that is accepted; a group's rows take less than a tenth.
const LONGEST_PACKET: usize = 1 << 20;

/// Makes connections to one server.
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

    /// A new connection, and whether it has TLS. Blocks, as [`GIVE_UP`] and the limit on connecting say; for a socket file
    /// whose queue is full without limit.
    pub(crate) fn connect(&mut self) -> Result<(Conn, bool), Failure> {
        let tls = self.tls()?;
        match self.connect_with(tls.clone()) {
            Ok(conn) => {
                self.without_tls = false;
                Ok((conn, tls.is_some()))
            }
            Err(error) if self.access.tls_ca.is_none() && tls.is_some() && self.is_about_tls(&error) => {
                self.without_tls = true;
                let conn = self.connect_with(None).map_err(|error| self.explain(&error, false))?;
                self.without_tls = false;
                Ok((conn, false))
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
            return Err(useless(Why::Tls(format!("tls_ca {}: {error}", path.display()))));
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

    fn connect_with(&self, tls: Option<SslOpts>) -> Result<Conn, Error> {
        let access = &self.access;
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
        guard(|| Conn::new(options))
    }

    /// What this error, on a connection with or without TLS, says of the server.
    pub(crate) fn explain(&self, error: &Error, tls: bool) -> Failure {
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
pub(crate) fn guard<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Error::DriverError(DriverError::UnexpectedPacket)))
}
