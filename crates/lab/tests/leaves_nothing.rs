//! Whatever ends the lab, the kernel takes all of it away: processes, mounts, links.
//!
//! These tests bring the real group up. They need root, or user namespaces, and a MySQL server, which `lab provision`
//! unpacks where there is none; without these they fail, and the lab's own message says what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One lab at a time: each takes 2 GB.
static ONE_LAB: Mutex<()> = Mutex::new(());

const LAB: &str = env!("CARGO_BIN_EXE_lab");

const END_LIMIT: Duration = Duration::from_secs(20);

struct Up {
    lab: Child,
    _alone: MutexGuard<'static, ()>,
}

impl Up {
    fn start() -> Self {
        let alone = ONE_LAB.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A runner under nohup ignores SIGHUP, and so would the lab, as it should. `env` becomes the lab: same process.
        let mut lab = Command::new("env")
            .args(["--default-signal=HUP,INT,TERM", LAB, "--no-agents", "up"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(lab.stdout.take().unwrap());
        let up = output.lines().map_while(Result::ok).any(|line| line.contains("Ctrl-C here ends it all"));
        assert!(up, "the lab did not come up; its message is above. Try it by hand: {LAB} --no-agents up");
        Self { lab, _alone: alone }
    }

    /// Every process below the lab's.
    fn descendants(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::from([self.lab.id()]);
        loop {
            let more: BTreeSet<u32> = processes()
                .into_iter()
                .filter(|pid| {
                    !found.contains(pid) && parent(*pid).is_some_and(|above| found.contains(&above))
                })
                .collect();
            if more.is_empty() {
                found.remove(&self.lab.id());
                return found;
            }
            found.extend(more);
        }
    }

    fn end_with(&mut self, signal: Signal) -> ExitStatus {
        kill(Pid::from_raw(self.lab.id().try_into().unwrap()), signal).unwrap();
        let since = Instant::now();
        loop {
            if let Some(status) = self.lab.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < END_LIMIT, "the lab goes on {} s after {signal}", END_LIMIT.as_secs());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.lab.kill();
        let _ = self.lab.wait();
    }
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The network namespaces that any process lives in.
fn networks() -> BTreeSet<String> {
    let of = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    processes().into_iter().filter_map(of).map(|link| link.display().to_string()).collect()
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// The names of the machine's links.
fn links() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/net/dev").unwrap();
    table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}

fn assert_ends_clean(signal: Signal) {
    let (mounts_before, links_before) = (mounts(), links());
    let mut up = Up::start();
    let inside = up.descendants();
    assert!(inside.len() >= 10, "three servers, five hosts, the lab twice: {inside:?}");
    let own_networks: BTreeSet<String> = inside
        .iter()
        .filter_map(|pid| fs::read_link(format!("/proc/{pid}/ns/net")).ok())
        .map(|link| link.display().to_string())
        .collect();
    assert_eq!(own_networks.len(), 6, "one for the lab and one for each host");
    assert_eq!((mounts(), links()), (mounts_before.clone(), links_before.clone()), "while it is up");

    up.end_with(signal);
    let limit = Duration::from_secs(10);
    let since = Instant::now();
    let left = loop {
        let left: Vec<u32> = processes().into_iter().filter(|pid| inside.contains(pid)).collect();
        if left.is_empty() || since.elapsed() > limit {
            break left;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(left.is_empty(), "still there {} s after {signal}: {left:?}", limit.as_secs());
    assert!(networks().is_disjoint(&own_networks), "a network namespace is still in use");
    assert_eq!((mounts(), links()), (mounts_before, links_before), "afterwards");
}

#[test]
fn kill_9_of_the_lab_leaves_nothing_behind() {
    assert_ends_clean(Signal::SIGKILL);
}

#[test]
fn sigterm_leaves_nothing_behind() {
    assert_ends_clean(Signal::SIGTERM);
}

#[test]
fn sighup_of_a_closed_terminal_leaves_nothing_behind() {
    assert_ends_clean(Signal::SIGHUP);
}

#[test]
fn a_host_entered_from_another_terminal_is_that_host_and_writes_stay_on_it() {
    let up = Up::start();
    let on = |host: &str, script: &str| {
        let lab = up.lab.id().to_string();
        let output = Command::new(LAB)
            .args(["enter-host", host, "--lab", &lab, "--", "sh", "-c", script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{host}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(on("db2", "hostname"), "db2");
    assert_eq!(on("db2", "cat /etc/hostname"), "db2");
    on(
        "db2",
        "echo mine > /etc/haipmgr/a; echo mine > /root/a; echo mine > /var/lib/haipmgr/a; echo mine > /run/a",
    );
    for file in ["/etc/haipmgr/a", "/root/a", "/var/lib/haipmgr/a", "/run/a"] {
        assert_eq!(on("db2", &format!("cat {file}")), "mine");
        assert_eq!(on("db3", &format!("test -e {file} || echo none")), "none", "{file} on db3");
    }
    let asked =
        "mysql -h 10.77.0.11 -u app -papp-Secret1 -N -e 'SELECT COUNT(*) FROM lab.ledger' 2>/dev/null";
    assert_eq!(on("client", asked), "0", "the client reaches a server over the segment");
}
