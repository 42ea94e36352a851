//! `haipmgr init`: writes this host's configuration file, and the SQL for its account. The local server and the kernel are asked for
//! all but two things: which VIP, and which account.
//!
//! | file | the one idea |
//! |---|---|
//! | `found.rs` | what the server and the kernel say |
//! | `written.rs` | the files that come of it |

mod found;
mod written;

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::config::{self, Password, Problems};
use crate::server_access::{Access, Endpoint, Limits};

use found::{Found, NotFound};
use written::NotWritten;

const PASSWORD_FILE: &str = "/etc/haipmgr/haipmgr.password";
const OUTPUT: &str = "/etc/haipmgr/haipmgr.toml";
const PORT: u16 = 3306;

/// The VIP as the configuration takes it: an address of either family, and a prefix length where that is not a single host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vip {
    address: IpAddr,
    prefix: Option<u8>,
}

impl FromStr for Vip {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        config::vip_of_text(text).map(|(address, prefix)| Self { address, prefix })
    }
}

impl fmt::Display for Vip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            Some(prefix) => write!(formatter, "{}/{prefix}", self.address),
            None => self.address.fmt(formatter),
        }
    }
}

/// What may be said on the command line instead of being asked for or found.
#[derive(Debug, clap::Args)]
pub(super) struct Wishes {
    /// The virtual IP that clients are to connect to, IPv4 or IPv6, with a prefix length where it must have one. Asked for if it is not given.
    #[arg(long, value_name = "ADDRESS[/LENGTH]")]
    vip: Option<Vip>,
    /// What the cluster is called in logs, metrics and commands. The VIP's address if it is not given: no two clusters have the same.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// The MySQL account that the agents are to log in with. Asked for if it is not given.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The file with the account's password as its only line. Where there is none, it is made, with a new password.
    #[arg(long, value_name = "FILE", default_value = PASSWORD_FILE)]
    password_file: PathBuf,
    /// The configuration file to write. One that is there already is left as it is.
    #[arg(long, value_name = "FILE", default_value = OUTPUT)]
    output: PathBuf,
    /// The local server's port.
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    port: u16,
    /// The local server's socket file, where it is not to be asked at its port.
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// The gateway, where the default route is not to be asked.
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<IpAddr>,
}

impl Wishes {
    /// The command that goes on where this one ends, for a shell: what was answered is not asked for again.
    fn again(&self, vip: Vip, user: &str) -> String {
        let mut words = vec![
            "haipmgr init --vip".to_owned(),
            vip.to_string(),
            "--user".to_owned(),
            quoted(user).into_owned(),
        ];
        let mut add =
            |flag: &str, value: String| words.extend([flag.to_owned(), quoted(&value).into_owned()]);
        let path = |path: &Path| path.to_string_lossy().into_owned();
        if let Some(name) = &self.name {
            add("--name", name.clone());
        }
        if self.password_file != Path::new(PASSWORD_FILE) {
            add("--password-file", path(&self.password_file));
        }
        if self.output != Path::new(OUTPUT) {
            add("--output", path(&self.output));
        }
        if self.port != PORT {
            add("--port", self.port.to_string());
        }
        if let Some(socket) = &self.socket {
            add("--socket", path(socket));
        }
        if let Some(gateway) = self.gateway {
            add("--gateway", gateway.to_string());
        }
        words.join(" ")
    }

    /// The command that brings the two files here from a host that has them.
    fn fetch(&self, host: &str) -> String {
        let folder = self.output.parent().unwrap_or(Path::new("."));
        format!(
            "scp root@{host}:{} root@{host}:{} {}/",
            self.output.display(),
            self.password_file.display(),
            folder.display()
        )
    }

    /// What names the file to other commands, where it is not the one that they read.
    fn config(&self) -> String {
        if self.output == Path::new(OUTPUT) {
            String::new()
        } else {
            format!(" --config {}", quoted(&self.output.to_string_lossy()))
        }
    }
}

/// One word of a shell's.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', "'\\''")))
    }
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
    #[error("the VIP: {0}; it is an address that no host has")]
    NoAddress(String),
    /// The password file can't be read.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The server or the kernel says something that no configuration can be made of.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// The account can't log in yet.
    #[error("the account {user} can't log in yet ({why}).\n{next}")]
    NoAccount {
        /// The account.
        user: String,
        /// The server's words.
        why: String,
        /// What is to be done.
        next: String,
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
    let vip: Vip = match wishes.vip {
        Some(vip) => vip,
        None => ask("--vip", "Which address shall clients connect to (the VIP)? ", "")?
            .parse()
            .map_err(NotDone::NoAddress)?,
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
    let found = match found::ask(access, vip.address, wishes.gateway) {
        Err(NotFound::TurnedAway(why)) => {
            written::account(&sql, &user, &password)?;
            let next = account_first(&sql, vip, &user, wishes);
            return Err(NotDone::NoAccount { user, why, next });
        }
        found => found?,
    };
    let text = written::configuration(&found, vip, &user, wishes);
    written::file(&wishes.output, &text, 0o644)?;
    config::load(&wishes.output)?;
    Ok(next(&found, wishes))
}

/// Two ways, for it can't be known here which: this host is the first, or the account was made on another.
fn account_first(sql: &Path, vip: Vip, user: &str, wishes: &Wishes) -> String {
    format!(
        "Its SQL is in {sql}. On the first host, the primary's, type this; the group copies the account to the other members:\n    \
         mysql -u root -p < {sql} && {again}\n\
         If haipmgr init has been through on another host, type this in place of it; that host's password is the account's:\n    {scp}",
        sql = sql.display(),
        again = wishes.again(vip, user),
        scp = wishes.fetch("HOST"),
    )
}

fn next(found: &Found, wishes: &Wishes) -> String {
    let own = found.own;
    let others: Vec<String> =
        found.members.iter().filter(|member| **member != own).map(ToString::to_string).collect();
    let start = format!("haipmgr check{} && systemctl enable --now haipmgr", wishes.config());
    format!(
        "{output} is written: {} members, interface {}, gateway {}. Look it through, above all the interfaces of the other members.\n\
         Here:\n    {start}\nOn {}, with the package installed:\n    {}\n    {start}\n",
        found.members.len(),
        found.interface,
        found.gateway,
        if others.is_empty() { "further members".to_owned() } else { others.join(", ") },
        wishes.fetch(&if own.is_ipv6() { format!("[{own}]") } else { own.to_string() }),
        output = wishes.output.display(),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn wishes(words: &[&str]) -> Wishes {
        use clap::{Args as _, FromArgMatches as _};
        let command = Wishes::augment_args(clap::Command::new("init").no_binary_name(true));
        Wishes::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    #[test]
    fn a_vip_is_what_the_configuration_takes() {
        for (text, shown) in [
            ("10.77.0.100", "10.77.0.100"),
            ("10.77.0.100/32", "10.77.0.100"),
            ("10.77.0.100/24", "10.77.0.100/24"),
            ("fd77::100", "fd77::100"),
            ("fd77:0::100/64", "fd77::100/64"),
        ] {
            assert_eq!(text.parse::<Vip>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["db1", "10.77.0.255/24", "10.77.0.100/33", "fe80::1", "127.0.0.1", ""] {
            assert!(text.parse::<Vip>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_said_is_said_again() {
        let plain = wishes(&[]);
        let vip: Vip = "10.77.0.100".parse().unwrap();
        assert_eq!(plain.again(vip, "haip"), "haipmgr init --vip 10.77.0.100 --user haip");
        assert_eq!(plain.config(), "");
        let words =
            ["--name", "the orders", "--output", "/tmp/o.toml", "--port", "3307", "--gateway", "fd77::fe"];
        let odd = wishes(&words);
        let again = odd.again("fd77::100/64".parse().unwrap(), "it's");
        assert_eq!(
            again,
            r"haipmgr init --vip fd77::100/64 --user 'it'\''s' --name 'the orders' --output /tmp/o.toml --port 3307 --gateway fd77::fe"
        );
        assert_eq!(odd.config(), " --config /tmp/o.toml");
    }

    #[test]
    fn whoever_has_no_account_yet_is_told_the_readmes_own_line() {
        let readme = include_str!("../../../../../README.md");
        let vip: Vip = "10.77.0.100".parse().unwrap();
        let said = account_first(Path::new("/etc/haipmgr/account.sql"), vip, "haip", &wishes(&[]));
        let line = said.lines().find_map(|line| line.strip_prefix("    mysql ")).unwrap();
        assert!(readme.contains(&format!("\nmysql {line}")), "{line}");
    }
}
