//! Serving readers, as data: how fit each member's host is by its own word, and where each reader VIP belongs.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::facts::{Facts, Reach};
use crate::fitness::Fitness;
use crate::input::{Backlog, Fact, Seen};
use crate::policy::Policy;
use crate::time::Time;

/// What one agent knows about serving readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadersStatus {
    /// How fit this host is to have reader VIPs; none: not known yet.
    pub own: Option<Fitness>,
    /// How far the local server is behind; none: nobody has asked yet.
    pub backlog: Option<BacklogStatus>,
    /// Whether its mysqld takes new clients; none: not known.
    #[serde(default)]
    pub listens: Option<bool>,
    /// How many of the other members' hosts answer on the segment; none: not known whom to ask, or from an agent that does not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// What each other member said last of its host, in order.
    pub words: Vec<WordStatus>,
    /// Where each reader VIP belongs, in order; none: not known yet.
    pub placed: Option<Vec<PlacedStatus>>,
}

/// How far the local server is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BacklogStatus {
    /// How old the question is.
    pub asked_ms: u64,
    /// Transactions that wait to be applied; none: not known.
    pub transactions: Option<u64>,
    /// How old the transaction is that was applied last, while others wait; none: not known.
    pub behind_ms: Option<u64>,
    /// Why it is not known.
    pub unknown: Option<String>,
}

/// What a member said of its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordStatus {
    /// The member.
    pub member: IpAddr,
    /// What it said.
    pub fitness: Fitness,
    /// How long ago. It is said once a second.
    pub age_ms: u64,
    /// It still counts; one that has fallen silent is not known to be fit.
    pub counts: bool,
}

/// Where a reader VIP belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedStatus {
    /// The VIP.
    pub vip: IpAddr,
    /// The member; none: nowhere, for none is fit.
    pub member: Option<IpAddr>,
}

impl ReadersStatus {
    /// As the facts stand; none: the cluster has no reader VIPs.
    pub(super) fn of(policy: &Policy, facts: &Facts, now: Time) -> Option<Self> {
        policy.reader_vips().next()?;
        let readers = &facts.readers;
        let counting = readers.words(now);
        let word = |(member, (fitness, at)): (&IpAddr, &(Fitness, Time))| WordStatus {
            member: *member,
            fitness: *fitness,
            age_ms: milliseconds(now.since(*at)),
            counts: counting.contains_key(member),
        };
        let placed = readers.placed.as_ref().map(|placed| {
            let of_vip =
                |vip| Some(PlacedStatus { vip: policy.address_of(vip)?, member: placed.get(&vip).copied() });
            policy.reader_vips().filter_map(of_vip).collect()
        });
        Some(Self {
            own: readers.own,
            backlog: readers.backlog.as_ref().map(|seen| backlog(seen, now)),
            listens: readers.listens(now),
            reach: readers.reach,
            words: readers.said.iter().map(word).collect(),
            placed,
        })
    }

    /// Each age is higher by so many milliseconds. Whether a word counts is as it was then.
    pub(super) fn grow(&mut self, by: u64) {
        let ages = self.words.iter_mut().map(|word| &mut word.age_ms);
        let asked = self.backlog.iter_mut().map(|backlog| &mut backlog.asked_ms);
        ages.chain(asked).for_each(|age| *age = age.saturating_add(by));
    }

    /// Where this VIP belongs; none: not known, or it is none for readers.
    pub fn place_of(&self, vip: IpAddr) -> Option<&PlacedStatus> {
        self.placed.as_ref()?.iter().find(|placed| placed.vip == vip)
    }
}

fn backlog(seen: &Seen<Backlog>, now: Time) -> BacklogStatus {
    let asked_ms = milliseconds(now.since(seen.asked_at));
    match &seen.fact {
        Fact::Known(Backlog { transactions, age }) => BacklogStatus {
            asked_ms,
            transactions: Some(*transactions),
            behind_ms: Some(milliseconds(*age)),
            unknown: None,
        },
        Fact::Unknown(why) => {
            BacklogStatus { asked_ms, transactions: None, behind_ms: None, unknown: Some(why.to_string()) }
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
