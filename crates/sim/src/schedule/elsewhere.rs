//! Schedules in which the last VIP for writers has an interface of its own, on every host, and what befalls that. Drawn apart, so that whatever
//! has none is the same with and without it.

use fastrand::Rng;

use super::draw::length;
use super::{HEAD_MS, LONGEST_MS, Schedule, TAIL_MS, Timed};
use crate::fault::{Elsewhere, Fault, Who};

/// Of the schedules with several VIPs for writers one in so many has it.
const OWN_INTERFACE_IN: u8 = 2;
/// One fault in so many of the members' segment meets the other one too, at the same time.
const BOTH_IN: u8 = 2;
/// The seeds of what is drawn of it.
const ELSEWHERE_DRAWN: u64 = 0x000e_7411;

/// Whether the schedule of this seed has it, where it has several VIPs for writers.
pub(super) fn has_own_interface(seed: u64) -> bool {
    Rng::with_seed(seed ^ ELSEWHERE_DRAWN).u8(0..OWN_INTERFACE_IN) == 0
}

impl Schedule {
    /// The same with a second VIP for writers that has an interface of its own, and with faults there.
    #[must_use]
    pub fn with_own_interface(mut self) -> Self {
        if self.own_interface {
            return self;
        }
        let alone = !self.second_vip && self.readers.is_none();
        (self.second_vip, self.own_interface) = (true, true);
        let mut rng = Rng::with_seed(self.seed ^ ELSEWHERE_DRAWN ^ 0xa11);
        let mut faults = meet_both(&mut rng, &self.faults);
        faults.extend(strike(&mut rng, self.members, &self.faults));
        let end = faults.iter_mut().map(|timed| timed.at_ms + timed.fault.length().map_or(0, |ms| *ms)).max();
        self.length_ms = self.length_ms.max(end.unwrap_or(0) + TAIL_MS).min(LONGEST_MS.max(self.length_ms));
        self.faults.extend(faults);
        self.faults.sort_by_key(|timed| timed.at_ms);
        let members = self.members;
        if alone { self.with_last_gateway(members) } else { self }
    }
}

/// What befalls the one segment befalls the other too.
fn meet_both(rng: &mut Rng, faults: &[Timed]) -> Vec<Timed> {
    let mut meets = |timed: &Timed| {
        let what = Elsewhere::like(timed.fault)?;
        let ms = { timed.fault }.length().map_or(0, |ms| *ms);
        (rng.u8(0..BOTH_IN) == 0)
            .then_some(Timed { at_ms: timed.at_ms, fault: Fault::Elsewhere { what, ms } })
    };
    faults.iter().filter_map(&mut meets).collect()
}

/// What befalls that segment alone, at any time or close to another fault.
fn strike(rng: &mut Rng, members: usize, others: &[Timed]) -> Vec<Timed> {
    let count = rng.usize(1..=3);
    let mut faults = Vec::with_capacity(count);
    for _ in 0..count {
        let what = draw(rng, members);
        let ms = if rng.bool() { length(rng) } else { rng.u64(500..12_000) };
        let near = rng.choice(others).filter(|_| rng.bool()).map(|timed| timed.at_ms);
        let at_ms = near.map_or(HEAD_MS + rng.u64(0..10_000), |near| near + rng.u64(0..1_500));
        faults.push(Timed { at_ms, fault: Fault::Elsewhere { what, ms } });
    }
    faults
}

fn draw(rng: &mut Rng, members: usize) -> Elsewhere {
    let who = match rng.u8(0..4) {
        0 => Who::Primary,
        1 => Who::Holder,
        _ => Who::Host(rng.usize(0..members)),
    };
    match rng.u8(0..20) {
        0..=2 => Elsewhere::Cut { who },
        3 => Elsewhere::Partition { left: rng.usize(1..members) },
        4 => Elsewhere::ReceiveDown { who },
        5 => Elsewhere::Mute { who },
        6 => Elsewhere::Loss { percent: rng.u8(1..40) },
        7 => Elsewhere::LossFrom { who, percent: rng.u8(1..100) },
        8 => Elsewhere::Duplicated,
        9 => Elsewhere::Reordered,
        10 => Elsewhere::Late,
        11 => Elsewhere::Stranger,
        12 => Elsewhere::SwitchAnswers,
        13..=15 => Elsewhere::InterfaceGone { who },
        16..=18 => Elsewhere::CarrierLost { who },
        _ => Elsewhere::AddressGone { who },
    }
}
