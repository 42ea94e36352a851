//! What differs with the communication stack MYSQL, and with IPv6.

/// What differs where the group's communication stack is MYSQL: the fault, with XCOM, with MYSQL.
pub(super) const WITH_MYSQL: [[&str; 3]; 5] = [
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

/// What differs with an IPv6 VIP: a test, and what comes of its fault.
pub(super) const WITH_IPV6: &[(&str, &str)] = &[
    (
        "holders_interface_set_down_and_up",
        "the kernel drops the VIP at once (an IPv4 one stays); the agent puts it back when the interface is up",
    ),
    (
        "agent_hung_then_switchover",
        "same; connections with the old server live on at an address that is gone, until its agent goes on and closes them",
    ),
];

/// What was seen with one VIP in each family: the tests, what happens, and how it goes.
pub(super) const IN_BOTH_FAMILIES: &[[&str; 3]] = &[
    ["`switchover`", "planned switchover", "both move, each by itself, some milliseconds apart"],
    ["`kill_9`", "`kill -9` of the primary's mysqld", "as above"],
    ["`vip_removed_by_hand`", "the VIP is removed by hand", "the other stays"],
    [
        "`agent_hung_then_switchover`",
        "the holder's agent hangs, another member becomes primary, and the agent goes on",
        "each as by itself",
    ],
    [
        "`holders_interface_set_down_and_up`",
        "the holder's interface is set down, and up again",
        "the IPv4 VIP stays, the IPv6 one comes back",
    ],
];
