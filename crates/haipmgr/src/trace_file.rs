//! The trace file: JSON lines that `haipmgr replay` reads. Bounded: past a size it is renamed and begun anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::iter;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use decide::trace::Line;

use crate::file_writer;
use crate::journal::Log;
use crate::recorder::Lines;

/// Bytes; one older file of this size is kept beside it.
const SIZE_LIMIT: u64 = 8 << 20;
/// Lines were lost: what follows them can't be played, until a start.
type Lost = Arc<AtomicBool>;

/// Writes one cluster's traces, in a thread that all clusters share.
pub struct TraceFile {
    path: PathBuf,
    lost: Lost,
}

impl TraceFile {
    /// A trace file at this path; nothing is opened yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, lost: Lost::default() }
    }

    /// Hands lines to the writer. What can't be written is said in the log, and lost, with all that builds on it.
    pub fn write(&mut self, lines: Option<Lines>, journal: &Log) {
        let Some(lines) = lines else { return };
        let (path, journal, lost) = (self.path.clone(), journal.clone(), Arc::clone(&self.lost));
        let handed_over = file_writer::hand_over(Box::new(move || {
            if let Err(error) = append(&path, lines, &lost) {
                lost.store(true, Ordering::Relaxed);
                journal.error(&format!("the trace {} can't be written: {error}", path.display()));
            }
        }));
        if !handed_over {
            // A slow disk; the trace is the least of what is to be kept then.
            self.lost.store(true, Ordering::Relaxed);
        }
    }
}

fn append(path: &Path, lines: impl IntoIterator<Item = Line>, lost: &AtomicBool) -> io::Result<()> {
    let mut lines = lines.into_iter();
    let Some(first) = lines.next() else { return Ok(()) };
    // A file begins with a start, or nothing of it could be played.
    let begins = matches!(first, Line::Start { .. });
    if begins {
        lost.store(false, Ordering::Relaxed);
    } else if lost.load(Ordering::Relaxed) {
        return Ok(());
    }
    if begins && fs::metadata(path).is_ok_and(|found| found.len() > SIZE_LIMIT) {
        let mut older = path.as_os_str().to_owned();
        older.push(".1");
        fs::rename(path, older)?;
    }
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let cut_short = is_cut_short(&file)?;
    let mut out = io::BufWriter::new(file);
    if cut_short {
        out.write_all(b"\n")?;
    }
    for line in iter::once(first).chain(lines) {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Whether the last line has no end: an agent was killed, or the disk was full, while it was written.
pub(crate) fn is_cut_short(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(last != [b'\n'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use decide::State;
    use decide::input::Event;
    use decide::policy::{GroupPolicy, Policy, VipPolicy};
    use decide::time::Time;

    use super::*;

    fn start() -> Line {
        let now = Time(0);
        let group = GroupPolicy::new(std::collections::BTreeMap::new());
        let policy = Policy::new(group, VipPolicy::new([10, 0, 0, 9].into()));
        let state = Box::new(State::new(&policy, now));
        Line::Start {
            format: decide::trace::FORMAT,
            now,
            note: "a test".into(),
            policy: Box::new(policy),
            state,
        }
    }

    fn step() -> Line {
        let Line::Start { policy, mut state, .. } = start() else { unreachable!() };
        let decision = decide::step(&policy, &mut state, &Event::Wake, Time(0));
        Line::Step { now: Time(0), event: Box::new(Event::Wake), decision: Box::new(decision) }
    }

    fn nothing_lost() -> AtomicBool {
        AtomicBool::new(false)
    }

    #[test]
    fn what_builds_on_lines_that_were_lost_is_left_out_until_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let lost = AtomicBool::new(true);
        append(&path, [step()], &lost).unwrap();
        assert!(!path.exists(), "it could not be played");
        append(&path, [start(), step()], &lost).unwrap();
        append(&path, [step()], &lost).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    }

    #[test]
    fn a_line_that_was_cut_short_does_not_spoil_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        fs::write(&path, "{\"start\":{\"no").unwrap();
        append(&path, [start(), step()], &nothing_lost()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(serde_json::from_str::<Line>(lines[1]).is_ok(), "{text}");
    }

    #[test]
    fn a_file_that_has_grown_large_is_put_aside_only_where_the_next_one_can_be_played() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let large = vec![b'\n'; usize::try_from(SIZE_LIMIT).unwrap() + 1];
        fs::write(&path, &large).unwrap();
        append(&path, [step()], &nothing_lost()).unwrap();
        assert!(!folder.path().join("trace.jsonl.1").exists());
        append(&path, [start(), step()], &nothing_lost()).unwrap();
        assert!(folder.path().join("trace.jsonl.1").exists());
        let text = fs::read_to_string(&path).unwrap();
        let first = serde_json::from_str::<Line>(text.lines().next().unwrap()).unwrap();
        assert!(matches!(first, Line::Start { .. }), "{text}");
    }
}
