//! The log (S1, S5): one file for each cluster, and the same lines on standard error.
//!
//! `grep -i` for the level of a switch finds exactly the switches: [`Log::switch`] alone writes that level, and its letters are
//! parted in every other line, whatever names or foreign messages it holds. Writing happens on threads of its own behind
//! bounded queues, so a slow or full disk never keeps the agent from its work; what is lost is counted and told.

mod line;
mod sink;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use line::{Level, Stamp};
use sink::{Sink, file_opener, stderr_opener};

/// The log as a whole: make one at start, and one [`Log`] from it for each cluster.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    standard_error: Sink,
    files: Mutex<Vec<Sink>>,
    /// Standard error is the systemd journal, which has its own time stamps.
    systemd: bool,
    /// Lines so far, by level.
    lines: [AtomicU64; 3],
}

/// Lines written since the start, by level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// What changed.
    pub info: u64,
    /// What a person should look at.
    pub error: u64,
    /// Switches of a VIP.
    pub switch: u64,
}

/// Where one cluster's lines, or those of the agent as a whole, go.
#[derive(Clone)]
pub struct Log {
    journal: Journal,
    /// The cluster's name and file; none for lines that concern the agent as a whole.
    cluster: Option<(Arc<str>, Sink)>,
    /// What the lines are stamped with; none: the time at which each is written.
    at: Option<jiff::Zoned>,
}

impl Journal {
    /// Starts with standard error alone.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start() -> io::Result<Self> {
        let systemd = sink::standard_error_is_systemd(std::env::var("JOURNAL_STREAM").ok().as_deref());
        let standard_error = Sink::start("log-stderr", stderr_opener(), None)?;
        Ok(Self {
            shared: Arc::new(Shared {
                standard_error,
                files: Mutex::new(Vec::new()),
                systemd,
                lines: Default::default(),
            }),
        })
    }

    /// Adds a cluster's log file (S5). A file that can't be opened stops nothing: it is said on standard error, and tried
    /// again with each line.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn cluster(&self, name: &str, file: &Path) -> io::Result<Log> {
        // Standard error hears of a file that can't be written, once for each time that it starts to fail.
        let fallback = (self.shared.standard_error.clone(), self.shared.systemd);
        let sink = Sink::start("log-file", file_opener(file), Some((file.to_owned(), fallback)))?;
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).push(sink.clone());
        Ok(Log { journal: self.clone(), cluster: Some((name.into(), sink)), at: None })
    }

    /// The cluster is no more: lines that concern the agent as a whole do not go to this log any more. It may still be written to.
    pub fn forget(&self, log: &Log) {
        let Some((_, gone)) = &log.cluster else { return };
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).retain(|sink| !sink.is(gone));
    }

    /// For lines that concern the agent as a whole: they go to every cluster's file.
    pub fn agent(&self) -> Log {
        Log { journal: self.clone(), cluster: None, at: None }
    }

    /// How many lines were written, whether or not there was room for each.
    pub fn lines(&self) -> Lines {
        let [info, error, switch] = [Level::Info, Level::Error, Level::Switch]
            .map(|level| self.shared.lines[level as usize].load(Ordering::Relaxed));
        Lines { info, error, switch }
    }

    /// Opens the files anew before the next line, for logrotate (SIGHUP).
    pub fn reopen(&self) {
        for sink in self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            sink.reopen();
        }
    }

    /// Waits until all that was written before has reached its file, `limit` at the most: call it last, at the end.
    pub fn flush(&self, limit: Duration) {
        let files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let until = std::time::Instant::now() + limit;
        for sink in files.iter().chain([&self.shared.standard_error]) {
            sink.flush(until.saturating_duration_since(std::time::Instant::now()));
        }
    }
}

impl Log {
    /// The same log, for lines about what was decided at this time: they are written once it is done.
    #[must_use]
    pub fn at(&self, time: jiff::Zoned) -> Self {
        Self { at: Some(time), ..self.clone() }
    }

    /// A VIP switch: when, what and why. Nothing else may use this (S1).
    pub fn switch(&self, text: &str) {
        self.write(Level::Switch, text);
    }

    /// What changed, and why.
    pub fn info(&self, text: &str) {
        self.write(Level::Info, text);
    }

    /// What a person should look at.
    pub fn error(&self, text: &str) {
        self.write(Level::Error, text);
    }

    /// Never waits: a line that finds its queue full is counted instead.
    fn write(&self, level: Level, text: &str) {
        let shared = &self.journal.shared;
        shared.lines[level as usize].fetch_add(1, Ordering::Relaxed);
        let name = self.cluster.as_ref().map(|(name, _)| &**name);
        let stamp = self.at.as_ref().map_or_else(Stamp::now, Stamp::of);
        shared.standard_error.write(line::for_standard_error(level, &stamp, name, text, shared.systemd));
        let for_file = line::for_file(level, &stamp, name, text);
        match &self.cluster {
            Some((_, sink)) => sink.write(for_file),
            None => {
                for sink in shared.files.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    sink.write(for_file.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn lines(file: &Path) -> Vec<String> {
        std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn s1_only_switches_match_grep_warn() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("HAIPMGR_3306.log");
        let journal = Journal::start().unwrap();
        let log = journal.cluster("Warnings-DB", &file).unwrap();
        log.info("server says: Warning 1287, WARN, wArNing; file /var/warn/wawarnrn");
        log.error("wa\u{0}rn wa\nrn wwarnarn");
        log.switch("VIP 10.77.0.100 started on eth0: this server is the primary");
        journal.agent().info("warnung");
        journal.flush(Duration::from_secs(10));
        let lines = lines(&file);
        assert_eq!(lines.len(), 4, "{lines:?}");
        let matching: Vec<_> = lines.iter().filter(|line| line.to_lowercase().contains("warn")).collect();
        assert_eq!(matching.len(), 1, "{lines:?}");
        assert!(
            matching
                .iter()
                .all(|line| line.contains("10.77.0.100 started on eth0: this server is the primary"))
        );
    }

    #[test]
    fn s5_a_line_shows_when_what_and_why_and_the_file_is_not_for_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("HAIPMGR_3306.log");
        let journal = Journal::start().unwrap();
        journal.cluster("orders", &file).unwrap().info("stage 3 passes");
        journal.flush(Duration::from_secs(10));
        let line = lines(&file).remove(0);
        let (stamp, rest) = line.split_at(29);
        assert!(jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S%.f%:z", stamp).is_ok(), "{stamp}");
        assert_eq!(rest, " INFO  [orders] stage 3 passes");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777 & !0o640, 0);
    }

    #[test]
    fn s5_after_reopen_the_lines_go_to_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("HAIPMGR_3306.log");
        let rotated = folder.path().join("HAIPMGR_3306.log.1");
        let journal = Journal::start().unwrap();
        let log = journal.cluster("orders", &file).unwrap();
        log.info("one");
        journal.flush(Duration::from_secs(10));
        std::fs::rename(&file, &rotated).unwrap();
        log.info("two");
        journal.flush(Duration::from_secs(10));
        journal.reopen();
        log.info("three");
        journal.flush(Duration::from_secs(10));
        assert_eq!(lines(&rotated).len(), 2);
        assert!(lines(&file).first().unwrap().ends_with("three"));
    }

    #[test]
    fn a_log_that_can_t_be_opened_stops_nothing_and_is_written_once_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("later").join("HAIPMGR_3306.log");
        let journal = Journal::start().unwrap();
        let log = journal.cluster("orders", &file).unwrap();
        log.info("one");
        log.info("two");
        journal.flush(Duration::from_secs(10));
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        log.info("three");
        journal.flush(Duration::from_secs(10));
        let lines = lines(&file);
        assert!(lines.iter().any(|line| line.ends_with("three")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("ERROR") && line.contains("2 lines")), "{lines:?}");
    }
}
