//! What one cluster's agent sees and acts through. The server is asked from the start; what looks at the segment waits
//! until it is known which member this host is, and follows when that changes.

mod segment;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use decide::State;
use decide::fitness::Fitness;
use decide::input::Event;
use decide::net::{Mac, VipId};
use decide::vip::VipState;
use tokio::sync::mpsc;

use self::segment::Segment;
use crate::act::address::Label;
use crate::act::announce::Announcer;
use crate::act::expel::{Expel, ExpelError};
use crate::config::Cluster;
use crate::journal::Log;
use crate::observe::backlog::{self, BacklogWatch};
use crate::observe::gateway::Gateways;
use crate::observe::listening::{self, ListeningWatch};
use crate::observe::mysql::{self, ServerWatch};
use crate::observe::neighbor::{Interfaces, NeighborWatch};
use crate::observe::network_service;
use crate::observe::pauses::{self, PauseWatch};
use crate::observe::server_process::{ProcessReport, ProcessWatch, ServerProcesses};
use crate::pause::Pause;
use crate::server_access::{Access, Endpoint, Servers};
use crate::tally::Tally;

/// Which member this host is: its address and interface.
type Membership = Option<(IpAddr, String)>;

/// What all clusters see together.
#[derive(Clone, Debug, Default)]
pub(super) struct Segments {
    interfaces: Interfaces,
    gateways: Gateways,
    servers: Servers,
}

/// The watches and the announcer of one cluster.
pub(super) struct Wiring {
    segments: Segments,
    member: Membership,
    server: Option<ServerWatch>,
    tally: Tally,
    pauses: Option<PauseWatch>,
    backlog: Option<BacklogWatch>,
    listening: Option<ListeningWatch>,
    tell_pause: mpsc::UnboundedSender<Option<Pause>>,
    pauses_told: Option<mpsc::UnboundedReceiver<Option<Pause>>>,
    process: Option<ProcessWatch>,
    expel: Option<Expel>,
    segment: Option<Segment>,
    frames: mpsc::UnboundedSender<Event>,
    inbox: Option<mpsc::UnboundedReceiver<Event>>,
    /// Of each interface that has had a VIP.
    labels: BTreeMap<String, Label>,
    poll_every: Duration,
    /// The interfaces of which the log was told what looks after them.
    looked_after: BTreeSet<String>,
}

/// The VIP can't be spoken of on the segment.
#[derive(Debug)]
pub(super) enum Mute {
    /// It is not known which interface to use.
    NoMember,
    /// The frame was not sent.
    NotSent(crate::act::announce::AnnounceError),
}

impl fmt::Display for Mute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMember => f.write_str("no ARP can be sent for the VIP: this host is not a member; compare `members` in the configuration with ip -br address"),
            Self::NotSent(error) => write!(f, "{error}"),
        }
    }
}

impl Wiring {
    pub(super) fn new(cluster: &Cluster, segments: Segments, tally: Tally) -> Self {
        let (frames, inbox) = mpsc::unbounded_channel();
        let (tell_pause, pauses_told) = mpsc::unbounded_channel();
        Self {
            segments,
            member: None,
            server: None,
            tally,
            pauses: None,
            backlog: None,
            listening: None,
            tell_pause,
            pauses_told: Some(pauses_told),
            process: None,
            expel: None,
            segment: None,
            frames,
            inbox: Some(inbox),
            labels: BTreeMap::new(),
            poll_every: cluster.policy.group.poll_interval,
            looked_after: BTreeSet::new(),
        }
    }

    /// Where frames about the VIP arrive: apart from all else, so that they can go first. To be taken once.
    pub(super) fn frames(&mut self) -> mpsc::UnboundedReceiver<Event> {
        self.inbox.take().unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    /// Where the cluster's pause arrives, as the local server has it. To be taken once.
    pub(super) fn pauses(&mut self) -> mpsc::UnboundedReceiver<Option<Pause>> {
        self.pauses_told.take().unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    /// Follows the host's membership: starts what is missing, starts anew what changed.
    pub(super) fn follow(
        &mut self,
        cluster: &Cluster,
        member: Membership,
        processes: Option<&ServerProcesses>,
        events: &mpsc::UnboundedSender<Event>,
        journal: &Log,
    ) {
        let changed = member != self.member;
        if let Some(segment) = self.segment.as_ref().filter(|_| !changed) {
            segment.neighbors().for_each(NeighborWatch::look_at_interface);
        }
        if self.server.is_none() || (changed && member.is_some() && cluster.socket.is_none()) {
            self.watch_server(cluster, member.as_ref(), events, journal);
        }
        if changed {
            self.segment = None;
            self.labels.clear();
            self.process = None;
        }
        if self.listening.is_none() && cluster.policy.reader_vips().next().is_some() {
            self.watch_listening(cluster, events, journal);
        }
        if let (None, Some((address, _)), Some(processes)) = (&self.process, &member, processes) {
            let listening = self.listening.as_ref();
            self.process = Some(watch_process(cluster, *address, processes, listening, events, journal));
        }
        if self.segment.is_none()
            && let Some((address, interface)) = &member
        {
            // Nothing is heard before the new watch says so. Fails only when the cluster's task has ended.
            for vip in cluster.policy.vips.keys() {
                let _ = self.frames.send(Event::ReceiveUp(*vip, false));
            }
            let here = (*address, interface.as_str());
            let told = (&self.frames, events);
            self.segment = Some(Segment::watch(&self.segments, cluster, here, told, journal));
            let elsewhere = cluster.policy.vips.values().filter_map(|vip| vip.interfaces.get(address));
            let interfaces: BTreeSet<&String> = elsewhere.chain([interface]).collect();
            for interface in interfaces {
                self.tell_who_looks_after(interface, cluster.policy.longest_lease().is_some(), journal);
            }
        }
        self.member = member;
    }

    /// A network service that would remove the VIP is spoken of once for each interface.
    fn tell_who_looks_after(&mut self, interface: &str, leased: bool, journal: &Log) {
        if !self.looked_after.insert(interface.to_owned()) {
            return;
        }
        let (interface, journal) = (interface.to_owned(), journal.clone());
        tokio::task::spawn_blocking(move || {
            for remark in network_service::remarks(&interface, leased) {
                journal.error(&remark);
            }
        });
    }

    fn watch_server(
        &mut self,
        cluster: &Cluster,
        member: Option<&(IpAddr, String)>,
        events: &mpsc::UnboundedSender<Event>,
        journal: &Log,
    ) {
        let endpoint = match (&cluster.socket, member) {
            (Some(path), _) => Endpoint::Socket(path.clone()),
            (None, Some((address, _))) => Endpoint::Tcp(*address, cluster.mysql_port),
            (None, None) => return,
        };
        let told = |events: &mpsc::UnboundedSender<Event>| {
            let events = events.clone();
            // Sending fails only when the cluster's task has ended.
            move |event| drop(events.send(event))
        };
        let log = journal.clone();
        let report = move |error: &ExpelError| log.error(&error.to_string());
        let access = Access::of(cluster, endpoint);
        let servers = self.servers();
        match Expel::start(&servers, access.clone(), cluster.expel_timeout_file(), told(events), report) {
            Ok(expel) => self.expel = Some(expel),
            Err(error) => journal.error(&error.to_string()),
        }
        let tell = self.tell_pause.clone();
        match pauses::watch(&servers, access.clone(), move |pause| drop(tell.send(pause))) {
            Ok(watch) => self.pauses = Some(watch),
            Err(error) => journal.error(&format!(
                "a pause of the whole cluster is not heard of here: cannot start a thread: {error}; raise the limit on tasks (TasksMax, ulimit -u)"
            )),
        }
        if cluster.policy.reader_vips().next().is_some() {
            self.watch_backlog(access.clone(), told(events), journal);
        }
        match mysql::watch(
            &servers,
            access.showing_agent(cluster),
            self.poll_every,
            self.tally.clone(),
            told(events),
        ) {
            Ok(watch) => self.server = Some(watch),
            Err(error) => journal.error(&error.to_string()),
        }
    }

    fn watch_listening(&mut self, cluster: &Cluster, events: &mpsc::UnboundedSender<Event>, journal: &Log) {
        let events = events.clone();
        // Sending fails only when the cluster's task has ended.
        match listening::watch(&self.servers(), cluster.mysql_port, move |event| drop(events.send(event))) {
            Ok(watch) => self.listening = Some(watch),
            Err(error) => journal.error(&format!(
                "whether mysqld listens for readers is not known: cannot start a thread: {error}; raise the limit on tasks (TasksMax, ulimit -u)"
            )),
        }
    }

    fn watch_backlog(&mut self, access: Access, tell: impl Fn(Event) + Send + Sync + 'static, journal: &Log) {
        let log = journal.clone();
        let report = move |why: &str| {
            log.error(&format!("whether this server is too far behind for readers is not known: {why}; it counts as not behind"));
        };
        match backlog::watch(&self.servers(), access, tell, report) {
            Ok(watch) => self.backlog = Some(watch),
            Err(error) => journal.error(&format!(
                "whether this server is too far behind for readers is not known: cannot start a thread: {error}; raise the limit on tasks (TasksMax, ulimit -u)"
            )),
        }
    }

    /// What speaks to the local server about expelling, once it is known where that is.
    pub(super) fn expel(&self) -> Option<&Expel> {
        self.expel.as_ref()
    }

    /// Where servers are spoken to.
    pub(super) fn servers(&self) -> Servers {
        self.segments.servers.clone()
    }

    pub(super) fn ask_server(&self) {
        if let Some(server) = &self.server {
            server.ask_now();
        }
    }

    /// What the server answered last, where that was no news.
    pub(super) fn unchanged_answer(&self) -> Option<Event> {
        self.server.as_ref()?.unchanged().map(Event::Server)
    }

    /// The same, left where it is: for whoever only looks.
    pub(super) fn look_at_unchanged_answer(&self) -> Option<Event> {
        self.server.as_ref()?.look_at_unchanged().map(Event::Server)
    }

    pub(super) fn server_answers(&self) {
        if let Some(process) = &self.process {
            process.server_answers();
        }
    }

    pub(super) fn poll_server_every(&mut self, every: Duration) {
        self.poll_every = every;
        if let Some(server) = &self.server {
            server.poll_every(every);
        }
    }

    pub(super) fn ask_gateway(&self) {
        for gateway in self.segment.iter().flat_map(|segment| segment.gateways.values()) {
            gateway.ask_now();
        }
    }

    pub(super) fn learn_neighbors(&self) {
        if let Some(segment) = &self.segment {
            segment.neighbor.learn_now();
        }
    }

    pub(super) fn ask_who_has_vip(&self, vip: VipId, address: IpAddr) {
        if let Some(segment) = &self.segment {
            segment.neighbor_of(vip).ask_who_has_vip(address);
        }
    }

    pub(super) fn say_fitness(&self, vip: VipId, address: IpAddr, fitness: Fitness) {
        if let Some(segment) = &self.segment {
            segment.neighbor_of(vip).say_fitness(address, fitness);
        }
    }

    pub(super) fn say_member(&mut self, vip: VipId, place: usize, from: IpAddr) -> Result<(), Mute> {
        self.announcer(vip)?.say_member(place, from).map_err(Mute::NotSent)
    }

    /// Who asks by echo is told which VIPs are being claimed.
    pub(super) fn follow_claims(&mut self, state: &State) {
        let Some(segment) = &mut self.segment else { return };
        for (id, echo) in &mut segment.echoes {
            let claim = match state.vips.get(id).map(|vip| &vip.state) {
                Some(VipState::Claiming(claim)) => Some((claim.since, claim.probes)),
                _ => None,
            };
            echo.follow(claim);
        }
    }

    /// What claims that are over had opened is closed.
    pub(super) fn close_unused_echoes(&mut self) {
        for echo in self.segment.iter_mut().flat_map(|segment| segment.echoes.values_mut()) {
            echo.close_unused();
        }
    }

    pub(super) fn probe(&mut self, vip: VipId) -> Result<(), Mute> {
        self.announcer(vip)?.probe().map_err(Mute::NotSent)?;
        if let Some(segment) = &mut self.segment {
            segment.echo_probe(vip);
        }
        Ok(())
    }

    pub(super) fn announce_release(&mut self, vip: VipId, to: Option<Mac>) -> Result<(), Mute> {
        self.announcer(vip)?.announce_release(to).map_err(Mute::NotSent)
    }

    pub(super) fn announce(&mut self, vip: VipId) -> Result<(), Mute> {
        self.announcer(vip)?.announce().map_err(Mute::NotSent)
    }

    fn announcer(&mut self, vip: VipId) -> Result<&mut Announcer, Mute> {
        let segment = self.segment.as_mut();
        segment.and_then(|segment| segment.announcers.get_mut(&vip)).ok_or(Mute::NoMember)
    }

    /// The VIP's label on this interface; where it had to be shortened, the log says so, once.
    pub(super) fn label(&mut self, interface: &str, port: u16, journal: &Log) -> Label {
        if let Some(label) = self.labels.get(interface) {
            return label.clone();
        }
        let (label, shortened) = Label::new(interface, port);
        if let Some(line) = shortened {
            journal.info(&line);
        }
        self.labels.insert(interface.to_owned(), label.clone());
        label
    }
}

fn watch_process(
    cluster: &Cluster,
    address: IpAddr,
    processes: &ServerProcesses,
    listening: Option<&ListeningWatch>,
    events: &mpsc::UnboundedSender<Event>,
    journal: &Log,
) -> ProcessWatch {
    let (events, log) = (events.clone(), journal.clone());
    let sign = listening.map(ListeningWatch::at_a_sign);
    let shuts_down = listening.map(|watch| Box::new(watch.at_the_last_word()) as Box<dyn Fn() + Send>);
    let tell = move |event| {
        if let (Some(sign), Event::Process(of)) = (&sign, &event) {
            sign(*of);
        }
        // Fails only when the cluster's task has ended.
        let _ = events.send(event);
    };
    let report = move |report: ProcessReport| log.info(&report.to_string());
    // A little longer than any VIP lingers, whose time begins after the end was noticed.
    let lingers = cluster.policy.vips.values().map(|vip| vip.linger).max();
    let wait = lingers.unwrap_or_default() + Duration::from_secs(1);
    processes.watch((address, cluster.mysql_port), wait, tell, report, shuts_down)
}

/// How to ask another member's server.
pub(super) fn access_to(cluster: &Cluster, member: IpAddr) -> Access {
    Access::of(cluster, Endpoint::Tcp(member, cluster.mysql_port))
}
