//! Configuration files: TOML, and the legacy program's `parameter.py` (S2), to policy and wiring.
//!
//! Nothing here starts or stops anything. All that is wrong with a file is told at once, each with its line.

mod apply;
mod checks;
mod convert;
mod document;
mod draft;
mod duration;
pub(crate) mod fuzzing;
mod keys;
mod parameter_py;
mod password;
mod problem;
mod python_literal;
mod toml_file;
mod value;
mod vips;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use decide::policy::Policy;
use nix::unistd::AccessFlags;

pub use convert::convert;
pub use document::{Documented, keys_of_a_cluster, keys_of_the_file, markdown};
pub use duration::format as format_duration;
pub(crate) use duration::parse as parse_duration;
pub use password::Password;
pub(crate) use password::{PasswordError, from_file as password_from_file};
pub use problem::{Position, Problem, Problems};

use draft::Draft;

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

/// Where the agent of this file is spoken to, whatever else is wrong with the file: the agent itself says what is.
///
/// # Errors
/// It can't be read at all.
pub fn control_socket_of(path: &Path) -> Result<PathBuf, Problems> {
    let (Loaded { source, lock, drafts, .. }, _) = read(path)?;
    let first = drafts.first().and_then(|draft| Some((draft.install_path.as_deref()?, draft.mysql_port?)));
    Ok(control_socket(source, &lock, first))
}

impl Cluster {
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

/// Loads and checks `path`, and what it names on this host: password files, folders.
///
/// # Errors
/// All that is wrong, each with its place and what to write instead.
pub fn load(path: &Path) -> Result<Config, Problems> {
    load_for(path, Purpose::Run)
}

/// The same for a command that writes nothing: whoever types it need not be able to write to the agent's folders, nor to run its
/// `fence_command`.
///
/// # Errors
/// As [`load`].
pub fn load_to_read(path: &Path) -> Result<Config, Problems> {
    load_for(path, Purpose::Read)
}

/// What a configuration is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To run an agent with it.
    Run,
    /// To look at what it names.
    Read,
}

fn load_for(path: &Path, purpose: Purpose) -> Result<Config, Problems> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let (Loaded { source, lock, drafts, exposed }, mut problems) = read(path)?;
    let mut remarks = Vec::new();
    if let Some(text) = exposed {
        match source {
            Source::Toml => problems.add(None, text),
            Source::ParameterPy => remarks.push(text),
        }
    }
    let mut clusters = Vec::new();
    for draft in drafts {
        if purpose == Purpose::Run {
            folders_and_programs(&draft, &mut problems);
        }
        on_this_host(&draft, &mut problems);
        let password = password_of(&draft, credentials.as_deref(), &mut problems);
        clusters.extend(finish(draft, password));
    }
    problems.or(Config { source, path: path.to_owned(), clusters, lock, remarks })
}

/// What a file says, before anything on the host is looked at.
struct Loaded {
    source: Source,
    lock: PathBuf,
    drafts: Vec<Draft>,
    /// Why a password in the file itself can be read by others.
    exposed: Option<String>,
}

/// What the file says, with what is wrong with it so far.
///
/// # Errors
/// The file can't be read at all.
fn read(path: &Path) -> Result<(Loaded, Problems), Problems> {
    let is_python = path.extension().is_some_and(|extension| extension == "py");
    let source = if is_python { Source::ParameterPy } else { Source::Toml };
    let (bytes, metadata) = read_bytes(path).map_err(|text| Problems::of_file(path, text))?;
    let (mut loaded, problems) = understand(path, source, bytes)?;
    let holds_password = loaded.drafts.iter().any(|draft| draft.password.is_some());
    loaded.exposed =
        if holds_password { password::readable_by_others(path, "a password", &metadata) } else { None };
    Ok((loaded, problems))
}

/// The same of a file's content; who else can read the file is not known here.
///
/// # Errors
/// It is no text.
fn understand(path: &Path, source: Source, bytes: Vec<u8>) -> Result<(Loaded, Problems), Problems> {
    let text = decode(bytes, source).map_err(|text| Problems::of_file(path, text))?;
    let mut found = Problems::new(path);
    let problems = &mut found;
    let (lock, drafts) = match source {
        Source::Toml => {
            let read = toml_file::read(&text, problems);
            (read.lock.unwrap_or_else(|| PathBuf::from(DEFAULT_LOCK)), read.clusters)
        }
        Source::ParameterPy => {
            (legacy_lock(), parameter_py::read(path, &text, problems).into_iter().collect())
        }
    };
    for draft in &drafts {
        checks::within_cluster(draft, source, problems);
    }
    checks::between_clusters(&drafts, problems);
    Ok((Loaded { source, lock, drafts, exposed: None }, found))
}

/// S4: `/root/HAIPMGR<host name>.lock`, the lock of the Python program and of a `parameter.py`.
pub fn legacy_lock() -> PathBuf {
    let host = nix::unistd::gethostname().unwrap_or_default();
    // A host name with a "/" is none; it must not lead out of the folder.
    PathBuf::from(format!("/root/HAIPMGR{}.lock", host.to_string_lossy().replace('/', "_")))
}

/// No configuration is larger, in bytes.
const LONGEST: u64 = 256 << 10;

fn read_bytes(path: &Path) -> Result<(Vec<u8>, std::fs::Metadata), String> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |cause: std::io::Error| format!("the configuration can't be read: {cause}");
    let file =
        std::fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err(format!("the configuration must be a plain file of at most {LONGEST} bytes"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok((bytes, metadata))
}

fn decode(bytes: Vec<u8>, source: Source) -> Result<String, String> {
    let text = match source {
        Source::Toml => String::from_utf8(bytes).map_err(|wrong| {
            let line = wrong
                .as_bytes()
                .iter()
                .take(wrong.utf8_error().valid_up_to())
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            format!("line {line} is not UTF-8; save the file as UTF-8")
        })?,
        // Comments may be in any encoding, as Python lets them; text in quotes may not.
        Source::ParameterPy => String::from_utf8_lossy(&bytes).replace("\r\n", "\n"),
    };
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
}

/// What the agent writes to and runs.
fn folders_and_programs(draft: &Draft, problems: &mut Problems) {
    if let Some(folder) = &draft.install_path {
        let at = draft.place_of("install_path");
        let quoted = password::shell_quoted(folder);
        if !folder.exists() {
            problems
                .add(at, format!("the folder {} does not exist; type: mkdir -p {quoted}", folder.display()));
        } else if !folder.is_dir() {
            problems.add(
                at,
                format!("{} is not a folder; write one for the log and the state file", folder.display()),
            );
        } else if let Err(cause) = nix::unistd::access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
            problems.add(
                at,
                format!("the folder {} can't be written to ({}); write another, or let the agent's user write to it", folder.display(), cause.desc()),
            );
        }
    }
    if let Some(program) = draft.fence_command.as_ref().and_then(|command| command.first())
        && let Err(cause) = nix::unistd::access(program.as_str(), AccessFlags::X_OK)
    {
        problems.add(
            draft.place_of("fence_command"),
            format!("fence_command: {program} can't be run: {}; write a program that is there", cause.desc()),
        );
    }
}

/// What is read on this host.
fn on_this_host(draft: &Draft, problems: &mut Problems) {
    for (key, file) in [("tls_ca", &draft.tls_ca), ("tls_cert", &draft.tls_cert), ("tls_key", &draft.tls_key)]
    {
        let Some(file) = file else { continue };
        let text = match readable(file) {
            Err(cause) => Some(format!("{} can't be read: {cause}", file.display())),
            Ok(metadata) if key == "tls_key" => {
                password::readable_by_others(file, "a private key", &metadata)
            }
            Ok(_) => None,
        };
        if let Some(text) = text {
            problems.add(draft.place_of(key), format!("{key}: {text}"));
        }
    }
}

fn readable(file: &Path) -> std::io::Result<std::fs::Metadata> {
    let metadata = std::fs::metadata(file)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a plain file"));
    }
    std::fs::File::open(file).map(|_| metadata)
}

fn password_of(draft: &Draft, credentials: Option<&Path>, problems: &mut Problems) -> Option<Password> {
    let (key, read) = if let Some(password) = &draft.password {
        return Some(Password::new(password.clone()));
    } else if let Some(file) = &draft.password_file {
        ("password_file", password::from_file(file))
    } else if let Some(name) = &draft.password_credential {
        ("password_credential", password::from_credential(name, credentials))
    } else {
        return None;
    };
    read.map_err(|error| problems.add(draft.place_of(key), format!("{key}: {error}"))).ok()
}

/// The cluster, where nothing it needs is missing.
fn finish(draft: Draft, password: Option<Password>) -> Option<Cluster> {
    draft.vip?;
    let (name, policy) = (draft.called(), draft.policy());
    Some(Cluster {
        name,
        gateway: draft.gateway?,
        gateway_interval: draft.gateway_interval,
        gateway_misses: draft.gateway_misses,
        mysql_port: draft.mysql_port?,
        group_port: draft.group_port,
        user: draft.user?,
        password: password?,
        socket: draft.socket,
        tls_ca: draft.tls_ca,
        tls_client: draft
            .tls_cert
            .zip(draft.tls_key)
            .map(|(certificate, key)| ClientCertificate { certificate, key }),
        connect_limit: draft.connect_limit,
        query_limit: draft.query_limit,
        install_path: draft.install_path?,
        decision_trace: draft.decision_trace,
        lease_given: draft.limits.lease.is_some() && draft.given.contains_key("lease"),
        policy,
        fence_command: draft.fence_command,
        fence_limit: draft.fence_limit,
    })
}
