//! Dashboards and rules of others stand on names, types, units, labels and help: none of them changes unnoticed, and the manual has them.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::everything;
use super::packaged::exposed;

/// Each metric's HELP, TYPE and UNIT.
const LIST: &str = include_str!("metrics.txt");
const PAGE: &str = include_str!("../../../../../docs/http.md");

/// The lines that describe metrics, of an agent to which everything has happened.
fn described() -> String {
    let text = everything::text();
    let lines = text.lines().filter(|line| line.starts_with("# ") && *line != "# EOF");
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Each metric as its samples are called, with its type and its unit in the manual's words.
fn kinds() -> BTreeMap<String, String> {
    let text = described();
    let of = |word: &str| {
        let lines =
            text.lines().filter_map(|line| line.strip_prefix("# ")?.strip_prefix(word)?.split_once(' '));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
    };
    let units = of("UNIT ");
    let kind = |(name, kind): (String, String)| {
        let words = units.get(&name).map_or_else(|| kind.clone(), |unit| format!("{kind}, {unit}"));
        let total = if kind == "counter" { "_total" } else { "" };
        (format!("{name}{total}"), words)
    };
    of("TYPE ").into_iter().map(kind).collect()
}

#[test]
fn no_name_type_unit_or_help_changes_unnoticed() {
    let described = described();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/tests/metrics.txt");
        std::fs::write(list, &described).unwrap();
        return;
    }
    assert!(
        described == LIST,
        "what an agent says of its metrics has changed, and others' rules and dashboards stand on it. Where that is meant, tell it in \
         CHANGELOG.md, and type: UPDATE_DOCS=1 cargo test -p haipmgr --lib stable\n{described}"
    );
}

#[test]
fn the_manual_has_every_metric_with_its_type_unit_and_labels() {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `haipmgr_"));
    let documented: BTreeMap<String, (String, BTreeSet<String>)> = rows
        .map(|row| {
            let (first, rest) = row.split_once("` | ").unwrap();
            let (name, labels) = first.split_once('{').unwrap_or((first, ""));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let kind = rest.split(" | ").next().unwrap_or_default();
            (format!("haipmgr_{name}"), (kind.to_owned(), labels.map(str::to_owned).collect()))
        })
        .collect();
    let exposed = exposed();
    let there: BTreeMap<String, (String, BTreeSet<String>)> = kinds()
        .into_iter()
        .map(|(name, kind)| {
            let sample = if kind.starts_with("histogram") { format!("{name}_bucket") } else { name.clone() };
            let labels = exposed[&sample].keys().filter(|label| *label != "le").cloned().collect();
            (name, (kind, labels))
        })
        .collect();
    assert_eq!(documented, there);
}
