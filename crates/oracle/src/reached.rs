//! Whom an agent could know its host to reach on the segment, as far as a reader VIP's judge needs it: whoever reaches too few may not
//! have one.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::inputs::{Action, Event, Fact, GroupPolicy, GroupView, Member, MemberState, Role, Server, Time};

/// An answer shows for so long that a host is reached.
const REACHED_FOR: Duration = Duration::from_secs(4);
/// One that has given none is asked so often before it counts as not reached.
const QUESTIONS: usize = 3;
/// So many questions are remembered.
const REMEMBERED: usize = 32;

/// What was asked, and who answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reached {
    answered: BTreeMap<IpAddr, Time>,
    asked: VecDeque<Time>,
    /// How many members the server shows ONLINE, itself among them, and whether it is the primary; none: it shows no group.
    online: Option<(usize, bool)>,
}

impl Reached {
    pub(crate) fn told(&mut self, event: &Event, now: Time) {
        match event {
            Event::Neighbor { address, .. } => drop(self.answered.insert(*address, now)),
            Event::Server(seen) => match &seen.fact {
                Fact::Known(Server::Member(view)) => self.online = Some(online(view)),
                Fact::Known(_) => self.online = None,
                Fact::Unknown(_) => {}
            },
            _ => {}
        }
    }

    pub(crate) fn ordered(&mut self, actions: &[Action], now: Time) {
        if actions.contains(&Action::LearnNeighbors) {
            self.asked.push_back(now);
            if self.asked.len() > REMEMBERED {
                self.asked.pop_front();
            }
        }
    }

    /// Too few of the ONLINE members may be reached: it may let go. Whose address is whose is not known here: as many of those that answer as
    /// there may be are taken for members that are not ONLINE, and the primary for one that does not.
    pub(crate) fn may_be_too_few(&self, policy: &GroupPolicy, now: Time) -> bool {
        let Some((online, leads)) = self.online else { return false };
        let elsewhere = policy.members.len().saturating_sub(online);
        let reached = 1 + self.answering(policy, now).saturating_sub(elsewhere);
        2 * reached < online || (2 * reached == online && !leads)
    }

    /// Too few of them are reached, whoever it is that answers: it may not take the VIP.
    pub(crate) fn are_too_few(&self, policy: &GroupPolicy, now: Time) -> bool {
        let Some((online, leads)) = self.online else { return false };
        let reached = 1 + self.answering(policy, now).min(online.saturating_sub(1));
        2 * reached < online || (2 * reached == online && reached == 1 && !leads)
    }

    /// How many others answer, or have not been asked for long enough.
    fn answering(&self, policy: &GroupPolicy, now: Time) -> usize {
        let is_silent = |member: &&IpAddr| {
            let heard = self.answered.get(*member);
            let since = self.asked.iter().filter(|asked| heard.is_none_or(|heard| *asked > heard));
            heard.is_none_or(|heard| now.since(*heard) >= REACHED_FOR) && since.count() >= QUESTIONS
        };
        // This host's own address never answers it.
        let silent = policy.members.keys().filter(is_silent).count();
        policy.members.len().saturating_sub(silent.max(1))
    }

    pub(crate) fn grow_older(&mut self, by: Duration) {
        self.answered.values_mut().chain(&mut self.asked).for_each(|at| *at = *at - by);
    }
}

fn online(view: &GroupView) -> (usize, bool) {
    let online = view.members.iter().filter(|member| member.state == MemberState::Online).count();
    let leads = |local: &Member| local.role == Role::Primary;
    (online, view.local_member().is_some_and(leads))
}
