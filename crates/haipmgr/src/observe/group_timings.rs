//! The group's own timings, as the local server is set. Asked for once, at the start.

use std::time::Duration;

use decide::event::{Fact, NotInGroup, Server, Why};
use decide::timings::GroupTimings;
use mysql::prelude::Queryable as _;
use mysql::{Conn, Error};

use crate::server_access::{Access, Connector, guard};

const BOTH: &str = "SELECT @@GLOBAL.group_replication_member_expel_timeout, @@GLOBAL.group_replication_unreachable_majority_timeout";
/// Before 8.0.13 there is no expel timeout: a member that is UNREACHABLE is expelled.
const ONE: &str = "SELECT 0, @@GLOBAL.group_replication_unreachable_majority_timeout";
/// `ER_UNKNOWN_SYSTEM_VARIABLE`
const UNKNOWN_VARIABLE: u16 = 1193;

/// Asks. Blocks, within the access's limits; unknown where the server does not answer, or has no Group Replication.
pub fn ask(access: Access) -> Fact<GroupTimings> {
    let mut connector = Connector::new(access);
    let (mut conn, tls) = match connector.connect() {
        Ok(connected) => connected,
        Err(failure) => return unknown(failure.fact),
    };
    let read = |conn: &mut Conn, query: &str| guard(|| conn.query_first::<(u64, u64), _>(query));
    let answer = match read(&mut conn, BOTH) {
        Err(Error::MySqlError(error)) if error.code == UNKNOWN_VARIABLE => read(&mut conn, ONE),
        other => other,
    };
    match answer {
        Ok(Some((expel, majority))) => Fact::Known(GroupTimings {
            expel_timeout: Duration::from_secs(expel),
            unreachable_majority_timeout: (majority > 0).then(|| Duration::from_secs(majority)),
        }),
        Ok(None) => Fact::Unknown(Why::Other("the server shows no value".to_owned())),
        Err(Error::MySqlError(error)) if error.code == UNKNOWN_VARIABLE => {
            Fact::Unknown(Why::Other(NotInGroup::PluginMissing.to_string()))
        }
        Err(error) => unknown(connector.explain(&error, tls).fact),
    }
}

fn unknown(fact: Fact<Server>) -> Fact<GroupTimings> {
    Fact::Unknown(match fact {
        Fact::Unknown(why) => why,
        Fact::Known(Server::Refused(text)) => Why::Unreachable(text),
        Fact::Known(Server::NotInGroup(why)) => Why::Other(why.to_string()),
        Fact::Known(Server::Member(_)) => Why::NotAskedYet,
    })
}
