//! What is to come of faults: the primary's server or its host dies, or is cut off.

use super::{NEW, Outcome, SAME, row};

/// In the order of the page.
pub(super) const ROWS: &[Outcome] = &[
    row(
        &["s19_shutdown"],
        "`SHUTDOWN` on the primary",
        NEW,
        "a few milliseconds after the election",
        "the old server goes on saying it leads; its agent yields to the newer view",
    ),
    row(
        &["s20_stop_group_replication"],
        "`STOP GROUP_REPLICATION` on the primary",
        NEW,
        "a few milliseconds after the election",
        "as above",
    ),
    row(
        &["kill_9", "kill_9_after_agent_restarts"],
        "mysqld dies (`kill -9`)",
        NEW,
        "clients are refused at once until the election (6–7 s)",
        "the survivors prove it dead: its port refuses",
    ),
    row(
        &["s18_power_off"],
        "the primary's host loses its power",
        NEW,
        "until the election (11–12 s)",
        "a silent host may be slow: MySQL's expel timeout is honoured",
    ),
    row(
        &["fence_command_that_succeeds"],
        "the same, and `fence_command` has switched the host off",
        NEW,
        "until the election (6–7 s)",
        "the command proves the host dead",
    ),
    row(
        &["fence_command_that_fails"],
        "the same, and `fence_command` fails",
        NEW,
        "until the election (11–12 s)",
        "a failure proves nothing: the expel timeout is honoured",
    ),
    row(
        &["expel_timeout_is_restored_after_agent_kill_9"],
        "mysqld dies, and the survivors' agents are killed while the expel timeout is 0",
        NEW,
        "until the agents are started",
        "each agent's next start puts the timeout back, from its file; also when the dead member is back first",
    ),
    row(
        &["group_port_cut"],
        "the group's port is cut off on the primary's host",
        NEW,
        "until the election (11–12 s)",
        "the old primary is in a minority and lets go by itself",
    ),
    row(
        &["group_port_refused"],
        "a firewall on the primary's host refuses connections to the group's port, and drops what it sends from there",
        NEW,
        "until the election (11–12 s; with the stack MYSQL 6–7 s, see below)",
        "as above; MySQL's port answers, so nothing is proven",
    ),
    row(
        &["primary_is_not_heard", "primary_hears_nothing"],
        "one-way loss: the primary is not heard, or hears nothing",
        NEW,
        "until the election (11–12 s)",
        "as above; it also loses its gateway",
    ),
    row(
        &["silent_host_without_power_is_expelled"],
        "the primary's host loses its power, with `silent_host = \"expel\"`",
        NEW,
        "until the election (6–7 s)",
        "the host is silent in the group and by ARP, and the others are heard on both: MySQL's expel timeout is not waited for",
    ),
    row(
        &["silent_host_away_for_3_s_is_waited_for"],
        "every cable of one host is away for 3 s, with `silent_host = \"expel\"`",
        SAME,
        "never; writes go on when the cable is back",
        "a host must be silent by ARP for 3.5 s while the others answer. What nobody answers does not count: then it is this host's own cable",
    ),
    row(
        &["each_host_cut_off_for_3_s"],
        "every cable of one host is away for 3 s",
        SAME,
        "never; writes go on when the cable is back",
        "the group waits 5 s, the gateway counts as lost after 4 s",
    ),
    row(
        &["gateway_lost"],
        "the gateway is gone for all",
        "nobody, until it is back",
        "as long as that lasts, after 4–5 s",
        "a host without its gateway may be the one that was parted from the network (S12)",
    ),
    row(
        &["gateway_lost_for_the_primary_alone"],
        "the gateway is gone for the primary's host alone",
        "nobody, until it is back",
        "as long as that lasts, after 4–5 s",
        "S12; the others are no primary, and so can't write",
    ),
    row(
        &["clients_cut_off_but_not_the_group"],
        "clients are cut off from the primary's host, the group is not",
        "nobody, until they are back",
        "as long as that lasts, after 4–5 s",
        "the group keeps its primary; its gateway is lost (S12)",
    ),
];
