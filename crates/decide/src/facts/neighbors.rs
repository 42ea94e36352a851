//! The members' hardware addresses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::net::{Mac, VipId};
use crate::time::Time;

/// So many questions are remembered: four a second while a member is UNREACHABLE, for longer than a silence has to last.
const REMEMBERED: usize = 32;

/// A member says which it is once a second. A hardware address that has not said so for this long is not the member's any more where
/// another says so.
const WORD_HOLDS_FOR: Duration = Duration::from_secs(3);

/// So many that say they are the same member are remembered: two are enough for neither to be.
const REMEMBERED_FOR_A_MEMBER: usize = 4;

/// An answer that comes later than this after a question is to another one: on a segment it takes milliseconds.
const ANSWERED_WITHIN: Duration = Duration::from_millis(250);

/// A host that has answered no longer ago than this is reached; one that never has is given as long.
const REACHED_FOR: Duration = Duration::from_secs(4);
/// It has been asked for so long meanwhile: within these 4 s, a second apart.
const ASKED_FOR: Duration = Duration::from_millis(2_500);
/// Two questions that are put within this time count as one: of a burst all answers may be lost together.
const COUNTS_APART: Duration = Duration::from_millis(900);

/// The hosts on the segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Neighbors {
    /// Members' hardware addresses.
    pub macs: BTreeMap<IpAddr, Mac>,
    /// When each member's host was last heard to answer for its own address.
    pub alive_at: BTreeMap<IpAddr, Time>,
    /// When the members' hardware addresses were last asked for because of an unknown one.
    pub learnt_at: Option<Time>,
    /// Of which VIPs neighbors can't be heard at present, on the VIP's interface and in its family.
    #[serde(default)]
    pub not_heard: BTreeSet<VipId>,
    /// The last questions for the members' addresses, in order, everything being heard all the while since; only where silent hosts are
    /// expelled, or the cluster has reader VIPs.
    #[serde(default)]
    pub questions: VecDeque<Question>,
    /// Who said which member it is, on each interface that only VIPs are on
    /// ([`interface_elsewhere`](crate::policy::Policy::interface_elsewhere)).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub introduced: BTreeMap<VipId, Introduced>,
}

/// Who said on one interface, which only VIPs are on, that it is which member: of each member the hardware addresses that did, and when
/// each did last.
pub type Introduced = BTreeMap<IpAddr, Vec<(Mac, Time)>>;

/// The members were asked for their addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Question {
    /// When.
    pub at: Time,
    /// Who has answered since, and before the next question.
    pub answered: BTreeSet<IpAddr>,
}

impl Neighbors {
    /// The member that owns this hardware address, another than this host.
    pub fn member_of(&self, mac: Mac) -> Option<IpAddr> {
        self.macs.iter().find(|(_, known)| **known == mac).map(|(member, _)| *member)
    }

    /// The member that owns this hardware address on an interface which only VIPs are on, by its own word. Of two that say they are the
    /// same member neither is.
    pub fn introduced_as(&self, elsewhere: VipId, mac: Mac) -> Option<IpAddr> {
        let is_it =
            |(_, macs): &(&IpAddr, &Vec<(Mac, Time)>)| matches!(macs.as_slice(), [(only, _)] if *only == mac);
        self.introduced.get(&elsewhere)?.iter().find(is_it).map(|(member, _)| *member)
    }

    /// The hardware address of this member on an interface which only VIPs are on.
    pub fn mac_elsewhere(&self, elsewhere: VipId, member: IpAddr) -> Option<Mac> {
        match self.introduced.get(&elsewhere)?.get(&member)?.as_slice() {
            [(mac, _)] => Some(*mac),
            _ => None,
        }
    }

    /// The questions that this member's host has not answered, in order; none where it was never heard to answer: then its silence
    /// says nothing.
    pub fn unanswered_by(&self, member: IpAddr) -> Option<impl Iterator<Item = &Question>> {
        let alive_at = *self.alive_at.get(&member)?;
        Some(self.questions.iter().filter(move |question| question.at > alive_at))
    }

    /// Whether this member's host answers on the segment: within the last 4 s, or not although it was asked three times in that time. None:
    /// not known. An agent that stood still has asked nobody meanwhile, and one that can't hear has heard no answer.
    pub fn is_reached(&self, member: IpAddr, now: Time) -> Option<bool> {
        if self.reached_until(member).is_some_and(|until| now < until) {
            return Some(true);
        }
        self.out_of_reach_at(member).filter(|at| now >= *at).map(|_| false)
    }

    /// When what [`Self::is_reached`] says changes by time alone, if it does.
    pub(crate) fn reach_changes_at(&self, member: IpAddr, now: Time) -> Option<Time> {
        let changes = [self.reached_until(member), self.out_of_reach_at(member)];
        changes.into_iter().flatten().filter(|at| *at > now).min()
    }

    fn reached_until(&self, member: IpAddr) -> Option<Time> {
        self.alive_at.get(&member).map(|heard| *heard + REACHED_FOR)
    }

    /// When it is out of reach, by the questions that were put so far.
    fn out_of_reach_at(&self, member: IpAddr) -> Option<Time> {
        let heard = self.alive_at.get(&member);
        let questions = self.questions.iter().map(|question| question.at);
        let mut apart: Vec<Time> = Vec::new();
        for asked in questions.filter(|at| heard.is_none_or(|heard| at > heard)) {
            if apart.last().is_none_or(|last| asked.since(*last) >= COUNTS_APART) {
                apart.push(asked);
            }
        }
        let [first, _, third, ..] = apart.as_slice() else { return None };
        let silent = self.reached_until(member).unwrap_or(*first + REACHED_FOR);
        Some(silent.max(*first + ASKED_FOR).max(*third + ANSWERED_WITHIN))
    }

    pub(super) fn note_question(&mut self, now: Time) {
        if !self.not_heard.is_empty() || self.questions.back().is_some_and(|last| last.at == now) {
            return;
        }
        if self.questions.len() >= REMEMBERED {
            self.questions.pop_front();
        }
        self.questions.push_back(Question { at: now, answered: BTreeSet::new() });
    }

    /// Answers to what was asked before may never have been heard.
    /// What is said about this VIP can be heard, or no longer: an answer may have been missed meanwhile.
    pub(super) fn receive_changes(&mut self, vip: VipId, up: bool) {
        if up {
            self.not_heard.remove(&vip);
        } else {
            self.not_heard.insert(vip);
        }
        self.forget_questions();
    }

    /// The members are to be asked again as soon as anybody wants to know.
    pub(super) fn ask_anew(&mut self) {
        self.learnt_at = None;
    }

    /// A host said on an interface which only VIPs are on that it is this member.
    pub(super) fn take_in_word(&mut self, elsewhere: VipId, member: IpAddr, mac: Mac, now: Time) {
        let said = self.introduced.entry(elsewhere).or_default();
        for (other, macs) in &mut *said {
            // The same interface, of which its last word counts; or, of the same member, one that was replaced.
            let is_past = |at: Time| *other == member && now.since(at) >= WORD_HOLDS_FOR;
            macs.retain(|(known, at)| *known != mac && !is_past(*at));
        }
        said.retain(|_, macs| !macs.is_empty());
        let macs = said.entry(member).or_default();
        if macs.len() < REMEMBERED_FOR_A_MEMBER {
            macs.push((mac, now));
        }
    }

    pub(super) fn forget_questions(&mut self) {
        self.questions.clear();
    }

    pub(super) fn take_in(&mut self, member: IpAddr, mac: Mac, now: Time) {
        self.macs.insert(member, mac);
        self.alive_at.insert(member, now);
        // Others ask by themselves too: what comes later than an answer takes is the answer to another question.
        if let Some(question) = self.questions.back_mut().filter(|last| now.since(last.at) <= ANSWERED_WITHIN)
        {
            question.answered.insert(member);
        }
    }
}
