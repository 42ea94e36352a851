//! What a planned switchover may find in its way, on servers that are well: each is put there just before, and goes by itself.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mysql::Conn;
use mysql::prelude::Queryable;

use crate::group::{Group, GroupError, Server};
use crate::statement;

/// Rows of the backlog, and of the table that is altered: seconds of work for a server.
pub(crate) const ROWS: u64 = 300_000;
/// For how long the statement and the transaction last.
const LASTS: Duration = Duration::from_secs(5);
/// How long the other members may take to have the table, and the statement to be seen running.
const THERE_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The others have yet to apply a transaction of 300,000 rows.
    Backlog,
    /// A statement that writes runs for 5 s.
    Statement,
    /// `ALTER TABLE … ALGORITHM=COPY` of 300,000 rows runs; it is run again on each of the others.
    Ddl,
    /// A transaction was opened by `BEGIN`, has written, and is committed after 5 s.
    Transaction,
}

/// Why an obstacle could not be put there, or what became of its work.
#[derive(Debug, thiserror::Error)]
pub enum ObstacleError {
    /// The group failed.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// What ran meanwhile did not come to its end: the switchover took it away.
    #[error("what the switchover was to wait for failed: {0}")]
    WorkFailed(String),
    /// Rows that were acknowledged are not there.
    #[error("{found} of the {wanted} rows that were written meanwhile are on the new primary")]
    RowsLost {
        /// How many there are.
        found: u64,
        /// How many were acknowledged.
        wanted: u64,
    },
}

/// An obstacle that was put there.
#[derive(Debug)]
pub(crate) struct Standing {
    obstacle: Obstacle,
    /// What goes on meanwhile: gives the server's error.
    work: Option<JoinHandle<Result<(), mysql::Error>>>,
}

impl Obstacle {
    /// Puts it there. What it left where that failed is taken away by [`Standing::remove`] of the one that comes after it.
    pub(crate) fn put(self, group: &Group, primary: usize) -> Result<Standing, ObstacleError> {
        let server = &group.servers()[primary];
        server.run("DROP TABLE IF EXISTS lab.bulk")?;
        server.run("CREATE TABLE lab.bulk (id BIGINT UNSIGNED PRIMARY KEY, note VARCHAR(200) NOT NULL)")?;
        let work = match self {
            Self::Backlog => {
                wait_applied(group, server)?;
                fill(server)?;
                None
            }
            Self::Statement => {
                let seconds = LASTS.as_secs();
                let statement = format!(
                    "INSERT INTO lab.bulk SELECT 1, 'slowly' FROM (SELECT SLEEP({seconds})) AS waited"
                );
                Some(running(server, statement)?)
            }
            Self::Ddl => {
                fill(server)?;
                wait_applied(group, server)?;
                Some(running(server, "ALTER TABLE lab.bulk ADD INDEX (note), ALGORITHM=COPY".to_owned())?)
            }
            Self::Transaction => {
                let mut connection = server.admin()?;
                for statement in ["BEGIN", "INSERT INTO lab.bulk VALUES (1, 'not committed yet')"] {
                    statement::run(&mut connection, statement).map_err(server.said(statement))?;
                }
                Some(thread::spawn(move || {
                    // The obstacle is that time passes.
                    thread::sleep(LASTS);
                    statement::run(&mut connection, "COMMIT")
                }))
            }
        };
        Ok(Standing { obstacle: self, work })
    }

    /// The rows that are there when its work has succeeded.
    fn rows(self) -> u64 {
        match self {
            Self::Backlog | Self::Ddl => ROWS,
            Self::Statement | Self::Transaction => 1,
        }
    }
}

impl Standing {
    /// Waits until its work is done, looks for its rows on the primary, and takes them away.
    pub(crate) fn remove(self, group: &Group) -> Result<(), ObstacleError> {
        let ended = self.work.map(JoinHandle::join);
        let primary = &group.servers()[group.primary()?];
        let statement = "SELECT COUNT(*) FROM lab.bulk";
        let found: Option<u64> = primary.admin()?.query_first(statement).map_err(primary.said(statement))?;
        primary.run("DROP TABLE lab.bulk")?;
        match ended {
            Some(Ok(Err(error))) => return Err(ObstacleError::WorkFailed(error.to_string())),
            Some(Err(_)) => return Err(ObstacleError::WorkFailed("its thread panicked".to_owned())),
            Some(Ok(Ok(()))) | None => {}
        }
        let (found, wanted) = (found.unwrap_or_default(), self.obstacle.rows());
        if found == wanted { Ok(()) } else { Err(ObstacleError::RowsLost { found, wanted }) }
    }
}

/// Writes the rows, in one transaction.
fn fill(server: &Server) -> Result<(), GroupError> {
    let mut connection = server.admin()?;
    for statement in [
        format!("SET SESSION cte_max_recursion_depth = {ROWS}"),
        format!(
            "INSERT INTO lab.bulk WITH RECURSIVE number (id) AS \
             (SELECT 1 UNION ALL SELECT id + 1 FROM number WHERE id < {ROWS}) \
             SELECT id, CONCAT(SHA2(id, 256), REPEAT('x', 36)) FROM number"
        ),
    ] {
        statement::run(&mut connection, &statement).map_err(server.said(&statement))?;
    }
    Ok(())
}

/// Waits until every server has applied all that this one has.
fn wait_applied(group: &Group, source: &Server) -> Result<(), GroupError> {
    let statement = "SELECT @@GLOBAL.gtid_executed";
    let all: Option<String> = source.admin()?.query_first(statement).map_err(source.said(statement))?;
    let all = all.unwrap_or_default();
    for server in group.servers() {
        let statement = "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, ?)";
        let late: Option<bool> = server
            .admin()?
            .exec_first(statement, (&all, THERE_LIMIT.as_secs()))
            .map_err(server.said(statement))?;
        if late.unwrap_or(true) {
            let what = format!("{} has not applied the table", server.host());
            return Err(GroupError::TooLong { what, limit: THERE_LIMIT, words: group.describe() });
        }
    }
    Ok(())
}

/// Starts a statement in a thread of its own; returns once the server is at it.
fn running(server: &Server, statement: String) -> Result<JoinHandle<Result<(), mysql::Error>>, GroupError> {
    let mut connection: Conn = server.admin()?;
    let id = connection.connection_id();
    let mut other = server.admin()?;
    let work = thread::spawn(move || statement::run(&mut connection, statement));
    let at_it =
        format!("SELECT COUNT(*) FROM performance_schema.processlist WHERE ID = {id} AND COMMAND = 'Query'");
    let since = Instant::now();
    loop {
        let seen: Option<u64> = other.query_first(&at_it).map_err(server.said(&at_it))?;
        // Where it has ended already, what it ended with is told when it is waited for.
        if seen == Some(1) || work.is_finished() {
            return Ok(work);
        }
        if since.elapsed() > THERE_LIMIT {
            let what = format!("{} does not begin a statement", server.host());
            return Err(GroupError::TooLong { what, limit: THERE_LIMIT, words: server.last_words() });
        }
        thread::sleep(LOOK_EVERY);
    }
}
