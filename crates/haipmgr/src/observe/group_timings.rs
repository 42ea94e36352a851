//! The group's own timings, as the local server is set. Asked for once, at the start.

use std::time::Duration;

use decide::event::{Fact, NotInGroup, Server, Why};
use decide::timings::GroupTimings;
use tokio::time::timeout;

use crate::server_access::session::{Error, Rows};
use crate::server_access::{Access, Connector, GIVE_UP, servers};

const BOTH: &str = "SELECT @@GLOBAL.group_replication_member_expel_timeout, @@GLOBAL.group_replication_unreachable_majority_timeout";
/// Before 8.0.13 there is no expel timeout: a member that is UNREACHABLE is expelled.
const ONE: &str = "SELECT 0, @@GLOBAL.group_replication_unreachable_majority_timeout";
/// `ER_UNKNOWN_SYSTEM_VARIABLE`
const UNKNOWN_VARIABLE: u16 = 1193;

/// Asks. Blocks, 10 s at the most for the connection and as long for each answer; unknown where the server does not answer, or has
/// no Group Replication.
pub fn ask(access: Access) -> Fact<GroupTimings> {
    servers::wait_for(answer(access)).unwrap_or_else(|error| Fact::Unknown(Why::Other(error.to_string())))
}

async fn answer(access: Access) -> Fact<GroupTimings> {
    let mut connector = Connector::new(access);
    let silent = Fact::Unknown(Why::TimedOut(GIVE_UP));
    let mut session = match timeout(GIVE_UP, connector.connect()).await {
        Ok(Ok(session)) => session,
        Ok(Err(failure)) => return unknown(failure.fact),
        Err(_) => return silent,
    };
    let tls = session.has_tls();
    let asked = async {
        let answer = match session.query(BOTH).await {
            Err(Error::Server { code: UNKNOWN_VARIABLE, .. }) => session.query(ONE).await,
            other => other,
        };
        if !matches!(answer, Err(Error::Io(_))) {
            session.close().await;
        }
        answer
    };
    let Ok(answer) = timeout(GIVE_UP, asked).await else { return silent };
    match answer.as_ref().map(seconds) {
        Ok(Some((expel, majority))) => Fact::Known(GroupTimings {
            expel_timeout: Duration::from_secs(expel),
            unreachable_majority_timeout: (majority > 0).then(|| Duration::from_secs(majority)),
        }),
        Ok(None) => Fact::Unknown(Why::Other("the server shows no value".to_owned())),
        Err(Error::Server { code: UNKNOWN_VARIABLE, .. }) => {
            Fact::Unknown(Why::Other(NotInGroup::PluginMissing.to_string()))
        }
        Err(error) => unknown(connector.explain(error, tls).fact),
    }
}

fn seconds(rows: &Rows) -> Option<(u64, u64)> {
    let [Some(expel), Some(majority)] = rows.first()?.as_slice() else { return None };
    Some((expel.parse().ok()?, majority.parse().ok()?))
}

fn unknown(fact: Fact<Server>) -> Fact<GroupTimings> {
    Fact::Unknown(match fact {
        Fact::Unknown(why) => why,
        Fact::Known(Server::Refused(text)) => Why::Unreachable(text),
        Fact::Known(Server::NotInGroup(why)) => Why::Other(why.to_string()),
        Fact::Known(Server::Member(_)) => Why::NotAskedYet,
    })
}
