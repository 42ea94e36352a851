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
//!
//! One thread serves all clusters. Where a process can't be found (another pid namespace, a container, hidepid) that is
//! reported once, and nothing else is lost.

mod find;
mod log_file;
mod successor;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use decide::input::{Event, ProcessSign};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::process::Pid;
use tokio::time::Instant;

pub use self::find::NotFound;
pub use self::log_file::LogNotWatched;

use self::find::{Found, processes};
use self::log_file::{LogFile, Notifier};
use self::successor::Successor;
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

const CALLED: Token = Token(0);
const LOGS: Token = Token(1);
/// A watch's process has this and its number.
const FIRST_PROCESS: usize = 2;

/// A process that was not found is looked for again after this, then after twice that, and so on …
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// … and at least this often.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(600);
/// A log that was rotated is found anew within this.
const FOLLOW_LOGS_EVERY: Duration = Duration::from_secs(10);
/// Times that a log's growth is told in a second: what a server writes in one go is one.
const TOLD_PER_SECOND: u32 = 20;
/// The thread looks at logs no more often than this …
const LOG_PAUSE: Duration = Duration::from_millis(3);
/// … and this, while one is written to all the time.
const NOISY_LOG_PAUSE: Duration = Duration::from_millis(50);

/// The due time of a process that is known.
const NEVER: u64 = u64::MAX;

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

enum Order {
    Watch(usize, Box<Watched>),
    Look(usize),
    Forget(usize),
}

/// One cluster's server.
struct Watched {
    address: IpAddr,
    port: u16,
    tell: Box<dyn Fn(Event) + Send>,
    report: Box<dyn Fn(ProcessReport) + Send>,
    /// When its process is to be looked for, in microseconds of [`clock`]; `NEVER` while it is known.
    due: Arc<AtomicU64>,
    misses: u32,
    growth: TokenBucket,
    process: Option<Process>,
    /// After its end, for so long …
    wait_for_successor: Duration,
    /// … this is waited for.
    successor: Option<Successor>,
}

struct Process {
    pid: Pid,
    name: String,
    end: OwnedFd,
    log: Option<LogFile>,
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
    /// Both callbacks are called on the thread, and must not block.
    pub fn watch(
        &self,
        (address, port): (IpAddr, u16),
        wait_for_successor: Duration,
        tell: impl Fn(Event) + Send + 'static,
        report: impl Fn(ProcessReport) + Send + 'static,
    ) -> ProcessWatch {
        let due = Arc::new(AtomicU64::new(0));
        let watched = Watched {
            address,
            port,
            tell: Box::new(tell),
            report: Box::new(report),
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

struct Watcher {
    poll: Poll,
    received: Receiver<Order>,
    /// Opened with the first log.
    notifier: Option<Notifier>,
    watches: BTreeMap<usize, Watched>,
}

impl Watcher {
    fn run(mut self) {
        let mut events = Events::with_capacity(32);
        let mut logs_followed = Instant::now();
        loop {
            let has_log =
                |watched: &Watched| watched.process.as_ref().is_some_and(|process| process.log.is_some());
            let waits = |watched: &Watched| watched.successor.is_some();
            let wait = if self.watches.values().any(waits) {
                Some(successor::LOOK_EVERY)
            } else {
                self.watches.values().any(has_log).then_some(FOLLOW_LOGS_EVERY)
            };
            if self.poll.poll(&mut events, wait).is_err() {
                // A signal.
                continue;
            }
            for event in &events {
                if let Some(number) = event.token().0.checked_sub(FIRST_PROCESS) {
                    self.ended(number);
                }
            }
            loop {
                match self.received.try_recv() {
                    Ok(order) => self.carry_out(order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            if events.iter().any(|event| event.token() == LOGS) {
                let noisy = self.tell_growth();
                thread::sleep(if noisy { NOISY_LOG_PAUSE } else { LOG_PAUSE });
            }
            self.look_for_successors();
            if logs_followed.elapsed() >= FOLLOW_LOGS_EVERY {
                logs_followed = Instant::now();
                self.follow_logs();
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Watch(number, watched) => {
                self.forget(number);
                self.watches.insert(number, *watched);
            }
            Order::Look(number) => self.look(number),
            Order::Forget(number) => self.forget(number),
        }
    }

    fn look(&mut self, number: usize) {
        let Some(watched) = self.watches.get_mut(&number).filter(|watched| watched.process.is_none()) else {
            return;
        };
        let cause = match find::listener(watched.address, watched.port) {
            Ok(found) => match self.register(number, &found) {
                Ok(()) => return self.known(number, found),
                Err(source) => NotFound::NoHandle { pid: found.pid.as_raw_nonzero().get(), source },
            },
            Err(cause) => cause,
        };
        let Some(watched) = self.watches.get_mut(&number) else { return };
        let wait = LOOK_AGAIN.saturating_mul(1 << watched.misses.min(10)).min(LOOK_AT_LEAST_EVERY);
        watched.due.store((clock::now() + wait).0, Ordering::Relaxed);
        // An answer that was under way when the process ended makes one miss.
        if watched.misses == 1 {
            (watched.report)(ProcessReport::NotFound { port: watched.port, cause });
        }
        watched.misses = watched.misses.saturating_add(1);
    }

    fn register(&self, number: usize, found: &Found) -> io::Result<()> {
        let token = Token(number + FIRST_PROCESS);
        // Closed, the descriptor leaves the epoll set by itself.
        self.poll.registry().register(&mut SourceFd(&found.end.as_raw_fd()), token, Interest::READABLE)
    }

    fn known(&mut self, number: usize, Found { pid, name, end }: Found) {
        let (log, outcome) = match self.watch_log(pid) {
            Ok(log) => (Some(log), Ok(())),
            Err(cause) => (None, Err(cause)),
        };
        let Some(watched) = self.watches.get_mut(&number) else { return };
        watched.misses = 0;
        watched.successor = None;
        watched.process = Some(Process { pid, name: name.clone(), end, log });
        (watched.tell)(Event::Process(ProcessSign::Watched));
        (watched.report)(ProcessReport::Found { pid: pid.as_raw_nonzero().get(), name, log: outcome });
    }

    fn watch_log(&mut self, pid: Pid) -> Result<LogFile, LogNotWatched> {
        let notifier = if let Some(notifier) = &self.notifier {
            notifier
        } else {
            let notifier = Notifier::open().map_err(LogNotWatched::Failed)?;
            let descriptor = notifier.descriptor().as_raw_fd();
            self.poll
                .registry()
                .register(&mut SourceFd(&descriptor), LOGS, Interest::READABLE)
                .map_err(LogNotWatched::Failed)?;
            self.notifier.insert(notifier)
        };
        notifier.watch(pid)
    }

    fn ended(&mut self, number: usize) {
        // A descriptor's last word may come after it was closed.
        let Some(watched) = self.watches.get_mut(&number) else { return };
        let Some(process) = watched.process.take() else { return };
        // Not before the next answer: then there is a new one.
        watched.due.store(0, Ordering::Relaxed);
        // Looked out for before its end is told: that the VIP may linger follows from it.
        watched.successor = Successor::of(process.name, watched.wait_for_successor).ok();
        (watched.tell)(Event::Process(ProcessSign::Ended));
        if watched.successor.is_none() {
            (watched.tell)(Event::Process(ProcessSign::MayStart));
        }
        drop(process.end);
        self.forget_log(process.log);
    }

    fn look_for_successors(&mut self) {
        if self.watches.values().all(|watched| watched.successor.is_none()) {
            return;
        }
        let all = processes().ok();
        for watched in self.watches.values_mut() {
            if watched.successor.as_ref().is_some_and(|successor| successor.may_start(all.as_deref())) {
                watched.successor = None;
                (watched.tell)(Event::Process(ProcessSign::MayStart));
            }
        }
    }

    fn forget(&mut self, number: usize) {
        let process = self.watches.remove(&number).and_then(|watched| watched.process);
        self.forget_log(process.and_then(|process| process.log));
    }

    fn forget_log(&self, log: Option<LogFile>) {
        let (Some(log), Some(notifier)) = (log, &self.notifier) else { return };
        let mut others = self.watches.values().filter_map(|watched| watched.process.as_ref()?.log);
        if others.all(|other| other.watch != log.watch) {
            notifier.forget(log);
        }
    }

    /// Gives whether a log is written to more often than is told.
    fn tell_growth(&mut self) -> bool {
        let written = self.notifier.as_ref().map(Notifier::written).unwrap_or_default();
        let mut noisy = false;
        for watched in self.watches.values_mut() {
            let log = watched.process.as_ref().and_then(|process| process.log);
            if !log.is_some_and(|log| log.is_among(&written)) {
                continue;
            }
            if watched.growth.take(Instant::now()) {
                (watched.tell)(Event::Process(ProcessSign::WroteToItsLog));
            } else {
                noisy = true;
            }
        }
        noisy
    }

    /// Logs that were rotated.
    fn follow_logs(&mut self) {
        let moved = |watched: &Watched| {
            let process = watched.process.as_ref()?;
            Some((process.pid, process.log.filter(|log| !log.is_still_of(process.pid))?))
        };
        let moved: Vec<_> =
            self.watches.iter().filter_map(|(number, watched)| Some((*number, moved(watched)?))).collect();
        for (number, (pid, old)) in moved {
            let new = self.watch_log(pid).ok();
            if let Some(process) = self.watches.get_mut(&number).and_then(|watched| watched.process.as_mut())
                && new.is_some()
            {
                process.log = new;
                self.forget_log(Some(old));
            }
        }
    }
}
