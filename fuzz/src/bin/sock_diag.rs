//! The kernel's table of TCP sockets: only connections of the address that was asked about are ever touched.
#![no_main]

use std::net::Ipv4Addr;

use haipmgr::fuzzing::sockets_of;
use libfuzzer_sys::fuzz_target;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

fuzz_target!(|datagram: &[u8]| {
    match sockets_of(VIP, datagram) {
        Ok((found, _)) => {
            assert!(found.iter().all(|local| local.to_canonical() == VIP), "{found:?}");
            assert!(found.len() <= datagram.len() / 16, "more messages than there is room for");
        }
        Err(error) => assert!(!error.is_empty()),
    }
});
