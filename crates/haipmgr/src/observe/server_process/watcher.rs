//! The thread that watches: what ended, what was written, who is looked for, in the order in which the system and its callers say so.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use decide::input::{Event, ProcessSign};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::process::Pid;
use tokio::time::Instant;

use super::ProcessReport;
use super::find::{self, Found, NotFound, processes};
use super::log_file::{LogEnd, LogFile, LogNotWatched, Notifier};
use super::successor::{self, Successor};
use crate::clock;
use crate::observe::token_bucket::TokenBucket;

/// A caller has an order.
pub(super) const CALLED: Token = Token(0);
const LOGS: Token = Token(1);
/// A watch's process has this and its number.
const FIRST_PROCESS: usize = 2;

/// A process that was not found is looked for again after this, then after twice that, and so on …
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// … and at least this often.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(600);
/// A log that was rotated is found anew within this.
const FOLLOW_LOGS_EVERY: Duration = Duration::from_secs(10);
/// The thread looks at logs no more often than this …
const LOG_PAUSE: Duration = Duration::from_millis(3);
/// … and this, while one is written to all the time.
const NOISY_LOG_PAUSE: Duration = Duration::from_millis(50);

/// The due time of a process that is known.
pub(super) const NEVER: u64 = u64::MAX;

/// What its callers ask for.
pub(super) enum Order {
    Watch(usize, Box<Watched>),
    Look(usize),
    Forget(usize),
}

/// One cluster's server.
pub(super) struct Watched {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) tell: Box<dyn Fn(Event) + Send>,
    pub(super) report: Box<dyn Fn(ProcessReport) + Send>,
    /// What is to be told when the server writes that it shuts down; none: its log is not read.
    pub(super) shuts_down: Option<Box<dyn Fn() + Send>>,
    /// When its process is to be looked for, in microseconds of [`clock`]; `NEVER` while it is known.
    pub(super) due: Arc<AtomicU64>,
    pub(super) misses: u32,
    pub(super) growth: TokenBucket,
    pub(super) process: Option<Process>,
    /// After its end, for so long …
    pub(super) wait_for_successor: Duration,
    /// … this is waited for.
    pub(super) successor: Option<Successor>,
}

/// Its process, while it lives.
pub(super) struct Process {
    pid: Pid,
    name: String,
    end: OwnedFd,
    log: Option<LogFile>,
    /// Where its log is read.
    log_end: Option<LogEnd>,
}

/// What the thread has.
pub(super) struct Watcher {
    pub(super) poll: Poll,
    pub(super) received: Receiver<Order>,
    /// Opened with the first log.
    pub(super) notifier: Option<Notifier>,
    pub(super) watches: BTreeMap<usize, Watched>,
}

impl Watched {
    /// Where the log is to be read from now on, if it is.
    fn log_end_of(&self, pid: Pid, log: Option<LogFile>) -> Option<LogEnd> {
        self.shuts_down.as_ref().and(log).and_then(|_| LogEnd::of(pid).ok())
    }

    fn read_log(&mut self) {
        let end = self.process.as_mut().and_then(|process| process.log_end.as_mut());
        if let (Some(shuts_down), Some(end)) = (&self.shuts_down, end)
            && end.says_it_shuts_down()
        {
            shuts_down();
        }
    }
}

impl Watcher {
    pub(super) fn run(mut self) {
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
        let log_end = watched.log_end_of(pid, log);
        watched.process = Some(Process { pid, name: name.clone(), end, log, log_end });
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
            watched.read_log();
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
            if let Some(watched) = self.watches.get_mut(&number) {
                let log_end = watched.log_end_of(pid, new);
                if let Some(process) = &mut watched.process {
                    process.log_end = log_end;
                }
            }
        }
    }
}
