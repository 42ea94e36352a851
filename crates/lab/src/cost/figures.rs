//! The figures beside their limits: a table, and the page in the documentation.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};
use comfy_table::{CellAlignment, Table};

use super::{AtRest, CostError, Many, SeveralVips, Times, Wanted};
use crate::report::table::Style;

const PAGE: &str = include_str!("cost.md");
const DOCUMENT: &str = "cost.md";

/// All that was measured.
#[derive(Clone, Debug)]
pub struct Figures {
    /// What was asked for.
    pub wanted: Wanted,
    /// One cluster, on the real group.
    pub at_rest: AtRest,
    /// From an agent's start to its first decision.
    pub starts: Times,
    /// One cluster, on the stand-in.
    pub one: Many,
    /// Many clusters, on the stand-in.
    pub many: Many,
    /// One VIP of one cluster, held.
    pub one_vip: SeveralVips,
    /// Several of one cluster, held.
    pub several_vips: SeveralVips,
}

/// One figure, and what it is not to exceed.
struct Row {
    what: String,
    measured: f64,
    limit: f64,
    unit: Unit,
}

#[derive(Clone, Copy)]
enum Unit {
    Percent,
    Megabytes,
    Milliseconds,
    Times,
}

impl Unit {
    fn words(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{value:.2} % of a core"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Milliseconds => format!("{value:.0} ms"),
            Self::Times => format!("{value:.2} ×"),
        }
    }

    fn limit(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{value} %"),
            Self::Megabytes => format!("{value} MB"),
            Self::Milliseconds => format!("{value} ms"),
            Self::Times => format!("{value} ×"),
        }
    }
}

impl Figures {
    fn rows(&self) -> Vec<Row> {
        let row = |what: &str, measured, limit, unit| Row { what: what.to_owned(), measured, limit, unit };
        let many = |what: &str| format!("{} clusters: {what}", self.many.clusters);
        let slower = milliseconds(self.many.reaction.percentile(99))
            / milliseconds(self.one.reaction.percentile(99)).max(f64::EPSILON);
        let vips = |what: &str| format!("{} VIPs of one cluster, held: {what}", self.several_vips.vips);
        let dearer = self.several_vips.processor / self.one_vip.processor.max(f64::EPSILON);
        let larger =
            megabytes(self.several_vips.resident) / megabytes(self.one_vip.resident).max(f64::EPSILON);
        vec![
            row("one cluster at rest: the agent", self.at_rest.processor * 100.0, 0.5, Unit::Percent),
            row(
                "one cluster at rest: the agent's memory",
                megabytes(self.at_rest.resident),
                12.0,
                Unit::Megabytes,
            ),
            row(
                "one cluster at rest: what it costs mysqld",
                self.at_rest.server_extra() * 100.0,
                0.5,
                Unit::Percent,
            ),
            row(
                "start to first decision, median",
                milliseconds(self.starts.percentile(50)),
                100.0,
                Unit::Milliseconds,
            ),
            row(
                "start to first decision, worst",
                milliseconds(self.starts.percentile(100)),
                100.0,
                Unit::Milliseconds,
            ),
            row(&many("the agent"), self.many.processor * 100.0, 10.0, Unit::Percent),
            row(&many("the agent's memory at rest"), megabytes(self.many.resting), 40.0, Unit::Megabytes),
            row(
                &many("the agent's memory after the VIPs' moves"),
                megabytes(self.many.resident),
                40.0,
                Unit::Megabytes,
            ),
            row(&many("reaction, 99th percentile, against one cluster"), slower, 2.0, Unit::Times),
            row(&vips("the agent, against one VIP"), dearer, 2.0, Unit::Times),
            row(&vips("the agent's memory, against one VIP"), larger, 2.0, Unit::Times),
        ]
    }

    /// Each figure beside its limit.
    pub fn table(&self, style: Style) -> String {
        let mut table = Table::new();
        table.load_style(if style == Style::Terminal { UTF8_BORDERS_ONLY } else { ASCII_MARKDOWN });
        table.set_header(["what", "measured", "at most", "kept"]);
        for Row { what, measured, limit, unit } in self.rows() {
            let kept = if measured <= limit { "yes" } else { "no" };
            table.add_row([what, unit.words(measured), unit.limit(limit), kept.to_owned()]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    /// What else there is to say, a sentence each.
    pub fn remarks(&self) -> Vec<String> {
        let AtRest { server_with, server_without, proportional, .. } = self.at_rest;
        let reaction = |many: &Many| {
            let clusters = if many.clusters == 1 { "cluster" } else { "clusters" };
            format!(
                "From a server that becomes primary to its VIP on the interface, {} {clusters}: median {:.0} ms, 99th percentile {:.0} ms, worst {:.0} ms, of {}.",
                many.clusters,
                milliseconds(many.reaction.percentile(50)),
                milliseconds(many.reaction.percentile(99)),
                milliseconds(many.reaction.percentile(100)),
                many.reaction.count(),
            )
        };
        vec![
            format!(
                "mysqld at rest takes {:.2} % of a core with the agent and {:.2} % without; {} s each, in turns.",
                server_with * 100.0,
                server_without * 100.0,
                self.wanted.seconds
            ),
            format!(
                "Memory is what the kernel counts as resident. With pages shared with other processes counted in part, one cluster's agent has {:.1} MB, that of {} has {:.1} MB.",
                megabytes(proportional),
                self.many.clusters,
                megabytes(self.many.proportional)
            ),
            format!(
                "The agent with {} clusters has {} threads, that with one has {}. With one cluster on the stand-in it takes {:.2} % of a core.",
                self.many.clusters,
                self.many.threads,
                self.one.threads,
                self.one.processor * 100.0
            ),
            reaction(&self.one),
            reaction(&self.many),
            format!(
                "The agent that holds one VIP takes {:.2} % of a core and {:.1} MB, that which holds {} of one cluster {:.2} % and {:.1} MB.",
                self.one_vip.processor * 100.0,
                megabytes(self.one_vip.resident),
                self.several_vips.vips,
                self.several_vips.processor * 100.0,
                megabytes(self.several_vips.resident),
            ),
        ]
    }

    /// Writes the page into a folder. `machine` says what it ran on.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn document(&self, folder: &Path, machine: &str) -> Result<PathBuf, CostError> {
        let path = folder.join(DOCUMENT);
        let remarks: Vec<String> = self.remarks().iter().map(|remark| format!("- {remark}\n")).collect();
        let page = [
            ("@TABLE@", self.table(Style::Markdown)),
            ("@REMARKS@", remarks.concat().trim_end().to_owned()),
            ("@MACHINE@", machine.to_owned()),
            ("@SECONDS@", self.wanted.seconds.to_string()),
            ("@STARTS@", self.starts.count().to_string()),
            ("@FLIPS@", self.wanted.flips.to_string()),
            ("@CLUSTERS@", self.many.clusters.to_string()),
        ]
        .iter()
        .fold(PAGE.to_owned(), |page, (place, text)| page.replace(place, text));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, page))
            .map_err(|cause| CostError::Page { path: path.clone(), cause })?;
        Ok(path)
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[allow(clippy::cast_precision_loss)] // for people to read
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn figures() -> Figures {
        let many = |clusters, processor, worst| Many {
            clusters,
            processor,
            stand_in: 0.02,
            resting: 30_000_000,
            resident: 39_000_000,
            proportional: 30_000_000,
            threads: 7,
            reaction: Times::of(vec![Duration::from_millis(worst)]),
        };
        Figures {
            wanted: Wanted { seconds: 60, starts: 1, clusters: 100, flips: 1, vips: 64 },
            at_rest: AtRest {
                processor: 0.004,
                resident: 13_000_000,
                proportional: 5_000_000,
                server_with: 0.015,
                server_without: 0.011,
            },
            starts: Times::of(vec![Duration::from_millis(42)]),
            one: many(1, 0.003, 100),
            many: many(100, 0.09, 150),
            one_vip: SeveralVips { vips: 1, processor: 0.004, resident: 9_000_000 },
            several_vips: SeveralVips { vips: 64, processor: 0.006, resident: 10_000_000 },
        }
    }

    #[test]
    fn each_figure_stands_beside_its_limit_and_a_missed_one_is_named() {
        let text = figures().table(Style::Markdown);
        let row = |what: &str| text.lines().find(|line| line.contains(what)).unwrap_or_default().to_owned();
        assert!(row("at rest: the agent ").contains("0.40 % of a core |   0.5 % |  yes"), "{text}");
        assert!(row("agent's memory").contains("13.0 MB |   12 MB |   no"), "{text}");
        assert!(row("costs mysqld").contains("0.40 %"), "{text}");
        assert!(row("100 clusters: reaction").contains("1.50 ×"), "{text}");
        assert!(row("64 VIPs of one cluster, held: the agent, against").contains("1.50 ×"), "{text}");
    }

    #[test]
    fn no_place_of_the_page_is_left_empty() {
        let folder = tempfile::tempdir().unwrap();
        let page = fs::read_to_string(figures().document(folder.path(), "two cores").unwrap()).unwrap();
        assert!(page.contains("two cores") && page.contains("100 clusters"));
        assert!(!page.contains('@'), "{page}");
    }
}
