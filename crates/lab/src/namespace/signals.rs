//! Signals, between the processes that wait and the one that works.

use std::process::ExitStatus;

use nix::libc;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;

use super::NamespaceError;

/// Lets every signal through again: a program inherits what its starter held back.
pub fn accept_all() {
    // Only an invalid set can fail here, and this one is the library's own.
    let _ = SigSet::all().thread_unblock();
}

/// Ties this process's life to that of the process that started it.
///
/// # Errors
/// That one has ended already, or the kernel refuses.
pub fn end_with(starter: i32) -> Result<(), NamespaceError> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(NamespaceError::os("can't tie the lab's life to its starter's"))?;
    // It may have ended before the kernel was asked.
    if nix::unistd::getppid().as_raw() == starter {
        return Ok(());
    }
    let cause = std::io::ErrorKind::NotFound.into();
    Err(NamespaceError::Io { what: format!("process {starter}, which started this lab, has ended"), cause })
}

/// SIGINT, SIGTERM, SIGHUP and SIGCHLD, held back from this process and read one by one.
pub(super) struct PassedOn(SignalFd);

impl PassedOn {
    /// From here on these signals no longer end this process.
    pub(super) fn take() -> Result<Self, NamespaceError> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
            set.add(signal);
        }
        set.thread_block().map_err(NamespaceError::os("can't hold signals back"))?;
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)
            .map(Self)
            .map_err(NamespaceError::os("can't read signals"))
    }

    /// Passes signals on to `pid` until `ended` tells its status; returns that as a shell would show it.
    pub(super) fn pass_on_until(
        &self,
        pid: i32,
        mut ended: impl FnMut() -> Option<ExitStatus>,
    ) -> Result<u8, NamespaceError> {
        loop {
            if let Some(status) = ended() {
                return Ok(shell_status(status));
            }
            let Some(seen) = self.0.read_signal().map_err(NamespaceError::os("can't read signals"))? else {
                continue;
            };
            // What the terminal sends, it sends to every process of the foreground group by itself.
            let from_terminal = seen.ssi_code == libc::SI_KERNEL;
            let signal = i32::try_from(seen.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            if let Some(signal) = signal
                && signal != Signal::SIGCHLD
                && !from_terminal
            {
                // It may have ended meanwhile; the next turn sees that.
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
    }
}

/// The exit status, or 128 and the signal's number.
fn shell_status(status: ExitStatus) -> u8 {
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(number).unwrap_or(1)
}
