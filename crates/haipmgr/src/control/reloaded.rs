//! What an agent answers who has it read its configuration anew.

use serde::{Deserialize, Serialize};

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// How it went.
    pub outcome: Outcome,
    /// What changed, or would change: a line each.
    pub lines: Vec<String>,
    /// What is wrong with the file, or did not go well: a line each.
    pub trouble: Vec<String>,
}

/// How a reload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The file is followed; or it could be, where that alone was asked.
    Done,
    /// It is not, or not wholly.
    Failed,
    /// The file is wrong, and nothing was changed.
    BadFile,
}
