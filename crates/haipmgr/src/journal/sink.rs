//! One place that lines go to, with a bounded queue, and a thread of its own while there is something to write: one for each
//! cluster's file all the time would be most of the threads of an agent with many clusters, and a slow file keeps no other waiting.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::line::{self, Level, Stamp};

/// Lines that wait for a slow disk before further ones are dropped.
const QUEUE: usize = 2048;

/// Enough for the time zone to be looked up in an unoptimised build; only what is touched costs memory.
const STACK: usize = 1 << 20;

/// The thread ends after this long without a line.
const IDLE: Duration = Duration::from_secs(1);

/// Opens what lines are written to.
pub(super) type Opener = Box<dyn Fn() -> io::Result<Box<dyn Write + Send>> + Send>;

/// A file whose failure is told elsewhere, and where: standard error, and whether that is the systemd journal.
pub(super) type Told = Option<(PathBuf, (Sink, bool))>;

enum Message {
    Line(String),
    /// Answered when everything before it has been tried.
    Flush(SyncSender<()>),
}

/// The queue's near end.
#[derive(Clone)]
pub(super) struct Sink {
    shared: Arc<Shared>,
}

struct Shared {
    thread: String,
    queue: Mutex<Queue>,
    come: Condvar,
    /// Lines that found the queue full and were not told of yet.
    dropped: AtomicU64,
    reopen: AtomicBool,
}

struct Queue {
    messages: VecDeque<Message>,
    /// Whoever writes; none while a thread has it.
    writer: Option<Writer>,
    /// There is a thread, and it takes messages until it says otherwise here.
    running: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message; none when there was none for long, and the thread is to end: the writer is given back.
    fn next(&self, writer: &mut Option<Writer>) -> Option<Message> {
        let mut queue = self.lock();
        loop {
            if let Some(message) = queue.messages.pop_front() {
                return Some(message);
            }
            let waited = self.come.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = waited.0;
            if waited.1.timed_out() && queue.messages.is_empty() {
                queue.writer = writer.take();
                queue.running = false;
                return None;
            }
        }
    }
}

impl Sink {
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(thread: &str, opener: Opener, told: Told) -> io::Result<Self> {
        let writer = Writer { opener, told, open: None, lost: 0, failing: false, torn: false };
        let queue = Queue { messages: VecDeque::new(), writer: Some(writer), running: false };
        let sink = Self {
            shared: Arc::new(Shared {
                thread: thread.to_owned(),
                queue: Mutex::new(queue),
                come: Condvar::new(),
                dropped: AtomicU64::new(0),
                reopen: AtomicBool::new(false),
            }),
        };
        sink.see_to_a_thread(&mut sink.shared.lock())?;
        Ok(sink)
    }

    /// Whether both are the same queue.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Never waits. Where the system gives no thread, the line waits for the one that a later line finds.
    pub(super) fn write(&self, line: String) {
        let mut queue = self.shared.lock();
        if queue.messages.len() < QUEUE {
            queue.messages.push_back(Message::Line(line));
        } else {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        let _ = self.see_to_a_thread(&mut queue);
    }

    fn see_to_a_thread(&self, queue: &mut Queue) -> io::Result<()> {
        if queue.running {
            self.shared.come.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let name = self.shared.thread.clone();
        std::thread::Builder::new().name(name).stack_size(STACK).spawn(move || {
            let mut writer = shared.lock().writer.take();
            while let Some(message) = shared.next(&mut writer) {
                if let Some(writer) = &mut writer {
                    writer.take(message, &shared);
                }
            }
        })?;
        queue.running = true;
        Ok(())
    }

    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
    }

    /// Waits until what was written before has been tried, `limit` at the most.
    pub(super) fn flush(&self, limit: Duration) {
        let (done, wait) = sync_channel(1);
        let mut queue = self.shared.lock();
        queue.messages.push_back(Message::Flush(done));
        if self.see_to_a_thread(&mut queue).is_ok() {
            drop(queue);
            let _late_or_gone = wait.recv_timeout(limit);
        }
    }
}

struct Writer {
    opener: Opener,
    told: Told,
    open: Option<Box<dyn Write + Send>>,
    /// Lines that could not be written and were not told of yet.
    lost: u64,
    failing: bool,
    /// The last attempt may have left part of a line.
    torn: bool,
}

impl Writer {
    fn take(&mut self, message: Message, shared: &Shared) {
        match message {
            Message::Line(line) => {
                if shared.reopen.swap(false, Ordering::Relaxed) {
                    self.open = None;
                }
                self.lost += shared.dropped.swap(0, Ordering::Relaxed);
                self.line(&line);
            }
            Message::Flush(done) => {
                let _nobody_waits = done.try_send(());
            }
        }
    }

    fn line(&mut self, line: &str) {
        match self.attempt(line) {
            Ok(()) => {
                self.lost = 0;
                self.failing = false;
            }
            Err(cause) => {
                self.lost += 1;
                self.open = None;
                if !self.failing {
                    self.failing = true;
                    self.tell(&cause);
                }
            }
        }
    }

    fn attempt(&mut self, line: &str) -> io::Result<()> {
        let mut bytes = String::new();
        if self.torn {
            bytes.push('\n');
        }
        if self.lost > 0 {
            let plural = if self.lost == 1 { "line is" } else { "lines are" };
            let text = format!(
                "{} {plural} missing here: the log could not be written, or not fast enough",
                self.lost
            );
            bytes += &line::for_file(Level::Error, &Stamp::now(), None, &text);
        }
        bytes += line;
        let open = match &mut self.open {
            Some(open) => open,
            closed => closed.insert((self.opener)()?),
        };
        let mut left = bytes.as_bytes();
        while !left.is_empty() {
            match open.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    left = left.get(written..).unwrap_or_default();
                    self.torn = !left.is_empty();
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    fn tell(&self, cause: &io::Error) {
        let Some((file, (standard_error, systemd))) = &self.told else { return };
        let text = format!(
            "the log {} can't be written: {cause}. The agent goes on, writes the lines here, and tries the file again with each",
            file.display()
        );
        standard_error.write(line::for_standard_error(Level::Error, &Stamp::now(), None, &text, *systemd));
    }
}

/// Opens the log file: made where it is not there, for its owner to write and its group to read.
pub(super) fn file_opener(path: &Path) -> Opener {
    let path = path.to_owned();
    Box::new(move || Ok(Box::new(LogFile { file: open_file(&path)?, path: path.clone() })))
}

/// A log file that is made anew where it was removed.
struct LogFile {
    path: PathBuf,
    file: File,
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // One that was only renamed is logrotate's, until it says so (SIGHUP).
        if self.file.metadata()?.nlink() == 0 {
            self.file = open_file(&self.path)?;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let file = File::options()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a plain file")) }
}

/// Standard error, unbuffered.
pub(super) fn stderr_opener() -> Opener {
    Box::new(|| Ok(Box::new(io::stderr())))
}

/// Whether standard error is the journal's own stream: `JOURNAL_STREAM` holds its device and inode (systemd.exec(5)).
pub(super) fn standard_error_is_systemd(journal_stream: Option<&str>) -> bool {
    let Some((device, inode)) = journal_stream.and_then(|stream| stream.split_once(':')) else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|there| device.parse() == Ok(there.dev()) && inode.parse() == Ok(there.ino()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc::{self, Receiver};

    use super::*;

    /// Writes into memory, and waits for a permit before each write.
    struct Gate {
        permits: Arc<Mutex<Receiver<()>>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.lock().unwrap().recv().map_err(io::Error::other)?;
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_disk_keeps_nobody_waiting_and_what_is_lost_is_counted() {
        let (permit, permits) = mpsc::channel();
        let permits = Arc::new(Mutex::new(permits));
        let written = Arc::new(Mutex::new(Vec::new()));
        let gate = {
            let written = Arc::clone(&written);
            Box::new(move || {
                let gate: Box<dyn Write + Send> =
                    Box::new(Gate { permits: Arc::clone(&permits), written: Arc::clone(&written) });
                Ok(gate)
            })
        };
        let sink = Sink::start("gate", gate, None).unwrap();
        // No permit yet: were any of these to wait, it would never end.
        for number in 0..(QUEUE + 100) {
            sink.write(format!("line {number}\n"));
        }
        for _ in 0..(QUEUE + 100) {
            permit.send(()).unwrap();
        }
        sink.flush(Duration::from_secs(30));
        sink.write("last\n".to_owned());
        sink.flush(Duration::from_secs(30));
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let kept = text.lines().filter(|line| line.starts_with("line ")).count();
        let told: usize = text
            .lines()
            .filter(|line| line.contains("missing here"))
            .filter_map(|line| line.split(" ERROR ").nth(1)?.split(' ').next()?.parse::<usize>().ok())
            .sum();
        assert_eq!(kept + told, QUEUE + 100);
        assert!(told >= 99, "{told}");
        assert!(text.ends_with("last\n"));
    }

    #[test]
    fn a_full_disk_stops_nothing_and_is_told_on_standard_error_once() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (permit, permits) = mpsc::channel();
        let permits = Arc::new(Mutex::new(permits));
        for _ in 0..100 {
            permit.send(()).unwrap();
        }
        let subscriber = {
            let heard = Arc::clone(&heard);
            Box::new(move || {
                let gate: Box<dyn Write + Send> =
                    Box::new(Gate { permits: Arc::clone(&permits), written: Arc::clone(&heard) });
                Ok(gate)
            })
        };
        let standard_error = Sink::start("subscriber", subscriber, None).unwrap();
        let full: Opener = Box::new(|| Ok(Box::new(File::options().write(true).open("/dev/full")?)));
        let told = Some((PathBuf::from("/x/HAIPMGR_3306.log"), (standard_error.clone(), false)));
        let sink = Sink::start("full", full, told).unwrap();
        for _ in 0..10 {
            sink.write("line\n".to_owned());
        }
        sink.flush(Duration::from_secs(30));
        standard_error.flush(Duration::from_secs(30));
        let text = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("/x/HAIPMGR_3306.log") && text.contains("No space left"), "{text}");
    }

    #[test]
    fn a_log_file_that_was_removed_is_there_again_with_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("HAIPMGR_3306.log");
        let sink = Sink::start("removed", file_opener(&path), None).unwrap();
        let limit = Duration::from_secs(30);
        sink.write("one\n".to_owned());
        sink.flush(limit);
        std::fs::remove_file(&path).unwrap();
        sink.write("two\n".to_owned());
        sink.flush(limit);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        // Copied and cut short (logrotate's copytruncate), it is the same file.
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        sink.write("three\n".to_owned());
        sink.flush(limit);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_named_pipe_in_the_log_s_place_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("HAIPMGR_3306.log");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(file_opener(&pipe)().is_err());
    }

    #[test]
    fn the_systemd_journal_is_recognised_by_device_and_inode() {
        let there = std::fs::metadata("/proc/self/fd/2").unwrap();
        assert!(standard_error_is_systemd(Some(&format!("{}:{}", there.dev(), there.ino()))));
        assert!(!standard_error_is_systemd(Some(&format!(
            "{}:{}",
            there.dev(),
            there.ino().wrapping_add(1)
        ))));
        assert!(!standard_error_is_systemd(Some("nonsense")));
        assert!(!standard_error_is_systemd(None));
    }
}
