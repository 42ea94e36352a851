//! The lab for as long as is wanted: at rest, with every core busy, or with one random real fault after another.
//!
//! In stretches, each with a recording of its own: an hour's is too much to look through after each fault.
//!
//! | file | the one idea |
//! |---|---|
//! | `soak/shown.rs` | a step with `haipmgr status` beside it, and what came of all of them |
//! | `soak/stays.rs` | for how long reader VIPs were on hosts that may not have them |
//! | `soak/looks.rs` | the command, typed on one host after the other |
//! | `soak/witnessed.rs` | what the witnesses told, as values with their times: pure |
//! | `soak/agreement.rs` | what was shown against what was witnessed: pure |

mod agreement;
mod looks;
mod shown;
mod stays;
mod witnessed;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use self::shown::Shown;
use self::stays::Stays;
use super::expect::untouched;
use super::machine::with_all_cores_busy;
use super::one_lab::make_whole;
use super::{Broken, NotRun, TESTS, Tally, Test, UnderTest, families, logs, prove};
use crate::experiment::Experiment;
use crate::measure::Judged;
use crate::namespace::Layout;
use crate::record::now_us;
use crate::segment::{Family, family, readers, vips};

/// One recording is no longer than this.
const STRETCH: Duration = Duration::from_secs(300);
/// What is not drawn: it brings up a second group, reads what earlier tests wrote, waits minutes for one figure, or counts processes of the
/// agent's name, among which are the commands by which the soak looks.
const NOT_DRAWN: [&str; 6] = [
    "two_clusters_on_one_agent",
    "s1_grep_warn_lists_exactly_the_switches",
    "s6_stat_file_follows",
    "s16_state_file_read_each_minute",
    "s17_processes",
    "all_cores_busy_for_a_minute",
];

/// What is not drawn where the cluster has several VIPs: it counts the hooks of one, wants nothing before the host's own address, or knows what
/// `check` has to say of one.
const OF_ONE_VIP: [&str; 6] = [
    "hooks_once_for_each_switch",
    "hook_that_hangs_is_ended",
    "webhook_over_https_once_for_each_switch",
    "vip_with_a_network_of_its_own",
    "check_finds_what_is_planted",
    "check_is_silent_on_a_good_group",
];

/// The field cases; not the one that removes the log, which is to be measured.
const FIELD: [&str; 13] = [
    "login_thrown_out_by_init_connect",
    "vip_on_a_members_loopback",
    "holders_hardware_address_changed",
    "mysqld_does_not_listen_at_the_vip",
    "check_names_what_does_not_fit_the_host",
    "run_folder_cleared_then_stopped",
    "account_needs_a_certificate",
    "arp_kept_in_by_the_holder",
    "arp_ignored_by_a_holder_without_an_agent",
    "arp_dropped_by_a_holder_without_an_agent",
    "new_primary_stays_read_only",
    "primary_made_read_only",
    "group_goes_multi_primary_and_back",
];
/// So many kinds of lines are shown, of those that fill the logs.
const LINES_SHOWN: usize = 40;
/// An hour's log is smaller, in bytes.
const AN_HOURS_LOG: usize = 200_000;
/// From one field case to the next.
const FIELD_EVERY: Duration = Duration::from_mins(1);

/// What is done meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Soak {
    /// Nothing: the VIP must not be touched
    Rest,
    /// Every core has more to do than it can: the VIP must not be touched
    Busy,
    /// Random faults, each held against what is to come of it, and `haipmgr status` against what the lab sees
    Faults,
    /// The field cases in turn, one a minute: beside what is to come of each, an hour of them leaves a log of under 200 kB
    Field,
}

/// Brings the lab up, and does that for so long; prints a line for each stretch or fault, and the tally. The same seed draws
/// the same faults.
///
/// # Errors
/// The lab does not come up at all.
pub fn soak(layout: &Layout, kind: Soak, time: Duration, seed: u64) -> Result<Tally, NotRun> {
    let mut tally = Tally::default();
    let mut under_test = UnderTest { layout: layout.clone(), experiment: Experiment::start(layout, false)? };
    let since = Instant::now();
    let mut judged = Judged::default();
    let mut stretch_began = Instant::now();
    let mut draw =
        Draw { seed, turns: 0, readers: !readers().is_empty(), several: vips().len() + readers().len() > 1 };
    let field: Vec<_> = TESTS.iter().filter(|test| FIELD.contains(&test.name)).collect();
    let logs_before = log_sizes(&under_test);
    let (mut shown, mut stays) = (Shown::default(), Stays::default());
    while since.elapsed() < time {
        let left = time.saturating_sub(since.elapsed()).min(STRETCH);
        let began = Instant::now();
        let (name, outcome) = match kind {
            Soak::Rest => untouched_for(&mut under_test, "at rest", left, false),
            Soak::Busy => untouched_for(&mut under_test, "every core busy", left, true),
            Soak::Faults => {
                let (name, proof) = draw.one();
                (name, watched_fault(&mut under_test, (name, proof), &mut shown, &mut stays))
            }
            Soak::Field => {
                let test = field[(tally.passed + tally.failed) % field.len().max(1)];
                let outcome = prove(&mut under_test, test.proof);
                std::thread::sleep(until_the_next_case(began, since, time));
                (test.name, outcome)
            }
        };
        let at = since.elapsed().as_secs_f64();
        match outcome {
            Ok(figures) => {
                tally.passed += 1;
                println!("{at:7.1} s  {name} ok: {figures}");
            }
            Err(reason) => {
                tally.failed += 1;
                println!(
                    "{at:7.1} s  {name} FAILED\n  {reason}\n{}",
                    logs::last_lines(&under_test.experiment)
                );
                judged.add(under_test.experiment.judged());
                match make_whole(under_test) {
                    Ok(whole) => under_test = whole,
                    Err(error) => {
                        println!("the lab does not come up any more: {error}");
                        tally.failed += 1;
                        return Ok(tally);
                    }
                }
                // What was seen until here is in the sum.
                under_test.experiment.begin_recording_anew(layout)?;
                stretch_began = Instant::now();
            }
        }
        if stretch_began.elapsed() >= STRETCH {
            judged.add(under_test.experiment.begin_recording_anew(layout)?);
            stretch_began = Instant::now();
        }
    }
    judged.add(under_test.experiment.judged());
    if kind == Soak::Field {
        print_what_is_said_most(&under_test, &logs_before);
        tally.failed += usize::from(!logs_are_small(&under_test, &logs_before, since.elapsed()));
    }
    if kind == Soak::Faults {
        println!("\n{shown}{stays}");
    }
    finish(under_test, &tally, &judged, seed, since.elapsed());
    Ok(tally)
}

/// One fault, with `haipmgr status` held against the witnesses, and where the reader VIPs were meanwhile.
fn watched_fault(
    under_test: &mut UnderTest,
    (name, proof): (&'static str, super::Proof),
    shown: &mut Shown,
    stays: &mut Stays,
) -> Result<String, Broken> {
    let began_us = now_us();
    let figures = shown.beside(under_test, proof)?;
    stays.judge(under_test, name, began_us, figures)
}

/// What is said again and again while nothing changes counts too.
fn until_the_next_case(began: Instant, since: Instant, time: Duration) -> Duration {
    FIELD_EVERY.saturating_sub(began.elapsed()).min(time.saturating_sub(since.elapsed()))
}

/// Ends the lab, and prints what came of all of it.
fn finish(under_test: UnderTest, tally: &Tally, judged: &Judged, seed: u64, time: Duration) {
    let cost = under_test.experiment.agent_cost();
    let unseen = under_test.experiment.addresses_latest();
    under_test.experiment.finish();
    println!(
        "\nseed {seed}: {} passed, {} failed in {:.0} s; {judged} (the addresses' witness was {:.1} ms late at most). The dearest agent: {:.1} MB, {:.2} % of a core",
        tally.passed,
        tally.failed,
        time.as_secs_f64(),
        unseen.as_secs_f64() * 1e3,
        crate::report::megabytes(cost.memory),
        cost.processor * 100.0
    );
}

fn log_sizes(under_test: &UnderTest) -> Vec<usize> {
    let places = 0..under_test.experiment.lab.segment.databases.len();
    places.map(|place| logs::whole(&under_test.experiment, place).len()).collect()
}

/// Prints how much each agent's log has grown, and whether an hour of that would be too much.
fn logs_are_small(under_test: &UnderTest, before: &[usize], time: Duration) -> bool {
    let mut small = true;
    for (place, (now, before)) in log_sizes(under_test).into_iter().zip(before).enumerate() {
        let grown = now.saturating_sub(*before);
        let seconds = usize::try_from(time.as_secs()).unwrap_or(usize::MAX).max(1);
        let an_hour = grown.saturating_mul(3600) / seconds;
        small &= an_hour < AN_HOURS_LOG;
        println!(
            "the log on {} grew by {grown} bytes in {seconds} s: {} kB in an hour; the limit is {} kB",
            under_test.experiment.name(place),
            an_hour / 1000,
            AN_HOURS_LOG / 1000
        );
    }
    small
}

/// Prints which lines have filled the logs most, since they had those sizes: what differs by figures alone counts as the same line.
fn print_what_is_said_most(under_test: &UnderTest, before: &[usize]) {
    let mut said: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (place, before) in before.iter().enumerate() {
        let log = logs::whole(&under_test.experiment, place);
        for line in log.get(*before..).unwrap_or_default().lines() {
            let kind: String = line.chars().filter(|letter| !letter.is_ascii_digit()).collect();
            let (count, bytes) = said.entry(kind).or_default();
            *count += 1;
            *bytes += line.len() + 1;
        }
    }
    let mut said: Vec<_> = said.into_iter().map(|(kind, (count, bytes))| (bytes, count, kind)).collect();
    said.sort_unstable_by(|one, other| other.cmp(one));
    println!("bytes in all logs, lines, which:");
    for (bytes, count, kind) in said.iter().take(LINES_SHOWN) {
        println!("{bytes:8} {count:6}  {kind}");
    }
}

fn untouched_for(
    under_test: &mut UnderTest,
    name: &'static str,
    time: Duration,
    busy: bool,
) -> (&'static str, Result<String, Broken>) {
    let outcome = prove(under_test, |under_test| {
        let figures = under_test.experiment.watched(name, |_| {
            // That nothing happens can only be seen by letting time pass.
            if busy {
                with_all_cores_busy(time);
            } else {
                std::thread::sleep(time);
            }
            Ok::<_, Broken>(())
        })?;
        untouched(&under_test.experiment, &figures)
    });
    (name, outcome)
}

/// Draws tests (a 64-bit linear congruential generator, Knuth's constants).
struct Draw {
    seed: u64,
    turns: usize,
    /// The lab has reader VIPs: every second fault is about them.
    readers: bool,
    /// The lab's cluster has more than one VIP.
    several: bool,
}

impl Draw {
    fn one(&mut self) -> (&'static str, super::Proof) {
        self.turns += 1;
        let of_readers = self.readers && self.turns.is_multiple_of(2);
        let fits = |test: &&Test| {
            let drawn = !(NOT_DRAWN.contains(&test.name) || self.several && OF_ONE_VIP.contains(&test.name));
            let of_the_family = family() != Family::V6 || families::reason(test.name).is_none();
            drawn && of_the_family && (!of_readers || test.name.contains("reader"))
        };
        let fit: Vec<_> = TESTS.iter().filter(fits).collect();
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = usize::try_from(self.seed >> 33).unwrap_or_default() % fit.len().max(1);
        (fit[place].name, fit[place].proof)
    }
}

#[cfg(test)]
mod tests {
    use super::{Draw, NOT_DRAWN, OF_ONE_VIP, TESTS};

    #[test]
    fn the_same_seed_draws_the_same_faults_and_every_fault_is_drawn() {
        let drawn = |seed, readers| {
            let mut draw = Draw { seed, turns: 0, readers, several: readers };
            (0..5000).map(|_| draw.one().0).collect::<Vec<_>>()
        };
        assert_eq!(drawn(7, false), drawn(7, false));
        let all = drawn(1, false);
        assert!(
            TESTS.iter().all(|test| NOT_DRAWN.contains(&test.name) != all.contains(&test.name)),
            "each test is drawn, but for those that are not to be"
        );
        assert!(!drawn(1, true).iter().any(|name| OF_ONE_VIP.contains(name)));
        let about = drawn(1, true).iter().filter(|name| name.contains("reader")).count();
        assert!(about > 2500, "every second one is about readers: {about}");
    }
}
