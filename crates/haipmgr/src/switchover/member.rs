//! One member's server: the questions, and what its answers say.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;

use super::session::{SESSIONS, Session};
use crate::config::Cluster;
use crate::observe::pauses::understand;
use crate::pause::{Pause, wall_ms};
use crate::server_access::account::{CHANGED, PAUSED_UNTIL};
use crate::server_access::kept_session::{KeptSession, Unanswered};
use crate::server_access::session::Rows;
use crate::server_access::{Access, Endpoint};

/// A fact, or why it is not known.
pub(crate) type Known<T> = Result<T, String>;

/// What a member's server said, or why it said nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The member's address, as in `members`.
    pub(crate) address: IpAddr,
    /// Its word.
    pub(crate) said: Known<Said>,
}

/// What a server says of its group and of the sessions that are open on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// `@@server_uuid`.
    pub(crate) id: String,
    /// It takes writes: `super_read_only` and `read_only` are off.
    pub(crate) writable: bool,
    /// The group as it sees it.
    pub(crate) members: Vec<Row>,
    /// Sessions in the way, those of longest standing first, and how many there are in all.
    pub(crate) sessions: Known<(Vec<Session>, u64)>,
    /// Sessions whose open transaction has changed rows, and how many.
    pub(crate) changed: Known<Vec<(u64, u64)>>,
    /// At which stage of a switchover it is, in MySQL's words.
    pub(crate) stage: Option<String>,
    /// Prepared XA transactions.
    pub(crate) prepared: Known<Vec<String>>,
    /// The cluster's pause, where there is one that is not over.
    pub(crate) paused: Option<Pause>,
}

/// A row of `replication_group_members`, with the member's statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// `MEMBER_ID`.
    pub(crate) id: String,
    /// `MEMBER_HOST`.
    pub(crate) host: String,
    /// `MEMBER_STATE`.
    pub(crate) state: String,
    /// `MEMBER_ROLE` is PRIMARY.
    pub(crate) primary: bool,
    /// `MEMBER_VERSION`.
    pub(crate) version: String,
    /// Transactions in its applier's queue, as the asked server knows it: exact of itself alone.
    pub(crate) queue: Option<u64>,
}

impl Said {
    /// The asked server's own row.
    pub(crate) fn own(&self) -> Option<&Row> {
        self.members.iter().find(|row| row.id == self.id)
    }

    /// ONLINE, PRIMARY and in the majority, by its own word.
    pub(crate) fn is_primary(&self) -> bool {
        let unreachable = self.members.iter().filter(|row| row.state == "UNREACHABLE").count();
        2 * unreachable < self.members.len()
            && self.own().is_some_and(|own| own.primary && own.state == "ONLINE")
    }

    /// How many rows the open transaction of this session has changed; none where that is not known.
    pub(crate) fn rows_changed(&self, session: u64) -> Option<u64> {
        let changed = self.changed.as_ref().ok()?;
        Some(changed.iter().find(|(id, _)| *id == session).map_or(0, |(_, rows)| *rows))
    }
}

const GROUP: &str = "SELECT @@GLOBAL.server_uuid, @@GLOBAL.super_read_only OR @@GLOBAL.read_only, \
     m.MEMBER_ID, m.MEMBER_HOST, m.MEMBER_STATE, m.MEMBER_ROLE, m.MEMBER_VERSION, s.COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE \
     FROM performance_schema.replication_group_members m \
     LEFT JOIN performance_schema.replication_group_member_stats s ON s.MEMBER_ID = m.MEMBER_ID";

/// What MySQL says it is at, while a switchover is under way.
const STAGE: &str = "SELECT PROCESSLIST_STATE FROM performance_schema.threads WHERE NAME LIKE 'thread/group_rpl/%' \
     AND (PROCESSLIST_STATE LIKE 'Primary Election:%' OR PROCESSLIST_STATE LIKE 'Primary Switch:%') ORDER BY PROCESSLIST_STATE LIMIT 1";

/// A member's server, to be asked.
pub(crate) struct Member {
    /// Its address, as in `members`.
    pub(crate) address: IpAddr,
    server: KeptSession,
}

impl Member {
    /// All members of the cluster. Each answer is waited for no longer than `limit`.
    pub(crate) fn all(cluster: &Cluster, limit: Duration) -> Vec<Self> {
        cluster.policy.group.members.keys().map(|address| Self::one(cluster, *address, limit)).collect()
    }

    /// The one at this address.
    pub(crate) fn one(cluster: &Cluster, address: IpAddr, limit: Duration) -> Self {
        let access = Access::of(cluster, Endpoint::Tcp(address, cluster.mysql_port));
        Self { address, server: KeptSession::new(access, limit) }
    }

    /// Everything that a plan needs.
    async fn read(&mut self) -> Reading {
        let said = self.group().await;
        let said = match said {
            Err(why) => Err(why),
            Ok((id, writable, members)) => Ok(Said {
                id,
                writable,
                members,
                sessions: self.sessions().await,
                stage: self.stage().await,
                changed: self.changed().await,
                prepared: self.prepared().await,
                paused: self.paused().await,
            }),
        };
        Reading { address: self.address, said }
    }

    /// Its UUID, whether it takes writes, and its group.
    pub(crate) async fn group(&mut self) -> Known<(String, bool, Vec<Row>)> {
        let rows = self.server.ask(GROUP).await.map_err(why)?;
        let first = rows.first().ok_or("the Group Replication plugin is not active")?;
        let (id, writable) = (text(first, 0), text(first, 1) == "0");
        Ok((id, writable, rows.iter().map(|row| member(row)).collect()))
    }

    /// The sessions in the way, and how many there are in all.
    pub(crate) async fn sessions(&mut self) -> Known<(Vec<Session>, u64)> {
        let rows = self.server.ask(SESSIONS).await.map_err(why)?;
        let read = rows.iter().map(|row| Session::read(row)).collect::<Result<Vec<_>, _>>()?;
        let all = read.first().map_or(0, |(_, all)| *all);
        Ok((read.into_iter().filter_map(|(session, _)| session).collect(), all))
    }

    /// At which stage of a switchover it is, in MySQL's words.
    pub(crate) async fn stage(&mut self) -> Option<String> {
        let rows = self.server.ask(STAGE).await.ok()?;
        rows.first().map(|row| text(row, 0))
    }

    /// Has the server carry out a statement.
    pub(crate) async fn order(&mut self, statement: &str) -> Result<Rows, Unanswered> {
        self.server.ask(statement).await
    }

    async fn changed(&mut self) -> Known<Vec<(u64, u64)>> {
        let rows =
            self.server.ask(&format!("CALL {CHANGED}()")).await.map_err(|unanswered| {
                match unanswered.code {
                    Some(NO_SUCH_PROCEDURE | NOT_EXECUTABLE) => not_executable(CHANGED),
                    _ => why(unanswered),
                }
            })?;
        rows.iter().map(|row| numbers(row)).collect()
    }

    /// Where there is no table of pauses, nobody can have paused the cluster.
    async fn paused(&mut self) -> Option<Pause> {
        let rows = self.server.ask(PAUSED_UNTIL).await.ok()?;
        understand(&rows).ok()?.filter(|pause| pause.left(wall_ms()).is_some())
    }

    async fn prepared(&mut self) -> Known<Vec<String>> {
        let rows = self.server.ask("XA RECOVER CONVERT XID").await.map_err(|unanswered| {
            // ER_XAER_RMERR: what the server says where XA_RECOVER_ADMIN is missing.
            match unanswered.code {
                Some(1401) => {
                    "the account lacks XA_RECOVER_ADMIN; run what haipmgr sql prints on the primary"
                        .to_owned()
                }
                _ => why(unanswered),
            }
        })?;
        Ok(rows.iter().map(|row| text(row, 3)).collect())
    }
}

/// `ER_SP_DOES_NOT_EXIST`
pub(crate) const NO_SUCH_PROCEDURE: u16 = 1305;
/// `ER_PROCACCESS_DENIED_ERROR`
pub(crate) const NOT_EXECUTABLE: u16 = 1370;

/// In words, with what to do.
pub(crate) fn not_executable(procedure: &str) -> String {
    format!("the account may not call the procedure {procedure}; run what haipmgr sql prints on the primary")
}

/// Reads all members at the same time.
pub(crate) async fn read_all(members: &mut [Member]) -> Vec<Reading> {
    join_all(members.iter_mut().map(Member::read)).await
}

pub(crate) fn why(unanswered: Unanswered) -> String {
    unanswered.failure.why().to_string()
}

fn text(row: &[Option<String>], place: usize) -> String {
    row.get(place).cloned().flatten().unwrap_or_default()
}

fn numbers(row: &[Option<String>]) -> Known<(u64, u64)> {
    let number = |place| text(row, place).parse::<u64>().map_err(|_| "it shows no numbers".to_owned());
    Ok((number(0)?, number(1)?))
}

fn member(row: &[Option<String>]) -> Row {
    Row {
        id: text(row, 2),
        host: text(row, 3),
        state: text(row, 4),
        primary: text(row, 5) == "PRIMARY",
        version: text(row, 6),
        queue: text(row, 7).parse().ok(),
    }
}
