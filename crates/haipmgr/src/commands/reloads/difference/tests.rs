#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use super::*;
use crate::config::Source;
use crate::fuzzing::configuration;

fn cluster(name: &str, port: u16, vip: &str, more: &str) -> String {
    format!(
        "[[cluster]]\nname=\"{name}\"\nvip=\"{vip}\"\ngateway=\"10.0.0.254\"\nmysql_port={port}\nuser=\"u\"\npassword=\"p\"\n\
         install_path=\"/var/lib/haipmgr/\"\n{more}\n"
    )
}

const MEMBERS: &str = "[cluster.members]\n\"10.0.0.1\"=\"eth0\"\n\"10.0.0.2\"=\"eth0\"\n";

fn clusters(text: &str) -> Vec<Cluster> {
    configuration(Source::Toml, text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn lines(old: &str, new: &str) -> Vec<String> {
    Difference::between(&clusters(old), &clusters(new)).lines()
}

fn orders(more: &str) -> String {
    cluster("orders", 3306, "10.0.0.100", &format!("{more}{MEMBERS}"))
}

fn stock(more: &str) -> String {
    cluster("stock", 3307, "10.0.0.101", &format!("{more}{MEMBERS}"))
}

#[test]
fn the_same_file_changes_nothing() {
    let difference =
        Difference::between(&clusters(&(orders("") + &stock(""))), &clusters(&(stock("") + &orders(""))));
    assert!(difference.is_none());
    assert_eq!(difference.lines(), ["cluster stock: unchanged", "cluster orders: unchanged"]);
    assert_eq!(difference.in_short(), "2 unchanged");
}

#[test]
fn a_cluster_that_comes_or_goes_touches_no_other() {
    let (one, both) = (orders(""), orders("") + &stock(""));
    assert_eq!(lines(&one, &both), ["cluster orders: unchanged", "cluster stock: new: VIP 10.0.0.101"]);
    assert_eq!(
        lines(&both, &one),
        ["cluster orders: unchanged", "cluster stock: removed; VIP 10.0.0.101 is given up where it is here"]
    );
    let difference = Difference::between(&clusters(&both), &clusters(&one));
    assert_eq!(difference.names(|what| *what == What::Removed), BTreeSet::from(["stock".to_owned()]));
    assert_eq!(difference.in_short(), "1 removed, 1 unchanged");
}

#[test]
fn a_cluster_that_is_called_otherwise_gives_no_vip_up() {
    let difference =
        Difference::between(&clusters(&orders("")), &clusters(&cluster("shop", 3306, "10.0.0.100", MEMBERS)));
    assert!(difference.clusters.iter().all(|change| change.gives_up.is_empty() && change.takes.is_empty()));
    assert_eq!(difference.lines()[1], "cluster orders: removed; its VIPs are other clusters' now");
}

#[test]
fn a_vip_is_given_up_only_where_no_cluster_has_it_any_more() {
    let further = |vip: &str| format!("[[cluster.vips]]\naddress=\"{vip}\"\n");
    let old = clusters(&(orders("") + &further("10.0.0.110") + &further("10.0.0.111") + &stock("")));
    let new = clusters(&(orders("") + &further("10.0.0.112") + &stock("") + &further("10.0.0.110")));
    let difference = Difference::between(&old, &new);
    let [orders, stock] = &difference.clusters[..] else { panic!("{difference:?}") };
    assert_eq!(orders.gives_up, BTreeMap::from([(VipId(2), "10.0.0.111".parse().unwrap())]));
    assert_eq!(orders.takes, BTreeSet::from(["10.0.0.112".parse().unwrap()]));
    assert!(stock.gives_up.is_empty() && stock.takes.is_empty());
    assert_eq!(
        difference.lines(),
        [
            "cluster orders: VIP 10.0.0.110 → 10.0.0.112",
            "cluster orders: VIP - 10.0.0.111",
            "cluster stock: VIP + 10.0.0.110"
        ]
    );
}

#[test]
fn each_key_is_named_with_both_its_values_and_no_password_is_shown() {
    let changed = cluster(
        "orders",
        3306,
        "10.0.0.100",
        "sleeptime=\"5s\"\nlinger=\"30s\"\nlease=\"off\"\ngateway_lost=\"hold-with-majority\"\nproven_dead=false\n\
         tls_ca=\"/etc/ca.pem\"\n[cluster.members]\n\"10.0.0.1\"=\"eth1\"\n\"10.0.0.3\"=\"eth0\"\n[[cluster.vips]]\naddress=\"10.0.0.110\"\n",
    );
    let changed = changed.replace("password=\"p\"", "password=\"another, secret\"");
    assert_eq!(
        lines(&orders(""), &changed),
        [
            "cluster orders: VIP + 10.0.0.110",
            "cluster orders: members: 10.0.0.1: eth0 → eth1",
            "cluster orders: members: - 10.0.0.2 (eth0)",
            "cluster orders: members: + 10.0.0.3 (eth0)",
            "cluster orders: password: read anew, another one",
            "cluster orders: tls_ca: none → /etc/ca.pem",
            "cluster orders: sleeptime: 7s → 5s",
            "cluster orders: proven_dead: true → false",
            "cluster orders: lease: 10s → off",
            "cluster orders: linger: 1m → 30s",
            "cluster orders: gateway_lost: \"release\" → \"hold-with-majority\"",
        ]
    );
}

#[test]
fn a_value_that_is_written_where_the_default_was_the_same_is_a_change_without_a_value() {
    assert_eq!(lines(&orders(""), &orders("lease=\"10s\"\n")), ["cluster orders: written otherwise"]);
}

fn config(lock: &str, text: &str) -> Config {
    Config {
        source: Source::Toml,
        path: PathBuf::from("/etc/haipmgr/haipmgr.toml"),
        clusters: clusters(text),
        lock: PathBuf::from(lock),
        drain_on_shutdown: true,
        listen: None,
        remarks: Vec::new(),
    }
}

#[test]
fn lock_folder_and_port_take_a_restart_and_say_so() {
    let old = config("/run/haipmgr/haipmgr.lock", &orders(""));
    assert!(needs_a_restart(&old, &config("/run/haipmgr/haipmgr.lock", &stock(""))).is_empty());
    let moved = orders("").replace("/var/lib/haipmgr/", "/srv/").replace("=3306", "=3308");
    let said = needs_a_restart(&old, &config("/run/other.lock", &moved));
    let [lock, folder, port] = &said[..] else { panic!("{said:?}") };
    assert!(lock.starts_with("lock: /run/haipmgr/haipmgr.lock → /run/other.lock"), "{lock}");
    assert!(folder.contains("install_path: /var/lib/haipmgr/ → /srv/"), "{folder}");
    assert!(port.contains("mysql_port: 3306 → 3308"), "{port}");
}

#[test]
fn a_changed_role_and_readers_limits_are_told_as_the_file_has_them() {
    let vip = |role: &str| format!("[[cluster.vips]]\naddress=\"10.0.0.110\"\nrole=\"{role}\"\n");
    let old = orders("") + &vip("writer");
    let new =
        orders("reader_max_behind=[100,\"30s\"]\nwhen_no_reader=\"any_online\"\nreader_well_for=\"1s\"\n")
            + &vip("reader");
    assert_eq!(
        lines(&old, &new),
        [
            "cluster orders: reader_max_behind: 25000 → [100, \"30s\"]",
            "cluster orders: reader_well_for: 10s → 1s",
            "cluster orders: when_no_reader: primary → any_online",
            "cluster orders: role: \"writer\" → \"reader\""
        ]
    );
}
