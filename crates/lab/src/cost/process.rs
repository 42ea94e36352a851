//! What a process has cost so far, from /proc (proc(5)).

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::CostError;

/// Processor time and memory of one process, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    at: Instant,
    processor: Duration,
}

/// Memory of one process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// All that is mapped and in memory, shared or not.
    pub(crate) resident: u64,
    /// The same, each shared page divided by the number of processes that share it.
    pub(crate) proportional: u64,
}

impl Spent {
    /// Until now.
    pub(crate) fn by(pid: u32) -> Result<Self, CostError> {
        let stat = read(pid, "stat")?;
        let ticks = |field: usize| -> Option<u64> {
            // The name before the last ')' may hold anything. utime and stime are fields 14 and 15 counted from 1.
            stat.rsplit_once(") ")?.1.split_whitespace().nth(field - 3)?.parse().ok()
        };
        let used = ticks(14).zip(ticks(15)).map(|(user, system)| user + system);
        let used = used.ok_or(CostError::NotUnderstood { pid, file: "stat" })?;
        Ok(Self { at: Instant::now(), processor: Duration::from_millis(used * 1000 / ticks_per_second()) })
    }

    /// The share of one core since then.
    pub(crate) fn share_since(self, before: Self) -> f64 {
        let passed = self.at.duration_since(before.at).as_secs_f64();
        self.processor.saturating_sub(before.processor).as_secs_f64() / passed.max(f64::EPSILON)
    }
}

impl Memory {
    /// Now.
    pub(crate) fn of(pid: u32) -> Result<Self, CostError> {
        let rollup = read(pid, "smaps_rollup")?;
        let bytes = |name: &str| -> Option<u64> {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
        };
        bytes("Rss:")
            .zip(bytes("Pss:"))
            .map(|(resident, proportional)| Self { resident, proportional })
            .ok_or(CostError::NotUnderstood { pid, file: "smaps_rollup" })
    }
}

/// How many threads it has.
pub(super) fn threads(pid: u32) -> Result<usize, CostError> {
    let failed = |cause: io::Error| CostError::Process { pid, file: "task", cause };
    Ok(fs::read_dir(format!("/proc/{pid}/task")).map_err(failed)?.count())
}

fn read(pid: u32, file: &'static str) -> Result<String, CostError> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|cause| CostError::Process { pid, file, cause })
}

fn ticks_per_second() -> u64 {
    let known = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    known.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_that_computes_is_seen_to() {
        let pid = std::process::id();
        let before = Spent::by(pid).unwrap();
        let until = Instant::now() + Duration::from_millis(100);
        let mut number = 1_u64;
        while Instant::now() < until {
            number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005));
        }
        assert!(Spent::by(pid).unwrap().share_since(before) > 0.05);
        let memory = Memory::of(pid).unwrap();
        assert!(memory.resident >= memory.proportional && memory.proportional > 100_000);
        assert!(threads(pid).unwrap() >= 1);
    }
}
