//! ARP frames: what is understood is what was sent, and who is said to be where is what the frame says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::NeighborMessage;
use wire::arp::{ArpFrame, FRAME_LENGTH};

fuzz_target!(|bytes: &[u8]| {
    match ArpFrame::decode(bytes) {
        Ok(frame) => {
            assert_eq!(Some(&frame.encode()[..]), bytes.get(..FRAME_LENGTH), "written back as it was read");
            match NeighborMessage::decode(bytes) {
                Ok((from, message)) => {
                    assert_eq!(Some(message), frame.message());
                    assert_eq!(from, frame.sender_mac);
                    if let Some(sender) = message.sender_address() {
                        assert_eq!(sender, frame.sender_address, "nobody speaks for another's address");
                    }
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
