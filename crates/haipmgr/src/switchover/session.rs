//! A session that a switchover meets: what it does, and whether the switchover waits for it. No IO.

use core::fmt;
use std::time::Duration;

use crate::config::format_duration;

/// One session of a server, as far as it can be in a switchover's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// `PROCESSLIST_ID`, which KILL takes.
    pub(crate) id: u64,
    /// Account and client host.
    pub(crate) account: String,
    /// For how long it has been doing what it does, or idling: whole seconds.
    pub(crate) since: Duration,
    /// The statement that runs, or the last one: its beginning.
    pub(crate) statement: String,
    /// What it does.
    pub(crate) does: Does,
}

/// What a session does that a switchover meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// `FLUSH TABLES WITH READ LOCK`.
    GlobalReadLock,
    /// `LOCK TABLES`.
    TableLock,
    /// `LOCK INSTANCE FOR BACKUP`.
    BackupLock,
    /// Runs a statement that changes a table's definition.
    Ddl,
    /// Runs a statement that writes.
    Writes,
    /// Idle in a transaction that BEGIN opened.
    Explicit,
    /// Idle in a transaction under `autocommit = 0`, by BEGIN or not: its beginning is no longer in the statement history.
    MaybeExplicit,
    /// Idle in a transaction that `autocommit = 0` alone opened. A switchover does not wait for it: its COMMIT fails with error 1290.
    Implicit,
    /// Idle in an XA transaction that is prepared. A switchover does not wait for it, and nothing of it is lost.
    Prepared,
}

/// Sessions in a switchover's way, those of longest standing first: what [`Session::read`] reads. Threads of replication are not
/// clients. Reads are not waited for, so that a statement counts by its intention lock; what a transaction was opened by is the
/// statement that its event is nested in.
pub(crate) const SESSIONS: &str = "SELECT t.PROCESSLIST_ID, CONCAT(COALESCE(t.PROCESSLIST_USER, ''), '@', COALESCE(t.PROCESSLIST_HOST, '')), \
     t.PROCESSLIST_TIME, \
     LEFT(COALESCE(t.PROCESSLIST_INFO, (SELECT c.SQL_TEXT FROM performance_schema.events_statements_current c \
       WHERE c.THREAD_ID = t.THREAD_ID ORDER BY c.EVENT_ID DESC LIMIT 1), ''), 80), \
     t.PROCESSLIST_COMMAND = 'Sleep', \
     x.EVENT_ID IS NOT NULL, COALESCE(x.XA_STATE = 'PREPARED', 0), \
     (SELECT v.VARIABLE_VALUE FROM performance_schema.variables_by_thread v \
       WHERE v.THREAD_ID = t.THREAD_ID AND v.VARIABLE_NAME = 'autocommit'), \
     (SELECT h.EVENT_NAME FROM performance_schema.events_statements_history h \
       WHERE h.THREAD_ID = t.THREAD_ID AND h.EVENT_ID = x.NESTING_EVENT_ID), \
     COALESCE(l.global_read, 0), COALESCE(l.of_tables, 0), COALESCE(l.backup, 0), COALESCE(l.writes, 0), \
     (SELECT c.EVENT_NAME FROM performance_schema.events_statements_current c \
       WHERE c.THREAD_ID = t.THREAD_ID ORDER BY c.EVENT_ID LIMIT 1), COUNT(*) OVER () \
     FROM performance_schema.threads t \
     LEFT JOIN performance_schema.events_transactions_current x ON x.THREAD_ID = t.THREAD_ID AND x.STATE = 'ACTIVE' \
     LEFT JOIN (SELECT OWNER_THREAD_ID, \
         MAX(OBJECT_TYPE = 'GLOBAL' AND LOCK_TYPE = 'SHARED') AS global_read, \
         MAX(OBJECT_TYPE = 'TABLE' AND LOCK_TYPE IN ('SHARED_READ_ONLY', 'SHARED_NO_READ_WRITE')) AS of_tables, \
         MAX(OBJECT_TYPE = 'BACKUP LOCK' AND LOCK_TYPE = 'SHARED') AS backup, \
         MAX(OBJECT_TYPE = 'GLOBAL' AND LOCK_TYPE = 'INTENTION_EXCLUSIVE') AS writes \
       FROM performance_schema.metadata_locks WHERE LOCK_STATUS = 'GRANTED' GROUP BY OWNER_THREAD_ID) l \
       ON l.OWNER_THREAD_ID = t.THREAD_ID \
     WHERE t.PROCESSLIST_ID <> CONNECTION_ID() AND t.PROCESSLIST_COMMAND NOT IN ('Daemon', 'Connect') \
     AND t.NAME NOT LIKE 'thread/sql/replica%' AND t.NAME NOT LIKE 'thread/sql/slave%' AND t.NAME NOT LIKE 'thread/group_rpl/%' \
     AND (x.EVENT_ID IS NOT NULL OR l.global_read OR l.of_tables OR l.backup OR l.writes) \
     ORDER BY t.PROCESSLIST_TIME DESC, t.PROCESSLIST_ID LIMIT 60";

const COLUMNS: usize = 15;
/// No more rows than these.
pub(crate) const MOST_SESSIONS: u64 = 60;

impl Session {
    /// A row of [`SESSIONS`], and of how many in all it is one; none for a session that no switchover minds. In words what is odd.
    pub(crate) fn read(row: &[Option<String>]) -> Result<(Option<Self>, u64), String> {
        let cell = |place: usize| row.get(place).and_then(Option::as_deref).unwrap_or_default();
        let is = |place: usize| cell(place) == "1";
        if row.len() != COLUMNS {
            return Err("the server answered with columns that were not asked for".to_owned());
        }
        let number = |place: usize, what: &str| {
            cell(place).parse::<u64>().map_err(|_| format!("the server shows {what} as {:?}", cell(place)))
        };
        let all = number(14, "a count of sessions")?;
        let (idle, in_transaction, prepared) = (is(4), is(5), is(6));
        let (global_read, of_tables, backup, writes) = (is(9), is(10), is(11), is(12));
        let does = if global_read {
            Does::GlobalReadLock
        } else if of_tables && (idle || !is_ddl(cell(13))) {
            Does::TableLock
        } else if !idle && writes {
            if is_ddl(cell(13)) { Does::Ddl } else { Does::Writes }
        } else if prepared {
            Does::Prepared
        } else if idle && in_transaction {
            match (cell(7), cell(8)) {
                ("OFF", "") => Does::MaybeExplicit,
                ("OFF", opened_by) if opened_by != "statement/sql/begin" => Does::Implicit,
                _ => Does::Explicit,
            }
        } else if backup {
            Does::BackupLock
        } else {
            return Ok((None, all));
        };
        let (id, seconds) =
            (number(0, "a session's number")?, number(2, "a session's time").unwrap_or_default());
        let (account, statement) = (cell(1), cell(3));
        let session = Self {
            id,
            account: account.replace(char::is_control, " "),
            since: Duration::from_secs(seconds),
            statement: statement.split_whitespace().collect::<Vec<_>>().join(" "),
            does,
        };
        Ok((Some(session), all))
    }

    /// How to end it: what an administrator types on its server.
    pub(crate) fn kill(&self) -> String {
        format!("KILL {}", self.id)
    }
}

/// By the statement's instrument (MySQL manual, "Performance Schema Statement Event Tables").
fn is_ddl(event: &str) -> bool {
    let Some(statement) = event.strip_prefix("statement/sql/") else { return false };
    ["alter_", "create_", "drop_", "rename_", "truncate", "optimize", "repair", "analyze"]
        .iter()
        .any(|verb| statement.starts_with(verb))
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = format_duration(self.since);
        let does = match self.does {
            Does::GlobalReadLock => {
                format!("holds the global read lock (FLUSH TABLES WITH READ LOCK), {since} in this state")
            }
            Does::TableLock => format!("holds table locks (LOCK TABLES), {since} in this state"),
            Does::BackupLock => {
                format!("holds the backup lock (LOCK INSTANCE FOR BACKUP), {since} in this state")
            }
            Does::Ddl => format!("has changed a table's definition for {since}"),
            Does::Writes => format!("has run a statement that writes for {since}"),
            Does::Explicit => format!("is in a transaction opened by BEGIN, idle for {since}"),
            Does::MaybeExplicit => {
                format!("is in a transaction under autocommit = 0, perhaps opened by BEGIN, idle for {since}")
            }
            Does::Implicit => format!("is in a transaction under autocommit = 0, idle for {since}"),
            Does::Prepared => format!("has prepared an XA transaction, idle for {since}"),
        };
        write!(f, "session {} ({}) {does}", self.id, self.account)?;
        if self.statement.is_empty() { Ok(()) } else { write!(f, ": {}", self.statement) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Idle or not, in a transaction, prepared; autocommit, opened by; global read, table, backup lock, writes; what it runs.
    fn does(cells: [&str; 10]) -> Option<Does> {
        let [idle, open, prepared, autocommit, opened_by, global, tables, backup, writes, runs] = cells;
        let row = [
            "42", "app@h", "3", "X", idle, open, prepared, autocommit, opened_by, global, tables, backup,
            writes, runs, "1",
        ];
        let row: Vec<_> = row.iter().map(|cell| (*cell != "NULL").then(|| (*cell).to_owned())).collect();
        let (session, all) = Session::read(&row).unwrap();
        assert_eq!(all, 1);
        session.map(|session| session.does)
    }

    #[test]
    fn what_a_session_does_is_told_by_its_locks_and_by_what_opened_its_transaction() {
        let begin = "statement/sql/begin";
        let insert = "statement/sql/insert";
        for (cells, wanted) in [
            (["1", "1", "0", "ON", begin, "0", "0", "0", "0", ""], Some(Does::Explicit)),
            (["1", "1", "0", "ON", "NULL", "0", "0", "0", "0", ""], Some(Does::Explicit)),
            (["1", "1", "0", "OFF", begin, "0", "0", "0", "0", ""], Some(Does::Explicit)),
            (["1", "1", "0", "OFF", insert, "0", "0", "0", "0", ""], Some(Does::Implicit)),
            (["1", "1", "0", "OFF", "NULL", "0", "0", "0", "0", ""], Some(Does::MaybeExplicit)),
            (["1", "1", "1", "ON", "NULL", "0", "0", "0", "0", ""], Some(Does::Prepared)),
            (["1", "0", "0", "ON", "NULL", "1", "0", "0", "0", ""], Some(Does::GlobalReadLock)),
            (["1", "0", "0", "ON", "NULL", "0", "1", "0", "1", ""], Some(Does::TableLock)),
            (
                ["0", "0", "0", "ON", "NULL", "0", "1", "0", "0", "statement/sql/select"],
                Some(Does::TableLock),
            ),
            (["1", "0", "0", "ON", "NULL", "0", "0", "1", "0", ""], Some(Does::BackupLock)),
            (["0", "1", "0", "ON", "NULL", "0", "0", "0", "1", insert], Some(Does::Writes)),
            (["0", "1", "0", "ON", "NULL", "0", "1", "0", "1", "statement/sql/alter_table"], Some(Does::Ddl)),
            (["0", "1", "0", "ON", "NULL", "0", "0", "0", "0", "statement/sql/select"], None),
        ] {
            assert_eq!(does(cells), wanted, "{cells:?}");
        }
    }

    #[test]
    fn columns_that_were_not_asked_for_are_an_error() {
        assert!(Session::read(&[Some("1".to_owned())]).is_err());
    }
}
