//! The table at the end of a run.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};
use comfy_table::{CellAlignment, Table};

use crate::measure::{Figures, Reading, median, worst};

/// Where the table is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// In a terminal.
    Terminal,
    /// In a Markdown file.
    Markdown,
}

const COLUMNS: [&str; 8] =
    ["fault", "elected", "VIP moved", "outage", "outage − elected", "acknowledged", "lost", "two holders"];

/// The figures as a table, in seconds. A fault that was run several times has two rows, its median and its worst; the rows
/// acknowledged and lost are then the sum in the first and the worst run's in the second.
pub fn table(figures: &[Figures], style: Style) -> String {
    let mut table = Table::new();
    table.load_style(if style == Style::Terminal { UTF8_BORDERS_ONLY } else { ASCII_MARKDOWN });
    table.set_header(COLUMNS);
    for runs in by_fault(figures) {
        let of = |reading: fn(&Figures) -> Reading| runs.iter().map(move |run| reading(run));
        let times = |pick: fn(&mut dyn Iterator<Item = Reading>) -> Reading| {
            [
                pick(&mut of(|run| run.elected)),
                pick(&mut of(|run| run.vip_moved)),
                pick(&mut of(|run| run.outage)),
                pick(&mut of(Figures::beyond_election)),
            ]
        };
        let two_holders = |pick: fn(&mut dyn Iterator<Item = Reading>) -> Reading| {
            pick(&mut of(|run| run.two_holders)).to_string()
        };
        let Some(first) = runs.first() else { continue };
        let name = if runs.len() == 1 {
            format!("{} {}", first.fault, first.host)
        } else {
            format!("{}, median of {}", first.fault, runs.len())
        };
        let acknowledged: u64 = runs.iter().map(|run| run.acknowledged).sum();
        let lost: Option<u64> = runs.iter().map(|run| run.lost).sum();
        let mut row = vec![name];
        let times_row = |pick| {
            let [elected, vip_moved, outage, beyond]: [Reading; 4] = times(pick);
            [elected.to_string(), vip_words(&runs, vip_moved), outage.to_string(), beyond.to_string()]
        };
        row.extend(times_row(|all| median(all)));
        row.extend([acknowledged.to_string(), lost_words(lost), two_holders(|all| median(all))]);
        table.add_row(row);
        if runs.len() > 1 {
            let fewest = runs.iter().map(|run| run.acknowledged).min().unwrap_or_default();
            let most_lost = runs.iter().map(|run| run.lost).max().flatten();
            let mut row = vec![format!("{}, worst", first.fault)];
            row.extend(times_row(|all| worst(all)));
            let lost = if lost.is_none() { None } else { most_lost };
            row.extend([fewest.to_string(), lost_words(lost), two_holders(|all| worst(all))]);
            table.add_row(row);
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// What the VIP did: where it never left in any of the runs, there is no time to tell.
fn vip_words(runs: &[&Figures], reading: Reading) -> String {
    let stayed = runs.iter().all(|run| run.vip_moved == Reading::DoesNotApply && run.holder.is_some());
    if stayed { "stayed".to_owned() } else { reading.to_string() }
}

/// The runs of each fault, in the order in which the faults first came.
fn by_fault(figures: &[Figures]) -> Vec<Vec<&Figures>> {
    let mut groups: Vec<Vec<&Figures>> = Vec::new();
    for run in figures {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| first.fault == run.fault)) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    groups
}

fn lost_words(lost: Option<u64>) -> String {
    lost.map_or_else(|| "not checked".to_owned(), |lost| lost.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn run(fault: &str, outage: Reading, lost: Option<u64>) -> Figures {
        Figures {
            fault: fault.into(),
            host: "db1".into(),
            injected_us: 0,
            elected: Reading::After(700_000),
            primary: Some("db2".into()),
            vip_moved: Reading::After(720_000),
            holder: Some("db2".into()),
            outage,
            unheld: Reading::DoesNotApply,
            woken: Reading::DoesNotApply,
            acknowledged: 100,
            failed: 3,
            lost,
            two_holders: Reading::After(0),
            not_followed: None,
        }
    }

    #[test]
    fn one_run_is_one_row_of_markdown_with_seconds() {
        let text = table(&[run("shutdown", Reading::After(800_000), Some(0))], Style::Markdown);
        let row = text.lines().last().unwrap_or_default();
        let cells: Vec<&str> = row.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells, ["shutdown db1", "0.700", "0.720", "0.800", "0.100", "100", "0", "0.000"]);
    }

    #[test]
    fn a_vip_that_never_left_is_said_to_have_stayed() {
        let stayed = Figures {
            elected: Reading::DoesNotApply,
            vip_moved: Reading::DoesNotApply,
            ..run("agent-restart", Reading::After(4_000), Some(0))
        };
        let text = table(&[stayed.clone(), stayed], Style::Markdown);
        let row = text.lines().last().unwrap_or_default();
        let cells: Vec<&str> = row.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells[1..5], ["–", "stayed", "0.004", "–"], "{text}");
    }

    #[test]
    fn several_runs_show_the_median_the_worst_and_every_lost_row() {
        let runs = [
            run("shutdown", Reading::After(800_000), Some(0)),
            run("kill-9", Reading::After(1), Some(0)),
            run("shutdown", Reading::Never(90_000_000), Some(2)),
            run("shutdown", Reading::After(900_000), Some(1)),
        ];
        let text = table(&runs, Style::Markdown);
        let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
        assert!(row("shutdown, median of 3").contains("0.900"), "{text}");
        assert!(row("shutdown, median of 3").contains("|    3 |"), "{text}");
        assert!(row("shutdown, worst").contains("never (90 s)"), "{text}");
    }

    #[test]
    fn rows_that_nobody_looked_for_are_not_called_safe() {
        let runs = [run("shutdown", Reading::After(1), Some(0)), run("shutdown", Reading::After(1), None)];
        assert_eq!(table(&runs, Style::Terminal).matches("not checked").count(), 2);
    }
}
