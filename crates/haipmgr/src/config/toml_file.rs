//! Reads the TOML file's text.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::apply::{apply, unknown};
use super::draft::Draft;
use super::keys::{self, CLUSTER, Presence, TOP};
use super::listen::ListenDraft;
use super::parameter_py;
use super::problem::{Lines, Position, Problems};
use super::value::{Entry, Value};

const PYTHON_IN_WRONG_NAME: &str =
    "this is not TOML; if it is the Python program's parameter.py, let its name end in \".py\"";

/// What the file says.
pub(super) struct Read {
    pub(super) lock: Option<PathBuf>,
    pub(super) drain_on_shutdown: bool,
    pub(super) listen: ListenDraft,
    pub(super) clusters: Vec<Draft>,
}

/// Reads `text`, and adds to `problems` all that is wrong with it by itself.
pub(super) fn read(text: &str, problems: &mut Problems) -> Read {
    let lines = Lines::new(text);
    let listen = ListenDraft::default();
    let mut read = Read { lock: None, drain_on_shutdown: true, listen, clusters: Vec::new() };
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() && text.contains("par_var") {
        problems.add(None, PYTHON_IN_WRONG_NAME);
        return read;
    }
    for error in &errors {
        if problems.are_enough() {
            break;
        }
        problems.add(
            error.span().map(|span| lines.position(span.start)),
            format!("this is not TOML: {}{}", error.message(), hint(error.message())),
        );
    }
    // What a parser makes of the rest of a broken file would be reported as a second fault of the same slip.
    if !errors.is_empty() {
        return read;
    }
    for entry in entries(document.get_ref(), &lines) {
        if !read.listen.take(&entry, problems) {
            of_whole_file(&entry, &mut read, problems);
        }
    }
    read.listen.check(problems);
    let clusters =
        document.get_ref().iter().find(|(key, _)| key.get_ref() == "cluster").map(|(_, value)| value);
    let Some(clusters) = clusters else {
        problems.add(
            None,
            "there is no cluster; write a [[cluster]] table (docs/configuration.md has an example)",
        );
        return read;
    };
    match clusters.get_ref() {
        DeValue::Array(tables) if !tables.is_empty() => {
            for table in tables {
                let begins = lines.position(table.span().start);
                match table.get_ref() {
                    DeValue::Table(table) => read.clusters.push(cluster(table, begins, &lines, problems)),
                    other => problems.add(
                        begins,
                        format!("cluster is {}; write [[cluster]] in a line of its own", kind_of(other)),
                    ),
                }
            }
        }
        DeValue::Table(_) => problems.add(
            lines.position(clusters.span().start),
            "write [[cluster]] with two brackets; there may be several",
        ),
        _ => problems
            .add(lines.position(clusters.span().start), "cluster: write [[cluster]] in a line of its own"),
    }
    read
}

/// One key beside the clusters.
fn of_whole_file(entry: &Entry, read: &mut Read, problems: &mut Problems) {
    match (entry.key.as_str(), &entry.value) {
        ("cluster", _) => {}
        ("lock", Value::Text(path)) if path.starts_with('/') && !path.ends_with('/') => {
            read.lock = Some(PathBuf::from(path));
        }
        ("lock", _) => {
            problems.add(entry.value_at, "lock: write the file's whole path in quotes, from \"/\"");
        }
        ("drain_on_shutdown", Value::Switch(switch)) => read.drain_on_shutdown = *switch,
        ("drain_on_shutdown", _) => {
            problems.add(entry.value_at, "drain_on_shutdown: write true or false");
        }
        (key, _) if keys::find(key).is_some() => problems.add(
            entry.key_at,
            format!("the key \"{key}\" belongs to a cluster; write [[cluster]] in a line above it"),
        ),
        (key, _) => {
            let top: Vec<_> = TOP.iter().map(|key| key.name).chain(["cluster"]).collect();
            problems.add(entry.key_at, unknown(key, &top).0);
        }
    }
}

fn cluster(table: &DeTable<'_>, begins: Position, lines: &Lines<'_>, problems: &mut Problems) -> Draft {
    let mut draft = Draft::new(Some(begins));
    let names: Vec<_> = CLUSTER.iter().map(|key| key.name).collect();
    let mut meant = Vec::new();
    for entry in entries(table, lines) {
        // To find the word that was meant takes long, thousands of times.
        if problems.are_enough() {
            return draft;
        }
        match keys::find(&entry.key) {
            Some(key) => apply(&mut draft, key, &entry, problems),
            None if TOP.iter().any(|key| key.name == entry.key) => {
                let text =
                    format!("{} is for the whole file; write it above the first [[cluster]]", entry.key);
                problems.add(entry.key_at, text);
            }
            None => {
                let (text, near) = match parameter_py::our_name_for(&entry.key) {
                    Some(ours) => {
                        let text = format!(
                            "unknown key \"{}\": that is parameter.py's name; here it is \"{ours}\"",
                            entry.key
                        );
                        (text, Some(ours))
                    }
                    None => unknown(&entry.key, &names),
                };
                meant.extend(near);
                problems.add(entry.key_at, text);
            }
        }
    }
    for key in CLUSTER {
        if matches!(key.presence, Presence::Needed)
            && !draft.given.contains_key(key.name)
            && !meant.contains(&key.name)
        {
            let called = draft.called();
            problems
                .add(begins, format!("cluster {called}: the key \"{}\" is missing. {}", key.name, key.about));
        }
    }
    draft
}

/// What the parser's message leaves unsaid.
fn hint(message: &str) -> &'static str {
    if message.contains("string") || message.contains("quot") || message.contains('"') {
        "; write text in \"double quotes\", with \\\\ for \\ and \\\" for \", or in 'single quotes' as it is"
    } else if message.contains("duplicate") {
        "; remove one of the two"
    } else {
        ""
    }
}

fn entries(table: &DeTable<'_>, lines: &Lines<'_>) -> Vec<Entry> {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Spanned<std::borrow::Cow<'_, str>> = key;
        Entry {
            key: key.get_ref().to_string(),
            key_at: lines.position(key.span().start),
            value: value_of(value.get_ref(), lines),
            value_at: lines.position(value.span().start),
        }
    };
    table.iter().map(entry).collect()
}

fn value_of(value: &DeValue<'_>, lines: &Lines<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string().into()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number too large"), Value::Whole),
        DeValue::Float(number) => {
            number.as_str().parse().map_or(Value::Other("a number too large"), Value::Decimal)
        }
        DeValue::Table(table) => Value::Table(entries(table, lines)),
        DeValue::Boolean(switch) => Value::Switch(*switch),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| value_of(item.get_ref(), lines)).collect())
        }
        DeValue::Datetime(_) => Value::Other(kind_of(value)),
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
