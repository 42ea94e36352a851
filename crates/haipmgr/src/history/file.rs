//! The history's file: one line each, put aside when it has grown large, and read with whatever is broken in it skipped and counted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::record::{FORMAT, Record};
use crate::trace_file::is_cut_short;

/// Bytes, some two thousand switches; one older file of this size is kept beside it.
const SIZE_LIMIT: u64 = 1 << 20;
/// No more of a file than this is read: it is not longer, unless somebody else wrote it.
const READ_LIMIT: u64 = 4 * SIZE_LIMIT;

/// What the files of one cluster hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadHistory {
    /// The lines, the oldest first.
    pub records: Vec<Record>,
    /// Lines that are none of the history: cut short, or foreign.
    pub broken: usize,
    /// Lines of a later format.
    pub newer: usize,
}

/// A history can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}; run it as root, or as the user that the agent runs as")]
pub struct UnreadableHistory {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub cause: io::Error,
}

/// Adds a line. A file that has grown past its limit is put aside first.
///
/// # Errors
/// The system's; the line is lost then.
pub fn append(path: &Path, record: &Record) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() > SIZE_LIMIT) {
        fs::rename(path, older(path))?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let mut line = Vec::new();
    if is_cut_short(&file)? {
        line.push(b'\n');
    }
    serde_json::to_writer(&mut line, record)?;
    line.push(b'\n');
    // In one piece, so that a reader sees all of it or nothing.
    file.write_all(&line)
}

/// Reads the history at this path and the older part beside it. Files that are not there hold nothing.
///
/// # Errors
/// One is there and can't be read.
pub fn read(path: &Path) -> Result<ReadHistory, UnreadableHistory> {
    let mut history = ReadHistory::default();
    for path in [older(path), path.to_owned()] {
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(READ_LIMIT).read_to_end(&mut bytes)) {
            Ok(_) => history.take_in(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(UnreadableHistory { path, cause }),
        }
    }
    Ok(history)
}

impl ReadHistory {
    /// What a file of this content holds.
    pub(crate) fn of(content: &[u8]) -> Self {
        let mut history = Self::default();
        history.take_in(content);
        history
    }

    fn take_in(&mut self, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Record>(line) {
                Ok(record) if record.format == FORMAT && record.time().is_some() => self.records.push(record),
                _ if is_newer(line) => self.newer += 1,
                _ => self.broken += 1,
            }
        }
    }
}

fn is_newer(line: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Heading {
        format: u32,
    }
    serde_json::from_slice::<Heading>(line).is_ok_and(|heading| heading.format > FORMAT)
}

fn older(path: &Path) -> PathBuf {
    let mut older = path.as_os_str().to_owned();
    older.push(".1");
    older.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use decide::history::Kind;

    use super::super::record::{By, How};
    use super::*;

    fn record(number: usize) -> Record {
        Record {
            format: FORMAT,
            id: format!("3306-{number}"),
            kind: Kind::Came,
            code: "SWITCHOVER".to_owned(),
            at: "2026-11-29T01:30:12.345+00:00".to_owned(),
            cluster: "orders".to_owned(),
            vip: [10, 77, 0, 100].into(),
            role: None,
            from: None,
            to: None,
            by: By { how: How::Automatic, who: None, reason: None },
            sentence: "a sentence ".repeat(50),
            outage: None,
            seen: Vec::new(),
            trace_us: 1,
        }
    }

    fn here() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history_3306.jsonl");
        (folder, path)
    }

    #[test]
    fn a_history_takes_no_more_than_two_files_of_a_mebibyte_whatever_happens() {
        let (folder, path) = here();
        for number in 0..5_000 {
            append(&path, &record(number)).unwrap();
        }
        let sizes: Vec<u64> = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 2, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size <= SIZE_LIMIT + 2_000), "{sizes:?}");
        let read = read(&path).unwrap();
        assert_eq!((read.broken, read.newer), (0, 0));
        assert_eq!(read.records.last().unwrap().id, "3306-4999", "the newest is last");
        assert!(read.records.len() > 1_000);
    }

    #[test]
    fn what_is_cut_off_or_foreign_or_of_a_later_version_is_skipped_and_counted() {
        let (_folder, path) = here();
        fs::write(
            &path,
            b"\xff\xfe\x00 no line\n{\"format\":1}\n{\"format\":2,\"new\":true}\n{\"format\":1,\"id\":\"cut",
        )
        .unwrap();
        append(&path, &record(7)).unwrap();
        let read = read(&path).unwrap();
        assert_eq!(read.records, [record(7)], "the line after the one that was cut off is whole");
        assert_eq!((read.broken, read.newer), (3, 1));
    }

    #[test]
    fn a_history_that_is_not_there_is_empty_and_one_that_is_a_folder_is_an_error_that_names_it() {
        let (folder, path) = here();
        assert_eq!(read(&path).unwrap(), ReadHistory::default());
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    }
}
