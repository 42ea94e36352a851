//! From what was read to candidates, obstacles and a verdict. Pure.
//!
//! | file | the one idea |
//! |---|---|
//! | `obstacles.rs` | what a switchover meets on the old primary and on the target |
//! | `words.rs` | a plan in words |

mod obstacles;
#[cfg(test)]
mod tests;
mod words;

use std::net::IpAddr;
use std::time::Duration;

use super::member::{Reading, Row, Said};
pub(crate) use obstacles::holders;
use obstacles::{on_old_primary, on_target};

/// A member with more transactions in its applier's queue is not fit: it would take seconds to take writes.
const MOST_BEHIND: u64 = 1000;
/// What is to be done, and what stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The primary of now, and its name.
    pub(crate) from: Option<(IpAddr, String)>,
    /// Every member of the configuration but the primary.
    pub(crate) candidates: Vec<Candidate>,
    /// Whom it makes the primary: address and UUID.
    pub(crate) target: Option<(IpAddr, String)>,
    /// What it would meet on the old primary and on the target.
    pub(crate) obstacles: Vec<Obstacle>,
    /// What comes of it.
    pub(crate) verdict: Verdict,
}

/// A member that may become the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its address.
    pub(crate) address: IpAddr,
    /// `MEMBER_HOST`, where it is known.
    pub(crate) name: String,
    /// Transactions in its applier's queue.
    pub(crate) queue: Option<u64>,
    /// Why it is not fit; nothing: it is.
    pub(crate) unfit: Vec<Unfit>,
    id: String,
    obstacles: Vec<Obstacle>,
}

/// Why a member is not fit to become the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Its server does not answer.
    Unreachable(String),
    /// By the primary's word.
    State(String),
    /// It is in another group than the primary, or in none.
    NotAMember,
    /// MySQL leaves the lead to the lowest version (manual, "Primary Election Algorithm").
    Version { own: String, lowest: String },
    /// Transactions in its applier's queue.
    Behind(u64),
    /// Sessions on it that would hold the switchover up.
    Blocked(usize),
}

impl Unfit {
    /// Whether MySQL would do it all the same.
    fn can_be_forced(&self) -> bool {
        matches!(self, Self::Behind(_) | Self::Blocked(_))
    }
}

/// Something on a server that a switchover meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The server.
    pub(crate) server: IpAddr,
    /// The session to end, if it is one.
    pub(crate) session: Option<u64>,
    /// What it does to the switchover.
    pub(crate) weight: Weight,
    /// In words.
    words: String,
}

/// What an obstacle does to a switchover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// It does not end by itself: refused, unless forced.
    Blocks,
    /// It may be one that does not end by itself, for it could not be looked at.
    Unknown,
    /// Its work is lost.
    Lost,
    /// The switchover waits for it.
    Slows,
    /// Good to know.
    Note,
}

/// What comes of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It can be carried out.
    Go,
    /// The wanted member is the primary.
    AlreadyThere,
    /// It is not carried out, for these reasons.
    Refused(Vec<String>),
}

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The member: address, `MEMBER_HOST` or UUID; the best, where none is named.
    pub(crate) to: Option<String>,
    /// Within how long.
    pub(crate) within: Duration,
    /// In spite of what does not end by itself.
    pub(crate) force: bool,
}

/// Makes the plan.
pub(crate) fn plan(readings: &[Reading], wanted: &Wanted) -> Plan {
    let spoke = |reading: &Reading| reading.said.clone().ok().map(|said| (reading.address, said));
    let Some((from, primary)) = readings.iter().filter_map(spoke).find(|(_, said)| said.is_primary()) else {
        return no_primary(readings);
    };
    let own = primary.own();
    let named = own.map_or_else(String::new, |own| own.host.clone());
    let others = readings.iter().filter(|reading| reading.address != from);
    let candidates: Vec<_> = others.map(|reading| candidate(reading, &primary)).collect();
    let mut obstacles = on_old_primary(from, &primary, wanted.within);
    let is_wanted = |address: IpAddr, name: &str, id: &str| {
        let same = |to: &String| *to == address.to_string() || to == name || to == id;
        wanted.to.as_ref().is_some_and(same)
    };
    let from = Some((from, named.clone()));
    if from.as_ref().is_some_and(|(address, _)| is_wanted(*address, &named, &primary.id)) {
        return Plan { from, candidates, target: None, obstacles, verdict: Verdict::AlreadyThere };
    }
    let chosen = match &wanted.to {
        Some(_) => candidates.iter().find(|one| is_wanted(one.address, &one.name, &one.id)),
        None => best(&candidates, wanted.force),
    };
    let reasons = match chosen {
        None => vec![nobody(&candidates, wanted)],
        Some(chosen) => {
            obstacles.extend(chosen.obstacles.iter().cloned());
            against(chosen, &obstacles, wanted.force)
        }
    };
    let busy = primary
        .stage
        .iter()
        .map(|stage| format!("a switchover is under way already (MySQL: {stage}); wait for its end"));
    let paused = primary.paused.iter().filter(|_| !wanted.force).map(|pause| {
        format!(
            "the cluster is paused {pause}: the primary would move and the VIP would not; haipmgr resume first, or give --force"
        )
    });
    let reasons: Vec<_> = busy.chain(paused).chain(reasons).collect();
    let target = chosen.map(|chosen| (chosen.address, chosen.id.clone()));
    obstacles.sort_by_key(|obstacle| obstacle.weight);
    let verdict = if reasons.is_empty() { Verdict::Go } else { Verdict::Refused(reasons) };
    Plan { from, candidates, target, obstacles, verdict }
}

fn no_primary(readings: &[Reading]) -> Plan {
    let words = readings.iter().map(|reading| match &reading.said {
        Ok(said) => {
            format!("{}: {}", reading.address, said.own().map_or("in no group", |own| own.state.as_str()))
        }
        Err(why) => format!("{}: {why}", reading.address),
    });
    let words = words.collect::<Vec<_>>().join("; ");
    let reason = format!("no member is ONLINE, PRIMARY and in the majority ({words})");
    Plan {
        from: None,
        candidates: Vec::new(),
        target: None,
        obstacles: Vec::new(),
        verdict: Verdict::Refused(vec![reason]),
    }
}

/// Each source of reasons is one more line here.
fn candidate(reading: &Reading, primary: &Said) -> Candidate {
    let said = reading.said.as_ref();
    let id = said.map_or_else(|_| String::new(), |said| said.id.clone());
    let row = primary.members.iter().find(|row| row.id == id);
    let queue = said.ok().and_then(Said::own).and_then(|own| own.queue);
    let obstacles = said.map_or_else(|_| Vec::new(), |said| on_target(reading.address, said));
    let blocking = obstacles.iter().filter(|obstacle| obstacle.weight == Weight::Blocks).count();
    let mut unfit = Vec::new();
    match (said, row) {
        (Err(why), _) => unfit.push(Unfit::Unreachable(why.clone())),
        (Ok(_), None) => unfit.push(Unfit::NotAMember),
        (Ok(_), Some(row)) => {
            if row.state != "ONLINE" {
                unfit.push(Unfit::State(row.state.clone()));
            }
            unfit.extend(not_the_lowest(row, &primary.members));
        }
    }
    unfit.extend(queue.filter(|queue| *queue > MOST_BEHIND).map(Unfit::Behind));
    unfit.extend((blocking > 0).then_some(Unfit::Blocked(blocking)));
    let name = row.map_or_else(String::new, |row| row.host.clone());
    Candidate { address: reading.address, name, queue, unfit, id, obstacles }
}

fn not_the_lowest(row: &Row, members: &[Row]) -> Option<Unfit> {
    let number = |version: &str| -> Vec<u64> {
        version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
    };
    let others = members.iter().filter(|member| !member.version.is_empty());
    let lowest = others.min_by_key(|member| number(&member.version))?;
    let higher = number(&row.version) > number(&lowest.version);
    higher.then(|| Unfit::Version { own: row.version.clone(), lowest: lowest.version.clone() })
}

/// Fit, and with the shortest queue; where forced, also one that is only behind or blocked.
fn best(candidates: &[Candidate], force: bool) -> Option<&Candidate> {
    let fit = candidates.iter().filter(|one| one.unfit.iter().all(|unfit| force && unfit.can_be_forced()));
    fit.min_by_key(|one| (one.unfit.len(), one.queue.unwrap_or(u64::MAX)))
}

fn nobody(candidates: &[Candidate], wanted: &Wanted) -> String {
    match &wanted.to {
        Some(to) => {
            let known: Vec<_> = candidates.iter().map(|one| one.address.to_string()).collect();
            format!("{to} is no member that answers here; the others are {}", known.join(", "))
        }
        None => "no other member is fit to become the primary".to_owned(),
    }
}

/// What speaks against this one.
fn against(chosen: &Candidate, obstacles: &[Obstacle], force: bool) -> Vec<String> {
    let unfit = chosen.unfit.iter().filter(|unfit| !(force && unfit.can_be_forced()));
    let unfit = unfit.map(|unfit| format!("{} is not fit: {unfit}", chosen.address));
    let in_the_way = obstacles.iter().filter(|_| !force).filter_map(Obstacle::against);
    unfit.chain(in_the_way).collect()
}

impl Obstacle {
    /// Why it speaks against a switchover, if it does.
    fn against(&self) -> Option<String> {
        match (self.weight, self.session) {
            (Weight::Blocks, Some(session)) => Some(format!(
                "session {session} on {} does not end by itself: end it, or give --force",
                self.server
            )),
            (Weight::Blocks | Weight::Unknown, _) => Some(self.words.clone()),
            _ => None,
        }
    }
}
