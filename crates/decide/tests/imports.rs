//! Who may import whom in `decide` (ARCHITECTURE.md): drawn from the `use` lines and, where files share one type, from the
//! methods that they call on it. No circle among files, and no edge against the table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, its files or folders, and the rooms that it may import beside itself. A file belongs to the longest name that it begins
/// with: `output/vip` is one of the orders, `output/reason/because` is of the output.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("ground", &["time", "net", "fitness", "timings", "planted"], &[]),
    ("policy", &["policy"], &["ground"]),
    // Of the output, what is below the input: what comes back of an order names the order.
    ("orders", &["output/group", "output/vip"], &["ground"]),
    ("input", &["input"], &["ground", "orders"]),
    ("output", &["output", "timers"], &["ground", "policy", "orders", "input"]),
    ("facts", &["facts"], &["ground", "policy", "orders", "input"]),
    (
        "checks",
        &["checks", "entitlement", "moment"],
        &["ground", "policy", "orders", "input", "output", "facts"],
    ),
    ("vip", &["vip"], &["ground", "policy", "orders", "input", "output", "facts", "checks"]),
    ("expel", &["expel"], &["ground", "policy", "orders", "input", "output", "facts", "checks"]),
    ("readers", &["readers"], &["ground", "policy", "orders", "input", "output", "facts", "checks"]),
    ("polling", &["polling"], &["ground", "policy", "orders", "input", "output", "facts", "checks"]),
    (
        "step",
        &["step"],
        &[
            "ground", "policy", "orders", "input", "output", "facts", "checks", "vip", "expel", "readers",
            "polling",
        ],
    ),
    (
        "status",
        &["status"],
        &["ground", "policy", "orders", "input", "output", "facts", "checks", "vip", "step"],
    ),
    ("callers", &["driver", "trace"], &["ground", "policy", "orders", "input", "step"]),
    (
        "history",
        &["history"],
        &["ground", "policy", "orders", "input", "output", "facts", "checks", "vip", "expel", "step"],
    ),
];

fn source() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file but the crate's root, as `vip/holding` or `time`.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "lib.rs" {
                let name = path.strip_prefix(source()).unwrap().with_extension("");
                files.insert(name.to_str().unwrap().to_owned(), code(&path));
            }
        }
    }
    assert!(files.len() > 20, "{files:?}");
    files
}

/// A file's code without its comments and its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The file that `a::b` in `file` means, if there is one.
fn resolve(files: &BTreeMap<String, String>, file: &str, path: &str) -> Option<String> {
    let (folder, own) = file.rsplit_once('/').unwrap_or(("", file));
    let parts: Vec<&str> = path.split("::").collect();
    let base = match parts[0] {
        "crate" => String::new(),
        "super" if own == "mod" => String::new(),
        "super" | "self" => folder.to_owned(),
        _ => return None,
    };
    let (mut at, mut found) = (base.clone(), None);
    for part in &parts[1..] {
        let next = if at.is_empty() { (*part).to_owned() } else { format!("{at}/{part}") };
        if files.contains_key(&next) {
            return Some(next);
        }
        let module = format!("{next}/mod");
        if !files.contains_key(&module) {
            break;
        }
        (at, found) = (next, Some(module));
    }
    // `super::X`, declared by the folder's own file.
    found.or_else(|| Some(format!("{base}/mod")).filter(|module| files.contains_key(module)))
}

fn edges(files: &BTreeMap<String, String>) -> BTreeSet<(String, String)> {
    let mut edges = BTreeSet::new();
    let mut add = |from: &str, to: String| {
        if from != to {
            edges.insert((from.to_owned(), to));
        }
    };
    for (file, code) in files {
        for line in code.lines().map(str::trim_start) {
            let line = line.strip_prefix("pub ").or(line.strip_prefix("pub(crate) ")).unwrap_or(line);
            let Some(used) = line.strip_prefix("use ") else { continue };
            let path = used.split(['{', ';']).next().unwrap().trim_end_matches("::");
            if let Some(to) = resolve(files, file, path) {
                add(file, to);
            }
        }
    }
    // Methods of one type in several files of a folder: who calls whose.
    for folder in ["vip", "facts", "expel"] {
        let here: Vec<_> = files.iter().filter(|(file, _)| file.starts_with(folder)).collect();
        for (file, code) in &here {
            for (other, theirs) in here.iter().filter(|(other, _)| other != file) {
                let methods = theirs.split("fn ").skip(1).map(|rest| rest.split(['(', '<']).next().unwrap());
                let called = methods.into_iter().any(|method| {
                    let calls = [format!("self.{method}("), format!("Self::{method}(")];
                    let own = code.contains(&format!("fn {method}("));
                    !own && calls.iter().any(|call| code.contains(call.as_str()))
                });
                if called {
                    add(file, (*other).clone());
                }
            }
        }
    }
    edges
}

type Room = (&'static str, &'static [&'static str], &'static [&'static str]);

fn room(file: &str) -> &'static Room {
    let is_in = |name: &&&str| file == **name || file.starts_with(&format!("{name}/"));
    let longest = |room: &&Room| room.1.iter().filter(is_in).map(|name| name.len()).max();
    let found = TABLE.iter().filter(|room| longest(room).is_some()).max_by_key(longest);
    found.unwrap_or_else(|| panic!("{file} has no place in the table of imports"))
}

#[test]
fn no_file_imports_one_that_the_table_does_not_allow() {
    let files = files();
    for file in files.keys() {
        room(file);
    }
    let against: Vec<_> = edges(&files)
        .into_iter()
        .filter(|(from, to)| room(from).0 != room(to).0 && !room(from).2.contains(&room(to).0))
        .collect();
    assert!(against.is_empty(), "against the table: {against:#?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files = files();
    let edges = edges(&files);
    let mut left: BTreeSet<&String> = files.keys().collect();
    // Whoever imports nobody that is left stands on firm ground.
    while let Some(firm) =
        left.iter().find(|file| !edges.iter().any(|(from, to)| from == **file && left.contains(to))).copied()
    {
        left.remove(firm);
    }
    let among: Vec<_> = edges.iter().filter(|(from, to)| left.contains(from) && left.contains(to)).collect();
    assert!(left.is_empty(), "a circle among {left:?}: {among:#?}");
}

#[test]
fn what_holds_a_vip_and_what_expels_never_see_each_other() {
    let edges = edges(&files());
    let sees = |one: &str, other: &str| {
        edges.iter().any(|(from, to)| from.starts_with(one) && to.starts_with(other))
    };
    assert!(!sees("vip/", "expel/") && !sees("expel/", "vip/"));
}

#[test]
fn the_drawing_sees_use_lines_and_calls_of_methods() {
    let edges = edges(&files());
    let has = |from: &str, to: &str| edges.contains(&(from.to_owned(), to.to_owned()));
    assert!(has("step", "vip/mod") && has("vip/idle", "vip/state") && has("moment", "facts/mod"));
    assert!(has("input/mod", "output/group") && has("output/reason/mod", "input/mod"));
    assert!(has("vip/holding", "vip/dispute") && has("vip/mod", "vip/probing"), "{edges:#?}");
}

#[test]
fn a_file_is_in_the_room_of_the_longest_name_that_it_begins_with() {
    let name = |file: &str| room(file).0;
    assert_eq!(
        ["output/vip", "output/mod", "output/reason/because"].map(name),
        ["orders", "output", "output"]
    );
    assert_eq!(["vip/holding", "input/server", "timers"].map(name), ["vip", "input", "output"]);
}
