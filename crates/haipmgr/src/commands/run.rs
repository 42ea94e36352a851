//! `haipmgr run`: all that comes before the agent's loop, each step only when the one before it went well.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{ALREADY_RUNNING, refuse, say};
use crate::agent;
use crate::config::{self, Cluster, Config, Problems, Source};
use crate::journal::{Journal, Log};
use crate::lock::{self, Lock, LockError};

/// How long the end waits for the last lines to reach the log.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

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
        Ok(prepared) => serve(&prepared),
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

/// Runs the agent until it is told to stop; gives back how the program ends.
fn serve(prepared: &Prepared) -> ExitCode {
    let everywhere = prepared.journal.agent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match &runtime {
        Ok(runtime) => runtime.block_on(until_told_to_stop(prepared)),
        Err(error) => Err(format!("the asynchronous runtime does not start: {error}")),
    };
    let status = match ended {
        Ok(signal) => {
            everywhere.info(&format!("haipmgr ends on {signal}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            everywhere.error(&error);
            ExitCode::FAILURE
        }
    };
    if let Ok(runtime) = runtime {
        // Questions to servers may be under way in threads; nobody needs their answers.
        runtime.shutdown_background();
    }
    prepared.journal.flush(FLUSH_LIMIT);
    status
}

async fn until_told_to_stop(prepared: &Prepared) -> Result<&'static str, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("signals can't be listened to: {error}"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let (stop, stopped) = watch::channel(false);
    let agent = agent::run(&prepared.config, prepared.logs.clone(), stopped);
    tokio::pin!(agent);
    let name = loop {
        tokio::select! {
            ended = &mut agent => return ended.map(|()| "its own accord").map_err(|error| error.to_string()),
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
            _ = hang_up.recv() => {
                prepared.journal.reopen();
                prepared.journal.agent().info("the log files are opened anew (SIGHUP)");
            }
        }
    };
    stop.send_replace(true);
    agent.await.map(|()| name).map_err(|error| error.to_string())
}
