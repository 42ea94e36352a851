//! What the group's own timings allow: how long an address may outlive the last proof.

use core::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A member is UNREACHABLE after this long without a word of it. Fixed in Group Replication (measured: 5 to 6 s).
pub const SILENT_FOR: Duration = Duration::from_secs(5);

/// The settings of Group Replication that say how soon a silent member is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTimings {
    /// `group_replication_member_expel_timeout`: from UNREACHABLE to the expulsion, at the least. Zero before MySQL 8.0.13.
    pub expel_timeout: Duration,
    /// `group_replication_unreachable_majority_timeout`: a member without a majority leaves the group by itself after this
    /// long; none (0): never.
    pub unreachable_majority_timeout: Option<Duration>,
    /// The agents have a silent host expelled without waiting for that timeout (`silent_host = "expel"`).
    #[serde(default)]
    pub silent_hosts_go: bool,
}

impl GroupTimings {
    /// How soon after a host has fallen silent another can have taken the VIP, its answers unheard. The election itself and
    /// the probes come on top and are left out: they can be short.
    pub fn earliest_successor(&self) -> Duration {
        if self.silent_hosts_go { SILENT_FOR } else { SILENT_FOR + self.expel_timeout }
    }

    /// Whether a lease of this length ends before that.
    ///
    /// # Errors
    /// The sum, where it does not.
    pub fn allow(&self, lease: Duration) -> Result<(), Overlap> {
        if lease <= self.earliest_successor() {
            return Ok(());
        }
        Err(Overlap { lease, timings: *self })
    }
}

/// A host whose agent is dead, and that is then cut off, could hold the VIP when another takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The lease that is too long.
    pub lease: Duration,
    /// What it is too long for.
    pub timings: GroupTimings,
}

impl std::error::Error for Overlap {}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lease, sum) = (self.lease.as_secs_f64(), self.timings.earliest_successor().as_secs());
        if self.timings.silent_hosts_go {
            return write!(
                f,
                "lease ({lease} s) is longer than the agents take to have a silent host replaced: {sum} s (UNREACHABLE; silent_host = \
                 \"expel\"). A host whose agent is dead and that is then cut off could hold the VIP together with its new holder for up \
                 to {} s. Write lease = \"{sum}s\" or less, or silent_host = \"wait\"",
                lease - self.timings.earliest_successor().as_secs_f64(),
            );
        }
        let expel = self.timings.expel_timeout.as_secs();
        // Whole seconds, as the server takes them.
        let needed = self.lease.saturating_sub(SILENT_FOR).as_secs_f64().ceil();
        write!(
            f,
            "lease ({lease} s) is longer than the group takes to replace a silent member: {sum} s = {} s (UNREACHABLE) \
             + {expel} s (group_replication_member_expel_timeout). A host whose agent is dead and that is then cut off could hold the \
             VIP together with its new holder for up to {} s. Write lease = \"{sum}s\" or less, or set \
             group_replication_member_expel_timeout to {needed} or more on every member",
            SILENT_FOR.as_secs(),
            lease - self.timings.earliest_successor().as_secs_f64(),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn group(expel_timeout: u64) -> GroupTimings {
        GroupTimings {
            expel_timeout: Duration::from_secs(expel_timeout),
            unreachable_majority_timeout: None,
            silent_hosts_go: false,
        }
    }

    #[test]
    fn where_silent_hosts_are_expelled_the_expel_timeout_is_no_part_of_the_sum() {
        let group = GroupTimings { silent_hosts_go: true, ..group(60) };
        assert_eq!(group.allow(Duration::from_secs(5)), Ok(()));
        let text = group.allow(Duration::from_secs(10)).unwrap_err().to_string();
        for part in
            ["lease (10 s)", "5 s (UNREACHABLE", "up to 5 s", "lease = \"5s\"", "silent_host = \"wait\""]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn the_defaults_of_both_fit_together() {
        let vip = std::net::Ipv4Addr::new(10, 77, 0, 100).into();
        let lease = crate::policy::VipPolicy::new(vip).lease.unwrap();
        assert_eq!(group(5).allow(lease), Ok(()));
    }

    #[test]
    fn a_lease_that_outlives_the_election_is_refused_with_the_sum_and_both_ways_out() {
        let text = group(0).allow(Duration::from_millis(10_500)).unwrap_err().to_string();
        for part in ["lease (10.5 s)", "5 s = 5 s", "+ 0 s", "up to 5.5 s", "lease = \"5s\"", "to 6 or more"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
