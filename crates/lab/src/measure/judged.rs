//! What the oracle says of a recording: shows it who bore the VIP, who led, and when the lab itself stood in the way. Judges nothing by
//! itself: the definitions are `oracle::outside`'s, the same that judge the simulator and the model.

use core::fmt;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use decide::time::Time;
use oracle::outside::{LetsGo, OneHolder, SETTLE_WITHIN, Together, follows, lets_go};
use oracle::{Breach, Broken, Counts};

use super::Holding;
use crate::record::{Phase, Recorded, Recording, What};

/// FOLLOWS: so long the VIP may take on a machine that is busy with other things. The figures that are promised are far below.
pub const FOLLOWS_WITHIN: Duration = Duration::from_secs(3);
/// NO-FLAP: a holder that has led for so long, with nothing in its way, keeps the VIP.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// What a server says of itself may be told so long after it has changed: it is asked each 20 ms, and may take a second.
/// Microseconds.
const TOLD_LATE_US: u64 = 1_500_000;
/// The oracle's places.
const PLACES: usize = 8;
/// Every host hears all others: that the lab parts them excuses no second holder.
const ALL_HEAR: [[Option<Time>; PLACES]; PLACES] = [[Some(Time(0)); PLACES]; PLACES];

/// What the oracle says of a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// The invariants that were broken, in no order.
    pub broken: Vec<Broken>,
    /// How often each excuse was needed.
    pub excuses: Counts,
    /// How long two hosts or more held the VIP together, between the faults too.
    pub two_holders: Duration,
}

impl Judged {
    /// ONE-HOLDER at every moment; NO-FLAP and FOLLOWS wherever a primary had led for long enough while nothing was done to the
    /// lab: from the fault until its rows have been looked for, everything may be in the way.
    pub fn of(vip: IpAddr, recording: &Recording) -> Self {
        let world = World::of(vip, recording);
        let mut judged = Self::holders(&world);
        for (host, from, to) in world.calm() {
            judged.kept(&world, host, from, to);
            judged.followed(&world, host, from, to);
        }
        judged
    }

    /// ONE-HOLDER alone: of a VIP whose group no witness watches. The recorded roles are those of the lab's first group.
    pub fn of_holders(vip: IpAddr, recording: &Recording) -> Self {
        Self::holders(&World::of(vip, recording))
    }

    fn holders(world: &World<'_>) -> Self {
        let two_holders = Duration::from_micros(world.holding.two_holders(0, world.end));
        let mut judged = Self { two_holders, ..Self::default() };
        judged.one_holder(world);
        judged
    }

    /// The same, only what was broken from then on (microseconds).
    #[must_use]
    pub fn since(mut self, from_us: u64) -> Self {
        self.broken.retain(|broken| broken.at >= Time(from_us));
        self
    }

    /// Together with what is said of another stretch.
    pub fn add(&mut self, other: Self) {
        self.broken.extend(other.broken);
        self.excuses.add(&other.excuses);
        self.two_holders += other.two_holders;
    }

    fn broke(&mut self, at_us: u64, breach: Breach) {
        self.broken.push(Broken { at: Time(at_us), invariant: breach.invariant, words: breach.words });
    }

    fn one_holder(&mut self, world: &World<'_>) {
        let mut judge = OneHolder::default();
        for (start, end, hosts) in world.holding.stretches(0, world.end) {
            // Gone from one and there on another at one moment: their order was not seen (`witness::all_addresses`).
            if hosts.len() > 1 && start == end {
                continue;
            }
            let seen = Together {
                holders: &world.places(&hosts),
                hear_since: &ALL_HEAR,
                frames_lost: world.frames_lost.iter().any(|(from, to)| *from < end && start < *to),
                overruled: false,
                act_since: Some(Time(0)),
                settle_within: SETTLE_WITHIN,
            };
            let look = judge.look(&seen, Time(start));
            self.excuses.count(look.news.and_then(|overlap| overlap.because));
            if let Some(breach) = look.breach {
                let words = format!("{} for {:.3} s", breach.words, seconds(end - start));
                self.broke(start, Breach { words, ..breach });
            }
        }
    }

    fn kept(&mut self, world: &World<'_>, host: &str, from: u64, to: u64) {
        for at in world.losses(host).filter(|at| (from..to).contains(at)) {
            let seen = LetsGo { well_for: Some(Duration::from_micros(at - from)), ..LetsGo::default() };
            match lets_go(seen, SETTLED_AFTER) {
                Ok(excuse) => self.excuses.count(excuse),
                Err(breach) => self.broke(at, of_host(host, &breach)),
            }
        }
    }

    fn followed(&mut self, world: &World<'_>, host: &str, from: u64, to: u64) {
        let Some(place) = world.place(host) else { return };
        let due = from + micros(FOLLOWS_WITHIN);
        for (start, _, hosts) in world.holding.stretches(due, to.max(due)) {
            let calm_for = Duration::from_micros(start - from);
            if start < to
                && let Err(breach) = follows(calm_for, FOLLOWS_WITHIN, place, &world.places(&hosts))
            {
                self.broke(start, of_host(host, &breach));
            }
        }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "two holders {:.3} s in all; ", self.two_holders.as_secs_f64())?;
        if self.broken.is_empty() {
            return write!(f, "no invariant broken, {}", self.excuses);
        }
        let broken: Vec<String> =
            self.broken.iter().map(|broken| format!("at {} {broken}", broken.at)).collect();
        write!(f, "BROKEN: {}", broken.join("; "))
    }
}

/// FOLLOWS after an election, by who knows that nothing else stands in the way: at the end of the budget, or of the time in which it
/// was watched for, the VIP is with that primary alone.
///
/// # Errors
/// How it is broken.
pub(super) fn followed_election(
    recording: &Recording,
    vip: IpAddr,
    primary: &str,
    elected_us: u64,
    watched_us: u64,
) -> Result<(), Breach> {
    let world = World::of(vip, recording);
    let Some(place) = world.place(primary) else { return Ok(()) };
    let at = (elected_us + micros(FOLLOWS_WITHIN)).min(watched_us.saturating_sub(1));
    let holders = world.places(&world.holding.at(at));
    follows(FOLLOWS_WITHIN, FOLLOWS_WITHIN, place, &holders).map_err(|breach| of_host(primary, &breach))
}

/// NO-FLAP from this moment on (microseconds), by who knows that the holder has been well all the time: nobody lets go.
///
/// # Errors
/// How it is broken.
pub fn kept_since(recording: &Recording, vip: IpAddr, from_us: u64) -> Result<(), Breach> {
    let world = World::of(vip, recording);
    for host in &world.hosts {
        for at in world.losses(host).filter(|at| *at >= from_us) {
            let well_for = Some(Duration::from_micros(at - from_us) + SETTLED_AFTER);
            let seen = LetsGo { well_for, ..LetsGo::default() };
            let after = seconds(at - from_us);
            lets_go(seen, SETTLED_AFTER).map_err(|breach| Breach {
                words: format!("{host} {}, {after:.3} s after the fault", breach.words),
                ..breach
            })?;
        }
    }
    Ok(())
}

fn of_host(host: &str, breach: &Breach) -> Breach {
    Breach { invariant: breach.invariant, words: format!("{host} {}", breach.words) }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

/// What the witnesses saw, as the oracle asks for it.
struct World<'a> {
    recording: &'a Recording,
    /// The hosts whose addresses are watched: the oracle's places.
    hosts: BTreeSet<&'a str>,
    holding: Holding,
    /// From when to when frames got lost.
    frames_lost: Vec<(u64, u64)>,
    end: u64,
}

impl<'a> World<'a> {
    fn of(vip: IpAddr, recording: &'a Recording) -> Self {
        let end = super::end(recording);
        let watched = |recorded: &&Recorded| matches!(recorded.what, What::Addresses(_));
        let hosts = recording.all().iter().filter(watched).map(|recorded| recorded.who.as_str());
        let lost = spans(recording, end, |what| match what {
            What::FramesGetLost(lost) => Some(*lost),
            _ => None,
        });
        let hosts = hosts.collect::<BTreeSet<_>>().into_iter().take(PLACES).collect();
        Self { recording, hosts, holding: Holding::of(vip, recording), frames_lost: lost, end }
    }

    fn place(&self, host: &str) -> Option<usize> {
        self.hosts.iter().position(|known| *known == host)
    }

    fn places(&self, hosts: &BTreeSet<String>) -> Vec<usize> {
        hosts.iter().filter_map(|host| self.place(host)).collect()
    }

    /// When the VIP left a host. One that has lost its power lets go of nothing.
    fn losses<'b>(&'b self, host: &'b str) -> impl Iterator<Item = u64> + use<'a, 'b> {
        let down = move |at: u64| {
            let mut all = self.recording.all().iter();
            all.any(|told| told.at_us == at && told.who == host && told.what == What::HostDown)
        };
        let changes = self.holding.changes();
        changes
            .windows(2)
            .filter(move |two| two[0].hosts.contains(host) && !two[1].hosts.contains(host))
            .map(|two| two[1].at_us)
            .filter(move |at| !down(*at))
    }

    /// Who led from when to when, while nothing was done to the lab. What was said last may not hold any more.
    fn calm(&self) -> Vec<(&'a str, u64, u64)> {
        let deeds = spans(self.recording, self.end, |what| match what {
            What::Fault { phase: Phase::Injected, .. } => Some(true),
            What::Verified { .. } => Some(false),
            _ => None,
        });
        let mut calm = Vec::new();
        for host in &self.hosts {
            let of_host = |recorded: &Recorded| match &recorded.what {
                What::Role(role) => Some(role.is_writable_primary()),
                What::NoRole { .. } | What::HostDown => Some(false),
                _ => None,
            };
            let led = spans_of(self.recording, self.end, |recorded| {
                if recorded.who == *host { of_host(recorded) } else { None }
            });
            for (from, to) in led {
                let to = to.saturating_sub(TOLD_LATE_US);
                let mut begins = from;
                for (deed, done) in deeds.iter().filter(|(deed, done)| *deed < to && from < *done) {
                    calm.push((*host, begins, *deed));
                    begins = begins.max(*done);
                }
                calm.push((*host, begins, to));
            }
        }
        calm.retain(|(_, from, to)| from < to);
        calm
    }
}

/// From when to when something was so.
fn spans(recording: &Recording, end: u64, tells: impl Fn(&What) -> Option<bool>) -> Vec<(u64, u64)> {
    spans_of(recording, end, |recorded| tells(&recorded.what))
}

fn spans_of(recording: &Recording, end: u64, tells: impl Fn(&Recorded) -> Option<bool>) -> Vec<(u64, u64)> {
    let (mut spans, mut since) = (Vec::new(), None);
    for recorded in recording.all() {
        match (tells(recorded), since) {
            (Some(true), None) => since = Some(recorded.at_us),
            (Some(false), Some(from)) => {
                spans.push((from, recorded.at_us));
                since = None;
            }
            _ => {}
        }
    }
    spans.extend(since.map(|from| (from, end)));
    spans
}

#[cfg(test)]
mod tests;
