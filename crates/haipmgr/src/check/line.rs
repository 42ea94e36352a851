//! One line of `haipmgr check`: what was looked at, how it stands, and what mends it; and lines as text or JSON.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

/// The format number of the JSON: raised when a field changes its meaning or goes; new fields may come without it.
pub(crate) const FORMAT: u32 = 1;

/// Every name that a line may have, in the order of docs/check.md.
const NAMES: [&str; 87] = [
    "file",
    "password-file",
    "this-host",
    "agent",
    "drained",
    "capabilities",
    "interface",
    "label",
    "hooks",
    "arp-ignore",
    "arp-announce",
    "arp-filter",
    "proxy-arp",
    "vip-prefix",
    "promote-secondaries",
    "rp-filter",
    "sock-destroy",
    "network-service",
    "vip-elsewhere",
    "other-mover",
    "legacy-program",
    "install-path",
    "expel-timeout-kept",
    "error-log",
    "agents",
    "same-version",
    "same-configuration",
    "gateway",
    "vip-holder",
    "login",
    "tls",
    "grants",
    "grant-select",
    "grant-wake-expel",
    "grant-expel-unreachable-now",
    "grant-restore-expel-timeout",
    "grant-make-primary",
    "grant-xa-recover",
    "grant-changed-rows",
    "grant-shorten-checkpoint-period",
    "grant-restore-checkpoint-period",
    "definer",
    "max-connections",
    "clocks",
    "bind-address",
    "offline-mode",
    "clients-without-tls",
    "plugin",
    "group-view",
    "member-state",
    "primary",
    "majority",
    "member-unreachable",
    "group-size",
    "members-in-group",
    "members-in-file",
    "versions",
    "applier-queue",
    "readers",
    "reader-max-behind",
    "single-primary",
    "same-group",
    "same-mode",
    "same-port",
    "same-stack",
    "same-paxos-leader",
    "same-ssl-mode",
    "same-expel-timeout",
    "same-consistency",
    "same-exit-state-action",
    "bootstrap",
    "start-on-boot",
    "exit-state-action",
    "majority-timeout",
    "autorejoin",
    "consistency",
    "checkpoint-period",
    "expel-timeout",
    "paxos-leader",
    "member-action",
    "failover-mysqld-dies",
    "failover-host-dies",
    "failover-secondary-dies",
    "failover-switchover",
    "failover-shutdown",
    "failover-gateway-lost",
    "lease",
];

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be, or a figure to know.
    Ok,
    /// Works, and could be better; or could not be looked at.
    Advice,
    /// Does not work, or will not when it is needed.
    Problem,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Line {
    /// How it stands.
    pub(crate) level: Level,
    /// What was looked at: a fixed word, documented in docs/check.md.
    pub(crate) name: &'static str,
    /// The members that it is about; none: this host, or the whole cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<IpAddr>,
    /// What was found.
    pub(crate) says: String,
    /// The command or the SQL that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mend: Option<String>,
    /// Of a computed time: the shortest and the longest, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<(f64, f64)>,
}

impl Line {
    fn new(level: Level, name: &'static str, says: impl Into<String>, mend: Option<String>) -> Self {
        debug_assert!(NAMES.contains(&name), "{name} is not documented");
        Self { level, name, members: Vec::new(), says: says.into(), mend, seconds: None }
    }

    pub(crate) fn ok(name: &'static str, says: impl Into<String>) -> Self {
        Self::new(Level::Ok, name, says, None)
    }

    pub(crate) fn advice(name: &'static str, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(Level::Advice, name, says, Some(mend.into()))
    }

    pub(crate) fn problem(name: &'static str, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(Level::Problem, name, says, Some(mend.into()))
    }

    /// What could not be looked at is advice, never well: unknown is not "no".
    pub(crate) fn not_looked_at(name: &'static str, why: impl fmt::Display, mend: impl Into<String>) -> Self {
        Self::advice(name, format!("not looked at: {why}"), mend)
    }

    /// The same, about this member.
    pub(crate) fn of(mut self, member: IpAddr) -> Self {
        self.members.push(member);
        self
    }

    /// The same, with a time.
    pub(crate) fn lasting(mut self, seconds: (f64, f64)) -> Self {
        self.seconds = Some(seconds);
        self
    }
}

impl fmt::Display for Line {
    /// One line of text, and a second where something is to be mended.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Advice => "advice",
            Level::Problem => "problem",
        };
        write!(f, "{level:<8} {}", self.name)?;
        if !self.members.is_empty() {
            let members: Vec<_> = self.members.iter().map(ToString::to_string).collect();
            write!(f, " at {}", members.join(", "))?;
        }
        // What servers and files say may hold line ends.
        write!(f, ": {}", self.says.replace(char::is_control, " "))?;
        match &self.mend {
            Some(mend) => write!(f, "\n         mend: {}", mend.replace('\n', "\n               ")),
            None => Ok(()),
        }
    }
}

/// What is said of several members in the same words is one line, at the place of the first.
pub(crate) fn merged(lines: Vec<Line>) -> Vec<Line> {
    let mut merged: Vec<Line> = Vec::new();
    for line in lines {
        let alike = |other: &&mut Line| {
            !line.members.is_empty() && Line { members: line.members.clone(), ..(**other).clone() } == line
        };
        match merged.iter_mut().find(alike) {
            Some(first) => first.members.extend(line.members),
            None => merged.push(line),
        }
    }
    merged
}

/// The lines of one cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OfCluster {
    /// The cluster's name; none: what concerns the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<String>,
    /// In the order in which they are printed.
    pub(crate) lines: Vec<Line>,
}

/// All lines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The configuration file.
    pub(crate) file: String,
    /// How many lines are problems.
    pub(crate) problems: usize,
    /// How many are advice.
    pub(crate) advice: usize,
    /// Cluster by cluster.
    pub(crate) clusters: Vec<OfCluster>,
}

impl Report {
    pub(crate) fn new(file: String, clusters: Vec<OfCluster>) -> Self {
        let count =
            |level| clusters.iter().flat_map(|of| &of.lines).filter(|line| line.level == level).count();
        Self { format: FORMAT, file, problems: count(Level::Problem), advice: count(Level::Advice), clusters }
    }

    /// "2 problems, 1 piece of advice".
    pub(crate) fn in_words(&self) -> String {
        let plural = if self.problems == 1 { "" } else { "s" };
        let pieces = if self.advice == 1 { "piece" } else { "pieces" };
        format!("{} problem{plural}, {} {pieces} of advice", self.problems, self.advice)
    }

    pub(crate) fn json(&self) -> String {
        // Strings and numbers: nothing of it can fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_name_is_documented_and_every_documented_name_is_there() {
        let page = include_str!("../../../../docs/check.md").split("## Every line").nth(1).unwrap();
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
        // What stands between two backticks.
        let documented: Vec<&str> = rows.flat_map(|cell| cell.split('`').step_by(2)).collect();
        assert_eq!(documented.into_iter().filter(|name| !name.trim().is_empty()).collect::<Vec<_>>(), NAMES);
    }

    #[test]
    fn a_line_names_the_level_the_thing_the_member_and_what_mends_it() {
        let line =
            Line::problem("single-primary", "the group has\nseveral primaries", "SELECT 1;\nSELECT 2;")
                .of([10, 77, 0, 12].into());
        assert_eq!(
            line.to_string(),
            "problem  single-primary at 10.77.0.12: the group has several primaries\n         mend: SELECT 1;\n               SELECT 2;"
        );
    }

    #[test]
    fn the_same_words_of_several_members_are_one_line_and_those_of_this_host_stay_apart() {
        let of = |last: u8, says: &str| Line::ok("login", says).of([10, 77, 0, last].into());
        let lines =
            merged(vec![of(11, "a"), of(12, "b"), Line::ok("file", "x"), of(13, "a"), Line::ok("file", "x")]);
        let shown: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let expected = [
            "ok       login at 10.77.0.11, 10.77.0.13: a",
            "ok       login at 10.77.0.12: b",
            "ok       file: x",
            "ok       file: x",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_json_has_a_format_number_and_leaves_out_what_is_not_there() {
        let lines = vec![
            Line::ok("tls", "x").lasting((6.0, 7.1)),
            Line::advice("clocks", "y", "z"),
            Line::ok("file", "b"),
        ];
        let report =
            Report::new("/etc/x.toml".into(), vec![OfCluster { cluster: Some("orders".into()), lines }]);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((json["format"].as_u64(), json["advice"].as_u64()), (Some(1), Some(1)));
        let lines = &json["clusters"][0]["lines"];
        assert_eq!(lines[0]["seconds"][1], 7.1);
        assert_eq!((lines[1]["level"].as_str(), lines[1]["mend"].as_str()), (Some("advice"), Some("z")));
        assert!(lines[2].get("mend").is_none() && lines[2].get("members").is_none());
        assert_eq!(report.in_words(), "0 problems, 1 piece of advice");
    }
}
