//! The local server's process: its end is told at once, and that it wrote to its error log. Neither proves anything; the
//! rules ask the server then, sooner than the next poll would. After its end: that another is being started, before that listens.
//!
//! Group Replication writes to the log within the millisecond when it loses a member, elects a primary, or stops.
//!
//! | file | the one idea |
//! |---|---|
//! | `find.rs` | which process listens at the server's port |
//! | `log_file.rs` | its error log, as a file that is watched |
//! | `successor.rs` | after its end, the start of the next one |
//! | `watcher.rs` | the thread that watches them all |
//!
//! One thread serves all clusters. Where a process can't be found (another pid namespace, a container, hidepid) that is
//! reported once, and nothing else is lost.

mod find;
mod log_file;
mod successor;
mod watcher;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use decide::input::Event;
use mio::{Poll, Waker};
use tokio::time::Instant;

pub use self::find::NotFound;
pub use self::log_file::LogNotWatched;

use self::watcher::{CALLED, NEVER, Order, Watched, Watcher};
use crate::clock;
use crate::observe::token_bucket::TokenBucket;

/// Whether a server's error log could be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watchable {
    /// It is a file.
    Yes,
    /// It is a pipe, the journal, a terminal.
    NoFile,
    /// Why that can't be seen from here.
    NotKnown(String),
}

/// Looks once at the server that listens at `port` of `address`, or of all addresses; nothing is watched.
pub fn watchable(address: IpAddr, port: u16) -> Watchable {
    let found = match find::listener(address, port) {
        Ok(found) => found,
        Err(error) => return Watchable::NotKnown(error.to_string()),
    };
    match log_file::is_a_file(found.pid) {
        Ok(()) => Watchable::Yes,
        Err(LogNotWatched::NotAFile) => Watchable::NoFile,
        Err(error) => Watchable::NotKnown(error.to_string()),
    }
}

const STACK: usize = 256 << 10;

/// Times that a log's growth is told in a second: what a server writes in one go is one.
const TOLD_PER_SECOND: u32 = 20;
/// Something for the log, each at level INFO.
#[derive(Debug)]
pub enum ProcessReport {
    /// The process was found.
    Found {
        /// Its number.
        pid: i32,
        /// Its name.
        name: String,
        /// Whether its error log is watched too.
        log: Result<(), LogNotWatched>,
    },
    /// It was not, twice in a row; told once.
    NotFound {
        /// Where it should listen.
        port: u16,
        /// Why.
        cause: NotFound,
    },
}

impl fmt::Display for ProcessReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { pid, name, log: Ok(()) } => {
                write!(
                    f,
                    "the local server is process {pid} ({name}): its end and what it writes to its error log are noticed at once"
                )
            }
            Self::Found { pid, name, log: Err(cause) } => {
                write!(f, "the local server is process {pid} ({name}): its end is noticed at once; {cause}")
            }
            Self::NotFound { port, cause } => write!(
                f,
                "the process of the server at port {port} was not found, so its end is noticed at the next poll: {cause}"
            ),
        }
    }
}

/// The thread that watches; it ends with the last of its callers.
#[derive(Debug)]
pub struct ServerProcesses {
    caller: Caller,
    /// The next watch's number.
    next: AtomicUsize,
}

/// One cluster's server process is watched until this is dropped.
#[derive(Debug)]
pub struct ProcessWatch {
    number: usize,
    caller: Caller,
    due: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Caller {
    orders: Option<Sender<Order>>,
    waker: Arc<Waker>,
}

impl ServerProcesses {
    /// Starts the thread, in this thread's network namespace.
    ///
    /// # Errors
    /// The system gave no thread or no descriptor.
    pub fn start() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), CALLED)?);
        let (orders, received) = mpsc::channel();
        // Not closed before the thread has seen its last call.
        let kept = Arc::clone(&waker);
        thread::Builder::new().name("server-process".to_owned()).stack_size(STACK).spawn(move || {
            Watcher { poll, received, notifier: None, watches: BTreeMap::new() }.run();
            drop(kept);
        })?;
        Ok(Self { caller: Caller { orders: Some(orders), waker }, next: AtomicUsize::new(0) })
    }

    /// Watches the process that listens at `port` of `address`, a local one, or of all addresses. Nothing is looked for
    /// before [`ProcessWatch::server_answers`]. After its end the start of another one is looked out for, for as long as
    /// `wait_for_successor`.
    ///
    /// `shuts_down` is called when the server writes to its error log that it does; without it the log is not read.
    ///
    /// All callbacks are called on the thread, and must not block.
    pub fn watch(
        &self,
        (address, port): (IpAddr, u16),
        wait_for_successor: Duration,
        tell: impl Fn(Event) + Send + 'static,
        report: impl Fn(ProcessReport) + Send + 'static,
        shuts_down: Option<Box<dyn Fn() + Send>>,
    ) -> ProcessWatch {
        let due = Arc::new(AtomicU64::new(0));
        let watched = Watched {
            address,
            port,
            tell: Box::new(tell),
            report: Box::new(report),
            shuts_down,
            due: Arc::clone(&due),
            misses: 0,
            growth: TokenBucket::new(TOLD_PER_SECOND, Instant::now()),
            process: None,
            wait_for_successor,
            successor: None,
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.caller.order(Order::Watch(number, Box::new(watched)));
        ProcessWatch { number, caller: self.caller.clone(), due }
    }
}

impl ProcessWatch {
    /// The server has just answered, so that there is a process: it is looked for now, if it is not known and the last look
    /// is long enough ago. Cheap enough for each answer.
    pub fn server_answers(&self) {
        if clock::now().0 >= self.due.load(Ordering::Relaxed) {
            // The thread sets it when it has looked.
            self.due.store(NEVER, Ordering::Relaxed);
            self.caller.order(Order::Look(self.number));
        }
    }
}

impl Drop for ProcessWatch {
    fn drop(&mut self) {
        self.caller.order(Order::Forget(self.number));
    }
}

impl Caller {
    fn order(&self, order: Order) {
        // Fails only where the thread is gone, which it never is before its callers.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
        self.wake();
    }

    fn wake(&self) {
        // Writing to an eventfd of our own: it fails only when it is full of calls.
        let _ = self.waker.wake();
    }
}

impl Clone for Caller {
    fn clone(&self) -> Self {
        Self { orders: self.orders.clone(), waker: Arc::clone(&self.waker) }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.orders = None;
        self.wake();
    }
}
