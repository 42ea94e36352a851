//! Says so when an answer does not come in time: one thread for all watches, for a hung server holds up only the thread that
//! asks it.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use decide::event::{Fact, Seen, Server, Why};

use super::Limits;
use super::asker::{Due, Shared, due};
use crate::clock;

/// It only looks and tells.
const STACK: usize = 64 << 10;

/// One asker whose answers are waited for.
pub(super) struct Supervised {
    asker: Arc<Shared>,
    limits: Limits,
    tell: Box<dyn Fn(Seen<Server>) + Send + Sync>,
}

impl Supervised {
    pub(super) fn new(
        asker: Arc<Shared>,
        limits: Limits,
        tell: impl Fn(Seen<Server>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { asker, limits, tell: Box::new(tell) })
    }

    /// Tells what is overdue; gives how long there is nothing to do.
    fn look(&self) -> Duration {
        let now = clock::now();
        // Told while the phase is held: an answer that comes just then is told after it.
        self.asker.phase().judge(|doing, told| match due(doing, *told, self.limits, now) {
            Due::In(left) => left,
            Due::Over { asked_at, limit } => {
                *told = Some(now);
                (self.tell)(Seen { asked_at, fact: Fact::Unknown(Why::TimedOut(limit)) });
                limit
            }
        })
    }
}

/// Has this one looked at from now on, until it is dropped.
///
/// # Errors
/// The system gives no thread.
pub(super) fn supervise(supervised: &Arc<Supervised>) -> io::Result<()> {
    static NEWCOMERS: Mutex<Option<Sender<Weak<Supervised>>>> = Mutex::new(None);
    let mut newcomers = NEWCOMERS.lock().unwrap_or_else(PoisonError::into_inner);
    let sender = if let Some(running) = newcomers.take() {
        running
    } else {
        let (sender, inbox) = mpsc::channel();
        thread::Builder::new()
            .name("mysql-overdue".to_owned())
            .stack_size(STACK)
            .spawn(move || look_after(&inbox))?;
        sender
    };
    // Fails only where the thread is gone, which it never is before its sender.
    let _ = newcomers.insert(sender).send(Arc::downgrade(supervised));
    Ok(())
}

fn look_after(newcomers: &Receiver<Weak<Supervised>>) {
    let mut all: Vec<Weak<Supervised>> = Vec::new();
    loop {
        let mut wait = None;
        all.retain(|supervised| {
            let left = supervised.upgrade().map(|supervised| supervised.look());
            wait = [wait, left].into_iter().flatten().min();
            left.is_some()
        });
        let newcomer = match wait {
            Some(wait) => newcomers.recv_timeout(wait),
            None => newcomers.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match newcomer {
            Ok(newcomer) => all.push(newcomer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
