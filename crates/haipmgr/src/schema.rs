//! The JSON Schemas of docs/, held to what is printed and to the manual's tables: for the tests of both.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Words by the key that has them: `clusters.vips.role`. A list's key is that of what is in it.
pub(crate) type Words = BTreeMap<String, BTreeSet<String>>;

/// A schema, read more strictly than by who uses it: a key that it does not name is a mistake, and a list of examples has all there are.
pub(crate) struct Schema(Value);

impl Schema {
    pub(crate) fn read(text: &str) -> Self {
        let mut schema = serde_json::from_str(text).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "it is no schema");
        make_strict(&mut schema);
        Self(schema)
    }

    /// One of its definitions.
    pub(crate) fn definition(&self, name: &str) -> Self {
        Self(json!({ "$ref": format!("#/$defs/{name}"), "$defs": self.0["$defs"] }))
    }

    /// It refers to this file's definitions.
    pub(crate) fn beside(&self, file: &str, other: &Self) -> Self {
        let text = self.0.to_string().replace(&format!("{file}#"), "#");
        let mut schema: Value = serde_json::from_str(&text).unwrap();
        schema["$defs"] = other.0["$defs"].clone();
        Self(schema)
    }

    /// What it has against this, each with its place.
    pub(crate) fn against(&self, printed: &Value) -> Vec<String> {
        let validator =
            jsonschema::draft202012::options().should_validate_formats(true).build(&self.0).unwrap();
        let words = validator.iter_errors(printed).map(|error| format!("{}: {error}", error.instance_path()));
        words.collect()
    }

    /// Each key, with the words that its schema lists: none, where any will do.
    pub(crate) fn keys(&self) -> Words {
        let mut found = Words::new();
        self.walk(&self.0, "", &mut found);
        found
    }

    fn walk(&self, schema: &Value, key: &str, found: &mut Words) {
        if !key.is_empty() {
            let words = schema["enum"].as_array().into_iter().flatten();
            let words = words.filter_map(Value::as_str).map(str::to_owned);
            found.entry(key.to_owned()).or_default().extend(words);
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let there = self.0.pointer(reference.trim_start_matches('#'));
            self.walk(there.unwrap_or_else(|| panic!("{reference} is not there")), key, found);
        }
        for either in schema["anyOf"].as_array().into_iter().flatten().chain(schema.get("items")) {
            self.walk(either, key, found);
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            self.walk(property, &below(key, name), found);
        }
    }
}

fn make_strict(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            if let Some(examples) = object.remove("examples") {
                object.insert("enum".to_owned(), examples);
            }
            object.values_mut().for_each(make_strict);
        }
        Value::Array(all) => all.iter_mut().for_each(make_strict),
        _ => {}
    }
}

fn below(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// Each key that something printed has, with the strings that stand there.
pub(crate) fn printed(value: &Value, key: &str, found: &mut Words) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let key = below(key, name);
                found.entry(key.clone()).or_default();
                printed(value, &key, found);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| printed(value, key, found)),
        Value::String(text) => {
            found.entry(key.to_owned()).or_default().insert(text.clone());
        }
        _ => {}
    }
}

/// What of a schema nothing printed has: keys, and words of its lists.
pub(crate) fn never_printed(schema: &Schema, printed: &Words) -> Vec<String> {
    let lacks = |(key, words): (String, BTreeSet<String>)| match printed.get(&key) {
        None => vec![key],
        Some(found) => words.difference(found).map(|word| format!("{key}: {word}")).collect(),
    };
    schema.keys().into_iter().flat_map(lacks).collect()
}

/// The keys in the first column of the table below this line of a page: `key` is `base`'s, `.key` of the key before it in the row or of
/// `dotted` where it is the first, `….key` of what is in the list that a row before it begins with.
pub(crate) fn documented(page: &str, above: &str, base: &str, dotted: &str) -> BTreeSet<String> {
    let table = page.split_once(above).unwrap_or_else(|| panic!("the page has no {above:?}")).1;
    let rows =
        table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let (mut found, mut list) = (BTreeSet::new(), String::new());
    for row in rows.skip(2) {
        let first = row.split(" | ").next().unwrap_or_default();
        let mut parent = dotted.to_owned();
        for (place, token) in first.split('`').skip(1).step_by(2).enumerate() {
            let plain = token.replace("[]", "");
            let key = if let Some(name) = plain.strip_prefix("….") {
                below(&list, name)
            } else if let Some(name) = plain.strip_prefix('.') {
                below(&parent, name)
            } else {
                below(base, &plain)
            };
            if place == 0 && token.ends_with("[]") && !token.starts_with('…') {
                list.clone_from(&key);
            }
            parent = key.rsplit_once('.').map(|(parent, _)| parent.to_owned()).unwrap_or_default();
            found.insert(key);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::read(
            r##"{
                "type": "object", "required": ["format"],
                "properties": {
                    "format": { "const": 1 }, "mode": { "type": "string", "examples": ["on", "off"] },
                    "all": { "type": "array", "items": { "anyOf": [{ "$ref": "#/$defs/one" }, { "type": "null" }] } }
                },
                "$defs": { "one": { "type": "object", "properties": { "role": { "enum": ["a", "b", null] } } } }
            }"##,
        )
    }

    #[test]
    fn a_key_or_a_word_that_the_schema_does_not_name_is_found() {
        let schema = schema();
        assert_eq!(
            schema.against(&json!({ "format": 1, "mode": "on", "all": [{ "role": null }, null] })),
            [""; 0]
        );
        for wrong in [
            json!({}),
            json!({ "format": 2 }),
            json!({ "format": 1, "more": 1 }),
            json!({ "format": 1, "mode": "idle" }),
            json!({ "format": 1, "all": [{ "role": "c" }] }),
            json!({ "format": 1, "all": [{ "more": 1 }] }),
        ] {
            assert_eq!(schema.against(&wrong).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_key_or_a_word_of_the_schema_that_is_never_printed_is_found() {
        let mut words = Words::new();
        printed(&json!({ "format": 1, "mode": "on", "all": [{ "role": "a" }] }), "", &mut words);
        assert_eq!(never_printed(&schema(), &words), ["all.role: b", "mode: off"]);
        assert_eq!(never_printed(&schema(), &Words::new()), ["all", "all.role", "format", "mode"]);
    }

    #[test]
    fn a_table_names_keys_by_their_place_in_it() {
        let page = "Here:\n\n| field | meaning |\n|---|---|\n| `one`, `two` | `not` |\n| `.three[]` | |\n| `….four`, `.five` | |\n\
            | `….six[]`, `.six.seven` | |\n| `one.eight`, `.nine`; `two.eight`, `.nine` | |\n\n| `ten` | |\n";
        let keys = [
            "one",
            "two",
            "list.three",
            "list.three.four",
            "list.three.five",
            "list.three.six",
            "list.three.six.seven",
            "one.eight",
            "one.nine",
            "two.eight",
            "two.nine",
        ];
        assert_eq!(documented(page, "Here:", "", "list"), keys.map(str::to_owned).into());
        assert!(documented(page, "Here:", "base", "list").contains("base.two.nine"));
    }
}
