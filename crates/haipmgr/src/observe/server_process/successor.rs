//! After a server's end: whether a process by its name has been started since. mysqld takes some tenths of a second from its
//! start until it listens, and it is to be noticed by then.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Pid;
use tokio::time::Instant;

use super::find::{NotFound, processes};

/// Between two looks. One reads the name of each process of the host.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is waited for after a server's end.
#[derive(Debug)]
pub(super) struct Successor {
    name: String,
    /// Those by that name that were there at its end: other servers of this host.
    others: Vec<Pid>,
    until: Instant,
}

impl Successor {
    /// Waits for the next process by this name, for so long.
    ///
    /// # Errors
    /// The processes can't be listed.
    pub(super) fn of(name: String, wait: Duration) -> Result<Self, NotFound> {
        let others =
            processes()?.into_iter().filter(|(_, other)| *other == name).map(|(pid, _)| pid).collect();
        Ok(Self { name, others, until: Instant::now() + wait })
    }

    /// Whether it was started, by a list of all processes; also where nobody looks any more, or can.
    pub(super) fn may_start(&self, all: Option<&[(Pid, String)]>) -> bool {
        let Some(all) = all.filter(|_| Instant::now() < self.until) else { return true };
        let new = |(pid, name): &&(Pid, String)| *name == self.name && !self.others.contains(pid);
        // A server of another host's network, in a container, does not listen here.
        all.iter().filter(new).any(|(pid, _)| shares_our_network(*pid))
    }
}

/// Unknown counts as yes.
fn shares_our_network(pid: Pid) -> bool {
    let network =
        |process: &str| -> Option<PathBuf> { fs::read_link(format!("/proc/{process}/ns/net")).ok() };
    match (network(&pid.to_string()), network("thread-self")) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => true,
    }
}
