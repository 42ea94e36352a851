//! Whose interface a frame came from.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Holding;
use crate::record::{ArpKind, Recording, What};

/// The hosts by their hardware addresses. An agent's log names a member and its interface; and who announces the VIP while one
/// host alone has it is most likely that host. Each such word counts once, so that a frame heard late decides nothing.
pub(super) fn interfaces(recording: &Recording, vip: IpAddr, holding: &Holding) -> BTreeMap<String, String> {
    let mut hosts: BTreeMap<IpAddr, &str> = BTreeMap::new();
    for recorded in recording.all() {
        if let What::Addresses(all) = &recorded.what {
            hosts.extend(
                all.iter()
                    .filter(|address| address.address != vip && !address.address.is_loopback())
                    .map(|address| (address.address, recorded.who.as_str())),
            );
        }
    }
    let mut said: BTreeMap<(String, String), u32> = BTreeMap::new();
    for recorded in recording.all() {
        let found = match &recorded.what {
            What::Agent { line } => named_interface(line).and_then(|(member, interface)| {
                hosts.get(&member).map(|host| (interface.to_owned(), (*host).to_owned()))
            }),
            What::Arp { from, kind: ArpKind::Announcement, about } if *about == vip => {
                let mut holders = holding.at(recorded.at_us).into_iter();
                match (holders.next(), holders.next()) {
                    (Some(host), None) => Some((from.clone(), host)),
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some(found) = found {
            *said.entry(found).or_default() += 1;
        }
    }
    let mut most: BTreeMap<String, (u32, String)> = BTreeMap::new();
    for ((interface, host), times) in said {
        let best = most.entry(interface).or_insert((0, String::new()));
        if times > best.0 {
            *best = (times, host);
        }
    }
    most.into_iter().map(|(interface, (_, host))| (interface, host)).collect()
}

/// The member and its hardware address in `… member 10.77.0.11 (ea:9e:e8:4b:74:19) …`.
fn named_interface(line: &str) -> Option<(IpAddr, &str)> {
    let (_, rest) = line.split_once("member ")?;
    let (member, rest) = rest.split_once(" (")?;
    let (interface, _) = rest.split_once(')')?;
    (interface.len() == 17 && interface.split(':').count() == 6).then_some((member.parse().ok()?, interface))
}
