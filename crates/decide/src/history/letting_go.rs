//! The code of a VIP that was given up, and who claimed it.

use std::net::IpAddr;

use super::row::Code;
use crate::facts::Facts;
use crate::input::{Fact, MemberState};
use crate::output::LetGo;
use crate::output::findings::Cause;

impl Code {
    /// Why a holder let go; `facts`: what it knew then.
    pub(super) fn of_letting_go(because: &LetGo, facts: &Facts) -> Self {
        match because {
            LetGo::StageFailed(_, cause) | LetGo::ClaimedWhileFailing(_, _, cause) => Self::of_cause(cause),
            LetGo::ClaimantLeads(_) => Self::of_own_word(facts),
            LetGo::OwnSecondary(_) => Self::Switchover,
            LetGo::PlacedThere(_) => Self::Placed,
            LetGo::WritableThere(_) => Self::ReadOnly,
            LetGo::OwnSilent(_) | LetGo::NothingKnown(_) | LetGo::PatienceOver(..) => Self::ServerSilent,
            LetGo::Answered(_) | LetGo::LowerKeepsIt(_) | LetGo::ConflictWhileFailing(..) => Self::Conflict,
            LetGo::Told => Self::Drained,
            LetGo::Suspended(_) => Self::HostSuspended,
        }
    }

    fn of_cause(cause: &Cause) -> Self {
        match cause {
            Cause::NotAMember => Self::NotAMember,
            Cause::InterfaceMissing(_) | Cause::InterfaceDown(_) | Cause::NoAddressOn(_) => {
                Self::InterfaceLost
            }
            Cause::Refused(_) | Cause::StartedAnew => Self::PrimaryDied,
            Cause::NotInGroup(_) | Cause::NotListed | Cause::NotOnline(_) => Self::PrimaryLeft,
            Cause::NoMajority { .. } => Self::MajorityLost,
            Cause::Secondary | Cause::SecondaryWritable => Self::Switchover,
            Cause::ReadOnly => Self::ReadOnly,
            Cause::PlacedOn(_) | Cause::NoReader => Self::Placed,
            Cause::StaleView { .. } => Self::PrimaryCutOff,
            Cause::CutOff { .. } => Self::SegmentLost,
            Cause::GatewayLost { .. } => Self::GatewayLost,
        }
    }

    /// Another leads in a newer view: what this host's own server says of itself tells why.
    fn of_own_word(facts: &Facts) -> Self {
        let Some(view) = facts.own_view() else {
            return match &facts.server.fact {
                Fact::Known(_) => Self::PrimaryLeft,
                Fact::Unknown(_) => Self::ServerSilent,
            };
        };
        match view.local_member().map(|local| local.state) {
            Some(MemberState::Online) if !view.is_primary() && view.has_majority() => Self::Switchover,
            Some(MemberState::Online) => Self::PrimaryCutOff,
            _ => Self::PrimaryLeft,
        }
    }
}

/// The member that it was given up to.
pub(super) fn claimant(because: &LetGo) -> Option<IpAddr> {
    match because {
        LetGo::ClaimedWhileFailing(member, ..)
        | LetGo::ClaimantLeads(member)
        | LetGo::OwnSilent(member)
        | LetGo::OwnSecondary(member)
        | LetGo::WritableThere(member)
        | LetGo::NothingKnown(member)
        | LetGo::PlacedThere(member)
        | LetGo::LowerKeepsIt(member)
        | LetGo::Answered(member) => Some(*member),
        LetGo::StageFailed(..)
        | LetGo::ConflictWhileFailing(..)
        | LetGo::PatienceOver(..)
        | LetGo::Told
        | LetGo::Suspended(_) => None,
    }
}
