//! How much faults that leave the primary where it is slow its commits down, as a table.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};
use comfy_table::{CellAlignment, Table};

use super::table::Style;
use crate::measure::slowdown::Slowdown;

const COLUMNS: [&str; 6] =
    ["fault", "runs", "rows/s before", "slow: median", "slow: worst", "rows/s meanwhile"];

/// One row for each fault, and one for the time in which it was undone. `slow`: seconds in which less than half of the rate before
/// was committed. Rates are medians. Nothing at all where no fault left the primary where it is.
pub fn table(slowdowns: &[Slowdown], style: Style) -> String {
    let mut groups: Vec<(String, Vec<&Slowdown>)> = Vec::new();
    for run in slowdowns {
        let name = format!("{}{}", run.fault, if run.joining { ": joining again" } else { "" });
        match groups.iter_mut().find(|(group, _)| *group == name) {
            Some((_, runs)) => runs.push(run),
            None => groups.push((name, vec![run])),
        }
    }
    if groups.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(if style == Style::Terminal { UTF8_BORDERS_ONLY } else { ASCII_MARKDOWN });
    table.set_header(COLUMNS);
    for (name, runs) in groups {
        let slow: Vec<f64> = runs.iter().map(|run| run.slow).collect();
        let worst = slow.iter().copied().fold(0.0, f64::max);
        let meanwhile: Vec<f64> = runs.iter().filter_map(|run| run.meanwhile).collect();
        table.add_row([
            name,
            runs.len().to_string(),
            words(median(runs.iter().map(|run| run.before).collect()), 0),
            words(median(slow), 2),
            words(Some(worst), 2),
            words(median(meanwhile), 1),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

fn words(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

/// The middle one; of an even number, the mean of the two in the middle.
fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_unstable_by(f64::total_cmp);
    let (lower, upper) = (all.get(all.len().saturating_sub(1) / 2)?, all.get(all.len() / 2)?);
    Some(f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(joining: bool, slow: f64, meanwhile: Option<f64>) -> Slowdown {
        Slowdown { fault: "secondary-kill-9".into(), joining, before: 250.0, slow, meanwhile }
    }

    #[test]
    fn the_time_of_the_fault_and_that_of_its_undoing_are_told_apart() {
        let runs = [run(false, 5.0, Some(4.0)), run(true, 12.0, Some(30.0)), run(false, 6.0, Some(2.0))];
        let text = table(&runs, Style::Markdown);
        let cells = |line: usize| -> Vec<String> {
            let line = text.lines().nth(line).unwrap_or_default();
            line.split('|').map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
        };
        assert_eq!(cells(2), ["secondary-kill-9", "2", "250", "5.50", "6.00", "3.0"], "{text}");
        assert_eq!(cells(3), ["secondary-kill-9: joining again", "1", "250", "12.00", "12.00", "30.0"]);
    }

    #[test]
    fn where_nothing_was_slow_no_rate_is_made_up() {
        let text = table(&[run(false, 0.0, None)], Style::Markdown);
        assert!(text.contains("| 0.00 |") || text.contains(" 0.00 |"), "{text}");
        assert!(text.contains('–'), "{text}");
        assert_eq!(table(&[], Style::Terminal), "");
    }
}
