//! What was scraped, as the series that Prometheus makes of it, in promtool's notation. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::scrape::{Recorded, Scraped};

/// The job's name in docs/monitoring.md.
const JOB: &str = "haipmgr";

/// One second of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sample {
    Value(f64),
    /// It was there a second ago, and is not any more: Prometheus marks that.
    Stale,
    Missing,
}

/// Each by its name and labels.
pub(super) type All = BTreeMap<String, Vec<Sample>>;

/// Those of every host.
pub(super) fn all(recorded: &Recorded) -> All {
    let mut all = All::new();
    for (host, scraped) in &recorded.0 {
        for (second, scraped) in scraped.iter().enumerate() {
            add(&mut all, host, second, scraped);
        }
    }
    let length = recorded.seconds();
    for samples in all.values_mut() {
        samples.resize(length, Sample::Missing);
    }
    all
}

fn add(all: &mut All, host: &str, second: usize, scraped: &Scraped) {
    let text = match scraped {
        Scraped::Answer(text) => text.as_str(),
        Scraped::Nothing => "",
        // Nothing is known of that second, and nothing is said.
        Scraped::NotAsked => return,
    };
    let place = format!("instance=\"{host}\",job=\"{JOB}\"");
    let up = f64::from(u8::from(matches!(scraped, Scraped::Answer(_))));
    put(all, format!("up{{{place}}}"), second, Sample::Value(up));
    for (name, labels, value) in text.lines().filter_map(sample) {
        let comma = if labels.is_empty() { "" } else { "," };
        put(all, format!("{name}{{{labels}{comma}{place}}}"), second, Sample::Value(value));
    }
    let of_host = format!("{place}}}");
    for samples in all.iter_mut().filter(|(key, _)| key.ends_with(&of_host)).map(|(_, samples)| samples) {
        if samples.len() == second {
            let was_there = matches!(samples.last(), Some(Sample::Value(_)));
            samples.push(if was_there { Sample::Stale } else { Sample::Missing });
        }
    }
}

fn put(all: &mut All, key: String, second: usize, sample: Sample) {
    let samples = all.entry(key).or_default();
    samples.resize(second, Sample::Missing);
    samples.push(sample);
}

/// `name{labels} value`; a line that is no sample gives nothing.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    Some((name, labels, value.parse().ok()?))
}

/// promtool's notation: what does not change is written once, with how often it comes again.
pub(super) fn notation(samples: &[Sample]) -> String {
    let mut text = String::new();
    for run in samples.chunk_by(|one, other| one == other) {
        let again = run.len() - 1;
        // Writing to memory cannot fail.
        let _ = match run[0] {
            Sample::Value(value) => write!(text, "{value}+0x{again} "),
            Sample::Missing => write!(text, "_x{} ", run.len()),
            Sample::Stale => write!(text, "{}", "stale ".repeat(run.len())),
        };
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(scraped: &[Scraped]) -> All {
        all(&Recorded(vec![("db1".to_owned(), scraped.to_vec())]))
    }

    fn answer(lines: &str) -> Scraped {
        Scraped::Answer(format!("# TYPE a gauge\n{lines}# EOF\n"))
    }

    #[test]
    fn what_is_gone_is_marked_once_and_what_was_not_asked_is_not() {
        let all = recorded(&[
            answer("a{x=\"1\"} 2.5\nb 1\n"),
            answer("b 1\n"),
            Scraped::NotAsked,
            Scraped::Nothing,
            answer("a{x=\"1\"} 3\nb 1\n"),
        ]);
        let of = |series: &str| notation(&all[series]);
        assert_eq!(of("a{x=\"1\",instance=\"db1\",job=\"haipmgr\"}"), "2.5+0x0 stale _x2 3+0x0");
        assert_eq!(of("b{instance=\"db1\",job=\"haipmgr\"}"), "1+0x1 _x2 1+0x0");
        assert_eq!(of("up{instance=\"db1\",job=\"haipmgr\"}"), "1+0x1 _x1 0+0x0 1+0x0");
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn a_series_that_comes_later_begins_with_nothing() {
        let all = recorded(&[answer(""), answer(""), answer("a 1\n")]);
        assert_eq!(notation(&all["a{instance=\"db1\",job=\"haipmgr\"}"]), "_x2 1+0x0");
    }
}
