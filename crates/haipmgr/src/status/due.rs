//! When the members' servers are asked again by one who looks again and again: each question costs a server time, and pages that are open
//! at three agents ask each server from three sides. Pure.

use std::time::Duration;

use decide::status::{Found, Has, MemberStatus, Mode, Status, Wanted};
use tokio::time::Instant;

use crate::control::report::{Report, Told};

/// While the agent sees nothing change, they are asked this often: with a look each 200 ms that is once a second, and nothing that is shown
/// is older than a second …
const AT_REST: Duration = Duration::from_millis(900);
/// … and this often for as long as it takes after a change until what they say themselves has settled. A server that is just changing its
/// role has better things to do than to answer at each look.
const WHILE_IT_SETTLES: Duration = Duration::from_millis(400);
const SETTLES_WITHIN: Duration = Duration::from_secs(1);

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Due {
    asked: Option<Instant>,
    seen: Option<Vec<Seen>>,
    changed: Option<Instant>,
}

/// What the agent says of one cluster, without the ages.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    mode: Mode,
    stages: Vec<Found>,
    vips: Vec<(Wanted, Has)>,
    view: Option<String>,
    members: Vec<MemberStatus>,
}

impl Due {
    /// They are, whatever the agent says.
    pub(super) fn by_time(&self, now: Instant) -> bool {
        let settles = self.changed.is_some_and(|changed| now < changed + SETTLES_WITHIN);
        let rest = if settles { WHILE_IT_SETTLES } else { AT_REST };
        self.asked.is_none_or(|asked| now >= asked + rest)
    }

    /// They are after this word of the agent. One that says nothing tells of no change either, and so they are.
    pub(super) fn after(&mut self, report: Option<&Report>, now: Instant) -> bool {
        let seen = report.and_then(of_all);
        if seen != self.seen {
            self.changed = Some(now);
            self.seen = seen;
        }
        self.seen.is_none() || self.by_time(now)
    }

    /// They are being asked.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }
}

/// None: one of the loops does not answer.
fn of_all(report: &Report) -> Option<Vec<Seen>> {
    let of_one = |told: &Told| match told {
        Told::Status(status) => Some(Seen::of(status)),
        Told::Silent(_) => None,
    };
    report.clusters.iter().map(|cluster| of_one(&cluster.told)).collect()
}

impl Seen {
    fn of(status: &Status) -> Self {
        let group = status.group.as_ref();
        Self {
            mode: status.mode,
            stages: status.stages.iter().map(|stage| stage.found).collect(),
            vips: status.vips.iter().map(|vip| (vip.wanted, vip.state)).collect(),
            view: group.and_then(|group| group.view.clone()),
            members: group.map(|group| group.members.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::control::report::ClusterReport;
    use crate::status::sample::{status_of, well};

    fn report(change: impl FnOnce(&mut Status)) -> Report {
        let mut picture = well();
        change(status_of(&mut picture));
        let status = picture.status().unwrap().clone();
        Report {
            version: "0.1.0".to_owned(),
            pid: 1,
            up_ms: 1,
            clusters: vec![ClusterReport { name: "orders".to_owned(), told: Told::Status(Box::new(status)) }],
        }
    }

    /// How often they were asked in the looks of so long, one each 200 ms, when the agent says this at each time.
    fn asked_in(due: &mut Due, begun: Instant, of: std::ops::Range<u64>, report: Option<&Report>) -> usize {
        let looks = of.step_by(200).map(|at| begun + Duration::from_millis(at));
        looks
            .filter(|now| {
                let is_due = due.by_time(*now) || due.after(report, *now);
                if is_due {
                    due.asked(*now);
                }
                is_due
            })
            .count()
    }

    #[test]
    fn while_nothing_changes_servers_are_asked_once_a_second() {
        let (mut due, begun) = (Due::default(), Instant::now());
        let well = report(|_| {});
        asked_in(&mut due, begun, 0..3_000, Some(&well));
        assert_eq!(asked_in(&mut due, begun, 3_000..13_000, Some(&well)), 10);
        let older = report(|status| {
            for vip in &mut status.vips {
                vip.lease_left_ms = Some(17);
            }
        });
        assert_eq!(asked_in(&mut due, begun, 13_000..15_000, Some(&older)), 2, "an age is no change");
    }

    #[test]
    fn for_a_second_after_a_change_servers_are_asked_at_every_second_look() {
        let (mut due, begun) = (Due::default(), Instant::now());
        asked_in(&mut due, begun, 0..3_000, Some(&report(|_| {})));
        let lost = report(|status| status.vips[0].state = Has::Releasing);
        assert_eq!(asked_in(&mut due, begun, 3_400..3_600, Some(&lost)), 1, "at once");
        assert_eq!(asked_in(&mut due, begun, 3_600..4_400, Some(&lost)), 2);
        assert_eq!(asked_in(&mut due, begun, 6_000..8_000, Some(&lost)), 2);
    }

    #[test]
    fn servers_are_asked_at_each_look_where_the_agent_says_nothing() {
        let (mut due, begun) = (Due::default(), Instant::now());
        assert_eq!(asked_in(&mut due, begun, 0..4_000, None), 20);
        let mut silent = report(|_| {});
        silent.clusters[0].told = Told::Silent("it hangs".to_owned());
        assert_eq!(asked_in(&mut due, begun, 4_000..8_000, Some(&silent)), 20);
    }
}
