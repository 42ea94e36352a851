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

use decide::action::{Action, Outcome};
use decide::event::{Event, Fact, Seen, Server, Why};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::kept_value::KeptValue;
pub(crate) use self::kept_value::kept_in;
use crate::clock;
use crate::server_access::account::{EXPEL, RESTORE, USABLE_PROCEDURES, WAKE};
use crate::server_access::session::{Error, Rows, Session};
use crate::server_access::{Access, After, Connector, Failure, GIVE_UP, Servers, servers, useless};

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
        let mut worker = Worker { kept, connector: Connector::new(access), session: None };
        let work = async move {
            loop {
                match timeout(IDLE, inbox.recv()).await {
                    Ok(Some(order)) => worker.carry_out(order, &tell).await,
                    Ok(None) => return,
                    Err(_) => {
                        worker.take_leave().await;
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

/// The configured value, asked for once; unknown where the account may not use the procedures. Blocks, 10 s at the most for
/// each answer.
pub fn read_once(access: Access) -> Fact<u32> {
    let kept = KeptValue { file: PathBuf::new() };
    let mut worker = Worker { kept, connector: Connector::new(access), session: None };
    let read = servers::wait_for(async {
        let seen = worker.read().await;
        worker.take_leave().await;
        seen.fact
    });
    read.unwrap_or_else(|error| Fact::Unknown(Why::Other(error.to_string())))
}

/// The value that an agent left in this file, to be put back.
pub fn left_behind(file: &Path) -> Option<u32> {
    KeptValue { file: file.to_owned() }.read().ok().flatten()
}

struct Worker {
    kept: KeptValue,
    connector: Connector,
    session: Option<Session>,
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
        let usable = self.ask(USABLE_PROCEDURES).await;
        let read = match &usable {
            Ok(_) => self.ask(READ).await,
            Err(failure) => Err(failure.clone()),
        };
        let fact = match (usable, read) {
            (_, Err(Unasked { code: Some(UNKNOWN_VARIABLE), .. })) => Fact::Unknown(Why::Other(
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
            (Err(unasked), _) | (_, Err(unasked)) => unknown(unasked.failure),
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
        let now = self.ask(READ).await.map_err(|unasked| said(what, unasked.failure))?;
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
        self.ask(statement).await.map(drop).map_err(|unasked| said(what, unasked.failure))
    }

    /// On the kept connection, and on a new one where that has ended.
    async fn ask(&mut self, statement: &str) -> Result<Rows, Unasked> {
        if let Some(mut session) = self.session.take() {
            match self.ask_on(&mut session, statement).await {
                Err(Unasked { failure: Failure { connection: After::Ended, .. }, .. }) => {}
                answer => {
                    let useless = |unasked: &Unasked| unasked.failure.connection == After::Useless;
                    if !answer.as_ref().is_err_and(useless) {
                        self.session = Some(session);
                    }
                    return answer;
                }
            }
        }
        let mut session = within(Box::pin(self.connector.connect())).await?;
        let answer = self.ask_on(&mut session, statement).await;
        if answer.as_ref().map_or_else(|unasked| unasked.failure.connection == After::Kept, |_| true) {
            self.session = Some(session);
        }
        answer
    }

    async fn ask_on(&self, session: &mut Session, statement: &str) -> Result<Rows, Unasked> {
        let tls = session.has_tls();
        match timeout(GIVE_UP, session.query(statement)).await {
            Ok(answer) => answer.map_err(|error| Unasked {
                code: if let Error::Server { code, .. } = &error { Some(*code) } else { None },
                failure: self.connector.explain(&error, tls),
            }),
            Err(_) => Err(silent()),
        }
    }

    async fn take_leave(&mut self) {
        if let Some(session) = self.session.take() {
            // It ends in any case.
            let _ = timeout(GIVE_UP, session.close()).await;
        }
    }
}

/// Why a question has no answer; the server's own number for it, where it gave one.
#[derive(Clone)]
struct Unasked {
    code: Option<u16>,
    failure: Failure,
}

fn silent() -> Unasked {
    Unasked { code: None, failure: useless(Why::TimedOut(GIVE_UP)) }
}

async fn within<T>(connecting: impl Future<Output = Result<T, Failure>>) -> Result<T, Unasked> {
    match timeout(GIVE_UP, connecting).await {
        Ok(connected) => connected.map_err(|failure| Unasked { code: None, failure }),
        Err(_) => Err(silent()),
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

fn unknown(failure: Failure) -> Fact<u32> {
    match failure.fact {
        Fact::Unknown(why) => Fact::Unknown(why),
        Fact::Known(Server::Refused(text)) => Fact::Unknown(Why::Unreachable(text)),
        Fact::Known(Server::NotInGroup(why)) => Fact::Unknown(Why::Unreachable(why.to_string())),
        Fact::Known(Server::Member(_)) => Fact::Unknown(Why::NotAskedYet),
    }
}

fn said(what: &str, failure: Failure) -> ExpelError {
    let words = match unknown(failure) {
        Fact::Unknown(why) => why.to_string(),
        Fact::Known(_) => String::new(),
    };
    ExpelError::Server { what: what.to_owned(), words }
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
