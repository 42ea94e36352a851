//! What all runs come to: a row for each fault and tool, what was seen besides, a table and a file of values.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::{BenchError, Stops, Tool};
use crate::fault::Fault;
use crate::measure::{Figures, Reading, median, worst};
use crate::report::table::Style;

/// One fault, once, with one tool.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which tool kept the VIP.
    pub tool: Tool,
    /// What was done.
    pub fault: Fault,
    /// What came of it.
    pub figures: Figures,
}

impl Run {
    /// In one line.
    pub fn line(&self) -> String {
        let figures = &self.figures;
        let lost = figures.lost.map_or_else(|| "not checked".to_owned(), |lost| lost.to_string());
        format!(
            "{:22} {:12} elected {}, outage {}, two holders {}, lost {lost}",
            self.fault.name(),
            self.tool.name(),
            figures.elected,
            figures.outage,
            figures.two_holders
        )
    }
}

/// All that was measured.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Each run, in the order in which they were made.
    pub runs: Vec<Run>,
    /// What was seen when each tool was stopped.
    pub stops: BTreeMap<Tool, Stops>,
    /// What each tool calls its version.
    pub versions: BTreeMap<Tool, String>,
    /// The server's version.
    pub mysql: String,
}

/// One fault with one tool, over all its runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) fault: String,
    pub(super) tool: Tool,
    pub(super) runs: usize,
    pub(super) elected: Reading,
    pub(super) median: Reading,
    pub(super) worst: Reading,
    pub(super) beyond_election: Reading,
    /// The worst run's.
    pub(super) two_holders: Reading,
    /// The sum of all runs, where all were looked at.
    pub(super) lost: Option<u64>,
    /// Its median outage in haipmgr's; 1 for haipmgr itself.
    pub(super) ratio: Option<f64>,
}

impl Row {
    /// Whether it was quicker than haipmgr.
    fn wins(&self) -> bool {
        self.tool != Tool::Haipmgr && self.ratio.is_some_and(|ratio| ratio < 1.0)
    }
}

/// The times are medians, but for the worst outage and the longest time with two holders.
const COLUMNS: [&str; 10] = [
    "fault",
    "tool",
    "runs",
    "elected",
    "outage",
    "worst",
    "outage − elected",
    "two holders",
    "lost",
    "× haipmgr",
];

impl Summary {
    /// The rows, fault by fault in the order in which they first came, and within one in the order of [`Tool::ALL`].
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut faults: Vec<Fault> = Vec::new();
        for run in &self.runs {
            if !faults.contains(&run.fault) {
                faults.push(run.fault);
            }
        }
        let of_fault = |fault| Tool::ALL.iter().filter_map(move |tool| self.row(fault, *tool));
        faults.into_iter().flat_map(of_fault).collect()
    }

    fn row(&self, fault: Fault, tool: Tool) -> Option<Row> {
        let of = |tool: Tool| {
            let wanted = move |run: &&Run| run.fault == fault && run.tool == tool;
            self.runs.iter().filter(wanted).map(|run| &run.figures).collect::<Vec<_>>()
        };
        let runs = of(tool);
        if runs.is_empty() {
            return None;
        }
        let middle = |runs: &[&Figures]| median(runs.iter().map(|run| run.outage));
        let (own, reference) = (middle(&runs), middle(&of(Tool::Haipmgr)));
        let ratio = own.seconds().zip(reference.seconds().filter(|seconds| *seconds > 0.0));
        Some(Row {
            fault: fault.name(),
            tool,
            runs: runs.len(),
            elected: median(runs.iter().map(|run| run.elected)),
            median: own,
            worst: worst(runs.iter().map(|run| run.outage)),
            beyond_election: median(runs.iter().map(|run| run.beyond_election())),
            two_holders: worst(runs.iter().map(|run| run.two_holders)),
            lost: runs.iter().map(|run| run.lost).sum(),
            ratio: ratio.map(|(own, reference)| own / reference),
        })
    }

    /// The rows as a table, times in seconds.
    pub fn table(&self, style: Style) -> String {
        let mut table = Table::new();
        table.load_style(if style == Style::Terminal { UTF8_BORDERS_ONLY } else { ASCII_MARKDOWN });
        table.set_header(COLUMNS);
        for row in self.rows() {
            table.add_row([
                row.fault.clone(),
                row.tool.name().to_owned(),
                row.runs.to_string(),
                row.elected.to_string(),
                row.median.to_string(),
                row.worst.to_string(),
                row.beyond_election.to_string(),
                row.two_holders.to_string(),
                row.lost.map_or_else(|| "not checked".to_owned(), |lost| lost.to_string()),
                row.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    /// What the table does not say, a sentence each: first where haipmgr was not the best, or not clean.
    pub fn findings(&self) -> Vec<String> {
        let rows = self.rows();
        let mut said = Vec::new();
        let wins: Vec<&Row> = rows.iter().filter(|row| row.wins()).collect();
        for row in &wins {
            said.push(format!(
                "Quicker than haipmgr: {}, {} ({} s).",
                row.tool.name(),
                row.fault,
                row.median
            ));
        }
        if wins.is_empty() && self.versions.len() > 1 && self.versions.contains_key(&Tool::Haipmgr) {
            said.push("No other tool was quicker than haipmgr in any row.".to_owned());
        }
        for tool in Tool::ALL {
            let name = tool.name();
            let of = || rows.iter().filter(move |row| row.tool == tool);
            let both = worst(of().map(|row| row.two_holders));
            if both > Reading::After(0) {
                said.push(format!("{name}: two hosts held the VIP at the same time, for up to {both} s."));
            }
            let lost: u64 = of().filter_map(|row| row.lost).sum();
            if lost > 0 {
                said.push(format!("{name}: {lost} acknowledged rows were lost."));
            }
            let never =
                self.runs.iter().filter(|run| run.tool == tool && run.figures.outage.seconds().is_none());
            let never = never.count();
            if never > 0 {
                said.push(format!("{name}: in {never} runs writes did not come back by themselves."));
            }
            said.extend(self.stops.get(&tool).map(|stops| stops.sentences(name)).into_iter().flatten());
        }
        said
    }

    /// Writes a line for each run, times in seconds. Empty: does not apply, or was not looked at. `never`: it did not happen.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save_csv(&self, path: &Path) -> Result<(), BenchError> {
        #[derive(Serialize)]
        struct Line<'a> {
            fault: &'a str,
            tool: &'a str,
            run: usize,
            host: &'a str,
            elected: Reading,
            vip_moved: Reading,
            outage: Reading,
            outage_less_elected: Reading,
            two_holders: Reading,
            acknowledged: u64,
            failed: u64,
            lost: Option<u64>,
        }
        let refuse = |cause| BenchError::Figures { path: path.to_owned(), cause };
        let mut file = csv::Writer::from_path(path).map_err(refuse)?;
        let mut numbers: BTreeMap<(String, Tool), usize> = BTreeMap::new();
        for Run { tool, fault, figures } in &self.runs {
            let number = numbers.entry((fault.name(), *tool)).and_modify(|number| *number += 1).or_insert(1);
            let line = Line {
                fault: &fault.name(),
                tool: tool.name(),
                run: *number,
                host: &figures.host,
                elected: figures.elected,
                vip_moved: figures.vip_moved,
                outage: figures.outage,
                outage_less_elected: figures.beyond_election(),
                two_holders: figures.two_holders,
                acknowledged: figures.acknowledged,
                failed: figures.failed,
                lost: figures.lost,
            };
            file.serialize(line).map_err(refuse)?;
        }
        file.flush().map_err(|cause| refuse(cause.into()))
    }
}

impl Stops {
    fn sentences(self, name: &str) -> Vec<String> {
        let Self { stopped, expired, left_behind, killed, stuck } = self;
        let mut said = Vec::new();
        if left_behind > 0 {
            said.push(format!(
                "{name} leaves the VIP behind when it is stopped (SIGTERM, as systemd does): {left_behind} of {stopped} times \
                 it had to be removed by hand."
            ));
        }
        if expired > 0 {
            said.push(format!(
                "{name}: {expired} of {stopped} times the VIP was still there when it had been stopped, and went by itself \
                 within 8 s."
            ));
        }
        if killed > 0 {
            said.push(format!("{name}: {killed} times it did not end within 5 s of SIGTERM and was killed."));
        }
        if stuck > 0 {
            said.push(format!(
                "{name}: {stuck} times the VIP did not come back to the primary alone even after the fault was undone, until \
                 the tool was started anew."
            ));
        }
        said
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::table::tests::run as figures;

    pub(in crate::bench) fn summary(outages: &[(Tool, Reading)]) -> Summary {
        let run = |(tool, outage): &(Tool, Reading)| Run {
            tool: *tool,
            fault: Fault::Shutdown,
            figures: figures("shutdown", *outage, Some(0)),
        };
        let versions = outages.iter().map(|(tool, _)| (*tool, "1.0".to_owned())).collect();
        Summary {
            runs: outages.iter().map(run).collect(),
            stops: BTreeMap::new(),
            versions,
            mysql: "9.7.4".to_owned(),
        }
    }

    const QUICK: Reading = Reading::After(1_000_000);
    const SLOW: Reading = Reading::After(4_000_000);
    const NEVER: Reading = Reading::Never(60_000_000);

    #[test]
    fn each_tool_is_measured_in_haipmgrs_outages() {
        let summary = summary(&[(Tool::Keepalived, SLOW), (Tool::Haipmgr, QUICK)]);
        let ratios: Vec<_> = summary.rows().iter().map(|row| (row.tool, row.ratio)).collect();
        assert_eq!(ratios, [(Tool::Haipmgr, Some(1.0)), (Tool::Keepalived, Some(4.0))]);
    }

    #[test]
    fn a_tool_that_is_quicker_is_named_before_all_else() {
        let summary = summary(&[(Tool::Haipmgr, SLOW), (Tool::VipManager, QUICK)]);
        assert_eq!(summary.findings()[0], "Quicker than haipmgr: vip-manager, shutdown (1.000 s).");
    }

    #[test]
    fn a_tool_that_never_recovers_has_no_ratio_and_is_said_to() {
        let summary = summary(&[(Tool::Haipmgr, QUICK), (Tool::Keepalived, NEVER)]);
        assert!(summary.table(Style::Markdown).contains("never (60 s)"));
        assert!(
            summary
                .findings()
                .iter()
                .any(|said| said.contains("keepalived: in 1 runs writes did not come back"))
        );
    }

    #[test]
    fn a_vip_left_behind_is_said() {
        let mut summary = summary(&[(Tool::VipManager, QUICK)]);
        summary.stops.insert(Tool::VipManager, Stops { stopped: 3, left_behind: 3, ..Stops::default() });
        assert!(
            summary
                .findings()
                .iter()
                .any(|said| said.contains("leaves the VIP behind") && said.contains("3 of 3"))
        );
    }

    #[test]
    fn the_file_has_a_numbered_line_for_each_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("benchmark.csv");
        summary(&[(Tool::Haipmgr, QUICK), (Tool::Keepalived, NEVER), (Tool::Haipmgr, QUICK)])
            .save_csv(&path)
            .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("shutdown,keepalived,1,db1,0.7,0.72,never,"), "{text}");
        assert!(lines[3].starts_with("shutdown,haipmgr,2,"), "{text}");
    }
}
