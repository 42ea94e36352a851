//! The Python program's `parameter.py`: each problem has its place, and what is understood says the same as TOML.
#![no_main]

#[path = "../configuration.rs"]
mod configuration;

use haipmgr::config::Source;
use haipmgr::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let read = configuration::check(Source::ParameterPy, content);
    let converted = fuzzing::converted(content);
    let Ok(clusters) = read else {
        assert!(converted.is_err(), "a file with problems is not converted");
        return;
    };
    let Ok(toml) = converted else { panic!("a good file is converted: {converted:?}") };
    match fuzzing::configuration(Source::Toml, toml.as_bytes()) {
        Err(problems) => panic!("{problems}\n{toml}"),
        Ok(mut same) => {
            // What differs is said in the TOML's own head.
            for (cluster, was) in same.iter_mut().zip(&clusters) {
                for (vip, was) in cluster.policy.vips.values_mut().zip(was.policy.vips.values()) {
                    vip.lease = was.lease;
                    vip.linger = was.linger;
                }
            }
            assert_eq!(same, clusters, "{toml}");
        }
    }
});
