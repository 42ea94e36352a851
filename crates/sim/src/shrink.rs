//! A failing schedule made short: faults dropped, times and hosts made fewer, as long as it still fails the same way.

use crate::schedule::{LastGateway, Readers, Schedule};
use oracle::Invariant;

/// Other jitter is tried this often for a schedule that no longer fails: what failed by chance may fail by another.
const SEEDS_TRIED: u64 = 12;

/// How a schedule fails, if it does.
pub fn failure(schedule: &Schedule) -> Option<Invariant> {
    schedule.run().broken.first().map(|broken| broken.invariant)
}

/// The shortest schedule found that breaks the same invariant. One that does not fail comes back as it is.
pub fn shrink(schedule: &Schedule) -> Schedule {
    let Some(invariant) = failure(schedule) else { return schedule.clone() };
    let mut best = cut_end(schedule.clone());
    loop {
        let shorter = candidates(&best).into_iter().find_map(|candidate| fails(&candidate, invariant));
        match shorter {
            Some(shorter) => best = cut_end(shorter),
            None => return best,
        }
    }
}

/// The candidate, with whichever jitter makes it fail.
fn fails(candidate: &Schedule, invariant: Invariant) -> Option<Schedule> {
    (0..SEEDS_TRIED)
        .map(|more| Schedule { seed: candidate.seed.wrapping_add(more), ..candidate.clone() })
        .find(|schedule| failure(schedule) == Some(invariant))
}

/// Nothing happens after the failure that matters.
fn cut_end(mut schedule: Schedule) -> Schedule {
    let outcome = schedule.run();
    let ended = u64::try_from(outcome.length.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let shorter = Schedule { length_ms: ended.min(schedule.length_ms), ..schedule.clone() };
    if failure(&shorter).is_some() {
        schedule = shorter;
    }
    schedule.faults.retain(|timed| timed.at_ms <= schedule.length_ms);
    schedule
}

fn candidates(schedule: &Schedule) -> Vec<Schedule> {
    let mut candidates = Vec::new();
    for place in 0..schedule.faults.len() {
        let mut without = schedule.clone();
        without.faults.remove(place);
        candidates.push(without);
    }
    for members in [2, 3, 5].into_iter().filter(|members| *members < schedule.members) {
        candidates.push(Schedule { members, ..schedule.clone() });
    }
    if schedule.second_vip {
        candidates.push(Schedule { second_vip: false, own_interface: false, ..schedule.clone() });
    }
    if schedule.own_interface {
        candidates.push(Schedule { own_interface: false, ..schedule.clone() });
    }
    if schedule.last_gateway != LastGateway::TheClusters {
        candidates.push(Schedule { last_gateway: LastGateway::TheClusters, ..schedule.clone() });
    }
    if let Some(readers) = schedule.readers {
        candidates.push(Schedule { readers: None, ..schedule.clone() });
        if readers.vips > 1 {
            let fewer = Some(Readers { vips: readers.vips - 1, ..readers });
            candidates.push(Schedule { readers: fewer, ..schedule.clone() });
        }
    }
    if schedule.held_up > 0 {
        candidates.push(Schedule { held_up: 0, ..schedule.clone() });
    }
    if schedule.peer_unknown > 0 {
        candidates.push(Schedule { peer_unknown: 0, ..schedule.clone() });
    }
    for place in 0..schedule.faults.len() {
        let mut shorter = schedule.clone();
        if let Some(ms) = shorter.faults[place].fault.length().filter(|ms| **ms >= 20) {
            *ms /= 2;
            candidates.push(shorter);
        }
        // It and all that follow come sooner.
        let earlier = if place == 0 { 700 } else { schedule.faults[place - 1].at_ms };
        let sooner = (schedule.faults[place].at_ms.saturating_sub(earlier)) / 2;
        if sooner >= 10 {
            let mut closer = schedule.clone();
            for timed in &mut closer.faults[place..] {
                timed.at_ms -= sooner;
            }
            candidates.push(closer);
        }
    }
    candidates
}
