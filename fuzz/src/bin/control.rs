//! The control socket: a request, or an answer, is what was written, and can be written again, for either version of the protocol.
#![no_main]

use haipmgr::control::message::{Answer, PROTOCOL, Request, Speaks};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((request, _)) = Request::parse(bytes) {
        // A name that grows past the limit as it is written in full is refused, and not cut.
        for line in [request.line(), request.line_for_version_0_1()].into_iter().flatten() {
            let again = Request::parse(line.as_bytes()).ok().map(|(again, _)| again);
            assert_eq!(again.as_ref(), Some(&request), "read back as it was written");
        }
    }
    if let Ok((answer, _)) = Answer::parse(bytes) {
        for to in [Speaks::Protocol(PROTOCOL), Speaks::Version01] {
            if let Ok(line) = answer.line(to) {
                let again = Answer::parse(line.as_bytes()).ok().map(|(again, _)| again);
                assert_eq!(again.as_ref(), Some(&answer), "read back as it was written");
            }
        }
    }
});
