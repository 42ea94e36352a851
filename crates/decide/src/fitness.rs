//! How fit a host is to serve readers, in one word.

use core::fmt;

use serde::{Deserialize, Serialize};

/// How fit a member's host is to have reader VIPs, by its own word. Whatever is wrong with it is in this one word: its agent knows, and
/// the others need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fitness {
    /// An ONLINE secondary with the majority and its gateway, not too far behind, and so for `reader_well_for`.
    Ready,
    /// The same, but not for so long yet: it takes no share from others that are ready.
    Settling,
    /// The same, and too far behind (`reader_max_behind`).
    Behind,
    /// The primary, ONLINE with the majority and its gateway.
    Primary,
    /// Its agent is paused: it keeps what it has, and takes nothing.
    Paused,
    /// It can have no VIP: its server, its gateway or its agent is not in order, or is to be given up.
    Unfit,
}

impl Fitness {
    /// Each of them.
    pub const EACH: [Self; 6] =
        [Self::Ready, Self::Settling, Self::Behind, Self::Primary, Self::Paused, Self::Unfit];
}

impl fmt::Display for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Settling => "settling",
            Self::Behind => "too far behind",
            Self::Primary => "the primary",
            Self::Paused => "paused",
            Self::Unfit => "not fit",
        })
    }
}
