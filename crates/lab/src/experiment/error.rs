//! Why an experiment failed.

use std::time::Duration;

use crate::client::NotVerified;
use crate::fault::FaultError;
use crate::group::GroupError;
use crate::record::RecordError;
use crate::report::csv::NotWritten;
use crate::report::timeline::NotDrawn;
use crate::scenario::ScenarioError;

/// Why an experiment failed.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The lab failed, or the VIP is not where it belongs.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The group failed.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A fault could not be done or undone.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A witness could not be started.
    #[error("the witness {what} on {host} does not start: {cause}")]
    Witness {
        /// The host.
        host: String,
        /// Which one.
        what: &'static str,
        /// Why.
        cause: std::io::Error,
    },
    /// The hosts' addresses can't be watched.
    #[error("the hosts' addresses can't be watched: {0}")]
    Addresses(std::io::Error),
    /// The client does not write.
    #[error("{moment}: no quiet stretch of inserts was acknowledged within {} s. {group}", limit.as_secs())]
    NoWrites {
        /// When that was.
        moment: &'static str,
        /// How long was waited.
        limit: Duration,
        /// What the servers say.
        group: String,
    },
    /// What the lab itself told did not reach the recording.
    #[error("the recording has not taken in what was done: its thread has ended or hangs")]
    NothingRecorded,
    /// The rows could not be looked for.
    #[error(transparent)]
    NotVerified(#[from] NotVerified),
    /// The recording could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The figures could not be written.
    #[error(transparent)]
    Figures(#[from] NotWritten),
    /// The picture could not be written.
    #[error(transparent)]
    Picture(#[from] NotDrawn),
    /// A file or folder could not be made.
    #[error("{path}: {cause}")]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// Why.
        cause: std::io::Error,
    },
}

impl ExperimentError {
    /// Whether the lab is well, and it is the agents that did not bring the VIP where it belongs.
    pub fn is_no_recovery(&self) -> bool {
        matches!(self, Self::NoWrites { .. } | Self::Scenario(ScenarioError::VipNotOnPrimary { .. }))
    }
}
