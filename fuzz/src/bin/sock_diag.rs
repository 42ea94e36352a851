//! The kernel's table of TCP sockets: only connections of the address that was asked about are ever touched.
#![no_main]

use std::net::Ipv4Addr;

use libfuzzer_sys::fuzz_target;
use linux::sock_diag::sockets_in;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

fuzz_target!(|datagram: &[u8]| {
    match sockets_in(VIP.into(), datagram) {
        Ok((found, _)) => {
            assert!(found.iter().all(|local| local.to_canonical() == VIP), "{found:?}");
            assert!(found.len() <= datagram.len() / 16, "more messages than there is room for");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
