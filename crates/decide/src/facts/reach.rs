//! How many of the other members' hosts answer on the segment, for a host that is to serve readers.

use serde::{Deserialize, Serialize};

/// The members that the local server shows ONLINE, and whose hosts answer on the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reach {
    /// So many others answer.
    pub answered: usize,
    /// Of so many that can be asked.
    pub others: usize,
    /// Whether that is enough to serve readers; none: not known yet.
    pub enough: Option<bool>,
}

impl Reach {
    /// Too few answer: by now, or soon, the others may have what this host has.
    pub fn is_cut_off(&self) -> bool {
        self.enough == Some(false)
    }
}
