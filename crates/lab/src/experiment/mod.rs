//! A lab that is watched: witnesses on every host, a client that writes through the VIP, everything on one recording,
//! shown live. Each fault is done, watched until writes go on, undone, and the acknowledged rows are looked for.

mod agent_cost;
mod error;
mod watch;

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::agents::{Cluster, LAB, configure_under};
use crate::client;
use crate::fault::{Fault, Injected};
use crate::measure::budget::{Budget, budgets};
use crate::measure::entitled::{Overstay, overstays};
use crate::measure::readers::Readership;
use crate::measure::slowdown::{Slowdown, slowdowns};
use crate::measure::{self, Figures, Judged};
use crate::namespace::Layout;
use crate::record::{Expects, Phase, Recorded, Recording, What, now_us};
use crate::report::{csv, timeline};
use crate::scenario::{Lab, ScenarioError};
use crate::segment::{all_readers, vip, vips};

pub use agent_cost::AgentCost;
pub use error::ExperimentError;
pub use watch::Watch;

/// How long the client may take to write again by default. Its own limits are 1 s to connect and
/// 3 s to wait for an answer.
const WRITES_LIMIT: Duration = Duration::from_secs(20);
/// Said of a fault beside its name.
const MYSQL_ALONE: &str = ", MySQL alone";
const SILENT_HOSTS_GO: &str = ", silent_host expel";
/// How long the client writes undisturbed before a fault whose figure is the rate of commits.
const RATE_BEFORE: Duration = Duration::from_secs(5);
/// Inserts that are waited for before a fault, and after it before it is undone: so that each stands in a quiet stretch.
const QUIET_INSERTS: usize = 100;

/// What is done to the lab, for the recording.
#[derive(Clone, Debug)]
pub struct Deed {
    name: String,
    host: String,
    target: Option<String>,
    expects: Expects,
}

impl Deed {
    fn told(&self, phase: Phase) -> Recorded {
        let (name, host, target) = (self.name.clone(), self.host.clone(), self.target.clone());
        Recorded::now("lab", What::Fault { name, host, target, expects: self.expects, phase })
    }
}

/// A lab that is up and watched.
#[derive(Debug)]
pub struct Experiment {
    /// The lab itself.
    pub lab: Lab,
    /// How long the client may take to write again once the VIP is where it belongs.
    pub writes_limit: Duration,
    watch: Watch,
    /// Faults so far.
    faults: u32,
    /// What is said of a fault beside its name in the recording.
    remark: &'static str,
}

impl Experiment {
    /// Brings everything up; `live` shows it in the terminal meanwhile.
    ///
    /// # Errors
    /// Anything of the lab that does not come up.
    pub fn start(layout: &Layout, live: bool) -> Result<Self, ExperimentError> {
        Self::start_with(layout, live, true)
    }

    /// Brings the group up without agents, and so without a VIP: the client knows every server's own address, and goes to the one that
    /// takes its rows. What it loses is what the group itself takes.
    ///
    /// # Errors
    /// Anything of the lab that does not come up.
    pub fn start_without_agents(layout: &Layout, live: bool) -> Result<Self, ExperimentError> {
        Self::start_with(layout, live, false)
    }

    fn start_with(layout: &Layout, live: bool, with_agents: bool) -> Result<Self, ExperimentError> {
        let since = Instant::now();
        let lab = Lab::start(layout, with_agents, &mut |step| {
            eprintln!("{:6.1} s  {step}", since.elapsed().as_secs_f64());
        })?;
        eprintln!("{:6.1} s  {} members ONLINE", since.elapsed().as_secs_f64(), crate::segment::members());
        let watch = Watch::start(layout, &lab, live, 1)?;
        let mut experiment = Self { lab, writes_limit: WRITES_LIMIT, watch, faults: 0, remark: "" };
        experiment.lab.wait_steady()?;
        experiment.wait_writes("at the start")?;
        Ok(experiment)
    }

    /// Does a fault, waits until writes go on, undoes it, and looks for the acknowledged rows. It is undone also when
    /// recovery does not come.
    ///
    /// # Errors
    /// The VIP or the writes do not come back; or the lab itself failed.
    pub fn run(&mut self, fault: Fault) -> Result<Figures, ExperimentError> {
        self.inflict(fault, |outcome| outcome)
    }

    /// Like [`Self::run`] while no agent runs: what MySQL alone does. Only for faults that leave the primary where it is: a plain stop
    /// leaves the VIP too (S7), so that the client goes on writing through it.
    ///
    /// # Errors
    /// Those of [`Self::run`]; an agent does not stop or start.
    pub fn run_mysql_alone(&mut self, fault: Fault) -> Result<Figures, ExperimentError> {
        self.lab.wait_steady()?;
        self.lab.stop_agents()?;
        self.remark = MYSQL_ALONE;
        let figures = self.run(fault);
        self.remark = "";
        self.lab.start_agents()?;
        figures
    }

    /// Like [`Self::run`] while the agents have silent hosts expelled (`silent_host = "expel"`).
    ///
    /// # Errors
    /// Those of [`Self::run`]; an agent does not stop or start.
    pub fn run_expelling_silent_hosts(&mut self, fault: Fault) -> Result<Figures, ExperimentError> {
        self.configure_agents(Cluster { silent_hosts_go: true, ..LAB })?;
        self.remark = SILENT_HOSTS_GO;
        let figures = self.run(fault);
        self.remark = "";
        self.configure_agents(LAB)?;
        figures
    }

    fn configure_agents(&mut self, cluster: Cluster) -> Result<(), ExperimentError> {
        self.configure_agents_under("", cluster)
    }

    /// Has clients read through exactly these VIPs from now on.
    pub(crate) fn read_through(&mut self, vips: &[IpAddr]) -> Result<(), ExperimentError> {
        self.watch.read_through(&self.lab.segment.client, vips)
    }

    /// The reader VIPs that clients read through.
    pub fn reader_vips(&self) -> Vec<IpAddr> {
        self.watch.reader_vips()
    }

    /// Gives all agents another file, with these keys above the cluster, and starts them anew; the VIP stays where it is (S7).
    pub(crate) fn configure_agents_under(
        &mut self,
        above: &str,
        cluster: Cluster,
    ) -> Result<(), ExperimentError> {
        self.lab.wait_steady()?;
        self.lab.stop_agents()?;
        for host in &self.lab.segment.databases {
            configure_under(host, above, &[cluster]).map_err(ScenarioError::from)?;
        }
        Ok(self.lab.start_agents()?)
    }

    /// Like [`Self::run`], for tools that may not recover: that is told in the figures, and no error.
    ///
    /// # Errors
    /// The VIP or the writes do not come back even when the fault is undone; or the lab itself failed.
    pub fn attempt(&mut self, fault: Fault) -> Result<Figures, ExperimentError> {
        self.inflict(fault, |outcome| match outcome {
            Err(error) if error.is_no_recovery() => Ok(()),
            other => other,
        })
    }

    fn inflict(
        &mut self,
        fault: Fault,
        judge: impl FnOnce(Result<(), ExperimentError>) -> Result<(), ExperimentError>,
    ) -> Result<Figures, ExperimentError> {
        let expects = if fault.moves_the_primary() { Expects::NewPrimary } else { Expects::SamePrimary };
        let prepare = |experiment: &mut Self| {
            let prepared = fault.prepare(&experiment.lab.scene())?;
            if fault.is_about_a_secondary() && !fault.is_about_a_reader() {
                // A rate can only be seen by letting time pass.
                std::thread::sleep(RATE_BEFORE);
            }
            Ok(prepared)
        };
        let name = format!("{}{}", fault.name(), self.remark);
        self.observe(&name, expects, Some(fault), prepare, |experiment, deed, prepared| {
            if fault.takes_the_power() {
                experiment.watch.tell(&Recorded::now(deed.host.clone(), What::HostDown));
            }
            let injected = prepared.carry_out(&mut experiment.lab.scene())?;
            let endured = judge(experiment.endure(&injected));
            experiment.watch.tell(&deed.told(Phase::Healed));
            let healed = experiment.heal(injected);
            endured.and(healed)
        })
    }

    /// Like [`Self::run`], for something else that the primary is to outlast, told under this name. `work` undoes what it
    /// does.
    ///
    /// # Errors
    /// Those of `work`; the VIP or the writes do not come back; or the lab itself failed.
    pub fn watched<E: From<ExperimentError>>(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<Figures, E> {
        self.observe(name, Expects::SamePrimary, None, |_| Ok(()), |experiment, _, ()| work(experiment))
    }

    /// Like [`Self::watched`], where another server is to become primary. `work` says by [`Self::heals`] when it begins to undo
    /// what it did: healing is no recovery.
    ///
    /// # Errors
    /// Those of `work`; the VIP or the writes do not come back; or the lab itself failed.
    pub fn dethroning<E: From<ExperimentError>>(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Self, &Deed) -> Result<(), E>,
    ) -> Result<Figures, E> {
        self.observe(
            name,
            Expects::NewPrimary,
            None,
            |_| Ok(()),
            |experiment, deed, ()| work(experiment, deed),
        )
    }

    /// What was done is being undone from now on.
    pub fn heals(&self, deed: &Deed) {
        self.watch.tell(&deed.told(Phase::Healed));
    }

    /// Waits until each reader VIP is where it belongs: one holder each, evenly on the secondaries.
    ///
    /// # Errors
    /// That does not come.
    pub(crate) fn wait_readers(&mut self) -> Result<(), ExperimentError> {
        let vips = self.reader_vips();
        Ok(self.lab.wait_readers(&vips)?)
    }

    /// Waits until another than this member leads and holds the VIP alone, and a quiet stretch of inserts was acknowledged.
    ///
    /// # Errors
    /// That does not come.
    pub fn wait_followed(&mut self, old: usize) -> Result<usize, ExperimentError> {
        let primary = self.lab.wait_another_primary(old)?;
        self.wait_writes("after the fault")?;
        Ok(primary)
    }

    /// `prepare` comes before the deed: what it does is no part of it.
    fn observe<T, E: From<ExperimentError>>(
        &mut self,
        name: &str,
        expects: Expects,
        fault: Option<Fault>,
        prepare: impl FnOnce(&mut Self) -> Result<T, E>,
        work: impl FnOnce(&mut Self, &Deed, T) -> Result<(), E>,
    ) -> Result<Figures, E> {
        let primary = self.lab.wait_steady().map_err(ExperimentError::from)?;
        if fault.is_some_and(Fault::is_about_a_reader) {
            self.wait_readers()?;
        }
        self.wait_writes("before the fault")?;
        std::thread::sleep(moment(self.faults));
        self.faults += 1;
        let began = now_us();
        let next = (primary + 1) % self.lab.segment.databases.len();
        let victim = fault.map(|fault| fault.victim(&self.lab.scene())).transpose();
        let victim = victim.map_err(ExperimentError::from)?.unwrap_or(primary);
        let deed = Deed {
            name: name.to_owned(),
            host: self.name(victim),
            target: fault.is_some_and(Fault::is_a_switchover).then(|| self.name(next)),
            expects,
        };
        let prepared = prepare(self)?;
        self.watch.begin(&deed.told(Phase::Injected));
        work(self, &deed, prepared)?;
        let primary = self.lab.wait_steady().map_err(ExperimentError::from)?;
        self.wait_writes("after healing")?;
        self.verify(primary, began)?;
        Ok(self.figures().pop().ok_or(ExperimentError::NothingRecorded)?)
    }

    fn endure(&mut self, injected: &Injected) -> Result<(), ExperimentError> {
        self.lab.endure(injected)?;
        if injected.fault.recovers_by_itself() {
            self.wait_writes("after the fault")?;
        }
        Ok(())
    }

    fn heal(&mut self, injected: Injected) -> Result<(), ExperimentError> {
        if injected.fault.takes_the_power() {
            self.watch.tell(&Recorded::now(self.name(injected.victim), What::HostUp));
            self.watch.look_at_addresses(&self.lab.segment.databases[injected.victim])?;
        }
        injected.heal(&mut self.lab.scene())?;
        Ok(())
    }

    /// From now on the lab has frames get lost, or none any more.
    pub fn frames_get_lost(&self, lost: bool) {
        self.watch.tell(&Recorded::now("lab", What::FramesGetLost(lost)));
    }

    /// How late the witness of the hosts' addresses was at most, of all the times it looked: two holders for less than that may not
    /// be seen.
    pub fn addresses_latest(&self) -> Duration {
        self.watch.addresses_latest()
    }

    /// The figures of all faults so far.
    pub fn figures(&self) -> Vec<Figures> {
        measure::figures(&self.watch.recording(), vip())
    }

    /// Where the time of each move so far went.
    pub fn budgets(&self) -> Vec<Budget> {
        budgets(&self.watch.recording(), vip())
    }

    /// Where there is a VIP in each family: for each move so far, for how long the one had moved and the other had not.
    pub fn apart(&self) -> Vec<measure::Reading> {
        match *vips() {
            [first, second] => measure::apart(&self.watch.recording(), first, second, 0),
            _ => Vec::new(),
        }
    }

    /// For each VIP, and each move of it so far, how long no host had it.
    pub fn handovers(&self) -> Vec<(IpAddr, Vec<measure::Reading>)> {
        let recording = self.watch.recording();
        let all = vips().into_iter().chain(all_readers());
        all.map(|vip| (vip, measure::handovers(&recording, vip))).collect()
    }

    /// Where the time of each move of the VIP beside the client's went; nothing where there is none.
    pub fn budgets_of_the_second(&self) -> Vec<Budget> {
        vips().get(1).map(|vip| budgets(&self.watch.recording(), *vip)).unwrap_or_default()
    }

    /// What each fault so far that was done to a host with a reader VIP meant for who reads.
    pub fn reading(&self) -> Vec<Readership> {
        measure::readers::readerships(&self.watch.recording())
    }

    /// By how much each fault so far that left the primary where it is slowed its commits down.
    pub fn slowdowns(&self) -> Vec<Slowdown> {
        slowdowns(&self.watch.recording())
    }

    /// What the oracle says of all so far, the times between faults included.
    pub fn judged(&self) -> Judged {
        let recording = self.watch.recording();
        let mut judged = Judged::default();
        for vip in vips() {
            judged.add(Judged::of(vip, &recording));
        }
        for vip in all_readers() {
            judged.add(Judged::of_holders(vip, &recording));
        }
        judged
    }

    /// The reader VIPs that stayed on hosts that were not entitled to them, from then on (microseconds).
    pub fn overstays(&self, since_us: u64) -> Vec<Overstay> {
        overstays(&self.watch.recording(), &all_readers(), since_us)
    }

    /// Ends the witnesses and their recording, and starts them with a new one. Gives what the oracle says of the old one.
    ///
    /// # Errors
    /// A witness does not start, or the writes do not.
    pub fn begin_recording_anew(&mut self, layout: &Layout) -> Result<Judged, ExperimentError> {
        self.lab.wait_steady()?;
        let judged = self.judged();
        let watch = Watch::start(layout, &self.lab, false, self.watch.unused_id())?;
        let reader_vips = self.reader_vips();
        std::mem::replace(&mut self.watch, watch).finish();
        self.read_through(&reader_vips)?;
        self.wait_writes("in the new recording")?;
        Ok(judged)
    }

    /// What has been recorded so far.
    pub fn recording(&self) -> Recording {
        self.watch.recording()
    }

    /// Writes the recording, the figures and the picture into a folder, and gives the picture's place.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn save(&self, folder: &Path, title: &str) -> Result<std::path::PathBuf, ExperimentError> {
        std::fs::create_dir_all(folder)
            .map_err(|cause| ExperimentError::Folder { path: folder.to_owned(), cause })?;
        let (recording, figures) = (self.watch.recording(), self.figures());
        recording.save(&folder.join("recording.jsonl"))?;
        csv::save(&figures, &folder.join("figures.csv"))?;
        let picture = folder.join("timeline.svg");
        let hosts: Vec<String> =
            self.lab.segment.databases.iter().map(|host| host.name().to_owned()).collect();
        timeline::save(&recording, &figures, &hosts, vip(), title, &picture)?;
        Ok(picture)
    }

    /// What the agents cost so far, the dearest of each.
    pub fn agent_cost(&self) -> AgentCost {
        let costs = self.lab.agents.iter().filter_map(|agent| agent.pid().and_then(AgentCost::of));
        costs.fold(AgentCost::default(), |most, one| AgentCost {
            memory: most.memory.max(one.memory),
            processor: most.processor.max(one.processor),
        })
    }

    /// Ends the live view and the witnesses.
    pub fn finish(self) -> Recording {
        self.watch.finish()
    }

    /// The name of the host in this place among the databases.
    pub fn name(&self, place: usize) -> String {
        self.lab.segment.databases.get(place).map(|host| host.name().to_owned()).unwrap_or_default()
    }

    /// Waits until the VIP is on the primary and writes go on, looks for the rows acknowledged since then (microseconds), and
    /// gives how many are missing: for a run that ended in an error.
    ///
    /// # Errors
    /// The VIP or the writes do not come; or the lab itself failed.
    pub fn look_for_rows(&mut self, since: u64) -> Result<Option<u64>, ExperimentError> {
        let primary = self.lab.wait_steady()?;
        self.wait_writes("after the tool was started again")?;
        self.verify(primary, since)?;
        Ok(self.figures().pop().and_then(|figures| figures.lost))
    }

    fn wait_writes(&mut self, moment: &'static str) -> Result<(), ExperimentError> {
        let since = now_us();
        let started = Instant::now();
        while self.watch.acknowledged_since(since) < QUIET_INSERTS {
            if started.elapsed() > self.writes_limit {
                let limit = self.writes_limit;
                return Err(ExperimentError::NoWrites { moment, limit, group: self.lab.group.describe() });
            }
            self.watch.wait_for_news(Duration::from_millis(100));
        }
        Ok(())
    }

    fn verify(&mut self, primary: usize, since: u64) -> Result<(), ExperimentError> {
        let acknowledged = self.watch.recording().acknowledged_since(since);
        let missing = client::missing(self.lab.group.servers()[primary].socket(), "root", &acknowledged)?;
        let acknowledged = u64::try_from(acknowledged.len()).unwrap_or(u64::MAX);
        self.watch.tell(&Recorded::now("lab", What::Verified { acknowledged, missing }));
        Ok(())
    }
}

/// How long after the group has become steady a fault comes. The group's detector looks once a second, and a member that
/// comes back does so just as it looks: without this each fault would come at the same moment of that second, and be noticed
/// always early, or always late. By the golden ratio, which spreads any number of moments evenly.
fn moment(fault: u32) -> Duration {
    Duration::from_secs_f64((f64::from(fault) * 0.618_034).fract())
}
