//! What is other in a cluster's configuration, key by key, in words. No password.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use decide::net::VipId;
use decide::policy::{GroupPolicy, ReaderPolicy, VipGateway, VipPolicy};
use serde::Serialize;

use crate::config::{Cluster, format_duration, max_behind_in_words, no_reader_word};

/// A line for each key, each once.
pub(super) fn differences(old: &Cluster, new: &Cluster) -> Vec<String> {
    let mut lines = Lines::default();
    vips(old, new, &mut lines);
    members(old, new, &mut lines);
    wiring(old, new, &mut lines);
    group(&old.policy.group, &new.policy.group, &mut lines);
    for (id, vip) in &new.policy.vips {
        let same = old.policy.vips.values().find(|before| before.address == vip.address);
        let first = old.policy.vips.get(id).filter(|_| *id == VipId::FIRST);
        if let Some(before) = same.or(first) {
            limits(before, vip, &mut lines);
        }
    }
    if lines.0.is_empty() {
        // What a default and the same value, written, differ in.
        lines.0.push("written otherwise".to_owned());
    }
    lines.0
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn say(&mut self, line: String) {
        // Most keys hold for each VIP.
        if !self.0.contains(&line) {
            self.0.push(line);
        }
    }

    fn key(&mut self, key: &str, old: impl Display, new: impl Display) {
        let (old, new) = (old.to_string(), new.to_string());
        if old != new {
            self.say(format!("{key}: {old} → {new}"));
        }
    }

    fn time(&mut self, key: &str, old: Duration, new: Duration) {
        self.key(key, format_duration(old), format_duration(new));
    }

    fn time_or(&mut self, key: &str, word: &str, old: Option<Duration>, new: Option<Duration>) {
        let words = |time: Option<Duration>| time.map_or_else(|| word.to_owned(), format_duration);
        self.key(key, words(old), words(new));
    }

    fn path(&mut self, key: &str, old: Option<&PathBuf>, new: Option<&PathBuf>) {
        let words =
            |path: Option<&PathBuf>| path.map_or("none".to_owned(), |path| path.display().to_string());
        self.key(key, words(old), words(new));
    }

    /// As it stands in the file.
    fn word<T: Serialize>(&mut self, key: &str, old: &T, new: &T) {
        let words = |value: &T| serde_json::to_string(value).unwrap_or_default();
        self.key(key, words(old), words(new));
    }

    fn debug(&mut self, key: &str, old: &impl Debug, new: &impl Debug) {
        self.key(key, format!("{old:?}"), format!("{new:?}"));
    }
}

fn vips(old: &Cluster, new: &Cluster, lines: &mut Lines) {
    let addresses =
        |cluster: &Cluster| -> Vec<IpAddr> { cluster.policy.vips.values().map(|vip| vip.address).collect() };
    let (before, after) = (addresses(old), addresses(new));
    let gone: Vec<_> = before.iter().filter(|vip| !after.contains(vip)).collect();
    let come: Vec<_> = after.iter().filter(|vip| !before.contains(vip)).collect();
    for place in 0..gone.len().max(come.len()) {
        match (gone.get(place), come.get(place)) {
            (Some(gone), Some(come)) => lines.say(format!("VIP {gone} → {come}")),
            (Some(gone), None) => lines.say(format!("VIP - {gone}")),
            (None, Some(come)) => lines.say(format!("VIP + {come}")),
            (None, None) => {}
        }
    }
    if gone.is_empty() && come.is_empty() && before != after {
        lines.say("its VIPs are in another order: the first is the state file's".to_owned());
    }
}

fn members(old: &Cluster, new: &Cluster, lines: &mut Lines) {
    let (before, after) = (&old.policy.group.members, &new.policy.group.members);
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for member in all {
        match (before.get(member), after.get(member)) {
            (None, Some(interface)) => lines.say(format!("members: + {member} ({interface})")),
            (Some(interface), None) => lines.say(format!("members: - {member} ({interface})")),
            (Some(one), Some(other)) if one != other => {
                lines.say(format!("members: {member}: {one} → {other}"));
            }
            _ => {}
        }
    }
}

/// Each field stands here by name, so that a new one is not forgotten.
fn wiring(old: &Cluster, new: &Cluster, lines: &mut Lines) {
    let Cluster {
        name: _,
        policy: _,
        gateway,
        gateway_interval,
        gateway_misses,
        mysql_port,
        group_port,
        user,
        password,
        socket,
        tls_ca,
        tls_client,
        connect_limit,
        query_limit,
        install_path,
        fence_command,
        fence_limit,
        hooks,
        hook_limit,
        hook_ca,
        decision_trace,
        lease_given: _,
    } = old;
    lines.key("gateway", gateway, new.gateway);
    lines.time("gateway_interval", *gateway_interval, new.gateway_interval);
    lines.key("gateway_misses", gateway_misses, new.gateway_misses);
    lines.key("mysql_port", mysql_port, new.mysql_port);
    let port = |port: Option<u16>| port.map_or("none".to_owned(), |port| port.to_string());
    lines.key("group_port", port(*group_port), port(new.group_port));
    lines.key("user", user, &new.user);
    if *password != new.password {
        lines.say("password: read anew, another one".to_owned());
    }
    lines.path("socket", socket.as_ref(), new.socket.as_ref());
    lines.path("tls_ca", tls_ca.as_ref(), new.tls_ca.as_ref());
    let (one, other) = (tls_client.as_ref(), new.tls_client.as_ref());
    lines.path("tls_cert", one.map(|own| &own.certificate), other.map(|own| &own.certificate));
    lines.path("tls_key", one.map(|own| &own.key), other.map(|own| &own.key));
    lines.time("connect_limit", *connect_limit, new.connect_limit);
    lines.time("query_limit", *query_limit, new.query_limit);
    lines.path("install_path", Some(install_path), Some(&new.install_path));
    lines.word("fence_command", fence_command, &new.fence_command);
    lines.time("fence_limit", *fence_limit, new.fence_limit);
    for happening in hooks.keys().chain(new.hooks.keys()).collect::<BTreeSet<_>>() {
        if hooks.get(happening) != new.hooks.get(happening) {
            // A web address may hold a secret.
            lines.say(format!("{}: another one", happening.key()));
        }
    }
    lines.time("hook_limit", *hook_limit, new.hook_limit);
    lines.path("hook_ca", hook_ca.as_ref(), new.hook_ca.as_ref());
    lines.debug("decision_trace", decision_trace, &new.decision_trace);
}

fn group(old: &GroupPolicy, new: &GroupPolicy, lines: &mut Lines) {
    lines.time("sleeptime", old.sleeptime, new.sleeptime);
    lines.time("poll_interval", old.poll_interval, new.poll_interval);
    lines.time("alert_interval", old.alert_interval, new.alert_interval);
    lines.time("alert_limit", old.alert_limit, new.alert_limit);
    lines.time("evidence_age", old.evidence_age, new.evidence_age);
    lines.key("wake_expel", old.wake_expel, new.wake_expel);
    lines.key("proven_dead", old.proven_dead, new.proven_dead);
    lines.word("silent_host", &old.silent_host, &new.silent_host);
    readers(&old.readers, &new.readers, lines);
}

fn readers(old: &ReaderPolicy, new: &ReaderPolicy, lines: &mut Lines) {
    let ReaderPolicy { max_transactions: _, max_age: _, behind_for, well_for, when_none } = old;
    lines.key("reader_max_behind", max_behind_in_words(old), max_behind_in_words(new));
    lines.time("reader_behind_for", *behind_for, new.behind_for);
    lines.time("reader_well_for", *well_for, new.well_for);
    lines.key("when_no_reader", no_reader_word(*when_none), no_reader_word(new.when_none));
}

fn interfaces_in_words(interfaces: &BTreeMap<IpAddr, String>) -> String {
    let names: BTreeSet<&String> = interfaces.values().collect();
    let each = interfaces.iter().map(|(member, name)| format!("{member} {name}"));
    match (names.len(), names.first()) {
        (1, Some(name)) => (*name).clone(),
        (0, _) | (_, None) => "the members'".to_owned(),
        _ => each.collect::<Vec<_>>().join(", "),
    }
}

fn gateway_in_words(gateway: VipGateway) -> String {
    match gateway {
        VipGateway::TheClusters => "the cluster's".to_owned(),
        VipGateway::Own(own) => own.to_string(),
        VipGateway::Nobody => "none".to_owned(),
    }
}

fn limits(old: &VipPolicy, new: &VipPolicy, lines: &mut Lines) {
    let VipPolicy {
        address: _,
        prefix: _,
        interfaces,
        gateway,
        role,
        probe_count,
        probe_spacing,
        probe_spacing_when_taken,
        own_answer_limit,
        dispute_limit,
        claim_wait,
        linger,
        lease,
        hung_patience,
        refused_patience,
        gateway_lost,
        read_only_primary,
        takeover_after,
        announce_interval,
    } = old;
    lines.time_or("lease", "off", *lease, new.lease);
    lines.key("prefix length", old.prefix_length(), new.prefix_length());
    lines.key("interface", interfaces_in_words(interfaces), interfaces_in_words(&new.interfaces));
    lines.key("gateway", gateway_in_words(*gateway), gateway_in_words(new.gateway));
    lines.word("role", role, &new.role);
    lines.time("linger", *linger, new.linger);
    lines.time("claim_wait", *claim_wait, new.claim_wait);
    lines.time("hung_patience", *hung_patience, new.hung_patience);
    lines.time_or("refused_patience", "unlimited", *refused_patience, new.refused_patience);
    lines.word("gateway_lost", gateway_lost, &new.gateway_lost);
    lines.word("read_only_primary", read_only_primary, &new.read_only_primary);
    lines.time_or("takeover_after", "off", *takeover_after, new.takeover_after);
    lines.key("probe_count", probe_count, new.probe_count);
    lines.time("probe_spacing", *probe_spacing, new.probe_spacing);
    lines.time("probe_spacing_when_taken", *probe_spacing_when_taken, new.probe_spacing_when_taken);
    lines.time("own_answer_limit", *own_answer_limit, new.own_answer_limit);
    lines.time("dispute_limit", *dispute_limit, new.dispute_limit);
    lines.time("announce_interval", *announce_interval, new.announce_interval);
}
