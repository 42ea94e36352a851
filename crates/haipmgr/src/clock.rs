//! The agent's one clock.

use decide::time::Time;
use nix::time::{ClockId, clock_gettime};

/// Now, in microseconds since boot, time spent suspended included (`CLOCK_BOOTTIME`), so that a machine that slept
/// knows it.
pub fn now() -> Time {
    // The kernel has had this clock since 2.6.39; were it missing, time would stand still and nothing be renewed.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Time(0), |spec| {
        let seconds = u64::try_from(spec.tv_sec()).unwrap_or(0);
        let micros = u64::try_from(spec.tv_nsec()).unwrap_or(0) / 1000;
        Time(seconds * 1_000_000 + micros)
    })
}
