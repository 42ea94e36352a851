//! Which process of this host listens at a port: the socket's inode from `sock_diag`, then the process that has it open,
//! from `/proc`.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use linux::sock_diag::{Diag, DiagError};

/// Parts of the names by which servers go (`/proc/PID/comm`): they are looked at first, and whole.
const SERVERS: [&str; 2] = ["mysqld", "mariadbd"];
/// Of any other process, only so many descriptors are looked at: whoever listens did so early.
const DESCRIPTORS: usize = 256;

/// The process that listens at a port.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) pid: Pid,
    pub(super) name: String,
    /// Readable when the process has ended (`pidfd_open(2)`).
    pub(super) end: OwnedFd,
}

/// Why the process can't be found.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// The kernel's sockets can't be listed.
    #[error("cannot list the listening sockets: {0}; it needs the kernel's modules inet_diag and tcp_diag")]
    Sockets(#[from] DiagError),
    /// No such socket in this network namespace.
    #[error("no socket of this network namespace listens there (a container with a network of its own?)")]
    NoListener,
    /// Processes can't be listed.
    #[error("cannot read /proc: {0}")]
    Proc(#[source] io::Error),
    /// The kernel keeps the open files of some processes from us, perhaps of the one.
    #[error(
        "the open files of other users' processes can't be read: the agent needs CAP_SYS_PTRACE, and /proc without hidepid"
    )]
    NotAllowed,
    /// No process that can be seen has it open.
    #[error("no process visible here has that socket open (a container with processes of its own?)")]
    NoProcess,
    /// `pidfd_open` failed.
    #[error("watching process {pid}: {source}; it needs Linux 5.3")]
    NoHandle {
        /// The process.
        pid: i32,
        /// The kernel's word.
        source: io::Error,
    },
}

/// Finds the process that listens at `port` of `address`, or of all addresses.
pub(super) fn listener(address: IpAddr, port: u16) -> Result<Found, NotFound> {
    let sockets = sockets_at(address, port)?;
    let mut refused = false;
    let (servers, others): (Vec<_>, Vec<_>) =
        processes()?.into_iter().partition(|(_, name)| SERVERS.iter().any(|server| name.contains(server)));
    let all = servers.iter().map(|one| (one, usize::MAX)).chain(others.iter().map(|one| (one, DESCRIPTORS)));
    for ((pid, name), most) in all {
        match descriptor_of(*pid, &sockets, most) {
            Ok(Some(descriptor)) => {
                let not_watched = |errno: rustix::io::Errno| NotFound::NoHandle {
                    pid: pid.as_raw_nonzero().get(),
                    source: errno.into(),
                };
                let end = pidfd_open(*pid, PidfdFlags::empty()).map_err(not_watched)?;
                // Only now is it certain that the pid has not gone to another process in between.
                if is_one_of(&descriptor, &sockets) {
                    return Ok(Found { pid: *pid, name: name.clone(), end });
                }
            }
            Ok(None) => {}
            Err(error) => refused |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    Err(if refused { NotFound::NotAllowed } else { NotFound::NoProcess })
}

/// What `/proc/PID/fd` shows for these sockets. One that listens at this very address counts before one that listens at all.
fn sockets_at(address: IpAddr, port: u16) -> Result<Vec<PathBuf>, NotFound> {
    let listeners = Diag::open()?.listeners(port)?;
    let links = |fits: &dyn Fn(IpAddr) -> bool| -> Vec<PathBuf> {
        let fitting = listeners.iter().filter(|(at, _)| fits(at.to_canonical()));
        fitting.map(|(_, inode)| PathBuf::from(format!("socket:[{inode}]"))).collect()
    };
    let exact = links(&|at| at == address);
    let sockets = if exact.is_empty() { links(&|at| at.is_unspecified()) } else { exact };
    if sockets.is_empty() { Err(NotFound::NoListener) } else { Ok(sockets) }
}

/// Each process and its name. One that ends meanwhile is left out.
pub(super) fn processes() -> Result<Vec<(Pid, String)>, NotFound> {
    let entries = fs::read_dir("/proc").map_err(NotFound::Proc)?;
    Ok(entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            Some((pid, name.trim_end().to_owned()))
        })
        .collect())
}

/// The process's descriptor of one of the sockets, as a path, among the first so many.
fn descriptor_of(pid: Pid, sockets: &[PathBuf], most: usize) -> io::Result<Option<PathBuf>> {
    let folder = fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(folder.take(most).filter_map(|entry| Some(entry.ok()?.path())).find(|path| is_one_of(path, sockets)))
}

fn is_one_of(descriptor: &Path, sockets: &[PathBuf]) -> bool {
    fs::read_link(descriptor).is_ok_and(|target| sockets.contains(&target))
}
