//! Limits that the configuration may name: each bound is allowed, and what lies beyond it is refused with its key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::collections::BTreeMap;
use std::time::Duration;

use decide::net::VipId;
use decide::policy::{GroupPolicy, Policy, VipPolicy};
use model_host::{VIP, group_policy, limits, member, ms};

/// The key that is named when `change` is made to the defaults.
fn refused(change: impl Fn(&mut GroupPolicy, &mut VipPolicy)) -> Option<&'static str> {
    let (mut group, mut vip) = (group_policy(), limits());
    change(&mut group, &mut vip);
    Policy::new(group, vip).validate().err().map(|bad| bad.key)
}

type Set = fn(&mut GroupPolicy, &mut VipPolicy, Duration);

#[test]
fn each_bound_of_a_duration_is_allowed_and_a_millisecond_beyond_it_is_not() {
    let seconds = Duration::from_secs;
    let set: [(&str, Set, Duration, Option<Duration>); 5] = [
        ("poll_interval", |group, _, value| group.poll_interval = value, ms(10), Some(seconds(60))),
        ("sleeptime", |group, _, value| group.sleeptime = value, seconds(1), Some(seconds(3600))),
        ("probe_spacing", |_, vip, value| vip.probe_spacing = value, ms(5), Some(seconds(2))),
        ("lease", |_, vip, value| vip.lease = Some(value), seconds(3), Some(seconds(3600))),
        ("announce_interval", |_, vip, value| vip.announce_interval = value, seconds(1), None),
    ];
    for (key, change, least, most) in set {
        assert_eq!(refused(|group, vip| change(group, vip, least)), None, "{key} = {least:?}");
        assert_eq!(
            refused(|group, vip| change(group, vip, least.saturating_sub(ms(1)))),
            Some(key),
            "{key} below {least:?}"
        );
        let Some(most) = most else { continue };
        assert_eq!(refused(|group, vip| change(group, vip, most)), None, "{key} = {most:?}");
        assert_eq!(refused(|group, vip| change(group, vip, most + ms(1))), Some(key), "{key} above {most:?}");
    }
    assert_eq!(refused(|_, vip| vip.lease = None), None);
}

#[test]
fn from_one_to_twenty_probes_may_be_asked_for() {
    for (count, key) in [(0, Some("probe_count")), (1, None), (20, None), (21, Some("probe_count"))] {
        assert_eq!(refused(|_, vip| vip.probe_count = count), key, "{count}");
    }
}

#[test]
fn a_takeover_waits_for_ten_seconds_at_least_and_for_two_more_than_the_lease() {
    let takeover = |lease: Option<u64>, after_ms| {
        refused(|_, vip| {
            vip.lease = lease.map(Duration::from_secs);
            vip.takeover_after = Some(ms(after_ms));
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
fn there_is_a_member_and_a_vip_and_no_address_is_used_twice_whatever_family_it_is_of() {
    assert_eq!(refused(|group, _| group.members = BTreeMap::new()), Some("members"));
    assert_eq!(refused(|_, vip| vip.address = member(2)), Some("vip"));
    assert_eq!(refused(|_, vip| vip.address = "fd00::100".parse().unwrap()), None);

    let with_a_second = |address| {
        let mut policy = Policy::new(group_policy(), limits());
        policy.vips.insert(VipId(1), VipPolicy::new(address));
        policy.validate().err().map(|bad| bad.key)
    };
    assert_eq!(with_a_second("10.77.0.101".parse().unwrap()), None);
    assert_eq!(with_a_second("fd00::100".parse().unwrap()), None);
    assert_eq!(with_a_second(VIP), Some("vip"), "the first has it already");
    assert_eq!(with_a_second(member(3)), Some("vip"));

    let none = Policy { vips: BTreeMap::new(), group: group_policy() };
    assert_eq!(none.validate().unwrap_err().key, "vip");
}

#[test]
fn a_dead_member_is_the_agents_business_as_soon_as_one_way_to_expel_it_is_on() {
    for (wake_expel, proven_dead, fence) in
        [(false, false, false), (true, false, false), (false, true, false), (false, false, true)]
    {
        let group = GroupPolicy { wake_expel, proven_dead, fence, ..group_policy() };
        assert_eq!(group.elects(), wake_expel || proven_dead || fence);
    }
}
