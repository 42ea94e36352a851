//! `haipmgr check` and `haipmgr sql`: what would run, and the account it needs.

use std::path::Path;

use super::run::in_words;
use crate::config::{self, Problems, Source};

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
        text += &format!(
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
        text += &format!("ERROR {remark}\n");
    }
    Ok(text)
}

/// The statements that make each cluster's account. The password is left for the reader to fill in.
pub(super) fn sql(path: &Path) -> Result<String, Problems> {
    let config = config::load(path)?;
    let mut text = String::new();
    for cluster in &config.clusters {
        let account = format!("{}@'%'", quoted(&cluster.user));
        text += &format!(
            "-- Cluster {}: on its primary. Group Replication brings the account to the other members.\n\
             CREATE USER {account} IDENTIFIED BY 'write the password here';\n\
             GRANT SELECT ON performance_schema.* TO {account};\n",
            cluster.name.replace(char::is_control, " "),
        );
    }
    Ok(text)
}

/// A MySQL string literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
