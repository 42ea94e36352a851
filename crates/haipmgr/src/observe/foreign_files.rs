//! Files of other programs, read with care: any of them may be missing, huge, or no text.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of a folder, by name; at most this many. None where there is no such folder.
pub(crate) fn files_in(folder: &Path, at_most: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).take(at_most).collect();
    files.sort();
    files
}

/// What is in it. None where it is not there, no plain file, no text, or longer than so many bytes.
pub(crate) fn read(path: &Path, longest: u64) -> Option<String> {
    let about = fs::metadata(path).ok()?;
    if about.is_file() && about.len() <= longest { fs::read_to_string(path).ok() } else { None }
}
