//! The agent's one clock, and what the host's other clocks tell of a pause.

use std::time::Duration;

use decide::input::Event;
use decide::time::Time;
use nix::time::{ClockId, clock_gettime};

/// Now, in microseconds since boot, time spent suspended included (`CLOCK_BOOTTIME`), so that a machine that slept
/// knows it.
pub fn now() -> Time {
    // The kernel has had this clock since 2.6.39; were it missing, time would stand still and nothing be renewed.
    Time(u64::try_from(micros(ClockId::CLOCK_BOOTTIME)).unwrap_or(0))
}

fn micros(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |spec| spec.tv_sec() * 1_000_000 + spec.tv_nsec() / 1000)
}

/// What [`now`] was when the wall clock showed this, a moment ago. None where that is yet to come: the wall clock was set.
pub fn at_wall_time(wall: i64) -> Option<Time> {
    let age = u64::try_from(micros(ClockId::CLOCK_REALTIME).checked_sub(wall)?).ok()?;
    Some(now() - Duration::from_micros(age))
}

/// Less than this is no suspension: the two clocks are read one after the other.
const SUSPENDED_AT_LEAST: Duration = Duration::from_millis(200);
/// A wall clock that is led back to the true time, and not set, moves less than this between two events (they are at the
/// most `sleeptime` apart, 7 s; chrony leads it by 8 % at the most). A pause that is no longer can't have cost the VIP: a group
/// needs 5 s to find a member silent.
const STEPPED_AT_LEAST_MS: u64 = 1_000;

/// The host's clocks at one moment, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// `CLOCK_BOOTTIME`: goes on while the host is suspended.
    boot: i64,
    /// `CLOCK_MONOTONIC`: stands still then.
    monotonic: i64,
    /// `CLOCK_REALTIME`: is set by people, NTP, and the tools of a hypervisor after a pause.
    wall: i64,
}

impl Clocks {
    /// Now.
    pub fn read() -> Self {
        Self {
            monotonic: micros(ClockId::CLOCK_MONOTONIC),
            boot: micros(ClockId::CLOCK_BOOTTIME),
            wall: micros(ClockId::CLOCK_REALTIME),
        }
    }

    /// What happened between `before` and this moment, where the clocks differ by something else now:
    /// [`Event::ClocksParted`].
    ///
    /// A virtual machine that was paused, and whose clocks all were, shows nothing here until its wall clock is set.
    pub fn parted_since(&self, before: &Self) -> Option<Event> {
        let passed = |of: fn(&Self) -> i64| of(self).saturating_sub(of(before));
        let boot = passed(|clocks| clocks.boot);
        let suspended =
            Duration::from_micros(u64::try_from(boot - passed(|clocks| clocks.monotonic)).unwrap_or(0));
        let wall_step_ms = (passed(|clocks| clocks.wall) - boot) / 1000;
        let slept = suspended >= SUSPENDED_AT_LEAST;
        let suspended = if slept { suspended } else { Duration::ZERO };
        let parted = Event::ClocksParted { suspended, wall_step_ms };
        (slept || wall_step_ms.unsigned_abs() >= STEPPED_AT_LEAST_MS).then_some(parted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Clocks = Clocks { boot: 900_000_000, monotonic: 700_000_000, wall: 1_800_000_000_000_000 };

    /// So many milliseconds later, by each clock.
    fn later(boot: i64, monotonic: i64, wall: i64) -> Clocks {
        Clocks {
            boot: BEFORE.boot + boot * 1000,
            monotonic: BEFORE.monotonic + monotonic * 1000,
            wall: BEFORE.wall + wall * 1000,
        }
    }

    #[test]
    fn clocks_that_go_on_together_or_are_led_a_little_tell_nothing() {
        assert_eq!(later(7_000, 7_000, 7_000).parted_since(&BEFORE), None);
        assert_eq!(later(7_000, 7_000, 7_560).parted_since(&BEFORE), None);
        assert_eq!(later(7_000, 6_990, 6_440).parted_since(&BEFORE), None);
    }

    #[test]
    fn a_suspension_is_told_with_its_length_also_where_the_wall_clock_kept_up() {
        let suspended = Duration::from_secs(60);
        let told = later(60_100, 100, 60_100).parted_since(&BEFORE);
        assert_eq!(told, Some(Event::ClocksParted { suspended, wall_step_ms: 0 }));
    }

    #[test]
    fn a_wall_clock_that_was_set_is_told_in_both_directions() {
        let step = |wall| later(100, 100, wall).parted_since(&BEFORE);
        let told = |wall_step_ms| Some(Event::ClocksParted { suspended: Duration::ZERO, wall_step_ms });
        assert_eq!(step(30_100), told(30_000));
        assert_eq!(step(-3_599_900), told(-3_600_000));
    }

    #[test]
    fn a_moment_on_the_wall_clock_is_found_on_the_agents_and_one_to_come_is_not() {
        let (wall, begun) = (micros(ClockId::CLOCK_REALTIME), now());
        let found = at_wall_time(wall - 1_000_000).unwrap_or_default() + Duration::from_secs(1);
        let off = begun.since(found).max(found.since(begun));
        assert!(off < Duration::from_millis(500), "{found} is not {begun}");
        assert_eq!(at_wall_time(wall + 3_600_000_000), None);
    }

    #[test]
    fn this_hosts_clocks_have_not_parted_since_a_moment_ago() {
        let before = Clocks::read();
        assert_eq!(Clocks::read().parted_since(&before), None);
    }
}
