//! What an agent answers who is asked how it is: each cluster's [`Status`], and the agent's own facts.

use decide::status::Status;
use serde::{Deserialize, Serialize};

/// One agent, with each of its clusters or those that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How long it has been running, in milliseconds.
    pub up_ms: u64,
    /// Its clusters, in the order of its configuration.
    pub clusters: Vec<ClusterReport>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterReport {
    /// Its name.
    pub name: String,
    /// How it is.
    pub told: Told,
}

/// How a cluster is, by the word of its loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Its loop answered.
    Status(Box<Status>),
    /// Its loop did not, for this reason.
    Silent(String),
}
