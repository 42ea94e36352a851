//! `stat_<port>` (S6): one character for the company's monitor.
//!
//! Written in place, so that a reader at any moment finds exactly one character; a new file appears whole.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use decide::output::StatMark;

/// The file can't be written or read. Nothing stops for it.
#[derive(Debug, thiserror::Error)]
pub enum StatFileError {
    /// A symbolic link stands in its place: following it would let whoever made it choose the file that is written.
    #[error("the state file {} is a symbolic link; remove it", .0.display())]
    SymbolicLink(PathBuf),
    /// Something that is no plain file stands in its place.
    #[error("the state file {} is not a plain file; remove it", .0.display())]
    NotAPlainFile(PathBuf),
    /// The system refused.
    #[error("the state file {} can't be {attempt}: {cause}; a monitor may read an old value until that is corrected", file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// "written" or "read".
        attempt: &'static str,
        /// Why.
        cause: io::Error,
    },
}

/// Longest content that is looked at, in bytes.
const LONGEST: u64 = 8;

/// One cluster's state file.
#[derive(Clone, Debug)]
pub struct StatFile {
    path: PathBuf,
    /// What it holds as far as is known.
    mark: Option<StatMark>,
}

impl StatFile {
    /// The state file at `path`; nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), mark: None }
    }

    /// Writes `mark`, and with it the time of the change.
    ///
    /// # Errors
    /// The file can't be written, or is not one that may be.
    pub fn write(&mut self, mark: StatMark) -> Result<(), StatFileError> {
        self.mark = Some(mark);
        let text = mark.character().to_string();
        let mut options = File::options();
        match self.open(options.write(true), "written")? {
            Some(file) => file.write_all_at(text.as_bytes(), 0).and_then(|()| file.set_len(1)),
            None => self.create(&text),
        }
        .map_err(|cause| self.refused("written", cause))
    }

    /// What the file holds and for how long it has; none where there is none, or where it holds anything else.
    ///
    /// # Errors
    /// The file is there and can't be read.
    pub fn read(&mut self) -> Result<Option<(StatMark, Duration)>, StatFileError> {
        let mut options = File::options();
        let Some(file) = self.open(options.read(true), "read")? else { return Ok(None) };
        let read = mark_in(&file).and_then(|mark| Ok((mark, file.metadata()?.modified()?)));
        let (mark, modified) = match read {
            Ok((Some(mark), modified)) => (mark, modified),
            Ok((None, _)) => return Ok(None),
            Err(cause) => return Err(self.refused("read", cause)),
        };
        self.mark = Some(mark);
        // A time to come means that the wall clock was set back: the mark is then taken for new.
        Ok(Some((mark, modified.elapsed().unwrap_or(Duration::ZERO))))
    }

    /// Writes it anew where somebody has removed it.
    ///
    /// # Errors
    /// It can't be written.
    pub fn put_back(&mut self) -> Result<(), StatFileError> {
        match self.mark {
            Some(mark) if !self.path.exists() => self.write(mark),
            _ => Ok(()),
        }
    }

    fn open(
        &self,
        options: &mut std::fs::OpenOptions,
        attempt: &'static str,
    ) -> Result<Option<File>, StatFileError> {
        let opened = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&self.path);
        let file = match opened {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) if cause.raw_os_error() == Some(libc::ELOOP) => {
                return Err(StatFileError::SymbolicLink(self.path.clone()));
            }
            Err(cause) => return Err(self.refused(attempt, cause)),
        };
        let metadata = file.metadata().map_err(|cause| self.refused(attempt, cause))?;
        if metadata.is_file() { Ok(Some(file)) } else { Err(StatFileError::NotAPlainFile(self.path.clone())) }
    }

    fn create(&self, text: &str) -> io::Result<()> {
        let unfinished = self.unfinished();
        match std::fs::remove_file(&unfinished) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(0o644).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&unfinished, &self.path)
    }

    fn unfinished(&self) -> PathBuf {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.path.with_file_name(format!(".{name}.new"))
    }

    fn refused(&self, attempt: &'static str, cause: io::Error) -> StatFileError {
        StatFileError::Refused { file: self.path.clone(), attempt, cause }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The mark that a file holds; none where it holds anything else.
pub(crate) fn mark_in(file: impl Read) -> io::Result<Option<StatMark>> {
    let mut text = String::new();
    // People who looked with an editor may have left a line end. One byte more tells a longer file, of which a part
    // would be a mark.
    match file.take(LONGEST + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > LONGEST => return Ok(None),
        Ok(_) => {}
        Err(cause) if cause.kind() == io::ErrorKind::InvalidData => return Ok(None),
        Err(cause) => return Err(cause),
    }
    Ok(match text.trim_end() {
        "0" => Some(StatMark::Stopped),
        "1" => Some(StatMark::Quiet),
        "2" => Some(StatMark::Started),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::SystemTime;

    use super::*;

    fn stat_file() -> (tempfile::TempDir, StatFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = StatFile::new(folder.path().join("stat_3306"));
        (folder, file)
    }

    #[test]
    fn s6_a_reader_at_any_moment_finds_exactly_one_character() {
        let (_folder, mut file) = stat_file();
        file.write(StatMark::Quiet).unwrap();
        let done = AtomicBool::new(false);
        let path = file.path().to_owned();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for mark in
                    [StatMark::Started, StatMark::Quiet, StatMark::Stopped].into_iter().cycle().take(20_000)
                {
                    file.write(mark).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let content = std::fs::read_to_string(&path).unwrap();
                assert!(["0", "1", "2"].contains(&content.as_str()), "{content:?}");
            }
        });
    }

    #[test]
    fn s6_what_was_written_before_a_restart_is_known_with_its_age() {
        let (_folder, mut file) = stat_file();
        assert_eq!(file.read().unwrap(), None);
        file.write(StatMark::Started).unwrap();
        let opened = File::options().write(true).open(file.path()).unwrap();
        opened.set_modified(SystemTime::now() - Duration::from_mins(1)).unwrap();
        let (mark, age) = file.read().unwrap().unwrap();
        assert_eq!(mark, StatMark::Started);
        assert!(age >= Duration::from_mins(1) && age < Duration::from_secs(90), "{age:?}");
        opened.set_modified(SystemTime::now() + Duration::from_mins(10)).unwrap();
        assert_eq!(file.read().unwrap(), Some((StatMark::Started, Duration::ZERO)));
    }

    #[test]
    fn s6_whatever_else_is_in_the_file_becomes_one_character() {
        let (_folder, mut file) = stat_file();
        for content in ["", "1\n", "nonsense", "\u{fffd}"] {
            std::fs::write(file.path(), content).unwrap();
            let _known_or_not = file.read().unwrap();
            file.write(StatMark::Stopped).unwrap();
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "0");
        }
    }

    #[test]
    fn s6_a_longer_file_that_begins_like_a_mark_is_none() {
        assert_eq!(mark_in(&b"2\n"[..]).unwrap(), Some(StatMark::Started));
        assert_eq!(mark_in(&b"2        and more"[..]).unwrap(), None);
    }

    #[test]
    fn s6_a_removed_file_is_put_back_with_what_it_held() {
        let (_folder, mut file) = stat_file();
        file.write(StatMark::Started).unwrap();
        std::fs::remove_file(file.path()).unwrap();
        file.put_back().unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "2");
    }

    #[test]
    fn a_symbolic_link_in_its_place_is_not_followed() {
        let (folder, mut file) = stat_file();
        let target = folder.path().join("precious");
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, file.path()).unwrap();
        assert!(matches!(file.write(StatMark::Quiet), Err(StatFileError::SymbolicLink(_))));
        assert!(matches!(file.read(), Err(StatFileError::SymbolicLink(_))));
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_that_names_the_file() {
        let mut file = StatFile::new("/proc/none/stat_3306");
        assert!(file.write(StatMark::Quiet).unwrap_err().to_string().contains("/proc/none/stat_3306"));
    }
}
