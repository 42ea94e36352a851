//! What this crate may read of the rules, and that the document says what the code says.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use oracle::{Excuse, Invariant};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn only_the_inputs_and_outputs_of_the_rules_are_read_and_in_one_place() {
    let allowed = ["fitness", "input", "net", "output", "policy", "time"];
    for file in fs::read_dir(here("src")).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for named in code.flat_map(|line| line.split("decide::").skip(1)) {
            let module: String =
                named.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(allowed.contains(&module.as_str()), "{}: names decide::{named}", path.display());
            assert!(path.ends_with("inputs.rs"), "{}: imports belong in inputs.rs", path.display());
            // What was ordered and how it went, never why: the rules' own reasons prove nothing.
            let of_orders = named.starts_with("output::{Action, Outcome, VipAction};");
            assert!(module != "output" || of_orders, "{}: names decide::{named}", path.display());
        }
    }
}

#[test]
fn the_rules_are_all_that_it_depends_on() {
    let manifest = fs::read_to_string(here("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names: Vec<&str> = dependencies.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(names, ["haipmgr-decide.workspace = true"]);
}

fn has_heading(heading: &str) -> bool {
    let documents = fs::read_dir(here("../../docs")).unwrap().map(|file| file.unwrap().path());
    let documents = documents.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    documents.chain([here("../../ARCHITECTURE.md")]).any(|path| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().any(|line| line.starts_with('#') && line.trim_start_matches(['#', ' ']) == heading)
    })
}

#[test]
fn the_document_has_every_invariant_with_its_sentence_and_every_excuse_with_its_reason() {
    let document = fs::read_to_string(here("../../docs/invariants.md")).unwrap();
    for invariant in Invariant::EACH {
        for words in [invariant.name(), invariant.sentence()] {
            assert!(document.contains(words), "docs/invariants.md lacks: {words}");
        }
    }
    for excuse in Excuse::EACH {
        let (name, reason, documented) = excuse.entry();
        let row = format!("| {name} | {reason} | {documented} |");
        assert!(document.contains(&row), "docs/invariants.md lacks: {row}");
        assert!(has_heading(documented), "no document has the heading: {documented}");
    }
}
