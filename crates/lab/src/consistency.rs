//! What each value of `group_replication_consistency` costs, and what it gives: one client's writes and another's reads, and what a reader
//! finds on a new primary that has yet to apply the old one's last transaction. Both sides, in one run, without agents.

use std::thread;
use std::time::{Duration, Instant};

use comfy_table::Table;
use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};
use mysql::Conn;
use mysql::prelude::Queryable as _;

use crate::group::{Group, GroupError, Server};
use crate::namespace::Layout;
use crate::obstacle::{Obstacle, ObstacleError, ROWS};
use crate::report::table::Style;
use crate::scenario::{Lab, ScenarioError};
use crate::statement;

/// Every value, the default first (MySQL 9.7 manual, 20.5.3).
const LEVELS: [&str; 5] = ["BEFORE_ON_PRIMARY_FAILOVER", "EVENTUAL", "BEFORE", "AFTER", "BEFORE_AND_AFTER"];
/// Those that differ in what a new primary answers before it has applied all.
const AFTER_A_SWITCH: [&str; 2] = ["BEFORE_ON_PRIMARY_FAILOVER", "EVENTUAL"];
/// For how long the two clients go on, at each value.
const CLIENTS_FOR: Duration = Duration::from_secs(8);
/// A reader on the new primary asks this often.
const READ_EVERY: Duration = Duration::from_millis(2);
/// It has the rows by then.
const THERE_LIMIT: Duration = Duration::from_secs(60);

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum ConsistencyError {
    /// The lab failed.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The group failed.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The transaction that is to be applied could not be made.
    #[error(transparent)]
    Obstacle(#[from] ObstacleError),
    /// The rows did not come.
    #[error("the rows were not to be seen on the new primary within {} s", THERE_LIMIT.as_secs())]
    NotThere,
    /// The other did not become the primary.
    #[error("the member that was to be the primary did not say that it is within {} s", THERE_LIMIT.as_secs())]
    NotPrimary,
    /// A client's thread panicked.
    #[error("a client's thread panicked")]
    Panicked,
}

/// How long each of a client's statements took, in milliseconds, in order of length.
struct Took(Vec<f64>);

/// What a reader found on a new primary.
#[derive(Clone, Copy)]
struct Found {
    /// How long after it was the primary it still answered without the rows; s.
    stale: f64,
    /// The longest that an answer took; s.
    longest: f64,
}

/// Measures all of it, the switches `times` times at each value, and gives the two tables.
///
/// # Errors
/// The lab or the group fails.
pub fn measure(
    layout: &Layout,
    times: u32,
    style: Style,
    progress: &mut dyn FnMut(&str),
) -> Result<String, ConsistencyError> {
    let mut lab = Lab::start(layout, false, progress)?;
    let mut clients = titled(
        style,
        &[
            "consistency",
            "writes/s",
            "a write, median; 99 % (ms)",
            "a read on a secondary, median; 99 % (ms)",
        ],
    );
    for level in LEVELS {
        progress(level);
        set(&lab.group, level)?;
        let (writes, reads) = side_by_side(&lab.group)?;
        let rate = format!(
            "{:.0}",
            f64::from(u32::try_from(writes.0.len()).unwrap_or(u32::MAX)) / CLIENTS_FOR.as_secs_f64()
        );
        clients.add_row([level.to_owned(), rate, writes.words(), reads.words()]);
    }
    let mut switches = titled(
        style,
        &[
            "consistency",
            "switches",
            "answers without the old primary's last rows, for (s): median, worst",
            "longest read (s): median, worst",
        ],
    );
    for level in AFTER_A_SWITCH {
        set(&lab.group, level)?;
        let mut all = Vec::new();
        for time in 1..=times {
            progress(&format!("{level}, switch {time} of {times}"));
            all.push(switch(&lab.group)?);
        }
        let without_rows = sorted(all.iter().map(|found| found.stale).collect());
        let longest = sorted(all.iter().map(|found| found.longest).collect());
        let words = |took: &Took| format!("{:.3}, {:.3}", took.at(0.5), took.at(1.0));
        switches.add_row([level.to_owned(), times.to_string(), words(&without_rows), words(&longest)]);
    }
    lab.end()?;
    Ok(format!("{clients}\n\n{switches}\n"))
}

fn titled(style: Style, columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(if style == Style::Terminal { UTF8_BORDERS_ONLY } else { ASCII_MARKDOWN });
    table.set_header(columns);
    table
}

/// On every member: sessions that are made from now on have it.
fn set(group: &Group, level: &str) -> Result<(), GroupError> {
    group
        .servers()
        .iter()
        .try_for_each(|server| server.run(&format!("SET GLOBAL group_replication_consistency = '{level}'")))
}

/// One client writes on the primary, another reads on a secondary, at the same time.
fn side_by_side(group: &Group) -> Result<(Took, Took), ConsistencyError> {
    let primary = group.primary()?;
    let (server, secondary) =
        (&group.servers()[primary], &group.servers()[(primary + 1) % group.servers().len()]);
    server
        .run("CREATE TABLE IF NOT EXISTS lab.consistency (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY)")?;
    // The table itself is waited for, or the first reads would be.
    let statement = "SELECT COUNT(*) FROM lab.consistency";
    let since = Instant::now();
    while statement::run(&mut secondary.admin()?, statement).is_err() {
        if since.elapsed() > THERE_LIMIT {
            return Err(ConsistencyError::NotThere);
        }
        thread::sleep(READ_EVERY);
    }
    thread::scope(|scope| {
        let writes = scope.spawn(|| again_and_again(server, "INSERT INTO lab.consistency VALUES ()"));
        let reads = scope
            .spawn(|| again_and_again(secondary, "SELECT id FROM lab.consistency ORDER BY id DESC LIMIT 1"));
        let joined = |joined: thread::Result<Result<Took, GroupError>>| {
            Ok::<_, ConsistencyError>(joined.map_err(|_| ConsistencyError::Panicked)??)
        };
        Ok((joined(writes.join())?, joined(reads.join())?))
    })
}

fn again_and_again(server: &Server, statement: &str) -> Result<Took, GroupError> {
    let mut connection = server.admin()?;
    let (mut took, until) = (Vec::new(), Instant::now() + CLIENTS_FOR);
    while Instant::now() < until {
        let begun = Instant::now();
        statement::run(&mut connection, statement).map_err(server.said(statement))?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(sorted(took))
}

/// A switchover to a member that has yet to apply a transaction of 300,000 rows, which is committed; a reader asks it for the last of them.
fn switch(group: &Group) -> Result<Found, ConsistencyError> {
    let primary = group.primary()?;
    let to = (primary + 1) % group.servers().len();
    let standing = Obstacle::Backlog.put(group, primary)?;
    let found = thread::scope(|scope| {
        let switched = scope.spawn(|| group.switch_over(to));
        let found = read_until_there(&group.servers()[to]);
        let switched = switched.join().map_err(|_| ConsistencyError::Panicked)?;
        // What it returned says more than that nothing came of it.
        switched.map_err(ConsistencyError::from).and(found)
    });
    // In any case, or the next one finds the table.
    standing.remove(group)?;
    for server in group.servers() {
        // The lab's disk is small: a binary log of 300,000 rows for each switch fills it after some thirty.
        server.run("FLUSH BINARY LOGS")?;
        server.run("PURGE BINARY LOGS BEFORE NOW()")?;
    }
    found
}

fn read_until_there(server: &Server) -> Result<Found, ConsistencyError> {
    let begun = Instant::now();
    let role = "SELECT MEMBER_ROLE FROM performance_schema.replication_group_members WHERE MEMBER_ID = @@server_uuid";
    let mut watch: Conn = server.admin()?;
    while watch.query_first::<String, _>(role).map_err(server.said(role))?.as_deref() != Some("PRIMARY") {
        if begun.elapsed() > THERE_LIMIT {
            return Err(ConsistencyError::NotPrimary);
        }
        thread::sleep(READ_EVERY);
    }
    let last = format!("SELECT id FROM lab.bulk WHERE id = {ROWS}");
    let (since, mut stale, mut longest) = (Instant::now(), 0.0_f64, 0.0_f64);
    // As an application's connection: it is new, and was there when the server became the primary.
    let mut reader = server.admin()?;
    loop {
        let asked = Instant::now();
        let there: Option<u64> = reader.query_first(&last).map_err(server.said(&last))?;
        longest = longest.max(asked.elapsed().as_secs_f64());
        if there.is_some() {
            return Ok(Found { stale, longest });
        }
        stale = since.elapsed().as_secs_f64();
        if since.elapsed() > THERE_LIMIT {
            return Err(ConsistencyError::NotThere);
        }
        thread::sleep(READ_EVERY);
    }
}

fn sorted(mut took: Vec<f64>) -> Took {
    took.sort_by(f64::total_cmp);
    Took(took)
}

impl Took {
    /// The value below which this share of all lies; 0 where there is none.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list"
    )]
    fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    fn words(&self) -> String {
        format!("{:.2}; {:.2}", self.at(0.5), self.at(0.99))
    }
}
