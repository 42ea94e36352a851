//! What the rules decide, as stories that a person can read: `tests/scenarios/*.txt`.
//!
//! A file says in words what happens; then `given: …`, what the world is like; `at TIME: …`, what it does; `then: …`, what must
//! be true by then. The indented lines are the agent's: what it was told, → what it ordered, "what it says of it"; a poll that
//! changes nothing is told once. They pin what the rules do, right or wrong: after a change of the rules look at what differs, and
//! where it is meant write them anew with `UPDATE=1 cargo test -p haipmgr-decide --test scenarios`. The oracle judges each scenario
//! beside them, the agent's own book and ONE-HOLDER from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;
mod scenario;

use std::fs;
use std::path::{Path, PathBuf};

use decide::trace::{Line, Played, Replay};

const WRITE_ANEW: &str = "if it is meant: UPDATE=1 cargo test -p haipmgr-decide --test scenarios";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares what is so now with the file, or writes it.
fn compare(path: &Path, now: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, now).unwrap();
    }
    let expected = read(path);
    let differs = expected.lines().zip(now.lines()).position(|(one, other)| one != other);
    let at = differs.unwrap_or_else(|| expected.lines().count().min(now.lines().count()));
    let from = |text: &str| text.lines().skip(at.saturating_sub(2)).take(8).collect::<Vec<_>>().join("\n");
    assert!(
        expected == now,
        "{}, line {}: expected\n{}\nbut now it is\n{}\n{WRITE_ANEW}",
        path.display(),
        at + 1,
        from(&expected),
        from(now)
    );
}

#[test]
fn each_scenario_is_decided_as_its_file_says_and_breaks_no_invariant() {
    let mut played = 0;
    for file in fs::read_dir(here("scenarios")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        compare(&path, &scenario::play(name, &read(&path)).text);
        played += 1;
    }
    assert!(played >= 8, "{played} scenarios");
}

#[test]
fn a_trace_is_written_and_played_again_in_the_format_of_its_number() {
    let path = here("trace_format.jsonl");
    let model = scenario::play("removed_by_hand", &read(&here("scenarios/removed_by_hand.txt"))).model;
    let text: String = model.trace.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
    compare(&path, &text);
    let mut replay = Replay::default();
    for (number, line) in read(&path).lines().enumerate() {
        let line: Line = serde_json::from_str(line).unwrap();
        let played = replay.play(&line);
        assert!(matches!(played, Played::Started | Played::Same(_)), "line {}: {played:#?}", number + 1);
    }
}

const HELD: &str = "given: this host has held the VIP for 10 s\n";

#[test]
#[should_panic(expected = "not understood, or not so: then: the VIP is not here")]
fn a_scenario_whose_end_is_not_so_fails() {
    scenario::play("untrue", &format!("{HELD}at 10 ms: end\nthen: the VIP is not here\n"));
}

#[test]
#[should_panic(expected = "OneHolder")]
fn a_scenario_with_two_holders_breaks_an_invariant() {
    scenario::play("two", &format!("{HELD}at 10 ms: member 2 takes the VIP\nat 20 ms: end\n"));
}
