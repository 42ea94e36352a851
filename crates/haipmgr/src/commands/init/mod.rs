//! `haipmgr init`: writes this host's configuration file, and the SQL for its account. The local server and the kernel are asked for
//! all but two things: which VIP, and which account.
//!
//! | file | the one idea |
//! |---|---|
//! | `found.rs` | what the server and the kernel say |
//! | `written.rs` | the files that come of it |

mod found;
mod written;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use crate::config::{self, Password, Problems};
use crate::server_access::{Access, Endpoint, Limits};

use found::{Found, NotFound};
use written::NotWritten;

/// What may be said on the command line instead of being asked for or found.
#[derive(Debug, clap::Args)]
pub(super) struct Wishes {
    /// The virtual IP that clients are to connect to. Asked for if it is not given.
    #[arg(long, value_name = "ADDRESS")]
    vip: Option<Ipv4Addr>,
    /// The MySQL account that the agents are to log in with. Asked for if it is not given.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The file with the account's password as its only line. Where there is none, it is made, with a new password.
    #[arg(long, value_name = "FILE", default_value = "/etc/haipmgr/haipmgr.password")]
    password_file: PathBuf,
    /// The configuration file to write. One that is there already is left as it is.
    #[arg(long, value_name = "FILE", default_value = "/etc/haipmgr/haipmgr.toml")]
    output: PathBuf,
    /// The local server's port.
    #[arg(long, value_name = "PORT", default_value_t = 3306)]
    port: u16,
    /// The local server's socket file, where it is not to be asked at its port.
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// The gateway, where the default route is not to be asked.
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<Ipv4Addr>,
}

/// Why there is no file yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotDone {
    /// It is there.
    #[error("{} is there already, and stays as it is; to have a new one, move it away, or name another file with --output", .0.display())]
    ThereAlready(PathBuf),
    /// Nobody can be asked.
    #[error("{0} is not given, and there is no terminal to ask at: give --vip ADDRESS and --user NAME")]
    NobodyToAsk(&'static str),
    /// What was answered is no address.
    #[error(
        "{0:?} is no IPv4 address; write one that no host has, in the hosts' own network, such as 10.77.0.100"
    )]
    NoAddress(String),
    /// The password file can't be read.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The server or the kernel says something that no configuration can be made of.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// The account can't log in yet.
    #[error(
        "the account {user} can't log in yet ({why}).\nIts SQL is in {sql}. Type, on the primary; the group copies the account to the \
         other members:\n    mysql -u root -p < {sql}\nand then haipmgr init again", sql = sql.display()
    )]
    NoAccount {
        /// The account.
        user: String,
        /// The server's words.
        why: String,
        /// The file.
        sql: PathBuf,
    },
    /// A file can't be written.
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
}

/// Writes the files. Gives what is to be done next.
pub(super) fn init(wishes: &Wishes) -> Result<String, NotDone> {
    if wishes.output.exists() {
        return Err(NotDone::ThereAlready(wishes.output.clone()));
    }
    let vip = if let Some(vip) = wishes.vip {
        vip
    } else {
        let answer = ask("--vip", "Which address shall clients connect to (the VIP)? ", "")?;
        answer.parse().map_err(|_| NotDone::NoAddress(answer))?
    };
    let user = match &wishes.user {
        Some(user) => user.clone(),
        None => ask("--user", "Which MySQL account shall the agents log in with? [haip] ", "haip")?,
    };
    let password = password(&wishes.password_file)?;
    let sql = wishes.output.with_file_name("account.sql");
    let access = Access {
        endpoint: match &wishes.socket {
            Some(socket) => Endpoint::Socket(socket.clone()),
            None => Endpoint::Tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), wishes.port),
        },
        user: user.clone(),
        password: password.clone(),
        tls_ca: None,
        tls_client: None,
        limits: Limits::default(),
        shows: Vec::new(),
    };
    let found = match found::ask(access, vip, wishes.gateway) {
        Err(NotFound::TurnedAway(why)) => {
            written::account(&sql, &user, &password)?;
            return Err(NotDone::NoAccount { user, why, sql });
        }
        found => found?,
    };
    let text = written::configuration(&found, vip, &user, wishes);
    written::file(&wishes.output, &text, 0o644)?;
    config::load(&wishes.output)?;
    Ok(next(&found, wishes))
}

fn next(found: &Found, wishes: &Wishes) -> String {
    let (output, password) = (wishes.output.display(), wishes.password_file.display());
    let own = found.own;
    let others: Vec<String> =
        found.members.iter().filter(|member| **member != own).map(ToString::to_string).collect();
    format!(
        "{output} is written: {} members, interface {}, gateway {}. Look it through, above all the interfaces of the other members.\n\
         The same file and {password} belong on {} too. Then, on each host:\n    \
         haipmgr check --config {output}\n    systemctl enable --now haipmgr\n",
        found.members.len(),
        found.interface,
        found.gateway,
        if others.is_empty() { "further members".to_owned() } else { others.join(", ") },
    )
}

fn password(file: &Path) -> Result<Password, NotDone> {
    if !file.exists() {
        let password = written::new_password()?;
        written::file(file, &format!("{}\n", password.reveal()), 0o640)?;
        return Ok(password);
    }
    Ok(config::password_of_file(file)?)
}

/// An answer from the terminal; an empty one is the default.
fn ask(flag: &'static str, question: &str, default: &str) -> Result<String, NotDone> {
    let nobody = |_| NotDone::NobodyToAsk(flag);
    if !std::io::stdin().is_terminal() {
        return Err(NotDone::NobodyToAsk(flag));
    }
    let mut terminal = std::io::stderr().lock();
    terminal.write_all(question.as_bytes()).map_err(nobody)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(nobody)?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { default.to_owned() } else { answer.to_owned() })
}
