//! The keys of a `[[cluster]]` table: one row each, for reading, defaults and documentation.

use super::{Key, Kind, LEASE, Presence, ms, s};
use crate::config::hook::Happening;

/// Every key of a cluster, in the order in which they are documented and printed.
pub(in crate::config) const CLUSTER: &[Key] = &[
    Key {
        name: "name",
        presence: Presence::Or("the MySQL port"),
        kind: Kind::Text(|draft| &mut draft.name),
        about: "What the cluster is called in the log.",
    },
    Key {
        name: "vip",
        presence: Presence::Needed,
        kind: Kind::Vip,
        about: "The virtual IP, IPv4 or IPv6. It is added as `/32` or `/128`, which does for every network. Whoever must have another prefix length \
                writes it after the address, `\"10.77.0.100/24\"`, here and in `[[cluster.vips]]`, the same on every host: docs/vips.md says \
                what that does, and where it is refused. No route comes with it.",
    },
    Key {
        name: "vips",
        presence: Presence::Or("none"),
        kind: Kind::FurtherVips,
        about: "Further VIPs, each in a table `[[cluster.vips]]`: `address`, `role` (`\"writer\"`, the default: on the primary; `\"reader\"`: on a \
                secondary that is fit to serve readers, docs/readers.md), `interface` where that is another than the members' (`\"eth1\"`, or one for each \
                member: `{ \"10.77.0.11\" = \"eth1\", … }`), `gateway`, its own one or `\"none\"` where none is to be asked for it (docs/vips.md), and \
                `lease`, both where they are not the cluster's. Each moves by itself. Their \
                switches are in the log; `stat_<port>` is the first VIP's, which is always the writer's.",
    },
    Key {
        name: "gateway",
        presence: Presence::Needed,
        kind: Kind::Address(|draft| &mut draft.gateway),
        about: "The segment's gateway, IPv4 or IPv6, link-local too. A host that can't reach it does not hold the VIP.",
    },
    Key {
        name: "mysql_port",
        presence: Presence::Needed,
        kind: Kind::Port(|draft| &mut draft.mysql_port),
        about: "MySQL's port, the same on all members. Names the files and the address's label, `interface:port`.",
    },
    Key {
        name: "group_port",
        presence: Presence::Or("none"),
        kind: Kind::Port(|draft| &mut draft.group_port),
        about: "The port of `group_replication_local_address`, the same on all members. Not needed, and with the communication stack MYSQL \
                (InnoDB Cluster's default) it is MySQL's own. The agent never connects to it: it is only kept apart from other clusters' ports.",
    },
    Key {
        name: "user",
        presence: Presence::Needed,
        kind: Kind::Text(|draft| &mut draft.user),
        about: "The MySQL account. `haipmgr sql --config FILE` prints the statements that create it.",
    },
    Key {
        name: "password_file",
        presence: Presence::OneOfThePasswords,
        kind: Kind::Path(|draft| &mut draft.password_file),
        about: "A file with the account's password as its only line. Other users must not be able to read it (mode 600, or \
                640 with root's or the agent's group).",
    },
    Key {
        name: "password",
        presence: Presence::OneOfThePasswords,
        kind: Kind::Secret(|draft| &mut draft.password),
        about: "The account's password itself. Other users must then not be able to read the configuration file, as above.",
    },
    Key {
        name: "password_credential",
        presence: Presence::OneOfThePasswords,
        kind: Kind::Text(|draft| &mut draft.password_credential),
        about: "The name of a systemd credential that holds the password: `LoadCredential=NAME:FILE` or \
                `LoadCredentialEncrypted=` in the unit.",
    },
    Key {
        name: "sleeptime",
        presence: Presence::Default,
        kind: Kind::Duration { least: s(1), most: s(3600), at: |draft| &mut draft.group.sleeptime },
        about: "Everything is checked again at least this often, even if no event was seen. `stat_<port>` goes \
                back to `1` after 20 of these, so keep it above 3s if a monitor reads that file every minute.",
    },
    Key {
        name: "install_path",
        presence: Presence::Needed,
        kind: Kind::Path(|draft| &mut draft.install_path),
        about: "The folder for `HAIPMGR_<port>.log`, `history_<port>.jsonl` and `stat_<port>`. It must exist.",
    },
    Key {
        name: "members",
        presence: Presence::Needed,
        kind: Kind::Members,
        about: "The table `[cluster.members]`: each member's address, IPv4 or IPv6, and the interface that has it and gets the \
                VIPs. The same on every host. For a VIP of the other family the interface needs an address of that family too: of IPv6 \
                the link-local one will do.",
    },
    Key {
        name: "socket",
        presence: Presence::Or("TCP to this member's address"),
        kind: Kind::Path(|draft| &mut draft.socket),
        about: "The local server's Unix socket file. For servers whose `bind_address` does not include this member's address.",
    },
    Key {
        name: "tls_ca",
        presence: Presence::Or("TLS where the server offers it, not verified"),
        kind: Kind::Path(|draft| &mut draft.tls_ca),
        about: "A file of CA certificates (PEM); the server's certificate must be signed by one of them. With this key, TLS is required.",
    },
    Key {
        name: "tls_cert",
        presence: Presence::Or("none"),
        kind: Kind::Path(|draft| &mut draft.tls_cert),
        about: "A file with the account's own certificate (PEM), and those between it and its authority: for an account with \
                `REQUIRE X509`, `SUBJECT` or `ISSUER`. Needs `tls_key`; TLS is required then. Not by `socket`, which has no TLS.",
    },
    Key {
        name: "tls_key",
        presence: Presence::Or("none"),
        kind: Kind::Path(|draft| &mut draft.tls_key),
        about: "The file with that certificate's private key (PEM, not encrypted). Other users must not be able to read it.",
    },
    Key {
        name: "lease",
        presence: Presence::Default,
        kind: Kind::DurationOr {
            word: "off",
            zero_is_word: true,
            least: LEASE.0,
            most: LEASE.1,
            at: |draft| &mut draft.limits.lease,
        },
        about: "How long the VIP stays after the agent last proved that it belongs here. If the agent is dead or hung, the \
                kernel drops the address by then (up to 1¼ s sooner, because it counts in whole seconds). Renewed every third of \
                it. `\"off\"` or 0: the VIP stays until it is removed. At least three `poll_interval`, and no more than the group takes to \
                replace a silent member: 5 s plus `group_replication_member_expel_timeout`.",
    },
    Key {
        name: "linger",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(0), most: s(3600), at: |draft| &mut draft.limits.linger },
        about: "How long the VIP stays here after the server has died, so that clients are refused at once instead of \
                waiting. Ends sooner when another host claims the VIP or a server is started here. 0: not at all.",
    },
    Key {
        name: "claim_wait",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(0), most: s(60), at: |draft| &mut draft.limits.claim_wait },
        about: "How long a former primary whose server is alive and takes no more writes keeps the VIP while no new primary claims it. While it still takes writes (a switchover whose target has a backlog) it keeps the VIP until it is claimed.",
    },
    Key {
        name: "hung_patience",
        presence: Presence::Default,
        kind: Kind::Duration { least: s(1), most: s(86_400), at: |draft| &mut draft.limits.hung_patience },
        about: "How long the VIP stays on a host whose server does not answer in time.",
    },
    Key {
        name: "refused_patience",
        presence: Presence::Default,
        kind: Kind::DurationOr {
            word: "unlimited",
            zero_is_word: false,
            least: s(1),
            most: s(86_400),
            at: |draft| &mut draft.limits.refused_patience,
        },
        about: "How long the VIP stays on a host whose server is alive but turns the agent away: wrong password, too many \
                connections, no privilege.",
    },
    Key {
        name: "poll_interval",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(10), most: s(60), at: |draft| &mut draft.group.poll_interval },
        about: "Time between two queries to the local server when all is well.",
    },
    Key {
        name: "alert_interval",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(1), most: s(60), at: |draft| &mut draft.group.alert_interval },
        about: "Time between two queries while a change is under way.",
    },
    Key {
        name: "alert_limit",
        presence: Presence::Default,
        kind: Kind::Duration { least: s(1), most: s(3600), at: |draft| &mut draft.group.alert_limit },
        about: "How long the agent queries every `alert_interval` at most, after the event that started it.",
    },
    Key {
        name: "evidence_age",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(100), most: s(60), at: |draft| &mut draft.group.evidence_age },
        about: "How old an answer may be when the VIP is started on it.",
    },
    Key {
        name: "connect_limit",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(50), most: s(60), at: |draft| &mut draft.connect_limit },
        about: "How long a connection to a server may take.",
    },
    Key {
        name: "query_limit",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(50), most: s(60), at: |draft| &mut draft.query_limit },
        about: "How long a server may take to answer a query.",
    },
    Key {
        name: "gateway_interval",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(20), most: s(60), at: |draft| &mut draft.gateway_interval },
        about: "Time between two probes of the gateway while it answers.",
    },
    Key {
        name: "gateway_misses",
        presence: Presence::Default,
        kind: Kind::Count { least: 2, most: 100, at: |draft| &mut draft.gateway_misses },
        about: "Unanswered probes in a row after which the gateway counts as lost. While it does not answer it is probed four times a second: 16 probes take 4 s. With fewer than 13, a cable that is away for 3 s moves the VIP.",
    },
    Key {
        name: "gateway_lost",
        presence: Presence::Default,
        kind: Kind::GatewayLost,
        about: "What the holder does when its gateway is lost. `\"release\"`: releases the VIP, because this host may be the one that is cut off. \
                `\"hold-with-majority\"`: keeps the VIP while its server is the primary and sees the majority of the group; for \
                sites where one router may go down for every host at once. To start the VIP the gateway must answer either way.",
    },
    Key {
        name: "read_only_primary",
        presence: Presence::Default,
        kind: Kind::ReadOnlyPrimary,
        about: "What the VIP means where the primary takes no writes (`super_read_only`), as in a group that is kept read-only on purpose: a \
                ClusterSet's replica cluster, or a group whose member action `mysql_disable_super_read_only_if_primary` is disabled. \
                `\"hold\"`: a holder keeps the VIP, and says so in an ERROR, because no other member takes writes either, and who only reads goes \
                on; a primary that is read-only never takes it. `\"release\"`: the same, but a holder releases it after `claim_wait`, for clients \
                that must not find a server that refuses their writes. `\"follow\"`: the VIP is on the primary whether that takes writes or \
                not; when the group becomes the one that takes writes, the VIP is there already.",
    },
    Key {
        name: "reader_max_behind",
        presence: Presence::Default,
        kind: Kind::ReaderMaxBehind,
        about: "How far a secondary may be behind and have reader VIPs (docs/readers.md): a number of transactions that wait in its applier \
                queue, the age of the transaction that it applied last (`\"30s\"`; counted only while others wait), or both (`[25000, \"30s\"]`): \
                then it is behind by either. 0: no limit. It is well again below half of it.",
    },
    Key {
        name: "reader_behind_for",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(0), most: s(3600), at: |draft| &mut draft.group.readers.behind_for },
        about: "How long a secondary has to be behind without a break before its reader VIPs are given to others.",
    },
    Key {
        name: "reader_well_for",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(0), most: s(3600), at: |draft| &mut draft.group.readers.well_for },
        about: "How long a host that was not fit to serve readers has to be fit again before it takes its share of the reader VIPs. Where no \
                other secondary is fit it has them at once.",
    },
    Key {
        name: "when_no_reader",
        presence: Presence::Default,
        kind: Kind::WhenNoReader,
        about: "Who has the reader VIPs while no secondary is fit. `\"primary\"`: the primary, so that readers are served. `\"nobody\"`: nobody, \
                so that the primary is spared. `\"any_online\"`: any member that is ONLINE in the majority, secondaries too however far they are behind.",
    },
    Key {
        name: "takeover_after",
        presence: Presence::Or("`\"off\"`"),
        kind: Kind::DurationOr {
            word: "off",
            zero_is_word: true,
            least: s(10),
            most: s(86_400),
            at: |draft| &mut draft.limits.takeover_after,
        },
        about: "How long another member's host may answer for the VIP without yielding before the primary's host takes it anyway, \
                unless that member's server is shown to be the primary. For hosts without an agent. Two hosts then answer for the VIP \
                until somebody removes it there. At least 2s more than `lease`.",
    },
    Key {
        name: "probe_count",
        presence: Presence::Default,
        kind: Kind::Count { least: 1, most: 20, at: |draft| &mut draft.limits.probe_count },
        about: "How many ARP probes in a row must stay unanswered before the VIP is taken.",
    },
    Key {
        name: "probe_spacing",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(5), most: s(2), at: |draft| &mut draft.limits.probe_spacing },
        about: "Time between two of these probes.",
    },
    Key {
        name: "probe_spacing_when_taken",
        presence: Presence::Default,
        kind: Kind::Duration {
            least: ms(5),
            most: s(60),
            at: |draft| &mut draft.limits.probe_spacing_when_taken,
        },
        about: "Time between two probes after another host has answered for the VIP for some time.",
    },
    Key {
        name: "own_answer_limit",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(10), most: s(10), at: |draft| &mut draft.limits.own_answer_limit },
        about: "In a dispute over the VIP, how long the holder's own server may take to answer before the claimant's server alone decides.",
    },
    Key {
        name: "dispute_limit",
        presence: Presence::Default,
        kind: Kind::Duration { least: ms(50), most: s(60), at: |draft| &mut draft.limits.dispute_limit },
        about: "In a dispute, how long a holder that can prove nothing waits before it yields.",
    },
    Key {
        name: "announce_interval",
        presence: Presence::Default,
        kind: Kind::Duration {
            least: s(1),
            most: s(86_400),
            at: |draft| &mut draft.limits.announce_interval,
        },
        about: "Time between two announcements (gratuitous ARP) while the VIP is held, after the first few.",
    },
    Key {
        name: "wake_expel",
        presence: Presence::Default,
        kind: Kind::Switch(|draft| &mut draft.group.wake_expel),
        about: "Once a member has been UNREACHABLE for MySQL's own `group_replication_member_expel_timeout`, tell the group to \
                expel it now; by itself the group checks only every 15 s. Needs the procedures that `haipmgr sql` prints.",
    },
    Key {
        name: "proven_dead",
        presence: Presence::Default,
        kind: Kind::Switch(|draft| &mut draft.group.proven_dead),
        about: "Have an UNREACHABLE member expelled at once when its host refuses connections to the MySQL port, which was \
                open before: the process is gone. `group_replication_member_expel_timeout` is set to 0 for that time, and then put back. \
                Needs the same procedures.",
    },
    Key {
        name: "silent_host",
        presence: Presence::Default,
        kind: Kind::SilentHost,
        about: "What is done about an UNREACHABLE member whose host is silent on the VIP's network too. `\"wait\"`: it keeps the patience of \
                `group_replication_member_expel_timeout`. `\"expel\"`: it is expelled at once, so that a host without power is replaced 5 s \
                sooner: when it has answered no ARP question for 3.5 s, its MySQL port does not answer either, and a majority of the group, \
                this host in it, is heard in the group and by ARP. The members are asked for their addresses each second then. A host that \
                is away for more than 5 s and comes back by itself (a switch that restarts, a virtual machine that is being moved) is \
                expelled too. The lease must end within 5 s then; the default lease is shortened. Needs the same procedures.",
    },
    Key {
        name: "fence_command",
        presence: Presence::Or("none"),
        kind: Kind::Command(|draft| &mut draft.fence_command),
        about: "A program, with its first arguments, that switches a host off and succeeds (exit status 0) only when that host is \
                certainly off. It is run for a primary that is UNREACHABLE and has neither answered nor refused at its MySQL port for \
                0.2 s, with two more arguments: the member's address and its name. Each surviving host runs it, so it may be run twice.",
    },
    Key {
        name: "fence_limit",
        presence: Presence::Default,
        kind: Kind::Duration { least: s(1), most: s(300), at: |draft| &mut draft.fence_limit },
        about: "How long `fence_command` may take; after that it is stopped and counts as failed.",
    },
    Key {
        name: "on_acquire",
        presence: Presence::Or("none"),
        kind: Kind::Hook(Happening::OnAcquire),
        about: "What is run when a VIP has come to this host and stayed for 0.7 s (docs/hooks.md): a program and its arguments, which is told by its \
                environment and its standard input, or a web address that is sent the same by POST. The VIP is up before it is run, and \
                nothing waits for it.",
    },
    Key {
        name: "on_release",
        presence: Presence::Or("none"),
        kind: Kind::Hook(Happening::OnRelease),
        about: "The same when a VIP has left this host.",
    },
    Key {
        name: "on_conflict",
        presence: Presence::Or("none"),
        kind: Kind::Hook(Happening::OnConflict),
        about: "The same when a host that has no business with it uses a VIP, or answers for it.",
    },
    Key {
        name: "on_trouble",
        presence: Presence::Or("none"),
        kind: Kind::Hook(Happening::OnTrouble),
        about: "The same when the log gets a line with the level ERROR about how the cluster or a VIP stands.",
    },
    Key {
        name: "hook_limit",
        presence: Presence::Default,
        kind: Kind::Duration { least: s(1), most: s(300), at: |draft| &mut draft.hook_limit },
        about: "How long each of these may take; after that a program is ended, with all that it started, and counts as failed.",
    },
    Key {
        name: "hook_ca",
        presence: Presence::Or("those that the host trusts, `/etc/ssl/certs`"),
        kind: Kind::Path(|draft| &mut draft.hook_ca),
        about: "A file of CA certificates (PEM) in their place: the certificate of an `https://` hook must be signed by one of these.",
    },
    Key {
        name: "decision_trace",
        presence: Presence::Default,
        kind: Kind::DecisionTrace,
        about: "Which decisions are recorded for `haipmgr replay`: `\"switches\"` (those around a switch), `\"all\"` or `\"off\"`.",
    },
];
