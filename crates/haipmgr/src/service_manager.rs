//! What the service manager is told (`sd_notify(3)`): that the agent is ready, what it is doing, and that its loops turn.
//!
//! The loops themselves feed the watchdog: each says when it has turned, and only when every one of them has, the service manager
//! hears of it. A loop that stands still for a third of the shortest lease is so found out while a third of the lease is left, in
//! which the agent is started anew and adopts the VIP. Nothing here waits: what the service manager does not take at once is lost.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use decide::State;
use decide::input::{Fact, MemberState, Role, Server};
use decide::policy::Policy;
use decide::time::Time;
use decide::vip::{VipMachine, VipState};
use sd_notify::NotifyState;

/// Longer lists than this are counted, not named: `systemctl status` shows one line.
const NAMED_AT_MOST: usize = 4;
/// A loop that has nothing to do turns this many times before the watchdog would bite.
const TURNS: u32 = 4;
/// What is said of a VIP that is here.
const HOLDS: &str = "holds";

/// The service manager that started this agent, if one did: without it, all of this does nothing.
#[derive(Clone, Debug)]
pub struct ServiceManager {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Without a word for so long, the agent is started anew. None: the unit has no `WatchdogSec=`.
    watchdog: Option<Duration>,
    loops: Mutex<Loops>,
}

#[derive(Debug)]
struct Loops {
    clusters: Vec<Cluster>,
    ready: bool,
    fed_at: Option<Time>,
}

#[derive(Debug)]
struct Cluster {
    name: String,
    has_turned: bool,
    standing: Option<Standing>,
}

/// What one cluster's agent is doing, in the words of the status line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    holds: usize,
    vips: usize,
    words: String,
}

/// What a cluster's words are made of: words are made only when one of these has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    vips: Vec<(IpAddr, &'static str)>,
    leads: Leads,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Leads {
    Member(String),
    Nobody(&'static str),
}

impl ServiceManager {
    /// The one that `NOTIFY_SOCKET` names. `clusters`: each one's name and lease, in order. The watchdog runs where the unit has
    /// `WatchdogSec=`; its time is then a third of the shortest lease, or what the unit says where no VIP has one.
    pub fn from_environment<'a>(clusters: impl Iterator<Item = (&'a str, Option<Duration>)>) -> Self {
        let clusters: Vec<_> = clusters.collect();
        let shortest = clusters.iter().filter_map(|(_, lease)| *lease).min();
        let watchdog = sd_notify::watchdog_enabled().map(|units| shortest.map_or(units, |lease| lease / 3));
        let clusters = clusters.into_iter().map(|(name, _)| Cluster::new(name)).collect();
        let shared = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = address(&name)?;
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            let loops = Mutex::new(Loops { clusters, ready: false, fed_at: None });
            Some(Arc::new(Shared { socket, address, watchdog, loops }))
        });
        Self { shared }
    }

    /// The longest that a loop may wait between two turns.
    pub fn turn_within(&self) -> Duration {
        self.shared.as_ref().and_then(|shared| shared.watchdog).map_or(Duration::MAX, |limit| limit / TURNS)
    }

    /// The loop of the cluster in this `place` has turned. The first turn of the last of them makes the agent ready.
    pub fn turned(&self, place: usize, now: Time) {
        let Some(shared) = &self.shared else { return };
        let mut loops = shared.loops.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = loops.clusters.get_mut(place) {
            cluster.has_turned = true;
        }
        let fed_lately = loops.fed_at.is_some_and(|at| now.since(at) < self.turn_within());
        if fed_lately || loops.clusters.iter().any(|cluster| !cluster.has_turned) {
            return;
        }
        for cluster in &mut loops.clusters {
            cluster.has_turned = false;
        }
        loops.fed_at = Some(now);
        if !std::mem::replace(&mut loops.ready, true) {
            let status = loops.in_words();
            shared.send(&[NotifyState::Ready, NotifyState::Status(&status)]);
            if let Some(limit) = shared.watchdog {
                shared
                    .send(&[NotifyState::WatchdogUsec(u32::try_from(limit.as_micros()).unwrap_or(u32::MAX))]);
            }
        }
        if shared.watchdog.is_some() {
            shared.send(&[NotifyState::Watchdog]);
        }
    }

    /// What the cluster in this place is doing now: told where it has changed since `seen`.
    pub fn follow(&self, place: usize, policy: &Policy, state: &State, seen: &mut Option<Seen>) {
        let Some(shared) = &self.shared else { return };
        let now = Seen::of(policy, state);
        if seen.as_ref() == Some(&now) {
            return;
        }
        let mut loops = shared.loops.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = loops.clusters.get_mut(place) {
            cluster.standing = Some(now.standing());
        }
        *seen = Some(now);
        if loops.ready {
            shared.send(&[NotifyState::Status(&loops.in_words())]);
        }
    }

    /// Around what SIGHUP asks for: `systemctl reload` waits for the second of the two messages.
    pub fn reload(&self, reload: impl FnOnce()) {
        if let (Some(shared), Ok(now)) = (&self.shared, NotifyState::monotonic_usec_now()) {
            shared.send(&[NotifyState::Reloading, now]);
            reload();
            shared.send(&[NotifyState::Ready]);
        } else {
            reload();
        }
    }

    /// The agent ends, by its own doing; the watchdog ends with this.
    pub fn stopping(&self) {
        if let Some(shared) = &self.shared {
            shared.send(&[NotifyState::Stopping]);
        }
    }
}

impl Shared {
    /// Nobody who listens, or a full queue: the watchdog is for the former, and the next word makes up for the latter.
    fn send(&self, states: &[NotifyState<'_>]) {
        let words: Vec<String> = states.iter().map(ToString::to_string).collect();
        let _ = self.socket.send_to_addr(words.join("\n").as_bytes(), &self.address);
    }
}

impl Loops {
    fn in_words(&self) -> String {
        match self.clusters.as_slice() {
            [Cluster { standing: Some(standing), .. }] => standing.words.clone(),
            clusters if clusters.len() <= NAMED_AT_MOST => {
                let each = clusters.iter().filter_map(Cluster::in_words);
                each.collect::<Vec<_>>().join("; ")
            }
            clusters => {
                let standing = || clusters.iter().filter_map(|cluster| cluster.standing.as_ref());
                let holds: usize = standing().map(|standing| standing.holds).sum();
                format!("holds {holds} of {} VIPs", standing().map(|standing| standing.vips).sum::<usize>())
            }
        }
    }
}

impl Cluster {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), has_turned: false, standing: None }
    }

    fn in_words(&self) -> Option<String> {
        let standing = self.standing.as_ref()?;
        Some(format!("{} {}", self.name, standing.words))
    }
}

impl Seen {
    fn of(policy: &Policy, state: &State) -> Self {
        let does = |machine: &VipMachine| match machine.state {
            VipState::Holding(_) => HOLDS,
            VipState::Claiming(_) => "claims",
            VipState::Releasing { .. } => "releases",
            VipState::Absent => "does not hold",
        };
        let vips = state
            .vips
            .iter()
            .filter_map(|(vip, machine)| Some((policy.vips.get(vip)?.address, does(machine))))
            .collect();
        let leads = match &state.facts.server.fact {
            Fact::Known(Server::Member(view)) => view
                .members
                .iter()
                .find(|member| member.role == Role::Primary && member.state == MemberState::Online)
                .map_or(Leads::Nobody("no primary is known"), |member| Leads::Member(member.host.clone())),
            Fact::Known(Server::NotInGroup(_)) => Leads::Nobody("the server here is in no group"),
            Fact::Known(Server::Refused(_)) => Leads::Nobody("the server here refuses connections"),
            Fact::Unknown(_) => Leads::Nobody("what the server here does is not known"),
        };
        Self { vips, leads }
    }

    fn standing(&self) -> Standing {
        let mut words: Vec<String> = self.vips.iter().map(|(vip, does)| format!("{does} {vip}")).collect();
        words.push(match &self.leads {
            Leads::Member(host) => format!("{} leads", host.replace(char::is_control, " ")),
            Leads::Nobody(why) => (*why).to_owned(),
        });
        let holds = self.vips.iter().filter(|(_, does)| *does == HOLDS).count();
        Standing { holds, vips: self.vips.len(), words: words.join(", ") }
    }
}

/// A path, or a name in the abstract namespace after an `@`. Others (a vsock of a virtual machine) are not this agent's.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}
