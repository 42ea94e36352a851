//! What was seen of one cluster, as data. No IO.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use decide::status::Status;
use wire::Mac;

pub(crate) use crate::server_access::agent_shown::AgentShown;
pub(crate) use crate::switchover::member::{Known, Row};

/// One cluster, from every source that could be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Its name.
    pub(crate) cluster: String,
    /// Its VIPs.
    pub(crate) vips: Vec<IpAddr>,
    /// Those of them that are for readers.
    pub(crate) readers: BTreeSet<IpAddr>,
    /// Which member this host is; none: no member.
    pub(crate) own: Option<IpAddr>,
    /// Each member's server, in the order of `members`.
    pub(crate) servers: Vec<Server>,
    /// The agent of this host.
    pub(crate) agent: Agent,
    /// VIPs on this host.
    pub(crate) kernel: Known<Vec<OnThisHost>>,
    /// What each VIP and member was answered with on the segment, of those that could be asked for; why, where none could.
    pub(crate) segment: Known<BTreeMap<IpAddr, Answers>>,
    /// How old an agent's facts may be before they are shown as old.
    pub(crate) limits: Limits,
}

/// How old an agent's facts may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of its server: it is asked all the time.
    pub(crate) server: Duration,
    /// Of what is told when it changes, and looked at now and then.
    pub(crate) other: Duration,
}

/// A member's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Its address, as in `members`.
    pub(crate) address: IpAddr,
    /// What it said last, and how old that question is.
    pub(crate) said: Option<(Word, Duration)>,
    /// Why it does not answer now.
    pub(crate) silent: Option<String>,
}

/// A server's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Its UUID.
    pub(crate) id: String,
    /// It takes writes.
    pub(crate) writable: bool,
    /// The group as it shows it.
    pub(crate) rows: Vec<Row>,
    /// The agent that shows itself on this server; none: no agent does.
    pub(crate) agent: Known<Option<AgentShown>>,
}

impl Word {
    /// Its own row.
    pub(crate) fn own(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == self.id)
    }
}

/// The agent of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// It said how it is.
    Runs {
        /// Its version.
        version: String,
        /// Its process.
        pid: u32,
        /// For how long it has been running.
        up: Duration,
        /// This cluster.
        status: Box<Status>,
    },
    /// Nobody is there, or it hangs; in words.
    None(String),
    /// It can't be seen whether it runs, or it can't be understood; in words.
    Unknown(String),
}

/// A VIP that is on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnThisHost {
    /// The VIP.
    pub(crate) address: IpAddr,
    /// The interface that bears it.
    pub(crate) interface: String,
    /// How long the kernel keeps it unless the lease is renewed; none: without an end.
    pub(crate) lease_left: Option<Duration>,
    /// How old the kernel's answer is.
    pub(crate) age: Duration,
}

/// Who answered for an address: each hardware address, with how old its answer is.
pub(crate) type Answers = BTreeMap<Mac, Duration>;

impl Picture {
    /// How many transactions this host's server has in its applier's queue, by its own word.
    pub(crate) fn own_queue(&self) -> Option<u64> {
        let server = self.servers.iter().find(|server| Some(server.address) == self.own)?;
        server.said.as_ref().filter(|_| server.silent.is_none())?.0.own()?.queue
    }

    /// The agent's word on this cluster.
    pub(crate) fn status(&self) -> Option<&Status> {
        match &self.agent {
            Agent::Runs { status, .. } => Some(status),
            Agent::None(_) | Agent::Unknown(_) => None,
        }
    }
}
