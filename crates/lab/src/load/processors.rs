//! Whoever asks would be on other machines than the servers. Here all are on one; so the hosts have all its processors but the last, and those
//! who ask have that one. What the kernel does for a packet it does on the processor of who sends it, so that it is divided too.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Which processors whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Processors {
    last: usize,
}

impl Processors {
    /// From now on this thread, and what it starts, has all processors that it had but the last of them. The only one is everybody's.
    ///
    /// # Errors
    /// The kernel does not let it.
    pub(super) fn divide() -> io::Result<Self> {
        let this = Pid::from_raw(0);
        let all = sched_getaffinity(this)?;
        let mut had =
            (0..CpuSet::count()).filter(|one| all.is_set(*one).unwrap_or(false)).collect::<Vec<_>>();
        let last = had.pop().unwrap_or(0);
        if !had.is_empty() {
            let mut hosts = CpuSet::new();
            for one in had {
                hosts.set(one)?;
            }
            sched_setaffinity(this, &hosts)?;
        }
        Ok(Self { last })
    }

    /// As `taskset --cpu-list` has it.
    pub(super) fn of_those_who_ask(self) -> String {
        self.last.to_string()
    }
}
