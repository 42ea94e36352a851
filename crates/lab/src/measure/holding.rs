//! Who held the address, from when to when.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::record::{Address, Recording, What};

/// The interface of every host that leads nowhere.
const LOOPBACK: &str = "lo";

/// From this moment until the next one's, exactly these hosts held the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders {
    /// Microseconds.
    pub at_us: u64,
    /// The hosts' names.
    pub hosts: BTreeSet<String>,
}

/// Who held an address throughout a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    changes: Vec<Holders>,
}

impl Holding {
    /// From the address witnesses' words. A host without power holds nothing, whatever its witness said last; and an address on a
    /// loopback is no holding: a test plants such copies, as direct routing does on purpose. What that leads clients to is shown by the
    /// test itself, which demands that the copy is gone (`vip_on_a_members_loopback`).
    pub fn of(vip: IpAddr, recording: &Recording) -> Self {
        let mut there: BTreeMap<&str, BTreeSet<&Address>> = BTreeMap::new();
        let mut changes: Vec<Holders> = Vec::new();
        for recorded in recording.all() {
            let on_host = there.entry(recorded.who.as_str()).or_default();
            match &recorded.what {
                What::Addresses(all) => {
                    *on_host = all.iter().filter(|address| is_holding(address, vip)).collect();
                }
                What::AddressAdded(address) if is_holding(address, vip) => {
                    on_host.insert(address);
                }
                What::AddressRemoved(address) if is_holding(address, vip) => {
                    on_host.remove(address);
                }
                What::HostDown => on_host.clear(),
                _ => continue,
            }
            let hosts: BTreeSet<String> = there
                .iter()
                .filter(|(_, addresses)| !addresses.is_empty())
                .map(|(host, _)| (*host).to_owned())
                .collect();
            if changes.last().map_or(!hosts.is_empty(), |last| last.hosts != hosts) {
                changes.push(Holders { at_us: recorded.at_us, hosts });
            }
        }
        Self { changes }
    }

    /// Whether no host ever held it: a run without agents.
    pub fn is_of_nobody(&self) -> bool {
        self.changes.is_empty()
    }

    /// Each change, in order.
    pub fn changes(&self) -> &[Holders] {
        &self.changes
    }

    /// Who held it at a moment (a change at that very moment included).
    pub fn at(&self, at_us: u64) -> BTreeSet<String> {
        self.changes
            .iter()
            .take_while(|change| change.at_us <= at_us)
            .last()
            .map(|change| change.hosts.clone())
            .unwrap_or_default()
    }

    /// The stretches within `from_us..to_us`: start, end, holders.
    pub fn stretches(&self, from_us: u64, to_us: u64) -> Vec<(u64, u64, BTreeSet<String>)> {
        let starts = std::iter::once((from_us, self.at(from_us))).chain(
            self.changes
                .iter()
                .filter(|change| change.at_us > from_us && change.at_us < to_us)
                .map(|change| (change.at_us, change.hosts.clone())),
        );
        let starts: Vec<(u64, BTreeSet<String>)> = starts.collect();
        let ends = starts.iter().skip(1).map(|(start, _)| *start).chain(std::iter::once(to_us));
        starts.iter().zip(ends).map(|((start, hosts), end)| (*start, end, hosts.clone())).collect()
    }

    /// How long, in `from_us..to_us`, two hosts or more held it together. Microseconds.
    pub fn two_holders(&self, from_us: u64, to_us: u64) -> u64 {
        self.stretches(from_us, to_us)
            .iter()
            .filter(|(_, _, hosts)| hosts.len() > 1)
            .map(|(start, end, _)| end.saturating_sub(*start))
            .sum()
    }
}

fn is_holding(address: &Address, vip: IpAddr) -> bool {
    address.address == vip && address.interface != LOOPBACK
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::Recorded;

    const VIP: &str = "10.77.0.100";

    fn address(interface: &str) -> Address {
        Address { address: VIP.parse().unwrap(), prefix: 32, interface: interface.into() }
    }

    fn holding(all: Vec<(u64, &str, What)>) -> Holding {
        let recording =
            all.into_iter().map(|(at_us, who, what)| Recorded { at_us, who: who.into(), what }).collect();
        Holding::of(VIP.parse().unwrap(), &recording)
    }

    #[test]
    fn two_holders_is_the_time_that_both_show_the_address_and_not_a_microsecond_more() {
        let holding = holding(vec![
            (0, "db1", What::Addresses(vec![address("eth0")])),
            (100, "db2", What::AddressAdded(address("eth0"))),
            (130, "db1", What::AddressRemoved(address("eth0"))),
            (200, "db3", What::AddressAdded(address("eth0"))),
            (205, "db2", What::AddressRemoved(address("eth0"))),
        ]);
        assert_eq!(holding.two_holders(0, 1000), 35);
        assert_eq!(holding.two_holders(110, 120), 10);
        assert_eq!(holding.two_holders(130, 200), 0);
    }

    #[test]
    fn a_copy_on_a_loopback_is_no_holder() {
        let holding = holding(vec![
            (0, "db1", What::Addresses(vec![address("eth0")])),
            (10, "db2", What::AddressAdded(address("lo"))),
            (20, "db3", What::Addresses(vec![address("lo")])),
            (30, "db2", What::AddressRemoved(address("lo"))),
        ]);
        assert_eq!(holding.two_holders(0, 100), 0);
        assert_eq!(holding.at(25), BTreeSet::from(["db1".to_owned()]));
    }

    #[test]
    fn an_address_on_two_interfaces_of_one_host_has_one_holder_until_both_are_gone() {
        let holding = holding(vec![
            (0, "db1", What::AddressAdded(address("eth0"))),
            (1, "db1", What::AddressAdded(address("eth1"))),
            (2, "db1", What::AddressRemoved(address("eth0"))),
        ]);
        assert_eq!(holding.two_holders(0, 10), 0);
        assert_eq!(holding.at(5), BTreeSet::from(["db1".to_owned()]));
    }

    #[test]
    fn a_host_without_power_holds_nothing_and_after_its_return_what_its_witness_finds() {
        let holding = holding(vec![
            (0, "db1", What::AddressAdded(address("eth0"))),
            (10, "db1", What::HostDown),
            (20, "db2", What::AddressAdded(address("eth0"))),
            (30, "db1", What::HostUp),
            (31, "db1", What::Addresses(Vec::new())),
        ]);
        assert_eq!(holding.two_holders(0, 100), 0);
        assert_eq!(holding.at(15), BTreeSet::new());
    }
}
