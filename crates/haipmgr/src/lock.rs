//! One agent per host and cluster (S4).
//!
//! The kernel holds the lock for as long as the process lives, so a file that a dead process left is no obstacle. Two
//! more files see to it that agents started with *different* configuration files find each other, and the Python
//! program too: one named after the network namespace, whose addresses are what agents would quarrel over, and the
//! Python program's own, where there is one. Each cluster has two more: a file beside its log, for agents in other network
//! namespaces that share the file system, and a name in the network namespace, for agents that share only that.

mod name;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};

use crate::config::{Cluster, Config};
use name::NoName;

/// The folder of the lock that does not come from the configuration, where systemd names none.
const RUN_FOLDER: &str = "/run/haipmgr";

/// The held locks; they end with this value, and at the latest with the process.
#[derive(Debug)]
pub struct Lock {
    /// Those that agents of any configuration share, and the configured one.
    _host: Vec<File>,
    clusters: ClusterLocks,
    /// What keeps other agents from being found; for the log, as errors.
    pub remarks: Vec<String>,
}

/// The locks of clusters, by file, and of VIPs.
#[derive(Debug, Default)]
struct ClusterLocks {
    files: BTreeMap<PathBuf, File>,
    names: BTreeMap<IpAddr, UnixListener>,
}

/// Which locks of clusters and VIPs are held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    files: BTreeSet<PathBuf>,
    vips: BTreeSet<IpAddr>,
}

/// The locks that a new configuration needs beside those that are held.
#[derive(Debug, Default)]
pub struct More {
    clusters: ClusterLocks,
    /// As [`Lock::remarks`].
    pub remarks: Vec<String>,
}

impl Lock {
    /// Which of them are of clusters and VIPs.
    pub fn held(&self) -> Held {
        Held {
            files: self.clusters.files.keys().cloned().collect(),
            vips: self.clusters.names.keys().copied().collect(),
        }
    }

    /// Holds these too from now on.
    pub fn add(&mut self, more: More) {
        self.clusters.files.extend(more.clusters.files);
        self.clusters.names.extend(more.clusters.names);
    }

    /// Lets go of those of clusters and VIPs that this configuration does not have: once nothing of theirs is here any more.
    pub fn keep_only(&mut self, config: &Config) {
        let files: BTreeSet<_> = config.clusters.iter().map(Cluster::lock_file).collect();
        let vips: BTreeSet<_> = config
            .clusters
            .iter()
            .flat_map(|cluster| cluster.policy.vips.values())
            .map(|vip| vip.address)
            .collect();
        self.clusters.files.retain(|file, _| files.contains(file));
        self.clusters.names.retain(|vip, _| vips.contains(vip));
    }
}

/// The lock can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent runs.
    #[error(
        "haipmgr is already running on this host: {holder} holds {}. One agent serves all clusters of a host. \
         To replace it, stop that one first (a plain kill leaves the VIP as it is)", file.display()
    )]
    Held {
        /// The lock file.
        file: PathBuf,
        /// "process 4711", or that it is not known.
        holder: String,
    },
    /// Another agent looks after the same VIP in this network namespace, in a container perhaps.
    #[error(
        "haipmgr already manages the VIP {vip} in this network namespace: {holder}, perhaps in another container. \
         To replace it, stop that one first (a plain kill leaves the VIP as it is)"
    )]
    Named {
        /// The VIP.
        vip: IpAddr,
        /// "process 4711", or that it can't be seen from here.
        holder: String,
    },
    /// The file can't be made or opened.
    #[error("the lock file {} can't be opened: {cause}; start as root, or give another path with lock = \"…\"", file.display())]
    Unusable {
        /// The lock file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// Takes the configured lock, the two that agents of any configuration share, and each cluster's.
///
/// # Errors
/// Another process holds one of them, or the configured one can't be opened.
pub fn take(config: &Config) -> Result<Lock, LockError> {
    let (host, mut remarks) = take_host(&config.lock)?;
    let more = take_more(config, &Held::default())?;
    remarks.extend(more.remarks);
    Ok(Lock { _host: host, clusters: more.clusters, remarks })
}

/// Takes each cluster's and VIP's that is not held yet.
///
/// # Errors
/// Another process holds one of them: then none is taken.
pub fn take_more(config: &Config, held: &Held) -> Result<More, LockError> {
    let mut more = More::default();
    for cluster in &config.clusters {
        let lock_file = cluster.lock_file();
        if !held.files.contains(&lock_file) {
            take_file(cluster, lock_file, &mut more)?;
        }
        for vip in cluster.policy.vips.values().filter(|vip| !held.vips.contains(&vip.address)) {
            take_name(vip.address, &mut more)?;
        }
    }
    Ok(more)
}

fn take_file(cluster: &Cluster, lock_file: PathBuf, more: &mut More) -> Result<(), LockError> {
    match take_one(&lock_file) {
        Ok(file) => drop(more.clusters.files.insert(lock_file, file)),
        // A folder that can't be written to, or a full disk, is no reason not to start.
        Err(LockError::Unusable { file, cause }) => {
            let file = file.display();
            more.remarks.push(format!(
                "a second agent for {} would not be noticed: {file} can't be opened ({cause})",
                cluster.vips_in_words()
            ));
        }
        Err(refused) => return Err(refused),
    }
    Ok(())
}

/// The name that only one agent of this network namespace can have for this VIP.
fn take_name(vip: IpAddr, more: &mut More) -> Result<(), LockError> {
    match name::take(vip) {
        Ok(name) => drop(more.clusters.names.insert(vip, name)),
        Err(NoName::Held(process)) => {
            let holder = process.map_or_else(
                || "a process that can't be seen from here".to_owned(),
                |pid| format!("process {pid}"),
            );
            return Err(LockError::Named { vip, holder });
        }
        Err(NoName::NotToBeHad(why)) => {
            more.remarks.push(format!("a second agent for VIP {vip} would not be noticed: {why}"));
        }
    }
    Ok(())
}

/// With what keeps other agents from being found.
type HostLocks = (Vec<File>, Vec<String>);

fn take_host(configured: &Path) -> Result<HostLocks, LockError> {
    let folder =
        std::env::var_os("RUNTIME_DIRECTORY").map_or_else(|| PathBuf::from(RUN_FOLDER), PathBuf::from);
    let shared = File::open("/proc/self/ns/net")
        .and_then(|namespace| namespace.metadata())
        .map(|namespace| folder.join(format!("host-{}.lock", namespace.ino())));
    take_all(configured, shared, &crate::config::legacy_lock())
}

fn take_all(configured: &Path, shared: io::Result<PathBuf>, legacy: &Path) -> Result<HostLocks, LockError> {
    let mut held = vec![take_one(configured)?];
    let remark = match shared {
        Err(cause) => Some(format!("cannot read the network namespace ({cause})")),
        Ok(file) => match take_one(&file) {
            Ok(lock) => {
                held.push(lock);
                None
            }
            Err(LockError::Unusable { file, cause }) => {
                Some(format!("{} can't be opened ({cause})", file.display()))
            }
            Err(refused) => return Err(refused),
        },
    };
    // Where the Python program never ran there is nothing to make, and where /root can't be seen nothing to find.
    if configured != legacy
        && let Ok(file) = File::open(legacy)
    {
        lock_open(&file, legacy)?;
        held.push(file);
    }
    let remark = remark
        .map(|why| format!("a second agent with another configuration file would not be noticed: {why}"));
    Ok((held, remark.into_iter().collect()))
}

fn take_one(path: &Path) -> Result<File, LockError> {
    let unusable = |cause| LockError::Unusable { file: path.to_owned(), cause };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(unusable)?;
    }
    loop {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // Whoever can open the file can lock it, and so keep the agent from starting.
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
            .map_err(unusable)?;
        lock_open(&file, path)?;
        let ours = file.metadata().map_err(unusable)?;
        // Someone may have removed the file while it was opened; the lock of a file that nobody finds is worth nothing.
        let still_there =
            std::fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        if still_there {
            // The number is only for people; the lock is what counts, so a full disk is no reason not to start.
            let _unwritten = write_pid(&mut file);
            return Ok(file);
        }
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

fn lock_open(file: &File, path: &Path) -> Result<(), LockError> {
    let held_by = |pid: Option<i32>| LockError::Held {
        file: path.to_owned(),
        holder: pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held_by(written_pid(file))),
        Err(TryLockError::Error(cause)) => return Err(LockError::Unusable { file: path.to_owned(), cause }),
    }
    // Python's fcntl.lockf takes a lock of the other kind, which flock does not see.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the constants are small, the field is what the C library has"
    )]
    let mut other_kind = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_GETLK(&mut other_kind)) {
        Ok(_) if i32::from(other_kind.l_type) != libc::F_UNLCK => Err(held_by(Some(other_kind.l_pid))),
        // A file system without this kind of lock has nobody who holds one.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The process that holds one of the configuration's locks, and which: where what it is otherwise found by is gone.
pub(crate) fn holder(config: &Config) -> Option<(i32, PathBuf)> {
    let clusters = config.clusters.iter().map(Cluster::lock_file);
    std::iter::once(config.lock.clone()).chain(clusters).find_map(|path| {
        let file = File::open(&path).ok()?;
        let pid = match file.try_lock() {
            Err(TryLockError::WouldBlock) => written_pid(&file)?,
            Ok(()) | Err(TryLockError::Error(_)) => return None,
        };
        // In another container the same number is another process.
        let mut open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let path = path.canonicalize().ok()?;
        open.any(|link| std::fs::read_link(link.path()).is_ok_and(|to| to == path)).then_some((pid, path))
    })
}

fn written_pid(mut file: &File) -> Option<i32> {
    file.seek(SeekFrom::Start(0)).ok()?;
    process_in(file)
}

/// Longest content of a lock file that names a process, in bytes.
const LONGEST: u64 = 32;

/// The process's number that a lock file holds.
pub(crate) fn process_in(file: impl Read) -> Option<i32> {
    let mut text = String::new();
    let length = file.take(LONGEST + 1).read_to_string(&mut text).ok()?;
    // A part of a longer text would be another number.
    text.trim().parse().ok().filter(|_| length as u64 <= LONGEST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    struct Files {
        _folder: tempfile::TempDir,
        configured: PathBuf,
        shared: PathBuf,
        legacy: PathBuf,
    }

    fn files() -> Files {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| folder.path().join("run").join(name);
        Files {
            configured: of("haipmgr.lock"),
            shared: of("host.lock"),
            legacy: of("legacy.lock"),
            _folder: folder,
        }
    }

    #[test]
    fn s4_a_second_start_is_refused_with_the_file_and_the_process() {
        let f = files();
        let first = take_all(&f.configured, Ok(f.shared.clone()), &f.legacy).unwrap();
        let text = take_all(&f.configured, Ok(f.shared.clone()), &f.legacy).unwrap_err().to_string();
        assert!(text.contains(&f.configured.display().to_string()), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(first);
        take_all(&f.configured, Ok(f.shared.clone()), &f.legacy).expect("free again");
    }

    #[test]
    fn s4_a_second_agent_with_another_configuration_file_is_refused() {
        let f = files();
        let _first = take_all(&f.configured, Ok(f.shared.clone()), &f.legacy).unwrap();
        let other = f.configured.with_file_name("other.lock");
        assert!(
            matches!(take_all(&other, Ok(f.shared.clone()), &f.legacy), Err(LockError::Held { file, .. }) if file == f.shared)
        );
    }

    #[test]
    fn s4_a_file_that_a_dead_process_left_is_no_obstacle() {
        let f = files();
        std::fs::create_dir_all(f.configured.parent().unwrap()).unwrap();
        std::fs::write(&f.configured, "999999999 and more\n").unwrap();
        let _lock = take_all(&f.configured, Ok(f.shared.clone()), &f.legacy).unwrap();
        assert_eq!(std::fs::read_to_string(&f.configured).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn s4_a_part_of_a_longer_text_is_no_process_s_number() {
        assert_eq!(process_in(&b"4711\n"[..]), Some(4711));
        assert_eq!(process_in(format!("{:>32}11\n", 47).as_bytes()), None);
    }

    #[test]
    fn s4_the_python_program_s_lock_is_respected() {
        let f = files();
        std::fs::create_dir_all(f.legacy.parent().unwrap()).unwrap();
        let python = File::create(&f.legacy).unwrap();
        python.try_lock().unwrap();
        let refused = take_all(&f.configured, Ok(f.shared.clone()), &f.legacy);
        assert!(matches!(refused, Err(LockError::Held { file, .. }) if file == f.legacy));
    }

    #[test]
    fn a_shared_lock_that_can_t_be_made_is_said_and_keeps_nothing_from_starting() {
        let f = files();
        let lock = take_all(&f.configured, Ok(PathBuf::from("/proc/none/host.lock")), &f.legacy).unwrap();
        assert!(lock.1[0].contains("/proc/none/host.lock"));
    }

    #[test]
    fn a_lock_file_that_can_t_be_made_is_named() {
        let text = take_one(Path::new("/proc/none/x.lock")).unwrap_err().to_string();
        assert!(text.contains("/proc/none/x.lock") && text.contains("lock = "), "{text}");
    }
}
