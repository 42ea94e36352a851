//! The witnesses' processes, the thread that makes one recording of what they tell, and the live view.

use std::io;
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::ExperimentError;
use crate::group::{CLIENT_PASSWORD, CLIENT_USER, MYSQL_PORT};
use crate::host::Host;
use crate::namespace::Layout;
use crate::record::{Attach, Recorded, Recorder, Recording, What, now_us};
use crate::report::live::Live;
use crate::scenario::Lab;
use crate::segment::{INTERFACE, readers, vip};
use crate::witness::{AllAddresses, Listener};

/// How long the collecting thread waits for news before it draws.
const DRAW_EVERY: Duration = Duration::from_millis(50);
/// How long the collecting thread may take to take in what is told: it only ever waits for a terminal.
const TAKEN_IN_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Collected {
    recording: Recording,
    ended: bool,
}

impl Collected {
    fn has(&self, wanted: &Recorded) -> bool {
        let recent = self.recording.all().iter().rev().take_while(|recorded| recorded.at_us >= wanted.at_us);
        recent.into_iter().any(|recorded| recorded == wanted)
    }
}

#[derive(Debug, Default)]
struct Shared {
    collected: Mutex<Collected>,
    news: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that watches a lab.
#[derive(Debug)]
pub struct Watch {
    lab: std::path::PathBuf,
    attach: Attach,
    told: Sender<Recorded>,
    shared: Arc<Shared>,
    collector: JoinHandle<()>,
    witnesses: Vec<Child>,
    /// The clients of reader VIPs, with the VIP of each.
    reading: Vec<(IpAddr, Child)>,
    addresses: AllAddresses,
}

impl Watch {
    /// Starts the witnesses of all hosts, the client, whose first row has this number, and the collecting thread.
    pub(super) fn start(
        layout: &Layout,
        lab: &Lab,
        live: bool,
        first_id: u64,
    ) -> Result<Self, ExperimentError> {
        let recorder = Recorder::default();
        let (attach, told) = (recorder.attach(), recorder.sender());
        let shared = Arc::new(Shared::default());
        let names: Vec<String> = lab.segment.databases.iter().map(|host| host.name().to_owned()).collect();
        let live = live.then(|| Live::on_standard_output(&names, vip()));
        let collector = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || collect(&recorder, &shared, live))
        };
        let addresses = AllAddresses::start(told.clone()).map_err(ExperimentError::Addresses)?;
        let witnesses = Vec::new();
        let reading = Vec::new();
        let mut watch =
            Self { lab: layout.lab(), attach, told, shared, collector, witnesses, reading, addresses };
        for (place, host) in lab.segment.databases.iter().enumerate() {
            watch.look_at_addresses(host)?;
            let server = &lab.group.servers()[place];
            watch.witness("role", host, |command| {
                command.arg("--socket").arg(server.socket());
            })?;
            if let Some(agent) = lab.agents.get(place) {
                watch.attach.follow(host.name(), agent.messages());
            }
        }
        let client = &lab.segment.client;
        watch.witness("arp", client, |command| {
            command.args(["--interface", INTERFACE, "--vip"]).arg(vip().to_string());
        })?;
        // Without agents there is no VIP: the client goes to the servers' own addresses, and nobody is to be woken.
        let (kinds, hosts): (&[&'static str], _) = if lab.agents.is_empty() {
            (&["client"], own_addresses(lab))
        } else {
            (&["client", "asleep"], vip().to_string())
        };
        for kind in kinds.iter().copied() {
            watch.witness(kind, client, |command| {
                command.args(["--host", &hosts, "--port", &MYSQL_PORT.to_string()]);
                command.args(["--user", CLIENT_USER, "--password", CLIENT_PASSWORD]);
                if kind == "client" {
                    command.args(["--first-id", &first_id.to_string()]);
                }
            })?;
        }
        if !lab.agents.is_empty() {
            watch.read_through(client, &readers())?;
        }
        Ok(watch)
    }

    /// Looks at a host's addresses: from the start, and anew when the host has power again.
    pub(super) fn look_at_addresses(&self, host: &Host) -> Result<(), ExperimentError> {
        let failed = |cause| ExperimentError::Addresses(cause);
        let opened = host.in_network(|| Listener::open(host.name()));
        let opened = opened.map_err(|cause| failed(io::Error::other(cause)))?;
        let listener = opened.map_err(|cause| failed(io::Error::other(cause)))?;
        self.addresses.listen(listener);
        Ok(())
    }

    /// How late the addresses' witness was at most: so long may two hosts have had an address together unseen.
    pub(super) fn addresses_latest(&self) -> Duration {
        self.addresses.latest()
    }

    /// Has clients read through exactly these VIPs from now on.
    pub(super) fn read_through(&mut self, client: &Host, vips: &[IpAddr]) -> Result<(), ExperimentError> {
        for (vip, child) in std::mem::take(&mut self.reading) {
            if vips.contains(&vip) {
                self.reading.push((vip, child));
            } else {
                end(child);
            }
        }
        for vip in vips {
            if self.reading.iter().any(|(known, _)| known == vip) {
                continue;
            }
            let child = self.start_witness("reader", client, |command| {
                command.arg("--host").arg(vip.to_string()).args(["--port", &MYSQL_PORT.to_string()]);
                command.args(["--user", CLIENT_USER, "--password", CLIENT_PASSWORD]);
            })?;
            self.reading.push((*vip, child));
        }
        Ok(())
    }

    /// The VIPs that clients read through.
    pub(super) fn reader_vips(&self) -> Vec<IpAddr> {
        self.reading.iter().map(|(vip, _)| *vip).collect()
    }

    fn witness(
        &mut self,
        what: &'static str,
        host: &Host,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<(), ExperimentError> {
        let child = self.start_witness(what, host, arguments)?;
        self.witnesses.push(child);
        Ok(())
    }

    fn start_witness(
        &self,
        what: &'static str,
        host: &Host,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<Child, ExperimentError> {
        let failed = |cause| ExperimentError::Witness { host: host.name().to_owned(), what, cause };
        // The clients' records go by their own names; the hosts' witnesses by their host's.
        let who = if matches!(what, "client" | "asleep" | "reader") { what } else { host.name() };
        let mut command = host.command(&self.lab);
        command.args(["witness", what, "--who", who]).stdin(Stdio::piped()).stdout(Stdio::piped());
        arguments(&mut command);
        let mut child = command.spawn().map_err(failed)?;
        let output = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        self.attach.witness(who, output);
        Ok(child)
    }

    /// Tells something that begins now, and does not wait: what is told later is taken in later.
    pub(super) fn begin(&self, recorded: &Recorded) {
        // Fails only when the collecting thread is gone, which ends with this.
        let _ = self.told.send(recorded.clone());
    }

    /// Tells something and waits until it is in the recording: what came before it is there too, then, so that figures
    /// taken next know of it.
    pub(super) fn tell(&self, recorded: &Recorded) {
        // Fails only when the collecting thread is gone, which ends with this.
        if self.told.send(recorded.clone()).is_err() {
            return;
        }
        let since = Instant::now();
        let mut collected = self.shared.lock();
        while !collected.has(recorded) && since.elapsed() < TAKEN_IN_LIMIT {
            let waited = self.shared.news.wait_timeout(collected, DRAW_EVERY);
            collected = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn recording(&self) -> Recording {
        self.shared.lock().recording.clone()
    }

    pub(super) fn acknowledged_since(&self, since_us: u64) -> usize {
        let is_acknowledged = |recorded: &&Recorded| {
            recorded.at_us >= since_us
                && matches!(&recorded.what, What::Insert { outcome, .. } if outcome.is_acknowledged())
        };
        // From the end: what is asked for is recent.
        let collected = self.shared.lock();
        let all = collected.recording.all();
        all.iter()
            .rev()
            .take_while(|recorded| recorded.at_us + 1_000_000 >= since_us)
            .filter(is_acknowledged)
            .count()
    }

    /// A row's number that is far above all that were tried.
    pub(super) fn unused_id(&self) -> u64 {
        let tried = |recorded: &Recorded| match recorded.what {
            What::Insert { id, .. } => Some(id),
            _ => None,
        };
        let collected = self.shared.lock();
        collected.recording.all().iter().filter_map(tried).max().unwrap_or_default() + 100_000
    }

    /// Waits until something was told, or this long.
    pub(super) fn wait_for_news(&self, limit: Duration) {
        let collected = self.shared.lock();
        drop(self.shared.news.wait_timeout(collected, limit));
    }

    pub(super) fn finish(self) -> Recording {
        let reading = self.reading.into_iter().map(|(_, child)| child);
        self.witnesses.into_iter().chain(reading).for_each(end);
        self.shared.lock().ended = true;
        let _ = self.collector.join();
        let mut collected = self.shared.lock();
        std::mem::take(&mut collected.recording)
    }
}

/// Closing a witness's input ends it; the kill is for one that does not look.
fn end(mut child: Child) {
    drop(child.stdin.take());
    let _ = child.kill();
    let _ = child.wait();
}

/// The servers' own addresses, with commas between.
fn own_addresses(lab: &Lab) -> String {
    let all: Vec<String> = lab.segment.databases.iter().map(|host| host.address().to_string()).collect();
    all.join(",")
}

fn collect(recorder: &Recorder, shared: &Shared, mut live: Option<Live<io::Stdout>>) {
    loop {
        let news = recorder.next_within(DRAW_EVERY);
        {
            let mut collected = shared.lock();
            if collected.ended {
                break;
            }
            if let Some(recorded) = &news {
                collected.recording.push(recorded.clone());
            }
        }
        shared.news.notify_all();
        if let Some(live) = &mut live {
            if let Some(recorded) = &news {
                live.take(recorded);
            }
            // A terminal that can't be written does not end the run.
            let _ = live.draw(now_us());
        }
    }
    if let Some(live) = live {
        let _ = live.finish();
    }
}
