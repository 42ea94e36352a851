//! Real client libraries through a real move of the VIP: what each gets, with which error's number, and for how long.
//!
//! Each way of using a library is a program of its own (`crates/lab/clients/`) with an account of its own, so that none finds its
//! password in the new primary's cache because another was there before. A few of them live through the same fault.

mod install;
mod libraries;
mod probe;

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};
use mysql::{Conn, OptsBuilder};

use self::install::Installed;
use self::libraries::{LIBRARIES, Library};
use self::probe::{Probe, Said};
use crate::fault::{Fault, FaultError};
use crate::group::{GroupError, Server};
use crate::host::HostError;
use crate::namespace::Layout;
use crate::provision::ProvisionError;
use crate::report::table::Style;
use crate::scenario::{Lab, ScenarioError};

pub use install::install;

/// How many live through one fault together: more would wait for the processor, and not for MySQL.
const TOGETHER: usize = 4;
/// How long a program may take until it has its first connections.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long its three attempts are waited for once the VIP has moved.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "library-Secret1";

/// Why no table could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// No folder for the libraries.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// Not one of them could be installed.
    #[error("no client library is installed. What stands in the way was said when it was tried")]
    NoLibraries,
    /// None has such a name.
    #[error("no library has one of these words in its name: {0}")]
    NoneNamed(String),
    /// The lab failed.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The group failed.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A fault could not be done or undone.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The client's host failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The fault leaves the VIP where it is.
    #[error("{} does not move the VIP, so no library notices it; leave it out", .0.name())]
    MovesNothing(Fault),
    /// A package tool failed.
    #[error("{tool} ended with {status}:\n{words}")]
    NotInstalled {
        /// Which one.
        tool: &'static str,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// Its last words.
        words: String,
    },
    /// An account does not get in.
    #[error("{host}: {account} can't log in by the server's socket: {cause}")]
    NoLogin {
        /// The server's host.
        host: String,
        /// The account.
        account: String,
        /// What the server or the library answered.
        cause: Box<mysql::Error>,
    },
    /// A file or process operation failed.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        cause: std::io::Error,
    },
}

impl ClientsError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The faults; each must move the VIP.
    pub faults: Vec<Fault>,
    /// Whether each account has logged in to every server before, as an operator's script could have it do.
    pub warm: bool,
    /// Only libraries with one of these words in their names; all where there is none.
    pub words: Vec<String>,
}

/// Brings the lab up, takes every library through each fault, and gives the tables.
///
/// # Errors
/// The lab or the libraries do not come up, or a fault does not move the VIP.
pub fn run(
    layout: &Layout,
    wanted: &Wanted,
    style: Style,
    progress: &mut dyn FnMut(&str),
) -> Result<String, ClientsError> {
    if let Some(fault) = wanted.faults.iter().find(|fault| !fault.moves_the_primary()) {
        return Err(ClientsError::MovesNothing(*fault));
    }
    let installed = install::installed()?;
    let numbered: Vec<(usize, Library)> = LIBRARIES
        .into_iter()
        .enumerate()
        .filter(|(_, library)| installed.has(*library) && is_named(library.name, &wanted.words))
        .collect();
    if numbered.is_empty() {
        return Err(ClientsError::NoneNamed(wanted.words.join(", ")));
    }
    let mut lab = Lab::start(layout, true, progress)?;
    let primary = lab.wait_steady()?;
    make_accounts(&lab.group.servers()[primary])?;
    let mut text = format!("{}.\n", installed.versions());
    for (round, fault) in wanted.faults.iter().enumerate() {
        let mut rows = Vec::new();
        for few in numbered.chunks(TOGETHER) {
            progress(&fault.name());
            rows.extend(through(&mut lab, &installed, few, *fault, wanted.warm, round)?);
        }
        text += &format!("\n{}:\n{}\n", fault.name(), table(&rows, style));
    }
    lab.end()?;
    Ok(text)
}

fn is_named(name: &str, words: &[String]) -> bool {
    words.is_empty() || words.iter().any(|word| name.contains(word))
}

fn account(place: usize) -> String {
    format!("library_{place}")
}

fn make_accounts(primary: &Server) -> Result<(), ClientsError> {
    for place in 0..LIBRARIES.len() {
        let account = account(place);
        primary.run(&format!("CREATE USER '{account}'@'%' IDENTIFIED BY '{PASSWORD}'"))?;
        primary.run(&format!("GRANT SELECT, INSERT ON lab.* TO '{account}'@'%'"))?;
    }
    Ok(())
}

/// Every server forgets every password; then the servers that are to know them are told, by a log-in of each account's.
fn set_caches(lab: &Lab, primary: usize, everywhere: bool) -> Result<(), ClientsError> {
    for (place, server) in lab.group.servers().iter().enumerate() {
        server.run("FLUSH LOCAL PRIVILEGES")?;
        if !everywhere && place != primary {
            continue;
        }
        for account in (0..LIBRARIES.len()).map(account) {
            let options = OptsBuilder::new()
                .socket(Some(server.socket().to_string_lossy()))
                .user(Some(account.as_str()))
                .pass(Some(PASSWORD));
            Conn::new(options).map_err(|cause| {
                let host = server.host().to_owned();
                ClientsError::NoLogin { host, account, cause: Box::new(cause) }
            })?;
        }
    }
    Ok(())
}

/// What became of each library.
struct Row {
    library: Library,
    said: Said,
}

fn through(
    lab: &mut Lab,
    installed: &Installed,
    libraries: &[(usize, Library)],
    fault: Fault,
    warm: bool,
    round: usize,
) -> Result<Vec<Row>, ClientsError> {
    let primary = lab.wait_steady()?;
    set_caches(lab, primary, warm)?;
    let mut probes = Vec::new();
    for (place, library) in libraries {
        let mut command = installed.command(*library);
        // Rows of its own: far from those of every other client and round.
        let first_row = (100 * (round + 1) + *place) * 10_000_000;
        command.args([crate::segment::vip().to_string(), crate::group::MYSQL_PORT.to_string()]);
        command.args([account(*place), PASSWORD.to_owned(), first_row.to_string()]);
        probes.push((*library, Probe::start(&lab.segment.client, command)?));
    }
    for (_, probe) in &mut probes {
        probe.wait_ready(READY_LIMIT);
    }
    let prepared = fault.prepare(&lab.scene())?;
    for (_, probe) in &mut probes {
        probe.tell("fault");
    }
    let injected = prepared.carry_out(&mut lab.scene())?;
    lab.endure(&injected)?;
    let until = std::time::Instant::now() + PATIENCE;
    for (_, probe) in &mut probes {
        probe.tell("over");
    }
    let rows =
        probes.into_iter().map(|(library, probe)| Row { library, said: probe.wait_end(until) }).collect();
    injected.heal(&mut lab.scene())?;
    Ok(rows)
}

const COLUMNS: [&str; 4] =
    ["library", "idle connection, first use afterwards", "row by row", "new connection meanwhile"];

fn table(rows: &[Row], style: Style) -> String {
    let mut table = Table::new();
    table.load_style(if style == Style::Terminal { UTF8_BORDERS_ONLY } else { ASCII_MARKDOWN });
    table.set_header(COLUMNS);
    for Row { library, said } in rows {
        let cell = |what| said.words(what, PATIENCE);
        table.add_row([library.name.to_owned(), cell("idle"), cell("busy"), cell("connect")]);
    }
    table.to_string()
}
