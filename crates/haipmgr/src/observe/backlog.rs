//! How far the local server is behind what its group has agreed on: whether it may serve readers.
//!
//! Asked once a second on a connection of its own, and only of a cluster that has reader VIPs: the worker table may be locked while an
//! applier starts or stops, and the question that is asked ten times a second is not to wait for that.

use std::io;
use std::time::Duration;

use decide::input::{Backlog, Event, Fact, Seen, Why};
use tokio::time::sleep;

use crate::clock;
use crate::server_access::kept_session::{KeptSession, Unanswered};
use crate::server_access::session::Rows;
use crate::server_access::{Access, Kept, Servers};

const ASK_EVERY: Duration = Duration::from_secs(1);
/// An answer, or a connection, is waited for no longer.
const LIMIT: Duration = Duration::from_secs(2);
/// A server that turns the account away, or does not show it, is asked again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// One row: transactions that wait; how long ago, in microseconds, the transaction that was applied last was committed where it came
/// from, and the oldest of those that are being applied now. NULL: there is none. 8.0.2 and later have the first, 8.0.1 the others.
const QUESTION: &str = "SELECT /*+ MAX_EXECUTION_TIME(1000) */ s.COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE, \
     CAST(1000000 * (UNIX_TIMESTAMP(NOW(6)) - w.applied) AS SIGNED), CAST(1000000 * (UNIX_TIMESTAMP(NOW(6)) - w.applying) AS SIGNED) \
     FROM performance_schema.replication_group_member_stats s, \
     (SELECT MAX(NULLIF(UNIX_TIMESTAMP(LAST_APPLIED_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP), 0)) AS applied, \
     MIN(NULLIF(UNIX_TIMESTAMP(APPLYING_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP), 0)) AS applying \
     FROM performance_schema.replication_applier_status_by_worker WHERE CHANNEL_NAME = 'group_replication_applier') w \
     WHERE s.MEMBER_ID = @@GLOBAL.server_uuid";

/// `ER_BAD_FIELD_ERROR`, `ER_NO_SUCH_TABLE`
const NOT_SHOWN: [u16; 2] = [1054, 1146];
/// `ER_DBACCESS_DENIED_ERROR`, `ER_TABLEACCESS_DENIED_ERROR`, `ER_COLUMNACCESS_DENIED_ERROR`
const NOT_ALLOWED: [u16; 3] = [1044, 1142, 1143];

/// The server is being asked as long as this lives.
pub struct BacklogWatch {
    _task: Kept,
}

/// Tells `Event::Backlog` after each question; `report` is told, once, why it can't be known as long as nobody does anything about it.
/// Neither may block.
///
/// # Errors
/// The system gives no thread.
pub fn watch(
    servers: &Servers,
    access: Access,
    tell: impl Fn(Event) + Send + Sync + 'static,
    report: impl Fn(&str) + Send + Sync + 'static,
) -> io::Result<BacklogWatch> {
    let mut server = KeptSession::new(access, LIMIT);
    let task = servers.keep(async move {
        let mut reported = None;
        loop {
            let asked_at = clock::now();
            let answer = server.ask(QUESTION).await;
            let lasting = answer.as_ref().err().and_then(lasting);
            let wait = if answer.is_ok() { ASK_EVERY } else { AGAIN_AFTER };
            let fact = match answer {
                Ok(rows) => understand(&rows),
                Err(unanswered) => {
                    Fact::Unknown(lasting.clone().map_or_else(|| unanswered.failure.why(), Why::Other))
                }
            };
            if let Some(why) = lasting.as_ref().filter(|_| reported != lasting) {
                report(why);
            }
            reported = lasting.or(reported).filter(|_| !matches!(fact, Fact::Known(_)));
            tell(Event::Backlog(Seen { asked_at, fact }));
            sleep(wait).await;
        }
    })?;
    Ok(BacklogWatch { _task: task })
}

/// Why no answer will come by itself, with what to do; none: one may.
fn lasting(unanswered: &Unanswered) -> Option<String> {
    let code = unanswered.code?;
    if NOT_SHOWN.contains(&code) {
        Some("this server does not show how far it is behind (MySQL 8.0.2 and later do)".to_owned())
    } else if NOT_ALLOWED.contains(&code) {
        Some("the account may not read it; run what haipmgr sql prints".to_owned())
    } else {
        None
    }
}

/// Pure. What the rows say.
fn understand(rows: &Rows) -> Fact<Backlog> {
    let Some(row) = rows.first() else {
        return Fact::Unknown(Why::Other("the server shows no statistics of itself in a group".to_owned()));
    };
    let cell = |place: usize| row.get(place).and_then(Option::as_deref);
    let Some(transactions) = cell(0).and_then(|text| text.parse().ok()) else {
        return Fact::Unknown(Why::Other("the number of transactions that wait is no number".to_owned()));
    };
    // Clocks that differ make it negative: then it is not old.
    let age = |place: usize| {
        let micros: i64 = cell(place)?.parse().ok()?;
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    };
    // After an hour without a write the last one is an hour old, and what is being applied now is not.
    let oldest = [age(1), age(2)].into_iter().flatten().min();
    match oldest.filter(|_| transactions > 0) {
        Some(age) => Fact::Known(Backlog { transactions, age }),
        None if transactions == 0 => Fact::Known(Backlog { transactions, age: Duration::ZERO }),
        None => Fact::Unknown(Why::Other(
            "transactions wait, and of none that was applied the time is known".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn said(cells: &[Option<&str>]) -> Fact<Backlog> {
        understand(&vec![cells.iter().map(|cell| cell.map(str::to_owned)).collect()])
    }

    fn behind(transactions: u64, millis: u64) -> Fact<Backlog> {
        Fact::Known(Backlog { transactions, age: Duration::from_millis(millis) })
    }

    #[test]
    fn age_counts_only_while_transactions_wait() {
        assert_eq!(said(&[Some("7"), Some("1500000"), None]), behind(7, 1_500));
        assert_eq!(said(&[Some("0"), Some("3600000000"), None]), behind(0, 0));
        assert_eq!(said(&[Some("0"), None, None]), behind(0, 0));
    }

    #[test]
    fn after_an_idle_hour_what_is_being_applied_counts() {
        assert_eq!(said(&[Some("1"), Some("3600000000"), Some("20000")]), behind(1, 20));
        assert_eq!(said(&[Some("1"), None, Some("20000")]), behind(1, 20));
    }

    #[test]
    fn a_clock_that_is_ahead_makes_nothing_older() {
        assert_eq!(said(&[Some("7"), Some("-1500000"), None]), behind(7, 0));
    }

    #[test]
    fn what_is_not_shown_is_not_known_and_never_zero() {
        let unknown = |fact: &Fact<Backlog>| matches!(fact, Fact::Unknown(Why::Other(_)));
        assert!(unknown(&understand(&Rows::new())));
        for cells in
            [&[None, Some("1"), None][..], &[Some("many"), None, None], &[Some("7"), None, None], &[]]
        {
            assert!(unknown(&said(cells)), "{cells:?}");
        }
    }
}
