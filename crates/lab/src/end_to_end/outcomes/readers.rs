//! What is to come of faults: reader VIPs.

use super::{Outcome, row};

/// Where a reader VIP goes.
const OTHER: &str = "its reader VIP: another secondary; nothing else moves";

/// In the order of the page.
pub(super) const ROWS: &[Outcome] = &[
    row(
        &["readers_each_on_its_own_secondary"],
        "reader VIPs, and nothing happens",
        "each on one secondary, spread as evenly as can be",
        "never",
        "every agent places them by the same words: each member says once a second how fit its host is",
    ),
    row(
        &["reader_kill_9", "reader_shutdown", "reader_stop_group_replication"],
        "mysqld of a reader's host dies (`kill -9`), is shut down, or leaves its group",
        OTHER,
        "0.3 s at the most from the end of the process, from the order to shut down, or from the server's own word that it is not ONLINE any more",
        "its agent sees it and says so at once; the group's own word comes seconds later, and is not waited for. While MySQL shuts down \
         (3 s) it takes no new connections, and says so in its error log, where that is a file",
    ),
    row(
        &["reader_comes_back"],
        "the dead reader's server is back and ONLINE",
        "it has its share again once it has been well for `reader_well_for` (10 s)",
        "a few milliseconds",
        "what comes back may go again; until then the others serve",
    ),
    row(
        &["reader_power_off", "reader_cable_pulled"],
        "a reader's host loses its power, or its cable is pulled",
        OTHER,
        "7–8 s",
        "nobody says anything, and silence proves no death: a host that is cut off keeps its VIPs until it has missed the other members, \
         or its gateway, for 4 to 5 s, so that another takes them 8 s after its last word",
    ),
    row(
        &["reader_cut_off_on_the_segment"],
        "a reader's host is cut off from the other members on the segment alone: its gateway answers, and the group's traffic goes another way",
        OTHER,
        "3–5.5 s: it is left after 3–4.1 s, and there 7–8.5 s after the cut",
        "its server is ONLINE in the majority, and the others have no word from it: it asks the ONLINE members' hosts for their addresses once a \
         second, and gives its reader VIPs up when too few have answered for 4 s, before the others take them 8 s after its last word",
    ),
    row(
        &["reader_server_hung"],
        "a reader's mysqld hangs (SIGSTOP)",
        OTHER,
        "5–6.5 s",
        "no answer is no `no`: after 5 s, when the group calls it UNREACHABLE too, its agent calls it unfit",
    ),
    row(
        &["reader_falls_behind"],
        "a reader is behind by more than `reader_max_behind` for longer than `reader_behind_for`",
        "its reader VIP: another secondary; back once it is below half of that and has been so for `reader_well_for`",
        "a few milliseconds; until then it serves what is old",
        "each agent asks its own server once a second",
    ),
    row(
        &["busy_minute_moves_no_reader_vip"],
        "readers are behind for a moment, again and again, and all cores are busy",
        "nothing moves",
        "never",
        "only what lasts for `reader_behind_for` counts",
    ),
    row(
        &["readers_all_behind"],
        "every secondary is too far behind",
        "all reader VIPs: the primary (`when_no_reader = \"primary\"`)",
        "a few milliseconds",
        "what the primary answers is never old",
    ),
    row(
        &["readers_all_behind_any_online"],
        "the same with `when_no_reader = \"any_online\"`",
        "the members that are ONLINE, the primary among them",
        "a few milliseconds for what moves",
        "old answers are better than a primary with all readers: so the operator says",
    ),
    row(
        &["switchover_to_a_reader"],
        "planned switchover to a member that has a reader VIP",
        "the reader VIP: the old primary, or another secondary; no other moves",
        "a few milliseconds",
        "a primary serves no readers while a secondary can",
    ),
    row(
        &["reader_agent_restart_and_upgrade"],
        "the agent on a reader's host is restarted, or upgraded",
        "nothing moves",
        "never",
        "the address stays where it is (S7), and a silent member keeps what it has",
    ),
    row(
        &["reader_drained"],
        "`haipmgr drain` on a reader's host",
        OTHER,
        "a few milliseconds",
        "a drained host has no VIP of any kind, until it is undrained",
    ),
    row(
        &["reader_vip_comes_back_to_a_port_used_again"],
        "a reader VIP comes back within a minute, and a client uses a port again meanwhile",
        OTHER,
        "a few milliseconds",
        "the host has forgotten the connection from that port, and resets the client",
    ),
    row(
        &["reader_dies_while_the_cluster_is_paused"],
        "the cluster is paused, and a reader's mysqld dies",
        "its reader VIP stays where it is until the cluster is resumed",
        "until then",
        "a pause moves nothing",
    ),
    row(
        &["last_reader_gone", "last_reader_shut_down"],
        "no secondary is left",
        "all reader VIPs: the primary, and the secondaries again once one is back",
        "0.3 s at the most",
        "`when_no_reader = \"primary\"`",
    ),
    row(
        &["last_reader_gone_and_nobody_is_to_serve"],
        "the same with `when_no_reader = \"nobody\"`",
        "nobody",
        "until a secondary is back",
        "the primary is to be spared",
    ),
];
