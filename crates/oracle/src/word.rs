//! What a server's answer comes to, in one word.

use crate::inputs::{Fact, MemberState, NotInGroup, Server, VipRole};

/// What an agent was last told of its own server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    /// Nothing yet.
    Nothing,
    /// ONLINE, PRIMARY, with a majority, in no view that is known to be old; takes writes or not.
    Leads {
        /// `super_read_only` is off.
        writable: bool,
    },
    /// ONLINE with a majority, a secondary, and it still takes writes: the VIP may stay until it is claimed.
    TakesWrites,
    /// Of a reader VIP: ONLINE with a majority, whatever its role, in no view that is known to be old.
    Serves,
    /// It answers, and does not lead; of a reader VIP: and serves nobody.
    Follows,
    /// ONLINE by its own word, and can't reach the majority.
    NoMajority,
    /// It leads by its own word, in a view that is older than one that the agent was told of.
    Stale,
    /// Its process is gone, or was since it last said anything of its group.
    Dead,
    /// It does not answer.
    Silent,
    /// It lives, and turns the question away.
    TurnsAway,
}

impl Word {
    /// A VIP that is there may stay as long as nobody claims it.
    pub(crate) const fn may_stay(self) -> bool {
        matches!(self, Self::Leads { .. } | Self::TakesWrites | Self::Serves)
    }

    /// What an answer comes to, for a VIP with this role.
    pub(crate) fn of_role(role: VipRole, fact: &Fact<Server>) -> Self {
        match (role, Self::of(fact)) {
            (VipRole::Reader, Self::Leads { .. } | Self::TakesWrites) => Self::Serves,
            (VipRole::Reader, Self::Follows) if is_online(fact) => Self::Serves,
            (_, word) => word,
        }
    }

    fn of(fact: &Fact<Server>) -> Self {
        match fact {
            Fact::Unknown(why) if why.server_lives() => Self::TurnsAway,
            Fact::Unknown(_) => Self::Silent,
            Fact::Known(Server::Refused(_)) => Self::Dead,
            Fact::Known(Server::NotInGroup(_)) => Self::Follows,
            Fact::Known(Server::Member(view)) if view.is_primary() => {
                Self::Leads { writable: !view.super_read_only }
            }
            Fact::Known(Server::Member(view)) => {
                let online = view.local_member().is_some_and(|local| local.state == MemberState::Online);
                match (online, view.has_majority()) {
                    (true, false) => Self::NoMajority,
                    (true, true) if !view.super_read_only => Self::TakesWrites,
                    _ => Self::Follows,
                }
            }
        }
    }
}

/// ONLINE by its own word, with the majority.
fn is_online(fact: &Fact<Server>) -> bool {
    let Fact::Known(Server::Member(view)) = fact else { return false };
    let online = view.local_member().is_some_and(|local| local.state == MemberState::Online);
    online && view.has_majority()
}

/// It is in no group, and does not say that it is read-only.
pub(crate) fn takes_stray_writes(fact: &Fact<Server>) -> bool {
    match fact {
        Fact::Known(Server::Member(view)) => {
            let outside = |state| matches!(state, MemberState::Offline | MemberState::Error);
            !view.super_read_only && view.local_member().is_none_or(|local| outside(local.state))
        }
        Fact::Known(Server::NotInGroup(why)) => {
            matches!(why, NotInGroup::PluginMissing | NotInGroup::NotRunning)
        }
        _ => false,
    }
}
