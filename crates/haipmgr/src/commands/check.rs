//! `haipmgr check` and `haipmgr sql`: what would run, and the account it needs.

use core::fmt::Write as _;
use std::path::Path;

use super::run::in_words;
use crate::config::{self, Problems, Source};
use crate::server_access::account::{account_sql, election_sql};

/// What `run` would do with this file.
pub(super) fn check(path: &Path) -> Result<String, Problems> {
    let config = config::load(path)?;
    let kind = match config.source {
        Source::Toml => "TOML",
        Source::ParameterPy => "a parameter.py",
    };
    let mut text =
        format!("{}: {kind}, nothing is wrong with it\nlock: {}\n", path.display(), config.lock.display());
    for cluster in &config.clusters {
        let _never_fails = write!(
            text,
            "[{}] {}\n  asks as {} by {}\n  log:  {}\n  stat: {} (back to 1 after {})\n",
            cluster.name,
            in_words(cluster),
            cluster.user,
            cluster.socket.as_ref().map_or_else(|| "TCP".to_owned(), |socket| socket.display().to_string()),
            cluster.log_file().display(),
            cluster.stat_file().display(),
            config::format_duration(cluster.stat_shown_for()),
        );
    }
    for remark in &config.remarks {
        let _never_fails = writeln!(text, "ERROR {remark}");
    }
    Ok(text)
}

/// The statements that make each cluster's account. The password is left for the reader to fill in.
pub(super) fn sql(path: &Path) -> Result<String, Problems> {
    let config = config::load(path)?;
    let mut text = String::new();
    for cluster in &config.clusters {
        let _never_fails = write!(
            text,
            "-- Cluster {}: on its primary. Group Replication brings the account to the other members.\n{}\
             -- So that a dead member is expelled on time (wake_election, proven_dead): three procedures, which run with the\n\
             -- rights of an account that nobody can log in as. MySQL 8.0.18 or later; leave them out and all else works.\n{}",
            cluster.name.replace(char::is_control, " "),
            account_sql(&cluster.user),
            election_sql(&cluster.user),
        );
    }
    Ok(text)
}
