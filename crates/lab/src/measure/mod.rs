//! A recording → figures, fault by fault. Pure: the same recording gives the same figures.

pub mod budget;
pub mod entitled;
mod families;
mod handover;
mod holding;
mod interfaces;
mod judged;
mod log_time;
pub mod readers;
mod reading;
pub mod slowdown;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use oracle::Breach;
use serde::Serialize;

pub use families::apart;
pub use handover::handovers;
pub use holding::{Holders, Holding};
pub use judged::{FOLLOWS_WITHIN, Judged, kept_since};
pub use reading::{Reading, median, worst};
pub(crate) use reading::{difference, seconds};

use judged::followed_election;

use crate::record::{Expects, Phase, Recorded, Recording, What};

/// A pause between two acknowledged inserts that is still open at the end of the watch counts as "never" from here on,
/// microseconds: the client's own connect time-out. A shorter one is the ordinary time between two inserts.
const OPEN_PAUSE: u64 = 1_000_000;

/// What one fault did. Times are in seconds once shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The fault's name.
    pub fault: String,
    /// The host that it was done to.
    pub host: String,
    /// When it was injected, microseconds.
    pub injected_us: u64,
    /// Fault → another server (or the switchover's target) is ONLINE, PRIMARY, writable, with a majority. What the group
    /// itself takes. Does not apply where the primary is to stay.
    pub elected: Reading,
    /// That server's host.
    pub primary: Option<String>,
    /// Fault → the VIP is on another host. Where the primary is to stay: → it is back, wherever; it does not apply when the
    /// VIP never left, or where there is none in the whole recording.
    pub vip_moved: Reading,
    /// That host.
    pub holder: Option<String>,
    /// The longest time between two acknowledged inserts around the fault: from the last one before the pause to the first
    /// one after it.
    pub outage: Reading,
    /// The longest stretch in which no host had the VIP; it does not apply when there was none.
    pub unheld: Reading,
    /// Fault → the sleeping client was told that its connection is gone.
    pub woken: Reading,
    /// Inserts acknowledged until the next fault.
    pub acknowledged: u64,
    /// Attempts that failed until the next fault.
    pub failed: u64,
    /// Rows acknowledged until the next fault that are not there; none when nobody has looked.
    pub lost: Option<u64>,
    /// How long two hosts held the VIP together until the next fault, the healing included. Does not apply is never said.
    pub two_holders: Reading,
    /// How FOLLOWS is broken after the election, where nothing else stands in the way: whoever did the fault knows.
    #[serde(skip)]
    pub not_followed: Option<Breach>,
}

impl Figures {
    /// What the outage is longer than the group's own election.
    pub fn beyond_election(&self) -> Reading {
        self.outage.less(self.elected)
    }
}

struct Fault<'a> {
    name: &'a str,
    host: &'a str,
    target: Option<&'a str>,
    expects: Expects,
    injected_us: u64,
    /// Until when recovery is watched for.
    watched_us: u64,
    /// When the lab began to undo it; the same as below where it had nothing to undo.
    healed_us: u64,
    /// The next fault, or the end.
    end_us: u64,
}

/// The figures of each fault in a recording, in order. What belongs to a fault is what happens from its injection to the
/// next one's. A new primary must be there before the lab begins to heal: healing is no recovery.
pub fn figures(recording: &Recording, vip: IpAddr) -> Vec<Figures> {
    let holding = Holding::of(vip, recording);
    let acknowledged = acknowledged(recording);
    let missing: BTreeSet<u64> = recording
        .all()
        .iter()
        .filter_map(|recorded| match &recorded.what {
            What::Verified { missing, .. } => Some(missing.iter().copied()),
            _ => None,
        })
        .flatten()
        .collect();
    faults(recording)
        .iter()
        .map(|fault| {
            let within = |at_us: u64| at_us >= fault.injected_us && at_us < fault.end_us;
            let (elected, primary) = elected(fault, recording);
            let (vip_moved, holder) = vip_moved(fault, &holding);
            let not_followed = match (elected, primary.as_deref()) {
                (Reading::After(us), Some(primary)) => {
                    let elected_us = fault.injected_us.saturating_add_signed(us);
                    followed_election(recording, vip, primary, elected_us, fault.watched_us).err()
                }
                _ => None,
            };
            let looked = recording.all().iter().any(|recorded| {
                recorded.at_us > fault.injected_us && matches!(recorded.what, What::Verified { .. })
            });
            let rows = || acknowledged.iter().filter(|(at_us, _)| within(**at_us)).map(|(_, id)| id);
            let lost = looked.then(|| count(rows().filter(|id| missing.contains(id))));
            Figures {
                fault: fault.name.to_owned(),
                host: fault.host.to_owned(),
                injected_us: fault.injected_us,
                elected,
                primary,
                vip_moved,
                holder,
                outage: outage(fault, vip_moved, &acknowledged),
                unheld: unheld(fault, &holding),
                woken: woken(fault, recording),
                acknowledged: count(rows()),
                failed: count(recording.all().iter().filter(|recorded| {
                    within(recorded.at_us)
                        && matches!(&recorded.what, What::Insert { outcome, .. } if !outcome.is_acknowledged())
                })),
                lost,
                two_holders: Reading::between(0, holding.two_holders(fault.injected_us, fault.end_us)),
                not_followed,
            }
        })
        .collect()
}

fn count<T>(all: impl Iterator<Item = T>) -> u64 {
    all.fold(0, |sum, _| sum + 1)
}

fn end(recording: &Recording) -> u64 {
    recording.all().last().map_or(0, |last| last.at_us + 1)
}

/// The acknowledged rows, by the time at which the client knew. It inserts one at a time, so the times differ.
fn acknowledged(recording: &Recording) -> BTreeMap<u64, u64> {
    recording
        .all()
        .iter()
        .filter_map(|recorded| match &recorded.what {
            What::Insert { id, outcome, .. } if outcome.is_acknowledged() => Some((recorded.at_us, *id)),
            _ => None,
        })
        .collect()
}

fn faults(recording: &Recording) -> Vec<Fault<'_>> {
    let phase_of = |recorded: &Recorded| match &recorded.what {
        What::Fault { phase, .. } => Some(*phase),
        _ => None,
    };
    let later = |from: usize, wanted: Phase| {
        recording.all().iter().skip(from + 1).find(|other| phase_of(other) == Some(wanted)).map(|o| o.at_us)
    };
    recording
        .all()
        .iter()
        .enumerate()
        .filter_map(|(index, recorded)| {
            let What::Fault { name, host, target, expects, phase: Phase::Injected } = &recorded.what else {
                return None;
            };
            let end_us = later(index, Phase::Injected).unwrap_or_else(|| end(recording));
            let healed_us = later(index, Phase::Healed).unwrap_or(end_us).min(end_us);
            Some(Fault {
                name,
                host,
                target: target.as_deref(),
                expects: *expects,
                injected_us: recorded.at_us,
                // Where the primary stays, the fault's own end (a cable plugged back) may well be the recovery.
                watched_us: if *expects == Expects::NewPrimary { healed_us } else { end_us },
                healed_us,
                end_us,
            })
        })
        .collect()
}

impl Fault<'_> {
    fn never(&self) -> Reading {
        Reading::Never(difference(self.injected_us, self.watched_us))
    }

    fn after(&self, at_us: u64) -> Reading {
        Reading::between(self.injected_us, at_us)
    }

    fn watches(&self, at_us: u64) -> bool {
        at_us >= self.injected_us && at_us < self.watched_us
    }
}

fn elected(fault: &Fault<'_>, recording: &Recording) -> (Reading, Option<String>) {
    if fault.expects == Expects::SamePrimary {
        return (Reading::DoesNotApply, None);
    }
    let is_wanted = |who: &str| fault.target.map_or(who != fault.host, |target| who == target);
    recording
        .all()
        .iter()
        .filter(|recorded| fault.watches(recorded.at_us) && is_wanted(&recorded.who))
        .find(|recorded| matches!(&recorded.what, What::Role(role) if role.is_writable_primary()))
        .map_or((fault.never(), None), |recorded| (fault.after(recorded.at_us), Some(recorded.who.clone())))
}

fn vip_moved(fault: &Fault<'_>, holding: &Holding) -> (Reading, Option<String>) {
    if holding.is_of_nobody() {
        return (Reading::DoesNotApply, None);
    }
    let before = holding.at(fault.injected_us.saturating_sub(1));
    let changes = || holding.changes().iter().filter(|change| fault.watches(change.at_us));
    match fault.expects {
        Expects::NewPrimary => changes()
            .find_map(|change| Some((change.at_us, change.hosts.difference(&before).next()?.clone())))
            .map_or((fault.never(), None), |(at_us, host)| (fault.after(at_us), Some(host))),
        Expects::SamePrimary => {
            let Some(left) = changes().find(|change| change.hosts != before) else {
                return (Reading::DoesNotApply, before.into_iter().next());
            };
            changes()
                .filter(|change| change.at_us >= left.at_us)
                .find_map(|change| Some((change.at_us, change.hosts.first()?.clone())))
                .map_or((fault.never(), None), |(at_us, host)| (fault.after(at_us), Some(host)))
        }
    }
}

fn unheld(fault: &Fault<'_>, holding: &Holding) -> Reading {
    if holding.is_of_nobody() {
        return Reading::DoesNotApply;
    }
    let empty = holding
        .stretches(fault.injected_us, fault.watched_us)
        .into_iter()
        .filter(|(start, end, hosts)| hosts.is_empty() && end > start);
    let longest = empty.max_by_key(|(start, end, _)| end - start);
    match longest {
        None => Reading::DoesNotApply,
        Some((start, end, _)) if end == fault.watched_us => Reading::Never(difference(start, end)),
        Some((start, end, _)) => Reading::between(start, end),
    }
}

fn woken(fault: &Fault<'_>, recording: &Recording) -> Reading {
    let asleep = recording
        .all()
        .iter()
        .take_while(|recorded| recorded.at_us < fault.injected_us)
        .filter(|recorded| matches!(recorded.what, What::Asleep { .. } | What::Woken { .. }))
        .last()
        .is_some_and(|recorded| matches!(recorded.what, What::Asleep { .. }));
    if !asleep {
        return Reading::DoesNotApply;
    }
    recording
        .all()
        .iter()
        .find(|recorded| fault.watches(recorded.at_us) && matches!(recorded.what, What::Woken { .. }))
        .map_or(fault.never(), |recorded| fault.after(recorded.at_us))
}

fn outage(fault: &Fault<'_>, vip_moved: Reading, acknowledged: &BTreeMap<u64, u64>) -> Reading {
    // Once the VIP has moved the client may still be waiting for TCP to try again while the lab heals already: what is
    // acknowledged then is recovery. Where the VIP has not moved, it was the healing. A pause that only begins during the
    // healing is the healing's: a member that joins slows every commit down, to half a second at times.
    let until_us = if matches!(vip_moved, Reading::Never(_)) { fault.watched_us } else { fault.end_us };
    // The last one before the fault opens the first pause; without one, the fault itself does.
    let opening =
        acknowledged.range(..fault.injected_us).next_back().map_or(fault.injected_us, |(at, _)| *at);
    let (mut longest, mut last) = (0, opening);
    for (&at_us, _) in acknowledged.range(fault.injected_us..until_us) {
        if last < fault.watched_us {
            longest = longest.max(at_us - last);
        }
        last = at_us;
    }
    // The pause that is open when the watch ends is the next fault's, or an ordinary one, unless it is long.
    if last == opening || until_us - last > OPEN_PAUSE {
        return Reading::Never(difference(fault.injected_us, until_us));
    }
    Reading::between(0, longest)
}

#[cfg(test)]
mod tests;
