//! The lab's own user, mount, pid, network, UTS and IPC namespaces.
//!
//! Three processes: the *outer* one, which the user started, waits; *pid 1* of the new namespaces ([`run_as_pid_1`]) makes the
//! mounts and reaps; under it the *inner* one does the lab's work. When pid 1 ends, the kernel kills all that is left
//! inside and drops the mounts, the addresses and the links. Pid 1 ends when the inner one ends, and when the outer one
//! goes in any way, `kill -9` too.

mod enter;
mod files;
mod init;
mod signals;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};

pub use enter::{EnterTarget, enter, enter_from_outside, enter_root};
pub use files::Layout;
pub use init::run_as_pid_1;
pub use signals::{accept_all as accept_signals, end_with};

use signals::PassedOn;

/// Why the lab's namespaces could not be made or entered.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel refused new namespaces.
    #[error(
        "the kernel refused the lab its own namespaces: {cause}. Run it as root, or allow user namespaces \
         (sysctl user.max_user_namespaces above 0; in a container: one that is privileged)"
    )]
    Refused {
        /// What `unshare(2)` said.
        cause: nix::Error,
    },
    /// A mount failed.
    #[error("can't mount {what} at {}: {cause}. In a container, the lab needs a privileged one", target.display())]
    Mount {
        /// What was to be mounted.
        what: String,
        /// Where.
        target: PathBuf,
        /// What `mount(2)` said.
        cause: nix::Error,
    },
    /// No folder could be covered by the lab's private file system.
    #[error(
        "the lab needs one folder that it may cover, privately, of {tried}; each is missing or in use by the lab itself"
    )]
    NoMountPoint {
        /// The folders that were looked at.
        tried: String,
    },
    /// A file or process operation failed.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done, and to which file.
        what: String,
        /// The system's answer.
        cause: io::Error,
    },
    /// More than one lab is up.
    #[error("more than one lab is up: say which, with --lab and one of these processes: {labs}")]
    SeveralLabs {
        /// Their processes.
        labs: String,
    },
    /// The host's namespaces are not there.
    #[error("no lab with a host called {name} is running. Start one with `lab up`")]
    NoSuchHost {
        /// The name that was looked for.
        name: String,
    },
}

impl NamespaceError {
    /// For `map_err`: names what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }

    /// The same for errors of system calls.
    pub(crate) fn os(what: impl Into<String>) -> impl FnOnce(nix::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause: cause.into() }
    }
}

/// Where the real things are that the lab shows inside its namespaces.
#[derive(Clone, Debug)]
pub struct Outside {
    /// The file system root that holds `usr/sbin/mysqld`: `/`, or the unpacked one.
    pub mysql_root: PathBuf,
    /// The same of an older server, which the group is to begin with.
    pub older_root: Option<PathBuf>,
    /// The root that holds a browser, where one is to look at the agents' page.
    pub browser_root: Option<PathBuf>,
    /// The agent's binary; `None` brings the lab up without agents.
    pub agent: Option<PathBuf>,
}

/// Runs this same program again, inside, with `arguments`, and returns its exit status once everything inside is gone.
///
/// Must be called while the process has one thread. SIGINT, SIGTERM and SIGHUP are passed on to the inside.
pub fn isolate(outside: &Outside, arguments: &[OsString]) -> Result<u8, NamespaceError> {
    let signals = PassedOn::take()?;
    let lab = std::env::current_exe().map_err(NamespaceError::io("can't find the lab's own program"))?;
    let needed = [
        Some(&lab),
        Some(&outside.mysql_root),
        outside.older_root.as_ref(),
        outside.browser_root.as_ref(),
        outside.agent.as_ref(),
    ];
    let needed: Vec<&Path> = needed.into_iter().flatten().map(PathBuf::as_path).collect();
    let layout = Layout::choose(&needed)?;
    unshare_everything()?;

    // Pid 1 sees the end of this pipe when this process is gone, even if that was before pid 1 could ask the kernel
    // for a death signal.
    let (lifeline, _held_open) = io::pipe().map_err(NamespaceError::io("can't make a pipe"))?;
    let mut command = Command::new(&lab);
    command.arg("pid1").arg("--base").arg(layout.base()).arg("--lab").arg(&lab);
    command.arg("--mysql-root").arg(&outside.mysql_root);
    if let Some(older) = &outside.older_root {
        command.arg("--older-root").arg(older);
    }
    if let Some(browser) = &outside.browser_root {
        command.arg("--browser-root").arg(browser);
    }
    if let Some(agent) = &outside.agent {
        command.arg("--agent").arg(agent);
    }
    command.arg("--").args(arguments).stdin(Stdio::from(lifeline));
    let mut child =
        command.spawn().map_err(NamespaceError::io(format!("can't run {} again, inside", lab.display())))?;
    signals.pass_on_until(i32::try_from(child.id()).unwrap_or(-1), || child.try_wait().ok().flatten())
}

/// New namespaces for this process, and for its children a new pid namespace.
fn unshare_everything() -> Result<(), NamespaceError> {
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    let (user, group) = (Uid::effective(), Gid::effective());
    if user.is_root() && nix::sched::unshare(namespaces).is_ok() {
        return Ok(());
    }
    nix::sched::unshare(namespaces | CloneFlags::CLONE_NEWUSER)
        .map_err(|cause| NamespaceError::Refused { cause })?;
    // The order is the kernel's (user_namespaces(7)): a group map may be written once setgroups is denied.
    for (file, content) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ] {
        write(Path::new(file), &content)?;
    }
    Ok(())
}

/// Writes a whole file, and names it when that fails.
fn write(file: &Path, content: &str) -> Result<(), NamespaceError> {
    std::fs::write(file, content).map_err(NamespaceError::io(format!("can't write {}", file.display())))
}
