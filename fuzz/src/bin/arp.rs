//! ARP frames: what is understood is what was sent.
#![no_main]

use haipmgr::wire::arp::{ArpFrame, FRAME_LENGTH};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match ArpFrame::decode(bytes) {
        Ok(frame) => {
            assert_eq!(Some(&frame.encode()[..]), bytes.get(..FRAME_LENGTH), "written back as it was read");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
