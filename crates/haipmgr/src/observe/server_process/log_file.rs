//! A server's error log: where its standard error goes, as mysqld leads it into the file of `log_error`. Watched through
//! `/proc/PID/fd/2`, so that no path is needed, and a server in a root or mount namespace of its own is no hindrance.

use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::Pid;

/// Bytes of events that are read at a time: some hundreds of them.
const BUFFER: usize = 4096;

/// Of what was written to a log since the last look the last so many bytes are read, at the most.
const TAIL: u64 = 64 << 10;
/// `ER_SERVER_SHUTDOWN_INFO`, of the priority System, which is always written: "Received SHUTDOWN from user … Shutting down mysqld", in each
/// language. MySQL before 8.0 writes no such word.
const SHUTS_DOWN: &str = "[MY-013172]";
/// The same in the log's JSON format (`component_log_sink_json`).
const SHUTS_DOWN_IN_JSON: &str = "\"err_code\" : 13172,";

/// Why a server's error log can't be watched.
#[derive(Debug, thiserror::Error)]
pub enum LogNotWatched {
    /// It is a pipe, a socket (the journal), a terminal or nothing.
    #[error(
        "its standard error is no file; set log_error to a file to have the VIP follow some 60 ms sooner"
    )]
    NotAFile,
    /// The system said no.
    #[error("its error log can't be watched: {0}")]
    Failed(#[source] io::Error),
}

/// A log's end, as far as it was read.
#[derive(Debug)]
pub(super) struct LogEnd {
    file: File,
    read: u64,
}

impl LogEnd {
    /// The end of what is this process's standard error now.
    pub(super) fn of(pid: Pid) -> io::Result<Self> {
        let file = File::open(path(pid))?;
        let read = file.metadata()?.len();
        Ok(Self { file, read })
    }

    /// Whether the server has written since that it shuts down. What can't be read says nothing.
    pub(super) fn says_it_shuts_down(&mut self) -> bool {
        let Ok(length) = self.file.metadata().map(|file| file.len()) else { return false };
        // A file that was made shorter is read anew.
        let read = if self.read <= length { self.read } else { 0 };
        let from = read.max(length.saturating_sub(TAIL));
        let mut tail = vec![0; usize::try_from(length - from).unwrap_or_default()];
        if self.file.read_exact_at(&mut tail, from).is_err() {
            return false;
        }
        // What follows the last line's end is half a line, and read again.
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read = from + u64::try_from(whole).unwrap_or_default();
        tail.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n').any(says_shutdown)
    }
}

/// By the place of the error's number in the line: what anybody who tries to log in can have written there, a user's name, does not count.
fn says_shutdown(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    // Time, thread, priority, number.
    let traditional = words.nth(2) == Some("[System]") && words.next() == Some(SHUTS_DOWN);
    traditional || (line.starts_with('{') && says_in_json(&line))
}

/// In what stands before the message, whose quotation marks are escaped.
fn says_in_json(line: &str) -> bool {
    let before_texts = line.split("\"msg\"").next().unwrap_or_default();
    before_texts.contains(SHUTS_DOWN_IN_JSON)
}

/// Notifications of writes to files.
#[derive(Debug)]
pub(super) struct Notifier(OwnedFd);

/// One file that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogFile {
    /// The notifier's name for it: the same for each watch of the same file.
    pub(super) watch: i32,
    /// Device and inode.
    identity: (u64, u64),
}

impl Notifier {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?))
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }

    /// Watches the file that is this process's standard error now.
    pub(super) fn watch(&self, pid: Pid) -> Result<LogFile, LogNotWatched> {
        let identity = identity(pid)?;
        let failed = |errno: Errno| LogNotWatched::Failed(errno.into());
        let watch = inotify::add_watch(&self.0, path(pid), WatchFlags::MODIFY).map_err(failed)?;
        Ok(LogFile { watch, identity })
    }

    /// Watches it no more.
    pub(super) fn forget(&self, file: LogFile) {
        // Fails where the file is gone, and its watch with it.
        let _ = inotify::remove_watch(&self.0, file.watch);
    }

    /// The watches of files that were written to since the last call.
    pub(super) fn written(&self) -> Vec<i32> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        let mut written = Vec::new();
        // An error is the end: nothing more is there.
        while let Ok(event) = reader.next() {
            if !written.contains(&event.wd()) {
                written.push(event.wd());
            }
        }
        written
    }
}

impl LogFile {
    /// Whether it was written to, by what [`Notifier::written`] gave.
    pub(super) fn is_among(self, written: &[i32]) -> bool {
        // -1: some notifications were lost (inotify(7), `IN_Q_OVERFLOW`), perhaps this one's.
        written.iter().any(|watch| *watch == self.watch || *watch == -1)
    }

    /// Whether this is still the process's standard error: after the log was rotated it is not.
    pub(super) fn is_still_of(self, pid: Pid) -> bool {
        identity(pid).is_ok_and(|identity| identity == self.identity)
    }
}

/// Whether this process's standard error is a file.
pub(super) fn is_a_file(pid: Pid) -> Result<(), LogNotWatched> {
    identity(pid).map(drop)
}

fn path(pid: Pid) -> String {
    format!("/proc/{pid}/fd/2")
}

fn identity(pid: Pid) -> Result<(u64, u64), LogNotWatched> {
    let found = fs::metadata(path(pid)).map_err(LogNotWatched::Failed)?;
    if found.is_file() { Ok((found.dev(), found.ino())) } else { Err(LogNotWatched::NotAFile) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::File;
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_server_that_writes_that_it_shuts_down_is_understood_once_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "[MY-013172] of the run before\n").unwrap();
        let mut log = File::options().append(true).open(&path).unwrap();
        let mut server =
            Command::new("/bin/sleep").arg("60").stderr(log.try_clone().unwrap()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
        let mut end = LogEnd::of(pid).unwrap();
        let mut says = |text: &str| {
            log.write_all(text.as_bytes()).unwrap();
            end.says_it_shuts_down()
        };
        let line = |rest: &str| format!("2026-11-30T10:00:00.000000Z 12 {rest}\n");
        let word = line(
            "[System] [MY-013172] [Server] Received SHUTDOWN from user root. Shutting down mysqld (Version: 9.7.4).",
        );
        assert!(!says(&line("[Warning] [MY-010055] [Server] IP address could not be resolved")));
        let (half, rest) = word.split_at(40);
        assert!(!says(half) && says(rest), "written in two parts");
        assert!(!says(&line("[Note] [MY-010043] [Server] Event Scheduler: Purging the queue")));
        let much = line(&"x".repeat(1 << 20));
        assert!(says(&format!("{much}{word}")), "after much else");
        let named_so =
            "[Note] [MY-010926] [Server] Access denied for user '[System] [MY-013172] [Server]'@'app'";
        assert!(!says(&line(named_so)), "who tries to log in can write that");
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert!(!says("made shorter\n"));
        let json = |number: u32, msg: &str| {
            format!(
                "{{ \"prio\" : 0, \"err_code\" : {number}, \"subsystem\" : \"Server\", \"msg\" : \"{msg}\" }}\n"
            )
        };
        assert!(says(&json(13_172, "Received SHUTDOWN")));
        assert!(!says(&json(10_926, "Access denied for user '\\\"err_code\\\" : 13172,'")));
        server.kill().unwrap();
        server.wait().unwrap();
    }

    #[test]
    fn a_log_that_was_rotated_is_noticed_and_its_successor_watched() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        let mut server = Command::new("/bin/sh")
            .args(["-c", "read _; exec 2>\"$0\"; read _"])
            .arg(&new)
            .stdin(Stdio::piped())
            .stderr(File::create(&old).unwrap())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
        let notifier = Notifier::open().unwrap();
        let log = notifier.watch(pid).unwrap();
        assert!(log.is_still_of(pid));

        server.stdin.as_mut().unwrap().write_all(b"rotate\n").unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        while log.is_still_of(pid) {
            assert!(Instant::now() < until, "the log was not rotated");
            std::thread::sleep(Duration::from_millis(1));
        }
        let log = notifier.watch(pid).unwrap();
        notifier.written();
        File::options().append(true).open(&new).unwrap().write_all(b"elected\n").unwrap();
        assert!(log.is_among(&notifier.written()));
        server.kill().unwrap();
        server.wait().unwrap();
    }
}
