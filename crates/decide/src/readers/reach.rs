//! Whether this host reaches enough of the other members' hosts on the segment to serve readers.
//!
//! A host that is cut off there alone has all that serving takes: its server is ONLINE with the majority, since the group's traffic goes
//! another way, and its gateway answers. The others have no word from it, and take what it has 8 s after the last. So it counts whom it
//! reaches itself, and gives up what it has before that. Of two sides that do not reach each other one at the most is enough.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::facts::Reach;
use crate::fitness::Fitness;
use crate::input::{GroupView, Member, MemberState, Role};
use crate::moment::{LEARN_AT_MOST_EVERY, Moment};
use crate::output::Output;
use crate::planted::planted;
use crate::timers::Timer;

/// Asks the members' hosts for their addresses, each second: their kernels answer, whatever became of their agents, and an answer shows
/// that frames pass both ways. None: whom this host is to reach is not known, for its server shows no group.
pub(crate) fn reach(at: Moment<'_>, out: &mut Output) -> Option<Reach> {
    at.learn_neighbors(out);
    let asked = if out.learns { at.now } else { at.facts.neighbors.learnt_at.unwrap_or(at.now) };
    out.wake(Timer::AskMembers, asked + LEARN_AT_MOST_EVERY);
    let neighbors = &at.facts.neighbors;
    let changes = at.group.members.keys().filter_map(|member| neighbors.reach_changes_at(*member, at.now));
    if let Some(then) = changes.min() {
        out.wake(Timer::AskMembers, then);
    }
    let reach = Others::of(at)?.reach(at);
    Some(if planted!(at.group, ServeReadersCutOff) { Reach { enough: Some(true), ..reach } } else { reach })
}

/// How many answer, and how many may: what is not known counts neither way.
#[derive(Clone, Copy, Default)]
struct Count {
    answered: usize,
    unknown: usize,
    all: usize,
}

/// The other members that are ONLINE by the local server's view.
struct Others<'a> {
    view: &'a GroupView,
    /// Where those are whose address is known.
    known: Vec<IpAddr>,
    /// How many others there are: which of the addresses below is whose is not known.
    elsewhere: usize,
    /// The members' addresses that are nobody's yet.
    free: Vec<IpAddr>,
}

impl<'a> Others<'a> {
    fn of(at: Moment<'a>) -> Option<Self> {
        let (view, own) = (at.facts.own_view()?, at.own_address()?);
        let others = move || view.members.iter().filter(move |member| member.id != view.local);
        let taken: BTreeSet<IpAddr> = others().filter_map(|member| address_of(at, member)).collect();
        let mut these = Self { view, known: Vec::new(), elsewhere: 0, free: Vec::new() };
        for member in others().filter(|member| member.state == MemberState::Online) {
            match address_of(at, member) {
                Some(address) => these.known.push(address),
                None => these.elsewhere += 1,
            }
        }
        let addresses = at.group.members.keys().copied();
        these.free = addresses.filter(|address| *address != own && !taken.contains(address)).collect();
        Some(these)
    }

    fn reach(&self, at: Moment<'_>) -> Reach {
        let mut count = counted(at, &self.known);
        // Of hosts that can't be told apart as many are taken for ONLINE members as there may be, those that answer first. A member that
        // has no address here can't be asked.
        let free = counted(at, &self.free);
        let elsewhere = self.elsewhere.min(free.all);
        let answered = free.answered.min(elsewhere);
        count.all += elsewhere;
        count.answered += answered;
        count.unknown += free.unknown.min(elsewhere - answered);
        let primary = self.primary_is_reached(at);
        let enough = if is_enough(count.answered, count.all, primary == Some(true)) {
            Some(true)
        } else if is_enough(count.answered + count.unknown, count.all, primary != Some(false)) {
            None
        } else {
            Some(false)
        };
        Reach { answered: count.answered, others: count.all, enough }
    }

    /// The primary is among those counted: this host's server, or another.
    fn primary_is_reached(&self, at: Moment<'_>) -> Option<bool> {
        let is_primary =
            |member: &&Member| member.role == Role::Primary && member.state == MemberState::Online;
        let Some(primary) = self.view.members.iter().find(is_primary) else { return Some(false) };
        if primary.id == self.view.local {
            return Some(true);
        }
        let is_reached = |address: IpAddr| at.facts.neighbors.is_reached(address, at.now);
        if let Some(address) = address_of(at, primary) {
            return is_reached(address);
        }
        // Its own agent says that its host is the primary's.
        let words = at.facts.readers.words(at.now);
        let says_so = |address: &&IpAddr| words.get(*address) == Some(&Fitness::Primary);
        self.free.iter().find(says_so).map_or(Some(false), |address| is_reached(*address))
    }
}

fn counted(at: Moment<'_>, addresses: &[IpAddr]) -> Count {
    let each = || addresses.iter().map(|address| at.facts.neighbors.is_reached(*address, at.now));
    Count {
        answered: each().filter(|reached| *reached == Some(true)).count(),
        unknown: each().filter(Option::is_none).count(),
        all: addresses.len(),
    }
}

/// The address of a member's host, by where its server answered or by the name that it gave itself.
fn address_of(at: Moment<'_>, member: &Member) -> Option<IpAddr> {
    let answered = at.facts.peers.open.get(&member.id).map(|open| open.address);
    answered.or_else(|| member.host.parse().ok()).filter(|address| at.group.members.contains_key(address))
}

/// This host and so many of the others are more than half of all, or half of them with the primary.
fn is_enough(answered: usize, others: usize, primary: bool) -> bool {
    let (counted, all) = (2 * (1 + answered), 1 + others);
    counted > all || (counted == all && primary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_is_enough_half_only_with_the_primary_and_of_two_sides_never_both() {
        assert!(is_enough(0, 0, false), "it is the only one");
        for all in 2..=9_usize {
            for one in 1..all {
                for primary in [false, true] {
                    let (this, that) =
                        (is_enough(one - 1, all - 1, primary), is_enough(all - one - 1, all - 1, !primary));
                    assert!(!(this && that), "{one} of {all}");
                    assert!(this || that, "one side goes on: {one} of {all}");
                }
            }
        }
    }
}
