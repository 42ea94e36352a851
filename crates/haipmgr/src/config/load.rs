//! From a file to a configuration: its bytes, what they say, what is wrong with that, and the clusters that come of it.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::draft::Draft;
use super::listen::ListenDraft;
use super::password::{Password, readable_by_others};
use super::problem::Problems;
use super::this_host::{folders_and_programs, on_this_host, password_of};
use super::{
    ClientCertificate, Cluster, Config, DEFAULT_LOCK, Source, checks, control_socket, legacy_lock,
    parameter_py, toml_file,
};

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

/// Where the agent of this file is spoken to, whatever else is wrong with the file: the agent itself says what is.
///
/// # Errors
/// It can't be read at all.
pub fn control_socket_of(path: &Path) -> Result<PathBuf, Problems> {
    let (Loaded { source, lock, drafts, .. }, _) = read(path)?;
    let first = drafts.first().and_then(|draft| Some((draft.install_path.as_deref()?, draft.mysql_port?)));
    Ok(control_socket(source, &lock, first))
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
    let (Loaded { source, lock, drain_on_shutdown, listen, drafts, exposed }, mut problems) = read(path)?;
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
    let listen = listen.finish(&mut problems);
    problems.or(Config { source, path: path.to_owned(), clusters, lock, drain_on_shutdown, listen, remarks })
}

/// What a file says, before anything on the host is looked at.
pub(super) struct Loaded {
    pub(super) source: Source,
    pub(super) lock: PathBuf,
    pub(super) drain_on_shutdown: bool,
    pub(super) listen: ListenDraft,
    pub(super) drafts: Vec<Draft>,
    /// Why a password in the file itself can be read by others.
    pub(super) exposed: Option<String>,
}

/// What the file says, with what is wrong with it so far.
///
/// # Errors
/// The file can't be read at all.
pub(super) fn read(path: &Path) -> Result<(Loaded, Problems), Problems> {
    let is_python = path.extension().is_some_and(|extension| extension == "py");
    let source = if is_python { Source::ParameterPy } else { Source::Toml };
    let (bytes, metadata) = read_bytes(path).map_err(|text| Problems::of_file(path, text))?;
    let (mut loaded, problems) = understand(path, source, &bytes)?;
    let holds_password = loaded.drafts.iter().any(|draft| draft.password.is_some());
    loaded.exposed = if holds_password { readable_by_others(path, "a password", &metadata) } else { None };
    Ok((loaded, problems))
}

/// The same of a file's content; who else can read the file is not known here.
///
/// # Errors
/// It is no text.
pub(super) fn understand(path: &Path, source: Source, bytes: &[u8]) -> Result<(Loaded, Problems), Problems> {
    let text = decode(bytes, source).map_err(|text| Problems::of_file(path, text))?;
    let mut found = Problems::new(path);
    let problems = &mut found;
    let (lock, drain_on_shutdown, listen, drafts) = match source {
        Source::Toml => {
            let read = toml_file::read(&text, problems);
            let lock = read.lock.unwrap_or_else(|| PathBuf::from(DEFAULT_LOCK));
            (lock, read.drain_on_shutdown, read.listen, read.clusters)
        }
        Source::ParameterPy => {
            let draft = parameter_py::read(path, &text, problems);
            (legacy_lock(), false, ListenDraft::default(), draft.into_iter().collect())
        }
    };
    for draft in &drafts {
        checks::within_cluster(draft, source, problems);
    }
    checks::between_clusters(&drafts, problems);
    Ok((Loaded { source, lock, drain_on_shutdown, listen, drafts, exposed: None }, found))
}

/// No configuration is larger, in bytes.
const LONGEST: u64 = 256 << 10;

fn read_bytes(path: &Path) -> Result<(Zeroizing<Vec<u8>>, std::fs::Metadata), String> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |cause: std::io::Error| format!("the configuration can't be read: {cause}");
    let file =
        std::fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err(format!("the configuration must be a plain file of at most {LONGEST} bytes"));
    }
    // Large enough from the start, and wiped: a password may stand in it.
    let room = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 64));
    file.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok((bytes, metadata))
}

fn decode(bytes: &[u8], source: Source) -> Result<Zeroizing<String>, String> {
    let text = match source {
        Source::Toml => std::str::from_utf8(bytes).map_err(|wrong| {
            let line = bytes.iter().take(wrong.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
            format!("line {line} is not UTF-8; save the file as UTF-8")
        })?,
        // Comments may be in any encoding, as Python lets them; text in quotes may not.
        Source::ParameterPy => {
            let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
            let text = Zeroizing::new(text.replace("\r\n", "\n"));
            return Ok(without_mark(&text));
        }
    };
    Ok(without_mark(text))
}

/// Without the mark that some editors write before the first line.
fn without_mark(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
}

/// The cluster, where nothing it needs is missing.
pub(super) fn finish(draft: Draft, password: Option<Password>) -> Option<Cluster> {
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
        hooks: draft.hooks,
        hook_limit: draft.hook_limit,
        hook_ca: draft.hook_ca,
    })
}
