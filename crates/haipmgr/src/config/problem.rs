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

/// Finds positions in one text.
pub(super) struct Lines<'t> {
    text: &'t str,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text }
    }

    /// The position of the byte at `offset`; past the end, the end.
    pub(super) fn position(&self, offset: usize) -> Position {
        let mut before = self.text;
        if let Some((head, _)) =
            (0..=offset.min(self.text.len())).rev().find_map(|at| self.text.split_at_checked(at))
        {
            before = head;
        }
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
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
        self.list.push(Problem { file: self.file.clone(), at: at.into(), text: text.into() });
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

/// `, did you mean "…"?` where a known word is near, else a list of what there is.
pub(super) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str> + Clone) -> String {
    let near = known
        .clone()
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 2).clamp(1, 4));
    match near {
        Some((_, candidate)) => format!("did you mean \"{candidate}\"?"),
        None => format!("known are: {}", known.collect::<Vec<_>>().join(", ")),
    }
}
