//! What is to come of faults: what an operator asks for: a switchover, a drain, a pause.

use super::{NEW, Outcome, SAME, row};

/// In the order of the page.
pub(super) const ROWS: &[Outcome] = &[
    row(
        &["switchover"],
        "planned switchover",
        NEW,
        "a few milliseconds",
        "the new primary claims, the old one yields",
    ),
    row(
        &["switchover_backlog"],
        "the same while the new primary still applies a transaction of 300,000 rows",
        "the old primary for these seconds, then the new one",
        "a few milliseconds; until then writes succeed, on the old primary",
        "MySQL changes the roles at once, and lets the new primary write when it has applied what it had received: until then the old \
         one is SECONDARY and writable. It keeps the VIP until the new one claims it. A write at the moment of the change gets error 1290",
    ),
    row(
        &["switchover_statement"],
        "the same while a statement that writes runs for 5 s",
        "the old primary until the statement has ended, then the new one",
        "a few milliseconds; the statement succeeds, and so do other writes meanwhile",
        "MySQL waits for the statement before it changes the roles",
    ),
    row(
        &["switchover_ddl"],
        "the same while `ALTER TABLE … ALGORITHM=COPY` runs",
        "the old primary until the new one has altered the table too, then that",
        "a few milliseconds; the `ALTER TABLE` succeeds, and so do writes to other tables meanwhile",
        "MySQL waits for the statement; then it is a backlog, for the statement is run again on the new primary",
    ),
    row(
        &["switchover_transaction"],
        "the same while a transaction is open that began with `BEGIN`",
        "the old primary until the transaction has ended, then the new one",
        "a few milliseconds; the `COMMIT` succeeds, and so do other writes meanwhile",
        "MySQL waits for it, however long it takes. It does not wait for a transaction that only `autocommit = 0` opened: its `COMMIT` \
         gets error 1290, and its work is lost",
    ),
    row(
        &["switchover_command_follows", "switchover_command_done", "switchover_command_ends_the_session"],
        "`haipmgr switchover`",
        NEW,
        "as above",
        "it looks for what would hold MySQL up first, and follows the VIP; a session that holds it up is ended where it is told to",
    ),
    row(
        &["switchover_command_still_under_way", "switchover_command_interrupted"],
        "the same, forced past a transaction that `BEGIN` opened",
        "the old primary until the transaction has ended, then the new one",
        "as above",
        "MySQL waits, and has no word to call it off: the command ends with status 5, and the switchover still happens",
    ),
    row(
        &[
            "switchover_command_refuses",
            "switchover_command_refuses_what_lasts",
            "switchover_command_without_procedures",
            "what_mysql_refuses_changes_nothing",
            "paused_cluster_is_neither_switched_nor_drained",
        ],
        "the same, refused or failed: something does not end by itself, the member is not fit, the account may not, MySQL refuses, the \
         cluster is paused",
        SAME,
        "never",
        "nothing was changed",
    ),
    row(
        &["switchover_to_a_paused_host"],
        "the same to a host whose agent alone is paused",
        "nobody, or the old primary, until the host is resumed; then the new primary",
        "nobody can write for as long as that lasts",
        "no other host knows of that pause: the group has its new primary, and the command ends with status 5, for the VIP is not seen there",
    ),
    row(
        &["without_a_majority_nothing_is_ordered"],
        "both other members hang, and `switchover`, `drain`, `pause` and `resume` are typed",
        "nobody, until they go on",
        "as long as that lasts",
        "the group has no majority, and writes nothing; each command says so and orders nothing",
    ),
    row(
        &["drain_then_shutdown"],
        "`haipmgr drain` on the primary's host, then `SHUTDOWN` (the drop-in for mysqld's unit)",
        NEW,
        "a few milliseconds",
        "a switchover before the server goes; what goes then is a secondary",
    ),
    row(
        &["drained_host_takes_no_vip"],
        "the server of a drained host becomes the primary",
        "nobody, until the host is undrained",
        "as long as that lasts",
        "it was told to take none; the others can't write",
    ),
    row(
        &[
            "drain_refused_leaves_the_vip",
            "drain_without_a_candidate_leaves_the_vip",
            "drain_says_what_it_could_not_do",
        ],
        "`haipmgr drain` where the primary can't be moved away",
        SAME,
        "never",
        "it never makes things worse",
    ),
    row(
        &["drain_whose_time_is_over"],
        "the same while a transaction at work holds the switchover up until the time is over",
        "the old primary until the transaction has ended, then the new one",
        "a few milliseconds",
        "nothing was given up; but a switchover that has begun can't be called off, and still happens",
    ),
    row(
        &["paused_cluster_moves_no_vip_after_kill_9"],
        "the whole cluster is paused, and the primary's mysqld dies (`kill -9`)",
        "the same host, until the cluster is resumed; then the new primary",
        "clients are refused at once until then",
        "nobody takes anything while paused (docs/pause.md); nobody is expelled sooner either, so the election takes MySQL's own time",
    ),
    row(
        &["pause_outlives_the_agent_and_ends_by_itself"],
        "a paused host's server becomes the primary, and its agent is started anew",
        "nobody, until the pause is over",
        "as long as that lasts",
        "a paused agent takes nothing, and knows after a restart that it is paused",
    ),
    row(
        &["paused_holder_yields_to_a_claim"],
        "planned switchover while the old primary's host is paused",
        NEW,
        "a few milliseconds",
        "a claim is yielded to, paused or not",
    ),
    row(
        &["paused_holder_fault_by_fault"],
        "the holder's host is paused, and the gateway is gone for all; its server goes offline (`offline_mode`); the VIP is removed by hand",
        "the same host; once it is removed by hand nobody, until the pause is over",
        "never; once it is removed, as long as the pause lasts",
        "nothing is let go of by choice, and nothing is taken (docs/pause.md)",
    ),
    row(
        &["pause_names_who_has_it_not", "pause_without_rights_or_tables"],
        "`haipmgr pause` where a server is silent, gets nothing from the group, or lacks the rights or the table; where no agent runs",
        SAME,
        "never",
        "who has it not is named; without the right or the table nothing is changed",
    ),
    row(
        &["a_nights_work"],
        "a night by the commands alone: `kill -9`, a drained host, the primary put back, a pause with a server and two agents started anew",
        "the primary of the moment",
        "as the rows for each say",
        "`status`, `explain` and `history` say at each step what kernels, servers and witnesses saw",
    ),
];
