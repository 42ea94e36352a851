//! What an agent has cost since it was started, as the kernel counts it.

/// What a run left in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgentCost {
    /// The most memory an agent has had resident, bytes.
    pub memory: u64,
    /// The most processor time an agent has taken, as a share of one core since it was started.
    pub processor: f64,
}

impl AgentCost {
    /// Of the process with this number.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kilobytes: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        // proc(5): utime, stime and starttime are fields 14, 15 and 22 counted from 1; two are cut off here.
        let (used, began) = (ticks(11)? + ticks(12)?, ticks(19)?);
        let now: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
        #[allow(clippy::cast_precision_loss)] // 100 on Linux
        let per_second = per_second as f64;
        Some(Self { memory: kilobytes * 1024, processor: used / (now * per_second - began).max(1.0) })
    }
}
