//! Settings that are to be the same on every member, and what comes of it where they are not. Pure.

use std::collections::BTreeMap;

use super::group::answered;
use super::line::Line;
use super::server::Asked;

/// A line for each of them.
pub(super) fn lines(asked: &[Asked]) -> impl Iterator<Item = Line> {
    ALIKE.iter().map(|alike| same_everywhere(asked, alike))
}

/// A setting that is to be the same on every member.
struct Alike {
    name: &'static str,
    variable: &'static str,
    /// What comes of it where it is not.
    harm: &'static str,
    /// It breaks something; otherwise it is only confusing.
    breaks: bool,
}

const fn alike(name: &'static str, variable: &'static str, breaks: bool, harm: &'static str) -> Alike {
    Alike { name, variable, harm, breaks }
}

const ALIKE: [Alike; 9] = [
    alike("same-group", "group_replication_group_name", true, "they are several groups"),
    alike("same-mode", "group_replication_single_primary_mode", true, "a member that restarts can't join"),
    alike("same-port", "port", true, "mysql_port holds for every member"),
    alike("same-stack", "group_replication_communication_stack", true, "a member that restarts can't join"),
    alike(
        "same-paxos-leader",
        "group_replication_paxos_single_leader",
        true,
        "a member that restarts can't join",
    ),
    alike(
        "same-ssl-mode",
        "group_replication_ssl_mode",
        true,
        "a member that restarts can't join (error 3092); its default differs between versions, so write it into every option file",
    ),
    alike(
        "same-expel-timeout",
        "group_replication_member_expel_timeout",
        false,
        "the survivors don't agree on how long to wait for a silent member",
    ),
    alike(
        "same-consistency",
        "group_replication_consistency",
        false,
        "the same statement waits on one primary and not on the next",
    ),
    alike(
        "same-exit-state-action",
        "group_replication_exit_state_action",
        false,
        "an expelled member serves reads here and not there",
    ),
];

fn same_everywhere(asked: &[Asked], alike: &Alike) -> Line {
    let Alike { name, variable, harm, breaks } = alike;
    let mut by_value: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (address, said) in answered(asked) {
        by_value.entry(said.variable(variable).unwrap_or("not there")).or_default().push(address.to_string());
    }
    if by_value.len() < 2 {
        let value = by_value.keys().next().copied().unwrap_or("not known");
        return Line::ok(name, format!("{variable} is {value} on every member that answers"));
    }
    let each: Vec<String> =
        by_value.iter().map(|(value, on)| format!("{value} on {}", on.join(", "))).collect();
    let says = format!("{variable} differs: {}; {harm}", each.join("; "));
    let mend = format!(
        "one value everywhere: SET PERSIST {variable} = …; or the option files, then one member after the other"
    );
    if *breaks { Line::problem(name, says, mend) } else { Line::advice(name, says, mend) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::super::server::tests::{all_asked, set};
    use super::*;
    use crate::check::line::Level;

    #[test]
    fn what_is_not_the_same_everywhere_is_named_with_who_has_what() {
        for alike in &ALIKE {
            let mut asked = all_asked();
            set(&mut asked, 2, alike.variable, "OTHER");
            let lines: Vec<Line> = lines(&asked).filter(|line| line.level != Level::Ok).collect();
            let [line] = lines.as_slice() else { panic!("{lines:?}") };
            assert_eq!(line.name, alike.name);
            assert!(line.says.contains("OTHER on 10.77.0.13"), "{line}");
            assert_eq!(line.level == Level::Problem, alike.breaks);
        }
    }
}
