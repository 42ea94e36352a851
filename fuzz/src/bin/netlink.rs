//! The kernel's messages about interfaces and addresses: what a host has is on its interfaces, and told again it is no news.
#![no_main]

use haipmgr::fuzzing::host_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|messages: &[u8]| {
    let (host, names, news) = host_of(messages);
    for address in &host.addresses {
        assert!(names.contains(&address.interface), "{address:?}");
    }
    for interface in &host.interfaces {
        assert!(names.contains(&interface.name), "{interface:?}");
    }
    assert!(!news, "an address that is known was taken for a change");
});
