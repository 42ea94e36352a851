//! The value that `group_replication_member_expel_timeout` is to be put back to, on disk for as long as it is changed: RESTORED also
//! where the agent is killed meanwhile.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::ExpelError;

/// Longest content of the file, in bytes.
const LONGEST: u64 = 32;

/// The value to be put back, on disk.
pub(super) struct KeptValue {
    pub(super) file: PathBuf,
}

impl KeptValue {
    pub(super) fn read(&self) -> Result<Option<u32>, ExpelError> {
        match File::open(&self.file).and_then(kept_in) {
            Ok(value) => Ok(Some(value)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Whole and on disk when this returns, or not there.
    pub(super) fn write(&self, value: u32) -> Result<(), ExpelError> {
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let unfinished = self.file.with_file_name(format!(".{name}.new"));
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(format!("{value}\n").as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&unfinished, &self.file)?;
            self.sync_folder()
        };
        write().map_err(|cause| self.failed(cause))
    }

    pub(super) fn remove(&self) -> Result<(), ExpelError> {
        match std::fs::remove_file(&self.file).and_then(|()| self.sync_folder()) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(self.failed(cause)),
            _ => Ok(()),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(self.file.parent().unwrap_or(Path::new("/")))?.sync_all()
    }

    fn failed(&self, cause: io::Error) -> ExpelError {
        ExpelError::File { file: self.file.clone(), cause }
    }
}

/// The value that a file holds; an error where it holds anything else.
pub(crate) fn kept_in(file: impl io::Read) -> io::Result<u32> {
    let mut text = String::new();
    // One byte more tells a longer file, of which a part would be another number.
    let length = file.take(LONGEST + 1).read_to_string(&mut text)?;
    let value =
        text.trim().parse().ok().filter(|value| (1..=3600).contains(value) && length as u64 <= LONGEST);
    value.ok_or_else(|| {
        io::Error::other("it holds no number from 1 to 3600; set the variable by hand and remove the file")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_value_is_on_disk_until_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptValue { file: folder.path().join("expel_timeout_3306") };
        assert_eq!(kept.read().unwrap(), None);
        kept.write(5).unwrap();
        assert_eq!(kept.read().unwrap(), Some(5));
        kept.remove().unwrap();
        kept.remove().unwrap();
        assert_eq!(kept.read().unwrap(), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_holds_no_such_value_is_told_and_not_guessed() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptValue { file: folder.path().join("expel_timeout_3306") };
        let longer = format!("{:>32}00", 36);
        for content in ["", "0\n", "3601\n", "five", &longer] {
            std::fs::write(&kept.file, content).unwrap();
            assert!(kept.read().unwrap_err().to_string().contains("expel_timeout_3306"));
        }
    }
}
