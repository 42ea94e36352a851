//! What the local server says of itself and its group once, at the start: its version, the group's timings, the communication
//! stack. Variables that it does not have are taken as not there (`server_access/versions.rs`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use decide::input::{Fact, NotInGroup, Server, Why};
use decide::timings::GroupTimings;
use tokio::time::timeout;

use crate::server_access::session::{Error, Rows};
use crate::server_access::versions::{EXPEL_TIMEOUT, MAJORITY_TIMEOUT, STACK, Variable};
use crate::server_access::{Access, Connector, GIVE_UP, servers};

const LOCAL_ADDRESS: &str = "group_replication_local_address";

/// Read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `version`, as the server writes it: for people.
    pub version: String,
    /// How soon a silent member is replaced.
    pub timings: GroupTimings,
    /// `group_replication_communication_stack`; none where the server has no such variable.
    pub stack: Option<String>,
    /// `port`.
    pub mysql_port: Option<u16>,
    /// The port of `group_replication_local_address`; none where it is not set.
    pub group_port: Option<u16>,
    /// What the server does not have, and what holds instead.
    pub absent: Vec<String>,
}

impl fmt::Display for GroupSettings {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MySQL {}", self.version)?;
        if let Some(stack) = &self.stack {
            write!(f, ", communication stack {stack}")?;
        }
        match self.group_port {
            None => write!(f, ", group_replication_local_address is not set")?,
            port if port == self.mysql_port => write!(f, ": the group is heard on MySQL's own port")?,
            Some(port) => write!(f, ": the group has port {port} of its own")?,
        }
        self.absent.iter().try_for_each(|absent| write!(f, "; {absent}"))
    }
}

/// Asks. Blocks, 10 s at the most for the connection and as long for each answer; unknown where the server does not answer, or has
/// no Group Replication.
pub fn ask(access: Access) -> Fact<GroupSettings> {
    servers::wait_for(answer(access)).unwrap_or_else(|error| Fact::Unknown(Why::Other(error.to_string())))
}

async fn answer(access: Access) -> Fact<GroupSettings> {
    let mut connector = Connector::new(access);
    let silent = Fact::Unknown(Why::TimedOut(GIVE_UP));
    let mut session = match timeout(GIVE_UP, connector.connect()).await {
        Ok(Ok(session)) => session,
        Ok(Err(failure)) => return unknown(failure.fact),
        Err(_) => return silent,
    };
    let tls = session.has_tls();
    // It gives those that there are, where naming one that is not there is an error.
    let question = format!(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'port', '{LOCAL_ADDRESS}', '{}', '{}', '{}')",
        EXPEL_TIMEOUT.name, MAJORITY_TIMEOUT.name, STACK.name
    );
    let asked = async {
        let answer = session.query(&question).await;
        if !matches!(answer, Err(Error::Io(_))) {
            session.close().await;
        }
        answer
    };
    match timeout(GIVE_UP, asked).await {
        Ok(Ok(rows)) => understand(rows),
        Ok(Err(error)) => unknown(connector.explain(&error, tls).fact),
        Err(_) => silent,
    }
}

/// Pure. Name and value a row.
fn understand(rows: Rows) -> Fact<GroupSettings> {
    let mut values: BTreeMap<String, String> = rows
        .into_iter()
        .filter_map(|row| {
            let mut cells = row.into_iter();
            Some((cells.next()??, cells.next()??))
        })
        .collect();
    // Each version of the plugin has it.
    let Some(local_address) = values.remove(LOCAL_ADDRESS) else {
        return Fact::Unknown(Why::Other(NotInGroup::PluginMissing.to_string()));
    };
    let mut absent = Vec::new();
    let mut known = |variable: Variable| {
        let value = values.remove(variable.name);
        if value.is_none() {
            absent.push(format!("it has no {}: {}", variable.name, variable.without));
        }
        value
    };
    let (expel, majority, stack) = (known(EXPEL_TIMEOUT), known(MAJORITY_TIMEOUT), known(STACK));
    let seconds =
        |text: Option<String>| text.map_or(Some(0), |text| text.parse().ok()).map(Duration::from_secs);
    let (Some(expel_timeout), Some(majority)) = (seconds(expel), seconds(majority)) else {
        return Fact::Unknown(Why::Other(
            "the server shows a timeout that is no number of seconds".to_owned(),
        ));
    };
    let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
    Fact::Known(GroupSettings {
        version: values.remove("version").unwrap_or_default(),
        timings: GroupTimings {
            expel_timeout,
            unreachable_majority_timeout: Some(majority).filter(|limit| !limit.is_zero()),
            // The configuration's choice, and not the server's.
            silent_hosts_go: false,
        },
        stack: stack.map(|stack| stack.to_uppercase()),
        mysql_port: values.remove("port").and_then(|text| port(&text)),
        group_port: local_address.rsplit_once(':').and_then(|(_, text)| port(text)),
        absent,
    })
}

fn unknown<T>(fact: Fact<Server>) -> Fact<T> {
    Fact::Unknown(match fact {
        Fact::Unknown(why) => why,
        Fact::Known(Server::Refused(text)) => Why::Unreachable(text),
        Fact::Known(Server::NotInGroup(why)) => Why::Other(why.to_string()),
        Fact::Known(Server::Member(_)) => Why::NotAskedYet,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    fn of(rows: &[(&str, &str)]) -> Fact<GroupSettings> {
        let row = |(name, value): &(&str, &str)| vec![Some((*name).to_owned()), Some((*value).to_owned())];
        understand(rows.iter().map(row).collect())
    }

    fn words(rows: &[(&str, &str)]) -> String {
        match of(rows) {
            Fact::Known(settings) => settings.to_string(),
            Fact::Unknown(why) => panic!("{why}"),
        }
    }

    const TODAY: [(&str, &str); 6] = [
        ("version", "9.7.4-2"),
        ("port", "3306"),
        (LOCAL_ADDRESS, "10.77.0.11:3306"),
        ("group_replication_member_expel_timeout", "5"),
        ("group_replication_unreachable_majority_timeout", "0"),
        ("group_replication_communication_stack", "MYSQL"),
    ];

    #[test]
    fn stack_and_port_are_shown_in_one_line() {
        assert_eq!(
            words(&TODAY),
            "MySQL 9.7.4-2, communication stack MYSQL: the group is heard on MySQL's own port"
        );
        let mut xcom = TODAY;
        (xcom[2].1, xcom[5].1) = ("[fd77::11]:33061", "xcom");
        assert_eq!(
            words(&xcom),
            "MySQL 9.7.4-2, communication stack XCOM: the group has port 33061 of its own"
        );
    }

    #[test]
    fn any_text_is_a_version() {
        for version in ["8.0.39-0ubuntu0.22.04.1", "26.7.0", "8.0.36-28", "26.7", "next", ""] {
            let mut rows = TODAY;
            rows[0].1 = version;
            assert!(words(&rows).starts_with(&format!("MySQL {version}, communication stack")));
        }
    }

    #[test]
    fn a_variable_that_is_gone_or_not_there_yet_is_said_and_stops_nothing() {
        let said = words(&TODAY[..3]);
        for missing in ["member_expel_timeout: a member is expelled as soon", "_stack: whether the group has"]
        {
            assert!(said.contains(missing), "{said}");
        }
        assert!(said.contains("the group is heard on MySQL's own port"), "{said}");
        let Fact::Known(settings) = of(&TODAY[..3]) else { panic!("unknown") };
        assert_eq!(settings.timings.expel_timeout, Duration::ZERO);
        assert_eq!(settings.timings.unreachable_majority_timeout, None);
    }

    #[test]
    fn without_the_plugin_nothing_is_known_of_a_group() {
        assert!(
            matches!(of(&TODAY[..2]), Fact::Unknown(Why::Other(why)) if why.contains("Group Replication"))
        );
        let mut nonsense = TODAY;
        nonsense[3].1 = "soon";
        assert!(matches!(of(&nonsense), Fact::Unknown(Why::Other(why)) if why.contains("no number")));
    }
}
