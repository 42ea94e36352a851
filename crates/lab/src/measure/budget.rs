//! Where the time of a move goes: the moments between a fault and the first row written on the VIP's new host.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::interfaces::interfaces;
use super::log_time::LogTime;
use super::{Fault, Holding, Reading, difference, faults, median, vip_moved, woken};
use crate::record::{ArpKind, Recorded, Recording, Role, What};

/// The removal of the address and the frame that says so are seen by two witnesses, which may be out of step by this much,
/// microseconds.
const WITNESSES_APART: u64 = 5_000;

/// A moment on the way from a fault to writes on another host, in the order in which they usually come. *Old* is the host
/// that had the VIP, *new* the one that gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The lab begins the fault.
    Fault,
    /// The client learns of the first attempt that failed: where nobody answers, after its read time-out.
    ClientFails,
    /// The old host's agent writes that something is wrong with its server, or not known (its log).
    OldNotices,
    /// A server counts a member as UNREACHABLE (role witness): the group's own detector.
    Unreachable,
    /// An agent tells the group to expel the member now (its log).
    ExpelAsked,
    /// The new host's agent writes its first line about the fault, where that is not one of the others (its log).
    Sign,
    /// The new host's server says that it is PRIMARY (role witness).
    Primary,
    /// The new host's agent writes that its server is primary and not yet writable (its log).
    PrimarySeen,
    /// The new host's server is PRIMARY, writable, with a majority (role witness).
    Writable,
    /// The new host's agent writes that stage 3 passes (its log).
    WritableSeen,
    /// The new host's first ARP probe for the VIP, as the client's host hears it.
    Claim,
    /// The new host's agent hears that the VIP is taken (its log).
    Answered,
    /// The old host's agent begins to ask who is right (its log).
    Dispute,
    /// The address is gone from the old host, or the host has no power.
    Gone,
    /// The old host's probe that says so, as the client's host hears it.
    Released,
    /// The address is on the new host.
    There,
    /// The new host's first announcement, as the client's host hears it.
    Announced,
    /// The client that sat in a query on the old host is told that its connection is gone.
    Woken,
    /// The client's first connection to the new host, log-in included.
    Connected,
    /// The client's first row there.
    Insert,
}

/// One moment of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Which.
    pub step: Step,
    /// Microseconds after the fault.
    pub after_us: i64,
}

/// The time between two moments that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The earlier moment.
    pub from: Step,
    /// The later moment.
    pub to: Step,
    /// Microseconds.
    pub us: i64,
}

/// Where the time of one move went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The fault's name.
    pub fault: String,
    /// The host that had the VIP; none where no host had it.
    pub old: Option<String>,
    /// The host that got it; the same one where the VIP came back.
    pub new: String,
    /// The moments that were seen, in the order of time. What nobody saw or wrote is left out.
    pub moments: Vec<Moment>,
}

impl Budget {
    /// From the fault to this moment.
    pub fn after(&self, step: Step) -> Reading {
        self.moments
            .iter()
            .find(|moment| moment.step == step)
            .map_or(Reading::DoesNotApply, |moment| Reading::After(moment.after_us))
    }

    /// From one moment to another; negative where the second one was seen first.
    pub fn between(&self, from: Step, to: Step) -> Reading {
        self.after(to).less(self.after(from))
    }
}

/// The moves of one fault, taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typical {
    /// The fault's name.
    pub fault: String,
    /// How many moves.
    pub runs: usize,
    /// The median of each moment that at least half of the moves have, and how many have it; in the order of time.
    pub moments: Vec<(Moment, usize)>,
}

/// The times between moments that follow one another, in the order of time; of those moments alone that the client's next row
/// waits for. What the client, its sleeping neighbor and the old host's agent notice meanwhile delays nothing.
pub fn waits(moments: &[Moment]) -> Vec<Wait> {
    let at = |step| moments.iter().find(|moment| moment.step == step).map(|moment| moment.after_us);
    // Both tell that the server is writable: the witness, who asks each 20 ms, and the agent. The first word counts.
    let later_word = match (at(Step::Writable), at(Step::WritableSeen)) {
        (Some(witness), Some(agent)) if agent < witness => Step::Writable,
        (None, _) => Step::Writable,
        _ => Step::WritableSeen,
    };
    let claim = at(Step::Claim);
    let delays = |moment: &&Moment| match moment.step {
        Step::Writable | Step::WritableSeen => {
            moment.step != later_word && claim.is_none_or(|claim| moment.after_us <= claim)
        }
        Step::ClientFails
        | Step::OldNotices
        | Step::Sign
        | Step::Primary
        | Step::PrimarySeen
        | Step::Answered
        | Step::Released
        | Step::Woken => false,
        _ => true,
    };
    let path: Vec<&Moment> = moments.iter().filter(delays).collect();
    path.iter()
        .zip(path.iter().skip(1))
        .map(|(from, to)| Wait { from: from.step, to: to.step, us: to.after_us - from.after_us })
        .collect()
}

/// The budget of each fault in a recording that moved the VIP, in order.
pub fn budgets(recording: &Recording, vip: IpAddr) -> Vec<Budget> {
    let holding = Holding::of(vip, recording);
    let interfaces = interfaces(recording, vip, &holding);
    let log_time = LogTime::of(recording);
    let of_fault = |fault: &Fault<'_>| {
        let (Reading::After(_), Some(new)) = vip_moved(fault, &holding) else { return None };
        let old = holding.at(fault.injected_us.saturating_sub(1)).into_iter().next();
        let mut moments =
            Move { fault, old: old.as_deref(), new: &new, vip, interfaces: &interfaces, log_time, recording }
                .moments();
        moments.sort_by_key(|moment| (moment.after_us, moment.step));
        Some(Budget { fault: fault.name.to_owned(), old, new, moments })
    };
    faults(recording).iter().filter_map(of_fault).collect()
}

/// The medians of the faults that moved the VIP more than once, in the order in which they first came.
pub fn typical(budgets: &[Budget]) -> Vec<Typical> {
    let mut by_fault: Vec<(&str, Vec<&Budget>)> = Vec::new();
    for budget in budgets {
        match by_fault.iter_mut().find(|(fault, _)| *fault == budget.fault) {
            Some((_, group)) => group.push(budget),
            None => by_fault.push((&budget.fault, vec![budget])),
        }
    }
    by_fault
        .into_iter()
        .filter(|(_, group)| group.len() > 1)
        .map(|(fault, group)| {
            let mut times: BTreeMap<Step, Vec<Reading>> = BTreeMap::new();
            for moment in group.iter().flat_map(|budget| &budget.moments) {
                times.entry(moment.step).or_default().push(Reading::After(moment.after_us));
            }
            let mut moments: Vec<(Moment, usize)> = times
                .into_iter()
                // A moment that one move of many has would stand among medians of others.
                .filter(|(_, seen)| 2 * seen.len() >= group.len())
                .filter_map(|(step, seen)| {
                    let runs = seen.len();
                    match median(seen) {
                        Reading::After(after_us) => Some((Moment { step, after_us }, runs)),
                        _ => None,
                    }
                })
                .collect();
            moments.sort_by_key(|(moment, _)| (moment.after_us, moment.step));
            Typical { fault: fault.to_owned(), runs: group.len(), moments }
        })
        .collect()
}

struct Move<'a> {
    fault: &'a Fault<'a>,
    old: Option<&'a str>,
    new: &'a str,
    vip: IpAddr,
    interfaces: &'a BTreeMap<String, String>,
    log_time: Option<LogTime>,
    recording: &'a Recording,
}

impl Move<'_> {
    fn moments(&self) -> Vec<Moment> {
        let there = self.first(|recorded| {
            recorded.who == self.new
                && matches!(&recorded.what, What::AddressAdded(address) if address.address == self.vip)
        });
        let gone = self.old.and_then(|old| {
            self.first(|recorded| {
                recorded.who == old
                    && match &recorded.what {
                        What::AddressRemoved(address) => address.address == self.vip,
                        what => *what == What::HostDown,
                    }
            })
        });
        let claim = self.frame(self.new, ArpKind::Probe, 0);
        let released = match (self.old, gone) {
            (Some(old), Some(gone)) if old != self.new => {
                self.frame(old, ArpKind::Probe, gone.saturating_sub(WITNESSES_APART))
            }
            _ => None,
        };
        let connected =
            self.by_client(0, |what| matches!(what, What::Connected { server } if server == self.new));
        // A connection that outlived the move (the VIP taken away by hand and put back) writes on without a new one.
        let insert = connected.or(there).and_then(|from| {
            self.by_client(
                from,
                |what| matches!(what, What::Insert { outcome, .. } if outcome.is_acknowledged()),
            )
        });
        let client_fails = self
            .by_client(0, |what| matches!(what, What::Insert { outcome, .. } if !outcome.is_acknowledged()));
        let mut found = vec![
            (Step::Fault, Some(self.fault.injected_us)),
            (Step::ClientFails, client_fails.filter(|at| insert.is_none_or(|insert| *at < insert))),
            (Step::Claim, claim),
            (Step::Gone, gone),
            (Step::Released, released),
            (Step::There, there),
            (Step::Announced, self.frame(self.new, ArpKind::Announcement, 0)),
            (Step::Connected, connected),
            (Step::Insert, insert),
        ];
        found.extend(self.roles());
        found.extend(self.log_lines(claim.or(there), gone));
        let mut moments: Vec<Moment> = found
            .into_iter()
            .filter_map(|(step, at_us)| {
                Some(Moment { step, after_us: difference(self.fault.injected_us, at_us?) })
            })
            .collect();
        if let Reading::After(after_us) = woken(self.fault, self.recording) {
            moments.push(Moment { step: Step::Woken, after_us });
        }
        moments
    }

    /// What the servers said.
    fn roles(&self) -> Vec<(Step, Option<u64>)> {
        let unreachable =
            self.first(|recorded| matches!(&recorded.what, What::Role(role) if role.unreachable > 0));
        let led_before = self
            .recording
            .all()
            .iter()
            .take_while(|recorded| recorded.at_us < self.fault.injected_us)
            .filter_map(|recorded| match &recorded.what {
                What::Role(role) if recorded.who == self.new => Some(role.is_writable_primary()),
                _ => None,
            })
            .last();
        let mut found = vec![(Step::Unreachable, unreachable)];
        if led_before != Some(true) {
            let role_is = |wanted: fn(&Role) -> bool| {
                self.first(|recorded| {
                    recorded.who == self.new && matches!(&recorded.what, What::Role(role) if wanted(role))
                })
            };
            found.push((Step::Primary, role_is(|role| role.state == "ONLINE" && role.role == "PRIMARY")));
            found.push((Step::Writable, role_is(Role::is_writable_primary)));
        }
        found
    }

    /// What the agents wrote. `claimed` is when the new host began to claim, `gone` when the old one let go: what an agent sees
    /// of its own server later leads to nothing (some lines are held back for a moment, lest they fill the log).
    fn log_lines(&self, claimed: Option<u64>, gone: Option<u64>) -> Vec<(Step, Option<u64>)> {
        let claimed = claimed.unwrap_or(self.fault.watched_us);
        let seen_by_new = |words: &str| {
            self.line(self.new, |line| line.contains(words))
                .filter(|at| *at <= claimed.saturating_add(WITNESSES_APART))
        };
        let primary_seen = seen_by_new("is the primary and not writable");
        let writable_seen = seen_by_new("stage 3 (primary) passes");
        let expel_asked = self.lines(None, |line| line.contains("telling the group to"));
        let others = [primary_seen, writable_seen, expel_asked];
        let sign = self.line(self.new, |_| true).filter(|at| *at < claimed && !others.contains(&Some(*at)));
        let old = self.old.filter(|old| *old != self.new);
        let by_old = |wanted: fn(&str) -> bool| old.and_then(|old| self.line(old, wanted));
        let old_notices = by_old(|line| line.contains("fails:") || line.contains("is not known:"))
            .filter(|at| gone.is_none_or(|gone| *at <= gone));
        vec![
            (Step::PrimarySeen, primary_seen),
            (Step::WritableSeen, writable_seen),
            (Step::ExpelAsked, expel_asked),
            (Step::Sign, sign),
            (Step::Answered, self.line(self.new, |line| line.contains("still has it"))),
            (Step::OldNotices, old_notices),
            (Step::Dispute, by_old(|line| line.contains("claims the VIP: asking"))),
        ]
    }

    fn first(&self, wanted: impl Fn(&Recorded) -> bool) -> Option<u64> {
        self.recording
            .all()
            .iter()
            .find(|recorded| self.fault.watches(recorded.at_us) && wanted(recorded))
            .map(|recorded| recorded.at_us)
    }

    /// The client may still be waiting for TCP while the lab heals already.
    fn by_client(&self, from_us: u64, wanted: impl Fn(&What) -> bool) -> Option<u64> {
        let from_us = from_us.max(self.fault.injected_us);
        self.recording
            .all()
            .iter()
            .filter(|recorded| recorded.who == "client" && recorded.at_us < self.fault.end_us)
            .find(|recorded| recorded.at_us >= from_us && wanted(&recorded.what))
            .map(|recorded| recorded.at_us)
    }

    fn frame(&self, host: &str, wanted: ArpKind, from_us: u64) -> Option<u64> {
        self.first(|recorded| match &recorded.what {
            What::Arp { from, kind, about } => {
                *about == self.vip
                    && *kind == wanted
                    && recorded.at_us >= from_us
                    && self.interfaces.get(from).is_some_and(|owner| owner == host)
            }
            _ => false,
        })
    }

    fn line(&self, host: &str, wanted: impl Fn(&str) -> bool) -> Option<u64> {
        self.lines(Some(host), wanted)
    }

    fn lines(&self, host: Option<&str>, wanted: impl Fn(&str) -> bool) -> Option<u64> {
        self.recording
            .all()
            .iter()
            .filter(|recorded| host.is_none_or(|host| recorded.who == host))
            .filter_map(|recorded| match &recorded.what {
                What::Agent { line } if wanted(line) => self.log_time?.when(line),
                _ => None,
            })
            .filter(|at_us| self.fault.watches(*at_us))
            .min()
    }
}

#[cfg(test)]
mod tests;
