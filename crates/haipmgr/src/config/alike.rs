//! What of a cluster's configuration must be the same on every host, as short sums that one host can show to the others. Pure.
//!
//! Two agents that disagree about these disagree about who holds a VIP and when it is let go. Left out is what each host may have as it
//! likes: how it reaches its server, where it writes, how often it looks, and the cluster's name.

use std::collections::BTreeMap;
use std::fmt;

use decide::policy::{ReaderPolicy, VipGateway, VipPolicy};

use super::Cluster;

/// The sums, by the part of the configuration that each is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alike(BTreeMap<String, u32>);

impl Alike {
    /// Of a configuration as it is written, whether or not its default lease was made shorter to fit the group.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let parts = [
            ("members", members(cluster)),
            ("vips", vips(cluster)),
            ("gateway", gateway(cluster)),
            ("limits", limits(cluster)),
            ("expelling", expelling(cluster)),
        ];
        let sums = parts.into_iter().chain(readers(cluster).map(|text| ("readers", text)));
        Self(sums.map(|(part, text)| (part.to_owned(), sum(&text))).collect())
    }

    /// What `Display` wrote; none: something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let part = |part: &str| {
            let (name, sum) = part.split_once(':')?;
            Some((name.to_owned(), u32::from_str_radix(sum, 16).ok()?))
        };
        let parts: BTreeMap<_, _> = text.split_whitespace().map(part).collect::<Option<_>>()?;
        (!parts.is_empty()).then_some(Self(parts))
    }

    /// The parts that are not the same in both, of those that both know: another version may know others.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&str> {
        let differs = |part: &str, sum: u32| other.0.get(part).is_some_and(|others| *others != sum);
        self.0.iter().filter(|(part, sum)| differs(part, **sum)).map(|(part, _)| part.as_str()).collect()
    }

    /// One sum of all.
    pub(crate) fn short(&self) -> String {
        format!("{:08x}", sum(&self.to_string()))
    }
}

impl fmt::Display for Alike {
    /// `members:0f3a… vips:…`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (part, sum)) in self.0.iter().enumerate() {
            write!(f, "{}{part}:{sum:08x}", if place == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// Who may hold a VIP, and how each is reached.
fn members(cluster: &Cluster) -> String {
    let Cluster { mysql_port, group_port, .. } = cluster;
    format!("{:?} {mysql_port} {group_port:?}", cluster.policy.group.members)
}

fn vips(cluster: &Cluster) -> String {
    let each = cluster.policy.vips.values().map(|vip| {
        // As a version without it says it, where the file has none.
        let prefix = vip.prefix.map_or_else(String::new, |prefix| format!("/{prefix}"));
        let interfaces =
            if vip.interfaces.is_empty() { String::new() } else { format!(" {:?}", vip.interfaces) };
        format!("{}{prefix} {:?}{interfaces}", vip.address, vip.role)
    });
    each.collect::<Vec<_>>().join(", ")
}

/// What a host must reach to hold a VIP, and what it does when that is lost.
fn gateway(cluster: &Cluster) -> String {
    let lost = cluster.policy.vips.values().map(|vip| format!("{:?}", vip.gateway_lost));
    // As a version without such keys says it, where the file has none.
    let own = cluster.policy.vips.values().filter(|vip| vip.gateway != VipGateway::TheClusters);
    let own = own.map(|vip| format!(" {} {:?}", vip.address, vip.gateway));
    format!("{} {:?}{}", cluster.gateway, lost.collect::<Vec<_>>(), own.collect::<String>())
}

/// How long a VIP is claimed, held and disputed.
fn limits(cluster: &Cluster) -> String {
    let of = |vip: &VipPolicy| {
        // A default is made shorter on a host whose server answered at its start.
        let lease = cluster.lease_given.then_some(vip.lease);
        format!(
            "{lease:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            vip.claim_wait,
            vip.linger,
            vip.hung_patience,
            vip.refused_patience,
            vip.takeover_after,
            vip.read_only_primary,
            vip.probe_count,
            vip.probe_spacing,
            vip.own_answer_limit,
            vip.dispute_limit,
        )
    };
    let each = cluster.policy.vips.values().map(of).collect::<Vec<_>>().join(", ");
    format!("{each} {:?}", cluster.policy.group.evidence_age)
}

/// When a dead member is expelled sooner.
fn expelling(cluster: &Cluster) -> String {
    let group = &cluster.policy.group;
    format!("{} {} {} {:?}", group.wake_expel, group.proven_dead, group.fence, group.silent_host)
}

/// Who is fit to have reader VIPs; nothing where there are none.
fn readers(cluster: &Cluster) -> Option<String> {
    let ReaderPolicy { max_transactions, max_age, behind_for, well_for, when_none } =
        &cluster.policy.group.readers;
    cluster.policy.reader_vips().next()?;
    Some(format!("{max_transactions:?} {max_age:?} {behind_for:?} {well_for:?} {when_none:?}"))
}

/// FNV-1a, 32 bits: the same in every build, and no secret.
fn sum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Source;
    use crate::config::fuzzing::configuration;

    const FILE: &str = "[[cluster]]\nname = \"orders\"\nvip = \"10.77.0.100\"\ngateway = \"10.77.0.254\"\nmysql_port = 3306\n\
        user = \"haip\"\npassword = \"secret\"\ninstall_path = \"/\"\nlinger = \"60s\"\n[cluster.members]\n\"10.77.0.11\" = \"eth0\"\n\
        \"10.77.0.12\" = \"eth0\"\n";

    fn of(from: &str, to: &str) -> Alike {
        let text = FILE.replace(from, to);
        assert!(from == to || text != FILE, "{from}");
        Alike::of(&configuration(Source::Toml, text.as_bytes()).unwrap()[0])
    }

    #[test]
    fn each_key_that_must_be_the_same_is_in_the_part_that_is_named() {
        let right = of("", "");
        for (from, to, part) in [
            ("\"10.77.0.12\" = \"eth0\"", "\"10.77.0.13\" = \"eth0\"", "members"),
            ("\"10.77.0.12\" = \"eth0\"", "\"10.77.0.12\" = \"eth1\"", "members"),
            ("3306", "3307", "members"),
            ("10.77.0.100", "10.77.0.101", "vips"),
            ("10.77.0.100", "10.77.0.100/24", "vips"),
            ("10.77.0.254", "10.77.0.253", "gateway"),
            ("linger = \"60s\"", "gateway_lost = \"hold-with-majority\"", "gateway"),
            ("60s", "61s", "limits"),
            ("linger = \"60s\"", "lease = \"9s\"", "limits"),
            ("linger = \"60s\"", "evidence_age = \"2s\"", "limits"),
            ("linger = \"60s\"", "proven_dead = false", "expelling"),
            ("linger = \"60s\"", "silent_host = \"expel\"", "expelling"),
        ] {
            assert_eq!(right.differences(&of(from, to)), [part], "{to}");
        }
    }

    #[test]
    fn the_interface_of_a_vip_is_compared_for_each_host() {
        let of = |interface: &str| {
            let text = format!("{FILE}[[cluster.vips]]\naddress = \"10.78.0.100\"\n{interface}\n");
            Alike::of(&configuration(Source::Toml, text.as_bytes()).unwrap()[0])
        };
        let each = |name| format!("interface = {{ \"10.77.0.11\" = \"eth1\", \"10.77.0.12\" = \"{name}\" }}");
        let right = of("interface = \"eth1\"");
        assert_eq!(right.differences(&of(&each("eth1"))), [""; 0], "another way to say it");
        for other in [String::new(), "interface = \"eth2\"".to_owned(), each("eth2")] {
            assert_eq!(right.differences(&of(&other)), ["vips"], "{other}");
        }
    }

    #[test]
    fn who_may_have_reader_vips_is_compared_where_there_are_any() {
        let reader = "\n[[cluster.vips]]\naddress = \"10.77.0.101\"\nrole = \"reader\"\n";
        let of = |keys: &str, vips: &str| {
            let text = FILE.replace("linger", &format!("{keys}\nlinger")) + vips;
            Alike::of(&configuration(Source::Toml, text.as_bytes()).unwrap()[0])
        };
        let right = of("", reader);
        for key in [
            "reader_max_behind = 100",
            "reader_max_behind = [25000, \"30s\"]",
            "reader_behind_for = \"1s\"",
            "reader_well_for = \"1s\"",
            "when_no_reader = \"nobody\"",
        ] {
            assert_eq!(right.differences(&of(key, reader)), ["readers"], "{key}");
            assert_eq!(of("", "").differences(&of(key, "")), [""; 0], "{key}: no VIP is meant");
        }
        assert_eq!(right.differences(&of("", &reader.replace("reader", "writer"))), ["vips"]);
    }

    #[test]
    fn what_each_host_may_have_as_it_likes_is_left_out() {
        let right = of("", "");
        for (from, to) in [
            ("orders", "other"),
            ("secret", "other"),
            ("install_path = \"/\"", "install_path = \"/tmp\""),
            ("linger = \"60s\"", "socket = \"/run/mysqld/mysqld.sock\""),
            ("linger = \"60s\"", "poll_interval = \"200ms\""),
            ("linger = \"60s\"", "decision_trace = \"all\""),
        ] {
            assert_eq!(right.differences(&of(from, to)), [""; 0], "{to}");
        }
    }

    #[test]
    fn it_is_read_as_it_is_shown_and_a_part_that_only_one_side_knows_is_no_difference() {
        let right = of("", "");
        assert_eq!(Alike::parse(&right.to_string()), Some(right.clone()));
        let newer = Alike::parse(&format!("{right} later:0000000a")).unwrap();
        assert_eq!(right.differences(&newer), [""; 0]);
        assert_eq!(newer.differences(&right), [""; 0]);
        assert_ne!(right.short(), of("60s", "61s").short());
        for text in ["", "members", "members:xyz", "a:1 b"] {
            assert_eq!(Alike::parse(text), None, "{text}");
        }
    }
}
