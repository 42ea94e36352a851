//! The thread that runs one cluster's hooks, one after the other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::message::Message;
use super::queue::{Queue, Taken};
use super::{program, webhook};
use crate::config::{Cluster, Happening, Hook};
use crate::journal::Log;
use crate::self_protection::as_ordinary_thread;
use crate::tally::Tally;

/// At the agent's end what waits is told for no longer than this.
const END_WITHIN: Duration = Duration::from_secs(1);
/// Enough for a TLS handshake; only what is touched costs memory.
const STACK: usize = 2 << 20;

/// One cluster's hooks. Clones share the thread. It ends with the last of them, or when it is closed: what is due by then is still told,
/// for 1 s at the most.
#[derive(Clone, Default)]
pub struct Hooks(Option<Arc<Shared>>);

struct Shared {
    line: Arc<Line>,
    wanted: Vec<Happening>,
    log: Log,
    host: String,
    tally: Tally,
}

/// What waits, between the agent and the thread.
#[derive(Default)]
struct Line {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    queue: Queue,
    /// By then the thread is to have ended.
    end: Option<Instant>,
}

/// What the thread works with.
struct Runner {
    line: Arc<Line>,
    hooks: BTreeMap<Happening, Hook>,
    limit: Duration,
    /// Those that count for web addresses; none: the host's own.
    authorities: Option<PathBuf>,
    log: Log,
    tally: Tally,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().end.get_or_insert_with(|| Instant::now() + END_WITHIN);
        self.changed.notify_all();
    }

    /// The next that is due, once it is; none: the end has come.
    fn next(&self) -> Option<Message> {
        let mut waiting = self.lock();
        loop {
            let now = Instant::now();
            if waiting.end.is_some_and(|end| now >= end) {
                return None;
            }
            if let Some(message) = waiting.queue.pop(now) {
                return Some(message);
            }
            let due = waiting.queue.due();
            let until = match (due, waiting.end) {
                // Nobody tells anything any more.
                (None, Some(_)) => return None,
                (due, end) => due.into_iter().chain(end).min(),
            };
            waiting = match until {
                Some(until) => {
                    let wait = until.saturating_duration_since(now);
                    self.changed.wait_timeout(waiting, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.line.close();
    }
}

impl Hooks {
    /// Begins the thread, where there is any hook. Without one nothing is done and nothing costs anything.
    pub(crate) fn begin(cluster: &Cluster, log: &Log, tally: &Tally) -> Self {
        let Cluster { hooks, hook_limit, hook_ca, .. } = cluster;
        if hooks.is_empty() {
            return Self(None);
        }
        for hook in hooks.keys() {
            tally.has_hook(hook.key());
        }
        let line = Arc::<Line>::default();
        let runner = Runner {
            line: Arc::clone(&line),
            hooks: hooks.clone(),
            limit: *hook_limit,
            authorities: hook_ca.clone(),
            log: log.clone(),
            tally: tally.clone(),
        };
        let thread = std::thread::Builder::new().name("hooks".to_owned()).stack_size(STACK);
        let work = move || {
            as_ordinary_thread(|| runner.run());
            count_running(|running| *running -= 1);
        };
        count_running(|running| *running += 1);
        match thread.spawn(work) {
            Ok(_) => Self(Some(Arc::new(Shared {
                line,
                wanted: hooks.keys().copied().collect(),
                log: log.clone(),
                host: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
                tally: tally.clone(),
            }))),
            Err(error) => {
                count_running(|running| *running -= 1);
                log.error(&format!("no hook is run: cannot start a thread: {error}; raise the limit on tasks (TasksMax, ulimit -u), then haipmgr reload"));
                Self(None)
            }
        }
    }

    /// The cluster's agent ends: nothing more is told, and what is due by then still is.
    pub(crate) fn close(&self) {
        if let Some(shared) = &self.0 {
            shared.line.close();
        }
    }

    /// Something happened; `message` is made of this host's name, and only where there is such a hook. Waits for no hook.
    pub(crate) fn tell(&self, hook: Happening, message: impl FnOnce(&str) -> Message) {
        let Some(shared) = self.0.as_ref().filter(|shared| shared.wanted.contains(&hook)) else { return };
        let message = message(&shared.host);
        let (vip, sentence) = (message.vip, message.sentence.clone());
        let taken = {
            let mut waiting = shared.line.lock();
            let closed = waiting.end.is_some();
            if closed { Taken::NoRoom } else { waiting.queue.push(message, Instant::now()) }
        };
        shared.line.changed.notify_all();
        match taken {
            Taken::Waits => {}
            Taken::CameAndWent => shared.log.info(&format!(
                "on_acquire and on_release are not run: {} went again before it was sure to stay",
                vip.map_or_else(|| "a VIP".to_owned(), |vip| vip.to_string())
            )),
            Taken::NoRoom => {
                shared.tally.hook(hook.key(), "not_run");
                shared.log.error(&format!(
                    "{} is not run, for too many hooks wait or the agent ends: {sentence}",
                    hook.key()
                ));
            }
        }
    }
}

/// Hooks' threads that have not ended.
static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Waits at the agent's end until what is due has been told, for [`END_WITHIN`] and no longer.
pub(crate) fn wait_for_the_last() {
    let (running, ended) = &RUNNING;
    let running = running.lock().unwrap_or_else(PoisonError::into_inner);
    // What is not told by then is said in the log by its thread.
    drop(ended.wait_timeout_while(running, END_WITHIN, |running| *running > 0));
}

fn count_running(count: impl FnOnce(&mut usize)) {
    let (running, ended) = &RUNNING;
    count(&mut running.lock().unwrap_or_else(PoisonError::into_inner));
    ended.notify_all();
}

impl Runner {
    fn run(self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                return self.log.error(&format!(
                    "no hook is run: {error}; raise the limit on open files, then haipmgr reload"
                ));
            }
        };
        while let Some(message) = self.line.next() {
            self.carry_out(&runtime, &message);
        }
        let left = self.line.lock().queue.len();
        if left > 0 {
            self.log.error(&format!("the agent ends, and {left} hooks are not run"));
        }
    }

    fn carry_out(&self, runtime: &tokio::runtime::Runtime, message: &Message) {
        let Some(hook) = self.hooks.get(&message.hook) else { return };
        let outcome = runtime.block_on(async {
            match hook {
                Hook::Program(command) => program::run(command, message, self.limit).await,
                Hook::Web(address) => {
                    webhook::post(address, message, self.limit, self.authorities.as_deref()).await
                }
            }
        });
        let key = message.hook.key();
        match outcome {
            Ok(()) => self.tally.hook(key, "succeeded"),
            Err(why) => {
                self.tally.hook(key, "failed");
                self.log.error(&format!("{key} failed: {why}"));
            }
        }
    }
}
