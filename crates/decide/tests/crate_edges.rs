//! Which crate depends on which: ARCHITECTURE.md's table is what the manifests say, no more and no less. (Among the files of a
//! crate: tests/imports.rs here and in haipmgr.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Edges = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folders of the workspace's crates, and fuzz, which is a workspace of its own.
fn folders() -> Vec<String> {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut folders: Vec<String> = crates.map(|name| format!("crates/{}", name.to_str().unwrap())).collect();
    folders.push("fuzz".to_owned());
    folders
}

fn short(folder: &str) -> &str {
    folder.trim_start_matches("crates/")
}

/// What a manifest depends on of ours, for what is shipped and not for tests.
fn of_manifest(manifest: &str) -> BTreeSet<String> {
    let sections = manifest.split("\n[").filter(|section| {
        let name = section.split(']').next().unwrap();
        name.ends_with("dependencies") && !name.ends_with("dev-dependencies")
    });
    let names = sections.flat_map(str::lines).filter_map(|line| line.split(['.', ' ', '=']).next());
    let ours = names.filter(|name| *name == "haipmgr" || name.starts_with("haipmgr-"));
    ours.map(|name| name.trim_start_matches("haipmgr-").to_owned()).collect()
}

fn of_manifests() -> Edges {
    let edge = |folder: String| {
        let manifest = fs::read_to_string(root().join(&folder).join("Cargo.toml")).unwrap();
        (short(&folder).to_owned(), of_manifest(&manifest))
    };
    folders().into_iter().map(edge).collect()
}

/// The table under "The crates": its first column names the crate, its last one, among other words, those that it depends on.
fn of_table(document: &str) -> Edges {
    let section = document.split("\n## The crates\n").nth(1).expect("the heading \"The crates\"");
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let crates: BTreeSet<String> = folders().iter().map(|folder| short(folder).to_owned()).collect();
    let edge = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        // What is in backticks is a program or a file.
        let plain: String = cells[2].split('`').step_by(2).collect();
        let words = plain.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned);
        (short(cells[0].trim_matches('`')).to_owned(), words.filter(|word| crates.contains(word)).collect())
    };
    rows.take_while(|line| line.starts_with('|')).map(edge).collect()
}

#[test]
fn each_crate_depends_on_what_the_table_in_architecture_says() {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert_eq!(of_manifests(), of_table(&document), "left: the manifests, right: ARCHITECTURE.md");
}

#[test]
fn the_packets_and_the_kernel_know_nothing_of_the_rules_and_the_rules_nothing_of_anybody() {
    let edges = of_manifests();
    assert!(edges["decide"].is_empty() && edges["wire"].is_empty(), "{edges:?}");
    assert!(!edges["linux"].contains("decide") && !edges["haipmgr"].contains("oracle"), "{edges:?}");
}

#[test]
fn a_manifest_is_read_whole_and_without_what_its_tests_need() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nhaipmgr-decide.workspace = true\nserde = \"1\"\n\n\
        [target.'cfg(unix)'.dependencies]\nhaipmgr-wire = { path = \"../wire\" }\n\n\
        [dev-dependencies]\nhaipmgr-oracle.workspace = true\n";
    assert_eq!(of_manifest(manifest), BTreeSet::from(["decide".to_owned(), "wire".to_owned()]));
}
