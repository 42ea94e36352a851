//! What is to come of each fault: the table of docs/faults.md, row by row the tests that show it.

/// One row.
pub(super) struct Outcome {
    /// The tests that show it, by name.
    pub(super) tests: &'static [&'static str],
    /// What happens, in words.
    fault: &'static str,
    /// Who holds the VIP in the end.
    holds: &'static str,
    /// How long nobody does, or clients can't write.
    nobody: &'static str,
    /// Why so.
    why: &'static str,
}

const fn row(
    tests: &'static [&'static str],
    fault: &'static str,
    holds: &'static str,
    nobody: &'static str,
    why: &'static str,
) -> Outcome {
    Outcome { tests, fault, holds, nobody, why }
}

const NEW: &str = "the new primary";
const SAME: &str = "the same host, untouched";

/// In the order of the page.
pub(super) const OUTCOMES: &[Outcome] = &[
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
        &["switchover_command_refuses", "switchover_command_without_procedures"],
        "the same, refused or failed: something does not end by itself, the member is not fit, the account may not",
        SAME,
        "never",
        "nothing was changed",
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
        &["drain_refused_leaves_the_vip"],
        "`haipmgr drain` where the primary can't be moved away",
        SAME,
        "never",
        "it never makes things worse",
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
    row(
        &["stranger_claims_the_vip"],
        "a machine that is no member says by gratuitous ARP that the VIP is its own",
        SAME,
        "milliseconds: until the holder, proven anew, says the contrary; a client's lost packet is repeated by TCP",
        "the holder defends what it has proven to be its own, at most 10 times a second",
    ),
    row(
        &["stranger_has_the_vip"],
        "a machine that is no member has the VIP on its interface, and answers for it",
        "the same host, untouched; who asks anew may reach the stranger for a moment",
        "about 1 s for a client that has just asked anew and believed the stranger, 3.3 s where it was the first that the stranger did; none for others",
        "only the client hears the stranger's answer. The holder asks the network at each renewal, and hears the stranger then; from then on it announces each second until 10 s after the last word of the stranger",
    ),
    row(
        &["arp_cache_of_a_client_poisoned"],
        "a client alone is told by ARP that the VIP is at the MAC of another host",
        SAME,
        "for that client: until its own kernel no longer trusts the entry (20–50 s), or the holder's next announcement (`announce_interval`, 60 s)",
        "nobody but the client can hear it; its kernel asks the wrong MAC, gets no answer, and asks all",
    ),
    row(
        &["vip_added_with_another_prefix"],
        "somebody adds the VIP to its holder once more, with another prefix",
        SAME,
        "never; the copy is gone within 0.2 s",
        "it has no lease, and would stay when the VIP leaves; the lease is renewed first, and so the VIP is never away",
    ),
    row(
        &["holders_interface_made_anew"],
        "the holder's interface is deleted and made anew",
        "the same host, again",
        "about 0.1 s after the interface is there again with the member's own address",
        "told by the kernel; the network is asked before the VIP is put back",
    ),
    row(
        &["holders_addresses_flushed"],
        "every address of the holder's interface is flushed, and its own put back (a network service's restart)",
        "the same host, again",
        "about 0.1 s after the member's own address is there again",
        "as above; a host without a member's address is none",
    ),
    row(
        &["holders_interface_set_down_and_up"],
        "the holder's interface is set down and up",
        SAME,
        "never; writes go on when the interface is up",
        "an address outlives that; the group waits 5 s, the gateway counts as lost after 4 s",
    ),
    row(
        &["30_percent_of_frames_lost"],
        "30 % of all frames are lost, while switchovers are done",
        NEW,
        "seconds: TCP's own repetitions",
        "more probes where loss is seen; a stale holder yields to the first announcement that it hears",
    ),
    row(
        &["hung_server_keeps_the_vip"],
        "mysqld hangs for a moment",
        SAME,
        "never; writes wait",
        "a server that does not answer is no proof",
    ),
    row(
        &["server_hung_for_long_and_resumed"],
        "mysqld hangs until another is elected, and goes on then",
        NEW,
        "until the election (11–12 s)",
        "the claim of the newer view; the old server's word is of an older one",
    ),
    row(
        &["all_of_a_host_killed_and_back"],
        "agent and mysqld killed on the primary's host; both come back",
        NEW,
        "until election and lease have ended",
        "nobody yields there; the kernel's lease ends it",
    ),
    row(
        &["s7_agent_restart_leaves_no_gap", "s7_agent_upgrade", "s7_agent_kill_9"],
        "the holder's agent is stopped, upgraded, killed and started",
        SAME,
        "never",
        "the address outlives the agent by its lease, and is adopted (S7)",
    ),
    row(
        &[
            "reload_of_a_bad_file_changes_nothing",
            "reload_refuses_a_password_that_nobody_knows",
            "reload_by_a_signal_of_the_same_file",
        ],
        "`haipmgr reload` or SIGHUP with a file that is wrong, with a password that the server does not know, or with the file that runs",
        SAME,
        "never",
        "the file is looked at as a whole first; what is not to be changed is not touched, and its sessions with the servers go on",
    ),
    row(
        &[
            "reload_adds_and_removes_a_vip",
            "reload_adds_and_removes_a_member",
            "reload_rotates_the_password",
            "reload_keeps_drain_and_pause",
        ],
        "`haipmgr reload` with another VIP, another member, another password; the host drained and its agent paused meanwhile",
        "the same host, untouched; a VIP that is not in the file any more leaves it in good order",
        "never",
        "the cluster's agent begins anew and adopts what stays, as at a restart",
    ),
    row(
        &["reload_changes_a_vip"],
        "`haipmgr reload` on every host with another address for the VIP",
        "the same host, at the new address",
        "never: the new address is up before the old one goes",
        "an agent of its own holds the old one until then",
    ),
    row(
        &["lease_ends_for_an_agent_that_is_dead"],
        "the holder's agent is dead for longer than the lease",
        "nobody, until it is back",
        "until the agent is back",
        "nobody proves that this host may hold it",
    ),
    row(
        &["agent_killed_then_mysqld", "agent_hung_then_mysqld_killed"],
        "the holder's agent is killed or hangs, and then its mysqld dies",
        NEW,
        "until election and lease have ended, and 1.5 s at the most",
        "nobody yields there; the kernel's lease ends it",
    ),
    row(
        &["agent_hung_then_switchover"],
        "the holder's agent hangs, another member becomes primary, and the agent goes on",
        NEW,
        "until the lease has ended, and 1.5 s at the most",
        "nobody yields there; when the agent goes on it closes what clients still have open with its server",
    ),
    row(
        &["s7_stopped_agent_leaves_the_vip_for_ever"],
        "the holder's agent is stopped, for longer than the lease",
        SAME,
        "never",
        "a plain stop leaves the VIP without an end (S7)",
    ),
    row(
        &["agent_stopped_on_old_knowledge"],
        "the holder's agent hangs, the VIP is removed by hand, another host takes it, and the agent is stopped",
        "the new primary",
        "until its claim is over",
        "an agent that leaves the VIP as it is adds none",
    ),
    row(
        &["stop_release_gives_the_vip_up"],
        "`haipmgr stop --release` on the primary's host",
        "nobody, until an agent runs there again",
        "as long as that lasts",
        "it was told to; the others can't write",
    ),
    row(
        &["lease_too_long_is_refused"],
        "a configured lease that outlives the group's election",
        SAME,
        "never",
        "refused at the start, with the sum; nothing was stopped",
    ),
    row(
        &["agent_hung"],
        "the holder's agent hangs: 3 s, and for longer than the lease",
        "the same host",
        "never; until the agent goes on",
        "as above",
    ),
    row(
        &["s4_second_agent_is_refused"],
        "a second agent is started",
        SAME,
        "never",
        "one agent a host and a cluster (S4)",
    ),
    row(
        &["vip_removed_by_hand"],
        "somebody removes the VIP from its holder",
        "the same host",
        "less than 0.1 s",
        "the kernel tells, all stages pass, nobody else has it",
    ),
    row(
        &["vip_removed_while_the_gateway_asks"],
        "the same while the gateway's kernel and the host's ask for each other by ARP, and these questions get lost",
        "the same host",
        "0.1 to 0.2 s",
        "the gateway is asked by echo and by ARP at once: whichever is answered first shows that it is there",
    ),
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
        "the same host, while its agent runs",
        "never; with the agent stopped, a switchover gives two holders",
        "nobody can see that the address is in use. `check`, the start and the stop say so: `haipmgr stop --release` is safe",
    ),
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
        &["history_of_a_switchover", "history_of_kill_9", "history_of_a_vip_removed_by_hand"],
        "a switchover by name, `kill -9`, the VIP removed by hand: what `haipmgr history` and `explain` say of them",
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
        "the control socket gets slow, huge and malformed lines and a thousand connections",
        SAME,
        "never",
        "it has a thread of its own; decisions are as quick as before, and `haipmgr status` is answered afterwards",
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
    row(&["replay_decides_as_recorded"], "any of these: the trace", "–", "–", "the rules are pure"),
];

/// What differs where the group's communication stack is MYSQL: the fault, with XCOM, with MYSQL.
const WITH_MYSQL: [[&str; 3]; 5] = [
    [
        "the group's port is cut off on the primary's host",
        "clients and the other hosts' agents still reach its server, whose commits wait; its agent hears the dispute and yields",
        "nobody reaches its server: MySQL's port is the group's. Its agent asks it as before, and lets go without a majority. The \
         election takes as long",
    ],
    [
        "a firewall there refuses connections to the group's port (TCP reset)",
        "MySQL's port answers: nothing is proven, 11–12 s",
        "MySQL's port refuses, so the member counts as proven dead, and the operator's patience is not kept: 6–7 s. The old primary is in \
         a minority and lets go by itself",
    ],
    [
        "clients are cut off from the primary's host, the group is not",
        "the agents can't ask each other's servers",
        "what lets the group through lets the agents through: they go on asking each other's servers",
    ],
    [
        "no connection is left",
        "the group has connections of its own",
        "the members' connections are among MySQL's (`SHOW PROCESSLIST`: `Group Replication Data Stream subscription`). Open ones stay, and \
         a member still joins (seen on 9.7.4)",
    ],
    [
        "another certificate; TLS wanted of everybody",
        "members join only with `group_replication_recovery_use_ssl = ON`: the default of 9.7.4, and not of 8.x",
        "that is so from the start; open connections between members go on with the certificate that they have",
    ],
];

/// What was seen with IPv6: the tests, what happens, and how it goes with an IPv6 VIP and with one in each family.
const WITH_IPV6: &[[&str; 4]] = &[
    [
        "`switchover`",
        "planned switchover",
        "as with IPv4",
        "both move, each by itself, some milliseconds apart",
    ],
    ["`kill_9`", "`kill -9` of the primary's mysqld", "as with IPv4", "as above"],
    ["`vip_removed_by_hand`", "the VIP is removed by hand", "back as with IPv4", "the other stays"],
    [
        "`agent_hung_then_switchover`",
        "the holder's agent hangs, another member becomes primary, and the agent goes on",
        "as with IPv4; what clients still have open with the old server is closed when the agent goes on",
        "as with IPv6",
    ],
    [
        "`holders_interface_set_down_and_up`",
        "the holder's interface is set down, and up again",
        "the kernel drops the VIP at once (an IPv4 one stays); the agent puts it back when the interface is up",
        "the IPv4 VIP stays, the IPv6 one comes back",
    ],
];

/// The page.
fn page() -> String {
    let mut text = String::from(
        "# What comes of each fault

Who holds the VIP, for how long nobody does, and why. Each row is shown on a real MySQL group with a real client by the tests that it
names: `lab test NAME`; with `lab --members 5` in a group of five. In all of them no acknowledged row is lost, and no two hosts hold the VIP together (with 30 % of the frames lost: 0.1 s at the most).
This page is written from the table in `crates/lab/src/end_to_end/outcomes.rs`. Elections with the procedures of `haipmgr sql`; without them add what MySQL needs.

| what happens | who holds the VIP | for how long nobody | why | shown by |
|---|---|---|---|---|
",
    );
    for Outcome { tests, fault, holds, nobody, why } in OUTCOMES {
        let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
        text.push_str(&format!("| {fault} | {holds} | {nobody} | {why} | {} |\n", tests.join(", ")));
    }
    text.push_str(
        "
## With the communication stack MYSQL
`lab --stack mysql test` shows every row above on a group whose members hear each other on MySQL's own port (InnoDB Cluster's default). Who holds the
VIP in the end is the same in each; this differs:

| what happens | with the stack XCOM | with the stack MYSQL |
|---|---|---|
",
    );
    for [fault, xcom, mysql] in WITH_MYSQL {
        text.push_str(&format!("| {fault} | {xcom} | {mysql} |\n"));
    }
    text.push_str(
        "
## With IPv6
`lab --family 6 test NAME` shows these rows with an IPv6 VIP and gateway, `lab --family both test NAME` with one VIP in each family, members' own addresses being IPv4. The other rows have not been shown with IPv6.

| shown by | what happens | an IPv6 VIP | one in each family |
|---|---|---|---|
",
    );
    for [tests, fault, alone, both] in WITH_IPV6 {
        text.push_str(&format!("| {tests} | {fault} | {alone} | {both} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use std::path::Path;

    use super::super::TESTS;
    use super::{OUTCOMES, page};

    #[test]
    fn every_end_to_end_test_has_its_row_and_every_row_its_test() {
        let named: Vec<&str> = OUTCOMES.iter().flat_map(|outcome| outcome.tests.iter().copied()).collect();
        let missing: Vec<&str> =
            TESTS.iter().map(|test| test.name).filter(|name| !named.contains(name)).collect();
        assert!(missing.is_empty(), "no row in outcomes.rs names {missing:?}");
        let unknown: Vec<&&str> =
            named.iter().filter(|name| !TESTS.iter().any(|test| test.name == **name)).collect();
        assert!(unknown.is_empty(), "outcomes.rs names tests that are not there: {unknown:?}");
    }

    #[test]
    fn the_page_of_faults_is_current() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, page()).expect("docs/faults.md can be written");
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == page(),
            "docs/faults.md is not current; type: UPDATE_DOCS=1 cargo test -p haipmgr-lab outcomes"
        );
    }
}
