//! The world from outside: who bears the VIP, who hears whom, who is entitled to it in truth. ONE-HOLDER, NO-FLAP, FOLLOWS and
//! NO-STRAY-WRITES, one definition each. Clocks and limits are the watcher's: microseconds in the simulator, ticks in the model.

use std::time::Duration;

use crate::excuses::Excuse;
use crate::inputs::Time;
use crate::invariant::{Breach, Invariant};

/// ONE-HOLDER: the first two of these holders that hear each other.
pub fn two_holders(
    holders: &(impl Iterator<Item = usize> + Clone),
    hear: impl Fn(usize, usize) -> bool,
) -> Option<(usize, usize)> {
    let later = |one: usize| holders.clone().filter(move |other| *other > one).map(move |other| (one, other));
    holders.clone().flat_map(later).find(|(one, other)| hear(*one, *other))
}

/// Why a holder that lets go, or lets its lease run out, may.
#[derive(Clone, Copy, Debug, Default)]
pub struct LetsGo {
    /// For so long its server has led in truth, and nothing of it has been in the way. None: it has not.
    pub well_for: Option<Duration>,
    /// It has just taken the address beside another holder.
    pub beside: bool,
    /// It was told to give the VIP up.
    pub given_up: bool,
}

/// NO-FLAP: a holder that has been well for longer than `settled` lets go of nothing.
///
/// # Errors
/// How it breaks that. `Ok`: the excuse, where it needed one.
pub fn lets_go(seen: LetsGo, settled: Duration) -> Result<Option<Excuse>, Breach> {
    match seen.well_for {
        Some(well) if well > settled => {
            if seen.given_up {
                Ok(Some(Excuse::GivenUp))
            } else if seen.beside {
                Ok(Some(Excuse::Beside))
            } else {
                Err(Breach::new(Invariant::NoFlap, "leads, and lets go of the VIP"))
            }
        }
        _ => Ok(None),
    }
}

/// A renewal is carried out no later than this after it was decided: the kernel's lifetime counts from the order, and the kernel
/// itself is imprecise by a quarter of a second.
const RENEWED_WITHIN: Duration = Duration::from_millis(300);

/// LEASE: only what is there is renewed, and soon after it was decided.
///
/// # Errors
/// How that is broken.
pub fn renewed(here: bool, late: Duration) -> Result<(), Breach> {
    if !here {
        return Err(Breach::new(Invariant::Lease, "renews the VIP, which is gone, and so adds it"));
    }
    if late > RENEWED_WITHIN {
        let words = format!("renews the VIP {} ms after it was decided", late.as_millis());
        return Err(Breach::new(Invariant::Lease, words));
    }
    Ok(())
}

/// "It is free, and yours" is said no later than this after the address was removed: nobody else can have found it free since.
const RELEASED_WITHIN: Duration = Duration::from_millis(15);

/// EVIDENCE: a host names who may take the VIP at once only where it removed it a moment ago. None: it removed nothing.
///
/// # Errors
/// How that is broken.
pub fn released_to_one(removed_for: Option<Duration>) -> Result<(), Breach> {
    if removed_for.is_some_and(|ago| ago <= RELEASED_WITHIN) {
        return Ok(());
    }
    let words = match removed_for {
        None => "names who may take the VIP, and removed nothing".to_owned(),
        Some(ago) => format!("names who may take the VIP, {} ms after it removed it", ago.as_millis()),
    };
    Err(Breach::new(Invariant::Evidence, words))
}

/// NO-STRAY-WRITES: a holder whose server takes writes outside its group lets go within so long.
///
/// # Errors
/// How it breaks that. `Ok`: the excuse, where it needed one.
pub fn strays(
    seen_for: Duration,
    within: Duration,
    excuse: Option<Excuse>,
) -> Result<Option<Excuse>, Breach> {
    if seen_for <= within {
        Ok(None)
    } else if excuse.is_some() {
        Ok(excuse)
    } else {
        Err(Breach::new(
            Invariant::NoStrayWrites,
            "has the VIP, and its server takes writes outside the group",
        ))
    }
}

/// FOLLOWS: the VIP is with the writable primary, and nowhere else, once nothing has stood in the way for so long.
///
/// # Errors
/// How that is broken.
pub fn follows(
    calm_for: Duration,
    within: Duration,
    primary: usize,
    holders: &[usize],
) -> Result<(), Breach> {
    if calm_for < within || *holders == [primary] {
        return Ok(());
    }
    let has = match holders {
        [] => "nobody has".to_owned(),
        holders => format!("{} has", names(holders)),
    };
    Err(Breach::new(Invariant::Follows, format!("takes writes, and {has} the VIP")))
}

/// RESTORED, from outside: an agent that runs beside a server that answers has put back what it changed within so long.
///
/// # Errors
/// How that is broken.
pub fn restored(changed_for: Duration, within: Duration) -> Result<(), Breach> {
    if changed_for <= within {
        return Ok(());
    }
    let words = "has left group_replication_member_expel_timeout at 0";
    Err(Breach::new(Invariant::Restored, words))
}

/// Holders, by their names.
pub fn names(places: &[usize]) -> String {
    let names: Vec<String> = places.iter().map(|place| format!("db{}", place + 1)).collect();
    names.join(" and ")
}

/// Two that hear each other for no longer than this while both hold the VIP have just begun to: neither could have asked
/// the other before.
pub const SETTLE_WITHIN: Duration = Duration::from_millis(1_500);

/// What is seen of all holders at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Together<'a> {
    /// Who bears the VIP.
    pub holders: &'a [usize],
    /// Since when any two hear each other, by their places; none: they do not.
    pub hear_since: &'a [[Option<Time>; 8]; 8],
    /// Frames are lost or late.
    pub frames_lost: bool,
    /// One took it over another's answers, which `takeover_after` allows.
    pub overruled: bool,
    /// Since when the agents of all of them have run; none: one does not.
    pub act_since: Option<Time>,
    /// So long they have to settle it.
    pub settle_within: Duration,
}

/// Two holders at once, since when, and why that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// None: nothing excuses it.
    pub because: Option<Excuse>,
    /// Since it has been so.
    pub since: Time,
}

/// ONE-HOLDER, in time: who holds the VIP together, and what excuses it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneHolder {
    overlap: Option<Overlap>,
}

/// What came of a look at all holders.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// It began to be so, or for another reason.
    pub news: Option<Overlap>,
    /// ONE-HOLDER is broken.
    pub breach: Option<Breach>,
    /// Look again then: time alone breaks it.
    pub look_at: Option<Time>,
}

impl OneHolder {
    /// Two holders, if there are.
    pub fn overlap(&self) -> Option<Overlap> {
        self.overlap
    }

    /// Looks at them, whenever an address comes or goes, and whenever somebody begins or ceases to hear another.
    pub fn look(&mut self, seen: &Together<'_>, now: Time) -> Look {
        if seen.holders.len() < 2 {
            self.overlap = None;
            return Look::default();
        }
        let known = self.overlap.map(|overlap| overlap.because);
        let because = explain(seen, known.flatten(), now);
        let mut look = Look::default();
        if known != Some(because) {
            let overlap = Overlap { because, since: now };
            self.overlap = Some(overlap);
            look.news = Some(overlap);
        }
        let breach =
            |words: &str| Breach::new(Invariant::OneHolder, format!("{} {words}", names(seen.holders)));
        match (because, self.overlap, seen.act_since) {
            (None, ..) => look.breach = Some(breach("hold the VIP and hear each other")),
            (Some(Excuse::Settling), Some(overlap), Some(act_since)) => {
                let over = act_since.max(overlap.since) + seen.settle_within;
                if now > over {
                    look.breach = Some(breach("still hold the VIP, and have heard each other for long"));
                } else if look.news.is_some() || now == act_since {
                    look.look_at = Some(over + Duration::from_micros(1));
                }
            }
            _ => {}
        }
        look
    }
}

fn explain(seen: &Together<'_>, known: Option<Excuse>, now: Time) -> Option<Excuse> {
    let because = if seen.frames_lost { Some(Excuse::FramesLost) } else { explain_by_hearing(seen, now) };
    // What began while frames were lost, or as they began to hear each other, is settled by the same deadline.
    let because = match (known, because) {
        (Some(Excuse::FramesLost), None | Some(Excuse::Settling)) => Some(Excuse::FramesLost),
        (Some(Excuse::Settling | Excuse::AgentDoesNotRun), None) => Some(Excuse::Settling),
        (_, because) => because,
    };
    // An agent that does not run settles nothing: its lease does, or `takeover_after` was over.
    if because == Some(Excuse::Settling) && seen.act_since.is_none() {
        return Some(Excuse::AgentDoesNotRun);
    }
    because
}

fn explain_by_hearing(seen: &Together<'_>, now: Time) -> Option<Excuse> {
    let holders = seen.holders.iter().copied();
    let hear = |one: usize, other: usize| seen.hear_since[one][other];
    let for_long = |one, other| hear(one, other).is_some_and(|since| now.since(since) > SETTLE_WITHIN);
    if two_holders(&holders, for_long).is_some() && !seen.overruled {
        return None;
    }
    match two_holders(&holders, |one, other| hear(one, other).is_some()) {
        Some(_) => Some(Excuse::Settling),
        None => Some(Excuse::Apart),
    }
}
