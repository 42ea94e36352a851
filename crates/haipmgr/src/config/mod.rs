//! Configuration files: TOML, and the legacy program's `parameter.py` (S2), to policy and wiring.
//!
//! Nothing here starts or stops anything. All that is wrong with a file is told at once, each with its line.

mod alike;
mod apply;
mod checks;
mod convert;
mod document;
mod draft;
mod duration;
pub(crate) mod fuzzing;
mod hook;
mod keys;
mod listen;
mod load;
mod parameter_py;
mod password;
mod problem;
mod python_literal;
mod readers;
mod this_host;
mod toml_file;
mod value;
mod vips;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use decide::policy::Policy;

pub(crate) use alike::Alike;
pub(crate) use apply::{address_of_no_host, vip_of_text};
pub use convert::convert;
pub use document::{Documented, keys_of_a_cluster, keys_of_the_file, markdown};
pub use duration::format as format_duration;
pub(crate) use duration::parse as parse_duration;
pub use hook::{Happening, Hook, missing_programs};
pub use listen::{Listen, ListenAt, ServerCertificate};
pub use load::{control_socket_of, load, load_to_read};
pub use password::Password;
pub(crate) use password::{PasswordError, from_file as password_from_file};
pub use problem::{Position, Problem, Problems};
pub(crate) use readers::{max_behind_in_words, no_reader_word};

/// The password in this file.
///
/// # Errors
/// It can't be read, or others can read it too.
pub fn password_of_file(file: &Path) -> Result<Password, Problems> {
    password::from_file(file).map_err(|error| Problems::of_file(file, error.to_string()))
}

/// The lock file where a TOML file names none.
pub const DEFAULT_LOCK: &str = "/run/haipmgr/haipmgr.lock";

/// A whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which kind of file it came from.
    pub source: Source,
    /// The file.
    pub path: PathBuf,
    /// At least one; no two share a name, VIP or port.
    pub clusters: Vec<Cluster>,
    /// The lock file (S4).
    pub lock: PathBuf,
    /// What `haipmgr drain` does is done when logind says that the host goes down. Never with a `parameter.py`: the legacy program
    /// did nothing of the kind.
    pub drain_on_shutdown: bool,
    /// Where the agent answers over HTTP; none: nowhere.
    pub listen: Option<Listen>,
    /// What is wrong and still does not keep the agent from running; for the log, as errors.
    pub remarks: Vec<String>,
}

/// The two kinds of configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This project's own.
    Toml,
    /// The legacy program's (S2): the name ends in `.py`.
    ParameterPy,
}

/// What proves the account to a server that asks for a certificate (`REQUIRE X509`): two files in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Which decisions are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionTrace {
    /// Those that led to a switch.
    Switches,
    /// Each one.
    All,
    /// None.
    Off,
}

/// One cluster: the rules' policy, and what the edges need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// What the log calls it.
    pub name: String,
    /// What the rules need.
    pub policy: Policy,
    /// The segment's gateway.
    pub gateway: IpAddr,
    /// Time between two probes of the gateway.
    pub gateway_interval: Duration,
    /// Misses in a row after which the gateway is lost.
    pub gateway_misses: u32,
    /// MySQL's port on every member.
    pub mysql_port: u16,
    /// Group Replication's port on every member (the legacy program's `inter_port`), where the file names it; never connected to
    /// (S11). With the communication stack MYSQL it is MySQL's own.
    pub group_port: Option<u16>,
    /// The MySQL account.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// The local server's Unix socket; none: TCP to the local member's address.
    pub socket: Option<PathBuf>,
    /// Certificates to verify the server's with; none: TLS where offered, not verified.
    pub tls_ca: Option<PathBuf>,
    /// The account's own certificate and its private key.
    pub tls_client: Option<ClientCertificate>,
    /// How long a connection may take.
    pub connect_limit: Duration,
    /// How long an answer may take.
    pub query_limit: Duration,
    /// Where the log and the state file go.
    pub install_path: PathBuf,
    /// The program that switches a member's host off, and its first arguments.
    pub fence_command: Option<Vec<String>>,
    /// How long it may take.
    pub fence_limit: Duration,
    /// What the operator has run.
    pub hooks: BTreeMap<Happening, Hook>,
    /// How long each of them may take.
    pub hook_limit: Duration,
    /// Certificates of the authorities that count for web addresses; none: the host's own.
    pub hook_ca: Option<PathBuf>,
    /// Which decisions are recorded.
    pub decision_trace: DecisionTrace,
    /// The lease is the configuration's word and not the default.
    pub lease_given: bool,
}

impl Config {
    /// Where the agent is spoken to (`haipmgr stop`): beside the lock; with a `parameter.py`, whose lock is in `/root`, beside
    /// the log.
    pub fn control_socket(&self) -> PathBuf {
        let first = self.clusters.first().map(|cluster| (cluster.install_path.as_path(), cluster.mysql_port));
        control_socket(self.source, &self.lock, first)
    }
}

/// `first`: the first cluster's `install_path` and port.
fn control_socket(source: Source, lock: &Path, first: Option<(&Path, u16)>) -> PathBuf {
    match (source, first) {
        (Source::ParameterPy, Some((install_path, port))) => {
            install_path.join(format!("HAIPMGR_{port}.control"))
        }
        _ if lock.extension().is_some_and(|extension| extension == "lock") => lock.with_extension("control"),
        _ => {
            let mut name = lock.to_owned().into_os_string();
            name.push(".control");
            name.into()
        }
    }
}

impl Cluster {
    /// The cluster's gateway, and those that single VIPs have of their own: each once.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.gateway).chain(self.policy.own_gateways())
    }

    /// S5: the log.
    pub fn log_file(&self) -> PathBuf {
        self.install_path.join(format!("HAIPMGR_{}.log", self.mysql_port))
    }

    /// Where the decisions around each switch are recorded, beside the log.
    pub fn trace_file(&self) -> PathBuf {
        self.install_path.join(format!("HAIPMGR_{}.trace.jsonl", self.mysql_port))
    }

    /// One line for each switch of a VIP.
    pub fn history_file(&self) -> PathBuf {
        self.install_path.join(format!("history_{}.jsonl", self.mysql_port))
    }

    /// S6: the state file.
    pub fn stat_file(&self) -> PathBuf {
        self.install_path.join(format!("stat_{}", self.mysql_port))
    }

    /// The same for the reader VIP with this address.
    pub fn reader_stat_file(&self, vip: IpAddr) -> PathBuf {
        self.install_path.join(format!("stat_{}_{vip}", self.mysql_port))
    }

    /// Held by the agent that looks after this cluster, whatever its configuration file and network namespace.
    pub fn lock_file(&self) -> PathBuf {
        self.install_path.join(format!("HAIPMGR_{}.lock", self.mysql_port))
    }

    /// Where the server's own `group_replication_member_expel_timeout` is kept while it is changed.
    pub fn expel_timeout_file(&self) -> PathBuf {
        self.install_path.join(format!("expel_timeout_{}", self.mysql_port))
    }

    /// Its VIPs: `VIP 10.77.0.100`.
    pub fn vips_in_words(&self) -> String {
        let addresses: Vec<_> = self.policy.vips.values().map(|vip| vip.address.to_string()).collect();
        format!("VIP {}", addresses.join(", "))
    }

    /// There while this host is drained.
    pub fn drained_file(&self) -> PathBuf {
        self.install_path.join(format!("drained_{}", self.mysql_port))
    }

    /// There while this host's agent is paused: what it has heard of that.
    pub fn paused_file(&self) -> PathBuf {
        self.install_path.join(format!("paused_{}", self.mysql_port))
    }

    /// S6: how long the state file shows a switch before it goes back to `1`: 20 × `sleeptime`.
    pub fn stat_shown_for(&self) -> Duration {
        checks::shown_for(self.policy.group.sleeptime)
    }
}

/// S4: `/root/HAIPMGR<host name>.lock`, the lock of the Python program and of a `parameter.py`.
pub fn legacy_lock() -> PathBuf {
    let host = nix::unistd::gethostname().unwrap_or_default();
    // A host name with a "/" is none; it must not lead out of the folder.
    PathBuf::from(format!("/root/HAIPMGR{}.lock", host.to_string_lossy().replace('/', "_")))
}
