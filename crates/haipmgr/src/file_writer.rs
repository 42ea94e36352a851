//! The thread that writes what nobody waits for: traces and the history. The agent hands its work over and goes on; a slow or full disk
//! costs what is written there, and never a decision.

use std::sync::mpsc::{self, RecvTimeoutError, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Pieces of work waiting; more are refused.
const WAITING: usize = 64;
/// The thread ends when there was nothing to write for so long: switches are rare.
const IDLE: Duration = Duration::from_secs(10);
/// Only what is touched costs memory.
const STACK: usize = 256 << 10;

/// Something to be written. It may block.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// The thread's queue; it ends when there was nothing to write for a while.
static WRITER: Mutex<Option<mpsc::SyncSender<Work>>> = Mutex::new(None);

/// Hands work to the writer, in order. False: too much waits already, and it is not done.
pub(crate) fn hand_over(work: Work) -> bool {
    let mut writer = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    let refused = match &*writer {
        Some(queue) => queue.try_send(work).err(),
        None => Some(TrySendError::Disconnected(work)),
    };
    match refused {
        Some(TrySendError::Disconnected(work)) => {
            *writer = Some(start(work));
            true
        }
        Some(TrySendError::Full(_)) => false,
        None => true,
    }
}

/// Waits until all that was handed over before is written, `limit` at the most: at the end.
pub(crate) fn flush(limit: Duration) {
    if WRITER.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
        return;
    }
    let (tell, told) = mpsc::channel();
    if hand_over(Box::new(move || {
        let _nobody_waits = tell.send(());
    })) {
        // Whatever is not written by then is lost.
        let _ = told.recv_timeout(limit);
    }
}

/// Starts the writer with its first work. Where the system gives no thread it is lost, and the next one tries again.
fn start(first: Work) -> mpsc::SyncSender<Work> {
    let (queue, all) = mpsc::sync_channel::<Work>(WAITING);
    // The queue is new and empty.
    let _ = queue.try_send(first);
    // Named as ever: `ps` and the measurements of the agent's cost know it.
    let _ = thread::Builder::new().name("trace-file".to_owned()).stack_size(STACK).spawn(move || {
        loop {
            let work = match all.recv_timeout(IDLE) {
                Ok(work) => work,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    // Whoever hands something over has the lock: what is not here then does not come any more.
                    let mut writer = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
                    let Ok(work) = all.try_recv() else {
                        *writer = None;
                        return;
                    };
                    work
                }
            };
            work();
        }
    });
    queue
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn what_was_handed_over_is_done_in_order_before_a_flush_ends() {
        let done = Arc::new(AtomicUsize::new(0));
        for place in 0..10 {
            let done = Arc::clone(&done);
            let in_turn = move || {
                let _ = done.compare_exchange(place, place + 1, Ordering::SeqCst, Ordering::SeqCst);
            };
            while !hand_over(Box::new(in_turn.clone())) {
                thread::yield_now();
            }
        }
        flush(Duration::from_secs(60));
        assert_eq!(done.load(Ordering::SeqCst), 10);
    }

    #[test]
    fn a_flush_does_not_wait_for_a_disk_without_an_end() {
        let (go_on, wait) = mpsc::channel::<()>();
        hand_over(Box::new(move || {
            let _ = wait.recv();
        }));
        let began = std::time::Instant::now();
        flush(Duration::from_millis(10));
        assert!(began.elapsed() < Duration::from_secs(5));
        drop(go_on);
    }
}
