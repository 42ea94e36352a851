//! What a fault meant for who reads through a reader VIP: when its address was elsewhere, when reads went on, and how long they paused.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Fault, Holding, Reading, faults};
use crate::record::{Recorded, Recording, What};
use crate::segment::all_readers;

/// What a fault meant for one reader VIP.
#[derive(Clone, Debug, PartialEq)]
pub struct Readership {
    /// The fault's name.
    pub fault: String,
    /// The host that it was done to.
    pub host: String,
    /// When it was injected, microseconds.
    pub injected_us: u64,
    /// The VIP.
    pub vip: IpAddr,
    /// Who had it then.
    pub before: BTreeSet<String>,
    /// Who had it first after that; the same where it did not move.
    pub after: BTreeSet<String>,
    /// Fault → its server calls itself ONLINE no more, or is gone, by its own witness. It does not apply where it did neither.
    pub seen: Reading,
    /// Fault → it is on another host than before. It does not apply where it did not move, and nothing was done to its host.
    pub moved: Reading,
    /// Fault → the first good read at another server, by whoever reads. It does not apply where it did not move.
    pub read: Reading,
    /// The longest time between two good reads of who connects anew for each.
    pub outage: Reading,
    /// The same of the connection that stays.
    pub stays: Reading,
    /// How long two hosts had it together until the next fault.
    pub two_holders: Reading,
    /// How often it came to a host, until what was done was undone.
    pub moves: usize,
}

/// For each fault and each reader VIP that somebody had then, in order.
pub fn readerships(recording: &Recording) -> Vec<Readership> {
    let mut found = Vec::new();
    for fault in faults(recording) {
        for vip in all_readers() {
            let holding = Holding::of(vip, recording);
            let before = holding.at(fault.injected_us.saturating_sub(1));
            if !before.is_empty() {
                found.push(of(&fault, vip, &holding, before, recording));
            }
        }
    }
    found
}

fn of(
    fault: &Fault<'_>,
    vip: IpAddr,
    holding: &Holding,
    before: BTreeSet<String>,
    recording: &Recording,
) -> Readership {
    let healed_us = fault.healed_us.min(fault.end_us);
    let never = Reading::Never(super::difference(fault.injected_us, healed_us));
    let within = |at_us: u64| at_us >= fault.injected_us && at_us < healed_us;
    let comings = || {
        let changes = holding.changes().iter().filter(|change| within(change.at_us));
        changes.filter(|change| !change.hosts.is_empty())
    };
    let elsewhere = comings().find(|change| change.hosts.difference(&before).next().is_some());
    let is_its = before.contains(fault.host);
    let (moved, read) = match elsewhere {
        Some(change) => {
            let read = first_read(recording, vip, fault.injected_us, &before, within);
            (fault.after(change.at_us), read.map_or(never, |at_us| fault.after(at_us)))
        }
        None if is_its => (never, never),
        None => (Reading::DoesNotApply, Reading::DoesNotApply),
    };
    Readership {
        fault: fault.name.to_owned(),
        host: fault.host.to_owned(),
        injected_us: fault.injected_us,
        vip,
        seen: no_longer_online(recording, fault, within),
        after: elsewhere.map_or_else(|| before.clone(), |change| change.hosts.clone()),
        before,
        moved,
        read,
        outage: longest_pause(recording, vip, false, fault.injected_us, healed_us),
        stays: longest_pause(recording, vip, true, fault.injected_us, healed_us),
        two_holders: Reading::between(0, holding.two_holders(fault.injected_us, fault.end_us)),
        moves: comings().count(),
    }
}

/// When the server of the fault's host first said that it is not ONLINE, or was gone.
fn no_longer_online(recording: &Recording, fault: &Fault<'_>, within: impl Fn(u64) -> bool) -> Reading {
    let of_host = |recorded: &&Recorded| recorded.who == fault.host && within(recorded.at_us);
    let is_no_more = |recorded: &&Recorded| match &recorded.what {
        What::Role(role) => role.state != "ONLINE",
        What::NoRole { asked_us, .. } => asked_us.is_none(),
        _ => false,
    };
    let found = recording.all().iter().filter(of_host).find(is_no_more);
    found.map_or(Reading::DoesNotApply, |recorded| fault.after(recorded.at_us))
}

/// When somebody first read at another server than those, by a read begun since then.
fn first_read(
    recording: &Recording,
    vip: IpAddr,
    since_us: u64,
    before: &BTreeSet<String>,
    within: impl Fn(u64) -> bool,
) -> Option<u64> {
    recording.all().iter().filter(|recorded| within(recorded.at_us)).find_map(|recorded| {
        let What::Read { about, server, sent_us, .. } = &recorded.what else { return None };
        let elsewhere = *about == vip && *sent_us >= since_us && !before.contains(server);
        elsewhere.then_some(recorded.at_us)
    })
}

/// The longest time between two good reads that ended between these moments; never, where one is still open for longer than a second.
pub fn longest_pause(recording: &Recording, vip: IpAddr, staying: bool, from_us: u64, to_us: u64) -> Reading {
    let told = |recorded: &Recorded| match &recorded.what {
        What::Read { about, stays, pause_us, .. } if *about == vip && *stays == staying => {
            Some((recorded.at_us, *pause_us))
        }
        _ => None,
    };
    let all: Vec<(u64, u64)> = recording.all().iter().filter_map(told).collect();
    if all.is_empty() {
        return Reading::DoesNotApply;
    }
    // What is told at the first look after the moment may have begun before it: it is of the same second.
    let during = all.iter().filter(|(at_us, _)| *at_us >= from_us && *at_us < to_us);
    let longest = during.clone().map(|(_, pause)| *pause).max().unwrap_or_default();
    let last = during.max_by_key(|(at_us, _)| *at_us).map_or(from_us, |(at_us, _)| *at_us);
    // Good reads are told once a second.
    if to_us.saturating_sub(last) > OPEN_PAUSE {
        return Reading::Never(super::difference(last, to_us));
    }
    Reading::between(0, longest)
}

/// A second between two lines, and a moment.
const OPEN_PAUSE: u64 = 2_000_000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::{Address, Expects, Phase};

    #[test]
    fn a_readers_death_is_told_by_its_address_elsewhere_and_by_the_first_good_read_there() {
        let vip = all_readers()[0];
        let told = |at_us, who: &str, what| Recorded { at_us, who: who.into(), what };
        let address = || Address { address: vip, prefix: 32, interface: "eth0".into() };
        let fault = |phase| What::Fault {
            name: "reader-kill-9".into(),
            host: "db2".into(),
            target: None,
            expects: Expects::SamePrimary,
            phase,
        };
        let read = |server: &str, sent_us, pause_us| What::Read {
            about: vip,
            stays: false,
            server: server.into(),
            sent_us,
            reads: 1,
            pause_us,
        };
        let recording = Recording::from_iter([
            told(10, "db2", What::AddressAdded(address())),
            told(900_000, "reader", read("db2", 899_000, 7_000)),
            told(1_000_000, "lab", fault(Phase::Injected)),
            told(1_060_000, "db2", What::AddressRemoved(address())),
            told(1_061_000, "db3", What::AddressAdded(address())),
            told(1_070_000, "reader", read("db3", 1_064_000, 75_000)),
            told(2_100_000, "reader", read("db3", 2_099_000, 8_000)),
            told(3_000_000, "lab", fault(Phase::Healed)),
        ]);
        let [found] = readerships(&recording).try_into().unwrap();
        assert_eq!((found.moved, found.read), (Reading::After(61_000), Reading::After(70_000)));
        assert_eq!((found.outage, found.stays), (Reading::After(75_000), Reading::DoesNotApply));
        assert_eq!((found.two_holders, found.moves), (Reading::After(0), 1));
        assert!(found.before.contains("db2") && found.after.contains("db3"));
    }
}
