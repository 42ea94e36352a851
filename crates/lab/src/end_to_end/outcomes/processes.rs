//! What is to come of faults: mysqld or the agent hangs, dies, is stopped or started; the VIP is removed.

use super::{NEW, Outcome, SAME, row};

/// In the order of the page.
pub(super) const ROWS: &[Outcome] = &[
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
];
