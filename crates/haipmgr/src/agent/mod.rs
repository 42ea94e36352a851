//! The agent: one task per cluster, each with the only loop (`drive.rs`): what was seen in, what is to be
//! done out, one log line a change.
//! The only place that sees both `observe` and `act`.

mod actions;
mod announce_again;
mod clusters;
mod drive;
mod expelling;
mod historian;
mod hosts;
mod leaving;
mod log_dedup;
mod paused;
mod vip_edges;
mod wiring;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use decide::State;
use decide::action::{Action, Outcome, VipAction};
use decide::checks::{Cause, Finding};
use decide::driver::{Driver, Settled, Stop};
use decide::event::{Event, Fact, Seen, Server};
use decide::net::VipId;
use decide::policy::VipPolicy;
use decide::status::{LastSwitch, Status};
use decide::time::Time;
use decide::vip::VipState;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::act::address::Addresses;
use crate::act::statfile::StatFile;
use crate::clock::{self, Clocks};
use crate::config::Cluster;
use crate::journal::Log;
use crate::observe::link::{LinkError, LinkWatch, PathChange};
use crate::observe::server_process::ServerProcesses;
use crate::observe::{arp_kept_in, listening};
use crate::pause::Pause;
use crate::recorder::{Lines, Recorder, Sightings};
use crate::service_manager::{self, ServiceManager};
use crate::trace_file::TraceFile;

use announce_again::AnnounceAgain;
use clusters::Ended;
pub use clusters::{Clusters, Left};
use drive::{Edges, drive};
use historian::Historian;
use hosts::Asked;
pub use leaving::Leaving;
use log_dedup::LogDedup;
pub use paused::Heard;
use paused::Paused;
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

/// At the word to stop, the kernel's answer about this host's addresses is waited for no longer than this.
const LOOK_WITHIN: Duration = Duration::from_millis(200);

const READ_ONLY: &str = "this server has been the primary and read-only for a while, and does not take the VIP: clients can't write. It may have a backlog \
     to apply; where super_read_only stays on, switch it off on this server, and look for mysql_disable_super_read_only_if_primary in \
     performance_schema.replication_group_member_actions";

/// … and this long to put the server's setting back, where it is changed just then.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(1);

/// How the agent is to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It is not.
    #[default]
    NotYet,
    /// The VIPs stay as they are (S7).
    LeaveVips,
    /// The VIP of this cluster is given up, or of each where none is named; the others stay as they are.
    GiveUp(Option<String>),
}

impl End {
    fn gives_up(&self, cluster: &str) -> bool {
        matches!(self, Self::GiveUp(named) if named.as_ref().is_none_or(|named| named == cluster))
    }
}

/// What the agents are told while they run, and what they tell of it.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The clusters whose VIP is given up, and not taken any more, until they are not named any more.
    pub drained: watch::Receiver<BTreeSet<String>>,
    /// Those that have given it up.
    pub given_up: watch::Sender<BTreeSet<String>>,
    /// Pauses.
    pub pauses: PauseOrders,
}

/// What the agents are told of pauses, and what they have heard.
#[derive(Clone, Debug)]
pub struct PauseOrders {
    /// By cluster, the last word for this host's agent. Not named: there was none since it started.
    pub of_host: watch::Receiver<BTreeMap<String, PauseWord>>,
    /// By cluster.
    pub heard: watch::Sender<BTreeMap<String, Heard>>,
    /// The number of the last word that was followed.
    pub followed: u64,
}

/// This host's agent is paused, or no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseWord {
    /// Counts the words: each is followed once.
    pub number: u64,
    /// None: it is to go on.
    pub pause: Option<Pause>,
}

impl Orders {
    /// For an agent that comes after one that followed the words up to this number.
    fn after(&self, followed: u64) -> Self {
        Self { pauses: PauseOrders { followed, ..self.pauses.clone() }, ..self.clone() }
    }

    /// Whether this cluster is drained, as far as it was told.
    fn is_drained(&mut self, cluster: &str) -> bool {
        self.drained.borrow_and_update().contains(cluster)
    }

    /// A word is yet to come. For ever where nobody is there to give it.
    async fn changed(&mut self) {
        let changed = tokio::select! {
            changed = self.drained.changed() => changed,
            changed = self.pauses.of_host.changed() => changed,
        };
        if changed.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The word for this cluster's agent, where there is one that it has not followed yet.
    fn pause_of(&mut self, cluster: &str) -> Option<PauseWord> {
        let followed = self.pauses.followed;
        let word = self.pauses.of_host.borrow_and_update().get(cluster).cloned();
        let word = word.filter(|word| word.number > followed)?;
        self.pauses.followed = word.number;
        Some(word)
    }

    fn tell_heard(&self, cluster: &str, heard: &Heard) {
        self.pauses.heard.send_if_modified(|all| {
            let news = all.get(cluster) != Some(heard);
            if news {
                all.insert(cluster.to_owned(), heard.clone());
            }
            news
        });
    }

    fn tell(&self, cluster: &str, has_given_up: bool) {
        self.given_up.send_if_modified(|all| {
            if has_given_up { all.insert(cluster.to_owned()) } else { all.remove(cluster) }
        });
    }
}

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
    /// To itself: every watch tells through a clone of this.
    events: mpsc::UnboundedSender<Event>,
    shared: Shared,
    stat_file: StatFile,
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
        let mut wiring = Wiring::new(&cluster, shared.segments.clone());
        let once = Once::default();
        let edges = |vip: &VipPolicy| VipEdges::new(vip.address, journal.clone(), once.clone());
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
            historian: Historian::new(shared.history.clone(), journal.clone()),
            stat_file: StatFile::new(cluster.stat_file()),
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
            manager.follow(place, &policy, driver.state(), &mut self.told);
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
                Some(asked) = questions.recv() => drop(asked.send(self.status(driver.state()))),
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
    fn status(&self, state: &State) -> Status {
        let unread = self.wiring.look_at_unchanged_answer();
        Status::of(&self.cluster.policy, state, unread.as_ref(), self.last_switch.as_ref(), clock::now())
    }

    /// The way of the frames has changed: the VIP, where it is held there, is announced anew.
    fn follow_path(&mut self, change: &PathChange, state: &State) {
        if !held(state).any(|(_, interface)| interface == change.interface) {
            return;
        }
        self.announce_again.begin(Instant::now());
        let PathChange { interface, what } = change;
        let text = format!("{interface}: {what}; the VIP is announced again");
        if let Some(line) = self.log_dedup.info(clock::now(), text) {
            line.write(&self.journal);
        }
    }

    /// The primary that takes no writes does not take the VIP: said once it was so at two looks, for it is so for a moment at each switchover.
    fn look_at_read_only(&mut self, state: &State) {
        let read_only = Finding::Failed(Cause::ReadOnly) == state.stages(&self.cluster.policy).primary.0;
        let before = std::mem::replace(&mut self.was_read_only, read_only && held(state).next().is_none());
        if !self.was_read_only {
            self.once.forget(READ_ONLY);
        } else if before {
            self.once.error(&self.journal, READ_ONLY, &READ_ONLY);
        }
    }

    /// What nobody tells of: a removed file, a server that listens elsewhere.
    fn look_around(&mut self, state: &State) {
        if let Err(error) = self.stat_file.put_back() {
            self.once.error(&self.journal, error.to_string(), &error);
        }
        self.look_at_read_only(state);
        for (id, vip) in &self.cluster.policy.vips {
            let (address, port) = (vip.address, self.cluster.mysql_port);
            let cause = format!("nobody listens at {address}");
            if !held(state).any(|(held, _)| held == *id) {
                self.once.forget(&cause);
                continue;
            }
            let (once, journal) = (self.once.clone(), self.journal.clone());
            tokio::task::spawn_blocking(move || match listening::remark(address, port) {
                Some(text) => once.error(&journal, cause, &text),
                None => once.forget(&cause),
            });
        }
    }

    /// The VIP stays here without an agent, so that only the kernel's answers keep others from taking it.
    fn say_what_keeps_arp_in(&self, state: &State) {
        if let Some(remark) = held(state).next().and_then(|(_, interface)| arp_kept_in::remark(interface)) {
            self.journal.error(&format!(
                "{remark}. Without an agent here, a switchover gives the VIP two holders: end this agent with haipmgr stop --release, or mend that first"
            ));
        }
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

    /// Starts, or starts anew, what looks at the segment, once it is known which member this host is.
    fn rewire(&mut self, state: &State) {
        if let Fact::Known(host) = &state.facts.host.fact {
            let member = decide::checks::own_member(&self.cluster.policy.group, host);
            let member = member.map(|(address, interface)| (address, interface.to_owned()));
            let processes = self.shared.processes.as_deref();
            self.wiring.follow(&self.cluster, member, processes, &self.events, &self.journal);
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

impl Edges for Agent {
    fn now(&mut self) -> Time {
        clock::now()
    }

    fn push_arrived(&mut self, driver: &mut Driver) {
        let clocks = Clocks::read();
        let parted = clocks.parted_since(&self.clocks);
        self.clocks = clocks;
        if let Some(parted) = parted {
            driver.push(parted);
        }
        for queue in [&mut self.frames, &mut self.inbox].into_iter().flatten() {
            while let Ok(event) = queue.try_recv() {
                driver.push(event);
            }
        }
        if let Some(answer) = self.wiring.unchanged_answer() {
            driver.push_last_word(answer);
        }
    }

    async fn push_unread(&mut self, driver: &mut Driver, addresses: bool) {
        // Who listens is a task of the same thread, and is to be asked first.
        tokio::task::yield_now().await;
        if addresses {
            let asked_at = clock::now();
            self.shared.ask_host();
            let answer = async {
                while let Some(event) = next_in(&mut self.inbox).await {
                    let is_it = matches!(&event, Event::Host(seen) if seen.asked_at >= asked_at);
                    driver.push(event);
                    if is_it {
                        break;
                    }
                }
            };
            // Not answered: a renewal touches only what is there.
            let _ = tokio::time::timeout(LOOK_WITHIN, answer).await;
        }
    }

    fn before(&mut self, now: Time, state: &State, event: &Event) {
        self.wall_time = jiff::Zoned::now();
        self.decided_at = now;
        self.lines = self.recorder.before(now, state, event, wall_clock);
    }

    fn decided(&mut self, driver: &Driver, event: &Event) {
        match event {
            Event::Host(_) => self.rewire(driver.state()),
            Event::Server(Seen { fact: Fact::Known(Server::Member(_) | Server::NotInGroup(_)), .. }) => {
                self.wiring.server_answers();
            }
            _ => {}
        }
        if let Some(decision) = driver.decision() {
            self.historian.decided(&self.cluster, driver.state(), event, decision, self.decided_at);
        }
    }

    async fn carry_out(&mut self, deed: &Action) -> Outcome {
        let outcome = self.carry_out_deed(deed).await;
        self.historian.done(deed, &outcome);
        outcome
    }

    async fn settled(&mut self, settled: &Settled) {
        for vip in self.vips.values_mut() {
            vip.tidy(&self.shared.addresses).await;
        }
        let log = self.journal.at(self.wall_time.clone());
        let names = self.leaving.as_ref().map_or(&self.cluster.policy, |leaving| &leaving.policy);
        for line in self.log_dedup.lines(names, settled) {
            line.write(&log);
        }
        let lines = self.lines.take();
        self.trace.write(lines, &self.journal);
        if settled.decision.stage_5() != 1 {
            let switch = LastSwitch::of(&self.cluster.policy, &settled.decision, settled.at);
            // A start that failed is none.
            self.last_switch = switch.filter(|_| settled.not_started.is_empty()).or(self.last_switch.take());
            let lines = self.recorder.switched(wall_clock);
            self.trace.write(lines, &self.journal);
        }
        self.historian.settled(&self.cluster, || self.wiring.servers());
    }
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

fn wall_clock() -> String {
    jiff::Zoned::now().to_string()
}
