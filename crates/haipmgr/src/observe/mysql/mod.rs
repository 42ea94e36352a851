//! A MySQL server's facts (stages 2 and 3): the local server's all the time, a peer's on demand.
//!
//! | file | the one idea |
//! |---|---|
//! | `query.rs` | the one query, by server version, and what its rows say: pure |
//! | `question.rs` | how it is put: as text the first time, then prepared |
//! | `connection.rs` | one connection, made anew when it ends |
//! | `asker.rs` | the thread that owns a connection, so that a hung server blocks that thread alone |
//! | `watch.rs` | polls the local server |
//! | `unchanged.rs` | answers that say nothing new are kept, not told |
//! | `overdue.rs` | says so when an answer does not come in time: one thread for all |
//! | `peer.rs` | one question to another member's server |
//!
//! A server never has more than one connection of a watch. A question that is not answered within its limit is
//! told as [`Why::TimedOut`](decide::event::Why::TimedOut) and stays open: when the server lives again, that
//! connection is the first to know. So a hung server gathers neither connections nor threads.

mod asker;
mod connection;
mod overdue;
mod peer;
pub(crate) mod query;
mod question;
mod unchanged;
mod watch;

pub use self::asker::CannotAsk;
pub use self::peer::{Peer, ask_once};
pub use self::watch::{ServerWatch, watch};
pub use crate::server_access::account::account_sql;
pub use crate::server_access::{Access, Endpoint, Limits, Password};
