//! Has the local server expel a dead member sooner, through the procedures that `haipmgr sql` prints, and puts its
//! setting back.
//!
//! A task with a connection of its own, which is kept while there is something to do: a server that is slow to carry
//! an order out is not in the way of the watch's questions. RESTORED: the value to be put back is on disk before it is
//! changed, and goes from there only when the server has it again.

mod kept_value;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use decide::input::{Event, Fact, Seen, Why};
use decide::output::{Action, Outcome};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::kept_value::KeptValue;
pub(crate) use self::kept_value::kept_in;
use crate::clock;
use crate::server_access::account::{EXPEL, RESTORE, USABLE_PROCEDURES, WAKE};
use crate::server_access::kept_session::{KeptSession, Unanswered};
use crate::server_access::session::Rows;
use crate::server_access::{Access, Failure, GIVE_UP, Servers};

/// The connection ends after this long without an order: not before the timeout that it changed is put back.
const IDLE: Duration = Duration::from_secs(12);

const READ: &str = "SELECT @@GLOBAL.group_replication_member_expel_timeout";
/// `ER_UNKNOWN_SYSTEM_VARIABLE`
const UNKNOWN_VARIABLE: u16 = 1193;

/// Nobody speaks to the server.
#[derive(Debug, thiserror::Error)]
#[error(
    "a dead member is expelled no sooner than by MySQL alone: cannot start a thread: {0}; raise the limit on tasks (TasksMax, ulimit -u)"
)]
pub struct CannotExpel(#[source] io::Error);

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExpelError {
    /// The value to be restored can't be kept, so that nothing was changed; or can't be read or removed.
    #[error("{}: {cause}; it must hold the value to which group_replication_member_expel_timeout is put back; see that the agent can write there", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// The server did not do it.
    #[error("{what}: {words}")]
    Server {
        /// What was being done.
        what: String,
        /// What the server, or the connection to it, said.
        words: String,
    },
    /// It was done, and is not so.
    #[error(
        "group_replication_member_expel_timeout is still 0; type on this server: SET GLOBAL group_replication_member_expel_timeout = {0}"
    )]
    StillZero(u32),
}

#[derive(Debug)]
enum Order {
    Read,
    Wake,
    Set { original: u32 },
    Restore { value: u32 },
    Flush(oneshot::Sender<()>),
}

/// Speaks to the local server about expelling. Dropped, it ends after the orders it has.
pub struct Expel {
    orders: mpsc::UnboundedSender<Order>,
    /// The thread is there as long as this.
    _servers: Servers,
}

impl Expel {
    /// First tells [`Event::ExpelTimeoutLeft`] if an earlier run left a value in `file`; then carries orders out, one after
    /// another, and tells what became of each.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        servers: &Servers,
        access: Access,
        file: PathBuf,
        tell: impl Fn(Event) + Send + Sync + 'static,
        report: impl Fn(&ExpelError) + Send + Sync + 'static,
    ) -> Result<Self, CannotExpel> {
        let kept = KeptValue { file };
        match kept.read() {
            Ok(Some(value)) => tell(Event::ExpelTimeoutLeft(value)),
            Ok(None) => {}
            Err(error) => report(&error),
        }
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let mut worker = Worker { kept, server: KeptSession::new(access, GIVE_UP) };
        let work = async move {
            loop {
                match timeout(IDLE, inbox.recv()).await {
                    Ok(Some(order)) => worker.carry_out(order, &tell).await,
                    Ok(None) => return,
                    Err(_) => {
                        worker.server.take_leave().await;
                        let Some(order) = inbox.recv().await else { return };
                        worker.carry_out(order, &tell).await;
                    }
                }
            }
        };
        servers.spawn(work).map_err(CannotExpel)?;
        Ok(Self { orders, _servers: servers.clone() })
    }

    /// Reads the configured value: [`Event::ExpelTimeout`].
    pub fn read(&self) {
        self.order(Order::Read);
    }

    /// Sets it to itself: [`Action::WakeExpel`].
    pub fn wake(&self) {
        self.order(Order::Wake);
    }

    /// Sets it to 0: [`Action::SetExpelTimeout`].
    pub fn set(&self, original: u32) {
        self.order(Order::Set { original });
    }

    /// Puts it back: [`Action::RestoreExpelTimeout`].
    pub fn restore(&self, value: u32) {
        self.order(Order::Restore { value });
    }

    /// Waits until all orders so far are carried out.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        self.order(Order::Flush(done));
        // An error means that the task is gone: nothing is left to wait for.
        let _ = wait.await;
    }

    fn order(&self, order: Order) {
        // Fails only when the program ends.
        let _ = self.orders.send(order);
    }
}

/// The value that an agent left in this file, to be put back.
pub fn left_behind(file: &Path) -> Option<u32> {
    KeptValue { file: file.to_owned() }.read().ok().flatten()
}

struct Worker {
    kept: KeptValue,
    server: KeptSession,
}

impl Worker {
    async fn carry_out(&mut self, order: Order, tell: &(impl Fn(Event) + Sync)) {
        let (action, done) = match order {
            Order::Read => return tell(Event::ExpelTimeout(self.read().await)),
            Order::Flush(done) => {
                // Nobody waits any more where it took too long.
                let _ = done.send(());
                return;
            }
            Order::Wake => (
                Action::WakeExpel,
                self.call("telling the group to expel now", &format!("CALL {WAKE}()")).await,
            ),
            Order::Set { original } => (Action::SetExpelTimeout { original }, self.set(original).await),
            Order::Restore { value } => (Action::RestoreExpelTimeout { value }, self.restore(value).await),
        };
        let outcome = done.map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Succeeded);
        tell(Event::Done { action, outcome });
    }

    async fn read(&mut self) -> Seen<u32> {
        let asked_at = clock::now();
        let usable = self.server.ask(USABLE_PROCEDURES).await;
        let read = match &usable {
            Ok(_) => self.server.ask(READ).await,
            Err(failure) => Err(failure.clone()),
        };
        let fact = match (usable, read) {
            (_, Err(Unanswered { code: Some(UNKNOWN_VARIABLE), .. })) => Fact::Unknown(Why::Other(
                "this server has no group_replication_member_expel_timeout (MySQL 8.0.13 or later has it)"
                    .to_owned(),
            )),
            (Ok(usable), Ok(read)) => match (missing(&first_column(&usable)), seconds(&read)) {
                (Some(procedure), _) => Fact::Unknown(Why::NotAllowed(format!(
                    "the account may not call the procedure {procedure}; haipmgr sql --config FILE prints what to run on the primary"
                ))),
                (None, Some(seconds)) => Fact::Known(seconds),
                (None, None) => Fact::Unknown(Why::Other("the server shows no value".to_owned())),
            },
            (Err(unanswered), _) | (_, Err(unanswered)) => Fact::Unknown(unanswered.failure.why()),
        };
        Seen { asked_at, fact }
    }

    async fn set(&mut self, original: u32) -> Result<(), ExpelError> {
        self.on_disk(move |kept| kept.write(original)).await?;
        self.call("having a dead member expelled", &format!("CALL {EXPEL}()")).await
    }

    async fn restore(&mut self, value: u32) -> Result<(), ExpelError> {
        let what = "putting group_replication_member_expel_timeout back";
        self.call(what, &format!("CALL {RESTORE}({value})")).await?;
        let now = self.server.ask(READ).await.map_err(|unanswered| said(what, unanswered.failure))?;
        if seconds(&now) == Some(0) {
            return Err(ExpelError::StillZero(value));
        }
        self.on_disk(KeptValue::remove).await
    }

    /// Writing to a disk may take long: on a thread of its own, for nobody else is to wait for it.
    async fn on_disk(
        &self,
        work: impl FnOnce(&KeptValue) -> Result<(), ExpelError> + Send + 'static,
    ) -> Result<(), ExpelError> {
        let kept = KeptValue { file: self.kept.file.clone() };
        let file = kept.file.clone();
        let done = tokio::task::spawn_blocking(move || work(&kept)).await;
        done.unwrap_or_else(|error| Err(ExpelError::File { file, cause: io::Error::other(error) }))
    }

    async fn call(&mut self, what: &str, statement: &str) -> Result<(), ExpelError> {
        self.server.ask(statement).await.map(drop).map_err(|unanswered| said(what, unanswered.failure))
    }
}

fn first_column(rows: &Rows) -> Vec<String> {
    rows.iter().filter_map(|row| row.first().cloned().flatten()).collect()
}

fn seconds(rows: &Rows) -> Option<u32> {
    rows.first()?.first()?.as_ref()?.parse().ok()
}

/// The first of the three procedures that is not among those the account may use.
fn missing(usable: &[String]) -> Option<&'static str> {
    [WAKE, EXPEL, RESTORE].into_iter().find(|procedure| {
        let name = procedure.rsplit('.').next().unwrap_or(procedure);
        !usable.iter().any(|usable| usable.eq_ignore_ascii_case(name))
    })
}

fn said(what: &str, failure: Failure) -> ExpelError {
    ExpelError::Server { what: what.to_owned(), words: failure.why().to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_missing_procedure_is_named() {
        let usable = ["wake_expel", "expel_unreachable_now"].map(str::to_owned);
        assert_eq!(missing(&usable), Some(RESTORE));
        assert_eq!(
            missing(&["restore_expel_timeout".to_owned()].into_iter().chain(usable).collect::<Vec<_>>()),
            None
        );
    }
}
