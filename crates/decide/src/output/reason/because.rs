//! Why a switch: why nobody else had the address that was taken, and why a holder let go.

use core::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::input::Why;
use crate::net::Mac;
use crate::output::findings::{Cause, Stage};

/// Why nobody else has the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vacant {
    /// This many probes in a row went unanswered.
    Unanswered(u32),
    /// The host that held it let go of it.
    Released(Mac),
    /// This member's host has it and does not yield, and its server does not lead (`takeover_after`).
    Overruled(Mac, IpAddr),
}

/// Why a holder let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetGo {
    /// This stage failed twice.
    StageFailed(Stage, Cause),
    /// A member claimed, and this stage fails here.
    ClaimedWhileFailing(IpAddr, Stage, Cause),
    /// A member claimed, and its server is the writable primary in a newer view, or in this view while ours is not.
    ClaimantLeads(IpAddr),
    /// A member claimed, its server is the writable primary, and our own server did not answer in time; or it has it too, and its
    /// server still takes writes.
    OwnSilent(IpAddr),
    /// A member claimed of whose server nothing could be learned, and ours is a secondary, though it still takes writes.
    OwnSecondary(IpAddr),
    /// Another has it too, and its server still takes writes, while ours, the primary, takes none yet.
    WritableThere(IpAddr),
    /// A member claimed, and nothing could be learned of either server in time.
    NothingKnown(IpAddr),
    /// Of a reader VIP: a member claimed it, and it belongs there.
    PlacedThere(IpAddr),
    /// Of a reader VIP: this member has it too, and both are fit; the one with the lower address keeps it.
    LowerKeepsIt(IpAddr),
    /// It was taken because nobody answered, and this member answers now: frames are lost, and it has had it all the time.
    Answered(IpAddr),
    /// A host that is no member uses the address too, and this stage fails here: it is not defended.
    ConflictWhileFailing(Mac, Stage, Cause),
    /// Not known for longer than that kind of not knowing is put up with.
    PatienceOver(Stage, Why),
    /// The agent was told to give it up.
    Told,
    /// The host was suspended for so long, past the lease's end.
    Suspended(Duration),
}

impl fmt::Display for Vacant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered(probes) => write!(f, "nobody answered {probes} probes in a row"),
            Self::Released(mac) => write!(f, "{mac} released it"),
            Self::Overruled(mac, member) => write!(
                f,
                "member {member} ({mac}) has had it for longer than takeover_after though its server is not the primary: that host may still answer for it; remove the address there"
            ),
        }
    }
}

impl fmt::Display for LetGo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StageFailed(stage, cause) => write!(f, "{stage} failed: {cause}"),
            Self::ClaimedWhileFailing(member, stage, cause) => {
                write!(f, "yielded to member {member}: {stage} fails here: {cause}")
            }
            Self::Answered(member) => {
                write!(f, "member {member} has it too: its answers to the probes were lost")
            }
            Self::PlacedThere(member) => write!(f, "yielded to member {member}: it belongs there"),
            Self::LowerKeepsIt(member) => {
                write!(f, "member {member} has it too, and of two that are fit the lower address keeps it")
            }
            Self::ClaimantLeads(member) => {
                write!(
                    f,
                    "yielded to member {member}: its server is the primary in a newer view, or ours is no longer the writable primary"
                )
            }
            Self::OwnSilent(member) => {
                write!(
                    f,
                    "yielded to member {member}: its server takes writes, and our own did not answer in time"
                )
            }
            Self::OwnSecondary(member) => {
                write!(
                    f,
                    "yielded to member {member}: our server is a secondary, and nothing could be learned of its server"
                )
            }
            Self::WritableThere(member) => {
                write!(
                    f,
                    "member {member} has it too, and its server still takes writes, while this one, the primary, takes none yet"
                )
            }
            Self::NothingKnown(member) => {
                write!(f, "yielded to member {member}: neither its server nor our own answered in time")
            }
            Self::ConflictWhileFailing(mac, stage, cause) => {
                write!(f, "{mac}, no member's interface, uses it, and {stage} fails here: {cause}")
            }
            Self::PatienceOver(stage, why) => write!(f, "{stage} has been unknown for too long: {why}"),
            Self::Told => f.write_str("this agent was told to give it up"),
            Self::Suspended(length) => write!(
                f,
                "this host was suspended for {:.1} s, longer than the lease: another member may be the primary by now",
                length.as_secs_f64()
            ),
        }
    }
}
