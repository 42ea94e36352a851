//! Many witnesses' streams made one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::{Recorded, What};

/// Between two looks at a log file that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where many witnesses' streams become one: a thread reads each, and [`Recorder::next_within`] hands them out.
#[derive(Debug)]
pub struct Recorder {
    sender: Sender<Recorded>,
    receiver: Receiver<Recorded>,
}

impl Default for Recorder {
    fn default() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver }
    }
}

/// A way to let more streams flow into a [`Recorder`], also while another thread takes from it.
#[derive(Clone, Debug)]
pub struct Attach {
    sender: Sender<Recorded>,
}

impl Recorder {
    /// A way to attach streams.
    pub fn attach(&self) -> Attach {
        Attach { sender: self.sender.clone() }
    }

    /// A way for other threads to tell something.
    pub fn sender(&self) -> Sender<Recorded> {
        self.sender.clone()
    }

    /// The next one told; none when nothing is told for this long.
    pub fn next_within(&self, limit: Duration) -> Option<Recorded> {
        self.receiver.recv_timeout(limit).ok()
    }
}

impl Attach {
    /// Reads a witness's standard output until it ends. A line that is no record is kept as [`What::Said`] by `who`.
    pub fn witness(&self, who: &str, stream: impl Read + Send + 'static) {
        self.lines(who, stream, |who, line| {
            serde_json::from_str(&line).unwrap_or_else(|_| Recorded::now(who, What::Said { line }))
        });
    }

    /// Reads an agent's log, or its standard error, until it ends; each line is [`What::Agent`] by `who`, at the time of
    /// its reading.
    pub fn log(&self, who: &str, stream: impl Read + Send + 'static) {
        self.lines(who, stream, |who, line| Recorded::now(who, What::Agent { line }));
    }

    /// Reads an agent's log file as it grows, as [`Self::log`] does; from its beginning, and anew where it was made shorter.
    /// The file need not be there yet.
    pub fn follow(&self, who: &str, path: &Path) {
        let (sender, who, path) = (self.sender.clone(), who.to_owned(), path.to_owned());
        thread::spawn(move || {
            let mut read: u64 = 0;
            loop {
                for line in new_lines(&path, &mut read).unwrap_or_default() {
                    if sender.send(Recorded::now(&who, What::Agent { line })).is_err() {
                        return;
                    }
                }
                thread::sleep(LOOK_EVERY);
            }
        });
    }

    fn lines(
        &self,
        who: &str,
        stream: impl Read + Send + 'static,
        understand: impl Fn(&str, String) -> Recorded + Send + 'static,
    ) {
        let (sender, who) = (self.sender.clone(), who.to_owned());
        thread::spawn(move || {
            // Bytes, not `lines()`: one stray byte that is no UTF-8 must not end the reading.
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                if sender.send(understand(&who, line)).is_err() {
                    break;
                }
            }
        });
    }
}

/// The whole lines after the first `read` bytes, which then grow by them.
fn new_lines(path: &Path, read: &mut u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() < *read {
        *read = 0;
    }
    file.seek(SeekFrom::Start(*read))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    bytes.truncate(whole);
    *read += u64::try_from(whole).unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;

    fn said(at_us: u64, line: &str) -> Recorded {
        Recorded { at_us, who: "lab".into(), what: What::Said { line: line.into() } }
    }

    #[test]
    fn a_witness_that_prints_nonsense_is_heard_and_goes_on_being_heard() {
        let recorder = Recorder::default();
        let mut stream = b"panicked at \xff\n".to_vec();
        stream.extend(serde_json::to_vec(&said(5, "after")).unwrap());
        stream.push(b'\n');
        recorder.attach().witness("db1", io::Cursor::new(stream));
        let limit = Duration::from_secs(5);
        let first = recorder.next_within(limit).unwrap();
        assert_eq!(first.who, "db1");
        assert!(matches!(&first.what, What::Said { line } if line.starts_with("panicked at")), "{first:?}");
        assert_eq!(recorder.next_within(limit).unwrap(), said(5, "after"));
    }

    #[test]
    fn a_log_that_is_followed_is_told_line_by_line_and_never_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        let recorder = Recorder::default();
        recorder.attach().follow("db1", &path);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        let next = || recorder.next_within(Duration::from_secs(5)).map(|recorded| recorded.what);
        assert_eq!(next(), Some(What::Agent { line: "one".into() }));
        file.write_all(b"o\n").unwrap();
        assert_eq!(next(), Some(What::Agent { line: "two".into() }));
    }
}
