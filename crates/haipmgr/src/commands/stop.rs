//! `haipmgr stop`: ends the agent that runs with this configuration.

use std::path::Path;

use crate::config::{self, Config, Problems};
use crate::control::message::{Answer, Request};
use crate::control::{self, ClientError};

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
    /// It did not do it, in its own words.
    #[error("{0}")]
    Refused(String),
}

/// Has the agent end, with the VIPs left as they are, or given up (`release`), all or one cluster's. Gives its last words.
pub(super) fn stop(path: &Path, release: bool, cluster: Option<String>) -> Result<String, NotStopped> {
    let config = config::load(path)?;
    known(&config, cluster.as_deref())?;
    let request = if release { Request::Release { cluster } } else { Request::Stop };
    match control::ask(&config.control_socket(), &request)? {
        Answer::Done(words) => Ok(words),
        Answer::Failed(words) => Err(NotStopped::Refused(words)),
    }
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
