//! What must always be true, by name.

use core::fmt;

use crate::inputs::Time;

/// An invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// ONE-HOLDER
    OneHolder,
    /// EVIDENCE
    Evidence,
    /// NEWEST-VIEW
    NewestView,
    /// LEASE
    Lease,
    /// UNKNOWN-IS-NOT-NO
    UnknownIsNotNo,
    /// NO-FLAP
    NoFlap,
    /// FOLLOWS
    Follows,
    /// RESTORED
    Restored,
    /// NO-STRAY-WRITES
    NoStrayWrites,
    /// WAKES
    Wakes,
    /// PAUSED
    Paused,
    /// PLACED
    Placed,
}

impl Invariant {
    /// Each.
    pub const EACH: [Self; 12] = [
        Self::OneHolder,
        Self::Evidence,
        Self::NewestView,
        Self::Lease,
        Self::UnknownIsNotNo,
        Self::NoFlap,
        Self::Follows,
        Self::Restored,
        Self::NoStrayWrites,
        Self::Wakes,
        Self::Paused,
        Self::Placed,
    ];

    /// Its name, as everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneHolder => "ONE-HOLDER",
            Self::Evidence => "EVIDENCE",
            Self::NewestView => "NEWEST-VIEW",
            Self::Lease => "LEASE",
            Self::UnknownIsNotNo => "UNKNOWN-IS-NOT-NO",
            Self::NoFlap => "NO-FLAP",
            Self::Follows => "FOLLOWS",
            Self::Restored => "RESTORED",
            Self::NoStrayWrites => "NO-STRAY-WRITES",
            Self::Wakes => "WAKES",
            Self::Paused => "PAUSED",
            Self::Placed => "PLACED",
        }
    }

    /// What it says, to whoever runs the database. docs/invariants.md has the same sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::OneHolder => "Two hosts that can hear each other never have the VIP at the same time.",
            Self::Evidence => {
                "A host takes the VIP only after its own server, its gateway and the network have just been asked, twice, and agreed."
            }
            Self::NewestView => {
                "No host claims or keeps the VIP on a view of the group that is older than the newest it has seen."
            }
            Self::Lease => {
                "The kernel drops the VIP by itself at the end of its lease, and only an agent that still has a reason to hold it renews it."
            }
            Self::UnknownIsNotNo => {
                "A server that does not answer neither gets the VIP nor loses it at once."
            }
            Self::NoFlap => {
                "The primary that is well keeps the VIP: it lets go of nothing on a first word, and never for no reason."
            }
            Self::Follows => {
                "Once the group has a writable primary and the network is whole, the VIP is there within the budget."
            }
            Self::Restored => {
                "What the agent changes in the server (the expel timeout) it changes only on account of a member that is proven dead, and puts back."
            }
            Self::NoStrayWrites => {
                "The VIP does not lead clients to a server that takes writes outside the group."
            }
            Self::Paused => {
                "A paused agent takes nothing, has nobody expelled sooner, and lets go only of what another claims or may have."
            }
            Self::Placed => {
                "Once nothing changes any more each reader VIP is on one host that is fit to serve, as evenly as can be, and none has moved that need not."
            }
            Self::Wakes => "An agent always says when it will look again, and that is never in the past.",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How an invariant is broken, in words that follow the name of whoever breaks it: "takes the VIP after 2 probes …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub words: String,
}

impl Breach {
    pub(crate) fn new(invariant: Invariant, words: impl Into<String>) -> Self {
        Self { invariant, words: words.into() }
    }
}

/// An invariant was broken, at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// When.
    pub at: Time,
    /// Which.
    pub invariant: Invariant,
    /// By whom, and how.
    pub words: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.words)
    }
}
