//! The same faults for haipmgr and for other tools, in turn, on the same hosts and the same group, in one run.

mod docs;
mod picture;
mod shim;
mod summary;
mod tool;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use docs::Documented;
pub use shim::Shim;
pub use summary::{Run, Summary};
pub use tool::Tool;

use crate::agents::{Agent, AgentError};
use crate::experiment::{Experiment, ExperimentError};
use crate::fault::{Fault, holders};
use crate::group::GroupError;
use crate::namespace::Layout;
use crate::record::now_us;
use crate::report::timeline::NotDrawn;
use crate::segment::SegmentError;

/// How long a tool may take to bring the VIP where it belongs, and then the client to write again: longer counts as never.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

/// How long a VIP left on an interface by a tool that was stopped is looked at: longer than haipmgr's lease.
const LEFT_BEHIND_LIMIT: Duration = Duration::from_secs(12);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long after the host before it a tool is started on a host: another part of a second in each turn, always the same in
/// the same turn.
fn apart(turn: usize, place: usize) -> Duration {
    let turn = u64::try_from(turn).unwrap_or_default() % 1000;
    let place = u64::try_from(place).unwrap_or_default() % 1000;
    Duration::from_millis((turn * 379 + place * 617) % 1000)
}

/// What is done by default, in this order.
pub const FAULTS: [Fault; 6] = [
    Fault::Switchover,
    Fault::Shutdown,
    Fault::StopGroupReplication,
    Fault::Kill9,
    Fault::PowerOff,
    Fault::GroupPortCut,
];

/// Why the benchmark failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The lab failed.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// A tool could not be started or stopped.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The hosts' addresses could not be read or changed.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The group failed.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A tool is not there.
    #[error(
        "{tool} is not installed beside mysqld. Install the package {package}, or leave it out of --tools"
    )]
    NotInstalled {
        /// The tool.
        tool: &'static str,
        /// Debian's package.
        package: &'static str,
    },
    /// A file could not be written.
    #[error("{path}: {cause}; check that the folder exists and has space")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The figures could not be written.
    #[error("{path}: {cause}; check that the folder exists and has space")]
    Figures {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: csv::Error,
    },
    /// The picture could not be drawn.
    #[error(transparent)]
    Picture(#[from] NotDrawn),
}

impl BenchError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self::File { path, cause }
    }
}

/// What was seen of a tool each time it was stopped, as systemd stops it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// How often it was stopped while it held the VIP.
    pub stopped: u32,
    /// How often the VIP was still there when the tool was gone on all hosts, but went by itself within 8 s.
    pub expired: u32,
    /// How often the VIP had to be removed by hand.
    pub left_behind: u32,
    /// How often it had to be killed.
    pub killed: u32,
    /// How often it did not bring the VIP to the primary again after the fault was undone, and was started anew.
    pub stuck: u32,
}

/// A lab in which the tools take turns.
#[derive(Debug)]
pub struct Bench {
    layout: Layout,
    experiment: Experiment,
    running: Option<Tool>,
    runs: Vec<Run>,
    stops: BTreeMap<Tool, Stops>,
}

impl Bench {
    /// Brings everything up.
    ///
    /// # Errors
    /// Anything of the lab that does not come up.
    pub fn start(layout: &Layout) -> Result<Self, BenchError> {
        let mut experiment = Experiment::start(layout, false)?;
        experiment.lab.recovery_limit = RECOVERY_LIMIT;
        experiment.writes_limit = RECOVERY_LIMIT;
        let (runs, stops) = (Vec::new(), BTreeMap::new());
        Ok(Self { layout: layout.clone(), experiment, running: Some(Tool::Haipmgr), runs, stops })
    }

    /// Does every fault so many times, in rounds: in each, every fault in turn, and for each fault every tool in turn. The
    /// tool that begins changes with the round. `tell` gets a line for each.
    ///
    /// # Errors
    /// The lab itself failed. What was measured until then is kept.
    pub fn run(
        &mut self,
        times: u32,
        tools: &[Tool],
        faults: &[Fault],
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), BenchError> {
        let since = Instant::now();
        for round in 0..times {
            for fault in faults {
                let first = usize::try_from(round).unwrap_or_default() % tools.len().max(1);
                for tool in tools.iter().cycle().skip(first).take(tools.len()) {
                    let run = self.measure(*tool, *fault)?;
                    let elapsed = since.elapsed().as_secs_f64();
                    tell(&format!("{elapsed:7.1} s  {}/{times}  {}", round + 1, run.line()));
                    self.runs.push(run);
                }
            }
        }
        self.change(None)
    }

    fn measure(&mut self, tool: Tool, fault: Fault) -> Result<Run, BenchError> {
        self.change(Some(tool))?;
        let began = now_us();
        let figures = match self.experiment.attempt(fault) {
            Ok(figures) => figures,
            Err(error) if error.is_no_recovery() => {
                let latest = self.experiment.figures().pop();
                // Where there is none, nothing was done yet: the tool did not even get to a steady state.
                let mut figures = latest.filter(|figures| figures.injected_us >= began).ok_or(error)?;
                self.of(tool).stuck += 1;
                self.change(None)?;
                self.change(Some(tool))?;
                figures.lost = self.experiment.look_for_rows(figures.injected_us)?;
                figures
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Run { tool, fault, figures })
    }

    fn of(&mut self, tool: Tool) -> &mut Stops {
        self.stops.entry(tool).or_default()
    }

    /// Stops what runs, takes away what it leaves behind, and starts another. Nothing is done when it runs already.
    fn change(&mut self, to: Option<Tool>) -> Result<(), BenchError> {
        if self.running == to {
            return Ok(());
        }
        if let Some(tool) = self.running.take() {
            self.stop(tool)?;
        }
        let Some(tool) = to else { return Ok(()) };
        let mut agents: Vec<Agent> = Vec::new();
        let lab = &mut self.experiment.lab;
        for (place, (host, server)) in lab.segment.databases.iter().zip(lab.group.servers()).enumerate() {
            // Hosts are not booted in the same instant: tools that look once a second would look in step, as they do in no
            // machine room.
            if place > 0 {
                std::thread::sleep(apart(self.runs.len(), place));
            }
            let mut agent = tool.prepare(&self.layout, host, server)?;
            agent.start(host)?;
            agents.push(agent);
        }
        lab.agents = agents;
        self.running = Some(tool);
        Ok(())
    }

    fn stop(&mut self, tool: Tool) -> Result<(), BenchError> {
        let held = !holders(&self.experiment.lab.segment)?.is_empty();
        let mut stops = Stops { stopped: u32::from(held), ..Stops::default() };
        for agent in &mut self.experiment.lab.agents {
            if let Err(AgentError::DoesNotEnd { .. }) = agent.stop() {
                stops.killed += 1;
                agent.kill()?;
            }
        }
        let segment = &self.experiment.lab.segment;
        let since = Instant::now();
        let mut left = holders(segment)?;
        let stayed = !left.is_empty();
        while !left.is_empty() && since.elapsed() < LEFT_BEHIND_LIMIT {
            std::thread::sleep(LOOK_EVERY);
            left = holders(segment)?;
        }
        stops.expired = u32::from(stayed && left.is_empty());
        stops.left_behind = u32::from(!left.is_empty());
        for place in left {
            segment.remove_vip(&segment.databases[place])?;
        }
        let so_far = self.of(tool);
        so_far.stopped += stops.stopped;
        so_far.expired += stops.expired;
        so_far.left_behind += stops.left_behind;
        so_far.killed += stops.killed;
        Ok(())
    }

    /// What was measured so far.
    pub fn summary(&self) -> Summary {
        let client = &self.experiment.lab.segment.client;
        let versions = Tool::ALL.iter().filter(|tool| self.runs.iter().any(|run| run.tool == **tool));
        let versions = versions.map(|tool| (*tool, tool.version(&self.layout, client)));
        let mysql = tool::version_of(client.rooted_command("/usr/sbin/mysqld"));
        Summary { runs: self.runs.clone(), stops: self.stops.clone(), versions: versions.collect(), mysql }
    }

    /// Writes everything that happened, and what the tools said, into a folder: for looking into a run that is odd.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn save_evidence(&self, folder: &Path) -> Result<(), BenchError> {
        fs::create_dir_all(folder).map_err(BenchError::io(folder))?;
        self.experiment.recording().save(&folder.join("recording.jsonl")).map_err(ExperimentError::from)?;
        let logs = self.layout.log();
        for messages in fs::read_dir(&logs).map_err(BenchError::io(&logs))?.flatten() {
            let to = folder.join(messages.file_name());
            fs::copy(messages.path(), &to).map_err(BenchError::io(&to))?;
        }
        Ok(())
    }

    /// Ends the watching. The hosts and all that runs on them end with the lab.
    pub fn finish(self) {
        self.experiment.finish();
    }
}
