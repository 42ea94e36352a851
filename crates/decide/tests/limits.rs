//! Limits that the configuration may name: each bound is allowed, and what lies beyond it is refused with its key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::collections::BTreeMap;
use std::time::Duration;

use decide::policy::Policy;
use model_host::{VIP, member, ms, policy};

/// The key that is named when `change` is made to the defaults.
fn refused(change: impl Fn(&mut Policy)) -> Option<&'static str> {
    let mut policy = policy();
    change(&mut policy);
    policy.validate().err().map(|bad| bad.key)
}

type Set = fn(&mut Policy, Duration);

#[test]
fn each_bound_of_a_duration_is_allowed_and_a_millisecond_beyond_it_is_not() {
    let seconds = Duration::from_secs;
    let set: [(&str, Set, Duration, Option<Duration>); 5] = [
        ("poll_interval", |policy, value| policy.poll_interval = value, ms(10), Some(seconds(60))),
        ("sleeptime", |policy, value| policy.sleeptime = value, seconds(1), Some(seconds(3600))),
        ("probe_spacing", |policy, value| policy.probe_spacing = value, ms(5), Some(seconds(2))),
        ("lease", |policy, value| policy.lease = Some(value), seconds(3), Some(seconds(3600))),
        ("announce_interval", |policy, value| policy.announce_interval = value, seconds(1), None),
    ];
    for (key, change, least, most) in set {
        assert_eq!(refused(|policy| change(policy, least)), None, "{key} = {least:?}");
        assert_eq!(
            refused(|policy| change(policy, least.saturating_sub(ms(1)))),
            Some(key),
            "{key} below {least:?}"
        );
        let Some(most) = most else { continue };
        assert_eq!(refused(|policy| change(policy, most)), None, "{key} = {most:?}");
        assert_eq!(refused(|policy| change(policy, most + ms(1))), Some(key), "{key} above {most:?}");
    }
    assert_eq!(refused(|policy| policy.lease = None), None);
}

#[test]
fn from_one_to_twenty_probes_may_be_asked_for() {
    for (count, key) in [(0, Some("probe_count")), (1, None), (20, None), (21, Some("probe_count"))] {
        assert_eq!(refused(|policy| policy.probe_count = count), key, "{count}");
    }
}

#[test]
fn a_takeover_waits_for_ten_seconds_at_least_and_for_two_more_than_the_lease() {
    let takeover = |lease: Option<u64>, after_ms| {
        refused(|policy| {
            policy.lease = lease.map(Duration::from_secs);
            policy.takeover_after = Some(ms(after_ms));
        })
    };
    for lease in [None, Some(3), Some(8)] {
        assert_eq!(takeover(lease, 10_000), None);
        assert_eq!(takeover(lease, 9_999), Some("takeover_after"));
    }
    assert_eq!(takeover(Some(20), 22_000), None);
    assert_eq!(takeover(Some(20), 21_999), Some("takeover_after"));
}

#[test]
fn members_and_vip_are_of_one_kind_and_none_has_the_vip_as_its_own_address() {
    assert_eq!(refused(|policy| policy.members = BTreeMap::new()), Some("members"));
    assert_eq!(refused(|policy| policy.vip = member(2)), Some("vip"));
    let six = "fd00::1".parse().unwrap();
    assert_eq!(refused(|policy| drop(policy.members.insert(six, "eth0".to_owned()))), Some("members"));
    assert_eq!(refused(|policy| policy.vip = "fd00::100".parse().unwrap()), Some("members"));
    let all_six = |policy: &mut Policy| {
        policy.vip = "fd00::100".parse().unwrap();
        policy.members = BTreeMap::from([(six, "eth0".to_owned())]);
    };
    assert_eq!(refused(all_six), None);
    assert_eq!(policy().vip, VIP);
}

#[test]
fn a_dead_member_is_the_agents_business_as_soon_as_one_way_to_expel_it_is_on() {
    for (wake_expel, proven_dead, fence) in
        [(false, false, false), (true, false, false), (false, true, false), (false, false, true)]
    {
        let policy = Policy { wake_expel, proven_dead, fence, ..policy() };
        assert_eq!(policy.elects(), wake_expel || proven_dead || fence);
    }
}
