//! A socket through which the agent of a host is spoken to: below `commands`, which asks, and `agent`, which is asked for.
//!
//! | file | the one idea |
//! |---|---|
//! | `message.rs` | requests and answers as lines of JSON: pure |
//! | `listener.rs` | the agent's end: who is heard, and within which limits |
//! | `client.rs` | the other end |
//!
//! A Unix socket in the file system, which nobody but its owner and root may connect to; the kernel says who does.

mod client;
mod listener;
pub mod message;

pub use self::client::{ClientError, ask};
pub use self::listener::{ControlError, Listener, Order};
