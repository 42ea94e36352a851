//! What is wrong with a configuration file, where, and what to write instead.

use core::fmt;
use std::path::{Path, PathBuf};

/// A place in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// Characters are counted anew from the last multiple of this many bytes.
const COUNTED_EVERY: usize = 256;

/// Finds positions in one text, in a time that does not grow with its lines: a file may be one long line.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// The byte at which each line begins.
    starts: Vec<usize>,
    /// How many characters begin before each multiple of [`COUNTED_EVERY`].
    counted: Vec<usize>,
}

/// How many characters begin in these bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let starts = core::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let counted = text
            .as_bytes()
            .chunks(COUNTED_EVERY)
            .scan(0, |before, chunk| Some(std::mem::replace(before, *before + characters(chunk))))
            .collect();
        Self { text, starts, counted }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let chunk = offset / COUNTED_EVERY;
        match self.counted.get(chunk) {
            Some(before) => {
                let rest = self.text.as_bytes().get(chunk * COUNTED_EVERY..offset);
                before + characters(rest.unwrap_or_default())
            }
            None => characters(self.text.as_bytes()),
        }
    }

    /// The position of the byte at `offset`; past the end, the end.
    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.characters_before(offset) - self.characters_before(start);
        Position { line, column: column + 1 }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where in it; none where it concerns the file as a whole.
    pub at: Option<Position>,
    /// What is wrong and what to write instead. Holds no password.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.at {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.text)
    }
}

/// Everything that is wrong with a file: never empty where it is returned as an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
}

/// Nobody reads more problems than this; a file that is no configuration at all could have millions.
const MOST: usize = 1000;

impl Problems {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), list: Vec::new() }
    }

    /// One problem, of the file as a whole.
    pub(super) fn of_file(file: &Path, text: impl Into<String>) -> Self {
        let mut problems = Self::new(file);
        problems.add(None, text);
        problems
    }

    pub(super) fn add(&mut self, at: impl Into<Option<Position>>, text: impl Into<String>) {
        if !self.are_enough() {
            self.list.push(Problem { file: self.file.clone(), at: at.into(), text: text.into() });
        }
    }

    /// No more are kept.
    pub(super) fn are_enough(&self) -> bool {
        self.list.len() >= MOST
    }

    /// Them all, in the order of their lines.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// `value` if nothing was found to be wrong.
    pub(super) fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.list.is_empty() {
            return Ok(value);
        }
        self.list.sort_by_key(|problem| problem.at);
        Err(self)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// A word longer than this, in bytes, is no slip of the pen, and costly to compare.
const LONGEST_WORD: usize = 64;

/// The known word that `word` was probably meant to be.
pub(super) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    known
        .filter(|_| word.len() <= LONGEST_WORD)
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 2).clamp(1, 4))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_and_columns_are_those_that_an_editor_counts(text in "[aé\n]{0,700}", at in 0_usize..800) {
            let before: String =
                text.char_indices().take_while(|(begins, _)| *begins < at).map(|(_, c)| c).collect();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            prop_assert_eq!(Lines::new(&text).position(at), Position { line, column });
        }
    }
}
