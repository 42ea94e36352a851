//! PLACED, from outside: reader VIPs are where they belong once nothing changes any more, and none moves that need not.

use std::time::Duration;

use crate::inputs::{ReaderPolicy, Time, WhenNoReader};
use crate::invariant::{Breach, Invariant};
use crate::outside::names;

/// A server that does not answer serves nobody after 5 s of that; a question to it is given up after one.
const SILENCE_KNOWN_AFTER: Duration = Duration::from_secs(6);
/// Server and backlog are asked once a second at the least.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// Whoever has just begun to listen has heard all words after so long.
const LISTENS_FOR: Duration = Duration::from_millis(1_500);
/// Of a host that has fallen silent nobody knows that it has let go of what it had, until so long after its last word.
const SILENT_HAS_LET_GO: Duration = Duration::from_secs(8);
/// A claim, its dispute and its second check, as for the writer's VIP.
const CLAIMED_WITHIN: Duration = Duration::from_millis(1_500);
/// A member that has said that it is not fit has no reader VIP any more after so long, where another can have it.
pub const GIVEN_AWAY_WITHIN: Duration = Duration::from_millis(200);

/// A host whose server takes no new clients has no reader VIP any more after so long, where another can have it: it is looked at once a
/// second, if nothing tells sooner, and then the VIP moves.
pub const CLOSED_FOR: Duration = Duration::from_millis(1_300);

/// A host that is cut off from the others on the segment alone has no reader VIP any more after so long: their answers count for 4 s, it asks
/// them once a second, and its server is asked once more. The others take what it had no sooner than 7 s after it was cut off.
pub const CUT_OFF_FOR: Duration = Duration::from_secs(6);

/// How a host stands, by what its own agent can know. What it hears of others does not come into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An ONLINE secondary with the majority and its gateway, not too far behind, and its agent runs.
    Fit,
    /// The same, and too far behind.
    Behind,
    /// The primary, ONLINE with the majority and its gateway, and its agent runs.
    Primary,
    /// Its agent is paused by the operator.
    Paused,
    /// Its server, its gateway or its agent is not in order, or its server takes no new clients.
    Unfit,
}

/// So long after the last change each reader VIP is where it belongs. By then each host's own word is final: it has been behind, or
/// well, for as long as that takes, or its server was silent for long enough; one that has fallen silent has let go of what it had; and
/// the claims are through.
pub fn settles_within(readers: &ReaderPolicy) -> Duration {
    let word = (readers.behind_for + ASKED_EVERY).max(readers.well_for + ASKED_EVERY);
    word.max(SILENCE_KNOWN_AFTER).max(LISTENS_FOR) + SILENT_HAS_LET_GO + CLAIMED_WITHIN
}

/// Who may have a reader VIP, in order.
pub fn entitled(standings: &[Standing], when_none: WhenNoReader) -> Vec<usize> {
    let all = |wanted: &[Standing]| -> Vec<usize> {
        (0..standings.len()).filter(|place| wanted.contains(&standings[*place])).collect()
    };
    let fit = all(&[Standing::Fit]);
    match when_none {
        _ if !fit.is_empty() => fit,
        WhenNoReader::Primary => all(&[Standing::Primary]),
        WhenNoReader::Nobody => Vec::new(),
        WhenNoReader::AnyOnline => all(&[Standing::Primary, Standing::Behind]),
    }
}

/// PLACED: who holds each reader VIP, when everything has stood still for [`settles_within`].
///
/// # Errors
/// How that is broken.
pub fn placed(standings: &[Standing], holders: &[Vec<usize>], when_none: WhenNoReader) -> Result<(), Breach> {
    let entitled = entitled(standings, when_none);
    let breach = |words: String| Err(Breach::new(Invariant::Placed, words));
    let keeps = |place: &usize| standings[*place] == Standing::Paused;
    for (number, holders) in holders.iter().enumerate() {
        match holders.as_slice() {
            [] if entitled.is_empty() => {}
            [] => {
                return breach(format!(
                    "reader VIP {} is nowhere, and {} may have it",
                    number + 1,
                    names(&entitled)
                ));
            }
            [holder] if keeps(holder) || entitled.contains(holder) => {}
            // Whoever had it last keeps it: it has no better place. A primary that is to be spared does not.
            [holder] if entitled.is_empty() => {
                let serves = matches!(standings[*holder], Standing::Primary | Standing::Behind);
                if when_none == WhenNoReader::Nobody && serves {
                    return breach(format!(
                        "reader VIP {} is on {}, and nobody is to have it",
                        number + 1,
                        names(holders)
                    ));
                }
            }
            holders => {
                let words = format!(
                    "reader VIP {} is on {}, and belongs to {}",
                    number + 1,
                    names(holders),
                    names(&entitled)
                );
                return breach(words);
            }
        }
    }
    let load = |place: &usize| holders.iter().filter(|holders| holders.contains(place)).count();
    let (most, least) = (entitled.iter().map(load).max(), entitled.iter().map(load).min());
    match most.zip(least) {
        Some((most, least)) if most > least + 1 => {
            breach(format!("one host has {most} reader VIPs, and another that may have them {least}"))
        }
        _ => Ok(()),
    }
}

/// A host that has been fit, and has said so, for longer than this is known to be by all that hear it.
const SERVES_FOR: Duration = Duration::from_secs(2);

/// A reader VIP goes from one host to another.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    /// For so long the host that had it has been fit, and everybody has heard it. None: it is not so.
    pub fit_for: Option<Duration>,
    /// For so long it has been so and has said it too, whether it has been well for long enough yet or not.
    pub serves_for: Option<Duration>,
    /// How many reader VIPs it had.
    pub load: usize,
    /// The fewest that another has that has been fit for long.
    pub least: usize,
    /// The host that takes it has not been fit for as long as it is to be: for so long it has.
    pub settles_for: Option<Duration>,
    /// How many reader VIPs that has already.
    pub takers: usize,
    /// The fewest that a third has which is a secondary, or is about to be one, and has been nothing but a secondary or the primary for
    /// long. None: there is none.
    pub steady: Option<usize>,
}

/// PLACED: no reader VIP leaves a fit host that has no more than its share, nor goes to one that has not been well for long enough, nor to
/// one from which it would have to go on to another.
///
/// # Errors
/// How that is broken.
pub fn moves(seen: &Move, readers: &ReaderPolicy) -> Result<(), Breach> {
    let settled = seen.fit_for.is_some_and(|fit_for| fit_for > settles_within(readers));
    let serves = settled || seen.serves_for.is_some_and(|serves_for| serves_for > SERVES_FOR);
    let breach = |words: String| Err(Breach::new(Invariant::Placed, words));
    if let Some(steady) = seen.steady.filter(|steady| seen.takers > *steady) {
        return breach(format!(
            "takes a reader VIP beside the {} that it has, and another that has been in order for long has {steady}",
            seen.takers
        ));
    }
    match seen.settles_for {
        Some(well) if settled && well + ASKED_EVERY < readers.well_for => breach(format!(
            "takes a reader VIP from a host that is fit, and has itself been well for {:.1} s",
            well.as_secs_f64()
        )),
        _ if serves && seen.load <= seen.least.saturating_add(1) => breach(format!(
            "loses one of {} reader VIPs, is fit, and nobody has fewer than {}",
            seen.load, seen.least
        )),
        _ => Ok(()),
    }
}

/// PLACED: what a host that has said that it is not fit still has, though another that is fit has heard it.
///
/// # Errors
/// How that is broken.
pub fn given_away(said_for: Duration, within: Duration, holds: bool) -> Result<(), Breach> {
    if !holds || said_for < within {
        return Ok(());
    }
    let words =
        format!("still has a reader VIP {} ms after it said that it is not fit", said_for.as_millis());
    Err(Breach::new(Invariant::Placed, words))
}

/// PLACED: a host's server has taken no new clients for so long, though another is fit. [`CLOSED_FOR`] is too long.
///
/// # Errors
/// How that is broken.
pub fn closed(closed_for: Duration, holds: bool) -> Result<(), Breach> {
    if !holds || closed_for < CLOSED_FOR {
        return Ok(());
    }
    let words = format!(
        "still has a reader VIP {} ms after its server began to refuse new clients",
        closed_for.as_millis()
    );
    Err(Breach::new(Invariant::Placed, words))
}

/// PLACED: a host has not reached enough of the others on the segment for so long. [`CUT_OFF_FOR`] is too long: the others take what it has.
///
/// # Errors
/// How that is broken.
pub fn cut_off(cut_for: Duration, holds: bool) -> Result<(), Breach> {
    if !holds || cut_for < CUT_OFF_FOR {
        return Ok(());
    }
    let words = format!(
        "still has a reader VIP {:.1} s after it was cut off from the others on the segment",
        cut_for.as_secs_f64()
    );
    Err(Breach::new(Invariant::Placed, words))
}

/// Since when nothing has changed that a reader VIP's place depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stillness {
    standings: Vec<Standing>,
    since: Option<Time>,
}

impl Stillness {
    /// Looks at how each host stands. `standings`: none where something is in the way: hosts that do not hear each other, frames that are
    /// lost, an address on a host without an agent. Gives since when it has been so, where that has just begun.
    pub fn look(&mut self, standings: Option<Vec<Standing>>, now: Time) -> Option<Time> {
        let Some(standings) = standings else {
            self.since = None;
            return None;
        };
        if self.since.is_some() && self.standings == standings {
            return None;
        }
        *self = Self { standings, since: Some(now) };
        self.since
    }

    /// Since when, and how each host stands; none: something is in the way.
    pub fn since(&self) -> Option<(Time, &[Standing])> {
        self.since.map(|since| (since, self.standings.as_slice()))
    }
}
