//! The clusters' agents of this host: each a task of its own, begun and ended by itself while the others go on.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use decide::driver::GIVE_UP_WITHIN;
use decide::net::VipId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::hosts::{Asked, Hosts};
use super::leaving::Leaving;
use super::wiring::Segments;
use super::{Agent, AgentError, End, Inbox, NotGivenUp, Orders, Paths, Questions, STOP_WITHIN, Shared};
use crate::act::address::Addresses;
use crate::config::{Cluster, Source};
use crate::journal::Log;
use crate::observe::link::{self, LinkWatch};
use crate::observe::server_process::ServerProcesses;
use crate::recorder::Sightings;
use crate::service_manager::ServiceManager;
use crate::tally::Tally;

/// All clusters' agents, and what they share.
pub struct Clusters {
    source: Source,
    manager: ServiceManager,
    orders: Orders,
    hosts: Arc<Hosts>,
    link: Arc<LinkWatch>,
    addresses: Addresses,
    segments: Segments,
    sightings: Sightings,
    processes: Option<Arc<ServerProcesses>>,
    tasks: BTreeMap<String, Task>,
    next_place: usize,
}

/// One cluster's agent.
struct Task {
    /// Of its loop, where the service manager hears of it.
    place: usize,
    running: JoinHandle<Ended>,
    stop: watch::Sender<End>,
}

/// How a cluster's agent was when it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its VIPs were to be given up, and are.
    pub(super) has_given_up: bool,
    /// The VIPs that it held, and left as they are.
    pub(super) held: BTreeSet<VipId>,
    /// The number of the last word about a pause that it followed.
    pub(super) followed: u64,
}

/// A cluster's agent that has ended: its successor begins where it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    place: Option<usize>,
    ended: Ended,
    /// It did not end by itself in time, and was broken off: its VIPs have the lease that they had.
    pub broken_off: bool,
}

impl Left {
    /// Whether it held one of these VIPs.
    pub fn held_any(&self, vips: impl IntoIterator<Item = VipId>) -> bool {
        vips.into_iter().any(|vip| self.ended.held.contains(&vip))
    }
}

impl Clusters {
    /// None yet. `log`: of the agent as a whole.
    ///
    /// # Errors
    /// Only what keeps an agent from starting; later faults are facts that the rules decide on.
    pub async fn open(
        source: Source,
        manager: &ServiceManager,
        orders: Orders,
        log: &Log,
    ) -> Result<Self, AgentError> {
        let hosts = Arc::new(Hosts::default());
        let told = Arc::clone(&hosts);
        let link = Arc::new(link::watch(move |news| told.tell(news)).await?);
        let processes = match ServerProcesses::start() {
            Ok(processes) => Some(Arc::new(processes)),
            Err(error) => {
                log.error(&format!("the local server's process can't be watched: {error}; its end is noticed at the next poll"));
                None
            }
        };
        Ok(Self {
            source,
            manager: manager.clone(),
            orders,
            hosts,
            link,
            addresses: Addresses::new(),
            segments: Segments::default(),
            sightings: Sightings::default(),
            processes,
            tasks: BTreeMap::new(),
            next_place: 0,
        })
    }

    /// Begins one cluster's agent, in the place of the one that has `left`, where one has. It answers `questions`.
    /// What happens is counted in `tally`.
    pub fn begin(&mut self, cluster: Cluster, journal: Log, questions: Questions, tally: Tally, left: &Left) {
        let place = left.place.unwrap_or(self.next_place);
        self.next_place = self.next_place.max(place + 1);
        let leases = cluster.policy.vips.values().filter_map(|vip| vip.lease);
        self.manager.set(place, &cluster.name, leases.min());
        let (name, (stop, stopped)) = (cluster.name.clone(), watch::channel(End::NotYet));
        let (agent, inbox, paths) = self.agent(cluster, journal, place, self.processes.clone(), tally);
        let orders = self.orders.after(left.ended.followed);
        let running = tokio::spawn(agent.serve((inbox, paths, questions), stopped, orders));
        self.tasks.insert(name, Task { place, running, stop });
    }

    fn agent(
        &self,
        cluster: Cluster,
        journal: Log,
        place: usize,
        processes: Option<Arc<ServerProcesses>>,
        tally: Tally,
    ) -> (Agent, Inbox, Paths) {
        let (events, inbox) = mpsc::unbounded_channel();
        let (path, paths) = mpsc::unbounded_channel();
        let asked: Asked = self.hosts.add(events.clone(), path);
        asked.ask(&self.link);
        let shared = Shared {
            manager: (self.manager.clone(), place),
            link: Arc::clone(&self.link),
            asked,
            addresses: self.addresses.clone(),
            segments: self.segments.clone(),
            sightings: self.sightings.clone(),
            processes,
            // A legacy configuration's folder holds the files that its users know, and no others.
            history: (self.source == Source::Toml).then(|| cluster.history_file()),
            tally,
        };
        (Agent::new(cluster, journal, events, shared), inbox, paths)
    }

    /// Ends these clusters' agents as a restart does: each VIP stays as it is. Whoever does not end in time is broken off.
    pub async fn leave(&mut self, names: &BTreeSet<String>) -> BTreeMap<String, Left> {
        let tasks: Vec<_> = names.iter().filter_map(|name| self.tasks.remove_entry(name)).collect();
        for (_, task) in &tasks {
            task.stop.send_replace(End::LeaveVips);
        }
        let mut all = BTreeMap::new();
        let until = Instant::now() + STOP_WITHIN;
        for (name, mut task) in tasks {
            let ended = timeout_at(until, &mut task.running).await;
            let broken_off = !matches!(ended, Ok(Ok(_)));
            if broken_off {
                task.running.abort();
            }
            let ended = ended.ok().and_then(Result::ok).unwrap_or_default();
            all.insert(name, Left { place: Some(task.place), ended, broken_off });
        }
        all
    }

    /// The cluster has left for good.
    pub fn forget(&self, left: &Left) {
        if let Some(place) = left.place {
            self.manager.remove(place);
        }
    }

    /// Gives up what a cluster that has left does not have any more, once `when` is over: until then an agent of its own holds it. Gives
    /// whether it is gone.
    pub fn give_up(
        &self,
        leaving: Leaving,
        journal: Log,
        when: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<bool> {
        let (cluster, names) = leaving.parts();
        let (mut agent, inbox, _) = self.agent(cluster, journal, usize::MAX, None, Tally::default());
        agent.leaving = Some(names);
        tokio::spawn(agent.give_up(inbox, when))
    }

    /// Ends all.
    pub async fn end(mut self, end: End) -> NotGivenUp {
        for task in self.tasks.values() {
            task.stop.send_replace(end.clone());
        }
        let mut held: Vec<_> = self.tasks.keys().filter(|name| end.gives_up(name)).cloned().collect();
        let within = if matches!(end, End::GiveUp(_)) { GIVE_UP_WITHIN + STOP_WITHIN } else { STOP_WITHIN };
        let until = Instant::now() + within;
        for (name, task) in &mut self.tasks {
            if let Ok(Ok(Ended { has_given_up: true, .. })) = timeout_at(until, &mut task.running).await {
                held.retain(|held| held != name);
            }
        }
        NotGivenUp(held)
    }
}
