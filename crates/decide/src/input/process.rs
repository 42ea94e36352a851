//! What is seen of the local server's process.

use serde::{Deserialize, Serialize};

/// What was seen of the local server's process. It says that something happened, and not what: the server's answer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessSign {
    /// It is known and watched from now on: its end will be told, and after that its successor's start.
    Watched,
    /// It has ended.
    Ended,
    /// After its end: a process that may be its successor was started, or none would be noticed any more. It may listen soon.
    MayStart,
    /// It wrote to its error log. Group Replication does so when it sees a member silent or gone, when a primary is
    /// elected, and when it is stopped.
    WroteToItsLog,
}
