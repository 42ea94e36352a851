//! The history's lines: each is a switch, broken, or a later version's; a switch that is written again is read as it was.
#![no_main]

use haipmgr::fuzzing::history;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let read = history(content);
    let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert_eq!(read.records.len() + read.broken + read.newer, lines, "each line is counted once");
    for record in &read.records {
        assert!(record.time().is_some(), "a line without a time is broken");
        let again = serde_json::to_vec(record).unwrap();
        let again = history(&again);
        assert_eq!((again.records.len(), again.broken, again.newer), (1, 0, 0), "it is one line");
        let again = &again.records[0];
        // Numbers with a fraction may lose their last digit.
        assert_eq!(
            (&again.id, &again.at, &again.sentence, &again.by),
            (&record.id, &record.at, &record.sentence, &record.by)
        );
    }
});
