//! The agent: one task per cluster, each with the only loop (`drive.rs`): what was seen in, what is to be
//! done out, one log line a change.
//! The only place that sees both `observe` and `act`.

mod actions;
mod announce_again;
mod clusters;
mod drive;
mod edges;
mod expelling;
mod historian;
mod hosts;
mod leaving;
mod log_dedup;
mod look_around;
mod orders;
mod paused;
mod reader_stats;
mod vip_edges;
mod wiring;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use decide::State;
use decide::driver::{Driver, Stop};
use decide::input::Event;
use decide::net::VipId;
use decide::output::{Action, Outcome, VipAction};
use decide::policy::VipPolicy;
use decide::status::{LastSwitch, Mode, Status};
use decide::time::Time;
use decide::vip::VipState;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::act::address::Addresses;
use crate::act::statfile::StatFile;
use crate::clock::{self, Clocks};
use crate::config::Cluster;
use crate::hooks::Hooks;
use crate::journal::Log;
use crate::observe::link::{LinkError, LinkWatch, PathChange};
use crate::observe::server_process::ServerProcesses;
use crate::recorder::{Lines, Recorder, Sightings};
use crate::service_manager::{self, ServiceManager};
use crate::tally::Tally;
use crate::trace_file::TraceFile;

use announce_again::AnnounceAgain;
use clusters::Ended;
pub use clusters::{Clusters, Left};
use drive::drive;
use historian::{Historian, Listeners};
use hosts::Asked;
pub use leaving::Leaving;
use log_dedup::LogDedup;
pub use orders::{End, Orders, PauseOrders, PauseWord};
pub use paused::Heard;
use paused::Paused;
use reader_stats::ReaderStats;
use vip_edges::{Once, VipEdges};
use wiring::{Segments, Wiring};

/// Why the agent can't run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The kernel's notifications of addresses can't be had.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// After the word to stop, clusters have this long to leave the VIP as it is.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// … and this long to put the server's setting back, where it is changed just then.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(1);

/// Who asks one cluster's loop how it is.
pub type Questions = mpsc::Receiver<oneshot::Sender<Status>>;

/// The clusters whose VIP was to be given up, and may still be here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotGivenUp(pub Vec<String>);

/// What all clusters' agents share.
struct Shared {
    /// This cluster's place there.
    manager: (ServiceManager, usize),
    link: Arc<LinkWatch>,
    /// This cluster's question to it.
    asked: Asked,
    addresses: Addresses,
    segments: Segments,
    sightings: Sightings,
    /// None where the system has no thread or descriptor for it.
    processes: Option<Arc<ServerProcesses>>,
    /// This cluster's history; none: none is kept.
    history: Option<PathBuf>,
    tally: Tally,
}

impl Shared {
    fn ask_host(&self) {
        self.asked.ask(&self.link);
    }
}

/// Where one cluster hears what was seen …
type Inbox = mpsc::UnboundedReceiver<Event>;
/// … of changed ways of the frames …
type Paths = mpsc::UnboundedReceiver<PathChange>;
/// … and who asks.
type Told = (Inbox, Paths, Questions);

/// One cluster's agent.
struct Agent {
    cluster: Cluster,
    journal: Log,
    log_dedup: LogDedup,
    recorder: Recorder,
    trace: TraceFile,
    historian: Historian,
    tally: Tally,
    hooks: Hooks,
    /// To itself: every watch tells through a clone of this.
    events: mpsc::UnboundedSender<Event>,
    shared: Shared,
    stat_file: StatFile,
    reader_stats: ReaderStats,
    wiring: Wiring,
    vips: BTreeMap<VipId, VipEdges>,
    once: Once,
    announce_again: AnnounceAgain,
    /// At the last look this host's server was the primary, read-only, and the VIP not here.
    was_read_only: bool,
    frames: Option<mpsc::UnboundedReceiver<Event>>,
    inbox: Option<mpsc::UnboundedReceiver<Event>>,
    /// What the step that is being carried out adds to the trace, and the wall clock's time of it.
    lines: Option<Lines>,
    wall_time: jiff::Zoned,
    /// The agent's clock at the same step.
    decided_at: Time,
    /// The host's clocks, as they differed at the last event.
    clocks: Clocks,
    /// The VIP came or left.
    last_switch: Option<LastSwitch>,
    /// What the service manager was told last.
    told: Option<service_manager::Seen>,
    /// It does no more than to give its VIPs up, whose names these are.
    leaving: Option<leaving::Names>,
}

impl Agent {
    fn new(cluster: Cluster, journal: Log, events: mpsc::UnboundedSender<Event>, shared: Shared) -> Self {
        let hooks = Hooks::begin(&cluster, &journal, &shared.tally);
        let mut wiring = Wiring::new(&cluster, shared.segments.clone(), shared.tally.clone());
        let once = Once::default();
        let members: Arc<[_]> = cluster.policy.group.members.keys().copied().collect();
        let edges = |vip: &VipPolicy| VipEdges::new(vip, Arc::clone(&members), journal.clone(), once.clone());
        let vips = cluster.policy.vips.iter().map(|(id, vip)| (*id, edges(vip))).collect();
        Self {
            frames: Some(wiring.frames()),
            inbox: None,
            lines: None,
            wall_time: jiff::Zoned::now(),
            decided_at: clock::now(),
            log_dedup: LogDedup::default(),
            recorder: Recorder::new(cluster.decision_trace, cluster.policy.clone(), shared.sightings.clone()),
            trace: TraceFile::new(cluster.trace_file()),
            historian: Historian::new(
                shared.history.clone(),
                Listeners { journal: journal.clone(), tally: shared.tally.clone(), hooks: hooks.clone() },
            ),
            tally: shared.tally.clone(),
            hooks,
            stat_file: StatFile::new(cluster.stat_file()),
            reader_stats: ReaderStats::new(&cluster),
            wiring,
            vips,
            once,
            announce_again: AnnounceAgain::default(),
            was_read_only: false,
            clocks: Clocks::read(),
            last_switch: None,
            told: None,
            leaving: None,
            cluster,
            journal,
            events,
            shared,
        }
    }

    /// Until it is told to end. Gives how it was then.
    async fn serve(
        mut self,
        (inbox, mut paths, mut questions): Told,
        mut stop: watch::Receiver<End>,
        mut orders: Orders,
    ) -> Ended {
        let mut driver = Driver::new(&self.cluster.policy, clock::now());
        self.inbox = Some(inbox);
        self.prepare();
        match self.stat_file.read() {
            Ok(found) => driver.push(Event::StatFile(found)),
            Err(error) => self.journal.error(&error.to_string()),
        }
        for error in self.reader_stats.begin(clock::now()) {
            self.journal.error(&error.to_string());
        }
        let policy = self.cluster.policy.clone();
        let end = stop.clone();
        let mut drained = orders.is_drained(&self.cluster.name);
        if drained {
            driver.push(Event::Release);
        }
        let mut paused = Paused::read(self.cluster.paused_file(), self.journal.clone());
        paused.news().into_iter().for_each(|news| driver.push(news));
        let mut of_cluster = self.wiring.pauses();
        let mut looked_at = Instant::now();
        let (manager, place) = self.shared.manager.clone();
        while let Some(until) = drive(&mut driver, &policy, &mut self).await {
            orders.tell(&self.cluster.name, driver.state().has_given_up());
            orders.tell_heard(&self.cluster.name, paused.heard());
            let now = clock::now();
            manager.follow(place, (&policy, driver.state()), paused.counts(), &mut self.told);
            manager.turned(place, now);
            let until = Instant::now() + until.since(now).min(manager.turn_within());
            let until = self.announce_again.due().map_or(until, |due| due.min(until));
            let told = driver.is_stopping();
            tokio::select! {
                _ = stop.wait_for(|end| *end != End::NotYet), if !told => {
                    let gives_up = end.borrow().gives_up(&self.cluster.name);
                    driver.stop(if gives_up { Stop::GiveUp } else { Stop::LeaveVip });
                }
                () = orders.changed(), if !told => {
                    if orders.is_drained(&self.cluster.name) != drained {
                        drained = !drained;
                        driver.push(if drained { Event::Release } else { Event::Undrain });
                    }
                    if let Some(word) = orders.pause_of(&self.cluster.name) {
                        paused.hear_of_host(word.pause);
                    }
                }
                Some(pause) = of_cluster.recv() => paused.hear_of_cluster(pause),
                event = next_of(&mut self.frames) => driver.push(event),
                event = next_of(&mut self.inbox) => driver.push(event),
                Some(change) = paths.recv() => self.follow_path(&change, driver.state()),
                // Whoever asked may have gone.
                Some(asked) = questions.recv() => drop(asked.send(self.status(driver.state(), told))),
                () = sleep_until(until) => {}
            }
            paused.news().into_iter().for_each(|news| driver.push(news));
            if self.announce_again.take(Instant::now()) {
                self.announce_again(driver.state());
            }
            if looked_at.elapsed() >= policy.group.sleeptime {
                looked_at = Instant::now();
                self.look_around(driver.state());
            }
        }
        paused.kept().await;
        self.finish(driver, orders.pauses.followed).await
    }

    /// The loop has ended.
    async fn finish(mut self, mut driver: Driver, followed: u64) -> Ended {
        self.historian.write_open();
        self.hooks.close();
        self.say_what_keeps_arp_in(driver.state());
        self.say_what_failed_at_the_end(&mut driver);
        if let (Some(_), Some(expel)) = (driver.state().expel.changed, self.wiring.expel()) {
            // What is not put back by then is on disk, for the next start.
            let _ = tokio::time::timeout(PUT_BACK_WITHIN, expel.flush()).await;
        }
        Ended {
            has_given_up: driver.state().has_given_up(),
            held: held(driver.state()).map(|(vip, _)| vip).collect(),
            followed,
        }
    }

    /// As it is now, with the server's last answer, which the rules need not be woken for where it says nothing new.
    fn status(&self, state: &State, ends: bool) -> Status {
        let unread = self.wiring.look_at_unchanged_answer();
        let policy = &self.cluster.policy;
        let mut status = Status::of(policy, state, unread.as_ref(), self.last_switch.as_ref(), clock::now());
        if ends {
            status.mode = Mode::Ending;
        }
        status
    }

    /// The rules are asked no more.
    fn say_what_failed_at_the_end(&mut self, driver: &mut Driver) {
        for (action, outcome) in driver.failed_at_the_end() {
            match (action, outcome) {
                (_, Outcome::Failed(text)) => self.journal.error(&format!("{text}; the kernel removes the VIP when its lease ends, unless an agent is started here before")),
                (Action::Vip(_, VipAction::RenewAddress { interface, .. }), Outcome::Gone) => self.journal.error(&format!("the VIP is not on {interface} any more, and this agent has not removed it: it is not added again")),
                _ => {}
            }
        }
    }
}

/// The VIPs that are held here, each with its interface.
fn held(state: &State) -> impl Iterator<Item = (VipId, &str)> {
    state.vips.iter().filter_map(|(id, vip)| match &vip.state {
        VipState::Holding(hold) => Some((*id, hold.interface.as_str())),
        _ => None,
    })
}

async fn next_in(queue: &mut Option<mpsc::UnboundedReceiver<Event>>) -> Option<Event> {
    queue.as_mut()?.recv().await
}

/// For ever where the queue is gone: then there is nothing to wait for but the time.
async fn next_of(queue: &mut Option<mpsc::UnboundedReceiver<Event>>) -> Event {
    match next_in(queue).await {
        Some(event) => event,
        None => std::future::pending().await,
    }
}
