//! Recorded decisions: a line is read as it is written, and any trace can be played.
#![no_main]

use decide::trace::Line;
use haipmgr::fuzzing::replay;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    for line in content.split(|byte| *byte == b'\n') {
        if let Ok(line) = serde_json::from_slice::<Line>(line) {
            let again = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&again).unwrap(), line, "{again}");
        }
    }
    let mut told = 0;
    match replay(content, |_| told += 1) {
        Ok(replayed) => assert!(told >= replayed.same + replayed.different, "each step is told of"),
        Err(error) => assert!(error.to_string().starts_with("/fuzz:"), "it names the file and line: {error}"),
    }
});
