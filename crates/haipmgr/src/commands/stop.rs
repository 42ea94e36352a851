//! `haipmgr stop`: ends the agent that runs with this configuration.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::config::{self, Config, Problems};
use crate::control::message::{Answer, Request};
use crate::control::{self, ClientError, Patience};
use crate::lock;

/// An agent whose socket was removed makes it anew within a second.
const SOCKET_ANEW_WITHIN: Duration = Duration::from_secs(3);
/// An agent ends within two seconds of SIGTERM.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why the agent was not stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStopped {
    /// The configuration is wrong.
    #[error(transparent)]
    Configuration(#[from] Problems),
    /// There is no such cluster.
    #[error("there is no cluster {wanted:?} in {file}; there is: {known}")]
    NoSuchCluster {
        /// What was asked for.
        wanted: String,
        /// The configuration.
        file: String,
        /// Their names.
        known: String,
    },
    /// The agent can't be asked.
    #[error(transparent)]
    Control(#[from] ClientError),
    /// It runs, and what it is asked by is gone.
    #[error(
        "the agent runs as process {pid} (it holds {lock}), but its socket {socket} is gone: was its folder cleared? {left}"
    )]
    NoSocket {
        /// The agent's process.
        pid: i32,
        /// By which it was found.
        lock: String,
        /// Where it should listen.
        socket: String,
        /// What can still be done.
        left: String,
    },
    /// It did not do it, in its own words.
    #[error("{0}")]
    Refused(String),
}

/// Has the agent end, with the VIPs left as they are, or given up (`release`), all or one cluster's. Gives its last words.
pub(super) fn stop(path: &Path, release: bool, cluster: Option<String>) -> Result<String, NotStopped> {
    let config = config::load_to_read(path)?;
    known(&config, cluster.as_deref())?;
    let request = if release { Request::Release { cluster } } else { Request::Stop };
    match control::ask(&config.control_socket(), &request, Patience::ORDER) {
        Err(nobody @ ClientError::NobodyThere(_)) => match lock::holder(&config) {
            Some(holder) => stop_without_socket(&config, &request, holder),
            None => Err(nobody.into()),
        },
        answer => in_words(answer?),
    }
}

fn in_words(answer: Answer) -> Result<String, NotStopped> {
    match answer {
        Answer::Done(words) => Ok(words),
        Answer::Failed(words) => Err(NotStopped::Refused(words)),
        Answer::Status(_) | Answer::Reload(_) => {
            Err(NotStopped::Refused("the agent answered what was not asked for".to_owned()))
        }
    }
}

/// The socket is gone, and the agent, found by its lock, is not: it makes its socket anew within a moment, or is an older version
/// and never does. That can be ended by SIGTERM, which says the same as `stop`.
fn stop_without_socket(
    config: &Config,
    request: &Request,
    (pid, lock): (i32, PathBuf),
) -> Result<String, NotStopped> {
    let socket = config.control_socket();
    let happened = format!(
        "{} was gone, perhaps with its whole folder; the agent was found by {} (process {pid})",
        socket.display(),
        lock.display()
    );
    let since = Instant::now();
    while since.elapsed() < SOCKET_ANEW_WITHIN {
        std::thread::sleep(LOOK_EVERY);
        match control::ask(&socket, request, Patience::ORDER) {
            Err(ClientError::NobodyThere(_)) => {}
            answer => return in_words(answer?).map(|words| format!("{happened}: {words}")),
        }
    }
    let cannot = |left: &str| NotStopped::NoSocket {
        pid,
        lock: lock.display().to_string(),
        socket: socket.display().to_string(),
        left: left.replace("PID", &pid.to_string()),
    };
    if !matches!(request, Request::Stop) {
        return Err(cannot(
            "It can't be told to give the VIP up; kill PID ends it and leaves the VIP, then type: ip address del",
        ));
    }
    let signalled = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGTERM);
    signalled
        .map_err(|cause| cannot(&format!("It can't be sent SIGTERM: {cause}; type as root: kill PID")))?;
    while since.elapsed() < ENDED_WITHIN {
        if lock::holder(config).is_none() {
            return Ok(format!("{happened} and ended with SIGTERM; the VIP stays as it is"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(cannot(
        "It was sent SIGTERM and has not ended; kill -9 PID ends it, and the VIP then ends with its lease",
    ))
}

fn known(config: &Config, wanted: Option<&str>) -> Result<(), NotStopped> {
    let names: Vec<_> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    match wanted {
        Some(wanted) if !names.contains(&wanted) => Err(NotStopped::NoSuchCluster {
            wanted: wanted.to_owned(),
            file: config.path.display().to_string(),
            known: names.join(", "),
        }),
        _ => Ok(()),
    }
}
