//! A server's answer, packet by packet: each packet after one byte with its length, the first byte says whether to a prepared
//! statement.
#![no_main]

use haipmgr::fuzzing::mysql_answer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((prepared, mut rest)) = bytes.split_first() else { return };
    let mut packets = Vec::new();
    while let Some((length, after)) = rest.split_first() {
        let (packet, left) = after.split_at(usize::from(*length).min(after.len()));
        packets.push(packet);
        rest = left;
    }
    match mysql_answer(prepared & 1 == 1, &packets) {
        Err(words) => assert!(!words.is_empty()),
        Ok(None) => {}
        Ok(Some(rows)) => {
            assert!(rows.len() <= 64 && rows.len() <= packets.len(), "each row is a packet");
            if let Some(first) = rows.first() {
                assert!(rows.iter().all(|row| row.len() == first.len()), "each row has each column");
            }
        }
    }
});
