//! The history of a cluster's switches: a file of bounded size beside the log, one line of JSON for each. Below `agent`, which writes
//! it, and `commands`, which read it.
//!
//! | file | the one idea |
//! |---|---|
//! | `record.rs` | a line: what `decide::history` tells, with wall-clock times, names, and who ordered it |
//! | `file.rs` | the file: appended to, put aside when it has grown large, read with whatever is broken in it skipped |
//! | `learn.rs` | what the servers are asked once a VIP is up: who ordered a switchover, when the old primary last wrote |

mod file;
pub(crate) mod learn;
mod record;

pub use file::{ReadHistory, UnreadableHistory, append, read};
pub use record::{By, FORMAT, How, Outage, Record, SeenOnTheWay, Written, utc};
