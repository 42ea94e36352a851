//! TOML configurations: each problem has its place, and what is accepted is what the rules accept.
#![no_main]

#[path = "../configuration.rs"]
mod configuration;

use haipmgr::config::Source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let _checked = configuration::check(Source::Toml, content);
});
