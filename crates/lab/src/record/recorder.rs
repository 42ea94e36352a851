//! Many witnesses' streams made one.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::{Recorded, What};

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

impl Recorder {
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

    /// A way for other threads to tell something.
    pub fn sender(&self) -> Sender<Recorded> {
        self.sender.clone()
    }

    /// The next one told; none when nothing is told for this long.
    pub fn next_within(&self, limit: Duration) -> Option<Recorded> {
        self.receiver.recv_timeout(limit).ok()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io;

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
        recorder.witness("db1", io::Cursor::new(stream));
        let limit = Duration::from_secs(5);
        let first = recorder.next_within(limit).unwrap();
        assert_eq!(first.who, "db1");
        assert!(matches!(&first.what, What::Said { line } if line.starts_with("panicked at")), "{first:?}");
        assert_eq!(recorder.next_within(limit).unwrap(), said(5, "after"));
    }
}
