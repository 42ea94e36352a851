//! Who may import whom within the agent (ARCHITECTURE.md): what sees and what acts never know each other, nor the configuration; only
//! `agent` sees both.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crate's roots, and what makes the private parsers available to fuzzing: they see all and do nothing.
const ROOTS: [&str; 3] = ["lib", "main", "fuzzing"];
/// The command line asks for single parts of both before an agent runs, and starts it.
const COMMAND_LINE: &str = "commands";

/// Each module of the crate's root, and those that it names: in a `use` line or in full, its tests left out.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_stem().unwrap() != "tests" {
                let module: PathBuf = path.strip_prefix(&source).unwrap().with_extension("");
                let module = module.iter().next().unwrap().to_str().unwrap().to_owned();
                let named = named(&fs::read_to_string(&path).unwrap());
                edges.entry(module.clone()).or_default().extend(named.into_iter().filter(|to| *to != module));
            }
        }
    }
    edges.retain(|module, _| !ROOTS.contains(&module.as_str()));
    edges
}

/// The root's modules that a file names.
fn named(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]").next().unwrap();
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let after = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        // `use crate::{one::…, other}`: each name, and more, that stands in it.
        Some(group) => group.split(';').next().unwrap().split([',', '{', '}']).collect(),
        None => vec![rest],
    });
    let name = |rest: &str| {
        rest.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>()
    };
    after.map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn what_sees_and_what_acts_know_neither_each_other_nor_the_configuration_nor_the_agent() {
    let edges = edges();
    for (module, other) in [("observe", "act"), ("act", "observe")] {
        for forbidden in [other, "config", "agent", "commands", "control"] {
            assert!(!edges[module].contains(forbidden), "{module} imports {forbidden}");
        }
    }
}

#[test]
fn only_the_agent_sees_both() {
    let sees_both = |(module, named): (String, BTreeSet<String>)| {
        (named.contains("observe") && named.contains("act")).then_some(module)
    };
    let seeing: Vec<String> = edges().into_iter().filter_map(sees_both).collect();
    assert_eq!(seeing, ["agent", COMMAND_LINE]);
}

#[test]
fn the_drawing_sees_use_lines_groups_and_paths_in_full_and_no_comments_or_tests() {
    let text = "use crate::clock::now;\nuse crate::{act, observe::{link, mysql}};\nlet x = crate::config::y();\n\
        // crate::lock\n#[cfg(test)]\nuse crate::journal;\n";
    let named = named(text);
    for seen in ["clock", "act", "observe", "config"] {
        assert!(named.contains(seen), "{named:?} lacks {seen}");
    }
    assert!(!named.contains("lock") && !named.contains("journal"), "{named:?}");
}
