//! What HTTP and hooks cost those who decide: switchovers with both off; with both off, while as many ask as badly, of somebody else on the
//! same hosts; and with both on, while the agents are asked and a hook hangs for ever. In turns, in one run.
//!
//! The second of them is there because all hosts, and those who ask, share one machine here: what their connections cost the kernel and the
//! servers beside it is not the agent's doing, and would be there whoever answered. What HTTP and hooks cost is the third against the second.
//!
//! | file | the one idea |
//! |---|---|
//! | `mod.rs` | the turns, and what comes of them |
//! | `crowd.rs` | those who ask |
//! | `in_its_place.rs` | who answers in an agent's place |
//! | `words.rs` | what it says |
//! | `loop_late.rs` | how late an agent's loop was, by its own trace |

mod crowd;
mod in_its_place;
mod loop_late;
mod words;

use std::io::{self, Read as _};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};

pub use self::crowd::{Abuse, Counts, Crowd};
pub use self::in_its_place::InItsPlace;
use self::words::Words;
use crate::agents::{Agent, AgentError, Cluster, LAB};
use crate::cost::{CostError, Memory, Spent};
use crate::experiment::{Experiment, ExperimentError};
use crate::fault::Fault;
use crate::host::Host;
use crate::measure::{Reading, median, worst};
use crate::namespace::Layout;
use crate::page::{PORT, SERVED, TOKEN, give_token};
use crate::record::now_us;
use crate::report::table::Style;
use crate::segment::databases;

/// With everything off; every decision is recorded, in both turns.
const QUIET: Cluster = Cluster { more: "decision_trace = \"all\"\n", ..LAB };
/// A hook that hangs, beside the HTTP.
const LOADED: Cluster = Cluster {
    more: "decision_trace = \"all\"
on_acquire = [\"/bin/sleep\", \"1000\"]
on_release = [\"/bin/sleep\", \"1000\"]
on_trouble = [\"/bin/sleep\", \"1000\"]
hook_limit = \"300s\"
",
    ..LAB
};
/// What a start stirs up is over after this.
const SETTLES_IN: Duration = Duration::from_secs(2);
/// How often the VIP is taken off its holder by hand before each switchover: until it is back, the loop has noticed, decided and done.
const TAKEN_AWAY: usize = 3;
/// So many switchovers in each turn. Single ones differ by more than what is looked for: the medians of fourteen are apart by a tenth as it
/// falls out.
const SWITCHOVERS: usize = 4;
/// An agent's resident memory, bytes, by the kernel's word as `lab cost` reads it: with HTTP off, and with it on under load.
const MEMORY: [u64; 2] = [12_000_000, 16_000_000];
/// What is to be no dearer with HTTP on than this many times what it is with HTTP off. Held against where somebody else is asked too.
const RATIO: f64 = 1.05;

/// Why it could not be measured, or is not as promised.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The lab.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// An agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// What an agent costs could not be seen.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// A file or process operation failed.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
    /// Those who ask were not answered, so that nothing was shown.
    #[error("nobody was answered while the agents were asked: {0:?}")]
    NotAsked(Counts),
    /// An agent takes more memory than it may.
    #[error("{table}\nan agent had {had:.1} MB with HTTP {}, more than {may:.0}", if *on { "on" } else { "off" })]
    TooMuchMemory {
        /// All figures.
        table: String,
        /// Whether HTTP was on.
        on: bool,
        /// What it had.
        had: f64,
        /// What it may have.
        may: f64,
    },
}

impl LoadError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { what, cause }
    }
}

/// One side's figures.
#[derive(Default)]
struct Side {
    gaps: Vec<Reading>,
    /// What of them is MySQL's, and from then until the VIP was on its new host.
    elected: Vec<Reading>,
    followed: Vec<Reading>,
    /// How long the VIP was away each time that it was removed by hand.
    back: Vec<Reading>,
    late_us: Vec<i64>,
    /// Bytes, of the largest agent while its turn went on: what was resident, the same with shared pages counted in part, and the most
    /// that it ever had since its start.
    memory: Memory,
    peak: u64,
    /// Shares of a core, one for each turn: the dearest agent's.
    processor: Vec<f64>,
}

/// The three sides.
#[derive(Default)]
struct Sides {
    quiet: Side,
    beside: Side,
    loaded: Side,
}

/// So many turns on each side, four switchovers in each; gives the table and what those who asked were given.
///
/// # Errors
/// The lab failed, or an agent takes more memory than it may.
pub fn measure(layout: &Layout, times: u32, abuse: Abuse, style: Style) -> Result<String, LoadError> {
    let mut experiment = Experiment::start(layout, false)?;
    give_token(&experiment)?;
    experiment.configure_agents_under(SERVED, LOADED)?;
    let words = words_of_an_agent(layout, &experiment)?;
    let mut sides = Sides::default();
    let (mut beside, mut all) = (Counts::default(), Counts::default());
    for time in 1..=times {
        eprintln!("  turn {time} of {times}: HTTP off, somebody else asked, HTTP on");
        experiment.configure_agents_under("", QUIET)?;
        sides.quiet.turn(&mut experiment)?;

        let others = InTheirPlace::start(layout, &experiment, &words)?;
        let crowd = Asking::start(layout, &experiment, abuse)?;
        let turn = sides.beside.turn(&mut experiment);
        beside.add(crowd.end()?);
        drop(others);
        turn?;

        experiment.configure_agents_under(SERVED, LOADED)?;
        let crowd = Asking::start(layout, &experiment, abuse)?;
        let turn = sides.loaded.turn(&mut experiment);
        all.add(crowd.end()?);
        turn?;
    }
    experiment.finish();
    for counts in [beside, all] {
        if counts.scraped == 0 || counts.events == 0 {
            return Err(LoadError::NotAsked(counts));
        }
    }
    let table = format!("{}\n{}", table(&sides, style), said(abuse, &sides, &beside, &all));
    for (side, (may, on)) in
        [&sides.quiet, &sides.loaded].into_iter().zip(MEMORY.into_iter().zip([false, true]))
    {
        let had = side.memory.resident;
        if had > may {
            return Err(LoadError::TooMuchMemory { table, on, had: megabytes(had), may: megabytes(may) });
        }
    }
    Ok(table)
}

impl Side {
    fn turn(&mut self, experiment: &mut Experiment) -> Result<(), LoadError> {
        experiment.lab.wait_steady().map_err(ExperimentError::from)?;
        sleep(SETTLES_IN);
        let pids: Vec<u32> = experiment.lab.agents.iter().filter_map(Agent::pid).collect();
        let before = pids.iter().map(|pid| Spent::by(*pid)).collect::<Result<Vec<_>, _>>()?;
        let since = now_us();
        for _ in 0..TAKEN_AWAY {
            self.back.push(experiment.run(Fault::VipRemovedByHand)?.vip_moved);
        }
        for _ in 0..SWITCHOVERS {
            let figures = experiment.run(Fault::Switchover)?;
            self.gaps.push(figures.outage);
            self.elected.push(figures.elected);
            self.followed.push(figures.vip_moved.less(figures.elected));
        }
        let mut dearest = 0.0_f64;
        for (pid, before) in pids.iter().zip(before) {
            dearest = dearest.max(Spent::by(*pid)?.share_since(before));
            let had = Memory::of(*pid)?;
            self.memory.resident = self.memory.resident.max(had.resident);
            self.memory.proportional = self.memory.proportional.max(had.proportional);
        }
        self.processor.push(dearest);
        self.peak = self.peak.max(experiment.agent_cost().memory);
        for host in &experiment.lab.segment.databases {
            self.late_us.extend(loop_late::since(host, since).map_err(LoadError::io("reading a trace"))?);
        }
        Ok(())
    }

    /// The loop's lateness that so many in a thousand do not exceed.
    fn late(&self, thousandths: usize) -> Reading {
        let mut all = self.late_us.clone();
        all.sort_unstable();
        let place = (all.len() * thousandths).div_ceil(1_000).max(1) - 1;
        all.get(place).map_or(Reading::DoesNotApply, |late| Reading::After(*late))
    }
}

fn megabytes(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // memory of a process
    let bytes = bytes as f64;
    bytes / 1_000_000.0
}

fn table(all: &Sides, style: Style) -> String {
    let mut table = Table::new();
    table.load_style(if style == Style::Terminal { UTF8_BORDERS_ONLY } else { ASCII_MARKDOWN });
    table.set_header([
        "",
        "HTTP and hooks off",
        "off, somebody else asked as much",
        "on, under load",
        "on / somebody else asked",
        "on / off",
    ]);
    let sides = [&all.quiet, &all.beside, &all.loaded];
    let mut row = |name: &str, values, places, compared| {
        table.add_row(row_of(name, values, places, compared));
    };
    let of = |times: fn(&Side) -> &Vec<Reading>, pick: fn(Vec<Reading>) -> Reading| {
        sides.map(|side| pick(times(side).clone()).seconds())
    };
    row("a switchover's gap, median (s)", of(|side| &side.gaps, median), 4, true);
    row("a switchover's gap, worst (s)", of(|side| &side.gaps, worst), 3, false);
    row("until MySQL had another primary, median (s)", of(|side| &side.elected, median), 4, false);
    row("from then until the VIP was there, median (s)", of(|side| &side.followed, median), 4, false);
    row("VIP removed by hand: back after, median (s)", of(|side| &side.back, median), 4, true);
    row("VIP removed by hand: back after, worst (s)", of(|side| &side.back, worst), 4, false);
    let late = |thousandths| sides.map(|side| side.late(thousandths).seconds().map(|late| late * 1_000.0));
    row("the loop wakes late by, median (ms)", late(500), 2, true);
    row("the loop wakes late by, 90 % within (ms)", late(900), 2, true);
    row("the loop wakes late by, worst (ms)", late(1_000), 2, false);
    let memory = |bytes: fn(&Side) -> u64| sides.map(|side| Some(megabytes(bytes(side))));
    row("an agent's resident memory (MB)", memory(|side| side.memory.resident), 1, false);
    row("the same, shared pages counted in part (MB)", memory(|side| side.memory.proportional), 1, false);
    row("resident at its most, the start included (MB)", memory(|side| side.peak), 1, false);
    let processor = |side: &Side| side.processor.iter().copied().fold(0.0, f64::max) * 100.0;
    row(
        "the dearest agent's processor time (% of a core)",
        sides.map(|side| Some(processor(side))),
        1,
        false,
    );
    table.to_string()
}

/// With both ratios, where they are asked for; one that is more than it should be says so.
fn row_of(name: &str, values: [Option<f64>; 3], places: usize, compared: bool) -> [String; 6] {
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.places$}"));
    let ratio = |than: Option<f64>, on: Option<f64>| match (than, on) {
        (Some(than), Some(on)) if compared && than > 0.0 => {
            let ratio = on / than;
            let more = if ratio > RATIO { format!(" (more than {RATIO})") } else { String::new() };
            format!("{ratio:.2}{more}")
        }
        _ => String::new(),
    };
    let [off, beside, on] = values;
    [name.to_owned(), shown(off), shown(beside), shown(on), ratio(beside, on), ratio(off, on)]
}

fn said(abuse: Abuse, sides: &Sides, beside: &Counts, all: &Counts) -> String {
    let Sides { quiet, beside: other, loaded } = sides;
    format!(
        "{} switchovers and {} removals by hand on each side, in turns; the loops' lateness is that of {}, {} and {} wakes. \
         Abuse: {}. Somebody else was asked: {beside}. The agents were asked: {all}.",
        quiet.gaps.len(),
        quiet.back.len(),
        quiet.late_us.len(),
        other.late_us.len(),
        loaded.late_us.len(),
        abuse.word(),
    )
}

/// What an agent answers, asked from the client's host.
fn words_of_an_agent(layout: &Layout, experiment: &Experiment) -> Result<Words, LoadError> {
    let mut command = experiment.lab.segment.client.command(layout.lab());
    command.args(["crowd", "--words", "--token", TOKEN]);
    command.args(databases().iter().map(|(_, address)| format!("{address}:{PORT}")));
    let output = command.stderr(Stdio::inherit()).output().map_err(LoadError::io("asking an agent"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|cause| LoadError::io("hearing what an agent answers")(cause.into()))
}

/// Those who answer in the agents' place, one on each database host, for as long as this lives.
struct InTheirPlace(Vec<Child>);

impl InTheirPlace {
    fn start(layout: &Layout, experiment: &Experiment, words: &Words) -> Result<Self, LoadError> {
        let failed = LoadError::io("starting who answers in an agent's place");
        let start = |host: &Host| -> io::Result<Child> {
            let mut command = host.command(layout.lab());
            command.args(["in-its-place", "--port", &PORT.to_string()]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            serde_json::to_writer(child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?, words)?;
            let mut ready = [0; 5];
            child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.read_exact(&mut ready)?;
            Ok(child)
        };
        let all: io::Result<Vec<Child>> = experiment.lab.segment.databases.iter().map(start).collect();
        all.map(Self).map_err(failed)
    }
}

impl Drop for InTheirPlace {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(end);
    }
}

/// Those who ask, for as long as this lives.
struct Asking(Child);

impl Asking {
    /// From the client's host. They would be on other machines: they take only time that nobody else wants here (`SCHED_IDLE`; a niceness of
    /// 19 still lets them finish their turn when a server or an agent has something to do).
    fn start(layout: &Layout, experiment: &Experiment, abuse: Abuse) -> Result<Self, LoadError> {
        let mut command: Command = experiment.lab.segment.client.command("chrt");
        command.args(["--idle", "0"]).arg(layout.lab()).args(["crowd", "--token", TOKEN]);
        command.args(["--abuse", abuse.word()]);
        command.args(databases().iter().map(|(_, address)| format!("{address}:{PORT}")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().map(Self).map_err(LoadError::io("starting those who ask"))
    }

    fn end(mut self) -> Result<Counts, LoadError> {
        drop(self.0.stdin.take());
        let mut text = String::new();
        if let Some(mut output) = self.0.stdout.take() {
            output.read_to_string(&mut text).map_err(LoadError::io("hearing what was answered"))?;
        }
        serde_json::from_str(&text).map_err(|cause| LoadError::io("hearing what was answered")(cause.into()))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// It may have ended already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
