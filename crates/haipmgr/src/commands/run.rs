//! `haipmgr run`: all that comes before the agent's loop, each step only when the one before it went well.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::serving::until_told_to_stop;
use super::this_host;
use super::timings::{self, Unfit};
use super::vip_prefix;
use super::{ALREADY_RUNNING, BAD_INPUT, refuse, say};
use decide::policy::{VipGateway, VipPolicy};

use crate::config::{self, Cluster, Config, Problems, Source};
use crate::file_writer;
use crate::hooks;
use crate::journal::{Journal, Log};
use crate::lock::{self, Lock, LockError};
use crate::self_protection;

/// How long the end waits for the last lines to reach the log.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Everything the agent's loop needs: the configuration is whole, no other agent runs, the logs are open.
pub(super) struct Prepared {
    /// The configuration, as its file says.
    pub(super) written: Config,
    /// Its clusters as they are to run, each with its log, and whether its server is yet to answer.
    pub(super) to_begin: Vec<(Cluster, Log, bool)>,
    /// The log: [`Journal::reopen`] on SIGHUP, [`Journal::flush`] at the end.
    pub(super) journal: Journal,
    /// Keep it for as long as the agent runs (S4).
    pub(super) lock: Lock,
}

/// Why the agent does not start. Nothing was started or stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The configuration is wrong.
    #[error(transparent)]
    Configuration(#[from] Problems),
    /// A lease that outlives the group's own election.
    #[error("{0}; nothing was started, nothing was stopped")]
    Unfit(#[from] Unfit),
    /// A VIP that this host can't have with its prefix length.
    #[error("{0}; nothing was started, nothing was stopped")]
    Prefix(#[from] vip_prefix::Refused),
    /// Another agent runs, or the lock can't be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The system gives no thread for the log.
    #[error("cannot start a thread for the log: {0}; raise the limit on processes (TasksMax, ulimit -u)")]
    Log(#[source] std::io::Error),
}

/// Loads the configuration, takes the lock, compares the leases with the groups' timings, opens the logs.
///
/// # Errors
/// The first of these that fails.
pub(super) fn prepare(path: &Path) -> Result<Prepared, Refused> {
    let mut config = config::load(path)?;
    let written = config.clone();
    let lock = lock::take(&config)?;
    vip_prefix::fits(&config)?;
    let fitted = timings::fit(&mut config)?;
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
        crate::version::long(),
        std::process::id(),
        config.path.display()
    ));
    for remark in config.remarks.iter().chain(&lock.remarks) {
        everywhere.error(remark);
    }
    if config.source == Source::ParameterPy {
        everywhere.info("the configuration is a parameter.py: the VIP has no lease; haipmgr convert prints the same as TOML");
    }
    for ((cluster, log), lines) in config.clusters.iter().zip(&logs).zip(&fitted.lines) {
        log.info(&in_words(cluster));
        for remark in this_host::remarks(cluster) {
            log.error(&remark);
        }
        for line in lines {
            log.info(line);
        }
    }
    let to_begin = config.clusters.into_iter().zip(logs).enumerate();
    let to_begin = to_begin.map(|(place, (cluster, log))| (cluster, log, fitted.unanswered.contains(&place)));
    Ok(Prepared { written, to_begin: to_begin.collect(), journal, lock })
}

/// One cluster in one line, for the log and for `check`.
pub(super) fn in_words(cluster: &Cluster) -> String {
    let members: Vec<_> = cluster
        .policy
        .group
        .members
        .iter()
        .map(|(member, interface)| format!("{member} ({interface})"))
        .collect();
    let vip = |vip: &VipPolicy| {
        let gateway = match vip.gateway {
            VipGateway::TheClusters => String::new(),
            VipGateway::Own(own) => format!(" (gateway {own})"),
            VipGateway::Nobody => " (gateway none)".to_owned(),
        };
        format!("{}/{}{gateway}", vip.address, vip.prefix_length())
    };
    let vips: Vec<_> = cluster.policy.vips.values().map(vip).collect();
    format!(
        "VIP {} for MySQL port {}{}; members {}; gateway {}; lease {}; checks everything every {}",
        vips.join(", "),
        cluster.mysql_port,
        cluster.group_port.map_or_else(String::new, |port| format!(", group port {port}")),
        members.join(", "),
        cluster.gateway,
        cluster.policy.longest_lease().map_or_else(|| "off".to_owned(), config::format_duration),
        config::format_duration(cluster.policy.group.sleeptime),
    )
}

pub(super) fn run(path: &Path) -> ExitCode {
    match prepare(path) {
        Ok(prepared) => serve(prepared),
        Err(Refused::Configuration(problems)) => refuse(&problems, path),
        Err(refused) => {
            say(&format!("haipmgr: {refused}"));
            match refused {
                Refused::Lock(LockError::Held { .. } | LockError::Named { .. }) => {
                    ExitCode::from(ALREADY_RUNNING)
                }
                Refused::Unfit(_) | Refused::Prefix(_) => ExitCode::from(BAD_INPUT),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Runs the agent until it is told to stop; gives back how the program ends.
fn serve(prepared: Prepared) -> ExitCode {
    let journal = prepared.journal.clone();
    let everywhere = journal.agent();
    everywhere.info(&self_protection::protect().in_words());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Lists of sockets, looks at ports: a hundred clusters may need a hundred threads for a moment, and no longer.
        .thread_keep_alive(Duration::from_secs(1))
        .build();
    let ended = match &runtime {
        Ok(runtime) => runtime.block_on(until_told_to_stop(prepared)),
        Err(error) => Err(format!(
            "the agent does not start (asynchronous runtime): {error}; see the limits on open files and tasks"
        )),
    };
    let status = match ended {
        Ok(told_by) => {
            everywhere.info(&format!("haipmgr ends ({told_by})"));
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
    hooks::wait_for_the_last();
    file_writer::flush(FLUSH_LIMIT);
    journal.flush(FLUSH_LIMIT);
    status
}
