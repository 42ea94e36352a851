//! The misconfigurations that are planted: the line that is to find each, and how it is planted and put back.

use Deed::{Here, Primary, Shell};

/// How something is planted, and put back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// On the server of the host where the command is typed, a secondary's.
    Here(&'static str),
    /// On the primary; the group carries it to the others where it is about accounts.
    Primary(&'static str),
    /// In the shell of the host where the command is typed.
    Shell(&'static str),
}

/// The line's name, its level, how it is planted, how it is put back.
pub(super) type Planted = (&'static str, &'static str, Deed, Deed);

/// On servers.
pub(super) const SETTINGS: &[Planted] = &[
    (
        "autorejoin",
        "advice",
        Here("SET GLOBAL group_replication_autorejoin_tries = 0"),
        Here("SET GLOBAL group_replication_autorejoin_tries = DEFAULT"),
    ),
    (
        "consistency",
        "advice",
        Here("SET GLOBAL group_replication_consistency = 'EVENTUAL'"),
        Here("SET GLOBAL group_replication_consistency = DEFAULT"),
    ),
    (
        "same-consistency",
        "advice",
        Here("SET GLOBAL group_replication_consistency = 'BEFORE'"),
        Here("SET GLOBAL group_replication_consistency = DEFAULT"),
    ),
    (
        "exit-state-action",
        "advice",
        Here("SET GLOBAL group_replication_exit_state_action = 'READ_ONLY'"),
        Here("SET GLOBAL group_replication_exit_state_action = DEFAULT"),
    ),
    (
        "same-exit-state-action",
        "advice",
        Here("SET GLOBAL group_replication_exit_state_action = 'ABORT_SERVER'"),
        Here("SET GLOBAL group_replication_exit_state_action = DEFAULT"),
    ),
    (
        "expel-timeout",
        "advice",
        Here("SET GLOBAL group_replication_member_expel_timeout = 60"),
        Here("SET GLOBAL group_replication_member_expel_timeout = DEFAULT"),
    ),
    (
        "same-expel-timeout",
        "advice",
        Here("SET GLOBAL group_replication_member_expel_timeout = 6"),
        Here("SET GLOBAL group_replication_member_expel_timeout = DEFAULT"),
    ),
    (
        "majority-timeout",
        "advice",
        Here("SET GLOBAL group_replication_unreachable_majority_timeout = 2"),
        Here("SET GLOBAL group_replication_unreachable_majority_timeout = DEFAULT"),
    ),
    (
        "bootstrap",
        "problem",
        Here("SET GLOBAL group_replication_bootstrap_group = ON"),
        Here("SET GLOBAL group_replication_bootstrap_group = OFF"),
    ),
    (
        "member-action",
        "problem",
        Primary(
            "SELECT group_replication_disable_member_action('mysql_disable_super_read_only_if_primary', 'AFTER_PRIMARY_ELECTION')",
        ),
        Primary(
            "SELECT group_replication_enable_member_action('mysql_disable_super_read_only_if_primary', 'AFTER_PRIMARY_ELECTION')",
        ),
    ),
    (
        "primary",
        "problem",
        Primary("SET GLOBAL super_read_only = ON"),
        Primary("SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF"),
    ),
    (
        "expel-timeout-kept",
        "problem",
        Shell("echo 5 > /var/lib/haipmgr/expel_timeout_3306"),
        Shell("rm -f /var/lib/haipmgr/expel_timeout_3306"),
    ),
];

/// In the account's rights.
pub(super) const ACCOUNT: &[Planted] = &[
    (
        "grant-select",
        "problem",
        Primary("REVOKE SELECT ON performance_schema.* FROM 'haip'@'%'"),
        Primary("GRANT SELECT ON performance_schema.* TO 'haip'@'%'"),
    ),
    (
        "grant-wake-expel",
        "advice",
        Primary("REVOKE EXECUTE ON PROCEDURE haipmgr.wake_expel FROM 'haip'@'%'"),
        Primary("GRANT EXECUTE ON PROCEDURE haipmgr.wake_expel TO 'haip'@'%'"),
    ),
    (
        "grant-expel-unreachable-now",
        "advice",
        Primary("REVOKE EXECUTE ON PROCEDURE haipmgr.expel_unreachable_now FROM 'haip'@'%'"),
        Primary("GRANT EXECUTE ON PROCEDURE haipmgr.expel_unreachable_now TO 'haip'@'%'"),
    ),
    (
        "grant-restore-expel-timeout",
        "advice",
        Primary("REVOKE EXECUTE ON PROCEDURE haipmgr.restore_expel_timeout FROM 'haip'@'%'"),
        Primary("GRANT EXECUTE ON PROCEDURE haipmgr.restore_expel_timeout TO 'haip'@'%'"),
    ),
    (
        "grant-make-primary",
        "advice",
        Primary("REVOKE EXECUTE ON PROCEDURE haipmgr.make_primary FROM 'haip'@'%'"),
        Primary("GRANT EXECUTE ON PROCEDURE haipmgr.make_primary TO 'haip'@'%'"),
    ),
    (
        "grant-changed-rows",
        "advice",
        Primary("REVOKE EXECUTE ON PROCEDURE haipmgr.changed_rows FROM 'haip'@'%'"),
        Primary("GRANT EXECUTE ON PROCEDURE haipmgr.changed_rows TO 'haip'@'%'"),
    ),
    (
        "grant-shorten-checkpoint-period",
        "advice",
        Primary("REVOKE EXECUTE ON PROCEDURE haipmgr.shorten_checkpoint_period FROM 'haip'@'%'"),
        Primary("GRANT EXECUTE ON PROCEDURE haipmgr.shorten_checkpoint_period TO 'haip'@'%'"),
    ),
    (
        "grant-restore-checkpoint-period",
        "advice",
        Primary("REVOKE EXECUTE ON PROCEDURE haipmgr.restore_checkpoint_period FROM 'haip'@'%'"),
        Primary("GRANT EXECUTE ON PROCEDURE haipmgr.restore_checkpoint_period TO 'haip'@'%'"),
    ),
    (
        "grant-xa-recover",
        "advice",
        Primary("REVOKE XA_RECOVER_ADMIN ON *.* FROM 'haip'@'%'"),
        Primary("GRANT XA_RECOVER_ADMIN ON *.* TO 'haip'@'%'"),
    ),
    (
        "definer",
        "advice",
        Primary("REVOKE PROCESS ON *.* FROM 'haipmgr_definer'@'localhost'"),
        Primary("GRANT PROCESS ON *.* TO 'haipmgr_definer'@'localhost'"),
    ),
    (
        "definer",
        "problem",
        Primary("RENAME USER 'haipmgr_definer'@'localhost' TO 'gone'@'localhost'"),
        Primary("RENAME USER 'gone'@'localhost' TO 'haipmgr_definer'@'localhost'"),
    ),
];

/// On the host.
pub(super) const HOST: &[Planted] = &[
    (
        "arp-ignore",
        "problem",
        Shell("echo 8 > /proc/sys/net/ipv4/conf/eth0/arp_ignore"),
        Shell("echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_ignore"),
    ),
    (
        "arp-filter",
        "advice",
        Shell("echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_filter"),
        Shell("echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_filter"),
    ),
    (
        "proxy-arp",
        "problem",
        Shell("echo 1 > /proc/sys/net/ipv4/conf/eth0/proxy_arp"),
        Shell("echo 0 > /proc/sys/net/ipv4/conf/eth0/proxy_arp"),
    ),
    (
        "rp-filter",
        "advice",
        Shell(
            "ip link add eth7 type bridge && ip link set eth7 up && ip route del default && ip route add default dev eth7 && echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter",
        ),
        Shell(
            "echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter; ip link del eth7; ip route replace default via 10.77.0.254 dev eth0 proto static",
        ),
    ),
    (
        "vip-elsewhere",
        "problem",
        Shell(
            "mkdir -p /etc/keepalived && echo 'virtual_ipaddress { 10.77.0.100/24 fd77::100/64 }' > /etc/keepalived/keepalived.conf",
        ),
        Shell("rm -r /etc/keepalived"),
    ),
    (
        "other-mover",
        "advice",
        Shell(
            "mkdir -p /tmp/mover && cp \"$(command -v sleep)\" /tmp/mover/keepalived && { /tmp/mover/keepalived 60 </dev/null >/dev/null 2>&1 & echo $! > /tmp/mover/pid; }",
        ),
        Shell("kill \"$(cat /tmp/mover/pid)\"; rm -r /tmp/mover"),
    ),
];

/// Another configuration: what is replaced in the lab's own, by what.
pub(super) type Miswritten = (&'static str, &'static str, &'static str, &'static str);

/// In the file.
pub(super) const FILES: &[Miswritten] = &[
    ("gateway", "problem", "\"10.77.0.254\"", "\"10.77.0.253\""),
    ("this-host", "problem", "\"10.77.0.254\"", "\"10.99.0.254\""),
    ("lease", "problem", "install_path", "lease = \"20s\"\ninstall_path"),
    ("lease", "advice", "install_path", "lease = \"off\"\ninstall_path"),
    ("members-in-file", "problem", "\"10.77.0.13\" = \"eth0\"\n", ""),
    (
        "members-in-group",
        "problem",
        "\"10.77.0.13\" = \"eth0\"\n",
        "\"10.77.0.13\" = \"eth0\"\n\"10.77.0.19\" = \"eth0\"\n",
    ),
    ("login", "problem", "mysql_port    = 3306", "mysql_port    = 3399"),
];
