//! One switch: what the history kept of it, and its story from the trace, in ten to thirty lines.

use std::path::Path;

use decide::history::Kind;
use decide::time::Time;
use jiff::Timestamp;

use super::story::{Part, Told, of_vip};
use super::stretch::{self, Stretch};
use crate::commands::history::{by, seconds};
use crate::history::{Record, SeenOnTheWay};

/// Lines of a story, at the most.
const MOST_LINES: usize = 24;
/// What is told of the time before a switch, where nothing was noticed sooner.
const BEFORE_US: u64 = 3_000_000;
/// What is told of the time after it.
const AFTER_US: u64 = 1_000_000;
/// A trace's start is written no longer than this before or after what it tells of; else it is of another boot.
const SAME_BOOT_SECONDS: u64 = 6 * 3600;

/// A line of the story; its time in microseconds on the agent's clock.
struct Line {
    at: i64,
    part: &'static str,
    words: String,
    /// It is told whatever else is left out.
    matters: bool,
}

/// All lines.
pub(super) fn tell(record: &Record, trace: Option<&Path>) -> Vec<String> {
    let mut lines = vec![
        record.sentence.clone(),
        format!("{}  {}  {}; ID {}", record.at, record.code, by(record), record.id),
    ];
    if let Some(reason) = &record.by.reason {
        lines.push(format!("the reason given: {reason}"));
    }
    lines.extend(outage(record));
    let stretch = trace.and_then(|trace| stretch::with_step(trace, Time(record.trace_us)));
    let stretch = stretch.filter(|stretch| is_of_its_time(stretch, record));
    if stretch.is_none() {
        lines.push(match trace {
            Some(trace) => format!(
                "the trace of it is gone from {} (it is bounded, or decision_trace is \"off\"); this is what the history kept:",
                trace.display()
            ),
            None => "its cluster is not in the configuration any more; this is what the history kept:".to_owned(),
        });
    }
    lines.extend(story(record, stretch.as_ref()));
    lines
}

fn outage(record: &Record) -> Option<String> {
    let outage = record.outage.as_ref().filter(|_| record.kind == Kind::Came)?;
    let part = |name: &str, ms: Option<f64>| ms.map(|ms| format!("{name} {}", seconds(ms)));
    let parts = [
        part("noticed", outage.noticed_ms).or_else(|| Some("noticed: not known here".to_owned())),
        part("elected", outage.elected_ms),
        part("claimed", outage.claimed_ms),
        part("announced", outage.announced_ms),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let (total, mysql) = (seconds(outage.total_ms), seconds(outage.mysql_ms));
    Some(format!("outage {total}, of which MySQL's own {mysql} ({})", parts.join(", ")))
}

/// A host's clock begins anew at each boot, and a trace may hold the same time twice.
fn is_of_its_time(stretch: &Stretch, record: &Record) -> bool {
    let written = stretch.note.parse::<jiff::Zoned>().map(|written| written.timestamp());
    match (written, record.time()) {
        (Ok(written), Some(at)) => seconds_apart(written, at) <= SAME_BOOT_SECONDS,
        _ => true,
    }
}

fn seconds_apart(one: Timestamp, other: Timestamp) -> u64 {
    one.as_second().abs_diff(other.as_second())
}

fn story(record: &Record, stretch: Option<&Stretch>) -> Vec<String> {
    let decided = i64::try_from(record.trace_us).unwrap_or(i64::MAX);
    #[allow(clippy::cast_possible_truncation)]
    let mark = |seen: &SeenOnTheWay| Line {
        at: decided.saturating_add((seen.ms * 1000.0) as i64),
        part: "",
        words: seen.what.clone(),
        matters: true,
    };
    let mut lines: Vec<Line> = record.seen.iter().map(mark).collect();
    if let Some(stretch) = stretch {
        let began = stretch.began().unwrap_or_default().0;
        let since = began.max(record.trace_us.saturating_sub(BEFORE_US));
        let until = record.trace_us.saturating_add(AFTER_US);
        let vip = stretch.policy.vip_of(record.vip).unwrap_or_default();
        // What came before the trace begins, the history alone has.
        lines.retain(|line| line.at < i64::try_from(since).unwrap_or(i64::MAX));
        let told = of_vip(stretch, vip).into_iter().filter(|told| (since..=until).contains(&told.at.0));
        lines.extend(told.map(|told| line_of(&told)));
    }
    lines.sort_by_key(|line| line.at);
    let first = lines.first().map_or(decided, |line| line.at);
    let left_out = shorten(&mut lines);
    let mut all: Vec<String> = lines
        .iter()
        .map(|line| {
            #[allow(clippy::cast_precision_loss)]
            let after = (line.at - first) as f64 / 1e6;
            let here = if line.at == decided && line.part == "did" { " <" } else { "" };
            format!("{after:>9.3} s  {:<10} {}{here}", line.part, line.words).trim_end().to_owned()
        })
        .collect();
    if left_out > 0 {
        all.push(format!(
            "({left_out} more lines are left out; haipmgr replay prints every step of the trace)"
        ));
    }
    all
}

fn line_of(told: &Told) -> Line {
    let words =
        if told.times > 1 { format!("{} ({} times)", told.words, told.times) } else { told.words.clone() };
    let matters = told.what == Part::Did
        && ["added", "removed", "told"].iter().any(|verb| words.starts_with(verb))
        || told.what == Part::Concluded
            && ["VIP started", "VIP stopped", "member ", "VIP is gone"]
                .iter()
                .any(|words_of| words.starts_with(words_of));
    Line { at: i64::try_from(told.at.0).unwrap_or(i64::MAX), part: told.what.word(), words, matters }
}

/// Leaves out what matters less, the last of it first. Gives how many.
fn shorten(lines: &mut Vec<Line>) -> usize {
    let before = lines.len();
    while lines.len() > MOST_LINES {
        let place = lines.iter().rposition(|line| !line.matters).unwrap_or(MOST_LINES / 2);
        lines.remove(place);
    }
    before - lines.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::history::{By, FORMAT, How};

    fn record() -> Record {
        let seen = |ms: f64, what: &str| SeenOnTheWay { ms, what: what.to_owned() };
        Record {
            format: FORMAT,
            id: "3306-1".to_owned(),
            kind: Kind::Came,
            code: "PRIMARY_DIED".to_owned(),
            at: "2026-11-29T01:30:12.345+00:00".to_owned(),
            cluster: "orders".to_owned(),
            vip: [10, 77, 0, 100].into(),
            from: None,
            to: None,
            by: By { how: How::Automatic, who: None, reason: None },
            sentence: "orders moved".to_owned(),
            outage: None,
            seen: vec![
                seen(-1_500.0, "db2 is UNREACHABLE in the group"),
                seen(0.0, "decided to take the VIP"),
            ],
            trace_us: 50_000_000,
        }
    }

    #[test]
    fn a_switch_whose_trace_is_gone_is_told_from_the_history_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let lines = tell(&record(), Some(&folder.path().join("trace.jsonl")));
        assert!(lines.iter().any(|line| line.contains("the trace of it is gone")), "{lines:#?}");
        assert!(
            lines.iter().any(|line| line.contains("0.000 s") && line.contains("UNREACHABLE")),
            "{lines:#?}"
        );
        assert!(lines.iter().any(|line| line.contains("1.500 s") && line.contains("decided")), "{lines:#?}");
    }

    #[test]
    fn a_long_story_is_shortened_by_what_matters_least_and_says_how_much_is_missing() {
        let line = |at: i64, matters| Line { at, part: "saw", words: "x".to_owned(), matters };
        let mut lines: Vec<Line> = (0..100).map(|at| line(at, at % 10 == 0)).collect();
        assert_eq!(shorten(&mut lines), 100 - MOST_LINES);
        assert_eq!(lines.iter().filter(|line| line.matters).count(), 10, "what matters is there");
    }
}
