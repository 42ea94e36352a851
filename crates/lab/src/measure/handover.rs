//! From an address gone on one host to the same address there on the next.

use std::net::IpAddr;

use super::{Holding, Reading};
use crate::record::Recording;

/// For each move of this VIP, how long no host had it: from its removal on the old host to its coming on the new one.
pub fn handovers(recording: &Recording, vip: IpAddr) -> Vec<Reading> {
    let mut all = Vec::new();
    let (mut last, mut gone) = (None, None);
    for change in Holding::of(vip, recording).changes() {
        let mut hosts = change.hosts.iter();
        match (hosts.next(), hosts.next()) {
            (None, _) => gone = last.is_some().then_some(change.at_us),
            (Some(host), None) => {
                let from = gone.take().filter(|_| last.as_ref().is_some_and(|last| last != host));
                all.extend(from.map(|from| Reading::between(from, change.at_us)));
                last = Some(host.clone());
            }
            // Two hosts have it: no handover, and judged elsewhere.
            _ => gone = None,
        }
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::{Address, Recorded, What};

    #[test]
    fn a_handover_is_from_gone_there_to_here_and_coming_back_to_the_same_host_is_none() {
        let vip: IpAddr = "fd77::100".parse().unwrap();
        let told = |at_us, who: &str, comes: bool| {
            let address = Address { address: vip, prefix: 128, interface: "eth0".into() };
            let what = if comes { What::AddressAdded(address) } else { What::AddressRemoved(address) };
            Recorded { at_us, who: who.into(), what }
        };
        let recording = Recording::from_iter([
            told(1, "db1", true),
            told(100, "db1", false),
            told(150, "db2", true),
            told(300, "db2", false),
            told(900, "db2", true),
            told(1_000, "db3", true),
            told(1_100, "db2", false),
            told(2_000, "db3", false),
            told(2_025, "db1", true),
        ]);
        assert_eq!(handovers(&recording, vip), [Reading::After(50), Reading::After(25)]);
    }
}
