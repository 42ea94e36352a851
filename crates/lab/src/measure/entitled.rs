//! Reader VIPs on hosts that may not have them: for how long each was there while another host could have had it, by what the
//! witnesses of the servers saw. What nobody could see (a gateway that is lost, a backlog, a pause) is not held against a host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::Holding;
use crate::record::{Recording, Role, What};

/// A word holds for 3 s, and a move takes its time.
pub const ENTITLED_WITHIN: Duration = Duration::from_millis(3_200);

/// A reader VIP stayed on a host that was not entitled to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overstay {
    /// The VIP.
    pub vip: IpAddr,
    /// The host.
    pub host: String,
    /// From when on, microseconds.
    pub from_us: u64,
    /// For how long.
    pub lasted: Duration,
}

/// What a server is to readers, as far as its witness knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// An ONLINE secondary in the majority.
    Secondary,
    /// ONLINE, in the majority, and the one that takes writes.
    Primary,
    /// Neither: its server is gone, or not in the group, or in a minority.
    Neither,
    /// Nobody knows: its server does not answer, or its host has no power.
    Unknown,
}

impl Standing {
    fn told(what: &What) -> Option<Self> {
        match what {
            What::Role(role) => Some(Self::of(role)),
            What::NoRole { asked_us: None, .. } => Some(Self::Neither),
            What::NoRole { asked_us: Some(_), .. } | What::HostDown | What::HostUp => Some(Self::Unknown),
            _ => None,
        }
    }

    fn of(role: &Role) -> Self {
        match role.role.as_str() {
            _ if role.state != "ONLINE" || !role.has_majority() || role.primaries > 1 => Self::Neither,
            "SECONDARY" => Self::Secondary,
            "PRIMARY" => Self::Primary,
            _ => Self::Neither,
        }
    }
}

/// The longest stay of each reader VIP on each host that was not entitled to it while another was, from then on (microseconds).
pub fn overstays(recording: &Recording, vips: &[IpAddr], since_us: u64) -> Vec<Overstay> {
    vips.iter().flat_map(|vip| of_one(recording, *vip, since_us)).collect()
}

fn of_one(recording: &Recording, vip: IpAddr, since_us: u64) -> Vec<Overstay> {
    let holding = Holding::of(vip, recording);
    let mut standings: BTreeMap<&str, Standing> = BTreeMap::new();
    let mut since: BTreeMap<String, u64> = BTreeMap::new();
    let mut longest: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut changes = holding.changes().iter().peekable();
    let mut held: BTreeSet<String> = BTreeSet::new();
    let mut look = |at_us: u64, standings: &BTreeMap<&str, Standing>, held: &BTreeSet<String>| {
        let wrong: BTreeSet<&String> = held.iter().filter(|host| overstays_at(host, standings)).collect();
        since.retain(|host, from| {
            let length = at_us.saturating_sub((*from).max(since_us));
            let known = longest.entry(host.clone()).or_insert((*from, 0));
            if length > known.1 {
                *known = (*from, length);
            }
            wrong.contains(host)
        });
        for host in wrong {
            since.entry(host.clone()).or_insert(at_us);
        }
    };
    for recorded in recording.all() {
        while let Some(change) = changes.next_if(|change| change.at_us <= recorded.at_us) {
            held.clone_from(&change.hosts);
            look(change.at_us, &standings, &held);
        }
        if let Some(standing) = Standing::told(&recorded.what) {
            standings.insert(recorded.who.as_str(), standing);
            look(recorded.at_us, &standings, &held);
        }
    }
    look(super::end(recording), &standings, &held);
    let told = |(host, (from_us, lasted)): (String, (u64, u64))| Overstay {
        vip,
        host,
        from_us,
        lasted: Duration::from_micros(lasted),
    };
    longest.into_iter().filter(|(_, (_, lasted))| *lasted > 0).map(told).collect()
}

/// Not entitled: another could have it, and this host can't, or is the primary while there is a secondary.
fn overstays_at(host: &str, standings: &BTreeMap<&str, Standing>) -> bool {
    let others = |wanted: Standing| standings.iter().any(|(who, is)| *who != host && *is == wanted);
    match standings.get(host) {
        Some(Standing::Neither) => others(Standing::Secondary) || others(Standing::Primary),
        Some(Standing::Primary) => others(Standing::Secondary),
        Some(Standing::Secondary | Standing::Unknown) | None => false,
    }
}

/// The longest of them, whoever's.
pub fn longest(overstays: &[Overstay]) -> Option<&Overstay> {
    overstays.iter().max_by_key(|stay| stay.lasted)
}

impl std::fmt::Display for Overstay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { vip, host, from_us, lasted } = self;
        let from = super::seconds(i64::try_from(*from_us).unwrap_or(i64::MAX));
        write!(f, "{vip} on {host} for {:.3} s from {from:.3} s on", lasted.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::{Address, Recorded};
    use crate::segment::all_readers;

    fn role(role: &str) -> What {
        What::Role(Role {
            state: "ONLINE".into(),
            role: role.into(),
            super_read_only: role == "SECONDARY",
            view: None,
            members: 3,
            unreachable: 0,
            primaries: 1,
        })
    }

    fn recording(more: Vec<(u64, &str, What)>) -> Recording {
        let begin = vec![
            (0, "db1", role("PRIMARY")),
            (0, "db2", role("SECONDARY")),
            (0, "db3", role("SECONDARY")),
            (1, "db2", What::AddressAdded(address())),
        ];
        let all = begin.into_iter().chain(more);
        all.map(|(at_us, who, what)| Recorded { at_us, who: who.into(), what }).collect()
    }

    fn address() -> Address {
        Address { address: all_readers()[0], prefix: 32, interface: "eth0".into() }
    }

    fn found(more: Vec<(u64, &str, What)>) -> Vec<(String, u128)> {
        let all = overstays(&recording(more), &all_readers()[..1], 0);
        all.into_iter().map(|stay| (stay.host, stay.lasted.as_micros())).collect()
    }

    const DEAD: What = What::NoRole { why: String::new(), asked_us: None };

    #[test]
    fn a_dead_servers_vip_overstays_until_it_is_gone() {
        let gone = (160, "db2", What::AddressRemoved(address()));
        assert_eq!(found(vec![(100, "db2", DEAD), gone]), [("db2".to_owned(), 60)]);
        assert_eq!(found(vec![]), []);
    }

    #[test]
    fn the_primary_overstays_while_there_is_a_secondary_and_no_longer() {
        let more = vec![
            (100, "db2", role("PRIMARY")),
            (100, "db1", role("SECONDARY")),
            (130, "db1", DEAD),
            (140, "db3", DEAD),
            (500, "db3", DEAD),
        ];
        assert_eq!(found(more), [("db2".to_owned(), 40)]);
    }

    #[test]
    fn a_server_that_does_not_answer_is_not_said_to_be_dead() {
        let silent = What::NoRole { why: String::new(), asked_us: Some(90) };
        assert_eq!(found(vec![(100, "db2", silent), (900, "db1", role("PRIMARY"))]), []);
    }
}
