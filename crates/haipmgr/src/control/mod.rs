//! A socket through which the agent of a host is spoken to: below `commands`, which asks, and `agent`, which is asked for.
//!
//! | file | the one idea |
//! |---|---|
//! | `message.rs` | requests and answers as lines of JSON: pure |
//! | `report.rs` | what an agent says of itself: pure |
//! | `reloaded.rs` | what an agent says of a reload: pure |
//! | `listener.rs` | the agent's end: who is heard, and within which limits |
//! | `group.rs` | the number of a system group |
//! | `desk.rs` | answers who only reads |
//! | `client.rs` | the other end |
//!
//! A Unix socket in the file system. Root, the agent's own user and members of the group `haipmgr-operators` may order; members of the group
//! `haipmgr` may read. The kernel says who connects.

mod client;
mod desk;
mod group;
mod listener;
pub mod message;
pub mod reloaded;
pub mod report;

pub use self::client::{ClientError, Patience, ask};
pub(crate) use self::desk::look;
pub use self::desk::{Door, Doors};
pub use self::listener::{ControlError, Listener, Order};
