//! Entering a host: the process joins the host's namespaces and becomes the program, so that the program's pid is the
//! one that was started, and a signal hits exactly it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, setns};

use super::{NamespaceError, accept_signals};

/// Which namespaces to join, and what to become there.
#[derive(Clone, Debug)]
pub struct EnterTarget {
    /// The process that holds the host's namespaces.
    pub holder: u32,
    /// The folder to change the root to, once inside.
    pub root: Option<PathBuf>,
    /// The program and its arguments.
    pub program: Vec<OsString>,
}

/// Joins the host's network, UTS and mount namespaces and becomes the program, in a session of its own, out of reach of
/// the terminal's Ctrl-C. Returns only when that fails.
///
/// Must be called while the process has one thread: the kernel joins no mount namespace otherwise.
pub fn enter(target: &EnterTarget) -> NamespaceError {
    match try_enter(target) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_enter(target: &EnterTarget) -> Result<std::convert::Infallible, NamespaceError> {
    accept_signals();
    // A shell's child may lead its group already; then it stays where it is.
    let _ = nix::unistd::setsid();
    join(target.holder, &["net", "uts", "mnt"])?;
    if let Some(root) = &target.root {
        change_root(root)?;
    }
    Err(become_program(&target.program))
}

/// Changes the root folder and becomes the program. Returns only when that fails.
pub fn enter_root(root: &Path, program: &[OsString]) -> NamespaceError {
    match change_root(root) {
        Ok(()) => become_program(program),
        Err(error) => error,
    }
}

fn change_root(root: &Path) -> Result<(), NamespaceError> {
    nix::unistd::chroot(root)
        .map_err(NamespaceError::os(format!("can't change the root to {}", root.display())))?;
    nix::unistd::chdir("/").map_err(NamespaceError::os("can't go to the new root"))
}

/// Replaces this process by the program; returns what went wrong.
fn become_program(program: &[OsString]) -> NamespaceError {
    let Some((name, arguments)) = program.split_first() else {
        return NamespaceError::Io {
            what: "no program to run".to_owned(),
            cause: std::io::ErrorKind::InvalidInput.into(),
        };
    };
    let cause = Command::new(name).args(arguments).exec();
    NamespaceError::Io { what: format!("can't run {}", Path::new(name).display()), cause }
}

/// Joins the namespaces `kinds` (names as under `/proc/PID/ns`) of process `holder`.
fn join(holder: u32, kinds: &[&str]) -> Result<(), NamespaceError> {
    // All are opened first: after the mount namespace has changed, /proc may be another.
    let mut open = Vec::new();
    for kind in kinds {
        let path = format!("/proc/{holder}/ns/{kind}");
        let file = File::open(&path).map_err(NamespaceError::io(format!("can't open {path}")))?;
        open.push((kind, file));
    }
    for (kind, file) in open {
        setns(file, CloneFlags::empty())
            .map_err(NamespaceError::os(format!("can't join the {kind} namespace of process {holder}")))?;
    }
    Ok(())
}

/// From another terminal, outside: joins all namespaces of the running lab's host `name`, runs the program there and
/// returns its exit status. An empty program is the user's shell. `outer`: the lab's process, where several run.
pub fn enter_from_outside(
    name: &str,
    outer: Option<u32>,
    program: &[OsString],
) -> Result<u8, NamespaceError> {
    let (holder, base) = find_holder(name, outer)?;
    let own = fs::read_link("/proc/self/ns/user").ok();
    let kinds: &[&str] = if own == fs::read_link(format!("/proc/{holder}/ns/user")).ok() {
        &["net", "uts", "ipc", "pid", "mnt"]
    } else {
        &["user", "net", "uts", "ipc", "pid", "mnt"]
    };
    join(holder, kinds)?;
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    let shell = [std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())];
    let program = if program.is_empty() { &shell } else { program };
    let (first, rest) = program.split_first().unwrap_or((&shell[0], &[]));
    // A new pid namespace is for children only, hence a child and not `exec`.
    let status = Command::new(first)
        .args(rest)
        .env("PATH", format!("{}/bin:{path}", base.display()))
        .env("PS1", format!("{name}:\\w# "))
        .status()
        .map_err(NamespaceError::io(format!("can't run {} on {name}", Path::new(first).display())))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The process that holds host `name`, found by its command line (`… park --base BASE NAME`): no file has to be kept
/// for this, and none can be left over. With several labs, `outer` says which.
fn find_holder(name: &str, outer: Option<u32>) -> Result<(u32, PathBuf), NamespaceError> {
    let processes = fs::read_dir("/proc").map_err(NamespaceError::io("can't list /proc"))?;
    let mut found = Vec::new();
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|pid| pid.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(line) = fs::read(process.path().join("cmdline")) else { continue };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        if let [_, b"park", b"--base", base, host, ..] = words.as_slice()
            && *host == name.as_bytes()
            && let Some(lab) = outer_of(pid)
            && outer.is_none_or(|wanted| wanted == lab)
        {
            found.push((lab, pid, PathBuf::from(std::ffi::OsStr::from_bytes(base))));
        }
    }
    if found.len() > 1 {
        let labs: Vec<String> = found.iter().map(|(lab, ..)| lab.to_string()).collect();
        return Err(NamespaceError::SeveralLabs { labs: labs.join(", ") });
    }
    let first = found.into_iter().next().map(|(_, pid, base)| (pid, base));
    first.ok_or_else(|| NamespaceError::NoSuchHost { name: name.to_owned() })
}

/// The process that the user started: the holder's is the inner lab, that one's pid 1, and that one's the outer.
fn outer_of(holder: u32) -> Option<u32> {
    parent(parent(parent(holder)?)?)
}

/// The process's parent, from `/proc/PID/stat` (proc(5)): the second field after the name, which ends with the last `)`.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
