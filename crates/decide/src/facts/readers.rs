//! What is known about serving readers: each member's own word of how fit its host is, who has each reader VIP, how far the local server
//! is behind; and what this host made of it last.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reach::Reach;
use crate::fitness::Fitness;
use crate::input::{Backlog, Fact, Says, Seen};
use crate::net::VipId;
use crate::policy::GroupPolicy;
use crate::time::Time;

/// A member says how fit its host is once a second. After three words that did not come, it is not known to be fit.
const WORD_HOLDS_FOR: Duration = Duration::from_secs(3);
/// A host that is cut off from the others lets go by itself: without its gateway within 5.3 s, without the majority within 6.3 s, without
/// enough of the other members' hosts on the segment 4 s after their last answer and a second look at its server. Its last word may be a
/// second older than that. Until then it may have what it had, and can't be asked.
const LETS_GO_WITHIN: Duration = Duration::from_secs(8);
/// An agent that has just begun to listen has heard every member after so long, but for lost frames.
const ALL_HEARD_AFTER: Duration = Duration::from_millis(1_500);
/// Each agent asks who has the reader VIPs with every look at everything (`sleeptime`): after so many questions without an answer, the
/// last one a second ago, nobody is known to have it.
const QUESTIONS_UNANSWERED: u32 = 3;
const LAST_ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// The local server is asked once a second how far it is behind. What it said longer ago says nothing.
const BACKLOG_KNOWN_FOR: Duration = Duration::from_secs(5);
/// Whether it listens is looked at once a second. What was seen longer ago says nothing.
const LISTENS_KNOWN_FOR: Duration = Duration::from_secs(5);

/// What is known about serving readers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Readers {
    /// Since when words and holders can be heard; none: not yet.
    pub listens_since: Option<Time>,
    /// What each other member said last, and when.
    pub said: BTreeMap<IpAddr, (Fitness, Time)>,
    /// Which member was last heard, or seen here, to have each reader VIP, and when.
    pub holders: BTreeMap<VipId, (IpAddr, Time)>,
    /// How far the local server is behind; none: not asked.
    pub backlog: Option<Seen<Backlog>>,
    /// Whether the local mysqld listens for clients; none: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listens: Option<Seen<bool>>,
    /// How many of the other members' hosts answer on the segment, as of the last decision; none: not known whom to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// How fit this host is, as of the last decision; none: not known yet.
    pub own: Option<Fitness>,
    /// Where each reader VIP belongs, as of the last decision; none: not known yet.
    pub placed: Option<BTreeMap<VipId, IpAddr>>,
}

impl Readers {
    /// The cluster has no reader VIPs: a trace need not say so.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Nothing that was heard counts any more.
    pub(super) fn forget(&mut self) {
        *self = Self { own: self.own, ..Self::default() };
    }

    /// A member said this about a reader VIP. Gives whether it is heard again, after a silence.
    pub(super) fn take_in_frame(&mut self, vip: VipId, member: IpAddr, says: Says, now: Time) -> bool {
        match says {
            Says::Fitness(fitness) => {
                let before = self.said.insert(member, (fitness, now));
                return before.is_none_or(|(_, at)| now.since(at) >= WORD_HOLDS_FOR);
            }
            Says::Reply | Says::Announcement => {
                self.holders.insert(vip, (member, now));
            }
            // Reader VIPs are on the members' own interface, where nobody need say who it is.
            Says::Member(_) => {}
            // Who asks for it, or lets go of it, does not have it.
            Says::Probe | Says::Release { .. } | Says::ReleaseToOthers => {
                if self.holders.get(&vip).is_some_and(|(holder, _)| *holder == member) {
                    self.holders.remove(&vip);
                }
            }
        }
        false
    }

    /// Frames about a reader VIP can be heard from now on, or no longer: what was said meanwhile was missed.
    pub(super) fn receive_changes(&mut self, up: bool, now: Time) {
        self.listens_since = up.then_some(now);
    }

    pub(super) fn take_in_backlog(&mut self, seen: &Seen<Backlog>) {
        if self.backlog.as_ref().is_none_or(|known| known.asked_at <= seen.asked_at) {
            self.backlog = Some(seen.clone());
        }
    }

    pub(super) fn take_in_listens(&mut self, seen: &Seen<bool>) {
        if self.listens.as_ref().is_none_or(|known| known.asked_at <= seen.asked_at) {
            self.listens = Some(seen.clone());
        }
    }

    /// Who answers on the segment. A host that was cut off has heard nobody meanwhile: it begins to listen anew, for the first that it
    /// hears again may not be the one that has what it had. Not while a reader VIP is here still: then it was too short for the others to take any.
    pub(crate) fn note_reach(&mut self, reach: Option<Reach>, has_one: bool, now: Time) {
        if self.is_cut_off() && !has_one && !reach.is_some_and(|reach| reach.is_cut_off()) {
            self.listens_since = Some(now);
        }
        self.reach = reach;
    }

    /// Too few of the other members' hosts answer on the segment.
    pub fn is_cut_off(&self) -> bool {
        self.reach.is_some_and(|reach| reach.is_cut_off())
    }

    /// Enough of them answer.
    pub fn reaches_enough(&self) -> bool {
        self.reach.is_some_and(|reach| reach.enough == Some(true))
    }

    /// How fit this host is.
    pub(crate) fn note_own(&mut self, own: Option<Fitness>, now: Time) {
        self.listens_since.get_or_insert(now);
        self.own = own;
    }

    /// These are here: as the others remember it of this host when they are gone without its having let go, so does this host.
    pub(crate) fn note_here(&mut self, vips: &[VipId], own: IpAddr, now: Time) {
        self.holders.extend(vips.iter().map(|vip| (*vip, (own, now))));
    }

    /// Where each reader VIP belongs.
    pub(crate) fn note_placed(&mut self, placed: Option<BTreeMap<VipId, IpAddr>>) {
        self.placed = placed;
    }

    /// Whether each member that is fit has been heard to say so by now, and each holder that it has a VIP.
    pub fn has_heard_all(&self, now: Time) -> bool {
        self.listens_since.is_some_and(|since| now.since(since) >= ALL_HEARD_AFTER)
    }

    /// When that will be.
    pub(crate) fn heard_all_at(&self) -> Option<Time> {
        self.listens_since.map(|since| since + ALL_HEARD_AFTER)
    }

    /// What each other member says of its host; of one that has fallen silent nothing is known.
    pub fn words(&self, now: Time) -> BTreeMap<IpAddr, Fitness> {
        let known = |(_, (_, at)): &(&IpAddr, &(Fitness, Time))| now.since(*at) < WORD_HOLDS_FOR;
        self.said.iter().filter(known).map(|(member, (fitness, _))| (*member, *fitness)).collect()
    }

    /// The other members that have fallen silent, and may still have what they had: a host without power does not, but one that is cut
    /// off does until it lets go, and neither says so.
    pub(crate) fn silent(&self, now: Time) -> impl Iterator<Item = IpAddr> {
        let may_have = move |(_, (fitness, at)): &(&IpAddr, &(Fitness, Time))| {
            let silent_for = now.since(*at);
            *fitness != Fitness::Unfit && silent_for >= WORD_HOLDS_FOR && silent_for < LETS_GO_WITHIN
        };
        self.said.iter().filter(may_have).map(|(member, _)| *member)
    }

    /// Whoever is silent has been so, as far as is known here, for long enough to have let go of what it had.
    pub(crate) fn the_silent_have_let_go(&self, now: Time) -> bool {
        let silent = |at: Time| now.since(at) >= LETS_GO_WITHIN;
        self.listens_since.is_some_and(silent) && self.said.values().all(|(_, at)| silent(*at))
    }

    /// When that is so, if it is not yet.
    pub(crate) fn silent_have_let_go_at(&self, now: Time) -> Option<Time> {
        let each = self.said.values().map(|(_, at)| *at).chain(self.listens_since);
        each.map(|at| at + LETS_GO_WITHIN).max().filter(|over| *over > now)
    }

    /// When the first of these words is too old, or the first silent member has let go of what it had.
    pub(crate) fn next_silence(&self, now: Time) -> Option<Time> {
        let ends = self.said.values().flat_map(|(_, at)| [*at + WORD_HOLDS_FOR, *at + LETS_GO_WITHIN]);
        ends.filter(|over| *over > now).min()
    }

    /// Which other member has each reader VIP, as far as is known.
    pub fn holders(&self, policy: &GroupPolicy, now: Time) -> BTreeMap<VipId, IpAddr> {
        let known_for = policy.sleeptime * QUESTIONS_UNANSWERED + LAST_ANSWERED_WITHIN;
        let known = |(_, (_, at)): &(&VipId, &(IpAddr, Time))| now.since(*at) < known_for;
        self.holders.iter().filter(known).map(|(vip, (member, _))| (*vip, *member)).collect()
    }

    /// Whether the local mysqld listens for clients, where that was seen lately.
    pub fn listens(&self, now: Time) -> Option<bool> {
        let seen = self.listens.as_ref().filter(|seen| now.since(seen.asked_at) < LISTENS_KNOWN_FOR)?;
        match seen.fact {
            Fact::Known(listens) => Some(listens),
            Fact::Unknown(_) => None,
        }
    }

    /// How far the local server is behind, where it has said so lately.
    pub fn backlog(&self, now: Time) -> Option<Backlog> {
        let seen = self.backlog.as_ref().filter(|seen| now.since(seen.asked_at) < BACKLOG_KNOWN_FOR)?;
        match seen.fact {
            Fact::Known(backlog) => Some(backlog),
            Fact::Unknown(_) => None,
        }
    }
}
