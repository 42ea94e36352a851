//! `docs/configuration.md` says what the program's own table of keys says.

#![allow(clippy::expect_used)]

use std::path::Path;

#[test]
fn the_page_of_configuration_keys_is_current() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let current = haipmgr::config::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, &current).expect("docs/configuration.md can be written");
    }
    let there = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        there == current,
        "docs/configuration.md is not current; type: UPDATE_DOCS=1 cargo test -p haipmgr --test configuration_page"
    );
}
