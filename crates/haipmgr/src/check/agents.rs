//! The agents of all members, by what each shows of itself on its server: whether one is there, and whether all are of one version and
//! one configuration. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::group::answered;
use super::line::Line;
use super::server::Asked;
use crate::config::Alike;
use crate::server_access::agent_shown::AgentShown;

/// `ours`: what this host's file says. Whether an agent runs on this host is said elsewhere.
pub(super) fn lines(asked: &[Asked], own: IpAddr, ours: &Alike) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut shown = Vec::new();
    for (address, said) in answered(asked) {
        match &said.agent {
            Ok(Some(agent)) => shown.push((address, agent)),
            Ok(None) if address == own => {}
            Ok(None) => lines.push(
                Line::advice(
                    "agents",
                    "no agent is logged in to this server: its host takes no VIP, and helps to expel no dead member",
                    "on that host: systemctl enable --now haipmgr; its log says why it can't log in",
                )
                .of(address),
            ),
            Err(refusal) => lines.push(
                Line::not_looked_at("agents", &refusal.words, "see grant-select").of(address),
            ),
        }
    }
    if lines.is_empty() {
        lines.push(Line::ok("agents", "an agent is logged in to every other member's server that answers"));
    }
    lines.push(versions(&shown));
    lines.extend(configurations(&shown, own, ours));
    lines
}

fn versions(shown: &[(IpAddr, &AgentShown)]) -> Line {
    let mut by_version: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (address, agent) in shown {
        by_version.entry(agent.version.as_str()).or_default().push(address.to_string());
    }
    if by_version.len() < 2 {
        let version = by_version.keys().next().map_or("not known", |version| *version);
        return Line::ok("same-version", format!("the agents that show themselves are haipmgr {version}"));
    }
    let each: Vec<_> =
        by_version.iter().map(|(version, on)| format!("{version} on {}", on.join(", "))).collect();
    Line::advice(
        "same-version",
        format!("the agents are of several versions: {}", each.join("; ")),
        "the same package on every host; systemctl restart haipmgr, one host after the other (no connection is lost)",
    )
}

/// An agent that runs with other values than this host's file has.
fn configurations(shown: &[(IpAddr, &AgentShown)], own: IpAddr, ours: &Alike) -> Vec<Line> {
    let name = "same-configuration";
    let differs = |(address, agent): &(IpAddr, &AgentShown)| {
        let parts = ours.differences(&agent.configuration);
        if parts.is_empty() {
            return None;
        }
        let mend = if *address == own {
            "haipmgr reload, on this host"
        } else {
            "copy the right file to every host; then, on each: haipmgr reload"
        };
        let says = format!(
            "its agent runs with another configuration than this host's file has: {} differ",
            parts.join(", ")
        );
        Some(Line::problem(name, says, mend).of(*address))
    };
    let lines: Vec<Line> = shown.iter().filter_map(differs).collect();
    if !lines.is_empty() {
        return lines;
    }
    vec![Line::ok(name, format!("every agent that shows itself has this file's values ({})", ours.short()))]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::server::tests::{all_asked, refusal};
    use super::*;
    use crate::check::line::Level;

    fn agent(version: &str, configuration: &str) -> AgentShown {
        AgentShown { version: version.to_owned(), configuration: Alike::parse(configuration).unwrap() }
    }

    /// Of 11, where the command is typed, 12 and 13; what is not ok.
    fn found(agents: [Option<AgentShown>; 3]) -> Vec<(&'static str, Level, String)> {
        let mut asked = all_asked();
        for (asked, agent) in asked.iter_mut().zip(agents) {
            if let Ok(said) = &mut asked.said {
                said.agent = Ok(agent);
            }
        }
        not_ok(&asked)
    }

    fn not_ok(asked: &[Asked]) -> Vec<(&'static str, Level, String)> {
        let ours = Alike::parse("limits:00000001 members:00000001").unwrap();
        let lines = lines(asked, [10, 77, 0, 11].into(), &ours).into_iter();
        lines
            .filter(|line| line.level != Level::Ok)
            .map(|line| (line.name, line.level, line.to_string()))
            .collect()
    }

    fn right() -> AgentShown {
        agent("0.1.0", "limits:00000001 members:00000001")
    }

    #[test]
    fn agents_that_are_alike_are_well_and_one_that_is_missing_here_is_not_told_twice() {
        assert_eq!(found([Some(right()), Some(right()), Some(right())]), []);
        assert_eq!(found([None, Some(right()), Some(right())]), []);
    }

    #[test]
    fn a_host_without_an_agent_and_a_server_that_does_not_tell_are_named() {
        let all = found([Some(right()), None, Some(right())]);
        assert_eq!((all.len(), all[0].0, all[0].1), (1, "agents", Level::Advice));
        assert!(all[0].2.contains("agents at 10.77.0.12: no agent is logged in"), "{all:?}");
        let mut asked = all_asked();
        if let Ok(said) = &mut asked[2].said {
            said.agent = Err(refusal(Some(1142), "SELECT command denied"));
        }
        assert!(not_ok(&asked).iter().any(|line| line.2.contains("10.77.0.13: not looked at: SELECT")));
    }

    #[test]
    fn another_version_is_advice_and_another_configuration_a_problem_that_names_host_and_part() {
        let all =
            found([Some(right()), Some(right()), Some(agent("0.2.0", "limits:00000001 members:00000001"))]);
        assert_eq!((all.len(), all[0].0, all[0].1), (1, "same-version", Level::Advice));
        assert!(all[0].2.contains("0.1.0 on 10.77.0.11, 10.77.0.12; 0.2.0 on 10.77.0.13"), "{all:?}");
        let other = || Some(agent("0.1.0", "limits:00000002 members:00000001"));
        let all = found([Some(right()), other(), Some(right())]);
        assert_eq!((all.len(), all[0].0, all[0].1), (1, "same-configuration", Level::Problem));
        assert!(all[0].2.contains("at 10.77.0.12") && all[0].2.contains("limits differ"), "{all:?}");
        let all = found([other(), Some(right()), Some(right())]);
        assert!(
            all[0].2.contains("at 10.77.0.11") && all[0].2.contains("haipmgr reload, on this host"),
            "{all:?}"
        );
    }
}
