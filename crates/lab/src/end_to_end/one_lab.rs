//! One of the labs that share the tests: takes one after the other from the queue, and tells its starter how each went, a line of JSON
//! for each test.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::queue::Queue;
use super::{Broken, NotRun, TESTS, Tally, Test, UnderTest, logs, prove};
use crate::experiment::Experiment;
use crate::namespace::Layout;

/// How a test went.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Told {
    /// Its name.
    pub(super) name: String,
    /// Whether it did what it should.
    pub(super) passed: bool,
    /// Where it did not: whether a busy machine may be why.
    pub(super) may_be_the_machine: bool,
    /// How long it took.
    pub(super) seconds: f64,
    /// The figures, or why it failed and what the agents last said: several lines.
    pub(super) words: String,
}

/// What a lab is to do, beside its arguments for the lab itself.
#[derive(Clone, Debug)]
pub struct Share {
    /// The queue that every lab takes from: an open pipe's number.
    pub queue: i32,
    /// The tests that each lab does then, by name.
    pub then: Vec<String>,
    /// The queue that every lab takes from after those.
    pub last: Option<i32>,
}

/// Brings the lab up and does its share; with `out`, the recording and the figures are left in that folder.
///
/// # Errors
/// The lab does not come up at all, or does not come up any more.
pub fn run_from_queue(layout: &Layout, share: &Share, out: Option<&Path>) -> Result<Tally, NotRun> {
    let mut queue = Queue::inherited(share.queue)?;
    let mut last = share.last.map(Queue::inherited).transpose()?;
    let mut lab = OneLab::start(layout)?;
    while let Some(test) = queue.take()? {
        lab = lab.run(test)?;
    }
    for test in TESTS.iter().filter(|test| share.then.iter().any(|name| name == test.name)) {
        lab = lab.run(*test)?;
    }
    if let Some(queue) = &mut last {
        while let Some(test) = queue.take()? {
            lab = lab.run(test)?;
        }
    }
    let OneLab { under_test, tally } = lab;
    if let Some(folder) = out {
        let picture = under_test.experiment.save(folder, "haipmgr's end-to-end tests")?;
        eprintln!("picture: {}", picture.display());
    }
    under_test.experiment.finish();
    Ok(tally)
}

struct OneLab {
    under_test: UnderTest,
    tally: Tally,
}

impl OneLab {
    fn start(layout: &Layout) -> Result<Self, NotRun> {
        let under_test = UnderTest { layout: layout.clone(), experiment: Experiment::start(layout, false)? };
        Ok(Self { under_test, tally: Tally::default() })
    }

    /// Runs one test, tells how it went, and makes the lab whole again where it failed.
    fn run(mut self, test: Test) -> Result<Self, NotRun> {
        let since = Instant::now();
        let outcome = prove(&mut self.under_test, test.proof);
        let seconds = since.elapsed().as_secs_f64();
        let may_be_the_machine = outcome.as_ref().is_err_and(Broken::may_be_the_machine);
        let (passed, words) = match outcome {
            Ok(figures) => (true, figures),
            Err(reason) => (false, format!("{reason}\n{}", logs::last_lines(&self.under_test.experiment))),
        };
        let told = Told { name: test.name.to_owned(), passed, may_be_the_machine, seconds, words };
        // A name, a number and text: there is nothing in it that JSON has not.
        println!("{}", serde_json::to_string(&told).unwrap_or_default());
        if passed {
            self.tally.passed += 1;
            return Ok(self);
        }
        self.tally.failed += 1;
        let under_test = make_whole(self.under_test)?;
        Ok(Self { under_test, tally: self.tally })
    }
}

/// Repairs what a failed test may have left, or brings the lab up anew.
pub(super) fn make_whole(mut under_test: UnderTest) -> Result<UnderTest, NotRun> {
    let Err(error) = under_test.experiment.lab.repair() else { return Ok(under_test) };
    eprintln!("  the lab is brought up anew, for it can't be repaired: {error}");
    let UnderTest { layout, mut experiment } = under_test;
    experiment.lab.end().map_err(Broken::from).map_err(|broken| NotRun::NotWhole(Box::new(broken)))?;
    experiment.finish();
    let experiment = Experiment::start(&layout, false)?;
    Ok(UnderTest { layout, experiment })
}
