//! `haipmgr run`: all that comes before the agent's loop, each step only when the one before it went well.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::drains::Drains;
use super::pauses::Pauses;
use super::this_host;
use super::timings::{self, Unfit};
use super::{ALREADY_RUNNING, BAD_INPUT, refuse, say};
use crate::act::address::full_prefix;
use crate::agent::{self, End, NotGivenUp};
use crate::config::{self, Cluster, Config, Problems, Source};
use crate::control::message::{Answer, Request};
use crate::control::{self, Door, Order};
use crate::file_writer;
use crate::journal::{Journal, Log};
use crate::lock::{self, Lock, LockError};
use crate::self_protection;
use crate::service_manager::ServiceManager;

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
    /// A lease that outlives the group's own election.
    #[error("{0}; nothing was started, nothing was stopped")]
    Unfit(#[from] Unfit),
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
pub fn prepare(path: &Path) -> Result<Prepared, Refused> {
    let mut config = config::load(path)?;
    let lock = lock::take(&config)?;
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
    let unanswered = fitted.unanswered.iter();
    let unanswered = unanswered
        .filter_map(|place| Some((config.clusters.get(*place)?.clone(), logs.get(*place)?.clone())));
    timings::look_later(unanswered.collect());
    Ok(Prepared { config, journal, logs, lock })
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
    let vips =
        cluster.policy.vips.values().map(|vip| format!("{}/{}", vip.address, full_prefix(vip.address)));
    let vips: Vec<_> = vips.collect();
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
        Ok(prepared) => serve(&prepared),
        Err(Refused::Configuration(problems)) => refuse(&problems, path),
        Err(refused) => {
            say(&format!("haipmgr: {refused}"));
            match refused {
                Refused::Lock(LockError::Held { .. } | LockError::Named { .. }) => {
                    ExitCode::from(ALREADY_RUNNING)
                }
                Refused::Unfit(_) => ExitCode::from(BAD_INPUT),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Runs the agent until it is told to stop; gives back how the program ends.
fn serve(prepared: &Prepared) -> ExitCode {
    let everywhere = prepared.journal.agent();
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
    file_writer::flush(FLUSH_LIMIT);
    prepared.journal.flush(FLUSH_LIMIT);
    status
}

/// Gives who told it to stop.
async fn until_told_to_stop(prepared: &Prepared) -> Result<String, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot install signal handlers: {error}"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let (stop, stopped) = watch::channel(End::NotYet);
    let clusters = prepared.config.clusters.iter();
    let manager = ServiceManager::from_environment(clusters.map(|cluster| {
        (cluster.name.as_str(), cluster.policy.vips.values().filter_map(|vip| vip.lease).min())
    }));
    let (pauses, pause_orders) = Pauses::begin(&prepared.config);
    let (drains, orders) = Drains::begin(&prepared.config, &prepared.journal.agent(), pause_orders);
    let (doors, questions) = doors(&prepared.config);
    let agent = agent::run(&prepared.config, prepared.logs.clone(), &manager, stopped, orders, questions);
    tokio::pin!(agent);
    let log = prepared.journal.agent();
    let removed = move |text: &str| log.error(text);
    let mut control = match control::Listener::open(&prepared.config.control_socket(), doors, removed) {
        Ok(control) => Some(control),
        Err(error) => {
            prepared.journal.agent().error(&error.to_string());
            None
        }
    };
    let (told_by, order) = loop {
        let next_order = async {
            match &mut control {
                Some(control) => control.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = &mut agent => return ended.map(|_| "its own accord".to_owned()).map_err(|error| error.to_string()),
            _ = terminate.recv() => break ("SIGTERM".to_owned(), None),
            _ = interrupt.recv() => break ("SIGINT".to_owned(), None),
            _ = hang_up.recv() => manager.reload(|| {
                prepared.journal.reopen();
                prepared.journal.agent().info("the log files are reopened (SIGHUP)");
            }),
            order = next_order => match (unknown_cluster(&prepared.config, &order), &order.request) {
                (Some(refusal), _) => order.answer(&Answer::Failed(refusal)).await,
                (None, Request::Drain { .. } | Request::Undrain { .. }) => {
                    prepared.journal.agent().info(&format!("told by {}", in_words_of(&order)));
                    drains.carry_out(order);
                }
                // The listener answers it by itself.
                (None, Request::Status { .. }) => {}
                (None, Request::Pause { .. } | Request::Resume { .. }) => {
                    prepared.journal.agent().info(&format!("told by {}", in_words_of(&order)));
                    pauses.carry_out(order);
                }
                (None, Request::Stop | Request::Release { .. }) => break (in_words_of(&order), Some(order)),
            },
        }
    };
    prepared.journal.agent().info(&format!("told to end by {told_by}"));
    manager.stopping();
    stop.send_replace(match order.as_ref().map(|order| &order.request) {
        Some(Request::Release { cluster }) => End::GiveUp(cluster.clone()),
        _ => End::LeaveVips,
    });
    let ended = agent.await.map_err(|error| error.to_string());
    if let Some(order) = order {
        let words = last_words(&order.request, &ended);
        order.answer(&words).await;
    }
    ended.map(|_| told_by)
}

/// By which each cluster's loop is asked how it is: one question at a time.
fn doors(config: &Config) -> (Vec<Door>, Vec<agent::Questions>) {
    let door = |cluster: &Cluster| {
        let (questions, asked) = mpsc::channel(1);
        (Door { cluster: cluster.name.clone(), questions }, asked)
    };
    config.clusters.iter().map(door).unzip()
}

fn in_words_of(order: &Order) -> String {
    let command = match &order.request {
        Request::Stop => "stop",
        Request::Release { .. } => "stop --release",
        Request::Drain { .. } => "drain",
        Request::Undrain { .. } => "undrain",
        Request::Status { .. } => "status",
        Request::Pause { .. } => "pause",
        Request::Resume { .. } => "resume",
    };
    let cluster = order.request.cluster().map_or_else(String::new, |name| format!(" --cluster {name}"));
    format!("haipmgr {command}{cluster} ({})", order.by)
}

/// The configuration that runs may be another than the one that was asked with.
fn unknown_cluster(config: &Config, order: &Order) -> Option<String> {
    match order.request.cluster() {
        Some(name) if config.clusters.iter().all(|cluster| cluster.name != *name) => Some(format!(
            "the running agent has no cluster {name:?} and goes on: was the configuration changed since it started? Restart it first"
        )),
        _ => None,
    }
}

fn last_words(request: &Request, ended: &Result<NotGivenUp, String>) -> Answer {
    match (ended, request) {
        (Err(error), _) => Answer::Failed(error.clone()),
        (
            Ok(_),
            Request::Stop
            | Request::Drain { .. }
            | Request::Undrain { .. }
            | Request::Pause { .. }
            | Request::Resume { .. }
            | Request::Status { .. },
        ) => Answer::Done("the agent has ended; the VIP stays as it is".to_owned()),
        (Ok(NotGivenUp(held)), Request::Release { .. }) if held.is_empty() => {
            Answer::Done("the VIP is given up, and the agent has ended".to_owned())
        }
        (Ok(NotGivenUp(held)), Request::Release { .. }) => Answer::Failed(format!(
            "the agent has ended, but the VIP of {} may still be here: look at its log and at ip address show",
            held.join(", ")
        )),
    }
}
