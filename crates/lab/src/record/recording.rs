//! A run, in the order of time; kept in memory, and in a file of JSON lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Recorded, What};

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Outcome;
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
}
