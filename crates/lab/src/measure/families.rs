//! One writer with a VIP in each family: for how long the one had moved, and the other had not.

use std::net::IpAddr;

use super::{Holding, Reading, difference};
use crate::record::Recording;

/// Two moves to one host that are further apart are not the same switch's, microseconds.
const ONE_SWITCH: u64 = 60_000_000;

/// For each move of the first VIP since then (microseconds), how long before or after it the second one came to the same host; never, where it did not.
pub fn apart(recording: &Recording, first: IpAddr, second: IpAddr, since_us: u64) -> Vec<Reading> {
    let seconds = moves(&Holding::of(second, recording));
    let nearest = |(at_us, host): (u64, String)| {
        let to_it =
            seconds.iter().filter(|(_, to)| *to == host).map(|(other_us, _)| other_us.abs_diff(at_us));
        let apart = to_it.filter(|apart| *apart < ONE_SWITCH).min();
        apart.map_or(Reading::Never(difference(0, ONE_SWITCH)), |apart| Reading::between(0, apart))
    };
    let moved = moves(&Holding::of(first, recording)).into_iter();
    moved.filter(|(at_us, _)| *at_us >= since_us).map(nearest).collect()
}

/// When it came to another host than the one that had it before, and to which.
fn moves(holding: &Holding) -> Vec<(u64, String)> {
    let mut last = None;
    let mut found = Vec::new();
    for change in holding.changes() {
        let mut hosts = change.hosts.iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { continue };
        if last.replace(host).is_some_and(|before| before != host) {
            found.push((change.at_us, host.clone()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::{Address, Recorded, What};

    #[test]
    fn a_move_of_both_is_as_far_apart_as_their_comings_and_one_alone_never_ends() {
        let [first, second]: [IpAddr; 2] = ["10.77.0.100", "fd77::100"].map(|text| text.parse().unwrap());
        let told = |at_us, who: &str, address: IpAddr, comes: bool| {
            let address = Address { address, prefix: 32, interface: "eth0".into() };
            let what = if comes { What::AddressAdded(address) } else { What::AddressRemoved(address) };
            Recorded { at_us, who: who.into(), what }
        };
        let mut all = vec![told(1, "db1", first, true), told(2, "db1", second, true)];
        for (at, address, who) in [(1_000, first, "db2"), (1_300, second, "db2")] {
            all.extend([told(at, "db1", address, false), told(at + 100, who, address, true)]);
        }
        all.extend([told(5_000, "db2", first, false), told(5_100, "db3", first, true)]);
        let recording = Recording::from_iter(all);
        let all = [Reading::After(300), Reading::Never(60_000_000)];
        assert_eq!(apart(&recording, first, second, 0), all);
        assert_eq!(apart(&recording, first, second, 2_000), all[1..]);
    }
}
