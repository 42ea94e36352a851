//! A function is read at one sitting: none in this repository is longer than 70 lines, from its `fn` to its closing brace.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

const MOST: usize = 70;

/// Functions that may be longer, each with its file. Whoever makes one shorter takes it off this list.
const LONGER: &[(&str, &str)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file of the crates and of `fuzz`, tests too.
fn files() -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root().join("crates"), root().join("fuzz/src")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 300, "only {} files found", files.len());
    files
}

/// The name, where a function begins in this line.
fn begun_in(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let word = |word: &str| {
        let plain = ["pub", "const", "async", "unsafe", "extern", "\"C\""].contains(&word);
        plain || (word.starts_with("pub(") && word.ends_with(')'))
    };
    before.split_whitespace().all(word).then(|| after.split(['(', '<']).next().unwrap())
}

/// Each function and its length. rustfmt puts its closing brace right below where it begins, and nothing else stands between them there.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let length = |at: usize| {
        let begins = lines[at];
        if begins.ends_with(['}', ';']) {
            return Some(1);
        }
        let indent = &begins[..begins.len() - begins.trim_start().len()];
        let closes = |rest: &str| rest == "}" || (rest.starts_with(')') && rest.ends_with(';'));
        let ends = lines[at..].iter().position(|line| line.strip_prefix(indent).is_some_and(closes))?;
        Some(ends + 1)
    };
    let function = |at: usize| Some((begun_in(lines[at])?, length(at)?));
    (0..lines.len()).filter_map(function).collect()
}

#[test]
fn no_function_is_longer_than_seventy_lines() {
    let mut long = Vec::new();
    for path in files() {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let over = functions(&text).into_iter().filter(|(_, lines)| *lines > MOST);
        long.extend(over.map(|(name, lines)| (file.clone(), name.to_owned(), lines)));
    }
    let is = |(file, name, _): &(String, String, usize), (in_file, named): &(&str, &str)| {
        file == in_file && name == named
    };
    let new: Vec<_> = long.iter().filter(|one| !LONGER.iter().any(|known| is(one, known))).collect();
    assert!(new.is_empty(), "longer than {MOST} lines, so take what it does apart: {new:#?}");
    let shorter: Vec<_> = LONGER.iter().filter(|known| !long.iter().any(|one| is(one, known))).collect();
    assert!(shorter.is_empty(), "not longer than {MOST} lines any more, take it off the list: {shorter:?}");
}

#[test]
fn the_count_sees_methods_long_signatures_and_bodies_of_one_line() {
    let text = "impl X {\n    pub(super) async fn one(\n        &self,\n    ) -> u8 {\n        if x {\n            1\n        }\n    }\n\
        \n    const fn two() -> u8 { 2 }\n\n    fn three<T>()\n    where\n        T: Copy,\n    {\n    }\n}\n\ntrait Y {\n    fn four(\n    );\n}\n\
        // fn five() {\n";
    assert_eq!(functions(text), [("one", 7), ("two", 1), ("three", 5), ("four", 2)]);
}
