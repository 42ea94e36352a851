//! Many schedules, on all processors: how many, how fast, what was measured, which failed.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::schedule::{Outcome, Schedule};
use crate::world::Measured;
use oracle::{Counts, Invariant};

/// Taken from the common counter at once.
const AT_ONCE: u64 = 64;

/// What to run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// How many schedules.
    pub schedules: u64,
    /// The first one's seed; the others' follow.
    pub seed: u64,
    /// So many hosts in each; or as the seed says.
    pub members: Option<usize>,
    /// Nothing is wrong but that the segment loses this share of all frames, in percent, while the VIP changes hands.
    pub loss_alone: Option<u8>,
    /// Every schedule has so many reader VIPs, 1 to 3; 0: each has some, as its seed says; none: one in sixteen has some.
    pub readers: Option<u8>,
    /// Every schedule has a second VIP for writers, on an interface of its own; otherwise one in sixteen has.
    pub own_interface: bool,
    /// End after so many failures, 1 at the least.
    pub failures: usize,
    /// A mistake in the rules.
    #[cfg(feature = "planted")]
    pub planted: Option<decide::planted::Planted>,
}

/// A schedule that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that it was made from.
    pub seed: u64,
    /// It.
    pub schedule: Schedule,
    /// What it broke.
    pub invariant: Invariant,
}

/// What a campaign gave.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How many schedules ran, by the number of hosts.
    pub ran: BTreeMap<usize, u64>,
    /// … by the number of VIPs for writers and for readers.
    pub vips: BTreeMap<(u8, u8), u64>,
    /// … in which the last VIP for writers had an interface of its own.
    pub own_interface: u64,
    /// How often reader VIPs were looked for in their places, after nothing had changed for long; and how often one moved.
    pub placed: (u64, u64),
    /// Virtual time.
    pub virtual_time: Duration,
    /// Real time.
    pub took: Duration,
    /// Schedules in which frames were lost or late at some time.
    pub lossy_schedules: u64,
    /// How often each excuse was needed.
    pub excuses: Counts,
    /// Two holders, all schedules together.
    pub two_holders: Measured,
    /// Schedules with two holders while frames were lost or late.
    pub lossy_overlaps: u64,
    /// … for longer than 0.1 s at a stretch.
    pub lossy_overlaps_long: u64,
    /// Faults that make the VIP change hands, in schedules in which frames were lost or late.
    pub lossy_moves: u64,
    /// The schedule with the longest of them.
    pub lossy_longest_seed: Option<u64>,
    /// How soon the VIP followed, in milliseconds.
    pub followed: BTreeMap<u64, u64>,
    /// Those that failed, by seed.
    pub failures: Vec<Failure>,
}

impl Findings {
    fn add(&mut self, schedule: &Schedule, outcome: &Outcome) {
        *self.ran.entry(schedule.members).or_default() += 1;
        let readers = schedule.readers.map_or(0, |readers| readers.vips);
        *self.vips.entry((1 + u8::from(schedule.second_vip), readers)).or_default() += 1;
        self.own_interface += u64::from(schedule.own_interface);
        self.virtual_time += outcome.length;
        self.placed = (self.placed.0 + outcome.placed.0, self.placed.1 + outcome.placed.1);
        self.lossy_schedules += u64::from(schedule.loses_frames());
        if schedule.loses_frames() {
            self.lossy_moves +=
                schedule.faults.iter().filter(|timed| timed.fault.moves_the_vip()).count() as u64;
        }
        if outcome.measured.lossy_longest > self.two_holders.lossy_longest {
            self.lossy_longest_seed = Some(schedule.seed);
        }
        self.two_holders.add(&outcome.measured);
        self.excuses.add(&outcome.excuses);
        self.lossy_overlaps += u64::from(outcome.measured.lossy_times > 0);
        self.lossy_overlaps_long += u64::from(outcome.measured.lossy_longest > Duration::from_millis(100));
        for followed in &outcome.followed {
            let ms = u64::try_from(followed.as_millis()).unwrap_or(u64::MAX);
            *self.followed.entry(ms).or_default() += 1;
        }
        if let Some(broken) = outcome.broken.first() {
            let (schedule, invariant) = (schedule.clone(), broken.invariant);
            self.failures.push(Failure { seed: schedule.seed, schedule, invariant });
        }
    }

    fn merge(&mut self, other: Self) {
        for (members, count) in other.ran {
            *self.ran.entry(members).or_default() += count;
        }
        for (vips, count) in other.vips {
            *self.vips.entry(vips).or_default() += count;
        }
        for (ms, count) in other.followed {
            *self.followed.entry(ms).or_default() += count;
        }
        self.own_interface += other.own_interface;
        self.virtual_time += other.virtual_time;
        self.placed = (self.placed.0 + other.placed.0, self.placed.1 + other.placed.1);
        self.lossy_schedules += other.lossy_schedules;
        if other.two_holders.lossy_longest > self.two_holders.lossy_longest {
            self.lossy_longest_seed = other.lossy_longest_seed;
        }
        self.two_holders.add(&other.two_holders);
        self.excuses.add(&other.excuses);
        self.lossy_moves += other.lossy_moves;
        self.lossy_overlaps += other.lossy_overlaps;
        self.lossy_overlaps_long += other.lossy_overlaps_long;
        self.failures.extend(other.failures);
    }

    /// How many schedules ran.
    pub fn count(&self) -> u64 {
        self.ran.values().sum()
    }

    /// The time within which this share of all moves followed, in milliseconds; 0 where there was none.
    fn followed_ms(&self, per_mille: u64) -> u64 {
        let all: u64 = self.followed.values().sum();
        let wanted = all * per_mille / 1000;
        let mut seen = 0;
        self.followed
            .iter()
            .find(|(_, count)| {
                seen += **count;
                seen >= wanted
            })
            .map_or(0, |(ms, _)| *ms)
    }
}

impl Campaign {
    /// Runs it on all processors.
    pub fn run(&self) -> Findings {
        let begin = Instant::now();
        let (next, enough) = (AtomicU64::new(0), AtomicBool::new(false));
        let found = AtomicU64::new(0);
        let worker = || {
            let mut findings = Findings::default();
            while !enough.load(Ordering::Relaxed) {
                let from = next.fetch_add(AT_ONCE, Ordering::Relaxed);
                if from >= self.schedules {
                    break;
                }
                for number in from..(from + AT_ONCE).min(self.schedules) {
                    let schedule = self.schedule(self.seed.wrapping_add(number));
                    let outcome = schedule.run();
                    findings.add(&schedule, &outcome);
                    if !outcome.broken.is_empty()
                        && found.fetch_add(1, Ordering::Relaxed) + 1 >= self.failures.max(1) as u64
                    {
                        enough.store(true, Ordering::Relaxed);
                        break;
                    }
                }
            }
            findings
        };
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let mut findings = Findings::default();
        thread::scope(|scope| {
            let handles: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            for handle in handles {
                match handle.join() {
                    Ok(part) => findings.merge(part),
                    Err(cause) => std::panic::resume_unwind(cause),
                }
            }
        });
        findings.failures.sort_by_key(|failure| failure.seed);
        findings.took = begin.elapsed();
        findings
    }

    /// The schedule of a seed.
    pub fn schedule(&self, seed: u64) -> Schedule {
        let mut schedule = match self.loss_alone {
            Some(percent) => Schedule::under_loss(seed, self.members, percent),
            None => Schedule::from_seed(seed, self.members),
        };
        if self.own_interface {
            schedule = schedule.with_own_interface();
        }
        if let Some(vips) = self.readers {
            schedule = schedule.with_readers((vips > 0).then_some(vips));
        }
        #[cfg(feature = "planted")]
        {
            schedule.planted = self.planted;
        }
        schedule
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64().max(0.001);
        #[allow(clippy::cast_precision_loss, reason = "for a reader")]
        let per_second = self.count() as f64 / seconds;
        writeln!(
            f,
            "{} schedules in {seconds:.1} s: {per_second:.0} a second, {:.0} s of virtual time each",
            self.count(),
            self.virtual_time.as_secs_f64()
                / f64::from(u32::try_from(self.count().max(1)).unwrap_or(u32::MAX))
        )?;
        for (members, count) in &self.ran {
            writeln!(f, "  {members} hosts: {count}")?;
        }
        for ((writers, readers), count) in &self.vips {
            writeln!(f, "  {writers} VIPs for writers and {readers} for readers: {count}")?;
        }
        if self.own_interface > 0 {
            writeln!(f, "  the last VIP for writers on an interface of its own: {}", self.own_interface)?;
        }
        if self.placed != (0, 0) {
            let (looks, moves) = self.placed;
            writeln!(
                f,
                "reader VIPs: looked for in their places {looks} times, given from one host to another {moves} times"
            )?;
        }
        let two = &self.two_holders;
        let s = |duration: Duration| format!("{:.3} s", duration.as_secs_f64());
        writeln!(f, "two holders that hear each other, whole network: {}", s(two.unexplained))?;
        writeln!(
            f,
            "two holders while frames are lost or late: in {} of {} such schedules, {} together, longest {}; longer than 0.1 s in {}",
            self.lossy_overlaps,
            self.lossy_schedules,
            s(two.lossy),
            s(two.lossy_longest),
            self.lossy_overlaps_long
        )?;
        if let Some(seed) = self.lossy_longest_seed {
            writeln!(
                f,
                "  {} times in {} switchovers, shutdowns and kills; the longest in the schedule of seed {seed}",
                two.lossy_times, self.lossy_moves
            )?;
        }
        writeln!(
            f,
            "two holders that have just begun to hear each other: {} together, longest {}",
            s(two.settling),
            s(two.settling_longest)
        )?;
        writeln!(f, "two holders that do not hear each other: {} together", s(two.apart))?;
        writeln!(
            f,
            "two holders that hear each other, one with an agent that does not run: {}",
            s(two.agentless)
        )?;
        writeln!(
            f,
            "a writable primary on a whole network has the VIP after: median {} ms, 99 % {} ms, 99.9 % {} ms, longest {} ms",
            self.followed_ms(500),
            self.followed_ms(990),
            self.followed_ms(999),
            self.followed_ms(1000)
        )?;
        writeln!(f, "{}", self.excuses)?;
        write!(f, "failures: {}", self.failures.len())
    }
}
