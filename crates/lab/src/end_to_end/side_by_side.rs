//! Several labs side by side, each with hosts and a group of its own, that share the tests; and the tests that want the machine for
//! themselves, after them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::one_lab::{Share, Told};
use super::queue::Filled;
use super::{NotRun, Tally, Test, When, chosen, families};

/// What a server takes, with its files, which are in memory too. Bytes.
const OF_A_SERVER: u64 = 900_000_000;
/// What is left to everything else on the machine, a second group in one of the labs among it. Bytes.
const LEFT_FREE: u64 = 4_000_000_000;
/// A lab mostly waits; more than this many for each core, and it would wait for a core.
const LABS_A_CORE: usize = 2;
/// `./test` has a lab of another kind beside these.
const BESIDE: usize = 1;
/// Bringing a lab up takes as long as a test or two: for fewer than this many it is not worth it.
const TESTS_A_LAB: usize = 4;
/// Where more than these fail, one in ten of all, it is not the machine.
const SECOND_TRIES: usize = 16;
/// Lines shown of what a lab said that ended too soon.
const SHOWN: usize = 20;

/// How many labs, and how each is started.
pub struct Labs<'a> {
    /// How many; none: as many as the memory and the cores are good for.
    pub wanted: Option<usize>,
    /// The members of each group.
    pub members: usize,
    /// The command that becomes a lab with this share and number; lab 0 is the one that runs alone.
    pub command: &'a dyn Fn(&Share, usize) -> std::io::Result<Command>,
}

/// Runs the tests with one of `filters` in their name (all, without any); prints how each went when it is done, and the tally.
///
/// # Errors
/// No test fits, or no lab can be started.
pub fn run_side_by_side(filters: &[String], labs: &Labs<'_>) -> Result<Tally, NotRun> {
    let since = Instant::now();
    let of =
        |tests: &[Test], when| tests.iter().filter(|test| test.when == when).copied().collect::<Vec<_>>();
    let all = families::fit(chosen(filters)?);
    let (anytime, each, last, alone) =
        (of(&all, When::Anytime), of(&all, When::InEachLab), of(&all, When::Last), of(&all, When::Alone));
    let mut results = Results::default();
    let mut number = 0;
    if all.len() > alone.len() {
        let tests = anytime.len() + last.len();
        number = labs.wanted.unwrap_or_else(|| fit(labs.members, tests)).clamp(1, tests.max(1));
        results.add(labs, &Filled::with(&anytime)?, &each, Some(&Filled::with(&last)?), 1..=number)?;
    }
    if !alone.is_empty() {
        results.add(labs, &Filled::with(&alone)?, &[], None, 0..=0)?;
    }
    let again = results.worth_a_second_try(&all);
    if !again.is_empty() {
        results.second_try = Some(Vec::new());
        results.add(labs, &Filled::with(&again)?, &[], None, 0..=0)?;
    }
    let once = all.iter().filter(|test| test.when != When::InEachLab);
    results.miss(once.map(|test| (test.name, 1)).chain(each.iter().map(|test| (test.name, number))));
    println!("\n{}", results.summary(since.elapsed().as_secs_f64(), number));
    Ok(results.tally)
}

/// As many labs as there is memory and work for.
fn fit(members: usize, tests: usize) -> usize {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    as_many(available(&meminfo), cores, members, tests)
}

fn as_many(available: u64, cores: usize, members: usize, tests: usize) -> usize {
    let a_lab = OF_A_SERVER * u64::try_from(members).unwrap_or(u64::MAX).max(1);
    let by_memory = usize::try_from(available.saturating_sub(LEFT_FREE) / a_lab).unwrap_or(usize::MAX);
    by_memory.min(cores * LABS_A_CORE - BESIDE).min(tests / TESTS_A_LAB).max(1)
}

/// Bytes, from /proc/meminfo (proc(5)).
fn available(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

#[derive(Debug, Default)]
struct Results {
    tally: Tally,
    told: Vec<Told>,
    /// Those that failed are run once more, alone: which of them did what they should then.
    second_try: Option<Vec<String>>,
}

impl Results {
    /// Starts these labs with a share each, and takes in what they tell until all have ended.
    fn add(
        &mut self,
        labs: &Labs<'_>,
        queue: &Filled,
        each: &[Test],
        last: Option<&Filled>,
        numbers: std::ops::RangeInclusive<usize>,
    ) -> Result<(), NotRun> {
        let share = Share {
            queue: queue.descriptor(),
            then: each.iter().map(|test| test.name.to_owned()).collect(),
            last: last.map(Filled::descriptor),
        };
        let mut started = Vec::new();
        for number in numbers {
            let lab = (labs.command)(&share, number).and_then(|mut command| {
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
            });
            match lab {
                Ok(lab) => started.push((number, lab)),
                // With one lab fewer the tests take longer.
                Err(error) if !started.is_empty() => println!("lab {number} can't be started: {error}"),
                Err(error) => return Err(NotRun::NoLab(error)),
            }
        }
        let results = Mutex::new(self);
        thread::scope(|scope| {
            for (number, lab) in started {
                let results = &results;
                scope.spawn(move || follow(number, lab, results));
            }
        });
        Ok(())
    }

    /// The tests that failed for what may be a matter of time, while other labs and whatever else ran beside them: they are few, and
    /// what is never to happen did not.
    fn worth_a_second_try(&self, all: &[Test]) -> Vec<Test> {
        let failed: Vec<&Told> = self.told.iter().filter(|told| !told.passed).collect();
        if failed.len() > SECOND_TRIES {
            return Vec::new();
        }
        let names: BTreeSet<&str> =
            failed.iter().filter(|told| told.may_be_the_machine).map(|told| told.name.as_str()).collect();
        let fits =
            |test: &&Test| names.contains(test.name) && matches!(test.when, When::Anytime | When::Alone);
        all.iter().filter(fits).copied().collect()
    }

    fn tell(&mut self, told: Told, lab: usize) {
        let place = if lab == 0 { "alone".to_owned() } else { format!("lab {lab}") };
        let Told { name, passed, seconds, words, .. } = &told;
        if let Some(mended) = self.second_try.as_mut().filter(|_| *passed) {
            self.tally.passed += 1;
            self.tally.failed -= 1;
            mended.push(name.clone());
            println!("test {name} ok at the second try ({seconds:.1} s, alone): {words}");
        } else if self.second_try.is_some() {
            println!("test {name} FAILED again ({seconds:.1} s, alone)\n  {words}");
        } else if *passed {
            self.tally.passed += 1;
            println!(
                "test {name} ok ({seconds:.1} s, {place}){}{words}",
                if words.is_empty() { "" } else { ": " }
            );
        } else {
            self.tally.failed += 1;
            println!("test {name} FAILED ({seconds:.1} s, {place})\n  {words}");
        }
        self.told.push(told);
    }

    /// Whatever was to be run so often and was not counts as failed.
    fn miss<'a>(&mut self, wanted: impl Iterator<Item = (&'a str, usize)>) {
        for (name, times) in wanted {
            let ran = self.told.iter().filter(|told| told.name == name).count();
            if ran < times {
                self.tally.failed += times - ran;
                println!("test {name} NOT RUN{}: its lab ended before", of_times(times - ran, times));
            }
        }
    }

    fn summary(&self, took: f64, labs: usize) -> String {
        let Tally { passed, failed } = self.tally;
        let in_turn = self.told.iter().fold(0.0, |sum, told| sum + told.seconds);
        let second =
            self.second_try.as_ref().filter(|mended| !mended.is_empty()).map_or_else(String::new, |mended| {
                format!(
                    "\nfailed at first, and did what they should at a second try, alone: {}",
                    mended.join(", ")
                )
            });
        let names: BTreeSet<&str> = self.told.iter().map(|told| told.name.as_str()).collect();
        let mut slowest: Vec<&Told> = self.told.iter().collect();
        slowest.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
        let slowest: Vec<String> =
            slowest.iter().take(5).map(|told| format!("{} {:.0} s", told.name, told.seconds)).collect();
        format!(
            "the slowest: {}\n{passed} passed, {failed} failed: {} tests, {labs} labs side by side, {took:.0} s in all (one test after another: {in_turn:.0} s){second}",
            slowest.join(", "),
            names.len()
        )
    }
}

fn of_times(missing: usize, times: usize) -> String {
    if times == 1 { String::new() } else { format!(" in {missing} of {times} labs") }
}

/// Takes in what a lab tells until it has ended, and says why where it ended too soon.
fn follow(number: usize, mut lab: Child, results: &Mutex<&mut Results>) {
    let lock = || results.lock().unwrap_or_else(PoisonError::into_inner);
    let (output, errors) = (lab.stdout.take(), lab.stderr.take());
    let said = thread::scope(|scope| {
        // Read beside the other, lest the lab wait for room in the pipe.
        let said = scope.spawn(|| {
            let mut said = String::new();
            if let Some(mut errors) = errors {
                // What can't be read is missing in a message about something else.
                let _ = errors.read_to_string(&mut said);
            }
            said
        });
        for line in output.into_iter().flat_map(|output| BufReader::new(output).lines().map_while(Result::ok))
        {
            match serde_json::from_str::<Told>(&line) {
                Ok(told) => lock().tell(told, number),
                Err(_) => println!("lab {number}: {line}"),
            }
        }
        said.join().unwrap_or_default()
    });
    let status = lab.wait();
    // 1: a test failed, which was told.
    if !status.as_ref().is_ok_and(|status| matches!(status.code(), Some(0 | 1))) || said.contains("lab: ") {
        let _one_block = lock();
        let lines: Vec<&str> = said.lines().collect();
        let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n    ");
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        println!("lab {number} ended with {status}; it last said:\n    {shown}");
    }
}

#[cfg(test)]
mod tests {
    use super::{Results, SECOND_TRIES, Told, When, as_many, available};
    use crate::end_to_end::TESTS;

    const GIB: u64 = 1 << 30;

    #[test]
    fn as_many_labs_as_memory_cores_and_tests_are_good_for() {
        assert_eq!(as_many(22 * GIB, 2, 3, 60), 3, "cores");
        assert_eq!(as_many(10 * GIB, 2, 3, 60), 2, "memory");
        assert_eq!(as_many(10 * GIB, 2, 5, 60), 1, "memory, five servers each");
        assert_eq!(as_many(22 * GIB, 8, 3, 9), 2, "tests");
        assert_eq!(as_many(0, 1, 3, 1), 1, "one in any case");
    }

    #[test]
    fn memory_that_is_free_for_the_asking_is_what_the_kernel_calls_available() {
        assert_eq!(available("MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:       4 kB\n"), 4096);
        assert_eq!(available(""), 0);
    }

    fn told(name: &str, passed: bool) -> Told {
        Told {
            name: name.to_owned(),
            passed,
            may_be_the_machine: !passed,
            seconds: 1.0,
            words: String::new(),
        }
    }

    #[test]
    fn a_test_that_no_lab_came_to_counts_as_failed() {
        let mut results = Results::default();
        results.tell(told("one", true), 1);
        results.tell(told("each", true), 1);
        results.tell(told("two", false), 2);
        results.miss([("one", 1), ("two", 1), ("three", 1), ("each", 2)].into_iter());
        assert_eq!((results.tally.passed, results.tally.failed), (2, 3));
    }

    #[test]
    fn a_few_tests_that_were_late_are_tried_again_alone_and_what_is_never_to_happen_is_not() {
        let all: Vec<_> = TESTS.iter().filter(|test| test.when == When::Anytime).copied().collect();
        let (late, never) = (all[0].name, all[1].name);
        let mut results = Results::default();
        results.tell(told(late, false), 1);
        results.tell(Told { may_be_the_machine: false, ..told(never, false) }, 2);
        let again = results.worth_a_second_try(&all);
        assert_eq!(again.iter().map(|test| test.name).collect::<Vec<_>>(), [late]);
        results.second_try = Some(Vec::new());
        results.tell(told(late, true), 0);
        assert_eq!((results.tally.passed, results.tally.failed), (1, 1));
        assert!(results.summary(1.0, 1).contains(&format!("at a second try, alone: {late}")));
    }

    #[test]
    fn a_test_that_fails_again_stays_failed_and_where_many_fail_none_is_tried_again() {
        let all: Vec<_> = TESTS.iter().filter(|test| test.when == When::Anytime).copied().collect();
        let mut results = Results::default();
        results.tell(told(all[0].name, false), 1);
        results.second_try = Some(Vec::new());
        results.tell(told(all[0].name, false), 0);
        assert_eq!((results.tally.passed, results.tally.failed), (0, 1));
        let mut many = Results::default();
        all.iter().take(SECOND_TRIES + 1).for_each(|test| many.tell(told(test.name, false), 1));
        assert!(many.worth_a_second_try(&all).is_empty());
    }
}
