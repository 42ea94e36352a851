//! The trace file: JSON lines that `haipmgr replay` reads. Bounded: past a size it is renamed and begun anew.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
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
    if fs::metadata(path).is_ok_and(|found| found.len() > SIZE_LIMIT) {
        let mut older = path.as_os_str().to_owned();
        older.push(".1");
        fs::rename(path, older)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let mut out = io::BufWriter::new(file);
    for line in lines {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
