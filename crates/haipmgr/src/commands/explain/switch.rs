//! One switch: what the history kept of it, and its story from the trace, in ten to thirty lines.

use std::path::Path;

use decide::history::Kind;
use decide::time::Time;
use jiff::Timestamp;

use super::story::{Part, Told, of_vip};
use super::stretch::{self, Stretch};
use crate::commands::history::{at_least, by, seconds};
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
    let (since, until) =
        (Time(record.trace_us.saturating_sub(BEFORE_US)), Time(record.trace_us.saturating_add(AFTER_US)));
    let mut stretches = trace.map(|trace| stretch::between(trace, since, until)).unwrap_or_default();
    stretches.retain(|stretch| is_of_its_time(stretch, record));
    if !stretches.iter().any(|stretch| stretch.has(Time(record.trace_us))) {
        stretches.clear();
        lines.push(match trace {
            Some(trace) => format!(
                "the trace of it is gone from {} (it is bounded, or decision_trace is \"off\"); this is what the history kept:",
                trace.display()
            ),
            None => "its cluster is not in the configuration any more; this is what the history kept:".to_owned(),
        });
    }
    lines.extend(story(record, &stretches, since, until));
    lines
}

fn outage(record: &Record) -> Option<String> {
    let outage = record.outage.as_ref().filter(|_| record.kind == Kind::Came)?;
    let part = |name: &str, ms: Option<f64>| ms.map(|ms| format!("{name} {}", seconds(ms)));
    let unknown = || outage.elected_ms.map(|_| "noticed: not known, for nobody wrote just before".to_owned());
    let parts = [
        part("noticed", outage.noticed_ms).or_else(unknown),
        part("elected", outage.elected_ms),
        part("claimed", outage.claimed_ms),
        part("announced", outage.announced_ms),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let (total, mysql) = (at_least(outage, outage.total_ms), at_least(outage, outage.mysql_ms));
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

fn story(record: &Record, stretches: &[Stretch], since: Time, until: Time) -> Vec<String> {
    let decided = i64::try_from(record.trace_us).unwrap_or(i64::MAX);
    #[allow(clippy::cast_possible_truncation)]
    let mark = |seen: &SeenOnTheWay| Line {
        at: decided.saturating_add((seen.ms * 1000.0) as i64),
        part: "",
        words: seen.what.clone(),
        matters: true,
    };
    let mut lines: Vec<Line> = record.seen.iter().map(mark).collect();
    if let Some(began) = stretches.iter().filter_map(Stretch::began).min() {
        // What came before the trace begins, the history alone has.
        let told_from = i64::try_from(began.max(since).0).unwrap_or(i64::MAX);
        lines.retain(|line| line.at < told_from);
        for stretch in stretches {
            let vip = stretch.policy.vip_of(record.vip).unwrap_or_default();
            let told = of_vip(stretch, vip).into_iter().filter(|told| (since..=until).contains(&told.at));
            lines.extend(told.map(|told| line_of(&told)));
        }
    }
    lines.sort_by_key(|line| line.at);
    let first = lines.first().map_or(decided, |line| line.at);
    let left_out = shorten(&mut lines);
    let mut all: Vec<String> = lines
        .iter()
        .map(|line| {
            #[allow(clippy::cast_precision_loss)]
            let after = (line.at - first) as f64 / 1e6;
            format!("{after:>9.3} s  {:<10} {}", line.part, line.words).trim_end().to_owned()
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
    use decide::State;
    use decide::input::{Event, Fact, Host, HostAddress, Interface, Seen};
    use decide::policy::{GroupPolicy, Policy, VipPolicy};
    use decide::trace;

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
            role: None,
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

    const RELEASED: u64 = 50_000_000;

    /// The trace of a holder that was told to give the VIP up.
    fn trace(folder: &Path, note: &str) -> std::path::PathBuf {
        let own = [10, 77, 0, 11].into();
        let group = GroupPolicy::new([(own, "eth0".to_owned())].into());
        let policy = Policy::new(group, VipPolicy::new([10, 77, 0, 100].into()));
        let mut state = State::new(&policy, Time(RELEASED - 2_000));
        let address = |address| HostAddress { address, prefix: 32, interface: "eth0".to_owned() };
        let host = Host {
            addresses: vec![address(own), address([10, 77, 0, 100].into())],
            interfaces: vec![Interface { name: "eth0".to_owned(), running: true }],
        };
        let before = Time(RELEASED - 1_000);
        let events = [
            (before, Event::Host(Seen { asked_at: before, fact: Fact::Known(host) })),
            (Time(RELEASED), Event::Release),
        ];
        let start = trace::Line::Start {
            format: trace::FORMAT,
            now: before,
            note: note.to_owned(),
            policy: Box::new(policy.clone()),
            state: Box::new(state.clone()),
        };
        let step = |(now, event): (Time, Event)| {
            let decision = Box::new(decide::step(&policy, &mut state, &event, now));
            trace::Line::Step { now, event: Box::new(event), decision }
        };
        let lines: Vec<_> = std::iter::once(start).chain(events.into_iter().map(step)).collect();
        let text: String = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
        let path = folder.join("trace.jsonl");
        // What a killed agent left behind, and a line of nobody's.
        std::fs::write(&path, format!("{{\"step\":{{\"now\n{text}no line")).unwrap();
        path
    }

    #[test]
    fn a_switch_is_told_from_its_trace_whatever_else_is_broken_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = trace(folder.path(), "2026-11-29T01:30:13.345+00:00[UTC]");
        let lines = tell(&record(), Some(&path));
        let told = lines.join("\n");
        for words in [
            "0.000 s             db2 is UNREACHABLE in the group",
            "saw        the operator's word to give the VIP up",
            "did        removed 10.77.0.100 from eth0",
            "concluded  VIP stopped on eth0: this agent was told to give it up",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains("the trace of it is gone"), "{told}");
    }

    #[test]
    fn a_trace_of_another_boot_with_the_same_time_on_its_clock_is_not_taken_for_the_switchs_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = trace(folder.path(), "2026-11-27T01:30:13.345+00:00[UTC]");
        let told = tell(&record(), Some(&path)).join("\n");
        assert!(told.contains("the trace of it is gone") && !told.contains("removed 10.77.0.100"), "{told}");
    }

    #[test]
    fn a_long_story_is_shortened_by_what_matters_least_and_says_how_much_is_missing() {
        let line = |at: i64, matters| Line { at, part: "saw", words: "x".to_owned(), matters };
        let mut lines: Vec<Line> = (0..100).map(|at| line(at, at % 10 == 0)).collect();
        assert_eq!(shorten(&mut lines), 100 - MOST_LINES);
        assert_eq!(lines.iter().filter(|line| line.matters).count(), 10, "what matters is there");
    }
}
