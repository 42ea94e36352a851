//! The time until writes go on to be expected for each kind of fault, computed from the settings by what was measured
//! (docs/failover-time.md), and the lease against it. Pure.

use std::time::Duration;

use decide::policy::GatewayLost;
use decide::timings::{GroupTimings, SILENT_FOR};

use super::group::survives;
use super::line::Line;

/// The group's detector looks once a second: from UNREACHABLE after exactly 5 s to one more.
const LOOK: f64 = 1.0;
/// From an expulsion to the new primary, at the least and at the most, an election's hundredths included.
const NEW_VIEW: (f64, f64) = (1.0, 1.1);
/// By itself the thread that expels runs this often.
const EXPEL_THREAD: f64 = 15.0;
/// An unanswered probe of a gateway that is missing takes this long (`gateway_interval` while it answers).
const MISS: f64 = 0.25;
/// What the agents add where everything is well: claim, address, announcement.
const AGENTS: f64 = 0.1;
/// Without power nobody refuses the client's last attempt, where the switch does not flood; TCP tries again within this.
const NEXT_ATTEMPT: f64 = 1.0;

/// How the agents help the group: what of the procedures can be called on every member, and is switched on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Agents {
    /// `wake_expel`.
    pub(super) wakes: bool,
    /// `proven_dead`.
    pub(super) proves: bool,
    /// There is a `fence_command`, which may take so long.
    pub(super) fences: Option<Duration>,
}

/// What the times depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) members: usize,
    /// What the lease is compared with: the shortest expel timeout of all members.
    pub(super) timings: GroupTimings,
    /// The longest of them: by whichever survivor's, the times to expect are no longer than by this.
    pub(super) expel_timeout: Duration,
    pub(super) agents: Agents,
    pub(super) single_leader: bool,
    /// No new primary's first statements wait for its applier's next look: `group_replication_consistency` is EVENTUAL, or
    /// `replica_checkpoint_period` is short.
    pub(super) no_wait: bool,
    /// The server's error log is a file that the agent can watch; none: not known.
    pub(super) log_watched: Option<bool>,
    pub(super) poll_interval: Duration,
    pub(super) gateway_interval: Duration,
    pub(super) gateway_misses: u32,
    pub(super) gateway_lost: GatewayLost,
    pub(super) lease: Option<Duration>,
    pub(super) lease_given: bool,
}

type Span = (f64, f64);

fn plus(a: Span, b: Span) -> Span {
    (a.0 + b.0, a.1 + b.1)
}

impl Settings {
    fn unreachable() -> Span {
        (SILENT_FOR.as_secs_f64(), SILENT_FOR.as_secs_f64() + LOOK)
    }

    /// A death that is proven, by a refusal or by a fence.
    fn proven() -> Span {
        plus(Self::unreachable(), NEW_VIEW)
    }

    /// After the configured timeout, with the thread woken.
    fn woken(&self) -> Span {
        let expel = self.expel_timeout.as_secs_f64();
        plus(Self::proven(), (expel, expel))
    }

    /// After the configured timeout, when the thread runs next. Measured with timeouts up to one round of it: it ran 15 s after
    /// UNREACHABLE. Beyond that it may be any time up to another round.
    fn mysql_alone(&self) -> Span {
        let expel = self.expel_timeout.as_secs_f64();
        let wait = if expel == 0.0 {
            (0.0, 0.0)
        } else if expel <= EXPEL_THREAD {
            (EXPEL_THREAD, EXPEL_THREAD)
        } else {
            (expel, expel + EXPEL_THREAD)
        };
        plus(Self::proven(), wait)
    }

    fn mysqld_dies(&self) -> Span {
        if self.agents.proves { Self::proven() } else { self.host_dies() }
    }

    fn host_dies(&self) -> Span {
        if self.timings.silent_hosts_go {
            return Self::proven();
        }
        let by_timer = if self.agents.wakes { self.woken() } else { self.mysql_alone() };
        match self.agents.fences {
            Some(limit) => (Self::proven().0, (Self::proven().1 + limit.as_secs_f64()).min(by_timer.1)),
            None => by_timer,
        }
    }

    fn switchover(&self) -> Span {
        match (self.single_leader, self.no_wait) {
            (true, _) => (0.6, 0.8),
            (false, true) => (0.01, 0.09),
            (false, false) => (0.01, 0.31),
        }
    }

    fn gateway(&self) -> Span {
        let misses = f64::from(self.gateway_misses) * MISS;
        (misses, misses + self.gateway_interval.as_secs_f64())
    }
}

/// A line for each kind of fault, and the lease.
pub(super) fn lines(settings: &Settings) -> Vec<Line> {
    let mut lines = Vec::new();
    if survives(settings.members) == 0 {
        lines.push(Line::ok(
            "failover-mysqld-dies",
            "the survivors have no majority: no new primary until somebody acts",
        ));
    } else {
        lines.extend(deaths(settings));
    }
    lines.push(span(
        "failover-switchover",
        settings.switchover(),
        if settings.single_leader {
            "group_replication_paxos_single_leader is on"
        } else {
            "the group's own time, plus what its sessions make it wait"
        },
    ));
    lines.push(leaving(settings));
    lines.push(gateway(settings));
    lines.push(lease(settings));
    lines
}

fn deaths(settings: &Settings) -> [Line; 3] {
    let expel = settings.expel_timeout.as_secs();
    let by_timer = if settings.timings.silent_hosts_go {
        "5 to 6 s until UNREACHABLE, silent on the segment too (silent_host), 1 s".to_owned()
    } else if settings.agents.wakes {
        format!("5 to 6 s until UNREACHABLE, group_replication_member_expel_timeout ({expel} s), 1 s")
    } else {
        format!(
            "5 to 6 s until UNREACHABLE, group_replication_member_expel_timeout ({expel} s) and MySQL's thread that expels, every 15 s; see grant-wake-expel"
        )
    };
    let mysqld =
        if settings.agents.proves { "5 to 6 s until UNREACHABLE, its port refuses, 1 s" } else { &by_timer };
    let host = if settings.agents.fences.is_some() { "fence_command, or else: " } else { "" };
    let crawl = if settings.single_leader {
        span(
            "failover-secondary-dies",
            (0.4, 0.8),
            "group_replication_paxos_single_leader is on: no crawl, a moment at the change of view",
        )
    } else {
        let (least, most) = settings.mysqld_dies();
        span(
            "failover-secondary-dies",
            (least, most.max(settings.host_dies().1)),
            "nothing fails, but the primary commits four rows a second until it is expelled",
        )
    };
    [
        span("failover-mysqld-dies", plus(settings.mysqld_dies(), (0.0, AGENTS)), mysqld),
        span(
            "failover-host-dies",
            plus(settings.host_dies(), (0.0, AGENTS + NEXT_ATTEMPT)),
            &format!("{host}{by_timer}; up to 1 s more where the switch does not flood"),
        ),
        crawl,
    ]
}

/// SHUTDOWN, `STOP GROUP_REPLICATION`.
fn leaving(settings: &Settings) -> Line {
    let poll = settings.poll_interval.as_secs_f64();
    let (more, why) = match settings.log_watched {
        Some(true) => (0.0, "the agent sees the election in the error log"),
        Some(false) => (poll, "log_error is no file, so the agent sees it at its next poll"),
        None => (poll, "whether the agent can watch the error log is not known"),
    };
    span("failover-shutdown", (0.15, 1.1 + more), why)
}

fn gateway(settings: &Settings) -> Line {
    match settings.gateway_lost {
        GatewayLost::Release => span(
            "failover-gateway-lost",
            settings.gateway(),
            "then the VIP leaves this host; it starts nowhere until a gateway answers",
        ),
        GatewayLost::HoldWithMajority => Line::ok(
            "failover-gateway-lost",
            "the holder keeps the VIP while it is the primary of a majority (gateway_lost)",
        ),
    }
}

fn span(name: &'static str, seconds: Span, why: &str) -> Line {
    let (least, most) = seconds;
    let digits = if most < 2.0 { 2 } else { 1 };
    Line::ok(name, format!("{least:.digits$} to {most:.digits$} s: {why}")).lasting(seconds)
}

/// Whether the lease ends before the group can have replaced a silent holder.
fn lease(settings: &Settings) -> Line {
    let seconds = |time: Duration| crate::config::format_duration(time);
    let earliest = settings.timings.earliest_successor();
    let Some(lease) = settings.lease else {
        return Line::advice(
            "lease",
            "lease is off: where the agent is dead or hung the VIP stays, and nothing moves it",
            "lease = \"10s\" in the configuration",
        );
    };
    match settings.timings.allow(lease) {
        Ok(()) => Line::ok(
            "lease",
            format!(
                "{} fits: the group replaces a silent member after {} at the soonest",
                seconds(lease),
                seconds(earliest)
            ),
        ),
        Err(overlap) if settings.lease_given => Line::problem(
            "lease",
            format!("the agent does not start: {overlap}"),
            format!(
                "lease = \"{}\" in the configuration, or on every member: SET PERSIST group_replication_member_expel_timeout = {};",
                seconds(earliest),
                lease.saturating_sub(SILENT_FOR).as_secs_f64().ceil()
            ),
        ),
        Err(_) => Line::ok("lease", format!("it is shortened to {} at the start", seconds(earliest))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::check::line::Level;

    fn timings(expel_timeout: u64) -> GroupTimings {
        let expel_timeout = Duration::from_secs(expel_timeout);
        GroupTimings { expel_timeout, unreachable_majority_timeout: None, silent_hosts_go: false }
    }

    fn defaults() -> Settings {
        Settings {
            members: 3,
            timings: timings(5),
            expel_timeout: Duration::from_secs(5),
            agents: Agents { wakes: true, proves: true, fences: None },
            single_leader: false,
            no_wait: false,
            log_watched: Some(true),
            poll_interval: Duration::from_millis(100),
            gateway_interval: Duration::from_secs(1),
            gateway_misses: 16,
            gateway_lost: GatewayLost::Release,
            lease: Some(Duration::from_secs(10)),
            lease_given: false,
        }
    }

    fn seconds(settings: &Settings, name: &str) -> Option<Span> {
        lines(settings).iter().find(|line| line.name == name).unwrap().seconds
    }

    /// The medians and the worst cases of docs/failover-time.md and README.md lie within what is computed.
    #[test]
    fn what_was_measured_lies_within_what_is_computed() {
        let with = defaults();
        let alone = Settings { agents: Agents::default(), ..defaults() };
        for (settings, name, measured) in [
            (with, "failover-mysqld-dies", &[6.06, 6.47, 6.5, 7.08][..]),
            (with, "failover-host-dies", &[11.05, 11.3, 11.7, 12.04]),
            (with, "failover-switchover", &[0.02, 0.17, 0.31]),
            (with, "failover-shutdown", &[0.5, 0.58, 1.0]),
            (with, "failover-secondary-dies", &[6.62, 7.0, 11.25]),
            (alone, "failover-mysqld-dies", &[21.4, 22.1]),
            (alone, "failover-host-dies", &[21.1, 21.6, 21.9]),
            (Settings { single_leader: true, ..with }, "failover-switchover", &[0.69]),
            (
                Settings { agents: Agents { fences: Some(Duration::from_secs(10)), ..with.agents }, ..with },
                "failover-host-dies",
                &[6.7],
            ),
            (
                Settings { expel_timeout: Duration::ZERO, ..alone },
                "failover-mysqld-dies",
                &[6.03, 6.74, 7.07],
            ),
        ] {
            let (least, most) = seconds(&settings, name).unwrap();
            for measured in measured {
                assert!((least..=most).contains(measured), "{name}: {measured} is not in {least} to {most}");
            }
            assert!(most - least < 7.5, "{name}: {least} to {most} says nothing");
        }
    }

    #[test]
    fn with_silent_host_a_host_without_power_costs_no_timeout() {
        let waiting = defaults();
        let going = Settings { timings: GroupTimings { silent_hosts_go: true, ..timings(5) }, ..defaults() };
        assert!(going.host_dies().1 + 5.0 <= waiting.host_dies().1, "{:?}", going.host_dies());
    }

    #[test]
    fn a_longer_expel_timeout_is_in_the_sum() {
        let long = Settings { expel_timeout: Duration::from_secs(60), ..defaults() };
        assert!(seconds(&long, "failover-host-dies").unwrap().0 > 65.0);
        assert!(
            seconds(&long, "failover-mysqld-dies").unwrap().1 < 8.0,
            "a proven death waits for no timeout"
        );
        let alone = Settings { agents: Agents::default(), ..long };
        let (least, most) = seconds(&alone, "failover-mysqld-dies").unwrap();
        assert!(least >= 66.0 && most > 80.0);
    }

    #[test]
    fn two_members_have_no_failover() {
        let two = Settings { members: 2, ..defaults() };
        assert_eq!(seconds(&two, "failover-mysqld-dies"), None);
        assert!(lines(&two)[0].says.contains("no majority"));
    }

    #[test]
    fn a_gateway_is_lost_after_its_misses() {
        assert_eq!(seconds(&defaults(), "failover-gateway-lost"), Some((4.0, 5.0)));
        let holds = Settings { gateway_lost: GatewayLost::HoldWithMajority, ..defaults() };
        assert_eq!(seconds(&holds, "failover-gateway-lost"), None);
    }

    #[test]
    fn an_unwatched_error_log_costs_a_poll() {
        let watched = seconds(&defaults(), "failover-shutdown").unwrap();
        let not = seconds(&Settings { log_watched: Some(false), ..defaults() }, "failover-shutdown").unwrap();
        assert!((not.1 - watched.1 - 0.1).abs() < 1e-9);
    }

    #[test]
    fn a_lease_that_could_overlap_is_a_problem_and_none_is_advice() {
        let short = Settings { timings: timings(0), ..defaults() };
        assert_eq!((lease(&short).level, lease(&defaults()).level), (Level::Ok, Level::Ok));
        let given = lease(&Settings { lease_given: true, ..short });
        assert_eq!(given.level, Level::Problem);
        assert!(given.mend.unwrap().contains("expel_timeout = 5"));
        assert_eq!(lease(&Settings { lease: None, ..defaults() }).level, Level::Advice);
    }
}
