//! Which tests have no counterpart with an IPv6 VIP, and why. They are not run with `--family 6`, which says so; docs/faults.md has the reason in
//! the column "IPv6".

use super::Test;
use crate::segment::{Family, family};

/// The tests by name, each with the reason.
pub(super) const IPV4_ALONE: &[(&str, &str)] = &[
    (
        "vip_added_with_another_prefix",
        "can't be: Linux has an IPv6 address once on an interface, whatever its prefix length",
    ),
    (
        "vip_with_a_network_of_its_own",
        "not shown: no order among an interface's IPv6 addresses makes one go with another",
    ),
    (
        "arp_ignored_by_a_holder_without_an_agent",
        "can't be: Linux has no such setting for neighbor discovery",
    ),
    (
        "arp_dropped_by_a_holder_without_an_agent",
        "not promised: an IPv6 VIP is not asked for by echo, so where a rule drops its holder's neighbor advertisements and no agent runs there, it is taken beside it",
    ),
    ("moving_over_from_keepalived", "not shown: its samples have an IPv4 VIP"),
    ("moving_over_from_vip_manager", "not shown: its samples have an IPv4 VIP"),
    ("moving_over_from_the_python_program", "can't be: it has no IPv6"),
    ("router_before_the_vip", "not shown: its sample has an IPv4 VIP"),
    ("check_finds_what_is_planted", "not shown: what is planted is written for an IPv4 VIP and gateway"),
    ("check_names_what_does_not_fit_the_host", "IPv6 has no broadcast address; the rest is as with IPv4"),
];

/// Those of the chosen tests that can be run in the lab's family. What is left out is said.
pub(super) fn fit(tests: Vec<Test>) -> Vec<Test> {
    if family() != Family::V6 {
        return tests;
    }
    let (left_out, fit): (Vec<Test>, Vec<Test>) =
        tests.into_iter().partition(|test| reason(test.name).is_some());
    for test in left_out {
        println!("test {} is not run with IPv6: {}", test.name, reason(test.name).unwrap_or_default());
    }
    fit
}

/// Why there is no such test with an IPv6 VIP; none: there is.
pub(super) fn reason(test: &str) -> Option<&'static str> {
    IPV4_ALONE.iter().find(|(name, _)| *name == test).map(|(_, reason)| *reason)
}
