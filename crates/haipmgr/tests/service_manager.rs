//! What systemd hears of a real agent, by a socket of the test's own in place of systemd's. Needs root, for a network namespace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use namespace::{LIMIT, in_new_namespace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A third of this is the watchdog's limit.
const LEASE: Duration = Duration::from_secs(3);
/// A starved machine may be late by as much.
const GRACE: Duration = Duration::from_millis(400);

struct Service {
    agent: Child,
    socket: UnixDatagram,
    files: tempfile::TempDir,
}

impl Service {
    /// An agent of `clusters` clusters, as a unit with or without `WatchdogSec=` starts it.
    fn start(clusters: u16, watchdog: bool) -> Self {
        let files = tempfile::tempdir().unwrap();
        let at = |name: &str| files.path().join(name);
        let mut text = format!("lock = \"{}\"\n", at("haipmgr.lock").display());
        for number in 0..clusters {
            text += &format!(
                "[[cluster]]\nname = \"orders{number}\"\nvip = \"10.77.0.{}\"\ngateway = \"10.77.0.254\"\nmysql_port = {}\n\
                 group_port = {}\nuser = \"haip\"\npassword = \"x\"\nlease = \"{}s\"\ninstall_path = \"{}/\"\n[cluster.members]\n\
                 \"10.77.0.11\" = \"eth0\"\n",
                100 + number,
                3306 + number,
                33061 + number,
                LEASE.as_secs(),
                files.path().display(),
            );
        }
        std::fs::write(at("haipmgr.toml"), text).unwrap();
        std::fs::set_permissions(at("haipmgr.toml"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let socket = UnixDatagram::bind(at("notify")).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_haipmgr"));
        command.args(["run", "--config"]).arg(at("haipmgr.toml")).env("NOTIFY_SOCKET", at("notify"));
        command.env("RUNTIME_DIRECTORY", at("run")).env_remove("JOURNAL_STREAM").env_remove("WATCHDOG_PID");
        if watchdog {
            command.env("WATCHDOG_USEC", "10000000");
        }
        let agent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { agent, socket, files }
    }

    fn hear(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// The next message with this in it.
    fn hear_of(&self, words: &str) -> String {
        let since = Instant::now();
        while since.elapsed() < LIMIT {
            match self.hear() {
                Some(message) if message.contains(words) => return message,
                _ => {}
            }
        }
        panic!("nothing is heard of {words}");
    }

    /// Has `haipmgr` do this with the agent's configuration, and gives what it prints.
    fn type_in(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haipmgr"));
        command.args(arguments).arg("--config").arg(self.files.path().join("haipmgr.toml"));
        command.env("RUNTIME_DIRECTORY", self.files.path().join("run"));
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Another lease for all, by a reload.
    fn reload_with(&self, old: &str, new: &str) {
        let file = self.files.path().join("haipmgr.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{text}");
        std::fs::write(&file, text.replace(old, new)).unwrap();
        self.signal(Signal::SIGHUP);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.agent.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

#[test]
fn it_is_ready_once_its_loop_turns_and_says_in_words_what_it_does() {
    in_new_namespace(|| async {
        let service = Service::start(1, false);
        let first = service.hear().unwrap();
        assert!(first.starts_with("READY=1\nSTATUS=does not hold 10.77.0.100, "), "{first}");
    });
}

#[test]
fn with_several_clusters_each_is_named_and_with_many_they_are_counted() {
    in_new_namespace(|| async {
        let several = Service::start(2, false);
        let status = several.hear_of("STATUS=");
        assert!(status.contains("orders0 does not hold 10.77.0.100, "), "{status}");
        assert!(status.contains("; orders1 does not hold 10.77.0.101, "), "{status}");
        drop(several);
        let many = Service::start(5, false);
        assert!(many.hear_of("STATUS=").ends_with("STATUS=holds 0 of 5 VIPs"));
    });
}

#[test]
fn a_pause_is_shown_with_its_end_and_its_reason_until_it_is_over() {
    in_new_namespace(|| async {
        let service = Service::start(1, false);
        service.hear_of("READY=1");
        let said = service.type_in(&["pause", "--host", "--for", "10m", "--reason", "new disk"]);
        // "paused until 2026-05-01T12:00:07Z, ordered by …"
        let until = said.split_once("until ").unwrap().1.split_once(',').unwrap().0;
        let until: jiff::Timestamp = until.parse().unwrap();
        // Cut to the second there, rounded up to the minute here.
        let minute = jiff::Timestamp::from_second((until.as_second() / 60 + 1) * 60).unwrap();
        let paused = service.hear_of("STATUS=paused");
        let wanted = format!(
            "STATUS=paused until {}: new disk; does not hold 10.77.0.100, ",
            minute.strftime("%H:%M UTC")
        );
        assert!(paused.starts_with(&wanted), "{paused}, and not {wanted}");
        service.type_in(&["resume", "--host"]);
        assert!(service.hear_of("STATUS=does not hold 10.77.0.100, ").starts_with("STATUS="));
        // And by itself.
        service.type_in(&["pause", "--host", "--for", "1s"]);
        service.hear_of("STATUS=paused");
        service.hear_of("STATUS=does not hold 10.77.0.100, ");
    });
}

#[test]
fn of_several_clusters_the_paused_one_is_shown_and_of_many_how_many_are() {
    in_new_namespace(|| async {
        let several = Service::start(2, false);
        several.hear_of("READY=1");
        several.type_in(&["pause", "--host", "--cluster", "orders1", "--reason", "new disk"]);
        let status = several.hear_of("paused");
        assert!(status.starts_with("STATUS=orders0 does not hold 10.77.0.100, "), "{status}");
        assert!(status.contains("; orders1 (paused until "), "{status}");
        assert!(status.contains(": new disk) does not hold 10.77.0.101, "), "{status}");
        drop(several);
        let many = Service::start(5, false);
        many.hear_of("READY=1");
        many.type_in(&["pause", "--host", "--cluster", "orders3"]);
        assert_eq!(many.hear_of("paused"), "STATUS=1 of 5 clusters paused; holds 0 of 5 VIPs");
    });
}

#[test]
fn the_watchdogs_limit_is_a_third_of_the_shortest_lease_and_it_is_fed_within() {
    in_new_namespace(|| async {
        let service = Service::start(2, true);
        service.hear_of("READY=1");
        assert_eq!(service.hear_of("WATCHDOG_USEC="), "WATCHDOG_USEC=1000000");
        let mut fed = Instant::now();
        for _ in 0..8 {
            service.hear_of("WATCHDOG=1");
            assert!(fed.elapsed() < LEASE / 3, "not fed for {:?}", fed.elapsed());
            fed = Instant::now();
        }
    });
}

#[test]
fn a_loop_that_stands_still_feeds_nothing() {
    in_new_namespace(|| async {
        let service = Service::start(1, true);
        service.hear_of("WATCHDOG=1");
        service.signal(Signal::SIGSTOP);
        service.socket.set_read_timeout(Some(LEASE / 3)).unwrap();
        // What was under way at the signal.
        while service.hear().is_some() {}
        assert_eq!(service.hear(), None, "fed by something else than the loop");
        service.signal(Signal::SIGCONT);
        service.socket.set_read_timeout(Some(LEASE / 3 + GRACE)).unwrap();
        service.hear_of("WATCHDOG=1");
    });
}

#[test]
fn without_watchdog_sec_nothing_is_fed() {
    in_new_namespace(|| async {
        let service = Service::start(1, false);
        service.hear_of("READY=1");
        service.socket.set_read_timeout(Some(LEASE / 3)).unwrap();
        while let Some(message) = service.hear() {
            assert!(!message.contains("WATCHDOG"), "{message}");
        }
    });
}

#[test]
fn a_reload_is_told_at_its_begin_and_at_its_end() {
    in_new_namespace(|| async {
        let service = Service::start(1, false);
        service.hear_of("READY=1");
        service.signal(Signal::SIGHUP);
        let begin = service.hear_of("RELOADING=1");
        let stamp: i64 = begin.split_once("\nMONOTONIC_USEC=").unwrap().1.parse().unwrap();
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
        let age = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000 - stamp;
        assert!((0..10_000_000).contains(&age), "{age} µs ago");
        assert_eq!(service.hear_of("READY=1"), "READY=1");
    });
}

#[test]
fn a_reload_with_another_lease_changes_the_watchdogs_limit() {
    in_new_namespace(|| async {
        let service = Service::start(2, true);
        assert_eq!(service.hear_of("WATCHDOG_USEC="), "WATCHDOG_USEC=1000000");
        for (old, new, limit) in [("3s", "30s", 10), ("30s", "6s", 2)] {
            service.reload_with(&format!("lease = \"{old}\""), &format!("lease = \"{new}\""));
            assert_eq!(service.hear_of("WATCHDOG_USEC="), format!("WATCHDOG_USEC={limit}000000"));
            service.hear_of("WATCHDOG=1");
        }
    });
}

#[test]
fn the_end_is_told_before_it_comes() {
    in_new_namespace(|| async {
        let mut service = Service::start(1, true);
        service.hear_of("READY=1");
        service.signal(Signal::SIGTERM);
        service.hear_of("STOPPING=1");
        assert_eq!(service.agent.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn a_service_manager_that_takes_nothing_holds_nobody_up() {
    in_new_namespace(|| async {
        let mut service = Service::start(1, true);
        service.hear_of("READY=1");
        // Nobody reads from here on: the queue fills up, and then nobody is there at all.
        service.socket = UnixDatagram::unbound().unwrap();
        service.signal(Signal::SIGHUP);
        service.signal(Signal::SIGTERM);
        assert_eq!(service.agent.wait().unwrap().code(), Some(0));
    });
}
