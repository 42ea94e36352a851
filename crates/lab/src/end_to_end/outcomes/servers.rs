//! What is to come of faults: accounts and connections, secondaries, the whole group, a busy machine, a full disk.

use super::{Outcome, SAME, row};

/// In the order of the page.
pub(super) const ROWS: &[Outcome] = &[
    row(
        &["s10_wrong_password", "account_locked"],
        "the agents' password is changed, their account locked",
        SAME,
        "never",
        "a server that turns us away lives (S10)",
    ),
    row(
        &["s10_too_many_connections", "a_thousand_connections_refused"],
        "no connection is left; 1,000 clients are refused",
        SAME,
        "never",
        "as above",
    ),
    row(
        &["member_joins_while_connections_are_used_up"],
        "no connection is left on the primary, and a member leaves and joins",
        SAME,
        "never; writes are slow while a member joins, as they always are",
        "the account that a member joins with has `CONNECTION_ADMIN`, and with it one connection more",
    ),
    row(
        &["tls_reloaded"],
        "every server gets another certificate (`ALTER INSTANCE RELOAD TLS`) and wants TLS of everybody; the agents log in anew, and a \
         member joins",
        SAME,
        "never",
        "open connections go on; new ones get the new certificate",
    ),
    row(
        &["server_killed_and_started_at_once"],
        "mysqld killed on the primary's host, and started again at once",
        "the new primary",
        "from the start of the second mysqld until the election",
        "until it has joined its group it takes writes that the group never has; no client may reach it",
    ),
    row(
        &["offline_mode"],
        "offline mode on the primary",
        "nobody, until it is over",
        "as long as that lasts, after 1 s",
        "it turns every client away, and nobody else may write",
    ),
    row(
        &["secondary_kill_9"],
        "mysqld of a *secondary* dies (`kill -9`)",
        SAME,
        "never; but the primary commits only some 4 rows a second until the dead member is expelled (5–7 s)",
        "each member has its part in every round of the group's agreement, and a silent one is waited for; the survivors prove it dead: its port refuses",
    ),
    row(
        &["secondary_power_off"],
        "the host of a secondary loses its power",
        SAME,
        "never; but 4 rows a second until the dead member is expelled (10–12 s)",
        "as above; MySQL's expel timeout is honoured",
    ),
    row(
        &["secondary_joins_again"],
        "a secondary joins its group again",
        SAME,
        "never; but the primary commits slowly while it joins (docs/failover-time.md)",
        "as above: the new member is counted before it takes part. The agents neither start nor stop Group Replication",
    ),
    row(
        &["rolling_restart"],
        "rolling restart of all three",
        "the primary of the moment",
        "once, a few milliseconds after the election",
        "secondaries move nothing",
    ),
    row(
        &["whole_group_dies_and_starts"],
        "every mysqld dies; the group is formed anew",
        "the new group's primary",
        "from the first server's start until it is formed",
        "a dead server's address refuses, and goes before a server outside any group could take a write; a new group has a view of its own",
    ),
    row(
        &["two_members_left_then_one"],
        "the secondaries leave: two members, then one",
        SAME,
        "never",
        "who left is not counted: what is left is a majority of itself",
    ),
    row(
        &["two_clusters_on_one_agent", "many_clusters_cost_little"],
        "another cluster's servers hang",
        SAME,
        "never",
        "one task a cluster",
    ),
    row(&["all_cores_busy_for_a_minute"], "all cores busy for a minute", SAME, "never", "late is not no"),
    row(
        &["disk_full", "log_folder_read_only"],
        "disk full; log folder read-only",
        "the primary; a switchover works as ever",
        "never",
        "what can't be written stops nothing",
    ),
];
