//! What `haipmgr check` looks at beyond the file: this host, its kernel, the segment, every member's server. Below `commands`.
//!
//! Each file judges one area: facts in, lines out, pure. What gathers facts has a limit on each question, so that a hung server, a
//! silent segment or a slow name server is a line and no wait. Nothing is changed; no VIP is probed for, claimed or announced.
//!
//! | file | the one idea |
//! |---|---|
//! | `line.rs` | a line: ok, advice or problem, its name, what mends it; as text and as JSON |
//! | `server.rs` | the questions to a member's server, and its answers |
//! | `account.rs` | the login, TLS, each right with its GRANT |
//! | `group.rs` | who is in the group, its majority, what it can lose |
//! | `alike.rs` | what must be the same on every member |
//! | `readers.rs` | how many reader VIPs suit the group, and their limit |
//! | `settings.rs` | each member's settings |
//! | `clients.rs` | accounts that a failover would lock out |
//! | `failover.rs` | the times to expect, computed; the lease |
//! | `kernel.rs` | capabilities, interface, `net.ipv4`, `SOCK_DESTROY` |
//! | `segment.rs` | who answers for the VIP and the gateway |
//! | `others.rs` | who else might move the VIP here |
//! | `agent.rs` | the agent of this host, and its files |
//! | `agents.rs` | the agents of all members, by what each shows on its server |

mod account;
mod agent;
mod agents;
mod alike;
mod clients;
mod failover;
mod group;
mod kernel;
pub(crate) mod line;
mod others;
mod readers;
mod segment;
mod server;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use decide::policy::{VipGateway, VipPolicy};
use decide::timings::GroupTimings;

use self::account::Wanted;
use self::agent::{Build, Running};
use self::failover::{Agents, Settings};
use self::line::Line;
use self::segment::{Answers, Around};
use self::server::{Asked, Said};
use crate::config::{Alike, Cluster, Config};
use crate::observe::server_process::{self, Watchable};
use crate::server_access::{Access, Endpoint, servers};

/// How long names are looked up at the most.
const NAMES_WITHIN: Duration = Duration::from_secs(2);

/// This host as a member of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    /// Its address, as in `members`.
    pub(crate) own: IpAddr,
    /// The interface that has it.
    pub(crate) interface: String,
    /// Another address of its network stands before it on that interface.
    pub(crate) secondary: bool,
    /// The interface of each VIP that is on another one than the member's address.
    pub(crate) elsewhere: BTreeMap<IpAddr, String>,
    /// The interfaces that have each VIP.
    pub(crate) vips: BTreeMap<IpAddr, Vec<String>>,
    /// What an agent that was killed left to be put back as `group_replication_member_expel_timeout`.
    pub(crate) kept_expel_timeout: Option<u32>,
}

/// What was found beside this host's own files.
struct Found {
    asked: Vec<Asked>,
    answers: Answers,
    /// On each interface that only VIPs are on, by its name.
    elsewhere: BTreeMap<String, Answers>,
    running: Option<Running>,
    error_log: Watchable,
}

/// Looks at everything, for one cluster. It takes about a second, and some 30 s at the most.
pub(crate) fn look(config: &Config, cluster: &Cluster, here: &Here) -> Vec<Line> {
    let vips: Vec<IpAddr> = cluster.policy.vips.values().map(|vip| vip.address).collect();
    let (asked, answers, elsewhere) = gather(cluster, here, &vips);
    let error_log = server_process::watchable(here.own, cluster.mysql_port);
    let found = Found { asked, answers, elsewhere, running: running(config, &vips), error_log };
    let mut lines = of_this_host(cluster, here, &vips, &found);
    if group::answered(&found.asked).next().is_some() {
        lines.extend(agents::lines(&found.asked, here.own, &Alike::of(cluster)));
    }
    lines.extend(of_the_segment(cluster, here, &found));
    lines.extend(of_the_group(cluster, here, &vips, &found));
    line::merged(lines)
}

/// All members' servers and the segment, at the same time.
fn gather(
    cluster: &Cluster,
    here: &Here,
    vips: &[IpAddr],
) -> (Vec<Asked>, Answers, BTreeMap<String, Answers>) {
    let members: Vec<IpAddr> = cluster.policy.group.members.keys().copied().collect();
    let access = |member: &IpAddr| {
        let endpoint = match &cluster.socket {
            Some(socket) if *member == here.own => Endpoint::Socket(socket.clone()),
            _ => Endpoint::Tcp(*member, cluster.mysql_port),
        };
        (*member, Access::of(cluster, endpoint))
    };
    let to_ask = members.iter().map(access).collect();
    let mut targets: Vec<IpAddr> = members.iter().copied().filter(|member| *member != here.own).collect();
    targets.extend(vips.iter().filter(|vip| !here.elsewhere.contains_key(vip)));
    targets
        .extend(cluster.gateways().filter(|gateway| here.interface_of_gateway(cluster, *gateway).is_none()));
    let all = servers::wait_for(async {
        tokio::join!(
            server::ask_all(to_ask),
            segment::ask(&here.interface, here.own, &targets),
            ask_elsewhere(cluster, here, &members)
        )
    });
    all.unwrap_or_else(|error| {
        let refusal = || server::Refusal { code: None, words: error.to_string() };
        let unasked = members.iter().map(|address| Asked { address: *address, said: Err(refusal()) });
        (unasked.collect(), Err(error.to_string()), BTreeMap::new())
    })
}

/// Each interface that only VIPs are on: those VIPs, and the gateways that they have of their own.
async fn ask_elsewhere(cluster: &Cluster, here: &Here, members: &[IpAddr]) -> BTreeMap<String, Answers> {
    let names: BTreeSet<&String> = here.elsewhere.values().collect();
    let asked = names.into_iter().map(|name| async move {
        let vips = here.elsewhere.iter().filter(|(_, there)| *there == name).map(|(vip, _)| *vip);
        let own = |gateway: &IpAddr| here.interface_of_gateway(cluster, *gateway) == Some(name);
        let targets: Vec<IpAddr> = vips.chain(cluster.gateways().filter(own)).collect();
        (name.clone(), segment::ask_where_only_vips_are(name, members, &targets).await)
    });
    futures_util::future::join_all(asked).await.into_iter().collect()
}

impl Here {
    /// The interface on which this gateway is asked, where that is not the member's.
    fn interface_of_gateway(&self, cluster: &Cluster, gateway: IpAddr) -> Option<&String> {
        let has_it = |vip: &&VipPolicy| vip.gateway == VipGateway::Own(gateway);
        let vip = cluster.policy.vips.values().find(has_it)?;
        self.elsewhere.get(&vip.address).filter(|_| gateway != cluster.gateway)
    }

    /// Each interface that VIPs are on here, the member's first.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &str> {
        let others: BTreeSet<&String> =
            self.elsewhere.values().filter(|name| **name != self.interface).collect();
        std::iter::once(self.interface.as_str()).chain(others.into_iter().map(String::as_str))
    }
}

/// The agent that looks after one of these VIPs on this host.
fn running(config: &Config, vips: &[IpAddr]) -> Option<Running> {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    vips.iter().any(|vip| agent::runs(&sockets, *vip)).then(|| {
        // Only where one runs: what is not locked would be for a moment.
        let pid = crate::lock::holder(config).map(|(pid, _)| pid);
        Running { pid, build: pid.map_or(Build::NotKnown, Build::of) }
    })
}

fn of_this_host(cluster: &Cluster, here: &Here, vips: &[IpAddr], found: &Found) -> Vec<Line> {
    let root = Path::new("/");
    let running = found.running.as_ref();
    let pid = running.and_then(|running| running.pid);
    let mut lines = agent::lines(running, cluster.drained_file().exists());
    let whose = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let status = std::fs::read_to_string(format!("/proc/{whose}/status")).unwrap_or_default();
    lines.extend(kernel::capabilities(&status, pid.is_some()));
    let vip_has_network = cluster.policy.vips.values().any(|vip| vip.prefix.is_some());
    for interface in here.interfaces() {
        lines.push(kernel::interface(root, interface));
        let gateway_is_here = kernel::default_route_is_at(root, interface);
        // That an address is not the first of its network matters of the member's own.
        let secondary = here.secondary && interface == here.interface;
        lines.extend(kernel::settings(root, interface, gateway_is_here, secondary, vip_has_network));
    }
    lines.push(kernel::sock_destroy());
    lines.extend(others::lines(root, vips, &crate::config::legacy_lock(), pid));
    let own = said_at(&found.asked, here.own);
    let expel_now = own.and_then(|said| said.number("group_replication_member_expel_timeout"));
    lines.extend(agent::files(
        cluster,
        agent::room(&cluster.install_path),
        here.kept_expel_timeout,
        expel_now,
    ));
    lines.push(error_log(&found.error_log));
    lines
}

fn error_log(watchable: &Watchable) -> Line {
    let name = "error-log";
    match watchable {
        Watchable::Yes => Line::ok(name, "mysqld's error log is a file: the agent sees an election in it"),
        Watchable::NoFile => Line::advice(
            name,
            "mysqld's standard error is no file: the VIP follows a SHUTDOWN up to one poll_interval later",
            "log_error = /var/log/mysql/error.log in the server's option file, and a restart of mysqld",
        ),
        Watchable::NotKnown(why) => {
            Line::not_looked_at(name, why, "run haipmgr check as root, on mysqld's own host")
        }
    }
}

fn said_at(asked: &[Asked], address: IpAddr) -> Option<&Said> {
    group::answered(asked).find(|(at, _)| *at == address).map(|(_, said)| said)
}

fn of_the_segment(cluster: &Cluster, here: &Here, found: &Found) -> Vec<Line> {
    let members: Vec<IpAddr> = cluster.policy.group.members.keys().copied().collect();
    let not_asked: Answers = Err("it was not asked for".to_owned());
    let answers = |interface: Option<&String>| match interface {
        Some(interface) => found.elsewhere.get(interface).unwrap_or(&not_asked),
        None => &found.answers,
    };
    let around = Around {
        own: here.own,
        members: &members,
        primary: group::primary(&found.asked),
        agent_runs: found.running.is_some(),
        for_readers: false,
    };
    let mut lines: Vec<Line> = cluster
        .gateways()
        .map(|gateway| {
            let there = answers(here.interface_of_gateway(cluster, gateway));
            let interface = here.interface_of_gateway(cluster, gateway).unwrap_or(&here.interface);
            segment::gateway(gateway, interface, gateway == cluster.gateway, there)
        })
        .collect();
    lines.extend(here.vips.iter().map(|(vip, interfaces)| {
        let for_readers = cluster.policy.vip_of(*vip).is_some_and(|id| cluster.policy.is_for_readers(id));
        let elsewhere = here.elsewhere.get(vip);
        let interface = elsewhere.unwrap_or(&here.interface);
        segment::holder(*vip, interfaces, interface, answers(elsewhere), Around { for_readers, ..around })
    }));
    lines
}

fn of_the_group(cluster: &Cluster, here: &Here, vips: &[IpAddr], found: &Found) -> Vec<Line> {
    let asked = found.asked.as_slice();
    let policy = &cluster.policy.group;
    let mut lines = Vec::new();
    for one in asked {
        let over_network = cluster.socket.is_none() || one.address != here.own;
        let wanted = Wanted { expels: policy.elects(), verifies: cluster.tls_ca.is_some(), over_network };
        lines.extend(account::lines(one, wanted));
    }
    // Without any answer there is nothing to say of a group.
    if group::answered(asked).next().is_none() {
        return lines;
    }
    lines.extend(group::lines(asked, &resolved(asked)));
    lines.extend(readers::lines(&cluster.policy, asked));
    lines.extend(settings::lines(asked, vips));
    lines.push(clients::line(asked));
    lines.extend(failover::lines(&times(cluster, here, found)));
    lines
}

/// What the times to expect depend on.
fn times(cluster: &Cluster, here: &Here, found: &Found) -> Settings {
    let asked = found.asked.as_slice();
    let policy = &cluster.policy.group;
    let all = || group::answered(asked).map(|(_, said)| said);
    let on_all = |expels: bool| expels && all().all(account::may_expel);
    let seconds = |said: &Said, name: &str| said.number(name).map(Duration::from_secs);
    let expel = || all().filter_map(|said| seconds(said, "group_replication_member_expel_timeout"));
    let own = said_at(asked, here.own);
    let majority = own.and_then(|said| seconds(said, "group_replication_unreachable_majority_timeout"));
    let first = cluster.policy.vips.values().next();
    Settings {
        members: policy.members.len(),
        timings: GroupTimings {
            expel_timeout: expel().min().unwrap_or_default(),
            unreachable_majority_timeout: majority.filter(|limit| !limit.is_zero()),
            silent_hosts_go: policy.expels_silent_hosts(),
        },
        expel_timeout: expel().max().unwrap_or_default(),
        agents: Agents {
            wakes: on_all(policy.wake_expel),
            proves: on_all(policy.proven_dead),
            fences: on_all(policy.fence).then_some(cluster.fence_limit),
        },
        single_leader: all().any(|said| said.is_on("group_replication_paxos_single_leader") == Some(true)),
        no_wait: all().all(settings::no_first_write_waits),
        log_watched: match &found.error_log {
            Watchable::Yes => Some(true),
            Watchable::NoFile => Some(false),
            Watchable::NotKnown(_) => None,
        },
        poll_interval: policy.poll_interval,
        gateway_interval: cluster.gateway_interval,
        gateway_misses: cluster.gateway_misses,
        gateway_lost: first.map(|vip| vip.gateway_lost).unwrap_or_default(),
        lease: cluster.policy.longest_lease(),
        lease_given: cluster.lease_given,
    }
}

/// The addresses of the members' names, of those whose servers did not answer. A name server may be silent: then a name stays one.
fn resolved(asked: &[Asked]) -> BTreeMap<String, IpAddr> {
    let rows = group::answered(asked).filter_map(|(_, said)| said.members.as_ref().ok()).flatten();
    let names: BTreeSet<String> = rows.map(|row| row.host.clone()).collect();
    let in_file: BTreeSet<IpAddr> = asked.iter().map(|one| one.address).collect();
    let (tell, found) = mpsc::channel();
    for name in names {
        let (tell, in_file) = (tell.clone(), in_file.clone());
        // Where the system gives no thread the name is not looked up; nobody waits for one that takes too long.
        let _ = thread::Builder::new().name("names".to_owned()).spawn(move || {
            let addresses = (name.as_str(), 0).to_socket_addrs().into_iter().flatten().map(|one| one.ip());
            let all: Vec<IpAddr> = addresses.collect();
            let member = all.iter().find(|one| in_file.contains(one)).or_else(|| all.first());
            if let Some(address) = member {
                // Nobody waits any more.
                let _ = tell.send((name, *address));
            }
        });
    }
    drop(tell);
    let until = Instant::now() + NAMES_WITHIN;
    let mut resolved = BTreeMap::new();
    while let Ok((name, address)) = found.recv_timeout(until.saturating_duration_since(Instant::now())) {
        resolved.insert(name, address);
    }
    resolved
}
