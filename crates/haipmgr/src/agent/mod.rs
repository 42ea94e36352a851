//! The agent: one task per cluster, each with the only loop: an event in, `step`, actions out, one log line a change.
//! The only place that sees both `observe` and `act`.

mod actions;
mod electing;
mod spoken;
mod wiring;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use decide::event::{Event, Fact};
use decide::state::State;
use decide::{Decision, step};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::act::address::Addresses;
use crate::act::sockets::Connection;
use crate::act::statfile::StatFile;
use crate::act::stragglers::Stragglers;
use crate::act::strays::Strays;
use crate::clock;
use crate::config::{Cluster, Config};
use crate::journal::Log;
use crate::observe::link::{self, LinkWatch};
use crate::recorder::Recorder;
use crate::trace_file::TraceFile;

use actions::Once;
use spoken::Spoken;
use wiring::Wiring;

/// Why the agent can't run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The kernel's notifications of addresses can't be had.
    #[error(transparent)]
    Link(#[from] link::LinkError),
}

/// After the word to stop, clusters have this long to leave the VIP as it is.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// … and this long to put the server's setting back, where it is changed just then.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(1);

/// Runs all clusters until `stop` turns true. The VIPs stay as they are (S7).
///
/// # Errors
/// Only what keeps the agent from starting; later faults are facts that the rules decide on.
pub async fn run(
    config: &Config,
    journals: Vec<Log>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let mut tasks = JoinSet::new();
    let mut hosts = Vec::new();
    let mut starts = Vec::new();
    for (cluster, journal) in config.clusters.iter().zip(journals) {
        let (events, inbox) = mpsc::unbounded_channel();
        hosts.push(events.clone());
        starts.push((cluster.clone(), journal, events, inbox));
    }
    let link = Arc::new(
        link::watch(move |seen| {
            for events in &hosts {
                // Fails only when that cluster's task has ended: nobody needs it then.
                let _ = events.send(Event::Host(seen.clone()));
            }
        })
        .await?,
    );
    let addresses = Addresses::new();
    for (cluster, journal, events, inbox) in starts {
        let agent = Agent::new(cluster, journal, events, Arc::clone(&link), addresses.clone());
        tasks.spawn(agent.serve(inbox, stop.clone()));
    }
    // An error means that the sender is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_WITHIN, all).await;
    Ok(())
}

/// One cluster's agent.
struct Agent {
    cluster: Cluster,
    state: State,
    journal: Log,
    spoken: Spoken,
    recorder: Recorder,
    trace: TraceFile,
    /// To itself: every watch tells through a clone of this.
    events: mpsc::UnboundedSender<Event>,
    link: Arc<LinkWatch>,
    addresses: Addresses,
    stat_file: StatFile,
    wiring: Wiring,
    /// What `ListConnections` found, for `TickleClients` and `DestroyConnections`.
    connections: Arc<[Connection]>,
    /// What still arrives for the VIP after it has left.
    stragglers: Stragglers,
    /// Clients that knock at a dead holder.
    strays: Strays,
    once: Once,
    /// Outcomes of actions: to be taken in before anything else.
    outcomes: VecDeque<Event>,
}

impl Agent {
    fn new(
        cluster: Cluster,
        journal: Log,
        events: mpsc::UnboundedSender<Event>,
        link: Arc<LinkWatch>,
        addresses: Addresses,
    ) -> Self {
        Self {
            state: State::new(clock::now()),
            spoken: Spoken::default(),
            recorder: Recorder::new(cluster.decision_trace, cluster.policy.clone()),
            trace: TraceFile::new(cluster.trace_file()),
            stat_file: StatFile::new(cluster.stat_file()),
            wiring: Wiring::new(&cluster),
            connections: Arc::from(Vec::new()),
            stragglers: Stragglers::default(),
            strays: Strays::default(),
            once: Once::default(),
            outcomes: VecDeque::new(),
            cluster,
            journal,
            events,
            link,
            addresses,
        }
    }

    async fn serve(mut self, mut inbox: mpsc::UnboundedReceiver<Event>, mut stop: watch::Receiver<bool>) {
        let mut frames = self.wiring.frames();
        self.prepare();
        match self.stat_file.read() {
            Ok(found) => self.outcomes.push_back(Event::StatFile(found)),
            Err(error) => self.journal.error(&error.to_string()),
        }
        let mut wake_at = clock::now();
        loop {
            let event = if let Some(outcome) = self.outcomes.pop_front() {
                outcome
            } else {
                let wait = wake_at.since(clock::now());
                tokio::select! {
                    // In this order: a claim heard in between is answered before anything is taken.
                    biased;
                    _ = stop.wait_for(|stop| *stop) => Event::Stopping,
                    Some(event) = frames.recv() => event,
                    Some(event) = inbox.recv() => event,
                    () = sleep_until(Instant::now() + wait) => Event::Wake,
                }
            };
            let stopping = event == Event::Stopping;
            wake_at = self.take(&event).await.wake_at;
            if stopping {
                if let (Some(_), Some(expel)) = (self.state.election.changed, self.wiring.expel()) {
                    // What is not put back by then is on disk, for the next start.
                    let _ = tokio::time::timeout(PUT_BACK_WITHIN, expel.flush()).await;
                }
                return;
            }
        }
    }

    async fn take(&mut self, event: &Event) -> Decision {
        let (now, wall_time) = (clock::now(), jiff::Zoned::now());
        let lines = self.recorder.before(now, &self.state, event, wall_clock);
        let decision = step(&self.cluster.policy, &mut self.state, event, now);
        if matches!(event, Event::Host(_)) {
            self.rewire();
        }
        let not_added = self.carry_out(&decision, now).await;
        // A start that failed is no switch; the failure says so itself, as the next event.
        if !not_added {
            let log = self.journal.at(wall_time);
            for line in self.spoken.lines(now, &decision) {
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
        if let Fact::Known(host) = &self.state.host.fact {
            let member = decide::stages::own_member(&self.cluster.policy, host);
            let member = member.map(|(address, card)| (address, card.to_owned()));
            self.wiring.follow(&self.cluster, member, &self.events, &self.journal);
        }
    }
}

fn wall_clock() -> String {
    jiff::Zoned::now().to_string()
}
