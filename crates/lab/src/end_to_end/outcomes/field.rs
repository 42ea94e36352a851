//! What is to come of faults: what was met in the field.

use super::{NEW, Outcome, SAME, row};

/// In the order of the page.
pub(super) const ROWS: &[Outcome] = &[
    row(
        &["login_thrown_out_by_init_connect"],
        "the primary answers the agent's login with an error, whichever (here 1184: `init_connect` fails for the account)",
        SAME,
        "never",
        "any word of a server is the word of a living one. One ERROR until the kind of error changes; logins ever less often, each 5 s in the end",
    ),
    row(
        &["account_needs_a_certificate"],
        "the account is altered to `REQUIRE X509`",
        SAME,
        "never",
        "as a wrong password (S10); the log names `tls_cert` and `tls_key`",
    ),
    row(
        &["vip_on_a_members_loopback"],
        "the VIP is added to a secondary's loopback, with `scope host` too, or was there before the agent started",
        SAME,
        "never",
        "every interface is watched: the copy is removed at once, with an ERROR",
    ),
    row(
        &["holders_hardware_address_changed"],
        "the holder's interface gets another hardware address (a bond's fail-over)",
        SAME,
        "until the announcement, 0.2 s",
        "the kernel's notification calls for one; so do a carrier that is back, another port of a bond or bridge, `NETDEV_NOTIFY_PEERS`",
    ),
    row(
        &["new_primary_stays_read_only"],
        "the new primary stays read-only (member action `mysql_disable_super_read_only_if_primary` disabled; a ClusterSet's replica cluster)",
        "nobody, until it is writable",
        "as long as that lasts",
        "the VIP is for writes, and nobody takes any: an ERROR after a while. It is taken as soon as `super_read_only` is off",
    ),
    row(
        &["standby_group_vip_follows_the_primary"],
        "a switchover in a group that is kept read-only, with `read_only_primary = \"follow\"`",
        "the new primary",
        "as long as the group's own switchover",
        "the VIP is on the primary whether that takes writes or not; when the group becomes the one that takes them, it is there already",
    ),
    row(
        &["primary_made_read_only"],
        "the primary is made read-only by hand",
        SAME,
        "never, but nobody can write",
        "no other member takes writes either, and its readers go on: `read_only_primary = \"hold\"`, with an ERROR. With `\"release\"` it leaves after `claim_wait`",
    ),
    row(
        &["group_goes_multi_primary_and_back"],
        "the group is switched to multi-primary mode, and back",
        "nobody, until it has one primary again",
        "as long as that lasts",
        "any member may write then, and there is no one primary to follow; the log says so",
    ),
    row(
        &["mysqld_does_not_listen_at_the_vip"],
        "the new primary's mysqld listens at its own address alone (`bind_address`)",
        NEW,
        "clients are refused there until it is mended",
        "the group has one primary, and nobody else may write. `check` names it on every member; an ERROR where the VIP is held",
    ),
    row(
        &["arp_kept_in_by_the_holder"],
        "the holder's kernel answers no ARP question (`arp_ignore` = 8, NOARP)",
        SAME,
        "never",
        "its agent hears a claim all the same. `check`, the start and the stop say so",
    ),
    row(
        &["arp_ignored_by_a_holder_without_an_agent", "arp_dropped_by_a_holder_without_an_agent"],
        "the same, or a packet rule drops its ARP answers; its agent is stopped, and another member becomes the primary",
        "the same host, until somebody starts its agent or removes the address there; then the new primary",
        "nobody can write as long as that lasts",
        "a host that answers no ARP question still answers whoever speaks to the address: a claimant asks each member by echo too. It does not take what is up elsewhere; the ERROR names \
         the host and what to do. Where the host answers no echo either (`icmp_echo_ignore_all`, a packet rule), nothing shows that the VIP is there, and two hosts have it",
    ),
];
