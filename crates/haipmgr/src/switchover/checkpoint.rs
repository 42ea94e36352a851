//! While a switchover is under way, the target looks more often at what it has to apply.
//!
//! A new primary's first transactions wait until it has applied what the old one wrote (`group_replication_consistency`,
//! `BEFORE_ON_PRIMARY_FAILOVER`). Whether that is so, its applier looks each `replica_checkpoint_period`, 300 ms by default. Under
//! writes a third of all switchovers wait for one such look (MySQL 9.7.4: `findings/a-third-of-switchovers-wait-under-writes.sh`); with 10 ms
//! none does. It is the target's own value that counts, and it is put back afterwards.

use super::member::{Member, NO_SUCH_PROCEDURE, NOT_EXECUTABLE, not_executable, why};
use crate::server_access::account::{RESTORE_PERIOD, SHORT_PERIOD_MS, SHORTEN_PERIOD};
use crate::server_access::kept_session::Unanswered;

const PERIOD: &str = "SELECT @@GLOBAL.replica_checkpoint_period";

/// A server whose period was shortened.
pub(super) struct Shortened {
    server: Member,
    /// What it is to have again, in ms.
    configured: u32,
}

/// Shortens the target's period, where it can be put back afterwards. None where it is short already.
///
/// # Errors
/// In words: the switchover goes on without it, and may take 0.3 s longer.
pub(super) async fn shorten(mut server: Member) -> Result<Option<Shortened>, String> {
    let rows = server.order(PERIOD).await.map_err(why)?;
    let period = rows.first().and_then(|row| row.first()?.as_deref()?.parse::<u32>().ok());
    let configured = period.ok_or("replica_checkpoint_period is no number")?;
    if configured <= SHORT_PERIOD_MS {
        return Ok(None);
    }
    // Changes nothing now: it says whether the value can be put back.
    called(&mut server, RESTORE_PERIOD, &configured.to_string()).await?;
    called(&mut server, SHORTEN_PERIOD, "").await?;
    Ok(Some(Shortened { server, configured }))
}

impl Shortened {
    /// Puts it back.
    ///
    /// # Errors
    /// In words, with what to type: a short period costs a server a little, and does no harm.
    pub(super) async fn put_back(mut self) -> Result<(), String> {
        let configured = self.configured;
        let called = called(&mut self.server, RESTORE_PERIOD, &configured.to_string()).await;
        called.map_err(|why| {
            format!(
                "replica_checkpoint_period is still {SHORT_PERIOD_MS} on {}: {why}; type there: SET GLOBAL replica_checkpoint_period = {configured};",
                self.server.address
            )
        })
    }
}

async fn called(server: &mut Member, procedure: &str, argument: &str) -> Result<(), String> {
    let answer = server.order(&format!("CALL {procedure}({argument})")).await;
    answer.map(drop).map_err(|unanswered: Unanswered| match unanswered.code {
        Some(NO_SUCH_PROCEDURE | NOT_EXECUTABLE) => not_executable(procedure),
        _ => why(unanswered),
    })
}
