//! Where is listened: an address or a socket file, with TLS or without.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{ListenAt, ServerCertificate};

/// A connection, whatever carries it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Listens; a socket file is removed when this is dropped.
pub(super) struct Listener {
    listening: Listening,
    tls: Option<TlsAcceptor>,
}

enum Listening {
    Tcp(TcpListener),
    /// The file goes first: whoever takes its place meanwhile has put a file of its own there.
    Unix(#[allow(dead_code, reason = "what it does is in its drop")] RemovedAtTheEnd, UnixListener),
}

struct RemovedAtTheEnd(PathBuf);

impl Drop for RemovedAtTheEnd {
    fn drop(&mut self) {
        // Left behind it does no harm: the next agent puts its own in its place.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn remove_old(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there"));
            }
            std::fs::remove_file(path)
        }
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// What TLS needs.
///
/// # Errors
/// In words: a file can't be read, or does not hold what it should, or the two do not belong together.
pub(super) fn tls(files: &ServerCertificate) -> Result<Arc<ServerConfig>, String> {
    let ServerCertificate { certificate, key } = files;
    let unfit =
        |key: &str, file: &Path, why: &dyn core::fmt::Display| format!("{key}: {}: {why}", file.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unfit("listen_tls_cert", certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unfit("listen_tls_key", key, &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, private);
    let mut config = config.map_err(|error| unfit("listen_tls_cert", certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Listener {
    /// Takes the address or the socket file's place; inside a tokio runtime. A socket file at which nobody listens any more is replaced.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn bind(at: &ListenAt, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let listening = match at {
            ListenAt::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Listening::Tcp(TcpListener::from_std(listener)?)
            }
            ListenAt::Unix(path) => {
                remove_old(path)?;
                let listener = UnixListener::bind(path)?;
                std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
                Listening::Unix(RemovedAtTheEnd(path.clone()), listener)
            }
        };
        Ok(Self { listening, tls: tls.map(TlsAcceptor::from) })
    }

    /// The next connection, before TLS.
    ///
    /// # Errors
    /// The system's: no descriptor to spare, for one.
    pub(super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.listening {
            Listening::Tcp(listener) => Ok(Box::new(listener.accept().await?.0)),
            Listening::Unix(_, listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }

    /// What makes a connection secret, where that is wanted.
    pub(super) fn tls(&self) -> Option<TlsAcceptor> {
        self.tls.clone()
    }
}
