//! Where the time of each move went, a line for each.

use crate::measure::budget::{Budget, Moment, Step, typical, waits};

/// How many of the longest waits are named.
const LONGEST: usize = 2;

/// One line for each move and, where a fault moved the VIP more than once, one with the median of each moment; the longest
/// waits on the way under each. Milliseconds after the fault. Nothing at all where nothing moved.
pub fn text(budgets: &[Budget]) -> String {
    if budgets.is_empty() {
        return String::new();
    }
    let mut text = "Where the time went, milliseconds after the fault:\n".to_owned();
    for budget in budgets {
        let old = budget.old.as_deref().unwrap_or("nowhere");
        let name = format!("{} {old}→{}", budget.fault, budget.new);
        let moments: Vec<(Moment, usize)> = budget.moments.iter().map(|moment| (*moment, 1)).collect();
        text += &rows(&name, &moments, 1, &Hosts { old, new: &budget.new });
    }
    for fault in typical(budgets) {
        let name = format!("{}, median of {}", fault.fault, fault.runs);
        text += &rows(&name, &fault.moments, fault.runs, &Hosts { old: "old", new: "new" });
    }
    text
}

struct Hosts<'a> {
    old: &'a str,
    new: &'a str,
}

impl Hosts<'_> {
    fn words(&self, step: Step) -> String {
        let Self { old, new } = self;
        match step {
            Step::Fault => "fault".into(),
            Step::ClientFails => "client fails".into(),
            Step::OldNotices => format!("{old} notices"),
            Step::Unreachable => "UNREACHABLE".into(),
            Step::ExpelAsked => "expel asked".into(),
            Step::Sign => format!("{new} notices"),
            Step::Primary => "PRIMARY".into(),
            Step::PrimarySeen => "PRIMARY seen".into(),
            Step::Writable => "writable".into(),
            Step::WritableSeen => "writable seen".into(),
            Step::Claim => "claim".into(),
            Step::Answered => "taken".into(),
            Step::Dispute => "dispute".into(),
            Step::Gone => format!("gone {old}"),
            Step::Released => "free!".into(),
            Step::There => format!("there {new}"),
            Step::Announced => "announced".into(),
            Step::Woken => "sleeper woken".into(),
            Step::Connected => "first connection".into(),
            Step::Insert => "first insert".into(),
        }
    }
}

/// `moments` with the number of moves, of `runs`, that have each.
fn rows(name: &str, moments: &[(Moment, usize)], runs: usize, hosts: &Hosts<'_>) -> String {
    let mut cells: Vec<(i64, String)> = Vec::new();
    for (moment, seen) in moments {
        let mut words = hosts.words(moment.step);
        if *seen < runs {
            words += &format!(" ({seen} of {runs})");
        }
        match cells.last_mut() {
            // One answer of the server tells both.
            Some((at, before)) if *at == moment.after_us => *before += &format!(", {words}"),
            _ => cells.push((moment.after_us, words)),
        }
    }
    let cells: Vec<String> =
        cells.into_iter().map(|(at, words)| format!("{} {words}", milliseconds(at))).collect();
    let always: Vec<Moment> =
        moments.iter().filter(|(_, seen)| *seen == runs).map(|(moment, _)| *moment).collect();
    let mut longest = waits(&always);
    longest.sort_by_key(|wait| std::cmp::Reverse(wait.us));
    let longest: Vec<String> = longest
        .into_iter()
        .take(LONGEST)
        .map(|wait| {
            format!("{} {} → {}", milliseconds(wait.us), hosts.words(wait.from), hosts.words(wait.to))
        })
        .collect();
    format!("  {name}: {}\n    longest: {}\n", cells.join(" · "), longest.join(" · "))
}

/// To the tenth.
fn milliseconds(us: i64) -> String {
    #[allow(clippy::cast_precision_loss)] // for people to read
    let ms = us as f64 / 1000.0;
    format!("{ms:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switchover(claim_us: i64) -> Budget {
        let moments = [
            (Step::Fault, 0),
            (Step::Primary, 27_400),
            (Step::Writable, 27_400),
            (Step::Claim, claim_us),
            (Step::There, claim_us + 1_400),
        ];
        Budget {
            fault: "switchover".into(),
            old: Some("db1".into()),
            new: "db2".into(),
            moments: moments.into_iter().map(|(step, after_us)| Moment { step, after_us }).collect(),
        }
    }

    #[test]
    fn a_move_is_one_line_of_moments_and_one_of_its_longest_waits() {
        assert_eq!(
            text(&[switchover(58_100)]),
            "Where the time went, milliseconds after the fault:\n  \
             switchover db1→db2: 0.0 fault · 27.4 PRIMARY, writable · 58.1 claim · 59.5 there db2\n    \
             longest: 30.7 writable → claim · 27.4 fault → writable\n"
        );
    }

    #[test]
    fn several_moves_of_a_fault_have_a_line_of_medians() {
        let text = text(&[switchover(40_000), switchover(50_000), switchover(90_000)]);
        let row = text.lines().find(|line| line.contains("median of 3")).unwrap_or_default();
        assert!(row.contains("50.0 claim · 51.4 there new"), "{text}");
    }

    #[test]
    fn where_nothing_moved_nothing_is_said() {
        assert_eq!(text(&[]), "");
    }
}
