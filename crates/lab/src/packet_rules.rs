//! What the network does to packets: the packet filter of a host, or of the switch's end of its cable.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::Stdio;

use crate::group::FIRST;
use crate::host::Host;
use crate::segment::{GATEWAY, Mac, Segment, SegmentError, ipv6};

/// The packet filter could not be set.
#[derive(Debug, thiserror::Error)]
#[error("{host}: can't set the packet filter: {words}. It needs nft and the kernel's nf_tables")]
pub struct FilterError {
    /// The host.
    pub host: String,
    /// What `nft` or the system said.
    pub words: String,
}

/// What is amiss with a cable. Frames of every kind are concerned, ARP too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// What the host sends gets lost.
    NotHeard,
    /// What is sent to the host gets lost.
    HearsNothing,
    /// This many frames of a hundred get lost, in each direction, whichever they are; but not those of the group's
    /// port between members: where it loses as many, the group elects nobody and changes nothing.
    Loses(u8),
    /// Only the group's port gets through between members, and the ARP of the database hosts, without which it could not.
    OnlyTheGroup,
    /// Nothing passes between the host and the gateway.
    NoGateway,
    /// The gateway asks in vain by ARP where the host is, so that no echo is answered; and of the host's own ARP requests, from which it
    /// would learn it too, the first three for the gateway get lost, and all others.
    GatewayAsksInVain,
}

impl Trouble {
    /// The rules for frames that come from the host, and for those that go to it.
    fn rules(self, host: Ipv4Addr) -> (String, String) {
        let port = FIRST.group_port();
        // What the gateway answers comes from its own address, and what is asked about it names it as the target (RFC 4861 section 4.3).
        let v6 = ipv6(GATEWAY);
        let v6_to = format!("ip6 daddr {v6} drop; icmpv6 type nd-neighbor-solicit icmpv6 taddr {v6} drop;");
        let v6_from = format!("ip6 saddr {v6} drop; icmpv6 type nd-neighbor-advert icmpv6 taddr {v6} drop;");
        // Between members: with the stack MYSQL it is the clients' port too.
        let members = "ip saddr 10.77.0.11-10.77.0.15 ip daddr 10.77.0.11-10.77.0.15";
        let of_the_group = format!("{members} tcp dport {port} accept; {members} tcp sport {port} accept;");
        let group = format!(
            "{of_the_group} arp saddr ip 10.77.0.11-10.77.0.15 arp daddr ip 10.77.0.11-10.77.0.15 accept; drop;"
        );
        match self {
            Self::NotHeard => ("drop;".to_owned(), String::new()),
            Self::HearsNothing => (String::new(), "drop;".to_owned()),
            Self::Loses(percent) => {
                let rule = format!("{of_the_group} numgen random mod 100 < {percent} drop;");
                (rule.clone(), rule)
            }
            Self::OnlyTheGroup => (group.clone(), group),
            Self::GatewayAsksInVain => (
                // The counter begins at 0, and does not come round in any test's time.
                format!(
                    "arp operation request arp saddr ip {host} arp daddr ip != {GATEWAY} drop; \
                     arp operation request arp daddr ip {GATEWAY} numgen inc mod 1000000 < 3 drop;"
                ),
                format!("arp operation request arp saddr ip {GATEWAY} drop;"),
            ),
            Self::NoGateway => (
                format!("ip daddr {GATEWAY} drop; arp daddr ip {GATEWAY} drop; {v6_to}"),
                format!("ip saddr {GATEWAY} drop; arp saddr ip {GATEWAY} drop; {v6_from}"),
            ),
        }
    }
}

/// Something is amiss with this host's cable from now on, at the switch's end; what was amiss before is over.
pub fn disturb(segment: &Segment, host: &Host, trouble: Trouble) -> Result<(), FilterError> {
    let (from, to) = trouble.rules(host.address());
    let interface = host.name();
    mend(segment, host)?;
    filter(
        &segment.gateway,
        &format!(
            "table netdev {interface} {{
  chain from {{ type filter hook ingress device \"{interface}\" priority 0; {from} }}
  chain to {{ type filter hook egress device \"{interface}\" priority 0; {to} }}
}}
"
        ),
    )
}

/// The host's cable is well again. One that was well stays so.
pub fn mend(segment: &Segment, host: &Host) -> Result<(), FilterError> {
    filter(&segment.gateway, &rules_that_mend(host.name()))
}

/// The table is made first, so that there is one to delete.
fn rules_that_mend(interface: &str) -> String {
    format!("table netdev {interface} {{ }}\ndelete table netdev {interface}\n")
}

/// Cuts this host off from the other members' hosts on the segment: no frame passes between it and them, whichever it is, but those of the
/// group's port. For these the kernels are told the hardware addresses, which they could not ask for.
pub(crate) fn part_from_members(segment: &Segment, host: &Host) -> Result<(), PartError> {
    let port = FIRST.group_port();
    let of_the_group =
        format!("ip protocol tcp tcp dport {port} accept; ip protocol tcp tcp sport {port} accept;");
    let cut = |one: &Host, from: &[&Host]| -> Result<(), PartError> {
        let macs = from.iter().map(|other| Ok(named(segment.mac(other)?)));
        let macs = macs.collect::<Result<Vec<String>, SegmentError>>()?.join(", ");
        for other in from {
            segment.pin_neighbor(one, other)?;
        }
        let interface = one.name();
        mend(segment, one)?;
        filter(
            &segment.gateway,
            &format!(
                "table netdev {interface} {{
  chain to {{ type filter hook egress device \"{interface}\" priority 0; {of_the_group} ether saddr {{ {macs} }} drop; }}
}}
"
            ),
        )?;
        Ok(())
    };
    let others: Vec<&Host> = segment.databases.iter().filter(|other| other.name() != host.name()).collect();
    cut(host, &others)?;
    others.iter().try_for_each(|other| cut(other, &[host]))
}

/// Undoes [`part_from_members`], as far as it was done: for all hosts in one breath, as when a switch forwards again.
pub(crate) fn reunite_with_members(segment: &Segment, host: &Host) -> Result<(), PartError> {
    let mended = segment.databases.iter().map(|one| rules_that_mend(one.name()));
    filter(&segment.gateway, &mended.collect::<String>())?;
    for one in segment.databases.iter().filter(|one| one.name() != host.name()) {
        Segment::forget_neighbor(one, host.address().into())?;
        Segment::forget_neighbor(host, one.address().into())?;
    }
    Ok(())
}

/// A hardware address as `nft` has it.
fn named(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// A host could not be cut off from the others, or not be brought back.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The packet filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// What the kernels know of their neighbors.
    #[error(transparent)]
    Segment(#[from] SegmentError),
}

/// Drops what comes and goes at the group's port, as a firewall rule put on the wrong host would; with the stack MYSQL that is the
/// clients' port too. What a host sends to itself passes.
pub(crate) fn cut_group_port(host: &Host) -> Result<(), FilterError> {
    let port = FIRST.group_port();
    let rules = format!("tcp dport {port} drop; tcp sport {port} drop;");
    at_the_host(host, &rules, &rules)
}

/// What [`cut_group_port`] does, by a firewall that refuses connections (TCP's reset), as `REJECT --reject-with tcp-reset` does.
pub(crate) fn refuse_group_port(host: &Host) -> Result<(), FilterError> {
    let port = FIRST.group_port();
    let incoming = format!("tcp dport {port} reject with tcp reset; tcp sport {port} drop;");
    at_the_host(host, &incoming, &format!("tcp dport {port} drop;"))
}

fn at_the_host(host: &Host, incoming: &str, outgoing: &str) -> Result<(), FilterError> {
    filter(
        host,
        &format!(
            "table inet lab {{
  chain in {{ type filter hook input priority 0; iifname \"lo\" accept; {incoming} }}
  chain out {{ type filter hook output priority 0; oifname \"lo\" accept; {outgoing} }}
}}
"
        ),
    )
}

/// Drops what the host's kernel answers by ARP; what it asks goes out.
pub(crate) fn drop_arp_replies(host: &Host) -> Result<(), FilterError> {
    let out = "chain out { type filter hook output priority 0; arp operation reply drop; }";
    filter(host, &format!("table arp lab {{\n  {out}\n}}\n"))
}

/// Takes a host's own rules away.
pub(crate) fn remove(host: &Host) -> Result<(), FilterError> {
    filter(host, "flush ruleset\n")
}

/// Feeds `nft` on the host.
fn filter(host: &Host, rules: &str) -> Result<(), FilterError> {
    let failed = |words: String| FilterError { host: host.name().to_owned(), words };
    let mut child = host
        .rooted_command("/usr/sbin/nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(rules.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}
