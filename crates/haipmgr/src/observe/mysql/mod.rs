//! A MySQL server's facts (stages 2 and 3): the local server's all the time, a peer's on demand.
//!
//! | file | the one idea |
//! |---|---|
//! | `query.rs` | the one query, of what the server has, and what its rows say: pure |
//! | `question.rs` | how it is put: as text the first time, then prepared |
//! | `connection.rs` | one connection, made anew when it ends |
//! | `asker.rs` | the task that owns a connection, and tells what is overdue |
//! | `watch.rs` | polls the local server |
//! | `unchanged.rs` | answers that say nothing new are kept, not told |
//! | `peer.rs` | one question to another member's server |
//!
//! A server never has more than one connection of a watch. A question that is not answered within its limit is
//! told as [`Why::TimedOut`](decide::input::Why::TimedOut) and stays open: when the server lives again, that
//! connection is the first to know. So a hung server gathers no connections.

mod asker;
mod connection;
mod peer;
pub(crate) mod query;
mod question;
mod unchanged;
mod watch;

pub use self::peer::{Peer, ask_and_tell, ask_once};
pub use self::watch::{ServerWatch, watch};
pub use crate::server_access::account::account_sql;
pub use crate::server_access::{Access, Endpoint, Limits, Password, Servers};

/// The system gave no thread or no descriptor for asking a server.
#[derive(Debug, thiserror::Error)]
#[error("can't ask the MySQL server at {endpoint}: {source}; look at the limits on open files and on tasks")]
pub struct CannotAsk {
    /// Which server.
    pub endpoint: Endpoint,
    /// What the system said.
    pub source: std::io::Error,
}
