//! The control socket: a request, or an answer, is what was written, and can be written again.
#![no_main]

use haipmgr::control::message::{Answer, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::parse(bytes) {
        // A name that grows past the limit as it is written in full is refused, and not cut.
        if let Ok(line) = request.line() {
            assert_eq!(Request::parse(line.as_bytes()).ok(), Some(request), "read back as it was written");
        }
    }
    if let Ok(answer) = Answer::parse(bytes)
        && let Ok(line) = answer.line()
    {
        assert_eq!(Answer::parse(line.as_bytes()).ok(), Some(answer), "read back as it was written");
    }
});
