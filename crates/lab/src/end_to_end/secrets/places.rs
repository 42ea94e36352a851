//! Every place in which something could be left: the hosts' own folders, all processes, the servers, what was said.

use std::fs;
use std::path::{Path, PathBuf};

use mysql::prelude::Queryable as _;

use super::TOKEN_FILE;
use crate::agents::{CONFIGURATION, PASSWORD_FILE};
use crate::end_to_end::expect::promise;
use crate::end_to_end::{Broken, UnderTest};
use crate::group::Server;

/// Something that was found, or was said.
pub(super) struct Found {
    pub(super) what: String,
    pub(super) content: Vec<u8>,
}

/// A host's own folders; its others are the machine's.
const FOLDERS: [&str; 4] = ["/etc/haipmgr", "/run", "/root", "/var/lib"];
/// Where the secrets belong.
const THEIR_OWN: [&str; 3] = [PASSWORD_FILE, TOKEN_FILE, CONFIGURATION];
/// What a server knows of the sessions of this account, and of what they asked.
const SESSIONS: &str = "SELECT CONCAT_WS(' ', 'attribute', PROCESSLIST_ID, ATTR_NAME, ATTR_VALUE) FROM performance_schema.session_connect_attrs \
     UNION ALL SELECT CONCAT_WS(' ', 'session', ID, USER, HOST, DB, COMMAND, STATE, INFO) FROM performance_schema.processlist \
     UNION ALL SELECT CONCAT_WS(' ', 'statement', s.THREAD_ID, s.SQL_TEXT, s.MESSAGE_TEXT) FROM performance_schema.events_statements_history s \
     JOIN performance_schema.threads t USING (THREAD_ID) WHERE t.PROCESSLIST_USER = 'haip'";

/// Looks into all of them.
pub(super) fn look(under_test: &UnderTest, found: &mut Vec<Found>) -> Result<(), Broken> {
    let before = found.len();
    for host in &under_test.experiment.lab.segment.databases {
        for folder in FOLDERS {
            let own: Vec<PathBuf> = THEIR_OWN.iter().map(|file| host.path(file)).collect();
            files_in(&host.path(folder), &own, &format!("{}:", host.name()), found)?;
        }
    }
    files_in(&under_test.layout.log(), &[], "", found)?;
    for server in under_test.experiment.lab.group.servers() {
        found.push(read(server.error_log())?);
        found.push(sessions(server)?);
    }
    let processes = of_processes(found)?;
    let agents = under_test.experiment.lab.agents.len();
    promise(processes > agents && found.len() - before > processes, || {
        format!("only {processes} processes and {} files were found: the look is not whole", found.len())
    })
}

fn read(file: &Path) -> Result<Found, Broken> {
    let what = file.display().to_string();
    let content = fs::read(file).map_err(Broken::io(format!("reading {what}")))?;
    Ok(Found { what, content })
}

/// All plain files below; a name is looked at as well.
fn files_in(folder: &Path, but: &[PathBuf], of: &str, found: &mut Vec<Found>) -> Result<(), Broken> {
    let listing = || Broken::io(format!("listing {}", folder.display()));
    for entry in fs::read_dir(folder).map_err(listing())? {
        let entry = entry.map_err(listing())?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(listing())?);
        found.push(Found {
            what: format!("the name of {}", path.display()),
            content: path.display().to_string().into_bytes(),
        });
        if kind.is_dir() {
            files_in(&path, but, of, found)?;
        } else if kind.is_file() && !but.contains(&path) {
            let Found { what, content } = read(&path)?;
            found.push(Found { what: format!("{of}{what}"), content });
        }
    }
    Ok(())
}

/// What the server's tables show of the agents' sessions.
fn sessions(server: &Server) -> Result<Found, Broken> {
    let rows: Vec<String> = server.admin()?.query(SESSIONS).map_err(server.said(SESSIONS))?;
    let content = rows.join("\n").into_bytes();
    promise(content.windows(7).any(|part| part == b"haipmgr"), || {
        format!("{} shows no session of an agent", server.host())
    })?;
    Ok(Found { what: format!("the sessions on {}", server.host()), content })
}

/// Command line, environment and name of every process of the lab. Gives how many there are.
fn of_processes(found: &mut Vec<Found>) -> Result<usize, Broken> {
    let mut processes = 0;
    for entry in fs::read_dir("/proc").map_err(Broken::io("listing /proc"))?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else {
            continue;
        };
        for part in ["cmdline", "environ", "comm"] {
            // It may end meanwhile.
            let Ok(content) = fs::read(entry.path().join(part)) else { continue };
            processes += usize::from(part == "cmdline");
            found.push(Found { what: format!("{part} of process {pid}"), content });
        }
    }
    Ok(processes)
}
