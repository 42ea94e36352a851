//! The alert rules and the dashboard of the package, held to what an agent shows: every metric, label and value that they name is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::everything;

const RULES: &str = include_str!("../../../../../packaging/monitoring/alerts.yml");
const DASHBOARD: &str = include_str!("../../../../../packaging/monitoring/grafana.json");
const PAGE: &str = include_str!("../../../../../docs/monitoring.md");

/// What Prometheus itself adds to every series, and the series that are its own, with their labels.
const ADDED: [&str; 2] = ["instance", "job"];
const PROMETHEUS: [(&str, &[&str]); 2] = [("up", &[]), ("ALERTS", &["alertname", "alertstate"])];
/// Labels whose values are the operator's or the history's; of all others an agent shows every value that there is.
const OPEN: [&str; 6] = ["cluster", "vip", "version", "code", "le", "why"];

/// Each metric's labels, each with its values.
pub(super) type Exposed = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// By an agent to which everything has happened once.
pub(super) fn exposed() -> Exposed {
    read(&everything::text())
}

fn read(text: &str) -> Exposed {
    let mut exposed = Exposed::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let known = exposed.entry(name.to_owned()).or_default();
        for (label, _, value) in matchers(labels.trim_end_matches('}')) {
            known.entry(label).or_default().insert(value);
        }
    }
    for (name, labels) in PROMETHEUS {
        exposed
            .entry(name.to_owned())
            .or_default()
            .extend(labels.iter().map(|label| ((*label).to_owned(), BTreeSet::new())));
    }
    exposed
}

/// `a="x", b=~"y|z"`, each with its operator. No value of ours has a quotation mark or a backslash in it.
fn matchers(text: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        let (value, after) = after.split_once('"').expect("a quotation mark that is not closed");
        let label: String = before.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let operator: String = before.chars().filter(|c| "=~!".contains(*c)).collect();
        found.push((label, operator, value.to_owned()));
        rest = after;
    }
    found
}

/// What of an expression an agent does not show.
fn wrong(expression: &str, exposed: &Exposed) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut of_expression: BTreeSet<&str> = ADDED.into();
    for (name, matched) in selectors(expression) {
        let Some(labels) = exposed.get(&name) else {
            wrong.push(format!("there is no metric {name}"));
            continue;
        };
        of_expression.extend(labels.keys().map(String::as_str));
        for (label, _, value) in matchers(&matched) {
            if ADDED.contains(&label.as_str()) {
                continue;
            }
            let Some(values) = labels.get(&label) else {
                wrong.push(format!("{name} has no label {label}"));
                continue;
            };
            let of_prometheus = PROMETHEUS.iter().any(|(own, _)| *own == name);
            let open = of_prometheus || OPEN.contains(&label.as_str()) || value.starts_with('$');
            let none = value.split('|').find(|value| !open && !values.contains(*value));
            wrong.extend(none.map(|value| format!("{label} of {name} is never {value:?}")));
        }
    }
    for label in grouped(expression) {
        if !of_expression.contains(label.as_str()) {
            wrong.push(format!("nothing has the label {label} of {expression}"));
        }
    }
    wrong
}

/// Each metric with the text of its matchers.
fn selectors(expression: &str) -> Vec<(String, String)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(is_name) {
        rest = &rest[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        let ours = word.starts_with("haipmgr_") || PROMETHEUS.iter().any(|(name, _)| *name == word);
        let matched = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        if let Some((matched, after)) = matched {
            found.push((word.to_owned(), matched.to_owned()));
            rest = after;
        } else if ours {
            found.push((word.to_owned(), String::new()));
        }
    }
    found
}

/// The labels that an expression groups or joins by.
fn grouped(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in ["by (", "on (", "ignoring (", "without ("] {
        for part in expression.split(word).skip(1) {
            let labels = part.split(')').next().unwrap_or_default();
            found.extend(labels.split(',').map(|label| label.trim().to_owned()));
        }
    }
    found
}

/// Each alert's name with its expression, and the text of its annotations.
fn rules() -> Vec<(String, String, String)> {
    let mut found: Vec<(String, String, String)> = Vec::new();
    for line in RULES.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            found.push((name.to_owned(), String::new(), String::new()));
        } else if let Some((_, expression, annotations)) = found.last_mut() {
            if let Some(text) = line.strip_prefix("expr: ") {
                text.clone_into(expression);
            } else if line.starts_with("summary: ") || line.starts_with("description: ") {
                annotations.push_str(line);
            }
        }
    }
    found
}

/// The labels that a template shows, whichever way it names them.
fn shown(template: &str, prefix: &str) -> BTreeSet<String> {
    let is_label = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let after = template.split(prefix).skip(1);
    after.map(|rest| rest.chars().take_while(|c| is_label(*c)).collect()).collect()
}

/// The labels that are left of an expression's series: those that it groups by, or all that its metrics have.
fn left(expression: &str, exposed: &Exposed) -> BTreeSet<String> {
    let aggregated = expression.split("by (").nth(1).map(|part| part.split(')').next().unwrap_or_default());
    if let Some(labels) = aggregated {
        return labels.split(',').map(|label| label.trim().to_owned()).collect();
    }
    let metrics = selectors(expression).into_iter().filter_map(|(name, _)| exposed.get(&name));
    let labels = metrics.flat_map(BTreeMap::keys).map(String::clone);
    labels.chain(ADDED.map(str::to_owned)).collect()
}

fn targets() -> Vec<(String, String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    // A row is a heading.
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let of_panel = |panel: &Value| {
        let title = text(&panel["title"]);
        let targets = panel["targets"].as_array().unwrap().clone();
        targets
            .into_iter()
            .map(move |target| (title.clone(), text(&target["expr"]), text(&target["legendFormat"])))
    };
    panels.flat_map(of_panel).collect()
}

#[test]
fn every_rule_names_what_an_agent_shows() {
    let (exposed, rules) = (exposed(), rules());
    assert!(!rules.is_empty(), "no rule was found in alerts.yml");
    for (name, expression, annotations) in rules {
        assert!(!selectors(&expression).is_empty(), "{name}: no metric in {expression:?}");
        assert_eq!(wrong(&expression, &exposed), Vec::<String>::new(), "{name}");
        let shown = shown(&annotations, "$labels.");
        let left = left(&expression, &exposed);
        assert!(shown.is_subset(&left), "{name} shows {shown:?}, and has {left:?}");
        assert!(annotations.contains("summary: ") && annotations.contains("description: "), "{name}");
    }
}

#[test]
fn every_panel_of_the_dashboard_names_what_an_agent_shows() {
    let (exposed, targets) = (exposed(), targets());
    assert!(!targets.is_empty(), "no query was found in grafana.json");
    for (title, expression, legend) in targets {
        assert!(!selectors(&expression).is_empty(), "{title}: no metric in {expression:?}");
        assert_eq!(wrong(&expression, &exposed), Vec::<String>::new(), "{title}");
        let shown = shown(&legend, "{{");
        let left = left(&expression, &exposed);
        assert!(shown.is_subset(&left), "{title} shows {shown:?}, and has {left:?}");
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["definition"].as_str().unwrap_or_default();
        if let Some(query) = query.strip_prefix("label_values(") {
            let (metric, label) = query.trim_end_matches(')').split_once(", ").unwrap();
            assert!(exposed[metric].contains_key(label), "{query}");
        }
    }
}

#[test]
fn every_metric_is_in_the_dashboard_or_a_rule_but_for_those_that_others_say_as_well() {
    // A stage's age is old where it is unknown; what is wanted and not held is an alert by what is held.
    const LEFT_OUT: [&str; 2] = ["haipmgr_stage_age_seconds", "haipmgr_vip_wanted"];
    let expressions = targets().into_iter().chain(rules()).map(|(_, expression, _)| expression);
    let named: BTreeSet<String> =
        expressions.flat_map(|text| selectors(&text)).map(|(name, _)| name).collect();
    let in_none = exposed().into_keys().filter(|name| {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let shown =
            |name: &str| named.iter().any(|named| named == name || named.starts_with(&format!("{name}_")));
        !shown(of_histogram.unwrap_or(name))
    });
    assert_eq!(in_none.collect::<Vec<_>>(), LEFT_OUT);
}

#[test]
fn what_an_agent_does_not_show_is_found() {
    let exposed = exposed();
    for (expression, says) in [
        ("rate(haipmgr_polls_sum[1m])", "there is no metric haipmgr_polls_sum"),
        ("haipmgr_vip_held{host=\"a\"}", "haipmgr_vip_held has no label host"),
        ("haipmgr_mode{mode=~\"paused|drain\"} == 1", "mode of haipmgr_mode is never \"drain\""),
        (
            "max by (vips) (haipmgr_vip_held)",
            "nothing has the label vips of max by (vips) (haipmgr_vip_held)",
        ),
    ] {
        assert_eq!(wrong(expression, &exposed), [says], "{expression}");
    }
}

#[test]
fn the_manual_has_every_alert_and_no_other() {
    let documented: BTreeSet<_> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `Haipmgr")?.split('`').next())
        .map(|name| format!("Haipmgr{name}"))
        .collect();
    let there: BTreeSet<_> = rules().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(documented, there);
}
