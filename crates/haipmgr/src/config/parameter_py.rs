//! The legacy program's `parameter.py` (S2, S3): its keys, and what they are called here.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::apply::{apply, unknown};
use super::draft::Draft;
use super::keys;
use super::problem::{Position, Problems};
use super::python_literal;
use super::value::{Entry, Value};

/// The legacy program's name for the dictionary.
const VARIABLE: &str = "par_var";

/// The legacy program's keys, in its own order and spelling, with this project's key for each; none for `platfrom`.
const KEYS: [(&str, Option<&str>); 10] = [
    ("vip", Some("vip")),
    ("cluser_ip", Some("members")),
    ("ip_gateway", Some("gateway")),
    ("mysql_port", Some("mysql_port")),
    ("inter_port", Some("group_port")),
    ("passwd", Some("password")),
    ("user", Some("user")),
    ("platfrom", None),
    ("sleeptime", Some("sleeptime")),
    ("install_path", Some("install_path")),
];

/// What this project calls the legacy program's `key`; none where it is not one, or is called the same.
pub(super) fn our_name_for(key: &str) -> Option<&'static str> {
    KEYS.iter().find(|(legacy, _)| *legacy == key).and_then(|(_, ours)| *ours).filter(|ours| *ours != key)
}

/// Reads `text`, and adds to `problems` all that is wrong with it by itself.
pub(super) fn read(file: &Path, text: &str, problems: &mut Problems) -> Option<Draft> {
    let assigned = match python_literal::assignment(text, VARIABLE) {
        Ok(assigned) => assigned,
        Err(refused) => {
            problems.add(refused.at, refused.text);
            return None;
        }
    };
    let Value::Table(entries) = assigned.value else {
        problems.add(assigned.value_at, format!("{VARIABLE} must be a dictionary, {{\"vip\": …}}"));
        return None;
    };
    let mut draft = Draft::new(Some(assigned.value_at));
    // The legacy program's address has no lifetime, and goes as soon as its server is dead.
    draft.limits.lease = None;
    draft.limits.linger = Duration::ZERO;
    let mut meant = Vec::new();
    let mut seen: BTreeMap<&str, Position> = BTreeMap::new();
    for entry in &entries {
        // To find the word that was meant takes long, thousands of times.
        if problems.are_enough() {
            return Some(draft);
        }
        if let Some(first) = seen.get(entry.key.as_str()) {
            problems.add(
                entry.key_at,
                format!(
                    "the key \"{}\" is there twice, first in line {}; remove one",
                    entry.key.escape_debug(),
                    first.line
                ),
            );
            continue;
        }
        seen.insert(&entry.key, entry.key_at);
        match KEYS.iter().find(|(legacy, _)| *legacy == entry.key) {
            Some((_, None)) => platform(entry, problems),
            Some((legacy, Some(ours))) => parameter(&mut draft, legacy, ours, entry, problems),
            None => {
                let (text, near) = unknown(&entry.key, &KEYS.map(|(key, _)| key));
                meant.extend(near);
                problems.add(
                    entry.key_at,
                    format!(
                        "{text} parameter.py takes no other keys; haipmgr convert {} prints TOML, which does",
                        file.display()
                    ),
                );
            }
        }
    }
    for (key, _) in KEYS {
        if !meant.contains(&key) && !entries.iter().any(|entry| entry.key == key) {
            problems.add(assigned.value_at, format!("the key \"{key}\" is missing"));
        }
    }
    Some(draft)
}

fn platform(entry: &Entry, problems: &mut Problems) {
    if entry.value != Value::Text("linux".to_owned().into()) {
        problems.add(entry.value_at, "platfrom: write \"linux\", the only value there is");
    }
}

fn parameter(draft: &mut Draft, legacy: &str, ours: &str, entry: &Entry, problems: &mut Problems) {
    let Some(key) = keys::find(ours) else { return };
    let mut entry = entry.clone();
    match (&entry.value, legacy) {
        // The legacy program's ports are text, and people write either.
        (Value::Text(digits), "mysql_port" | "inter_port" | "sleeptime") => match digits.trim().parse() {
            Ok(number) => entry.value = Value::Whole(number),
            Err(_) => {
                return problems.add(
                    entry.value_at,
                    format!(
                        "{legacy}: \"{}\" is not a whole number; write its digits",
                        digits.escape_debug()
                    ),
                );
            }
        },
        (Value::Text(path), "install_path") if !path.ends_with('/') => {
            return problems.add(
                entry.value_at,
                format!("{legacy}: \"{0}\" must end in \"/\"; write \"{0}/\"", path.escape_debug()),
            );
        }
        _ => {}
    }
    apply(draft, key, &entry, problems);
}
