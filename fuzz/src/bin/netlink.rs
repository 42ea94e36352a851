//! The kernel's messages about cards and addresses: what a host has is on its cards, and told again it is no news.
#![no_main]

use haipmgr::fuzzing::host_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|messages: &[u8]| {
    let (host, news) = host_of(messages);
    for address in &host.addresses {
        assert!(host.cards.iter().any(|card| card.name == address.card), "{address:?}");
    }
    assert!(!news, "an address that is known was taken for a change");
});
