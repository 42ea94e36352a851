//! Neighbor solicitations and advertisements: what is understood is understood again when it is written back, and is what a node
//! may act on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::NeighborMessage;
use wire::ndisc::{Ndisc, solicited_node};

fuzz_target!(|bytes: &[u8]| {
    let read = match Ndisc::decode(bytes) {
        Ok(read) => read,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(Ndisc::decode(&read.encode()), Ok(read), "written back it says the same");
    assert_eq!(bytes[21], 255, "of this link");
    assert!(!read.target.is_multicast());
    match NeighborMessage::decode(bytes) {
        Ok((from, message)) => {
            assert_eq!((from, message), (read.sender_mac(), read.message()));
            match message {
                NeighborMessage::Probe { .. } | NeighborMessage::Release { .. } => {
                    assert!(read.source.is_unspecified());
                    assert_eq!(read.destination, solicited_node(read.target));
                }
                NeighborMessage::Question { asker, .. } | NeighborMessage::Word { asker, .. } => {
                    assert_eq!(asker, read.source);
                }
                NeighborMessage::Reply { address, .. } | NeighborMessage::Announcement { address } => {
                    assert_eq!(address, read.target);
                }
            }
        }
        Err(error) => panic!("{error}"),
    }
});
