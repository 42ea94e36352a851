//! Lengths of time: what is written is what was read.
#![no_main]

use std::time::Duration;

use haipmgr::config::format_duration;
use haipmgr::fuzzing::length_of_time;
use libfuzzer_sys::fuzz_target;

/// No key takes a longer one.
const LONGEST: Duration = Duration::from_secs(86_400);

fuzz_target!(|text: &str| {
    match length_of_time(text) {
        Ok(length) if length <= LONGEST => {
            assert_eq!(length_of_time(&format_duration(length)), Ok(length), "{}", format_duration(length));
        }
        Ok(_) => {}
        Err(words) => assert!(words.contains("\"100ms\""), "it says what to write instead: {words}"),
    }
});
