//! Files that the agent left, or that somebody wrote in their place: a value is never made of a part of them.
#![no_main]

use haipmgr::fuzzing::{expel_timeout, lock_holder, password, stat_mark};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let whole = String::from_utf8_lossy(content);
    match expel_timeout(content) {
        Ok(value) => {
            assert!((1..=3600).contains(&value));
            assert_eq!(whole.trim().parse(), Ok(value), "the whole file's value");
            assert_eq!(
                expel_timeout(format!("{value}\n").as_bytes()).ok(),
                Some(value),
                "as the agent writes it"
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match stat_mark(content) {
        Ok(Some(mark)) => {
            assert_eq!(whole.trim_end(), mark.character().to_string(), "the whole file's mark");
        }
        Ok(None) => {}
        Err(error) => panic!("text in memory can be read: {error}"),
    }
    if let Some(process) = lock_holder(content) {
        assert_eq!(whole.trim().parse(), Ok(process), "the whole file's number");
    }
    match password(content) {
        Ok(password) => {
            let password = password.reveal();
            assert!(!password.is_empty() && !password.contains('\n'));
            assert!(["", "\n", "\r\n"].iter().any(|end| whole == format!("{password}{end}")));
        }
        Err(error) => assert!(error.contains("/fuzz"), "it names the file: {error}"),
    }
});
