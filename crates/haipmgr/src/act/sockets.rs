//! The VIP's TCP connections: list them, tickle their clients, close this host's ends of them.
//!
//! The calls are short and run on tokio's blocking threads, so that a host with thousands of connections does not hold
//! up the agent's loop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use linux::raw_socket::RawSocket;
use linux::sock_diag::Diag;
pub use linux::sock_diag::{Connection, DiagError};
use nix::errno::Errno;
use tokio::task::JoinError;
use wire::tcp;

/// Ended connections that are forgotten in one go, of each family: a busy server has some ten thousand of them.
const FORGOTTEN_AT_ONCE: usize = 4096;
/// How many times there are more, at the most.
const FORGOTTEN_TIMES: usize = 16;
/// No tickle waits longer than this for room in the socket's buffer.
const SEND_LIMIT: Duration = Duration::from_millis(100);

/// What went wrong with the VIP's connections.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// `sock_diag` could not be asked.
    #[error(
        "cannot list the TCP connections of {vip}: {source}; it needs the kernel's modules inet_diag and tcp_diag"
    )]
    List {
        /// The VIP.
        vip: IpAddr,
        /// The kernel's word.
        source: DiagError,
    },
    /// No raw socket.
    #[error(
        "cannot open a raw socket for telling the clients of {vip} that it has moved ({source}); run as root, or with CAP_NET_RAW"
    )]
    NoRawSocket {
        /// The VIP.
        vip: IpAddr,
        /// The kernel's word.
        source: io::Error,
    },
    /// Some tickles were not sent; the others were.
    #[error(
        "{failed} of {of} clients of {vip} could not be told that it has moved, the first {client}: {source}; they find out by their own time-outs"
    )]
    NotTickled {
        /// The VIP.
        vip: IpAddr,
        /// How many were not sent.
        failed: usize,
        /// Of how many.
        of: usize,
        /// The first client that was not told.
        client: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The kernel was built without `CONFIG_INET_DIAG_DESTROY`.
    #[error(
        "this kernel can't close connections (CONFIG_INET_DIAG_DESTROY is missing); {left} of the VIP's stay open on \
         this host until their time-outs"
    )]
    CannotDestroy {
        /// Connections left open.
        left: usize,
    },
    /// `CAP_NET_ADMIN` is missing.
    #[error(
        "not allowed to close connections: run as root, or with the capability CAP_NET_ADMIN; {left} of the VIP's \
         stay open on this host until their time-outs"
    )]
    MayNotDestroy {
        /// Connections left open.
        left: usize,
    },
    /// Some connections were not closed; the others were.
    #[error(
        "{failed} of {of} connections of the VIP could not be closed on this host, the first from {client}: {source}; they stay open until their time-outs"
    )]
    NotDestroyed {
        /// How many were not.
        failed: usize,
        /// Of how many.
        of: usize,
        /// The first client.
        client: SocketAddr,
        /// Why.
        source: DiagError,
    },
    /// `SOCK_DESTROY` of a connection that is over is more than this kernel can do, or not allowed.
    #[error(
        "the kernel does not forget the ended connections of {vip} ({source}): should the VIP come back within a minute, a client that \
         uses the port of one of them again is not told, and finds out by its own time-out"
    )]
    NotForgotten {
        /// The VIP.
        vip: IpAddr,
        /// The kernel's word.
        source: DiagError,
    },
    /// The blocking task was cancelled: the agent is ending.
    #[error("the agent is ending: {0}")]
    Ending(#[from] JoinError),
}

/// All TCP connections with the VIP as this host's address, those of servers that listen on `::` too. Listening
/// sockets are not among them.
pub async fn list(vip: IpAddr) -> Result<Vec<Connection>, SocketsError> {
    tokio::task::spawn_blocking(move || {
        let failed = |source| SocketsError::List { vip, source };
        Diag::open().map_err(failed)?.connections_of(vip).map_err(failed)
    })
    .await?
}

/// Sends each client one bare ACK from the VIP (`wire::tcp::tickle`): its kernel answers, and the answer reaches the
/// new holder, whose kernel resets the connection. To be called when the new holder has announced itself; the VIP need
/// not be on this host any more. A client that can't be reached does not keep the others from being told.
pub async fn tickle(vip: IpAddr, connections: Arc<[Connection]>) -> Result<(), SocketsError> {
    tokio::task::spawn_blocking(move || tickle_all(vip, &connections)).await?
}

fn tickle_all(vip: IpAddr, connections: &[Connection]) -> Result<(), SocketsError> {
    if connections.is_empty() {
        return Ok(());
    }
    let socket =
        RawSocket::open(vip, Some(SEND_LIMIT)).map_err(|source| SocketsError::NoRawSocket { vip, source })?;
    let mut failed = 0;
    let mut first = None;
    for connection in connections {
        let packet = tcp::tickle(connection.local, connection.client);
        let sent = packet.map_or_else(
            || Err(io::Error::new(io::ErrorKind::InvalidInput, "the two ends are of different families")),
            |packet| socket.send(&packet, connection.client.ip()),
        );
        if let Err(source) = sent {
            failed += 1;
            first.get_or_insert((connection.client, source));
        }
    }
    match first {
        None => Ok(()),
        Some((client, source)) => {
            Err(SocketsError::NotTickled { vip, failed, of: connections.len(), client, source })
        }
    }
}

/// Closes this host's ends: the server's threads see an error at once. Connections that are gone already are no error.
///
/// While the VIP is still on this host the kernel sends each client a reset too; afterwards it can't.
pub async fn destroy(connections: Arc<[Connection]>) -> Result<(), SocketsError> {
    tokio::task::spawn_blocking(move || destroy_all(&connections)).await?
}

fn destroy_all(connections: &[Connection]) -> Result<(), SocketsError> {
    let Some(any) = connections.first() else { return Ok(()) };
    let of = connections.len();
    let not_destroyed = |failed, client, source| SocketsError::NotDestroyed { failed, of, client, source };
    let mut diag = Diag::open().map_err(|source| not_destroyed(of, any.client, source))?;
    let (mut failed, mut unsupported, mut closed) = (0, 0, 0);
    let mut first = None;
    for (done, connection) in connections.iter().enumerate() {
        match diag.destroy(connection) {
            Ok(()) => closed += 1,
            // Gone already, or its ends belong to a later connection by now.
            Err(DiagError::Refused(Errno::ENOENT | Errno::ESTALE)) => {}
            // This is also what some kernels say of a connection that went into TIME_WAIT meanwhile.
            Err(DiagError::Refused(Errno::EOPNOTSUPP)) => unsupported += 1,
            // None of the others would fare better.
            Err(DiagError::Refused(Errno::EPERM | Errno::EACCES)) => {
                return Err(SocketsError::MayNotDestroy { left: of - done });
            }
            Err(source) => {
                failed += 1;
                first.get_or_insert((connection.client, source));
            }
        }
    }
    if unsupported > 0 && closed == 0 {
        return Err(SocketsError::CannotDestroy { left: unsupported });
    }
    match first {
        None => Ok(()),
        Some((client, source)) => Err(not_destroyed(failed, client, source)),
    }
}

/// Has the kernel forget the VIP's connections that are over (`TIME_WAIT`). To be called when the VIP has left: its kernel remembers them
/// for a minute, and when the VIP is here again it answers what belongs to another connection between the same two ends with an ACK, and
/// not with the reset that its client needs. A client has 28,000 ports, and one that connects anew for each question is soon through.
pub async fn forget_ended(vip: IpAddr) -> Result<(), SocketsError> {
    tokio::task::spawn_blocking(move || {
        forget_all_ended(vip).map_err(|source| SocketsError::NotForgotten { vip, source })
    })
    .await?
}

fn forget_all_ended(vip: IpAddr) -> Result<(), DiagError> {
    let mut diag = Diag::open()?;
    for _ in 0..FORGOTTEN_TIMES {
        let ended = diag.ended_connections_of(vip, FORGOTTEN_AT_ONCE)?;
        for connection in &ended {
            match diag.destroy(connection) {
                // Its minute was over.
                Ok(()) | Err(DiagError::Refused(Errno::ENOENT | Errno::ESTALE)) => {}
                // None of the others would fare better.
                Err(source) => return Err(source),
            }
        }
        if ended.len() < FORGOTTEN_AT_ONCE {
            return Ok(());
        }
    }
    Ok(())
}
