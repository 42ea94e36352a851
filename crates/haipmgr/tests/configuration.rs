//! What a person sees who writes a TOML file: what is accepted, what it means, and what each fault is called.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod written;

use std::path::{Path, PathBuf};
use std::time::Duration;

use decide::net::VipId;
use decide::policy::{GatewayLost, ReaderPolicy, VipGateway, VipRole, WhenNoReader};
use haipmgr::config::{Config, DecisionTrace, Source, convert, load};
use written::*;

#[test]
fn the_file_of_the_design_guide_is_accepted() {
    let (written, config) = loaded("haipmgr.toml", TOML);
    assert_eq!(config.source, Source::Toml);
    assert_eq!(config.lock, PathBuf::from("/run/haipmgr/haipmgr.lock"));
    assert!(config.remarks.is_empty());
    let cluster = only(&config);
    assert_eq!(cluster.name, "orders");
    assert_eq!(cluster.policy.vips[&VipId::FIRST].address, address("10.77.0.100"));
    assert_eq!(cluster.gateway, address("10.77.0.254"));
    assert_eq!((cluster.mysql_port, cluster.group_port), (3306, Some(33061)));
    assert_eq!((cluster.user.as_str(), cluster.password.reveal()), ("haip", "KRj$r748Lf"));
    assert_eq!(cluster.policy.group.members.get(&address("10.77.0.12")).unwrap(), "eth0");
    assert_eq!(cluster.policy.group.members.len(), 3);
    assert_eq!(cluster.log_file(), written.folder.path().join("HAIPMGR_3306.log"));
    assert_eq!(cluster.stat_file(), written.folder.path().join("stat_3306"));
    assert_eq!(cluster.stat_shown_for(), Duration::from_secs(140));
    assert!(cluster.policy.vips[&VipId::FIRST].lease.is_some());
}

const EVERY_OPTIONAL_KEY: &str = r#"
lease = "10s"
linger = "off"
claim_wait = 0
hung_patience = "1m"
refused_patience = "2h"
poll_interval = 0.25
alert_interval = "20ms"
alert_limit = "10s"
evidence_age = "2s"
connect_limit = "300ms"
query_limit = "400ms"
gateway_interval = "100ms"
gateway_misses = 7
gateway_lost = "hold-with-majority"
takeover_after = "30s"
probe_count = 4
probe_spacing = "30ms"
probe_spacing_when_taken = "300ms"
own_answer_limit = "150ms"
dispute_limit = "600ms"
announce_interval = "30s"
reader_max_behind = [100, "5s"]
reader_behind_for = "0s"
reader_well_for = "3s"
when_no_reader = "any_online"
decision_trace = "all"
socket = "/run/mysqld/mysqld.sock"
[cluster.members]"#;

#[test]
fn every_optional_key_is_taken() {
    let (_written, config) = loaded(
        "haipmgr.toml",
        &("lock = \"/x/y.lock\"\ndrain_on_shutdown = false\nlisten = \"[::1]:9640\"\n".to_owned()
            + &TOML.replace("[cluster.members]", EVERY_OPTIONAL_KEY)),
    );
    let cluster = only(&config);
    let policy = &cluster.policy;
    let millis = Duration::from_millis;
    assert_eq!(config.lock, PathBuf::from("/x/y.lock"));
    assert!(!config.drain_on_shutdown);
    assert_eq!(config.listen.as_ref().map(|listen| listen.at.to_string()).as_deref(), Some("[::1]:9640"));
    assert_eq!(policy.vips[&VipId::FIRST].lease, Some(millis(10_000)));
    assert_eq!(
        (policy.vips[&VipId::FIRST].linger, policy.vips[&VipId::FIRST].claim_wait),
        (Duration::ZERO, Duration::ZERO)
    );
    assert_eq!(
        (policy.vips[&VipId::FIRST].hung_patience, policy.vips[&VipId::FIRST].refused_patience),
        (millis(60_000), Some(millis(7_200_000)))
    );
    assert_eq!(
        (policy.group.poll_interval, policy.group.alert_interval, policy.group.alert_limit),
        (millis(250), millis(20), millis(10_000))
    );
    assert_eq!(
        (policy.group.evidence_age, cluster.connect_limit, cluster.query_limit),
        (millis(2000), millis(300), millis(400))
    );
    assert_eq!((cluster.gateway_interval, cluster.gateway_misses), (millis(100), 7));
    assert_eq!(
        (policy.vips[&VipId::FIRST].gateway_lost, policy.vips[&VipId::FIRST].takeover_after),
        (GatewayLost::HoldWithMajority, Some(millis(30_000)))
    );
    assert_eq!(
        (
            policy.vips[&VipId::FIRST].probe_count,
            policy.vips[&VipId::FIRST].probe_spacing,
            policy.vips[&VipId::FIRST].probe_spacing_when_taken
        ),
        (4, millis(30), millis(300))
    );
    assert_eq!(
        (policy.vips[&VipId::FIRST].own_answer_limit, policy.vips[&VipId::FIRST].dispute_limit),
        (millis(150), millis(600))
    );
    assert_eq!(
        (policy.vips[&VipId::FIRST].announce_interval, cluster.decision_trace),
        (millis(30_000), DecisionTrace::All)
    );
    let readers = ReaderPolicy {
        max_transactions: Some(100),
        max_age: Some(millis(5_000)),
        behind_for: Duration::ZERO,
        well_for: millis(3_000),
        when_none: WhenNoReader::AnyOnline,
    };
    assert_eq!(policy.group.readers, readers);
    assert_eq!(cluster.socket.as_deref(), Some(Path::new("/run/mysqld/mysqld.sock")));
}

#[test]
fn no_lease_can_be_written_as_off_or_as_zero() {
    for off in ["\"off\"", "0", "\"0s\""] {
        let (_written, config) = loaded(
            "haipmgr.toml",
            &TOML.replace("[cluster.members]", &format!("lease = {off}\n[cluster.members]")),
        );
        assert_eq!(only(&config).policy.vips[&VipId::FIRST].lease, None, "{off}");
    }
}

#[test]
fn a_cluster_may_have_vips_members_and_gateway_of_either_family_and_several_vips() {
    let text = TOML.replace("10.77.0.254", "fe80::1").replace("10.77.0.12", "fd77::12")
        + "[[cluster.vips]]\naddress = \"fd77::100\"\n[[cluster.vips]]\naddress = \"10.77.0.101/32\"\nrole = \"writer\"\nlease = \"off\"\n";
    let (_written, config) = loaded("haipmgr.toml", &text);
    let cluster = only(&config);
    let vips: Vec<_> = cluster.policy.vips.iter().map(|(id, vip)| (id.0, vip.address, vip.lease)).collect();
    let ten = Some(Duration::from_secs(10));
    let wanted = [("10.77.0.100", ten), ("fd77::100", ten), ("10.77.0.101", None)];
    let wanted: Vec<_> = (0..).zip(wanted).map(|(id, (vip, lease))| (id, address(vip), lease)).collect();
    assert_eq!(vips, wanted);
    assert_eq!(cluster.gateway, address("fe80::1"));
    assert!(cluster.policy.group.members.contains_key(&address("fd77::12")));

    for (what, by, words) in [
        ("fd77::100", "10.77.0.100", "10.77.0.100 is there twice"),
        ("fd77::100", "10.77.0.13", "the VIP and a member's own address"),
        ("fd77::100", "fd77::100/129", "address: \"/129\" is no prefix length of fd77::100"),
        ("\"writer\"", "\"lector\"", "\"lector\" is no role; write \"writer\""),
        ("\"writer\"", "7", "role: this is a whole number; write \"writer\""),
        ("\"off\"", "\"1s\"", "lease: 1s is out of range"),
        ("address = \"10.77", "adress = \"10.77", "did you mean \"address\"?"),
        ("role", "rolle", "did you mean \"role\"?"),
        ("[[cluster.vips]]\naddress = \"fd", "[cluster.vips]\naddress = \"fd", "not TOML"),
    ] {
        let problems = refused("haipmgr.toml", &text.replacen(what, by, 1));
        assert!(problems.iter().any(|problem| problem.contains(words)), "{what} -> {by}: {problems:#?}");
    }
    let roles = |config: &Config| only(config).policy.vips.values().map(|vip| vip.role).collect::<Vec<_>>();
    assert_eq!(roles(&config), [VipRole::Writer; 3]);
    let (_written, config) = loaded("haipmgr.toml", &text.replacen("\"writer\"", "\"reader\"", 1));
    assert_eq!(roles(&config), [VipRole::Writer, VipRole::Writer, VipRole::Reader]);
    let one = TOML.to_owned() + "[cluster.vips]\naddress = \"fd77::100\"\n";
    assert!(refused("haipmgr.toml", &one).join("").contains("write [[cluster.vips]]"));
}

#[test]
fn a_vip_may_have_another_prefix_length_and_only_the_one_that_names_it_has_it() {
    let text = TOML.replace("10.77.0.100/32", "10.77.0.100/24")
        + "[[cluster.vips]]\naddress = \"fd77::100/64\"\n[[cluster.vips]]\naddress = \"10.77.0.101\"\n[[cluster.vips]]\naddress = \"10.77.0.102/32\"\n";
    let (_written, config) = loaded("haipmgr.toml", &text);
    let vips = only(&config).policy.vips.values();
    let lengths: Vec<_> = vips.map(|vip| (vip.prefix, vip.prefix_length())).collect();
    assert_eq!(lengths, [(Some(24), 24), (Some(64), 64), (None, 32), (None, 32)]);
}

#[test]
fn a_vip_may_have_an_interface_of_its_own_for_all_hosts_or_for_each() {
    let with = |interface: &str| {
        let vip = "[[cluster.vips]]\naddress = \"10.78.0.100\"\ngateway = \"10.78.0.254\"\n";
        format!("{TOML}{vip}interface = {interface}\n")
    };
    let interfaces = |text: &str| {
        let (_written, config) = loaded("haipmgr.toml", &with(text));
        let policy = &only(&config).policy;
        assert!(policy.vips[&VipId::FIRST].interfaces.is_empty());
        policy.vips[&VipId(1)].interfaces.clone()
    };
    let members = ["10.77.0.11", "10.77.0.12", "10.77.0.13"].map(address);
    let named = |names: [&str; 3]| members.into_iter().zip(names.map(str::to_owned)).collect();
    assert_eq!(interfaces("\"eth1\""), named(["eth1"; 3]));
    let each = "{ \"10.77.0.11\" = \"eth1\", \"10.77.0.12\" = \"eth1.5\", \"10.77.0.13\" = \"bond1\" }";
    assert_eq!(interfaces(each), named(["eth1", "eth1.5", "bond1"]));
    for (given, words) in [
        ("1", "interface: this is a whole number; write the interface's name in quotes"),
        ("\"lo\"", "lo is the loopback"),
        ("\"a-name-too-long-for-linux\"", "interface: "),
        ("{}", "it names nothing"),
        ("{ \"10.77.0.11\" = \"eth1\" }", "interface: 10.77.0.12 is missing"),
        (&each.replace(" }", ", \"10.77.0.19\" = \"eth1\" }"), "10.77.0.19 is no member"),
        (&each.replace("\"eth1\"", "1"), "member 10.77.0.11: this is a whole number"),
        ("\"eth1\"\nrole = \"reader\"", "a VIP for readers is on the interface that `members` names"),
    ] {
        let problems = refused("haipmgr.toml", &with(given));
        assert!(problems.iter().any(|problem| problem.contains(words)), "{given}: {problems:#?}");
    }
    let beside = "[[cluster.vips]]\naddress = \"10.77.0.101\"\ngateway = \"10.78.0.254\"\n";
    let problems = refused("haipmgr.toml", &(with("\"eth1\"") + beside));
    let words = "different interfaces name the same gateway";
    assert!(problems.iter().any(|problem| problem.contains(words)), "{problems:#?}");
}

#[test]
fn a_vip_may_have_a_gateway_of_its_own_or_none() {
    let text = TOML.to_owned()
        + "[[cluster.vips]]\naddress = \"10.77.0.101\"\ngateway = \"10.78.0.254\"\n[[cluster.vips]]\naddress = \"10.77.0.102\"\n\
           gateway = \"none\"\n[[cluster.vips]]\naddress = \"10.77.0.103\"\ngateway = \"10.77.0.254\"\n";
    let (_written, config) = loaded("haipmgr.toml", &text);
    let policy = &only(&config).policy;
    let gateways: Vec<_> = policy.vips.values().map(|vip| vip.gateway).collect();
    let own = VipGateway::Own(address("10.78.0.254"));
    let wanted = [VipGateway::TheClusters, own, VipGateway::Nobody, VipGateway::TheClusters];
    assert_eq!(gateways, wanted, "the last names the cluster's");
    assert_eq!(policy.own_gateways(), [address("10.78.0.254")].into());
    for (by, words) in [
        ("\"nobody\"", "\"nobody\" is not an IP address"),
        ("\"nobody\"", "or \"none\": no gateway is asked"),
        ("0", "gateway: this is a whole number; write the gateway's address in quotes, or \"none\""),
        ("\"10.77.0.102\"", "gateway: 10.77.0.102 is a VIP"),
        ("\"10.77.0.12\"", "gateway: 10.77.0.12 is a member"),
    ] {
        let problems = refused("haipmgr.toml", &text.replace("\"10.78.0.254\"", by));
        assert!(problems.iter().any(|problem| problem.contains(words)), "{by}: {problems:#?}");
    }
}

/// What is replaced by what; where the fault is told; words that are in it.
const FAULTS: &[(&str, &str, &str, &[&str])] = &[
    ("\"7s\"", "\"7s", "10:", &["not TOML"]),
    ("sleeptime ", "sleptime ", "10:1:", &["unknown key \"sleptime\"", "did you mean \"sleeptime\"?"]),
    ("gateway ", "ip_gateway ", "5:1:", &["parameter.py's name", "\"gateway\""]),
    ("user          = \"haip\"", "", "2:1:", &["cluster orders", "\"user\" is missing"]),
    ("[[cluster]]", "lok = 1\n[[cluster]]", "2:1:", &["unknown key \"lok\"", "did you mean \"lock\"?"]),
    ("[[cluster]]", "vip = 1\n[[cluster]]", "2:1:", &["\"vip\" belongs to a cluster", "[[cluster]]"]),
    ("[[cluster]]", "lock = \"x\"\n[[cluster]]", "2:8:", &["lock", "whole path"]),
    ("[[cluster]]", "drain_on_shutdown = 1\n[[cluster]]", "2:21:", &["drain_on_shutdown", "true or false"]),
    (
        "sleeptime ",
        "drain_on_shutdown = true\nsleeptime ",
        "10:1:",
        &["for the whole file", "above the first [[cluster]]"],
    ),
    (
        "[[cluster]]",
        "listen = 9640\n[[cluster]]",
        "2:10:",
        &["listen: this is a whole number", "\"127.0.0.1:9640\""],
    ),
    ("[[cluster]]", "listen = \"localhost:9640\"\n[[cluster]]", "2:10:", &["is no address with a port"]),
    ("[[cluster]]", "listen = \"127.0.0.1:0\"\n[[cluster]]", "2:10:", &["is no address with a port"]),
    (
        "[[cluster]]",
        "listen = \"10.77.0.11:9640\"\n[[cluster]]",
        "2:10:",
        &["no loopback address", "listen_beyond_this_host = true"],
    ),
    (
        "[[cluster]]",
        "listen_beyond_this_host = true\nlisten = \"[::]:9640\"\n[[cluster]]",
        "3:10:",
        &["other hosts can ask there", "listen_tls_cert", "listen_token_file"],
    ),
    ("[[cluster]]", "listen_beyond_this_host = 1\n[[cluster]]", "2:27:", &["true or false"]),
    (
        "[[cluster]]",
        "listen_token_file = \"/t\"\n[[cluster]]",
        "2:21:",
        &["there is no \"listen\"", "listen = \"127.0.0.1:9640\""],
    ),
    (
        "[[cluster]]",
        "listen = \"127.0.0.1:9640\"\nlisten_tls_cert = \"/c\"\n[[cluster]]",
        "3:19:",
        &["listen_tls_cert", "write listen_tls_key too"],
    ),
    (
        "[[cluster]]",
        "listen = \"127.0.0.1:9640\"\nlisten_tls_key = \"key\"\n[[cluster]]",
        "3:18:",
        &["listen_tls_key", "whole path"],
    ),
    (
        "[[cluster]]",
        "listen = \"127.0.0.1:9640\"\nlisten_token_file = \"/nowhere/token\"\n[[cluster]]",
        "3:21:",
        &["listen_token_file", "/nowhere/token can't be read"],
    ),
    ("= 3306", "= \"3306\"", "6:17:", &["mysql_port: this is text", "without quotes"]),
    ("= 3306", "= 0", "6:17:", &["mysql_port", "out of range", "1 to 65535"]),
    ("= 33061", "= 133061", "7:17:", &["group_port", "out of range"]),
    (
        "10.77.0.100/32",
        "10.77.0.100/0",
        "4:17:",
        &["\"/0\" is no prefix length", "write \"10.77.0.100\" alone"],
    ),
    ("10.77.0.100/32", "10.77.0.100/33", "4:17:", &["\"/33\" is no prefix length", "from /1 to /32"]),
    ("10.77.0.100/32", "10.77.0.100/+24", "4:17:", &["\"/+24\" is no prefix length"]),
    ("10.77.0.100/32", "10.77.0.100/255.255.255.0", "4:17:", &["is no prefix length", "from /1 to /32"]),
    (
        "10.77.0.100/32",
        "10.77.0.255/24",
        "4:17:",
        &["the broadcast address of its own network", "\"10.77.0.255/32\""],
    ),
    ("10.77.0.100/32", "10.77.0.0/24", "4:17:", &["the network address of its own network"]),
    ("10.77.0.100/32", "db-vip", "4:17:", &["\"db-vip\" is not an IP address", "not a host name"]),
    ("10.77.0.100/32", "10.77.0.12", "14:1:", &["the VIP and a member's own address"]),
    ("10.77.0.100/32", "10.77.0.254", "4:1:", &["the VIP and the gateway"]),
    ("10.77.0.100/32", "127.0.0.1", "4:17:", &["not an address that a host on the network can have"]),
    ("10.77.0.100/32", "fd77::100/129", "4:17:", &["\"/129\" is no prefix length", "from /1 to /128"]),
    ("10.77.0.100/32", "fe80::100", "4:17:", &["link-local"]),
    ("10.77.0.254", "10.77.0.13", "5:1:", &["the gateway and a member"]),
    ("\"10.77.0.11\" =", "\"db1\" =", "13:1:", &["member \"db1\" is not an IP address"]),
    (
        "\"10.77.0.11\" = \"eth0\"",
        "\"10.77.0.11\" = 0",
        "13:16:",
        &["10.77.0.11", "write its name in quotes"],
    ),
    ("\"10.77.0.11\" = \"eth0\"", "\"10.77.0.11\" = \"\"", "13:16:", &["the interface's name is empty"]),
    ("\"10.77.0.11\" = \"eth0\"", "\"10.77.0.11\" = \"a-interface-of-16-byt\"", "13:16:", &["over 15 bytes"]),
    ("\"10.77.0.11\" =", "10.77.0.11 =", "13:1:", &["address in quotes"]),
    ("\"7s\"", "\"soon\"", "10:17:", &["sleeptime", "is not a length of time", "\"7s\""]),
    ("\"7s\"", "0", "10:17:", &["sleeptime", "out of range", "from 1s to 1h"]),
    ("\"7s\"", "[7]", "10:17:", &["sleeptime", "is a list"]),
    ("\"7s\"", "-7", "10:17:", &["sleeptime", "out of range"]),
    ("\"7s\"", "7\nlease = \"1s\"", "11:9:", &["lease", "from 3s to 1h", "\"off\""]),
    (
        "\"7s\"",
        "7\npoll_interval = \"5s\"",
        "11:1:",
        &["lease (10s) must be at least 3 times poll_interval (5s)"],
    ),
    (
        "\"7s\"",
        "7\ngateway_lost = \"hold\"",
        "11:16:",
        &["\"hold\" is not one of \"release\", \"hold-with-majority\""],
    ),
    ("\"7s\"", "7\ntakeover_after = \"7s\"", "11:18:", &["takeover_after", "from 10s to 24h", "\"off\""]),
    (
        "\"7s\"",
        "7\nlease = \"1m\"\ntakeover_after = \"1m\"",
        "12:1:",
        &["takeover_after", "at least 2s more than lease"],
    ),
    ("\"7s\"", "7\nprobe_count = 21", "11:15:", &["probe_count", "from 1 to 20"]),
    (
        "\"7s\"",
        "7\ndecision_trace = \"none\"",
        "11:18:",
        &["\"none\" is not one of \"switches\", \"all\", \"off\""],
    ),
    (
        "\"7s\"",
        "7\nreader_max_behind = \"soon\"",
        "11:21:",
        &["reader_max_behind", "no length of time", "25000"],
    ),
    ("\"7s\"", "7\nreader_max_behind = [1, 2]", "11:21:", &["reader_max_behind", "there twice"]),
    ("\"7s\"", "7\nwhen_no_reader = \"any-online\"", "11:18:", &["\"any-online\" is not one of \"primary\""]),
    ("password      =", "# ", "2:1:", &["there is no password", "password_file"]),
    ("password      =", "password_file = \"/x\"\npassword =", "10:1:", &["both given", "only one"]),
    (
        "password      = \"KRj$r748Lf\"",
        "password_file = \"/none/x\"",
        "9:1:",
        &["/none/x", "can't be read", "mode 600"],
    ),
    ("password      = \"KRj$r748Lf\"", "password_file = \"x\"", "9:17:", &["does not begin with \"/\""]),
    ("password      = \"KRj$r748Lf\"", "password_credential = \"x\"", "9:1:", &["LoadCredential=x:FILE"]),
    ("\"FOLDER/\"", "\"/none/x y/\"", "11:1:", &["does not exist", "mkdir -p '/none/x y/'"]),
    ("\"FOLDER/\"", "\"/dev/null\"", "11:1:", &["is not a folder"]),
    ("\"FOLDER/\"", "\"here/\"", "11:17:", &["write the whole path"]),
    ("user          = \"haip\"", "user = \"\"", "8:8:", &["user", "is empty"]),
    ("[[cluster]]", "[cluster]", "2:", &["[[cluster]] with two brackets"]),
];

#[test]
fn each_fault_is_told_with_its_line_and_what_to_write() {
    let mut wrong = Vec::new();
    for (what, by, place, words) in FAULTS {
        assert!(TOML.contains(what), "{what}");
        let problems = refused("haipmgr.toml", &TOML.replacen(what, by, 1));
        let found = problems
            .iter()
            .any(|problem| problem.starts_with(place) && words.iter().all(|word| problem.contains(word)));
        if !found || problems.len() != 1 {
            wrong.push(format!("{what} -> {by}: not only {place} {words:?} but {problems:#?}"));
        }
        assert!(
            !problems.iter().any(|problem| problem.contains("KRj")),
            "the password is shown: {problems:#?}"
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_their_lines() {
    let broken = TOML
        .replace("10.77.0.100/32", "nowhere")
        .replace("3306\n", "\"x\"\n")
        .replace("sleeptime", "sleeptme")
        .replace("\"10.77.0.13\"", "\"10.77.0\"");
    let problems = refused("haipmgr.toml", &broken);
    let lines: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["4", "6", "10", "15"], "{problems:#?}");
}

#[test]
fn with_the_communication_stack_mysql_the_groups_port_is_left_out_or_is_mysqls() {
    for (written, port) in [("", None), ("group_port    = 3306\n", Some(3306))] {
        let (_written, config) = loaded("haipmgr.toml", &TOML.replace("group_port    = 33061\n", written));
        assert_eq!(only(&config).group_port, port);
    }
    let same = TOML.replace("= 33061", "= 3306");
    let second = same.replace("orders", "stock").replace("10.77.0.100/32", "10.77.0.101");
    assert_eq!(
        loaded("haipmgr.toml", &(same.clone() + &second.replace("= 3306\n", "= 3307\n"))).1.clusters.len(),
        2
    );
    let problems = refused("haipmgr.toml", &(same + &second));
    assert_eq!(problems.len(), 1, "once, not for each key: {problems:#?}");
}

#[test]
fn an_empty_file_and_one_of_python_in_the_wrong_name_are_explained() {
    assert!(refused("haipmgr.toml", "").join("").contains("write a [[cluster]] table"));
    assert!(refused("haipmgr.toml", PARAMETER_PY).join("").contains("let its name end in \".py\""));
    assert!(load(Path::new("/none/haipmgr.toml")).unwrap_err().to_string().contains("/none/haipmgr.toml"));
    assert!(load(Path::new("/dev/zero")).unwrap_err().to_string().contains("plain file"));
}

#[test]
fn several_clusters_share_one_file_and_nothing_that_would_collide() {
    let second = TOML
        .replace("orders", "stock")
        .replace("10.77.0.100/32", "10.77.0.101")
        .replace("3306\n", "3307\n")
        .replace("33061", "33071");
    let (_written, config) = loaded("haipmgr.toml", &(TOML.to_owned() + &second));
    assert_eq!(config.clusters.len(), 2);
    let cases: &[(&str, &str, &[&str])] = &[
        ("stock", "orders", &["18:1:", "two clusters are called \"orders\""]),
        ("10.77.0.101", "10.77.0.100", &["19:1:", "also the VIP of cluster orders"]),
        ("10.77.0.101", "10.77.0.13", &["the VIP and a member's own address"]),
        ("3307\n", "3306\n", &["21:1:", "port 3306 is also the mysql_port of cluster orders", "same names"]),
        ("33071", "33061", &["22:1:", "port 33061 is also the group_port of cluster orders"]),
        ("33071", "3306", &["22:1:", "port 3306 is also the mysql_port of cluster orders"]),
    ];
    for (what, by, words) in cases {
        let problems = refused("haipmgr.toml", &(TOML.to_owned() + &second.replacen(what, by, 1)));
        assert!(
            problems.iter().any(|problem| words.iter().all(|word| problem.contains(word))),
            "{what} -> {by}: {problems:#?}"
        );
    }
    let crossed = second
        .replace("10.77.0.1", "10.78.0.1")
        .replace("\"10.78.0.101\"", "\"10.77.0.11\"")
        .replace("10.77.0.254", "10.78.0.254");
    let problems = refused("haipmgr.toml", &(TOML.to_owned() + &crossed));
    assert!(
        problems.join("").contains("10.77.0.11 is the VIP of cluster stock and a member of cluster orders"),
        "{problems:#?}"
    );
}

#[test]
fn a_password_in_a_file_that_others_can_read_is_refused_with_the_chmod_to_type() {
    let written = written("haipmgr.toml", TOML);
    for exposed in [0o644, 0o604, 0o666] {
        mode(&written.file, exposed);
        let text = load(&written.file).unwrap_err().to_string();
        assert!(text.contains(&format!("chmod 600 {}", written.file.display())), "{text}");
    }
    mode(&written.file, 0o640);
    load(&written.file).expect("our own group may read it");

    let password = written.folder.path().join("orders.password");
    std::fs::write(&password, "KRj$r748Lf\n").unwrap();
    let text = std::fs::read_to_string(&written.file).unwrap();
    std::fs::write(
        &written.file,
        text.replace(
            "password      = \"KRj$r748Lf\"",
            &format!("password_file = \"{}\"", password.display()),
        ),
    )
    .unwrap();
    mode(&written.file, 0o644);
    mode(&password, 0o600);
    assert_eq!(only(&load(&written.file).expect("no password in this file")).password.reveal(), "KRj$r748Lf");
    mode(&password, 0o644);
    let text = load(&written.file).unwrap_err().to_string();
    assert!(text.contains(&format!("chmod 600 {}", password.display())), "{text}");
}

#[test]
fn the_packaged_sample_is_accepted_once_its_password_and_folder_are_there() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    let sample = std::fs::read_to_string(packaging.join("haipmgr.toml")).unwrap();
    let here = sample
        .replace("/etc/haipmgr/orders.password", "FOLDER/password")
        .replace("/var/lib/haipmgr/", "FOLDER/");
    let written = written("haipmgr.toml", &here);
    let password = written.folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    mode(&password, 0o600);
    let config = load(&written.file).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(only(&config).user, "haip");
    let account = std::fs::read_to_string(packaging.join("account.sql")).unwrap();
    let all = haipmgr::server_access::account::account_sql("haip")
        + &haipmgr::server_access::account::election_sql("haip")
        + &haipmgr::server_access::account::switchover_sql("haip")
        + &haipmgr::server_access::account::pause_sql("haip")
        + &haipmgr::server_access::account::checkpoint_sql("haip");
    for statement in all.lines() {
        assert!(account.contains(statement), "{statement} is not in account.sql");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_readers_fall_over(text in "(?s)(par_var ?= ?)?[\\[\\]{}\"'=:,#\\\\ \n\\.a-z0-9\u{fffd}\u{e9}]{0,80}") {
        for name in ["haipmgr.toml", "parameter.py"] {
            let written = written(name, &text);
            proptest::prop_assert!(load(&written.file).is_err());
            proptest::prop_assert!(convert(&written.file).is_err());
        }
    }

    #[test]
    fn a_file_cut_off_or_with_one_character_changed_is_refused_or_read_never_more(at in 0usize..400, by in proptest::char::any()) {
        for (name, whole) in [("haipmgr.toml", TOML), ("parameter.py", PARAMETER_PY)] {
            let at = at.min(whole.len());
            let cut = written(name, &whole[..at]);
            let _refused_or_read = load(&cut.file);
            let mut changed = whole.to_owned();
            changed.insert(at, by);
            let changed = written(name, &changed);
            let _refused_or_read = load(&changed.file);
        }
    }
}
