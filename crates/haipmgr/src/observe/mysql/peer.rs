//! One question to another member's server, in a dispute over the VIP.

use std::io;

use decide::input::{Fact, Seen, Server, Why};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::asker::{Due, due};
use super::connection::{Connection, Phase};
use super::{Access, CannotAsk, Limits};
use crate::clock;
use crate::server_access::{GIVE_UP, Servers, servers};

/// Puts the question once, on a connection of its own, and tells the answer, or that there was none within [`Limits`].
///
/// A server that is silent is waited for a while longer, untold: connections that are broken off before the account is known are
/// counted, and after `max_connect_errors` (100) of them the server blocks this host.
///
/// # Errors
/// The system gives no thread or no descriptor.
pub fn ask_and_tell(
    servers: &Servers,
    access: Access,
    tell: impl FnOnce(Seen<Server>) + Send + 'static,
) -> Result<(), CannotAsk> {
    let (endpoint, limits) = (access.endpoint.clone(), access.limits);
    let question = async move {
        let mut connection = Connection::new(access);
        let phase = Phase::new();
        {
            let mut asking = std::pin::pin!(connection.ask(&phase));
            tokio::select! {
                biased;
                seen = asking.as_mut() => tell(seen),
                seen = overdue(&phase, limits) => {
                    tell(seen);
                    let _ = timeout(GIVE_UP, asking).await;
                }
            }
        }
        let _ = timeout(GIVE_UP, connection.close()).await;
    };
    servers.spawn(question).map(drop).map_err(|source| CannotAsk { endpoint, source })
}

/// Once the question that is being put is overdue.
async fn overdue(phase: &Phase, limits: Limits) -> Seen<Server> {
    let started = clock::now();
    loop {
        match due(phase.get(), Some(started), limits, clock::now()) {
            // A connection that is made meanwhile begins the query's own limit, which is shorter.
            Due::In(left) => sleep(left.min(limits.query)).await,
            Due::Over { asked_at, limit } => {
                return Seen { asked_at, fact: Fact::Unknown(Why::TimedOut(limit)) };
            }
        }
    }
}

/// A server that is asked by the calling thread, on a connection that is kept from one question to the next. Dropped, the
/// connection ends.
pub struct Peer {
    runtime: Runtime,
    connection: Connection,
    limits: Limits,
}

impl Peer {
    /// Makes ready to ask; connects with the first question.
    ///
    /// # Errors
    /// The system gave no descriptor.
    pub fn new(access: Access) -> Result<Self, CannotAsk> {
        let cannot = |source: io::Error| CannotAsk { endpoint: access.endpoint.clone(), source };
        let runtime = servers::runtime().map_err(cannot)?;
        let limits = access.limits;
        Ok(Self { runtime, connection: Connection::new(access), limits })
    }

    /// Puts the question and waits for the answer, as long as [`Limits`] allow. Blocks.
    pub fn ask(&mut self) -> Seen<Server> {
        let phase = Phase::new();
        let (connection, limits) = (&mut self.connection, self.limits);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                seen = connection.ask(&phase) => seen,
                seen = overdue(&phase, limits) => seen,
            }
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let connection = &mut self.connection;
        let limit = self.limits.query;
        // The server need not answer.
        let _ = self.runtime.block_on(async { timeout(limit, connection.close()).await });
    }
}

/// Puts the question once, on a connection of its own. Blocks, as long as [`Limits`] allow.
pub fn ask_once(access: &Access) -> Seen<Server> {
    let asked_at = clock::now();
    match Peer::new(access.clone()) {
        Ok(mut peer) => peer.ask(),
        Err(error) => Seen { asked_at, fact: Fact::Unknown(Why::Other(error.to_string())) },
    }
}
