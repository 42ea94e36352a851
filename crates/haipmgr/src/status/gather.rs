//! Every source, asked at the same time, each within its limit: the agent of this host, each member's server, the segment and the kernel.
//! None waits for another, so that a hung server or a dead agent costs no more than its own limit.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use decide::policy::VipPolicy;
use futures_util::future::{FutureExt, join_all, join3};
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::due::Due;
use super::kernel::{self, KernelAddress};
use super::picture::{Agent, Answers, Known, Limits, OnThisHost, Picture};
use super::segment::{self, Heard};
use super::servers::{Answered, Servers};
use crate::config::{Cluster, Config};
use crate::control::message::{Answer, Request};
use crate::control::report::{Report, Told};
use crate::control::{self, ClientError, Patience};

/// Each server has so long to answer.
const SERVER_LIMIT: Duration = Duration::from_millis(200);
/// … and so has the agent.
const AGENT_LIMIT: Duration = Duration::from_millis(200);
/// The kernel answers at once.
const KERNEL_LIMIT: Duration = Duration::from_millis(150);

/// The clusters that are looked at, again and again.
#[derive(Debug)]
pub(crate) struct Watched {
    socket: PathBuf,
    clusters: Vec<(Cluster, Servers)>,
    /// The one that was asked for; none: all.
    named: Option<String>,
    /// When the servers are asked again; none: at each look.
    due: Option<Due>,
}

/// What is asked of the segment, on one interface: from the member's address on it, or, where it has none, from whichever it has.
type Segments = BTreeMap<(String, Option<IpAddr>), Known<BTreeMap<IpAddr, Heard>>>;

impl Watched {
    /// All clusters, for one who looks several times a second and spares the servers: while nothing changes, each is asked once a second,
    /// and what it said is shown again. Inside a tokio runtime.
    pub(crate) fn often(config: &Config) -> Self {
        Self { due: Some(Due::default()), ..Self::of(config, None) }
    }

    /// All clusters, or the one of this name; inside a tokio runtime.
    pub(crate) fn of(config: &Config, named: Option<&str>) -> Self {
        let wanted = |cluster: &&Cluster| named.is_none_or(|named| named == cluster.name);
        let clusters = config.clusters.iter().filter(wanted);
        Self {
            socket: config.control_socket(),
            clusters: clusters.map(|cluster| (cluster.clone(), Servers::of(cluster))).collect(),
            named: named.map(str::to_owned),
            due: None,
        }
    }

    /// Looks at everything once. Ages count back from the time that is given with it.
    pub(crate) async fn look(&mut self) -> (Timestamp, Vec<Picture>) {
        let agent = ask_agent(self.socket.clone(), self.named.clone()).shared();
        let clusters: Vec<Cluster> = self.clusters.iter().map(|(cluster, _)| cluster.clone()).collect();
        let servers = ask_servers(&mut self.clusters, self.due.as_mut(), agent.clone());
        // An age counts from the question: whatever holds up an answer on its way makes the fact older, and nobody sees by how much.
        let asked_at = Instant::now();
        let around = async {
            let own = match timeout(KERNEL_LIMIT, kernel::addresses()).await {
                Ok(own) => own,
                Err(_) => Err("the kernel does not answer".to_owned()),
            };
            let segments = ask_segments(&clusters, &own).await;
            (own, segments)
        };
        let (agent, servers, (own, segments)) = join3(agent, servers, around).await;
        // What answered at once has grown older while the others were waited for.
        let (at, now) = (Timestamp::now(), Instant::now());
        let age = now.duration_since(asked_at);
        let each = clusters.iter().zip(servers);
        let pictures = each.map(|(cluster, servers)| Picture {
            cluster: cluster.name.clone(),
            vips: cluster.policy.vips.values().map(|vip| vip.address).collect(),
            readers: cluster.policy.reader_vips().filter_map(|vip| cluster.policy.address_of(vip)).collect(),
            own: own_member(cluster, &own).map(|(address, _)| address),
            servers: servers.into_iter().map(|answered| answered.shown(now)).collect(),
            agent: of_cluster(&agent, &cluster.name, age),
            kernel: vips_here(cluster, &own, age),
            segment: of_segment(cluster, &own, &segments, now),
            limits: limits(cluster),
        });
        (at, pictures.collect())
    }
}

/// Those that are due, each within its limit; of the others what they said.
async fn ask_servers(
    clusters: &mut [(Cluster, Servers)],
    due: Option<&mut Due>,
    agent: impl Future<Output = Result<Report, Agent>>,
) -> Vec<Vec<Answered>> {
    if let Some(due) = due {
        if !due.by_time(Instant::now()) && !due.after(agent.await.as_ref().ok(), Instant::now()) {
            return clusters.iter().map(|(_, servers)| servers.answered()).collect();
        }
        due.asked(Instant::now());
    }
    let until = Instant::now() + SERVER_LIMIT;
    join_all(clusters.iter_mut().map(|(_, servers)| servers.ask(until))).await
}

fn limits(cluster: &Cluster) -> Limits {
    let group = &cluster.policy.group;
    Limits {
        server: group.evidence_age.max(3 * group.poll_interval),
        // Looked at each `sleeptime`, if nothing happens.
        other: 2 * group.sleeptime + Duration::from_secs(1),
    }
}

fn own_member<'c>(cluster: &'c Cluster, own: &Known<Vec<KernelAddress>>) -> Option<(IpAddr, &'c str)> {
    let own = own.as_ref().ok()?;
    let members = &cluster.policy.group.members;
    members
        .iter()
        .find(|(member, _)| own.iter().any(|own| own.address == **member))
        .map(|(member, interface)| (*member, interface.as_str()))
}

fn vips_here(cluster: &Cluster, own: &Known<Vec<KernelAddress>>, age: Duration) -> Known<Vec<OnThisHost>> {
    let own = own.as_ref().map_err(Clone::clone)?;
    let here = own.iter().filter(|own| cluster.policy.vip_of(own.address).is_some());
    Ok(here
        .map(|own| OnThisHost {
            address: own.address,
            interface: own.interface.clone(),
            lease_left: own.left,
            age,
        })
        .collect())
}

/// On which interface this VIP is asked for, and from which address.
fn asked_at(vip: &VipPolicy, own: IpAddr, interface: &str) -> (String, Option<IpAddr>) {
    match vip.interfaces.get(&own) {
        Some(elsewhere) => (elsewhere.clone(), None),
        None => (interface.to_owned(), Some(own)),
    }
}

/// Each interface once, for all clusters that are on it.
async fn ask_segments(clusters: &[Cluster], own: &Known<Vec<KernelAddress>>) -> Segments {
    let mut wanted: BTreeMap<(String, Option<IpAddr>), BTreeSet<IpAddr>> = BTreeMap::new();
    for cluster in clusters {
        let Some((address, interface)) = own_member(cluster, own) else { continue };
        for vip in cluster.policy.vips.values() {
            wanted.entry(asked_at(vip, address, interface)).or_default().insert(vip.address);
        }
        let targets = wanted.entry((interface.to_owned(), Some(address))).or_default();
        targets.extend(cluster.policy.group.members.keys().filter(|member| **member != address));
    }
    let asked = wanted.into_iter().map(|((interface, address), targets)| async move {
        let targets: Vec<_> = targets.into_iter().collect();
        let found = segment::ask(&interface, address, &targets).await;
        ((interface, address), found)
    });
    join_all(asked).await.into_iter().collect()
}

fn of_segment(
    cluster: &Cluster,
    own: &Known<Vec<KernelAddress>>,
    segments: &Segments,
    now: Instant,
) -> Known<BTreeMap<IpAddr, Answers>> {
    let Some((address, interface)) = own_member(cluster, own) else {
        return Err("this host is no member of the cluster: type it on one that is".to_owned());
    };
    let Some(found) = segments.get(&(interface.to_owned(), Some(address))) else {
        return Err("it was not asked for".to_owned());
    };
    let found = found.as_ref().map_err(Clone::clone)?;
    // Elsewhere a VIP that can't be asked for is left out: it is not known who has it.
    let elsewhere = cluster.policy.vips.values().filter(|vip| !vip.interfaces.is_empty()).filter_map(|vip| {
        let there = segments.get(&asked_at(vip, address, interface))?.as_ref().ok()?;
        there.get_key_value(&vip.address)
    });
    let aged = |(address, heard): (&IpAddr, &Heard)| {
        (*address, heard.iter().map(|(mac, at)| (*mac, now.duration_since(*at))).collect())
    };
    Ok(found.iter().chain(elsewhere).map(aged).collect())
}

/// The agent, asked by one who waits.
async fn ask_agent(socket: PathBuf, cluster: Option<String>) -> Result<Report, Agent> {
    let patience = Patience { connect: AGENT_LIMIT / 2, answer: AGENT_LIMIT * 3 / 4 };
    let path = socket.clone();
    let asked =
        tokio::task::spawn_blocking(move || control::ask(&socket, &Request::Status { cluster }, patience));
    let hangs = || {
        Agent::None(format!(
            "the agent at {} does not answer within {} ms: it hangs, or the host is very busy; where it holds a VIP, its lease ends soon",
            path.display(),
            AGENT_LIMIT.as_millis()
        ))
    };
    let Ok(Ok(asked)) = timeout(AGENT_LIMIT, asked).await else { return Err(hangs()) };
    match asked {
        Ok(Answer::Status(report)) => Ok(*report),
        Ok(Answer::Done(words) | Answer::Failed(words)) => Err(Agent::Unknown(words)),
        Ok(Answer::Reload(_)) => Err(Agent::Unknown("the agent answered what was not asked for".to_owned())),
        Err(ClientError::Silent { .. }) => Err(hangs()),
        Err(nobody @ ClientError::NobodyThere(_)) => Err(Agent::None(nobody.to_string())),
        Err(error) => Err(Agent::Unknown(error.to_string())),
    }
}

/// `age`: since the agent was asked.
fn of_cluster(asked: &Result<Report, Agent>, name: &str, age: Duration) -> Agent {
    let report = match asked {
        Ok(report) => report,
        Err(agent) => return agent.clone(),
    };
    match report.clusters.iter().find(|cluster| cluster.name == name).map(|cluster| &cluster.told) {
        Some(Told::Status(status)) => Agent::Runs {
            version: report.version.clone(),
            pid: report.pid,
            up: Duration::from_millis(report.up_ms),
            status: Box::new(status.later(age)),
        },
        Some(Told::Silent(why)) => Agent::None(why.clone()),
        None => Agent::Unknown(format!(
            "the running agent has no cluster {name:?}: was the configuration changed since it started? Restart it"
        )),
    }
}
