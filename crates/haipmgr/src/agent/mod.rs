//! The agent: one task per cluster, each with the only loop: an event in, `step`, actions out, one log line a change.
//! The only place that sees both `observe` and `act`.

mod actions;
mod expelling;
mod hosts;
mod log_dedup;
mod wiring;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use decide::State;
use decide::action::Outcome;
use decide::event::{Event, Fact, Seen, Server};
use decide::{Decision, step};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::act::address::Addresses;
use crate::act::late_packets::LatePackets;
use crate::act::orphan_syns::OrphanSyns;
use crate::act::sockets::Connection;
use crate::act::statfile::StatFile;
use crate::clock::{self, Clocks};
use crate::config::{Cluster, Config};
use crate::journal::Log;
use crate::observe::link::{self, LinkWatch};
use crate::observe::server_process::ServerProcesses;
use crate::recorder::{Recorder, Sightings};
use crate::trace_file::TraceFile;

use actions::Once;
use hosts::{Asked, Hosts};
use log_dedup::LogDedup;
use wiring::{Segments, Wiring};

/// Why the agent can't run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The kernel's notifications of addresses can't be had.
    #[error(transparent)]
    Link(#[from] link::LinkError),
}

/// After the word to stop, clusters have this long to leave the VIP as it is.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// After the word to give the VIP up, for that.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(3);

/// An agent that gets to look at the time so much later than it wanted was held up.
const HELD_UP: Duration = Duration::from_millis(5);

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

/// The clusters whose VIP was to be given up, and may still be here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotGivenUp(pub Vec<String>);

/// Runs all clusters until `stop` says how to end.
///
/// # Errors
/// Only what keeps the agent from starting; later faults are facts that the rules decide on.
pub async fn run(
    config: &Config,
    journals: Vec<Log>,
    mut stop: watch::Receiver<End>,
) -> Result<NotGivenUp, AgentError> {
    let mut tasks = JoinSet::new();
    let mut hosts = Hosts::default();
    let mut starts = Vec::new();
    for (cluster, journal) in config.clusters.iter().zip(journals) {
        let (events, inbox) = mpsc::unbounded_channel();
        let asked = hosts.add(events.clone());
        starts.push((cluster.clone(), journal, events, inbox, asked));
    }
    let link = Arc::new(link::watch(move |seen| hosts.tell(&seen)).await?);
    let (addresses, segments, sightings) = (Addresses::new(), Segments::default(), Sightings::default());
    let processes = match ServerProcesses::start() {
        Ok(processes) => Some(Arc::new(processes)),
        Err(error) => {
            for (_, journal, ..) in &starts {
                journal.error(&format!("the local server's process can't be watched: {error}; its end is noticed at the next poll"));
            }
            None
        }
    };
    for (cluster, journal, events, inbox, asked) in starts {
        let shared = Shared {
            link: Arc::clone(&link),
            asked,
            addresses: addresses.clone(),
            segments: segments.clone(),
            sightings: sightings.clone(),
            processes: processes.clone(),
        };
        let agent = Agent::new(cluster, journal, events, shared);
        tasks.spawn(agent.serve(inbox, stop.clone()));
    }
    // An error means that the sender is gone, which is a stop too.
    let _ = stop.wait_for(|end| *end != End::NotYet).await;
    let end = stop.borrow().clone();
    let told = config.clusters.iter().filter(|cluster| end.gives_up(&cluster.name));
    let mut held: Vec<_> = told.map(|cluster| cluster.name.clone()).collect();
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            if let Ok(Some(given_up)) = ended {
                held.retain(|name| *name != given_up);
            }
        }
    };
    let within = if matches!(end, End::GiveUp(_)) { GIVE_UP_WITHIN + STOP_WITHIN } else { STOP_WITHIN };
    let _ = tokio::time::timeout(within, all).await;
    Ok(NotGivenUp(held))
}

/// What all clusters' agents share.
struct Shared {
    link: Arc<LinkWatch>,
    /// This cluster's question to it.
    asked: Asked,
    addresses: Addresses,
    segments: Segments,
    sightings: Sightings,
    /// None where the system has no thread or descriptor for it.
    processes: Option<Arc<ServerProcesses>>,
}

impl Shared {
    fn ask_host(&self) {
        self.asked.ask(&self.link);
    }
}

/// One cluster's agent.
struct Agent {
    cluster: Cluster,
    state: State,
    journal: Log,
    log_dedup: LogDedup,
    recorder: Recorder,
    trace: TraceFile,
    /// To itself: every watch tells through a clone of this.
    events: mpsc::UnboundedSender<Event>,
    shared: Shared,
    stat_file: StatFile,
    wiring: Wiring,
    /// What `ListConnections` found, for `TickleClients` and `DestroyConnections`.
    connections: Arc<[Connection]>,
    /// What still arrives for the VIP after it has left.
    late_packets: LatePackets,
    /// Clients that knock at a dead holder.
    orphan_syns: OrphanSyns,
    once: Once,
    /// Outcomes of actions: to be taken in before anything else.
    outcomes: VecDeque<Event>,
    /// The host's clocks, as they differed at the last event.
    clocks: Clocks,
}

impl Agent {
    fn new(cluster: Cluster, journal: Log, events: mpsc::UnboundedSender<Event>, shared: Shared) -> Self {
        Self {
            state: State::new(clock::now()),
            log_dedup: LogDedup::default(),
            recorder: Recorder::new(cluster.decision_trace, cluster.policy.clone(), shared.sightings.clone()),
            trace: TraceFile::new(cluster.trace_file()),
            stat_file: StatFile::new(cluster.stat_file()),
            wiring: Wiring::new(&cluster, shared.segments.clone()),
            connections: Arc::from(Vec::new()),
            late_packets: LatePackets::default(),
            orphan_syns: OrphanSyns::default(),
            once: Once::default(),
            outcomes: VecDeque::new(),
            clocks: Clocks::read(),
            cluster,
            journal,
            events,
            shared,
        }
    }

    /// Until it is told to end. Gives its name where the VIP was given up.
    async fn serve(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Event>,
        mut stop: watch::Receiver<End>,
    ) -> Option<String> {
        let mut frames = self.wiring.frames();
        self.prepare();
        match self.stat_file.read() {
            Ok(found) => self.outcomes.push_back(Event::StatFile(found)),
            Err(error) => self.journal.error(&error.to_string()),
        }
        let mut wake_at = clock::now();
        let mut give_up_until = None;
        loop {
            let event = if let Some(outcome) = self.outcomes.pop_front() {
                outcome
            } else {
                let wait = wake_at.since(clock::now());
                tokio::select! {
                    // In this order: a claim heard in between is answered before anything is taken.
                    biased;
                    _ = stop.wait_for(|end| *end != End::NotYet), if give_up_until.is_none() => Event::Stopping,
                    () = sleep_until(give_up_until.unwrap_or_else(Instant::now)), if give_up_until.is_some() => Event::Stopping,
                    Some(event) = frames.recv() => event,
                    Some(event) = inbox.recv() => event,
                    () = sleep_until(Instant::now() + wait) => Event::Wake,
                }
            };
            let event = if event == Event::Wake && clock::now().since(wake_at) > HELD_UP {
                // What arrived meanwhile may be unread yet: who listens is a task of the same thread, and is to be asked first.
                tokio::task::yield_now().await;
                frames.try_recv().unwrap_or(event)
            } else {
                event
            };
            let event = if event == Event::Stopping
                && give_up_until.is_none()
                && stop.borrow().gives_up(&self.cluster.name)
            {
                give_up_until = Some(Instant::now() + GIVE_UP_WITHIN);
                Event::Release
            } else {
                event
            };
            let clocks = Clocks::read();
            let parted = clocks.parted_since(&self.clocks);
            self.clocks = clocks;
            if let Some(parted) = parted {
                self.take(&parted).await;
            }
            // What is decided now is decided on the server's last word; but nothing before a frame that was heard.
            if !matches!(event, Event::Frame(_))
                && let Some(answer) = self.wiring.unchanged_answer()
            {
                self.take(&answer).await;
            }
            wake_at = self.take(&event).await.wake_at;
            if event == Event::Stopping {
                self.say_what_failed_at_the_end();
                if let (Some(_), Some(expel)) = (self.state.expel.changed, self.wiring.expel()) {
                    // What is not put back by then is on disk, for the next start.
                    let _ = tokio::time::timeout(PUT_BACK_WITHIN, expel.flush()).await;
                }
                return self.state.has_given_up().then_some(self.cluster.name);
            }
            if self.state.has_given_up() {
                give_up_until = Some(Instant::now());
            }
        }
    }

    /// The rules are asked no more.
    fn say_what_failed_at_the_end(&mut self) {
        for event in self.outcomes.drain(..) {
            if let Event::Done { outcome: Outcome::Failed(text), .. } = event {
                self.journal.error(&format!("{text}; the kernel removes the VIP when its lease ends, unless an agent is started here before"));
            }
        }
    }

    async fn take(&mut self, event: &Event) -> Decision {
        let (now, wall_time) = (clock::now(), jiff::Zoned::now());
        let lines = self.recorder.before(now, &self.state, event, wall_clock);
        let decision = step(&self.cluster.policy, &mut self.state, event, now);
        match event {
            Event::Host(_) => self.rewire(),
            Event::Server(Seen { fact: Fact::Known(Server::Member(_) | Server::NotInGroup(_)), .. }) => {
                self.wiring.server_answers();
            }
            _ => {}
        }
        let not_added = self.carry_out(&decision, now).await;
        // A start that failed is no switch; the failure says so itself, as the next event.
        if !not_added {
            let log = self.journal.at(wall_time);
            for line in self.log_dedup.lines(now, &decision) {
                line.write(&log);
            }
        }
        self.trace.write(lines, &self.journal);
        if decision.stage_5() != 1 {
            let lines = self.recorder.switched(wall_clock);
            self.trace.write(lines, &self.journal);
        }
        decision
    }

    /// Starts, or starts anew, what looks at the segment, once it is known which member this host is.
    fn rewire(&mut self) {
        if let Fact::Known(host) = &self.state.facts.host.fact {
            let member = decide::checks::own_member(&self.cluster.policy, host);
            let member = member.map(|(address, interface)| (address, interface.to_owned()));
            let processes = self.shared.processes.as_deref();
            self.wiring.follow(&self.cluster, member, processes, &self.events, &self.journal);
        }
    }
}

fn wall_clock() -> String {
    jiff::Zoned::now().to_string()
}
