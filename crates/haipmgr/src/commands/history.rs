//! `haipmgr history`: every switch of a VIP that this host has seen, the newest last. Reads the files; no agent is needed.

use std::process::ExitCode;

use comfy_table::{Table, presets};
use decide::history::{Kind, Party};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

use super::terminal::print;
use super::{BAD_INPUT, File, refuse, say};
use crate::config::{self, Cluster, Config, Source};
use crate::history::{How, Outage, ReadHistory, Record, UnreadableHistory, read};

/// What `--help` ends with.
pub(super) const EXAMPLES: &str = "Examples:
  haipmgr history                          all that is kept, the newest last
  haipmgr history --since 2h               of the last two hours
  haipmgr history --since 2026-11-29T01:30:00+01:00 --format json

What each code and field means: docs/history.md. The other hosts' switches are in their own histories.
Exit status: 0 printed, also where there was no switch; 1 a history can't be read; 2 the command line or the configuration is wrong.";

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: File,
    /// How it is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Only what happened since then: a time ("2026-11-29T01:30:00Z", in UTC where it names no offset) or a length of time ("2h").
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// This cluster only.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

/// How a history is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// A line each, with a heading; columns are only ever added at the end.
    Tsv,
    /// One object: `format`, `switches`, `lines_not_read`.
    Json,
}

/// Why there is no history to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHistory {
    #[error(transparent)]
    Configuration(#[from] config::Problems),
    #[error("there is no cluster {wanted:?} in the configuration; there is: {known}")]
    NoSuchCluster { wanted: String, known: String },
    #[error(
        "with a parameter.py no history is kept; haipmgr convert prints the same configuration as TOML, with which it is"
    )]
    Legacy,
    #[error(transparent)]
    Unreadable(#[from] UnreadableHistory),
}

impl NoHistory {
    /// Says it, and gives the exit status.
    pub(super) fn say(&self, file: &File) -> ExitCode {
        if let Self::Configuration(problems) = self {
            return refuse(problems, &file.config);
        }
        say(&format!("haipmgr: {self}"));
        match self {
            Self::Unreadable(_) => ExitCode::FAILURE,
            _ => ExitCode::from(BAD_INPUT),
        }
    }
}

pub(super) fn history(arguments: &Arguments) -> ExitCode {
    match all(&arguments.file, arguments.cluster.as_deref()) {
        Ok((_, mut history)) => {
            if let Some(since) = arguments.since {
                history.records.retain(|record| record.time().is_some_and(|at| at >= since));
            }
            print(rendered(&history, arguments.format).trim_end());
            // What is in the JSON need not be said beside it.
            if arguments.format != Format::Json {
                say_what_was_not_read(&history);
            }
            ExitCode::SUCCESS
        }
        Err(error) => error.say(&arguments.file),
    }
}

/// The configuration, and what all its clusters' histories hold, or that of the one that is named; the oldest first.
pub(super) fn all(file: &File, cluster: Option<&str>) -> Result<(Config, ReadHistory), NoHistory> {
    let config = config::load(&file.config)?;
    if config.source == Source::ParameterPy {
        return Err(NoHistory::Legacy);
    }
    let mut all = ReadHistory::default();
    for cluster in chosen(&config, cluster)? {
        let one = read(&cluster.history_file())?;
        all.records.extend(one.records);
        all.broken += one.broken;
        all.newer += one.newer;
    }
    all.records.sort_by_key(Record::time);
    Ok((config, all))
}

/// The cluster that is named, or all.
pub(super) fn chosen<'c>(config: &'c Config, named: Option<&str>) -> Result<Vec<&'c Cluster>, NoHistory> {
    let chosen: Vec<_> =
        config.clusters.iter().filter(|cluster| named.is_none_or(|named| named == cluster.name)).collect();
    match (named, chosen.is_empty()) {
        (Some(wanted), true) => {
            let known: Vec<_> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
            Err(NoHistory::NoSuchCluster { wanted: wanted.to_owned(), known: known.join(", ") })
        }
        _ => Ok(chosen),
    }
}

pub(super) fn say_what_was_not_read(history: &ReadHistory) {
    if history.broken > 0 {
        say(&format!("haipmgr: {} of the history's lines can't be read, and were left out", history.broken));
    }
    if history.newer > 0 {
        let lines = history.newer;
        say(&format!("haipmgr: {lines} lines were written by a later version of haipmgr, and were left out"));
    }
}

/// A time, or how long ago.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(length) = config::parse_duration(text) {
        let length = SignedDuration::try_from(length).map_err(|error| error.to_string())?;
        return Timestamp::now().checked_sub(length).map_err(|error| error.to_string());
    }
    let in_utc = |at: civil::DateTime| at.to_zoned(TimeZone::UTC).map(|at| at.timestamp());
    text.parse::<Timestamp>().or_else(|_| text.parse::<civil::DateTime>().and_then(in_utc)).map_err(|_| {
        "write a time, such as \"2026-11-29T01:30:00Z\" or \"2026-11-29\", or a length of time, such as \"2h\"".to_owned()
    })
}

fn rendered(history: &ReadHistory, format: Format) -> String {
    match format {
        Format::Table if history.records.is_empty() => "no switch of a VIP is in the history".to_owned(),
        Format::Table => table(&history.records),
        Format::Tsv => tsv(&history.records),
        Format::Json => {
            let all = serde_json::json!({
                "format": crate::history::FORMAT,
                "switches": history.records,
                "lines_not_read": history.broken + history.newer,
            });
            // Nothing in it can't be written.
            serde_json::to_string_pretty(&all).unwrap_or_default()
        }
    }
}

fn table(records: &[Record]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "When (UTC)",
        "",
        "Code",
        "From",
        "To",
        "By",
        "Outage",
        "MySQL's part",
        "What happened",
        "ID",
    ]);
    for record in records {
        let outage = record.outage.as_ref();
        table.add_row([
            record.at.replacen('T', " ", 1),
            kind(record.kind).to_owned(),
            record.code.clone(),
            party(record.from.as_ref()),
            party(record.to.as_ref()),
            by(record),
            outage.map_or_else(|| "-".to_owned(), |outage| at_least(outage, outage.total_ms)),
            outage.map_or_else(|| "-".to_owned(), |outage| at_least(outage, outage.mysql_ms)),
            record.sentence.clone(),
            record.id.clone(),
        ]);
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

const TSV_HEADING: &str = "id\tat\tcluster\tvip\tkind\tcode\tfrom\tto\thow\twho\treason\tnoticed_ms\telected_ms\tclaimed_ms\tannounced_ms\ttotal_ms\tmysql_ms\tsentence\n";

fn tsv(records: &[Record]) -> String {
    let mut text = TSV_HEADING.to_owned();
    for record in records {
        let ms = |part: Option<f64>| part.map_or_else(String::new, |ms| ms.to_string());
        let outage = record.outage.clone();
        let part = |of: fn(&Outage) -> Option<f64>| ms(outage.as_ref().and_then(of));
        let how = match record.by.how {
            How::Automatic => "automatic",
            How::Ordered => "ordered",
        };
        let name = |party: Option<&Party>| party.map_or_else(String::new, ToString::to_string);
        let cells = [
            record.id.clone(),
            record.at.clone(),
            record.cluster.clone(),
            record.vip.to_string(),
            kind(record.kind).to_owned(),
            record.code.clone(),
            name(record.from.as_ref()),
            name(record.to.as_ref()),
            how.to_owned(),
            record.by.who.clone().unwrap_or_default(),
            record.by.reason.clone().unwrap_or_default(),
            part(|outage| outage.noticed_ms),
            part(|outage| outage.elected_ms),
            part(|outage| outage.claimed_ms),
            part(|outage| outage.announced_ms),
            part(|outage| Some(outage.total_ms)),
            part(|outage| Some(outage.mysql_ms)),
            record.sentence.clone(),
        ];
        let cells = cells.map(|cell| cell.replace(['\t', '\n', '\r'], " "));
        text += &cells.join("\t");
        text.push('\n');
    }
    text
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Came => "came",
        Kind::Left => "left",
    }
}

fn party(party: Option<&Party>) -> String {
    party.map_or_else(|| "not known".to_owned(), ToString::to_string)
}

/// Who wanted it, in words.
pub(super) fn by(record: &Record) -> String {
    match (record.by.how, &record.by.who) {
        (How::Automatic, _) => "automatic".to_owned(),
        (How::Ordered, Some(who)) => who.clone(),
        (How::Ordered, None) => "an order (who is not known)".to_owned(),
    }
}

/// A sum of an outage's parts, in words: where it is not known when the outage began, it was longer than what is known of it.
pub(super) fn at_least(outage: &Outage, ms: f64) -> String {
    let begin_known = outage.noticed_ms.is_some() || outage.elected_ms.is_none();
    format!("{}{}", if begin_known { "" } else { "over " }, seconds(ms))
}

/// Milliseconds as seconds, to the thousandth.
pub(super) fn seconds(ms: f64) -> String {
    format!("{:.3} s", ms / 1000.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::history::{By, FORMAT};

    fn history() -> ReadHistory {
        let party = |name: &str| Some(Party { name: Some(name.to_owned()), address: None });
        let record = Record {
            format: FORMAT,
            id: "3306-20261129T013012.345Z".to_owned(),
            kind: Kind::Came,
            code: "PRIMARY_DIED".to_owned(),
            at: "2026-11-29T01:30:12.345+00:00".to_owned(),
            cluster: "orders".to_owned(),
            vip: [10, 77, 0, 100].into(),
            role: None,
            from: party("db2"),
            to: party("db1"),
            by: By { how: How::Automatic, who: None, reason: None },
            sentence: "orders moved from db2 to db1\tafter db2's mysqld died".to_owned(),
            outage: Some(Outage { total_ms: 6_600.0, mysql_ms: 6_550.0, ..Outage::default() }),
            seen: Vec::new(),
            trace_us: 1,
        };
        ReadHistory { records: vec![record], broken: 1, newer: 0 }
    }

    #[test]
    fn each_rendering_tells_the_switch_and_what_is_not_known_is_no_number() {
        let history = history();
        let table = rendered(&history, Format::Table);
        for told in [
            "2026-11-29 01:30:12.345+00:00",
            "PRIMARY_DIED",
            "6.600 s",
            "6.550 s",
            "3306-20261129T013012.345Z",
        ] {
            assert!(table.contains(told), "{table}");
        }
        let tsv = rendered(&history, Format::Tsv);
        let rows: Vec<Vec<&str>> = tsv.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!((rows.len(), rows[0].len(), rows[1].len()), (2, 18, 18), "a tab in a sentence is none");
        assert_eq!((rows[0][11], rows[1][11], rows[1][15]), ("noticed_ms", "", "6600"));
        let json: serde_json::Value = serde_json::from_str(&rendered(&history, Format::Json)).unwrap();
        assert_eq!((json["format"].as_u64(), json["lines_not_read"].as_u64()), (Some(1), Some(1)));
        assert!(json["switches"][0]["outage"]["noticed_ms"].is_null());
        assert_eq!(json["switches"][0]["from"]["name"], "db2");
    }

    #[test]
    fn an_outage_whose_beginning_is_not_known_is_told_to_have_been_longer_than_what_is_known_of_it() {
        let died = Outage { elected_ms: Some(1_000.0), ..Outage::default() };
        assert_eq!(at_least(&died, 1_018.0), "over 1.018 s");
        assert_eq!(at_least(&Outage { noticed_ms: Some(5_000.0), ..died }, 6_018.0), "6.018 s");
        assert_eq!(at_least(&Outage::default(), 64.0), "0.064 s", "MySQL had no part in it");
    }

    #[test]
    fn an_empty_history_says_so_in_the_table_and_is_empty_in_the_others() {
        let empty = ReadHistory::default();
        assert!(rendered(&empty, Format::Table).contains("no switch"));
        assert_eq!(rendered(&empty, Format::Tsv), TSV_HEADING);
    }

    #[test]
    fn a_time_is_read_with_an_offset_or_in_utc_or_as_a_length_before_now() {
        let utc = |text: &str| since(text).unwrap().to_string();
        assert_eq!(utc("2026-11-29T01:30:00+01:00"), "2026-11-29T00:30:00Z");
        assert_eq!(utc("2026-11-29T01:30:00"), "2026-11-29T01:30:00Z");
        assert_eq!(utc("2026-11-29"), "2026-11-29T00:00:00Z");
        let ago = Timestamp::now().as_second() - since("2h").unwrap().as_second();
        assert!((7_199..=7_201).contains(&ago), "{ago}");
        assert!(since("yesterday").unwrap_err().contains("\"2h\""));
    }
}
