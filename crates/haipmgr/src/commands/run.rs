//! `haipmgr run`: all that comes before the agent's loop, each step only when the one before it went well.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::{ALREADY_RUNNING, refuse, say};
use crate::config::{self, Cluster, Config, Problems, Source};
use crate::journal::{Journal, Log};
use crate::lock::{self, Lock, LockError};

/// Everything the agent's loop needs: the configuration is whole, no other agent runs, the logs are open.
pub struct Prepared {
    /// The configuration.
    pub config: Config,
    /// The log: [`Journal::reopen`] on SIGHUP, [`Journal::flush`] at the end.
    pub journal: Journal,
    /// One log for each of `config.clusters`, in the same order.
    pub logs: Vec<Log>,
    /// Keep it for as long as the agent runs (S4).
    pub lock: Lock,
}

/// Why the agent does not start. Nothing was started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The configuration is wrong.
    #[error(transparent)]
    Configuration(#[from] Problems),
    /// Another agent runs, or the lock can't be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The system gives no thread for the log.
    #[error(
        "the system gives no thread for the log: {0}; raise the limit on processes (TasksMax, ulimit -u)"
    )]
    Log(#[source] std::io::Error),
}

/// Loads the configuration, takes the lock, opens the logs.
///
/// # Errors
/// The first of these that fails.
pub fn prepare(path: &Path) -> Result<Prepared, Refused> {
    let config = config::load(path)?;
    let lock = lock::take(&config.lock)?;
    let journal = Journal::start().map_err(Refused::Log)?;
    let logs = config
        .clusters
        .iter()
        .map(|cluster| journal.cluster(&cluster.name, &cluster.log_file()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Refused::Log)?;
    let everywhere = journal.agent();
    everywhere.info(&format!(
        "haipmgr {} starts as process {} with {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        config.path.display()
    ));
    for remark in config.remarks.iter().chain(&lock.remark) {
        everywhere.error(remark);
    }
    if config.source == Source::ParameterPy {
        everywhere.info("the configuration is a parameter.py: the VIP has no lifetime; haipmgr convert prints the same as TOML");
    }
    for (cluster, log) in config.clusters.iter().zip(&logs) {
        log.info(&in_words(cluster));
    }
    Ok(Prepared { config, journal, logs, lock })
}

/// One cluster in one line, for the log and for `check`.
pub(super) fn in_words(cluster: &Cluster) -> String {
    let members: Vec<_> =
        cluster.policy.members.iter().map(|(member, card)| format!("{member} ({card})")).collect();
    format!(
        "VIP {}/{} for MySQL port {}, group port {}; members {}; gateway {}; lease {}; looks anew each {}",
        cluster.policy.vip,
        cluster.prefix,
        cluster.mysql_port,
        cluster.group_port,
        members.join(", "),
        cluster.gateway,
        cluster.policy.lease.map_or_else(|| "off".to_owned(), config::format_duration),
        config::format_duration(cluster.policy.sleeptime),
    )
}

pub(super) fn run(path: &Path) -> ExitCode {
    match prepare(path) {
        // The agent's loop takes over here: it is handed `prepared`, and gives back how the program ends.
        Ok(prepared) => {
            prepared.journal.agent().error("this build ends here: the agent's loop is not in it");
            prepared.journal.flush(Duration::from_secs(2));
            ExitCode::FAILURE
        }
        Err(Refused::Configuration(problems)) => refuse(&problems, path),
        Err(refused) => {
            say(&format!("haipmgr: {refused}"));
            match refused {
                Refused::Lock(LockError::Held { .. }) => ExitCode::from(ALREADY_RUNNING),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
