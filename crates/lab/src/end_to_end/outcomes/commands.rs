//! What is to come of faults: what the commands and the files say.

use super::{Outcome, SAME, row};

/// In the order of the page.
pub(super) const ROWS: &[Outcome] = &[
    row(
        &["run_folder_cleared_then_stopped", "log_and_state_file_removed"],
        "/run/haipmgr is cleared, or the log or the state file removed, while the agent runs",
        SAME,
        "never",
        "`haipmgr stop` finds the agent by its other lock; the files are made anew",
    ),
    row(
        &["check_names_what_does_not_fit_the_host"],
        "a configuration that does not fit the host: no such interface, the network's broadcast address, a gateway elsewhere",
        "–",
        "–",
        "`haipmgr check` names each and ends with status 1 (2 where no host could have it)",
    ),
    row(
        &["check_finds_what_is_planted", "check_is_silent_on_a_good_group"],
        "some forty misconfigurations of servers, account, group, host and file, one after another",
        SAME,
        "never",
        "`haipmgr check` finds each by its name with what mends it, and has nothing to say of a good group (docs/check.md)",
    ),
    row(
        &[
            "history_of_a_switchover",
            "history_of_kill_9",
            "history_of_a_primary_that_another_had_expelled",
            "history_of_a_vip_removed_by_hand",
        ],
        "a switchover by name, `kill -9`, one expelled before the next primary's agent looks, the VIP removed by hand: what `haipmgr history` and `explain` say of them",
        "–",
        "–",
        "the right hosts have a line with the right code, who ordered it, and an outage within 0.1 s of the client's (docs/history.md)",
    ),
    row(
        &["status_of_a_whole_group", "status_where_a_server_hangs", "status_without_an_agent"],
        "all is well; the local mysqld hangs; no agent runs: what `haipmgr status` says",
        SAME,
        "never",
        "what the lab's own witnesses saw, within 0.3 s; its exit status is 0, 1, 3 (docs/status.md)",
    ),
    row(
        &["status_where_nobody_holds_the_vip"],
        "no agent runs anywhere, and the VIP is removed by hand",
        "nobody",
        "until an agent runs on the primary's host",
        "`haipmgr status` says that nobody holds it: exit status 4",
    ),
    row(
        &["control_socket_abused"],
        "the control socket gets slow, huge and malformed lines and a thousand connections, each by itself and all at once; the disk is full",
        SAME,
        "never",
        "it has a thread of its own; decisions are as quick as before (docs/status.md), and `haipmgr status` is answered afterwards",
    ),
    row(
        &["hooks_once_for_each_switch"],
        "two switchovers with `on_acquire` and `on_release`; the old holder's hook hangs for ever",
        "the new primary",
        "as a switchover",
        "the new holder tells that the VIP came, the old one that it left, each once (docs/hooks.md); what hangs holds nothing up",
    ),
    row(
        &["webhook_over_https_once_for_each_switch"],
        "two switchovers, each told to a web address over HTTPS whose certificate `hook_ca` signs; a stranger's certificate, and one for another name",
        "the new primary",
        "as a switchover's",
        "each side of each switch tells it once, with the history's line; nothing is sent to the two others, and the log says what is wrong with their certificates (docs/hooks.md)",
    ),
    row(
        &["s15_members_online_by_sql", "s16_state_file_read_each_minute", "s17_processes"],
        "a planned switchover, then kill -9 of the primary's mysqld, and of an agent; what watched the Python program goes on as it was",
        "the new primary",
        "as each of them",
        "each monitor is quiet while all is well, and alarms once for each thing that it watches (docs/monitoring.md)",
    ),
    row(
        &["s6_stat_file_follows", "s1_grep_warn_lists_exactly_the_switches"],
        "any of these: state file and log",
        "–",
        "–",
        "S6, S1",
    ),
    row(
        &["init_writes_a_file_that_runs"],
        "the agents restarted with the file of `haipmgr init`",
        SAME,
        "never",
        "the server and the kernel know all but the VIP and the account",
    ),
    row(
        &["password_shows_nowhere"],
        "any of these: files, log, trace, command line, environment",
        "–",
        "–",
        "the password is in its file alone",
    ),
    row(
        &[
            "moving_over_from_keepalived",
            "moving_over_from_vip_manager",
            "moving_over_from_the_python_program",
        ],
        "another tool holds the VIP, and haipmgr takes its place while a client writes (docs/moving.md)",
        "the same host",
        "keepalived: a tenth of a second; the others: never",
        "haipmgr leaves a VIP that is up where it is, and puts one back that another program removes",
    ),
    row(
        &["haproxy_follows_the_health_checks", "router_before_the_vip"],
        "a writer goes through HAProxy, which asks haipmgr's health checks, or through MySQL Router, which leads to the VIP; a switchover, `kill -9` (docs/proxies.md)",
        "the new primary",
        "as without a proxy; HAProxy looks twice a second",
        "the samples of packaging/examples",
    ),
    row(
        &["secrets_show_nowhere"],
        "with known passwords, a token and a hook's address with a secret: the password rotated twice by reload, switchovers, every command, every path of HTTP, hooks, traces of everything, wrong passwords and tokens, an agent and a command ended by SIGABRT and SIGSEGV",
        "the new primary",
        "as a switchover",
        "each secret is in its own file alone, in no form (hex, base64, escaped); no core is dumped; the agents' memory has no copy of a password that was replaced or refused",
    ),
    row(&["replay_decides_as_recorded"], "any of these: the trace", "–", "–", "the rules are pure"),
];
