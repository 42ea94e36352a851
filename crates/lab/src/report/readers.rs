//! What faults meant for who reads through reader VIPs, as a table.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};
use comfy_table::{CellAlignment, Table};

use super::table::Style;
use crate::measure::readers::Readership;
use crate::measure::{Reading, median, worst};

const COLUMNS: [&str; 9] = [
    "fault",
    "reader VIPs moved",
    "its server not ONLINE, or gone: median / worst",
    "address there",
    "first read there",
    "reads paused",
    "… of a connection that stays",
    "others moved",
    "two holders",
];

/// One row for each fault: of the reader VIPs that its host had, or that moved; nothing at all where nobody had one. Seconds.
pub fn table(all: &[Readership], style: Style) -> String {
    let mut names: Vec<&str> = Vec::new();
    for one in all {
        if !names.contains(&one.fault.as_str()) {
            names.push(&one.fault);
        }
    }
    if names.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(if style == Style::Terminal { UTF8_BORDERS_ONLY } else { ASCII_MARKDOWN });
    table.set_header(COLUMNS);
    for name in names {
        let of_fault = || all.iter().filter(move |one| one.fault == name);
        let its: Vec<&Readership> = of_fault().filter(|one| one.before.contains(&one.host)).collect();
        let others = of_fault().filter(|one| !one.before.contains(&one.host) && one.moves > 0).count();
        let figure = |of: fn(&Readership) -> Reading| {
            let all = || its.iter().map(|one| of(one));
            format!("{} / {}", median(all()), worst(all()))
        };
        table.add_row([
            name.to_owned(),
            format!("{} of {}", its.iter().filter(|one| one.moved.seconds().is_some()).count(), its.len()),
            figure(|one| one.seen),
            figure(|one| one.moved),
            figure(|one| one.read),
            figure(|one| one.outage),
            figure(|one| one.stays),
            others.to_string(),
            worst(of_fault().map(|one| one.two_holders)).to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::segment::all_readers;

    #[test]
    fn the_dead_hosts_vips_are_told_and_those_of_others_counted_where_they_moved() {
        let host = |name: &str| BTreeSet::from([name.to_owned()]);
        let one = |before: &str, moved, moves| Readership {
            fault: "reader-kill-9".into(),
            host: "db2".into(),
            injected_us: 0,
            vip: all_readers()[0],
            before: host(before),
            after: host("db3"),
            seen: moved,
            moved,
            read: moved,
            outage: moved,
            stays: Reading::DoesNotApply,
            two_holders: Reading::After(0),
            moves,
        };
        let all = [one("db2", Reading::After(61_000), 1), one("db3", Reading::DoesNotApply, 0)];
        let text = table(&all, Style::Markdown);
        let line = text.lines().nth(2).unwrap_or_default();
        let cells: Vec<&str> = line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let figure = "0.061 / 0.061";
        assert_eq!(
            cells,
            ["reader-kill-9", "1 of 1", figure, figure, figure, figure, "– / –", "0", "0.000"],
            "{text}"
        );
        assert_eq!(table(&[], Style::Markdown), "");
    }
}
