//! The agent between its start and its end: hears signals, orders and reloads, one after the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::before_shutdown::BeforeShutdown;
use super::drains::Drains;
use super::pauses::Pauses;
use super::reloads::{Asked, Reloads, by_signal};
use super::run::Prepared;
use super::timings;
use crate::agent::{Clusters, End, Left, NotGivenUp};
use crate::config::{Cluster, Config};
use crate::control::message::{Answer, Request};
use crate::control::{self, Door, Doors, Order};
use crate::http::Http;
use crate::journal::{Journal, Log};
use crate::lock::Lock;
use crate::service_manager::ServiceManager;
use crate::tally::Tally;

/// What runs, and all that is told what runs.
pub(super) struct Serving {
    /// The configuration as its file says.
    pub(super) written: Arc<Config>,
    /// Each of its clusters.
    pub(super) running: BTreeMap<String, Runs>,
    pub(super) journal: Journal,
    /// Held for as long as the agent runs (S4).
    pub(super) lock: Lock,
    pub(super) manager: ServiceManager,
    pub(super) clusters: Clusters,
    pub(super) drains: Drains,
    pub(super) pauses: Pauses,
    before_shutdown: Option<BeforeShutdown>,
    doors: Doors,
    http: Option<Http>,
}

/// One cluster that runs.
pub(super) struct Runs {
    /// As it runs: its lease may be shorter than the file has it.
    pub(super) cluster: Cluster,
    pub(super) log: Log,
    pub(super) door: Door,
    still: Arc<()>,
}

impl Runs {
    /// For [`timings::look_later`].
    pub(super) fn to_compare(&self) -> (Cluster, Log, Weak<()>) {
        (self.cluster.clone(), self.log.clone(), Arc::downgrade(&self.still))
    }
}

/// Runs the agent until it is told to stop. Gives who told it.
pub(super) async fn until_told_to_stop(prepared: Prepared) -> Result<String, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot install signal handlers: {error}"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let mut reopen = listen(SignalKind::user_defined1())?;
    let mut serving = Serving::begin_all(prepared).await?;
    let mut control = serving.listen();
    let mut reloads = Reloads::default();
    let (told_by, order) = loop {
        let next_order = async {
            match &mut control {
                Some(control) => control.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => break ("SIGTERM".to_owned(), None),
            _ = interrupt.recv() => break ("SIGINT".to_owned(), None),
            _ = reopen.recv() => serving.reopen_logs("SIGUSR1"),
            _ = hang_up.recv() => {
                if by_signal(serving.written.source) {
                    reloads.add(Asked::Signal);
                    serving.reopen_logs("SIGHUP");
                } else {
                    serving.manager.reloading();
                    serving.reopen_logs("SIGHUP");
                    serving.manager.reloaded();
                }
            }
            step = reloads.next() => reloads.go_on(step, &mut serving).await,
            order = next_order => if let Some(order) = serving.carry_out(order, &mut reloads).await {
                break (in_words_of(&order), Some(order));
            },
        }
        reloads.begin(&serving);
    };
    serving.journal.agent().info(&format!("told to end by {told_by}"));
    serving.manager.stopping();
    let end = match order.as_ref().map(|order| &order.request) {
        Some(Request::Release { cluster }) => End::GiveUp(cluster.clone()),
        _ => End::LeaveVips,
    };
    let (held, ()) = tokio::join!(serving.clusters.end(end), reloads.end());
    if let Some(order) = order {
        let words = last_words(&order.request, &held);
        order.answer(&words).await;
    }
    // To the end of the process.
    std::mem::forget(serving.lock);
    Ok(told_by)
}

impl Serving {
    /// Begins each cluster's agent.
    async fn begin_all(prepared: Prepared) -> Result<Self, String> {
        let Prepared { written, to_begin, journal, lock } = prepared;
        let manager = ServiceManager::from_environment();
        let (pauses, pause_orders) = Pauses::begin(&written);
        let (drains, orders) = Drains::begin(&written, &journal.agent(), pause_orders);
        let clusters = Clusters::open(written.source, &manager, orders, &journal.agent()).await;
        let clusters = clusters.map_err(|error| error.to_string())?;
        let before_shutdown = BeforeShutdown::begin(&written, drains.drained(), &journal.agent());
        let written = Arc::new(written);
        let (running, doors) = (BTreeMap::new(), Doors::default());
        let mut serving = Self {
            written,
            running,
            journal,
            lock,
            manager,
            clusters,
            drains,
            pauses,
            before_shutdown,
            doors,
            http: None,
        };
        let mut later = Vec::new();
        // No loop turns before all have begun: only then is the agent ready.
        for (cluster, log, unanswered) in to_begin {
            let runs = serving.begin(cluster, log, &Left::default());
            later.extend(unanswered.then(|| runs.to_compare()));
        }
        timings::look_later(later);
        serving.set_doors();
        serving.answer_over_http();
        Ok(serving)
    }

    /// Begins one cluster's agent, in the place of the one that has `left`.
    pub(super) fn begin(&mut self, cluster: Cluster, log: Log, left: &Left) -> &Runs {
        let (questions, asked) = mpsc::channel(1);
        // A cluster that is begun anew by a reload goes on counting.
        let tally =
            self.running.get(&cluster.name).map_or_else(Tally::default, |runs| runs.door.tally.clone());
        let door = Door { cluster: cluster.name.clone(), questions, tally: tally.clone() };
        self.clusters.begin(cluster.clone(), log.clone(), asked, tally, left);
        let name = cluster.name.clone();
        let runs = Runs { cluster, log, door, still: Arc::default() };
        self.running.entry(name).insert_entry(runs).into_mut()
    }

    /// Whoever asks how the agent is, is answered by those that run, in the order of the file.
    fn set_doors(&self) {
        let door = |cluster: &Cluster| self.running.get(&cluster.name).map(|runs| runs.door.clone());
        self.doors.set(self.written.clusters.iter().filter_map(door).collect());
    }

    /// The configuration is this one from now on.
    pub(super) fn follow(&mut self, written: Config) {
        self.drains.follow(&written);
        self.pauses.follow(&written);
        match &self.before_shutdown {
            Some(before_shutdown) if written.drain_on_shutdown => before_shutdown.follow(&written),
            _ => {
                let log = self.journal.agent();
                self.before_shutdown = BeforeShutdown::begin(&written, self.drains.drained(), &log);
            }
        }
        self.written = written.into();
        self.set_doors();
        self.answer_over_http();
    }

    /// Begun anew with each configuration: it may name other clusters, another place, or a certificate that was renewed.
    fn answer_over_http(&mut self) {
        drop(self.http.take());
        let Some(listen) = &self.written.listen else { return };
        match Http::begin(listen, Arc::clone(&self.written), self.doors.clone(), self.journal.clone()) {
            Ok(http) => self.http = Some(http),
            Err(error) => self.journal.agent().error(&error.to_string()),
        }
    }

    fn listen(&self) -> Option<control::Listener> {
        let log = self.journal.agent();
        let removed = move |text: &str| log.error(text);
        match control::Listener::open(&self.written.control_socket(), self.doors.clone(), removed) {
            Ok(control) => Some(control),
            Err(error) => {
                self.journal.agent().error(&error.to_string());
                None
            }
        }
    }

    fn reopen_logs(&self, told_by: &str) {
        self.journal.reopen();
        self.journal.agent().info(&format!("the log files are reopened ({told_by})"));
    }

    /// Gives the order back where it is the last.
    async fn carry_out(&mut self, order: Order, reloads: &mut Reloads) -> Option<Order> {
        if let Some(refusal) = self.unknown_cluster(&order) {
            order.answer(&Answer::Failed(refusal)).await;
            return None;
        }
        let told = || self.journal.agent().info(&format!("told by {}", in_words_of(&order)));
        match order.request {
            Request::Drain { .. } | Request::Undrain { .. } => {
                told();
                self.drains.carry_out(order);
            }
            // The listener answers it by itself.
            Request::Status { .. } => {}
            Request::Pause { .. } | Request::Resume { .. } => {
                told();
                self.pauses.carry_out(order);
            }
            Request::Reload { check, .. } => {
                if !check {
                    told();
                    self.journal.reopen();
                }
                reloads.add(Asked::By(order));
            }
            Request::Stop | Request::Release { .. } => return Some(order),
        }
        None
    }

    /// The configuration that runs may be another than the one that was asked with.
    fn unknown_cluster(&self, order: &Order) -> Option<String> {
        let name = order.request.cluster().filter(|name| !self.running.contains_key(*name))?;
        Some(format!(
            "the running agent has no cluster {name:?} and goes on: was the configuration changed? haipmgr reload has it read anew"
        ))
    }
}

fn in_words_of(order: &Order) -> String {
    let command = match &order.request {
        Request::Stop => "stop",
        Request::Release { .. } => "stop --release",
        Request::Drain { .. } => "drain",
        Request::Undrain { .. } => "undrain",
        Request::Status { .. } => "status",
        Request::Pause { .. } => "pause",
        Request::Resume { .. } => "resume",
        Request::Reload { .. } => "reload",
    };
    let cluster = order.request.cluster().map_or_else(String::new, |name| format!(" --cluster {name}"));
    format!("haipmgr {command}{cluster} ({})", order.by)
}

fn last_words(request: &Request, NotGivenUp(held): &NotGivenUp) -> Answer {
    match request {
        Request::Release { .. } if held.is_empty() => {
            Answer::Done("the VIP is given up, and the agent has ended".to_owned())
        }
        Request::Release { .. } => Answer::Failed(format!(
            "the agent has ended, but the VIP of {} may still be here: look at its log and at ip address show",
            held.join(", ")
        )),
        _ => Answer::Done("the agent has ended; the VIP stays as it is".to_owned()),
    }
}
