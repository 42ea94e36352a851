//! Has the local server expel a dead member sooner, through the procedures that `haipmgr sql` prints, and puts its
//! setting back.
//!
//! A thread with a connection of its own, which is kept while there is something to do: a server that is slow to carry
//! an order out is not in the way of the watch's questions. RESTORED: the value to be put back is on disk before it is
//! changed, and goes from there only when the server has it again.

mod kept_value;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use decide::action::{Action, Outcome};
use decide::event::{Event, Fact, Seen, Server, Why};
use mysql::prelude::Queryable;
use mysql::{Conn, Error};

use self::kept_value::KeptValue;
pub(crate) use self::kept_value::kept_in;
use crate::clock;
use crate::server_access::account::{EXPEL, RESTORE, USABLE_PROCEDURES, WAKE};
use crate::server_access::{Access, After, Connector, Failure, guard};

/// Enough for a TLS handshake in an unoptimised build; only what is touched costs memory.
const STACK: usize = 256 << 10;
/// The thread and its connection end after this long without an order: not before the timeout that it changed is put back.
const IDLE: Duration = Duration::from_secs(12);

const READ: &str = "SELECT @@GLOBAL.group_replication_member_expel_timeout";
/// `ER_UNKNOWN_SYSTEM_VARIABLE`
const UNKNOWN_VARIABLE: u16 = 1193;

/// No thread for speaking to the server.
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
    /// The system gives no thread.
    #[error(
        "a dead member is expelled no sooner than by MySQL alone: cannot start a thread: {0}; raise the limit on tasks (TasksMax, ulimit -u)"
    )]
    NoThread(#[source] io::Error),
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

enum Order {
    /// Looks whether an earlier run left a value.
    Left,
    Read,
    Wake,
    Set {
        original: u32,
    },
    Restore {
        value: u32,
    },
    Flush(tokio::sync::oneshot::Sender<()>),
}

/// Speaks to the local server about expelling. Dropped, the thread ends after the orders it has.
pub struct Expel {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    ordered: Condvar,
    access: Access,
    file: PathBuf,
    tell: Box<dyn Fn(Event) + Send + Sync>,
    report: Box<dyn Fn(&ExpelError) + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    orders: VecDeque<Order>,
    /// There is a thread, and it takes orders until it says otherwise here.
    running: bool,
    dropped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next order; none when the thread is to end, because it was idle for long or nobody is left to give one.
    fn next(&self) -> Option<Order> {
        let mut queue = self.lock();
        loop {
            if let Some(order) = queue.orders.pop_front() {
                return Some(order);
            }
            if queue.dropped {
                return None;
            }
            let waited = self.ordered.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = waited.0;
            if waited.1.timed_out() && queue.orders.is_empty() {
                queue.running = false;
                return None;
            }
        }
    }
}

impl Expel {
    /// Starts the thread. It first tells [`Event::ExpelTimeoutLeft`] if an earlier run left a value in `file`; then carries
    /// orders out, one after another, and tells what became of each. It ends when it has been idle for long, and starts anew
    /// with the next order.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        access: Access,
        file: PathBuf,
        tell: impl Fn(Event) + Send + Sync + 'static,
        report: impl Fn(&ExpelError) + Send + Sync + 'static,
    ) -> Result<Self, CannotExpel> {
        let (queue, ordered) = (Mutex::new(Queue::default()), Condvar::new());
        let (tell, report) = (Box::new(tell), Box::new(report));
        let expel = Self { shared: Arc::new(Shared { queue, ordered, access, file, tell, report }) };
        expel.order(Order::Left).map_err(CannotExpel)?;
        Ok(expel)
    }

    /// Reads the configured value: [`Event::ExpelTimeout`].
    pub fn read(&self) {
        self.send(Order::Read);
    }

    /// Sets it to itself: [`Action::WakeExpel`].
    pub fn wake(&self) {
        self.send(Order::Wake);
    }

    /// Sets it to 0: [`Action::SetExpelTimeout`].
    pub fn set(&self, original: u32) {
        self.send(Order::Set { original });
    }

    /// Puts it back: [`Action::RestoreExpelTimeout`].
    pub fn restore(&self, value: u32) {
        self.send(Order::Restore { value });
    }

    /// Waits until all orders so far are carried out.
    pub async fn flush(&self) {
        let (done, wait) = tokio::sync::oneshot::channel();
        self.send(Order::Flush(done));
        // An error means that the thread is gone: nothing is left to wait for.
        let _ = wait.await;
    }

    fn send(&self, order: Order) {
        if let Err(cause) = self.order(order) {
            (self.shared.report)(&ExpelError::NoThread(cause));
        }
    }

    /// Hands an order to the thread, which is started where there is none. An error: it stays in the queue, for the thread
    /// that the next order starts.
    fn order(&self, order: Order) -> io::Result<()> {
        let mut queue = self.shared.lock();
        queue.orders.push_back(order);
        if !queue.running {
            let shared = Arc::clone(&self.shared);
            thread::Builder::new().name("mysql-expel".to_owned()).stack_size(STACK).spawn(move || {
                let kept = KeptValue { file: shared.file.clone() };
                Worker { kept, connector: Connector::new(shared.access.clone()), conn: None }.run(&shared);
            })?;
            queue.running = true;
        }
        drop(queue);
        self.shared.ordered.notify_one();
        Ok(())
    }
}

impl Drop for Expel {
    fn drop(&mut self) {
        self.shared.lock().dropped = true;
        self.shared.ordered.notify_one();
    }
}

/// The configured value, asked for once; unknown where the account may not use the procedures. Blocks, 10 s at the most for
/// each answer.
pub fn read_once(access: Access) -> Fact<u32> {
    let kept = KeptValue { file: PathBuf::new() };
    Worker { kept, connector: Connector::new(access), conn: None }.read().fact
}

/// The value that an agent left in this file, to be put back.
pub fn left_behind(file: &Path) -> Option<u32> {
    KeptValue { file: file.to_owned() }.read().ok().flatten()
}

struct Worker {
    kept: KeptValue,
    connector: Connector,
    conn: Option<(Conn, bool)>,
}

impl Worker {
    fn run(mut self, shared: &Shared) {
        while let Some(order) = shared.next() {
            let (action, done) = match order {
                Order::Left => {
                    match self.kept.read() {
                        Ok(Some(value)) => (shared.tell)(Event::ExpelTimeoutLeft(value)),
                        Ok(None) => {}
                        Err(error) => (shared.report)(&error),
                    }
                    continue;
                }
                Order::Read => {
                    (shared.tell)(Event::ExpelTimeout(self.read()));
                    continue;
                }
                Order::Flush(done) => {
                    // Nobody waits any more where it took too long.
                    let _ = done.send(());
                    continue;
                }
                Order::Wake => (
                    Action::WakeExpel,
                    self.call("telling the group to expel now", &format!("CALL {WAKE}()")),
                ),
                Order::Set { original } => (Action::SetExpelTimeout { original }, self.set(original)),
                Order::Restore { value } => (Action::RestoreExpelTimeout { value }, self.restore(value)),
            };
            let outcome =
                done.map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Succeeded);
            (shared.tell)(Event::Done { action, outcome });
        }
    }

    fn read(&mut self) -> Seen<u32> {
        let asked_at = clock::now();
        let read = self.ask(|conn| {
            let usable: Vec<String> = conn.query(USABLE_PROCEDURES)?;
            Ok((usable, conn.query_first::<u32, _>(READ)))
        });
        let fact = match read {
            Ok((_, Err(Error::MySqlError(error)))) if error.code == UNKNOWN_VARIABLE => {
                Fact::Unknown(Why::Other(
                    "this server has no group_replication_member_expel_timeout (MySQL 8.0.13 or later has it)"
                        .to_owned(),
                ))
            }
            Ok((usable, Ok(Some(seconds)))) => match missing(&usable) {
                None => Fact::Known(seconds),
                Some(procedure) => Fact::Unknown(Why::NotAllowed(format!(
                    "the account may not call the procedure {procedure}"
                ))),
            },
            Ok((_, Ok(None))) => Fact::Unknown(Why::Other("the server shows no value".to_owned())),
            Ok((_, Err(error))) => unknown(self.connector.explain(&error, false)),
            Err(failure) => unknown(failure),
        };
        Seen { asked_at, fact }
    }

    fn set(&mut self, original: u32) -> Result<(), ExpelError> {
        self.kept.write(original)?;
        self.call("having a dead member expelled", &format!("CALL {EXPEL}()"))
    }

    fn restore(&mut self, value: u32) -> Result<(), ExpelError> {
        let what = "putting group_replication_member_expel_timeout back";
        self.call(what, &format!("CALL {RESTORE}({value})"))?;
        let now = self.ask(|conn| conn.query_first::<u32, _>(READ)).map_err(|failure| said(what, failure))?;
        if now == Some(0) {
            return Err(ExpelError::StillZero(value));
        }
        self.kept.remove()
    }

    fn call(&mut self, what: &str, statement: &str) -> Result<(), ExpelError> {
        self.ask(|conn| conn.query_drop(statement)).map_err(|failure| said(what, failure))
    }

    /// On the kept connection, and on a new one where that has ended.
    fn ask<T>(&mut self, work: impl Fn(&mut Conn) -> Result<T, Error>) -> Result<T, Failure> {
        if let Some((mut conn, tls)) = self.conn.take() {
            match self.ask_on(&mut conn, tls, &work) {
                Err(Failure { connection: After::Ended, .. }) => {}
                answer => {
                    if !matches!(answer, Err(Failure { connection: After::Useless, .. })) {
                        self.conn = Some((conn, tls));
                    }
                    return answer;
                }
            }
        }
        let (mut conn, tls) = self.connector.connect()?;
        let answer = self.ask_on(&mut conn, tls, &work);
        if answer.is_ok() {
            self.conn = Some((conn, tls));
        }
        answer
    }

    fn ask_on<T>(
        &self,
        conn: &mut Conn,
        tls: bool,
        work: impl Fn(&mut Conn) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        guard(|| work(conn)).map_err(|error| self.connector.explain(&error, tls))
    }
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
