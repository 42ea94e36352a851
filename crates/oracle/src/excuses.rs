//! When an invariant is seen to be broken and nobody is to blame: each excuse has a name, a reason and a place where it is
//! documented, and is counted whenever it was needed. What is not in this table excuses nothing.

use core::fmt;

/// An excuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Excuse {
    /// ONE-HOLDER.
    Apart,
    /// ONE-HOLDER.
    FramesLost,
    /// ONE-HOLDER.
    Settling,
    /// ONE-HOLDER.
    AgentDoesNotRun,
    /// LEASE, NEWEST-VIEW.
    StoodStill,
    /// NO-FLAP, UNKNOWN-IS-NOT-NO.
    AllForgotten,
    /// NO-FLAP, UNKNOWN-IS-NOT-NO.
    Contested,
    /// NO-FLAP.
    Beside,
    /// NO-FLAP, UNKNOWN-IS-NOT-NO.
    GivenUp,
    /// NO-STRAY-WRITES.
    NotToldYet,
    /// NO-STRAY-WRITES.
    TurnedAway,
    /// FOLLOWS.
    AnotherHasIt,
    /// FOLLOWS.
    JustRemoved,
    /// FOLLOWS.
    Paused,
}

impl Excuse {
    /// Each, in the order of the table.
    pub const EACH: [Self; 14] = [
        Self::Apart,
        Self::FramesLost,
        Self::Settling,
        Self::AgentDoesNotRun,
        Self::StoodStill,
        Self::AllForgotten,
        Self::Contested,
        Self::Beside,
        Self::GivenUp,
        Self::NotToldYet,
        Self::TurnedAway,
        Self::AnotherHasIt,
        Self::JustRemoved,
        Self::Paused,
    ];

    /// Its name, its reason, and the heading under which that is documented.
    pub const fn entry(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Apart => {
                ("apart", "the holders do not hear each other, so neither can have asked the other", LEASE)
            }
            Self::FramesLost => (
                "frames lost",
                "frames are lost or late: measured, and bounded by the post-claim check",
                LEASE,
            ),
            Self::Settling => (
                "settling",
                "they have just begun to hear each other, and have so long to settle it",
                PROTOCOL,
            ),
            Self::AgentDoesNotRun => (
                "agent does not run",
                "one holder's agent does not run, was cut off or overruled: its lease ends it",
                LEASE,
            ),
            Self::StoodStill => (
                "stood still",
                "the agent stood still after the first \"no\": it asks again, and waits from then on",
                PAUSES,
            ),
            Self::AllForgotten => (
                "all forgotten",
                "the agent stood still for half its lease, or its clocks parted: what it knew is gone",
                PAUSES,
            ),
            Self::Contested => (
                "contested",
                "another claims the address or says that it has it: that is settled within the dispute's limit",
                PROTOCOL,
            ),
            Self::Beside => (
                "beside another",
                "the holder has just taken the address beside another one, and puts that right",
                PROTOCOL,
            ),
            Self::GivenUp => {
                ("given up", "the operator had the VIP given up: `haipmgr stop --release`", STOPPING)
            }
            Self::NotToldYet => (
                "not told yet",
                "the agent, or what watches its server, was held up: the lease bounds it",
                PAUSES,
            ),
            Self::TurnedAway => (
                "turned away",
                "the server has turned the agent away ever since it started: nothing contradicts that it leads",
                JUDGED,
            ),
            Self::AnotherHasIt => (
                "another has it",
                "a stranger, a switch or a host without an agent answers for the address: it is not taken",
                PROTOCOL,
            ),
            Self::Paused => {
                ("paused", "the operator has paused the primary's agent: it takes nothing", OPERATOR)
            }
            Self::JustRemoved => {
                ("just removed", "somebody removed the address a moment ago: it is being put back", JUDGED)
            }
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.entry().0
    }
}

/// Headings, of whichever document has them.
const LEASE: &str = "When two hosts could hold the VIP";
const PROTOCOL: &str = "Dispute: a member claims what is held here";
const PAUSES: &str = "Pauses";
const STOPPING: &str = "Stopping, restarting, upgrading the agent";
const OPERATOR: &str = "Fault by fault";
const JUDGED: &str = "How each is judged";

/// How often each excuse was needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Excuse::EACH.len()]);

impl Counts {
    /// This one was needed once more; none: none was.
    pub fn count(&mut self, excuse: impl Into<Option<Excuse>>) {
        if let Some(excuse) = excuse.into() {
            self.0[excuse as usize] += 1;
        }
    }

    /// Together with those of another run.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// How often this one was needed.
    pub fn of(&self, excuse: Excuse) -> u64 {
        self.0[excuse as usize]
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("excuses:")?;
        let mut separator = " ";
        for excuse in Excuse::EACH.into_iter().filter(|excuse| self.of(*excuse) > 0) {
            write!(f, "{separator}{} {}", excuse.name(), self.of(excuse))?;
            separator = ", ";
        }
        if separator == " " { f.write_str(" none was needed") } else { Ok(()) }
    }
}
