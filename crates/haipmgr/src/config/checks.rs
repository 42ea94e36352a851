//! What must fit together: the keys of one cluster, and several clusters on one host.

use std::net::IpAddr;
use std::time::Duration;

use decide::policy::VipGateway;

use super::Source;
use super::draft::Draft;
use super::duration;
use super::problem::{Position, Problems};

/// The lifetime in the kernel must outlast this many polls, or a late one would let the VIP lapse.
const POLLS_PER_LEASE: u32 = 3;

/// Checks one cluster's keys against each other.
pub(super) fn within_cluster(draft: &Draft, source: Source, problems: &mut Problems) {
    let before = problems.list().len();
    let (group, limits) = (&draft.group, &draft.limits);
    addresses(draft, problems);
    for (key, missing) in [("tls_cert", "tls_key"), ("tls_key", "tls_cert")] {
        if draft.given.contains_key(key) && !draft.given.contains_key(missing) {
            problems.add(
                draft.place_of(key),
                format!("{key} needs {missing} beside it: a certificate and its private key"),
            );
        }
    }
    // A parameter.py has one key for it, which is asked for like all of them.
    if source == Source::Toml {
        passwords(draft, problems);
    }
    let shortest = draft.policy().vips.values().filter_map(|vip| vip.lease).min();
    if let Some(lease) = shortest.filter(|lease| *lease < group.poll_interval * POLLS_PER_LEASE) {
        let at =
            draft.given.get("lease").or_else(|| draft.given.get("poll_interval")).copied().or(draft.begins);
        problems.add(
            at,
            format!(
                "lease ({}) must be at least {POLLS_PER_LEASE} times poll_interval ({}), or the lease ends after one late answer",
                duration::format(lease),
                duration::format(group.poll_interval)
            ),
        );
    }
    if limits.probe_spacing_when_taken < limits.probe_spacing {
        problems.add(
            draft.place_of("probe_spacing_when_taken"),
            "probe_spacing_when_taken must not be less than probe_spacing",
        );
    }
    // Whatever the table's ranges and the checks above let through, the rules' own word is the last.
    let nothing_yet = problems.list().len() == before && draft.vip.is_some() && !group.members.is_empty();
    if nothing_yet && let Err(bad) = draft.policy().validate() {
        problems.add(draft.place_of(bad.key), bad.to_string());
    }
}

/// No address may be two things: a VIP, the gateway, a member.
fn addresses(draft: &Draft, problems: &mut Problems) {
    let members = &draft.group.members;
    for (place, (vip, vip_at)) in draft.all_vips().enumerate() {
        if let Some(at) = draft.member_given.get(&vip) {
            problems.add(
                *at,
                format!(
                    "{vip} is the VIP and a member's own address; the VIP must be an address that no host has"
                ),
            );
        }
        if draft.gateway == Some(vip) {
            problems.add(
                vip_at,
                format!("{vip} is the VIP and the gateway; the VIP must be an address that no host has"),
            );
        }
        for further in draft.further_vips.iter().filter(|further| further.gateway == VipGateway::Own(vip)) {
            problems.add(
                further.gateway_at,
                format!(
                    "gateway: {vip} is a VIP; write the router's address, or \"none\": no gateway is asked"
                ),
            );
        }
        if draft.all_vips().take(place).any(|(earlier, _)| earlier == vip) {
            problems.add(vip_at, format!("{vip} is there twice; remove one"));
        }
    }
    if let Some(gateway) = draft.gateway.filter(|gateway| members.contains_key(gateway)) {
        problems.add(
            draft.place_of("gateway"),
            format!("{gateway} is the gateway and a member; write the router's address, which tells a host whether it is cut off"),
        );
    }
    for further in &draft.further_vips {
        further.interface_problems(members, problems);
        if let VipGateway::Own(gateway) = further.gateway
            && members.contains_key(&gateway)
        {
            problems.add(
                further.gateway_at,
                format!("gateway: {gateway} is a member; write the router's address, which tells a host whether it is cut off, or \"none\": no gateway is asked"),
            );
        }
    }
    for (member, _) in members.iter().filter(|(_, interface)| *interface == "lo") {
        problems.add(
            draft.member_given.get(member).copied(),
            format!("{member}: lo is the loopback, which no other host can reach; write the interface that has {member}"),
        );
    }
    if draft.given.contains_key("members") && members.is_empty() && draft.member_given.is_empty() {
        problems.add(
            draft.place_of("members"),
            "no member is named; write each member's address and its interface, such as \"10.77.0.11\" = \"eth0\"",
        );
    }
}

fn passwords(draft: &Draft, problems: &mut Problems) {
    let given: Vec<_> = ["password_file", "password", "password_credential"]
        .into_iter()
        .filter_map(|key| Some((key, *draft.given.get(key)?)))
        .collect();
    match given.as_slice() {
        [] => problems.add(
            draft.begins,
            format!(
                "cluster {}: there is no password; write one of password_file, password, password_credential",
                draft.called()
            ),
        ),
        [_] => {}
        [(first, _), rest @ ..] => {
            for (key, at) in rest {
                problems.add(*at, format!("{key} and {first} are both given; write only one of them"));
            }
        }
    }
}

/// No host serves more clusters; each of them is compared with each other one.
const MOST_CLUSTERS: usize = 1000;

/// Checks the clusters of one host against each other.
pub(super) fn between_clusters(drafts: &[Draft], problems: &mut Problems) {
    if drafts.len() > MOST_CLUSTERS {
        problems.add(
            None,
            format!("there are {} clusters; one agent serves {MOST_CLUSTERS} at most", drafts.len()),
        );
        return;
    }
    for (index, later) in drafts.iter().enumerate() {
        for earlier in drafts.iter().take(index) {
            if problems.are_enough() {
                return;
            }
            between(earlier, later, problems);
        }
    }
}

fn between(earlier: &Draft, later: &Draft, problems: &mut Problems) {
    let first = earlier.called();
    if later.called() == first && (earlier.name.is_some() || later.name.is_some()) {
        problems.add(
            later.place_of("name"),
            format!("two clusters are called \"{}\"; write another name", first.escape_debug()),
        );
    }
    // With the communication stack MYSQL the two are one.
    let ports = |draft: &Draft| {
        let of_its_own = draft.group_port.filter(|port| draft.mysql_port != Some(*port));
        [("mysql_port", draft.mysql_port), ("group_port", of_its_own)]
    };
    for (key, port) in ports(later) {
        let Some(port) = port else { continue };
        if let Some((other, _)) = ports(earlier).into_iter().find(|(_, taken)| *taken == Some(port)) {
            let why = if key == "mysql_port" && other == key {
                ", and their log and state files would have the same names"
            } else {
                ""
            };
            problems.add(
                later.place_of(key),
                format!("port {port} is also the {other} of cluster {first}; two servers on one host can't share a port{why}"),
            );
        }
    }
    for (vip, at) in later.all_vips() {
        if earlier.all_vips().any(|(other, _)| other == vip) {
            problems.add(
                at,
                format!("{vip} is also the VIP of cluster {first}; each cluster needs one of its own"),
            );
        }
        claimed(vip, earlier, later, at, problems);
    }
    for (vip, _) in earlier.all_vips() {
        claimed(vip, later, earlier, later.place_of("vip"), problems);
    }
}

/// Says so where `vip`, which `owner` wants, is another cluster's member or gateway.
fn claimed(vip: IpAddr, other: &Draft, owner: &Draft, at: Option<Position>, problems: &mut Problems) {
    let what = if other.group.members.contains_key(&vip) {
        "a member"
    } else if other.gateway == Some(vip) {
        "the gateway"
    } else if other.further_vips.iter().any(|further| further.gateway == VipGateway::Own(vip)) {
        "a VIP's gateway"
    } else {
        return;
    };
    problems.add(
        at,
        format!("{vip} is the VIP of cluster {} and {what} of cluster {}; the VIP must be an address that no host has", owner.called(), other.called()),
    );
}

/// S6: how long `stat_<port>` shows a switch.
pub(super) fn shown_for(sleeptime: Duration) -> Duration {
    sleeptime * 20
}
