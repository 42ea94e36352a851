//! The one thread that speaks to all servers. Apart from the thread that decides: a handshake, a login or an answer that takes
//! long to read holds up no decision; and a server that hangs holds up nothing at all, for nobody waits in the thread.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// Enough for a TLS handshake in an unoptimised build, which 512 KiB are not; only what is touched costs memory.
const STACK: usize = 2 << 20;

/// Where servers are spoken to; clones share the thread. It begins with the first task, and ends with the last clone.
#[derive(Clone, Debug, Default)]
pub struct Servers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    running: Mutex<Option<Running>>,
    watches: AtomicU32,
}

#[derive(Debug)]
struct Running {
    tasks: Handle,
    /// Dropped, the thread ends.
    _stop: oneshot::Sender<()>,
}

/// What is being done there. Dropped, it ends.
pub(crate) struct Kept {
    task: AbortHandle,
    /// The thread is there as long as this.
    _servers: Servers,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Servers {
    /// Has this done there. It must not block.
    ///
    /// # Errors
    /// The system gives no thread or no descriptor.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> io::Result<AbortHandle> {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = match &mut *running {
            Some(running) => running,
            none => none.insert(start()?),
        };
        Ok(running.tasks.spawn(task).abort_handle())
    }

    /// Has this done there for as long as what it gives back lives. It must not block.
    ///
    /// # Errors
    /// The system gives no thread or no descriptor.
    pub(crate) fn keep(&self, task: impl Future<Output = ()> + Send + 'static) -> io::Result<Kept> {
        Ok(Kept { task: self.spawn(task)?, _servers: self.clone() })
    }

    /// Which watch this is, counted from 0.
    pub(crate) fn number_of_watch(&self) -> u32 {
        self.0.watches.fetch_add(1, Ordering::Relaxed)
    }
}

fn start() -> io::Result<Running> {
    let runtime = runtime()?;
    let tasks = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel();
    thread::Builder::new().name("mysql".to_owned()).stack_size(STACK).spawn(move || {
        // The sender is never used, only dropped.
        let _ = runtime.block_on(stopped);
        runtime.shutdown_background();
    })?;
    Ok(Running { tasks, _stop: stop })
}

/// Has this done on the calling thread, and waits for it.
///
/// # Errors
/// The system gives no descriptor.
pub(crate) fn wait_for<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    // A thread may wait for somebody's answer that nobody needs any more.
    runtime.shutdown_background();
    Ok(done)
}

pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // For what is written to disk, which is seldom.
        .thread_keep_alive(Duration::from_secs(1))
        .build()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc;

    #[test]
    fn work_that_is_done_does_not_wait_for_a_question_that_nobody_answers() {
        let (nobody_answers, answer) = mpsc::channel::<()>();
        let done = super::wait_for(async {
            tokio::task::spawn_blocking(move || answer.recv().is_ok());
            1
        });
        assert_eq!(done.unwrap(), 1);
        drop(nobody_answers);
    }
}
