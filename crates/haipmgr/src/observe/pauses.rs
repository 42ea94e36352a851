//! The cluster's pause, as the local server has it: the one row of `haipmgr.pauses`, which the group copies to every member.
//!
//! Read each second on a connection of its own, on the thread that speaks to servers: what reads it, and whatever locks that table,
//! is never in the way of the question about the group. Where there is no such table, or the account may not read it, nobody can
//! have paused the cluster, and `information_schema` is asked for it instead: an error in every few seconds would fill an audit log.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use crate::pause::Pause;
use crate::server_access::account::PAUSED_UNTIL;
use crate::server_access::kept_session::KeptSession;
use crate::server_access::session::Rows;
use crate::server_access::{Access, Kept, Servers};

/// So soon every agent knows of a pause, and of its end.
const READ_EVERY: Duration = Duration::from_secs(1);
/// An answer, or a connection, is waited for no longer.
const LIMIT: Duration = Duration::from_secs(2);
/// Where there is no table, or the account may not read it, it is looked for this often: whoever has just made it pauses next.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Has rows where there is a table that the account may read: `information_schema` shows no other.
const IS_THERE: &str =
    "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'haipmgr' AND TABLE_NAME = 'pauses'";
/// A server that does not answer, or turns the account away, is asked again after this.
const SILENT_AGAIN: Duration = Duration::from_secs(5);

/// `ER_BAD_DB_ERROR`, `ER_DBACCESS_DENIED_ERROR`, `ER_TABLEACCESS_DENIED_ERROR`, `ER_NO_SUCH_TABLE`
pub(crate) const NO_TABLE: [u16; 4] = [1049, 1044, 1142, 1146];

/// The table is being read as long as this lives.
pub struct PauseWatch {
    _task: Kept,
}

/// Tells the cluster's pause, or that there is none, when it is first read and whenever it changes. What can't be read is not told:
/// not knowing ends no pause, and begins none. `tell` must not block.
///
/// # Errors
/// The system gives no thread.
pub fn watch(
    servers: &Servers,
    access: Access,
    tell: impl Fn(Option<Pause>) + Send + Sync + 'static,
) -> io::Result<PauseWatch> {
    let mut server = KeptSession::new(access, LIMIT);
    let task = servers.keep(async move {
        let (mut told, mut is_there) = (None, true);
        loop {
            let question = if is_there { PAUSED_UNTIL } else { IS_THERE };
            let wait = match server.ask(question).await {
                Ok(rows) if !is_there => {
                    is_there = !rows.is_empty();
                    if is_there { Duration::ZERO } else { LOOK_AGAIN_AFTER }
                }
                Ok(rows) => {
                    if let Ok(pause) = understand(&rows)
                        && told.as_ref() != Some(&pause)
                    {
                        tell(pause.clone());
                        told = Some(pause);
                    }
                    READ_EVERY
                }
                Err(unanswered) if unanswered.code.is_some_and(|code| NO_TABLE.contains(&code)) => {
                    is_there = false;
                    LOOK_AGAIN_AFTER
                }
                Err(_) => SILENT_AGAIN,
            };
            sleep(wait).await;
        }
    })?;
    Ok(PauseWatch { _task: task })
}

/// The row has no end that is a number.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("haipmgr.pauses has a row that is not understood; make the table anew with what haipmgr sql prints")]
pub struct NotUnderstood;

/// Pure. The pause that the rows of `PAUSED_UNTIL` say, or that there is none.
///
/// # Errors
/// They are not understood.
pub fn understand(rows: &Rows) -> Result<Option<Pause>, NotUnderstood> {
    let Some(row) = rows.first() else { return Ok(None) };
    let cell = |place: usize| row.get(place).and_then(Option::as_deref);
    let until_ms = cell(0).and_then(|text| text.parse().ok()).ok_or(NotUnderstood)?;
    Ok(Some(Pause::new(until_ms, cell(1).unwrap_or_default(), cell(2).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: &[Option<&str>]) -> Rows {
        vec![cells.iter().map(|cell| cell.map(str::to_owned)).collect()]
    }

    #[test]
    fn no_row_is_no_pause_and_a_row_that_is_not_understood_is_neither() {
        assert_eq!(understand(&Rows::new()), Ok(None));
        let row = rows(&[Some("1777636800250"), Some("root on db1"), Some("why")]);
        assert_eq!(understand(&row), Ok(Some(Pause::new(1_777_636_800_250, "root on db1", "why"))));
        assert_eq!(
            understand(&rows(&[Some("1777636800250")])),
            Ok(Some(Pause::new(1_777_636_800_250, "", "")))
        );
        for odd in [&[None, None, None][..], &[Some("soon"), None, None], &[Some("-1"), None, None], &[]] {
            assert_eq!(understand(&rows(odd)), Err(NotUnderstood));
        }
    }
}
