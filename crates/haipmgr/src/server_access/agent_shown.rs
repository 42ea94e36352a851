//! What an agent shows of itself to the other hosts: attributes of its connection to its own server, which whoever may read
//! `performance_schema` there can see. They are there as long as the connection is, so that they are never old; nothing is written,
//! nothing has to be copied by the group, and a server that is cut off or read-only shows them too.

use crate::config::{Alike, Cluster};
use crate::version;

const VERSION: &str = "haipmgr_version";
const CONFIGURATION: &str = "haipmgr_configuration";

/// What is asked of a member's server. The account's own connections alone are looked at: there is an index on the account.
pub(crate) const QUESTION: &str = "SELECT a.PROCESSLIST_ID, a.ATTR_NAME, a.ATTR_VALUE FROM performance_schema.threads t \
     JOIN performance_schema.session_connect_attrs a ON a.PROCESSLIST_ID = t.PROCESSLIST_ID \
     WHERE t.PROCESSLIST_USER = LEFT(USER(), CHAR_LENGTH(USER()) - LOCATE('@', REVERSE(USER()))) \
     AND a.ATTR_NAME IN ('haipmgr_version', 'haipmgr_configuration') ORDER BY a.PROCESSLIST_ID";

/// An agent, by what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentShown {
    /// As `haipmgr --version` says it.
    pub(crate) version: String,
    /// What of its configuration must be the same everywhere.
    pub(crate) configuration: Alike,
}

impl AgentShown {
    /// This program, with this configuration.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        Self { version: version::long().to_owned(), configuration: Alike::of(cluster) }
    }

    /// What its connection shows.
    pub(crate) fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![(VERSION, self.version.clone()), (CONFIGURATION, self.configuration.to_string())]
    }

    /// Of the answer to [`QUESTION`]; none: no agent shows itself. Where one has just taken another's place, the younger counts.
    pub(crate) fn read(rows: &[Vec<Option<String>>]) -> Option<Self> {
        let cell = |row: &[Option<String>], place: usize| row.get(place).cloned().flatten();
        let last = |name: &str| {
            let is_it = |row: &&Vec<Option<String>>| cell(row, 1).as_deref() == Some(name);
            rows.iter().rfind(is_it).and_then(|row| cell(row, 2))
        };
        Some(Self { version: last(VERSION)?, configuration: Alike::parse(&last(CONFIGURATION)?)? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(id: &str, name: &str, value: &str) -> Vec<Option<String>> {
        [id, name, value].map(|cell| Some(cell.to_owned())).to_vec()
    }

    #[test]
    fn the_younger_of_two_connections_counts_and_half_of_what_is_shown_is_no_agent() {
        let rows = [
            row("7", VERSION, "0.1.0"),
            row("7", CONFIGURATION, "members:00000001"),
            row("9", CONFIGURATION, "members:00000002"),
            row("9", VERSION, "0.2.0"),
        ];
        let shown = AgentShown::read(&rows).unwrap();
        assert_eq!(
            (shown.version.as_str(), shown.configuration.to_string().as_str()),
            ("0.2.0", "members:00000002")
        );
        assert_eq!(AgentShown::read(&rows[..1]), None);
        assert_eq!(AgentShown::read(&[]), None);
        assert!([VERSION, CONFIGURATION].iter().all(|name| QUESTION.contains(name)));
    }
}
