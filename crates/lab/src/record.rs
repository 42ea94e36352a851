//! Everything that happened in a run, on one clock: what each witness, the client, the agents and the lab itself
//! told, in the order of time.
//!
//! Each witness is a process of its own, entered into a host's namespaces. It writes one [`Recorded`] per line, as
//! JSON, on standard output. `CLOCK_MONOTONIC` is the same for all processes of a machine, so their times compare.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// When it was noticed: microseconds of `CLOCK_MONOTONIC`.
    pub at_us: u64,
    /// Whose it is: a database host's name (`db1`), `client`, `lab` …
    pub who: String,
    /// What happened.
    pub what: What,
}

impl Recorded {
    /// Something that happened just now.
    pub fn now(who: impl Into<String>, what: What) -> Self {
        Self { at_us: now_us(), who: who.into(), what }
    }
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The address witness of a host has started, and these are the addresses there. It replaces what was known.
    Addresses(Vec<Address>),
    /// An address was put on a card of the host `who`. A lease that is renewed is not told.
    AddressAdded(Address),
    /// An address went from a card of the host `who`, taken or run out.
    AddressRemoved(Address),
    /// What the server of the host `who` says of itself; told when it changes.
    Role(Role),
    /// The server of the host `who` can't be asked, and why; told when it changes.
    NoRole {
        /// The reason, in the words of what failed.
        why: String,
    },
    /// An ARP frame about the VIP, seen by `who`.
    Arp {
        /// The sender's hardware address, `02:00:00:00:00:01`.
        from: String,
        /// What the frame is.
        kind: ArpKind,
        /// The address it is about.
        about: IpAddr,
    },
    /// The client has a connection through the VIP.
    Connected {
        /// `@@hostname` of the server at its other end.
        server: String,
    },
    /// The fate of one attempt to insert a row. `at_us` is when the client knew.
    Insert {
        /// The row's number.
        id: u64,
        /// When the attempt began, in the same microseconds.
        sent_us: u64,
        /// What became of it.
        outcome: Outcome,
    },
    /// The sleeping client sits in a long query, at this server.
    Asleep {
        /// `@@hostname` of the server at its other end.
        server: String,
    },
    /// The sleeping client's query came to an end.
    Woken {
        /// What it was told.
        text: String,
    },
    /// The lab does something to a host, or begins to undo it.
    Fault {
        /// The fault's name, as on the command line: `switchover`, `kill-9` …
        name: String,
        /// The host that it is done to.
        host: String,
        /// The host that is to be primary afterwards, where the fault names one (a switchover).
        target: Option<String>,
        /// Whether the group is expected to get another primary.
        expects: Expects,
        /// Injected, or about to be healed.
        phase: Phase,
    },
    /// The host `who` has no power from now on: whatever its witnesses said last holds no longer.
    HostDown,
    /// The host `who` has power again; its witnesses will tell.
    HostUp,
    /// The acknowledged rows were looked for in the primary's table.
    Verified {
        /// How many were acknowledged since the last time.
        acknowledged: u64,
        /// Those that are not there.
        missing: Vec<u64>,
    },
    /// A line of the log of the agent on the host `who`.
    Agent {
        /// The line, without its end.
        line: String,
    },
    /// Something the lab or a witness has to say that is none of the above.
    Said {
        /// In words.
        line: String,
    },
}

/// An IPv4 or IPv6 address on a card.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// The card's name.
    pub card: String,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// `MEMBER_STATE`; empty where the plugin shows no row.
    pub state: String,
    /// `MEMBER_ROLE`.
    pub role: String,
    /// `@@super_read_only`.
    pub super_read_only: bool,
    /// `VIEW_ID`.
    pub view: Option<String>,
    /// Rows in `replication_group_members`.
    pub members: u32,
    /// Those of them that are UNREACHABLE.
    pub unreachable: u32,
}

impl Role {
    /// `2 × UNREACHABLE < members`.
    pub fn has_majority(&self) -> bool {
        2 * u64::from(self.unreachable) < u64::from(self.members)
    }

    /// ONLINE, PRIMARY, writable, with a majority: what an election is over with.
    pub fn is_writable_primary(&self) -> bool {
        self.state == "ONLINE" && self.role == "PRIMARY" && !self.super_read_only && self.has_majority()
    }
}

/// What an ARP frame about an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArpKind {
    /// Sender address 0.0.0.0: "may I use it?" (RFC 5227 section 1.1).
    Probe,
    /// Sender and target address are both the one it is about: gratuitous ARP, request or reply form.
    Announcement,
    /// "It is at this hardware address."
    Reply,
    /// "Who has it?"
    Request,
}

/// What became of an attempt to insert a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The server says it is committed.
    Acknowledged,
    /// The row tried again was there already: the attempt before, whose answer never came, had been committed.
    AcknowledgedLate,
    /// The server's error; the row is not there.
    Error {
        /// The error's number.
        code: u16,
        /// Its text.
        text: String,
    },
    /// There was no connection to send it on, and none could be made.
    ConnectFailed {
        /// Why not.
        text: String,
    },
    /// The connection was lost before the answer: the row may be there or not.
    Disconnected {
        /// How it was lost.
        text: String,
    },
    /// No answer within the read time-out: the row may be there or not.
    TimedOut,
}

impl Outcome {
    /// Whether the client has the server's word that the row is there.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Acknowledged | Self::AcknowledgedLate)
    }
}

/// What a fault does to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expects {
    /// Another member is to become primary.
    NewPrimary,
    /// The primary stays what it is (VIP removed by hand, agent restarted …).
    SamePrimary,
}

/// Where a fault stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It begins: told just before it is done.
    Injected,
    /// The lab begins to undo it.
    Healed,
}

/// Now, in microseconds of `CLOCK_MONOTONIC`; 0 should the kernel refuse, which Linux never does for this clock.
pub fn now_us() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| u64::try_from(Duration::from(time).as_micros()).unwrap_or(u64::MAX))
}

/// Why a recording could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file can't be written or read.
    #[error("{path}: {cause}; check that the folder exists and has space")]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        cause: io::Error,
    },
    /// A line is not a record.
    #[error(
        "{path}, line {line}: not a record of a run ({cause}); was it written by this version of the lab?"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

/// A run: everything recorded, in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    all: Vec<Recorded>,
}

impl Recording {
    /// Puts one in its place. Witnesses' lines arrive a little out of order.
    pub fn push(&mut self, recorded: Recorded) {
        let mut place = self.all.len();
        while place > 0 && self.all.get(place - 1).is_some_and(|before| before.at_us > recorded.at_us) {
            place -= 1;
        }
        self.all.insert(place, recorded);
    }

    /// All of it.
    pub fn all(&self) -> &[Recorded] {
        &self.all
    }

    /// The rows acknowledged from this moment on.
    pub fn acknowledged_since(&self, at_us: u64) -> Vec<u64> {
        self.all
            .iter()
            .filter(|recorded| recorded.at_us >= at_us)
            .filter_map(|recorded| match &recorded.what {
                What::Insert { id, outcome, .. } if outcome.is_acknowledged() => Some(*id),
                _ => None,
            })
            .collect()
    }

    /// Writes it as JSON lines.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save(&self, path: &Path) -> Result<(), RecordError> {
        let refuse = |cause: io::Error| RecordError::File { path: path.to_owned(), cause };
        let mut file = BufWriter::new(File::create(path).map_err(refuse)?);
        for recorded in &self.all {
            serde_json::to_writer(&mut file, recorded).map_err(|cause| refuse(cause.into()))?;
            file.write_all(b"\n").map_err(refuse)?;
        }
        file.flush().map_err(refuse)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// The file can't be read, or a line of it is no record.
    pub fn load(path: &Path) -> Result<Self, RecordError> {
        let refuse = |cause: io::Error| RecordError::File { path: path.to_owned(), cause };
        let mut recording = Self::default();
        for (index, line) in BufReader::new(File::open(path).map_err(refuse)?).lines().enumerate() {
            let recorded = serde_json::from_str(&line.map_err(refuse)?)
                .map_err(|cause| RecordError::Line { path: path.to_owned(), line: index + 1, cause })?;
            recording.push(recorded);
        }
        Ok(recording)
    }
}

impl FromIterator<Recorded> for Recording {
    fn from_iter<I: IntoIterator<Item = Recorded>>(all: I) -> Self {
        let mut all: Vec<Recorded> = all.into_iter().collect();
        all.sort_by_key(|recorded| recorded.at_us);
        Self { all }
    }
}

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
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn said(at_us: u64, line: &str) -> Recorded {
        Recorded { at_us, who: "lab".into(), what: What::Said { line: line.into() } }
    }

    #[test]
    fn lines_that_arrive_late_stand_where_their_time_puts_them() {
        let mut recording = Recording::default();
        for at_us in [10, 30, 20, 5] {
            recording.push(said(at_us, "x"));
        }
        let times: Vec<u64> = recording.all().iter().map(|recorded| recorded.at_us).collect();
        assert_eq!(times, [5, 10, 20, 30]);
    }

    #[test]
    fn a_saved_recording_is_read_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let recording: Recording = [
            said(1, "begun"),
            Recorded {
                at_us: 2,
                who: "client".into(),
                what: What::Insert {
                    id: 7,
                    sent_us: 1,
                    outcome: Outcome::Error { code: 1290, text: "read only".into() },
                },
            },
        ]
        .into_iter()
        .collect();
        recording.save(&path).unwrap();
        assert_eq!(Recording::load(&path).unwrap(), recording);
    }

    #[test]
    fn a_broken_line_in_a_file_is_named_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        std::fs::write(&path, "{\"at_us\":1,\"who\":\"lab\",\"what\":\"host_down\"}\nnonsense\n").unwrap();
        let told = Recording::load(&path).unwrap_err().to_string();
        assert!(told.contains("line 2"), "{told}");
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
