//! What the service manager is told (`sd_notify(3)`): that the agent is ready, what it is doing, and that its loops turn.
//!
//! The loops themselves feed the watchdog: each says when it has turned, and only when every one of them has, the service manager
//! hears of it. A loop that stands still for a third of the shortest lease is so found out while a third of the lease is left, in
//! which the agent is started anew and adopts the VIP. Nothing here waits: what the service manager does not take at once is lost.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use decide::State;
use decide::input::{Fact, MemberState, Role, Server};
use decide::policy::Policy;
use decide::time::Time;
use decide::vip::{VipMachine, VipState};
use sd_notify::NotifyState;

use crate::pause::Pause;

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
    loops: Mutex<Loops>,
}

#[derive(Debug)]
struct Loops {
    /// By place.
    clusters: BTreeMap<usize, Cluster>,
    ready: bool,
    fed_at: Option<Time>,
    watchdog: Watchdog,
}

/// Without a word for so long, the agent is started anew.
#[derive(Debug)]
struct Watchdog {
    /// The unit's `WatchdogSec=`. None: it has none.
    unit: Option<Duration>,
    /// What the service manager was told, once it was.
    told: Option<Duration>,
}

#[derive(Debug)]
struct Cluster {
    name: String,
    lease: Option<Duration>,
    has_turned: bool,
    standing: Option<Standing>,
}

/// What one cluster's agent is doing, in the words of the status line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    holds: usize,
    vips: usize,
    /// "paused until 02:40 UTC: new disk", where the operator has paused it.
    paused: Option<String>,
    words: String,
}

/// What a cluster's words are made of: words are made only when one of these has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pause: Option<Pause>,
    vips: Vec<(IpAddr, &'static str)>,
    leads: Leads,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Leads {
    Member(String),
    Nobody(&'static str),
}

impl ServiceManager {
    /// The one that `NOTIFY_SOCKET` names. The watchdog runs where the unit has `WatchdogSec=`; its time is then a third of the
    /// shortest lease of the clusters that are there, or what the unit says where no VIP has one.
    pub fn from_environment() -> Self {
        let watchdog = Watchdog { unit: sd_notify::watchdog_enabled(), told: None };
        let shared = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = address(&name)?;
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            let loops = Loops { clusters: BTreeMap::new(), ready: false, fed_at: None, watchdog };
            Some(Arc::new(Shared { socket, address, loops: Mutex::new(loops) }))
        });
        Self { shared }
    }

    /// A cluster whose loop is to turn from now on, in this `place` among the others, in place of whichever was there; `lease`: its
    /// VIPs' shortest.
    pub fn set(&self, place: usize, name: &str, lease: Option<Duration>) {
        let cluster = Cluster { name: name.to_owned(), lease, has_turned: false, standing: None };
        self.change(|clusters| drop(clusters.insert(place, cluster)));
    }

    /// The loop in this place ends, and none follows it there.
    pub fn remove(&self, place: usize) {
        self.change(|clusters| drop(clusters.remove(&place)));
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<usize, Cluster>)) {
        let Some(shared) = &self.shared else { return };
        let mut loops = shared.lock();
        let before = loops.limit();
        change(&mut loops.clusters);
        if loops.limit() != before {
            // Told once each loop has turned by the new time.
            for cluster in loops.clusters.values_mut() {
                cluster.has_turned = false;
            }
        }
    }

    /// The longest that a loop may wait between two turns.
    pub fn turn_within(&self) -> Duration {
        self.shared.as_ref().and_then(|shared| shared.lock().turn_within()).unwrap_or(Duration::MAX)
    }

    /// The loop of the cluster in this `place` has turned. The first turn of the last of them makes the agent ready.
    pub fn turned(&self, place: usize, now: Time) {
        let Some(shared) = &self.shared else { return };
        let mut loops = shared.lock();
        if let Some(cluster) = loops.clusters.get_mut(&place) {
            cluster.has_turned = true;
        }
        let turn_within = loops.turn_within().unwrap_or(Duration::MAX);
        let fed_lately = loops.fed_at.is_some_and(|at| now.since(at) < turn_within);
        let is_told = loops.watchdog.told == loops.limit();
        if (fed_lately && is_told) || loops.clusters.values().any(|cluster| !cluster.has_turned) {
            return;
        }
        for cluster in loops.clusters.values_mut() {
            cluster.has_turned = false;
        }
        loops.fed_at = Some(now);
        if !std::mem::replace(&mut loops.ready, true) {
            let status = loops.in_words();
            shared.send(&[NotifyState::Ready, NotifyState::Status(&status)]);
        }
        let Some(limit) = loops.limit() else { return };
        if !is_told {
            loops.watchdog.told = Some(limit);
            shared.send(&[NotifyState::WatchdogUsec(u32::try_from(limit.as_micros()).unwrap_or(u32::MAX))]);
        }
        shared.send(&[NotifyState::Watchdog]);
    }

    /// What the cluster in this place is doing now, and the operator's pause of it, where there is one: told where that has changed
    /// since `seen`.
    pub fn follow(
        &self,
        place: usize,
        (policy, state): (&Policy, &State),
        pause: Option<&Pause>,
        seen: &mut Option<Seen>,
    ) {
        let Some(shared) = &self.shared else { return };
        let now = Seen::of(policy, state, pause);
        if seen.as_ref() == Some(&now) {
            return;
        }
        let mut loops = shared.lock();
        if let Some(cluster) = loops.clusters.get_mut(&place) {
            cluster.standing = Some(now.standing());
        }
        *seen = Some(now);
        if loops.ready {
            shared.send(&[NotifyState::Status(&loops.in_words())]);
        }
    }

    /// A reload begins: `systemctl reload` waits for [`Self::reloaded`].
    pub fn reloading(&self) {
        if let (Some(shared), Ok(now)) = (&self.shared, NotifyState::monotonic_usec_now()) {
            shared.send(&[NotifyState::Reloading, now]);
        }
    }

    /// … and has ended.
    pub fn reloaded(&self) {
        if let Some(shared) = &self.shared {
            shared.send(&[NotifyState::Ready]);
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
    fn lock(&self) -> MutexGuard<'_, Loops> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody who listens, or a full queue: the watchdog is for the former, and the next word makes up for the latter.
    fn send(&self, states: &[NotifyState<'_>]) {
        let words: Vec<String> = states.iter().map(ToString::to_string).collect();
        let _ = self.socket.send_to_addr(words.join("\n").as_bytes(), &self.address);
    }
}

impl Loops {
    /// By which time the watchdog is to be fed; none: there is no watchdog.
    fn limit(&self) -> Option<Duration> {
        let shortest = self.clusters.values().filter_map(|cluster| cluster.lease).min();
        self.watchdog.unit.map(|unit| shortest.map_or(unit, |lease| lease / 3))
    }

    /// As long as the service manager knows another limit, the shorter one counts.
    fn turn_within(&self) -> Option<Duration> {
        let limit = self.limit()?;
        Some(self.watchdog.told.map_or(limit, |told| told.min(limit)) / TURNS)
    }

    fn in_words(&self) -> String {
        let standing = || self.clusters.values().filter_map(|cluster| cluster.standing.as_ref());
        match (self.clusters.len(), standing().next()) {
            (1, Some(Standing { paused: Some(paused), words, .. })) => format!("{paused}; {words}"),
            (1, Some(standing)) => standing.words.clone(),
            (count, _) if count <= NAMED_AT_MOST => {
                let each = self.clusters.values().filter_map(Cluster::in_words);
                each.collect::<Vec<_>>().join("; ")
            }
            _ => {
                let holds: usize = standing().map(|standing| standing.holds).sum();
                let words = format!(
                    "holds {holds} of {} VIPs",
                    standing().map(|standing| standing.vips).sum::<usize>()
                );
                match standing().filter(|standing| standing.paused.is_some()).count() {
                    0 => words,
                    paused => format!("{paused} of {} clusters paused; {words}", self.clusters.len()),
                }
            }
        }
    }
}

impl Cluster {
    fn in_words(&self) -> Option<String> {
        let Standing { paused, words, .. } = self.standing.as_ref()?;
        Some(match paused {
            Some(paused) => format!("{} ({paused}) {words}", self.name),
            None => format!("{} {words}", self.name),
        })
    }
}

impl Seen {
    fn of(policy: &Policy, state: &State, pause: Option<&Pause>) -> Self {
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
        Self { pause: pause.cloned(), vips, leads }
    }

    fn standing(&self) -> Standing {
        let mut words: Vec<String> = self.vips.iter().map(|(vip, does)| format!("{does} {vip}")).collect();
        words.push(match &self.leads {
            Leads::Member(host) => format!("{} leads", one_line(host)),
            Leads::Nobody(why) => (*why).to_owned(),
        });
        let holds = self.vips.iter().filter(|(_, does)| *does == HOLDS).count();
        let paused = self.pause.as_ref().map(paused);
        Standing { holds, vips: self.vips.len(), paused, words: words.join(", ") }
    }
}

/// "paused until 02:40 UTC: new disk". It is over by then: the end is rounded up to the next minute. No pause is longer than a day, so
/// that the time of day says which.
fn paused(pause: &Pause) -> String {
    let minute = i64::try_from(pause.until_ms.div_ceil(60_000)).ok();
    let until = minute.and_then(|minute| jiff::Timestamp::from_second(minute.checked_mul(60)?).ok());
    let until = until.map_or_else(String::new, |until| format!(" until {}", until.strftime("%H:%M UTC")));
    match pause.reason.as_str() {
        "" => format!("paused{until}"),
        reason => format!("paused{until}: {}", one_line(reason)),
    }
}

/// Each line of what is told is a word of its own to the service manager.
fn one_line(words: &str) -> String {
    words.replace(char::is_control, " ")
}

/// A path, or a name in the abstract namespace after an `@`. Others (a vsock of a virtual machine) are not this agent's.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_says_by_when_it_is_over_and_why_in_one_line() {
        // 2026-05-01T12:00:00.250Z.
        let pause = |reason: &str| Pause {
            until_ms: 1_777_636_800_250,
            by: "root on db1".to_owned(),
            reason: reason.to_owned(),
        };
        assert_eq!(paused(&pause("new disk")), "paused until 12:01 UTC: new disk");
        assert_eq!(paused(&pause("")), "paused until 12:01 UTC");
        assert_eq!(paused(&pause("new\nMAINPID=1")), "paused until 12:01 UTC: new MAINPID=1");
        assert_eq!(paused(&Pause { until_ms: u64::MAX, ..pause("") }), "paused");
        let on_the_minute = Pause { until_ms: 1_777_636_800_000, ..pause("") };
        assert_eq!(paused(&on_the_minute), "paused until 12:00 UTC");
    }
}
