//! Doors for `fuzz/`: a configuration file's content, as the agent reads it.

use std::path::Path;
use std::time::Duration;

use super::load::{finish, understand};
use super::{Cluster, Password, Problems, Source, convert, duration, password};

/// What a file of this content says, all but what is to be looked up on the host; a password that is in another place is
/// empty.
///
/// # Errors
/// All that is wrong with it.
pub fn configuration(source: Source, content: &[u8]) -> Result<Vec<Cluster>, Problems> {
    let (loaded, problems) = understand(Path::new("/fuzz"), source, content)?;
    let clusters = loaded.drafts.into_iter().filter_map(|draft| {
        let password = draft.password.as_ref().map_or("", |password| password.as_str()).to_owned();
        finish(draft, Some(Password::new(password)))
    });
    problems.or(clusters.collect())
}

/// The TOML that says what a `parameter.py` of this content says.
///
/// # Errors
/// All that is wrong with it.
pub fn converted(content: &[u8]) -> Result<String, Problems> {
    let path = Path::new("/fuzz/parameter.py");
    let (loaded, problems) = understand(path, Source::ParameterPy, content)?;
    convert::text_of(path, &loaded, problems)
}

/// The password that a password file of this content holds.
///
/// # Errors
/// In words.
pub fn password(content: &[u8]) -> Result<Password, String> {
    password::first_line(content, Path::new("/fuzz")).map_err(|error| error.to_string())
}

/// A length of time.
///
/// # Errors
/// In words.
pub fn length_of_time(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}

/// The passwords that stand in a file of this content, whatever else is wrong with it.
pub fn passwords(source: Source, content: &[u8]) -> Vec<String> {
    let read = understand(Path::new("/fuzz"), source, content);
    let drafts = read.map(|(loaded, _)| loaded.drafts).unwrap_or_default();
    drafts.into_iter().filter_map(|draft| draft.password.map(|password| password.to_string())).collect()
}
