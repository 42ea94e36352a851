//! What a server's own word of its group entitles its host to: to start the VIP, to keep it, to keep it until it is claimed, or
//! to nothing. The table of stages, the claim and the dispute all read this.
//!
//! Role and `super_read_only` are taken together, because they change apart: `group_replication_set_as_primary` flips the
//! roles at once, and for as long as the new primary applies what it had queued the old one is SECONDARY and takes writes, the new
//! one PRIMARY and takes none (seconds, or as long as it lasts under a backup's lock). What the old one is given to write meanwhile
//! the group certifies and has: clients are served there, and nowhere else.

use crate::input::{GroupView, MemberState, Role, ViewId};
use crate::output::findings::{Cause, Finding};
use crate::planted::planted;
use crate::policy::GroupPolicy;

/// What a server is entitled to, by its own word and the newest view that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entitlement {
    /// The writable primary, ONLINE with a majority, in no view that the group has left: to start the VIP.
    Start,
    /// The primary, and read-only: to keep it. No other member can be the primary in that view, and taking the address away
    /// would cost its readers too.
    Keep,
    /// A secondary that still takes writes, in the majority of the newest view: to keep it until the primary, writable by
    /// then, claims it. One that was made writable by hand has the same right, and never starts the VIP.
    KeepUntilClaimed,
    /// Nothing, for this reason.
    Nothing(Cause),
}

impl Entitlement {
    /// Of the server that showed this view; `newest`: the newest view known of its group.
    pub fn of(policy: &GroupPolicy, view: &GroupView, newest: Option<&ViewId>) -> Self {
        let Some(local) = view.local_member() else { return Self::Nothing(Cause::NotListed) };
        if local.state != MemberState::Online {
            return Self::Nothing(Cause::NotOnline(local.state));
        }
        if !view.has_majority() && !planted!(policy, DropMajorityRule) {
            let (unreachable, members) = (view.unreachable(), view.members.len());
            return Self::Nothing(Cause::NoMajority { unreachable, members });
        }
        let primary = local.role == Role::Primary;
        if !primary && view.super_read_only {
            return Self::Nothing(Cause::Secondary);
        }
        if let (Some(own), Some(newest)) = (&view.view, newest)
            && newest.is_newer_than(own)
            && !planted!(policy, IgnoreNewerViews)
        {
            return Self::Nothing(Cause::StaleView { own: own.clone(), newest: newest.clone() });
        }
        match (primary, view.super_read_only) {
            (true, false) => Self::Start,
            (true, true) => Self::Keep,
            (false, _) => Self::KeepUntilClaimed,
        }
    }

    /// Whether a server may serve readers at all: ONLINE with a majority, in no view that the group has left, whatever its role.
    ///
    /// # Errors
    /// Why it may not.
    pub fn to_serve_readers(
        policy: &GroupPolicy,
        view: &GroupView,
        newest: Option<&ViewId>,
    ) -> Result<(), Cause> {
        let Some(local) = view.local_member() else { return Err(Cause::NotListed) };
        if local.state != MemberState::Online {
            return Err(Cause::NotOnline(local.state));
        }
        if !view.has_majority() && !planted!(policy, DropMajorityRule) {
            let (unreachable, members) = (view.unreachable(), view.members.len());
            return Err(Cause::NoMajority { unreachable, members });
        }
        match (&view.view, newest) {
            (Some(own), Some(newest)) if newest.is_newer_than(own) && !planted!(policy, IgnoreNewerViews) => {
                Err(Cause::StaleView { own: own.clone(), newest: newest.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Stage 3 of the legacy program's table (S11).
    pub fn finding(self) -> Finding {
        match self {
            Self::Start => Finding::Passed,
            Self::Keep => Finding::Failed(Cause::ReadOnly),
            Self::KeepUntilClaimed => Finding::Failed(Cause::SecondaryWritable),
            Self::Nothing(cause) => Finding::Failed(cause),
        }
    }

    /// Whether who has it has the better right to the VIP than a holder that has `holders`.
    pub fn is_better_than(&self, holders: &Self) -> bool {
        *self == Self::Start && *holders != Self::Start
    }
}

impl Cause {
    /// Where nothing else fails, a VIP that is here stays: stage 3 fails for a start alone.
    pub fn lets_keep(&self) -> bool {
        matches!(self, Self::ReadOnly | Self::SecondaryWritable | Self::PlacedOn(_) | Self::NoReader)
    }
}
