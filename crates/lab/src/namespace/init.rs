//! Pid 1 of the lab's pid namespace: makes the mounts, starts the inner lab, reaps, and takes everything with it.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::signals::PassedOn;
use super::{Layout, NamespaceError, Outside};

/// Does pid 1's work and returns the inner lab's exit status. `base` is where the private file system goes.
///
/// Standard input must be the lifeline: a pipe whose other end only the outer process holds.
pub fn run_as_pid_1(
    base: &Path,
    lab: &Path,
    outside: &Outside,
    arguments: &[OsString],
) -> Result<u8, NamespaceError> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(NamespaceError::os("can't tie the lab's life to its starter's"))?;
    // Before the thread: it must hold these signals back as well, or the kernel would hand them to it and drop them.
    let signals = PassedOn::take()?;
    std::thread::spawn(|| {
        let mut byte = [0];
        // Nothing is ever written: any return means that the outer process is gone.
        let _ = std::io::stdin().read(&mut byte);
        std::process::exit(137);
    });
    let layout = Layout::at(base);
    layout.build(lab, outside)?;

    let child = Command::new(layout.lab())
        .arg("--inside")
        .arg(layout.base())
        .arg("--called-as")
        .arg(lab)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .map_err(NamespaceError::io(format!("can't start {}", layout.lab().display())))?;
    let inner = i32::try_from(child.id()).unwrap_or(-1);
    signals.pass_on_until(inner, || reap_until(inner))
}

/// Reaps every child that has ended; the status of `inner` when it is among them.
fn reap_until(inner: i32) -> Option<ExitStatus> {
    let mut found = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid.as_raw() == inner => {
                found = Some(ExitStatus::from_raw(code << 8));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw() == inner => {
                found = Some(ExitStatus::from_raw(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD) => return found,
            Ok(_) | Err(_) => {}
        }
    }
}
