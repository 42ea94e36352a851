//! What the servers are asked once a VIP is up, off the decision's path: who ordered a switchover, when the old primary last wrote, and
//! whether one that is gone left by itself.
//!
//! MySQL keeps no record of who called `group_replication_set_as_primary`. While the session that did is open, `performance_schema` shows
//! its last ten statements; after that, one statement of its kind with its text stays in the summary by digest, newer than 15 s or not at
//! all. `haipmgr switchover` writes who ordered it, and why, as a comment into its statement.

use std::net::IpAddr;
use std::time::Duration;

use decide::history::{Code, Kind, PortThen, Row};
use decide::input::{Fact, Server};
use decide::time::Time;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::config::Cluster;
use crate::server_access::kept_session::KeptSession;
use crate::server_access::{Access, Endpoint};

/// For each server's answer.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// For all that is asked about an order.
const ORDER_LIMIT: Duration = Duration::from_secs(3);
/// When the VIP moves, its clients log in anew, all at once. What is asked here waits until they have: a log-in and these questions
/// cost a server as much as a client's.
const CLIENTS_FIRST: Duration = Duration::from_millis(200);
/// The order may end, and be recorded, a moment after the VIP moved.
const ASKED_AGAIN_AFTER: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(200), Duration::from_millis(800)];

/// How the comment in an order begins that this program gives.
pub(crate) const COMMENT: &str = "/* haipmgr by ";

/// The statements of open sessions that order a switchover to whoever leads now, ended no longer than 15 s ago, this program's first. An
/// order to another member, by its UUID, is of a switchover before that.
const IN_SESSIONS: &str = "SELECT t.PROCESSLIST_USER, t.PROCESSLIST_HOST, LEFT(s.SQL_TEXT, 1024) FROM (\
       SELECT THREAD_ID, EVENT_ID, SQL_TEXT, MYSQL_ERRNO, TIMER_END FROM performance_schema.events_statements_current \
       UNION ALL SELECT THREAD_ID, EVENT_ID, SQL_TEXT, MYSQL_ERRNO, TIMER_END FROM performance_schema.events_statements_history) s \
     JOIN performance_schema.threads t ON t.THREAD_ID = s.THREAD_ID \
     WHERE t.PROCESSLIST_ID <> CONNECTION_ID() AND COALESCE(s.MYSQL_ERRNO, 0) = 0 \
     AND (s.SQL_TEXT LIKE 'CALL haipmgr.make\\_primary%' OR s.SQL_TEXT LIKE '%group\\_replication\\_set\\_as\\_primary%') \
     AND (s.SQL_TEXT NOT REGEXP '[0-9a-f]{8}-[0-9a-f]{4}-' OR LOCATE((SELECT MEMBER_ID \
       FROM performance_schema.replication_group_members WHERE MEMBER_ROLE = 'PRIMARY' LIMIT 1), s.SQL_TEXT) > 0) \
     AND (s.TIMER_END IS NULL OR s.TIMER_END > \
       (SELECT MAX(c.TIMER_START) FROM performance_schema.events_statements_current c) - 15000000000000) \
     ORDER BY s.SQL_TEXT LIKE 'CALL haipmgr.make\\_primary%' DESC, s.EVENT_ID DESC LIMIT 1";

/// The same of sessions that have ended.
const IN_SUMMARY: &str = "SELECT QUERY_SAMPLE_TEXT FROM performance_schema.events_statements_summary_by_digest \
     WHERE LAST_SEEN >= NOW(6) - INTERVAL 15 SECOND AND QUERY_SAMPLE_SEEN >= NOW(6) - INTERVAL 15 SECOND \
     AND QUERY_SAMPLE_TEXT LIKE 'CALL haipmgr.make\\_primary%' \
     AND LOCATE((SELECT MEMBER_ID FROM performance_schema.replication_group_members WHERE MEMBER_ROLE = 'PRIMARY' LIMIT 1), \
       QUERY_SAMPLE_TEXT) > 0 LIMIT 1";

/// How long ago, in microseconds, this server had received the last transaction of another member.
const LAST_WRITE: &str = "SELECT TIMESTAMPDIFF(MICROSECOND, LAST_QUEUED_TRANSACTION_END_QUEUE_TIMESTAMP, NOW(6)) \
     FROM performance_schema.replication_connection_status \
     WHERE CHANNEL_NAME = 'group_replication_applier' AND LAST_QUEUED_TRANSACTION <> ''";

/// Whether the member `{member}`, host and port, was UNREACHABLE when this server heard of it last: the newest of what Group Replication
/// writes to the error log about that, 30 s back. MY-011493: "has become unreachable"; MY-011494: "is reachable again".
const WAS_UNREACHABLE: &str = "SELECT ERROR_CODE = 'MY-011493' FROM performance_schema.error_log \
     WHERE ERROR_CODE IN ('MY-011493', 'MY-011494') AND LOGGED > NOW(6) - INTERVAL 30 SECOND \
     AND LOCATE(' {member} ', DATA) > 0 ORDER BY LOGGED DESC LIMIT 1";

/// Who ordered a switchover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSeen {
    /// A person on a host, or a MySQL account.
    pub who: String,
    /// Why, in that person's words.
    pub reason: Option<String>,
}

/// What the servers said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// Who ordered it.
    pub order: Option<OrderSeen>,
    /// When the last transaction of another member had arrived here, by the agent's clock.
    pub last_write: Option<Time>,
    /// The old primary did not leave: it was expelled.
    pub expelled: Option<Expelled>,
}

/// An old primary that was expelled before this host's server had shown it as UNREACHABLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expelled {
    /// The member's server that had it as UNREACHABLE.
    pub seen_by: IpAddr,
    /// How its MySQL port behaved when it was looked at.
    pub port: PortThen,
}

/// Whom to ask about a row, and what.
pub(crate) struct Question {
    /// The members, this host's own first.
    members: Vec<(IpAddr, Access)>,
    asks_order: bool,
    /// It may have been expelled: the old primary.
    gone: Option<Gone>,
}

/// A member that is in the group no more.
struct Gone {
    address: IpAddr,
    /// Host and port, as its group called it.
    member: String,
    access: Access,
}

impl Question {
    /// None where the servers know nothing of it.
    pub(crate) fn about(row: &Row, cluster: &Cluster) -> Option<Self> {
        let asks_order = row.code == Code::Switchover;
        let party = match row.kind {
            Kind::Came if row.code.is_election() => &row.to,
            Kind::Left if asks_order => &row.from,
            Kind::Came | Kind::Left => return None,
        };
        let own = party.as_ref()?.address?;
        let at = |member: IpAddr| Access::of(cluster, Endpoint::Tcp(member, cluster.mysql_port));
        let socket = cluster.socket.clone().map(|path| Access::of(cluster, Endpoint::Socket(path)));
        let others = cluster.policy.group.members.keys().filter(|member| **member != own);
        let members = std::iter::once((own, socket.unwrap_or_else(|| at(own))));
        let gone = Gone::of(row, cluster.mysql_port, at);
        Some(Self {
            members: members.chain(others.map(|member| (*member, at(*member)))).collect(),
            asks_order,
            gone,
        })
    }

    /// Asks; some 5 s at the most, where servers are silent. To be run inside a tokio runtime.
    pub(crate) async fn ask(self) -> Learnt {
        sleep(CLIENTS_FIRST).await;
        let mut learnt = Learnt::default();
        let session = |(member, access)| (member, KeptSession::new(access, ANSWER_LIMIT));
        let mut all: Vec<_> = self.members.into_iter().map(session).collect();
        if let Some((_, own)) = all.first_mut() {
            learnt.last_write = last_write(own).await;
        }
        if let Some(gone) = self.gone {
            learnt.expelled = expelled(&mut all, gone).await;
        }
        if self.asks_order {
            learnt.order = timeout(ORDER_LIMIT, order_on_any(&mut all)).await.unwrap_or_default();
        }
        for (_, session) in &mut all {
            session.take_leave().await;
        }
        learnt
    }
}

impl Gone {
    /// Of an old primary that may have been expelled.
    fn of(row: &Row, port: u16, at: impl Fn(IpAddr) -> Access) -> Option<Self> {
        let old = row.from.as_ref().filter(|_| row.may_have_been_expelled())?;
        let (address, name) = (old.address?, old.name.as_ref()?);
        // What becomes a part of a statement.
        let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_:".contains(letter);
        let member = name.chars().all(plain).then(|| format!("{name}:{port}"))?;
        Some(Self { address, member, access: at(address) })
    }
}

/// Who ordered a switchover, by the word of any of these; this host's own server is the first.
async fn order_on_any(all: &mut [(IpAddr, KeptSession)]) -> Option<OrderSeen> {
    for wait in ASKED_AGAIN_AFTER {
        sleep(wait).await;
        let found = join_all(all.iter_mut().map(|(_, server)| order_on(server))).await;
        let found: Vec<_> = found.into_iter().flatten().collect();
        // What this program ordered says most; then what was ordered on this host's own server.
        let best = found.iter().find(|(_, ours)| *ours).or(found.first());
        if let Some((order, _)) = best {
            return Some(order.clone());
        }
    }
    None
}

/// Whether the old primary was expelled, by the word of any of these, and how its port behaves now.
async fn expelled(all: &mut [(IpAddr, KeptSession)], gone: Gone) -> Option<Expelled> {
    let asked = WAS_UNREACHABLE.replace("{member}", &gone.member);
    let others = all.iter_mut().filter(|(member, _)| *member != gone.address);
    let found = join_all(others.map(async |(member, server)| {
        let rows = server.ask(&asked).await.ok()?;
        (rows.first()?.first()?.as_deref()? == "1").then_some(*member)
    }));
    let seen_by = found.await.into_iter().flatten().next()?;
    let mut old = KeptSession::new(gone.access, ANSWER_LIMIT);
    let port = match old.ask("SELECT 1").await {
        Ok(_) => PortThen::Answered,
        Err(unanswered) => match unanswered.failure.fact {
            Fact::Known(Server::Refused(_)) => PortThen::Refused,
            Fact::Known(_) => PortThen::Answered,
            Fact::Unknown(why) if why.server_lives() => PortThen::Answered,
            Fact::Unknown(_) => PortThen::Silent,
        },
    };
    old.take_leave().await;
    Some(Expelled { seen_by, port })
}

async fn last_write(server: &mut KeptSession) -> Option<Time> {
    let asked_at = clock::now();
    let rows = server.ask(LAST_WRITE).await.ok()?;
    let age: u64 = rows.first()?.first()?.as_deref()?.parse().ok()?;
    Some(asked_at - Duration::from_micros(age))
}

/// Who ordered a switchover on this server, and whether it was this program.
async fn order_on(server: &mut KeptSession) -> Option<(OrderSeen, bool)> {
    let in_sessions = server.ask(IN_SESSIONS).await.ok().and_then(|rows| {
        let row = rows.first()?;
        let cell = |place: usize| row.get(place).cloned().flatten().unwrap_or_default();
        Some((cell(0), cell(1), cell(2)))
    });
    if let Some((_, _, statement)) = &in_sessions
        && let Some(order) = comment(statement)
    {
        return Some((order, true));
    }
    let rows = server.ask(IN_SUMMARY).await.unwrap_or_default();
    if let Some(order) = rows.first().and_then(|row| comment(row.first()?.as_deref()?)) {
        return Some((order, true));
    }
    let (user, host, _) = in_sessions?;
    Some((OrderSeen { who: format!("the MySQL account {user} from {host}"), reason: None }, false))
}

/// What this program's comment in a statement says.
fn comment(statement: &str) -> Option<OrderSeen> {
    let (_, rest) = statement.split_once(COMMENT)?;
    let (text, _) = rest.split_once("*/")?;
    let (who, reason) = text.split_once(':')?;
    let in_words = |text: &str| text.trim().chars().filter(|letter| !letter.is_control()).collect::<String>();
    let reason = Some(in_words(reason)).filter(|reason| !reason.is_empty());
    Some(OrderSeen { who: in_words(who), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_of_an_order_tells_who_and_why_and_other_statements_tell_nothing() {
        let order = |who: &str, reason: Option<&str>| {
            Some(OrderSeen { who: who.to_owned(), reason: reason.map(str::to_owned) })
        };
        let call = |comment: &str| format!("CALL haipmgr.make_primary('a-1') {comment}");
        for (statement, wanted) in [
            (
                call("/* haipmgr by root on db2: upgrade: part 1 */"),
                order("root on db2", Some("upgrade: part 1")),
            ),
            (call("/* haipmgr by root on db2:  */"), order("root on db2", None)),
            (call("/* haipmgr by root on db2: cut off"), None),
            (call("/* haipmgr: an older version */"), None),
            ("SELECT 1".to_owned(), None),
        ] {
            assert_eq!(comment(&statement), wanted, "{statement}");
        }
    }
}
