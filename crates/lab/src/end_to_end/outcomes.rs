//! What is to come of each fault: the table of docs/faults.md, row by row the tests that show it. The rows, by kind of fault:
//!
//! | file | faults |
//! |---|---|
//! | `outcomes/ordered.rs` | what an operator asks for: a switchover, a drain, a pause |
//! | `outcomes/lost.rs` | the primary's server or its host dies, or is cut off |
//! | `outcomes/segment.rs` | strangers, ARP, and what is done to the VIP and its interface |
//! | `outcomes/processes.rs` | mysqld or the agent hangs, dies, is stopped or started; the VIP is removed |
//! | `outcomes/servers.rs` | accounts and connections, secondaries, the whole group, a busy machine, a full disk |
//! | `outcomes/readers.rs` | VIPs for readers |
//! | `outcomes/field.rs` | what was met in the field |
//! | `outcomes/commands.rs` | what the commands and the files say |
//! | `outcomes/cases.rs` | the cases that people reported, each with its tests |
//! | `outcomes/elsewhere.rs` | what differs with the communication stack MYSQL, and with IPv6 |

mod cases;
mod commands;
mod elsewhere;
mod field;
mod lost;
mod ordered;
mod processes;
mod readers;
mod segment;
mod servers;

use self::cases::{CASES, Case};
use self::elsewhere::{IN_BOTH_FAMILIES, WITH_IPV6, WITH_MYSQL};
use super::families;

/// One row.
struct Outcome {
    /// The tests that show it, by name.
    tests: &'static [&'static str],
    /// What happens, in words.
    fault: &'static str,
    /// Who holds the VIP in the end.
    holds: &'static str,
    /// How long nobody does, or clients can't write.
    nobody: &'static str,
    /// Why so.
    why: &'static str,
}

const fn row(
    tests: &'static [&'static str],
    fault: &'static str,
    holds: &'static str,
    nobody: &'static str,
    why: &'static str,
) -> Outcome {
    Outcome { tests, fault, holds, nobody, why }
}

const NEW: &str = "the new primary";
const SAME: &str = "the same host, untouched";

/// All rows, in the order of the page.
fn outcomes() -> impl Iterator<Item = &'static Outcome> {
    [
        ordered::ROWS,
        lost::ROWS,
        segment::ROWS,
        processes::ROWS,
        servers::ROWS,
        readers::ROWS,
        field::ROWS,
        commands::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// The page.
fn page() -> String {
    let mut text = String::from(
        "# What comes of each fault

Who holds the VIP, for how long nobody does, and why. Each row is shown on a real MySQL group with a real client by the tests that it
names: `lab test NAME`; with `lab --members 5` in a group of five. In all of them no acknowledged row is lost, and no two hosts hold the VIP together (with 30 % of the frames lost: 0.1 s at the most).
This page is written from the table in `crates/lab/src/end_to_end/outcomes`. Elections with the procedures of `haipmgr sql`; without them add what MySQL needs.

The column \"IPv6\" is what `lab --family 6 test` shows, with an IPv6 VIP and gateway, members' own addresses being IPv4: \"same\" is as with IPv4.

| what happens | who holds the VIP | for how long nobody | why | IPv6 | shown by |
|---|---|---|---|---|---|
",
    );
    for Outcome { tests, fault, holds, nobody, why } in outcomes() {
        let ipv6 = with_ipv6(tests);
        let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
        text.push_str(&format!("| {fault} | {holds} | {nobody} | {why} | {ipv6} | {} |\n", tests.join(", ")));
    }
    text.push_str(&reported());
    text.push_str(
        "
## With the communication stack MYSQL
`lab --stack mysql test` shows every row above on a group whose members hear each other on MySQL's own port (InnoDB Cluster's default). Who holds the
VIP in the end is the same in each; this differs:

| what happens | with the stack XCOM | with the stack MYSQL |
|---|---|---|
",
    );
    for [fault, xcom, mysql] in WITH_MYSQL {
        text.push_str(&format!("| {fault} | {xcom} | {mysql} |\n"));
    }
    text.push_str(
        "
## With one VIP in each family
`lab --family both test NAME` shows these rows; the other rows have not been shown so.

| shown by | what happens | one VIP in each family |
|---|---|---|
",
    );
    for [tests, fault, both] in IN_BOTH_FAMILIES {
        text.push_str(&format!("| {tests} | {fault} | {both} |\n"));
    }
    text
}

/// What comes of a row's fault with an IPv6 VIP.
fn with_ipv6(tests: &[&str]) -> String {
    let other = WITH_IPV6.iter().filter(|(test, _)| tests.contains(test)).map(|(_, words)| *words);
    let none = tests.iter().filter_map(|test| Some((*test, families::reason(test)?)));
    let none = none.map(
        |(test, reason)| {
            if tests.len() == 1 { reason.to_owned() } else { format!("`{test}`: {reason}") }
        },
    );
    let all: Vec<String> = other.map(str::to_owned).chain(none).collect();
    if all.is_empty() { "same".to_owned() } else { all.join("; ") }
}

/// The section about what people reported.
fn reported() -> String {
    let mut text = String::from(
        "
## Reported of virtual IPs for databases
What people met with this and other tools, tried here, and what happens now. Tests with a file's name are `cargo test`'s.

| reported | what happens now | shown by |
|---|---|---|
",
    );
    for Case { met, now, tests, kind } in CASES {
        let tests = tests.iter().map(|test| format!("`{test}`"));
        let kind = kind.iter().map(|[file, test]| format!("`{test}` (crates/{file})"));
        let shown: Vec<String> = tests.chain(kind).collect();
        text.push_str(&format!("| {met} | {now} | {} |\n", shown.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use std::path::Path;

    use super::super::TESTS;
    use super::cases::CASES;
    use super::{outcomes, page};

    #[test]
    fn every_end_to_end_test_has_its_row_and_every_row_its_test() {
        let named: Vec<&str> = outcomes().flat_map(|outcome| outcome.tests.iter().copied()).collect();
        let missing: Vec<&str> =
            TESTS.iter().map(|test| test.name).filter(|name| !named.contains(name)).collect();
        assert!(missing.is_empty(), "no row in outcomes/ names {missing:?}");
        let unknown: Vec<&&str> =
            named.iter().filter(|name| !TESTS.iter().any(|test| test.name == **name)).collect();
        assert!(unknown.is_empty(), "outcomes/ names tests that are not there: {unknown:?}");
    }

    #[test]
    fn every_reported_case_has_a_test_that_is_there() {
        for case in CASES {
            assert!(!case.tests.is_empty(), "nothing shows: {}", case.met);
            for name in case.tests {
                assert!(TESTS.iter().any(|test| test.name == *name), "there is no end-to-end test {name}");
            }
            for [file, name] in case.kind {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
                let text = std::fs::read_to_string(&path).expect("the test's file is there");
                assert!(text.contains(&format!("fn {name}()")), "{file} has no test {name}");
            }
        }
    }

    #[test]
    fn the_page_of_faults_is_current() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, page()).expect("docs/faults.md can be written");
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == page(),
            "docs/faults.md is not current; type: UPDATE_DOCS=1 cargo test -p haipmgr-lab outcomes"
        );
    }
}
