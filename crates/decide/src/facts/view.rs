//! The newest view seen of the group, and the one that the local server showed last.

use serde::{Deserialize, Serialize};

use crate::input::{Fact, GroupView, MemberState, Seen, Server, ViewId};

/// What is known of the group's views.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Views {
    /// The newest view seen of the group that the local server is in (NEWEST-VIEW).
    pub newest: Option<ViewId>,
    /// The view that the local server showed last, also when it has been silent since.
    pub own: Option<ViewId>,
}

impl Views {
    /// Another member's server showed it.
    pub(super) fn take_in_peer(&mut self, seen: &Seen<Server>) {
        if let Some(view) = view_of(seen) {
            self.remember(&view);
        }
    }

    /// The local server showed it; `late`: a later question was answered before.
    pub(super) fn take_in_own(&mut self, seen: &Seen<Server>, late: bool) {
        // An answer that comes too late for all else still shows how far the group is.
        let Some(view) = view_of(seen) else { return };
        self.remember(&view);
        // A group that was born anew has no order with the one before it; ours is the one to follow.
        let other_group = |newest: &ViewId| !late && !newest.is_of_the_same_group(&view);
        if self.newest.as_ref().is_none_or(other_group) {
            self.newest = Some(view.clone());
        }
        if self.own.as_ref().is_none_or(|last| !last.is_newer_than(&view)) {
            self.own = Some(view);
        }
    }

    fn remember(&mut self, view: &ViewId) {
        if self.newest.as_ref().is_some_and(|newest| view.is_newer_than(newest)) {
            self.newest = Some(view.clone());
        }
    }
}

/// The view of a member that is ONLINE with a majority: no other's view is worth remembering.
fn view_of(seen: &Seen<Server>) -> Option<ViewId> {
    let Fact::Known(Server::Member(group)) = &seen.fact else { return None };
    let online =
        |group: &GroupView| group.local_member().is_some_and(|local| local.state == MemberState::Online);
    (online(group) && group.has_majority()).then(|| group.view.clone()).flatten()
}
