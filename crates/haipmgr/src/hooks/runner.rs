//! The thread that runs one cluster's hooks, one after the other.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::message::Message;
use super::queue::{Queue, Taken};
use super::{program, webhook};
use crate::config::{Happening, Hook};
use crate::journal::Log;
use crate::self_protection::as_ordinary_thread;
use crate::tally::Tally;

/// Between the agent and the thread.
const HANDED_OVER: usize = 64;
/// At the agent's end what waits is told for no longer than this.
const END_WITHIN: Duration = Duration::from_secs(1);
/// Enough for a TLS handshake; only what is touched costs memory.
const STACK: usize = 2 << 20;

/// One cluster's hooks. Clones share the thread. It ends with the last of them, or when it is closed: what is due by then is still told,
/// for 1 s at the most.
#[derive(Clone, Default)]
pub struct Hooks(Option<Arc<Shared>>);

struct Shared {
    tell: Mutex<Option<SyncSender<(Instant, Message)>>>,
    wanted: Vec<Happening>,
    log: Log,
    host: String,
    tally: Tally,
}

/// What the thread works with.
struct Runner {
    hooks: BTreeMap<Happening, Hook>,
    limit: Duration,
    log: Log,
    tally: Tally,
}

impl Hooks {
    /// Begins the thread, where there is any hook. Without one nothing is done and nothing costs anything.
    pub(crate) fn begin(
        hooks: &BTreeMap<Happening, Hook>,
        limit: Duration,
        log: &Log,
        tally: &Tally,
    ) -> Self {
        if hooks.is_empty() {
            return Self(None);
        }
        let (tell, told) = mpsc::sync_channel(HANDED_OVER);
        let runner = Runner { hooks: hooks.clone(), limit, log: log.clone(), tally: tally.clone() };
        let thread = std::thread::Builder::new().name("hooks".to_owned()).stack_size(STACK);
        let work = move || {
            as_ordinary_thread(|| runner.run(&told));
            count_running(|running| *running -= 1);
        };
        count_running(|running| *running += 1);
        match thread.spawn(work) {
            Ok(_) => Self(Some(Arc::new(Shared {
                tell: Mutex::new(Some(tell)),
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
            drop(shared.tell.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Something happened; `message` is made of this host's name, and only where there is such a hook. Never waits.
    pub(crate) fn tell(&self, hook: Happening, message: impl FnOnce(&str) -> Message) {
        let Some(shared) = self.0.as_ref().filter(|shared| shared.wanted.contains(&hook)) else { return };
        let tell = shared.tell.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tell) = &*tell else { return };
        let told = tell.try_send((Instant::now(), message(&shared.host)));
        if let Err(TrySendError::Full((_, message)) | TrySendError::Disconnected((_, message))) = told {
            not_told(&shared.log, &shared.tally, &message);
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

fn not_told(log: &Log, tally: &Tally, message: &Message) {
    tally.hook(message.hook.key(), "not_run");
    log.error(&format!("{} is not run, for too many hooks wait: {}", message.hook.key(), message.sentence));
}

impl Runner {
    fn run(self, told: &mpsc::Receiver<(Instant, Message)>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                return self.log.error(&format!(
                    "no hook is run: {error}; raise the limit on open files, then haipmgr reload"
                ));
            }
        };
        let mut queue = Queue::default();
        let mut end = None;
        loop {
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) {
                return self.say_what_is_lost(&queue);
            }
            if let Some(message) = queue.pop(now) {
                self.carry_out(&runtime, &message);
                continue;
            }
            let wait = queue.due().map(|due| due.saturating_duration_since(now));
            if end.is_some() {
                // Nobody tells anything any more: only what came last is waited for.
                match wait {
                    None => return,
                    Some(wait) => std::thread::sleep(wait),
                }
                continue;
            }
            match told.recv_timeout(wait.unwrap_or(Duration::from_secs(3600))) {
                Ok((at, message)) => self.take(&mut queue, message, at),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => end = Some(Instant::now() + END_WITHIN),
            }
        }
    }

    /// `at`: when it happened, however long another hook took meanwhile.
    fn take(&self, queue: &mut Queue, message: Message, at: Instant) {
        let kept = message.clone();
        match queue.push(message, at) {
            Taken::Waits => {}
            Taken::CameAndWent => self.log.info(&format!(
                "on_acquire and on_release are not run: {} went again before it was sure to stay",
                kept.vip.map_or_else(|| "a VIP".to_owned(), |vip| vip.to_string())
            )),
            Taken::NoRoom => not_told(&self.log, &self.tally, &kept),
        }
    }

    fn carry_out(&self, runtime: &tokio::runtime::Runtime, message: &Message) {
        let Some(hook) = self.hooks.get(&message.hook) else { return };
        let outcome = runtime.block_on(async {
            match hook {
                Hook::Program(command) => program::run(command, message, self.limit).await,
                Hook::Web(address) => webhook::post(address, message, self.limit).await,
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

    fn say_what_is_lost(&self, queue: &Queue) {
        if queue.len() > 0 {
            self.log.error(&format!("the agent ends, and {} hooks are not run", queue.len()));
        }
    }
}
