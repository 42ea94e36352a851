//! The trace file: JSON lines that `haipmgr replay` reads. Bounded: past a size it is renamed and begun anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use decide::trace::Line;

use crate::journal::Log;

/// Bytes; one older file of this size is kept beside it.
const SIZE_LIMIT: u64 = 8 << 20;
/// Batches waiting to be written; more are dropped, for the agent never waits for a disk.
const WAITING: usize = 64;

/// Writes traces in a thread of its own, started with the first line.
pub struct TraceFile {
    path: PathBuf,
    writer: Option<mpsc::SyncSender<Vec<Line>>>,
}

impl TraceFile {
    /// A trace file at this path; nothing is opened yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, writer: None }
    }

    /// Hands lines to the writer. What can't be written is said in the log, and lost.
    pub fn write(&mut self, lines: Vec<Line>, journal: &Log) {
        if lines.is_empty() {
            return;
        }
        let writer = self.writer.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::sync_channel::<Vec<Line>>(WAITING);
            let (path, journal) = (self.path.clone(), journal.clone());
            thread::spawn(move || {
                for lines in receiver {
                    if let Err(error) = append(&path, &lines) {
                        journal.error(&format!("the trace {} can't be written: {error}", path.display()));
                    }
                }
            });
            sender
        });
        // A full queue means a slow disk; the trace is the least of what is to be kept then.
        let _ = writer.try_send(lines);
    }
}

fn append(path: &Path, lines: &[Line]) -> io::Result<()> {
    // A file begins with a start, or nothing of it could be played.
    let begins = matches!(lines.first(), Some(Line::Start { .. }));
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
    for line in lines {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Whether the last line has no end: an agent was killed, or the disk was full, while it was written.
fn is_cut_short(file: &File) -> io::Result<bool> {
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
    use decide::event::Event;
    use decide::policy::Policy;
    use decide::state::State;
    use decide::time::Time;

    use super::*;

    fn start() -> Line {
        let now = Time(0);
        let policy = Policy::new([10, 0, 0, 9].into(), std::collections::BTreeMap::new());
        Line::Start { now, note: "a test".into(), policy: Box::new(policy), state: Box::new(State::new(now)) }
    }

    fn step() -> Line {
        let Line::Start { policy, mut state, .. } = start() else { unreachable!() };
        let decision = decide::step(&policy, &mut state, &Event::Wake, Time(0));
        Line::Step { now: Time(0), event: Box::new(Event::Wake), decision: Box::new(decision) }
    }

    #[test]
    fn a_line_that_was_cut_short_does_not_spoil_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        fs::write(&path, "{\"start\":{\"no").unwrap();
        append(&path, &[start(), step()]).unwrap();
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
        append(&path, &[step()]).unwrap();
        assert!(!folder.path().join("trace.jsonl.1").exists());
        append(&path, &[start(), step()]).unwrap();
        assert!(folder.path().join("trace.jsonl.1").exists());
        let text = fs::read_to_string(&path).unwrap();
        let first = serde_json::from_str::<Line>(text.lines().next().unwrap()).unwrap();
        assert!(matches!(first, Line::Start { .. }), "{text}");
    }
}
