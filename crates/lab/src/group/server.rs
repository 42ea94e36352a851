//! One mysqld: its option file, its process, and what it says.

use std::fmt;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::template::RECOVERY;
use super::{GroupError, Identity};
use crate::host::Host;
use crate::namespace::Layout;
use crate::segment::databases;
use crate::statement;

/// `STOP GROUP_REPLICATION` may take its time; a server that says nothing for this long hangs.
const STATEMENT_LIMIT: Duration = Duration::from_secs(90);
/// A look at the group takes a millisecond.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// Pause between two attempts to reach a starting server.
const KNOCK_EVERY: Duration = Duration::from_millis(50);

/// A server's own word on the group.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// When the answer was there.
    pub seen_at: Instant,
    /// The members as this server knows them.
    pub members: Vec<Member>,
    /// Whether it refuses writes from everybody.
    pub super_read_only: bool,
}

/// One row of `performance_schema.replication_group_members`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its `report_host`; `None` while Group Replication has never run.
    pub address: Option<Ipv4Addr>,
    /// `MEMBER_STATE`.
    pub state: String,
    /// `MEMBER_ROLE`.
    pub role: String,
}

impl ServerView {
    /// The member that this server takes for primary, when it sees it ONLINE among a majority it can reach.
    pub fn primary(&self) -> Option<Ipv4Addr> {
        let unreachable = self.members.iter().filter(|member| member.state == "UNREACHABLE").count();
        if 2 * unreachable >= self.members.len() {
            return None;
        }
        let leads = |member: &&Member| member.role == "PRIMARY" && member.state == "ONLINE";
        self.members.iter().find(leads).and_then(|member| member.address)
    }

    /// The state of the member at `address`.
    pub fn state_of(&self, address: Ipv4Addr) -> Option<&str> {
        self.members.iter().find(|member| member.address == Some(address)).map(|member| member.state.as_str())
    }
}

impl fmt::Display for ServerView {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, member) in self.members.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            let address = member.address.map_or_else(|| "?".to_owned(), |address| address.to_string());
            write!(out, "{comma}{address} {} {}", member.state, member.role)?;
        }
        if self.super_read_only { write!(out, ", read-only") } else { Ok(()) }
    }
}

/// A server of the group.
#[derive(Debug)]
pub struct Server {
    host: String,
    address: Ipv4Addr,
    option_file: String,
    data: PathBuf,
    socket: PathBuf,
    error_log: PathBuf,
    /// What its mysqld is chrooted into.
    pub(super) root: PathBuf,
    process: Option<Child>,
}

impl Server {
    /// Writes the option file. `number` is its server ID, from 1.
    pub(super) fn prepare(
        layout: &Layout,
        host: &Host,
        number: u32,
        identity: Identity,
    ) -> Result<Self, GroupError> {
        let folder = layout.data();
        let name = format!("{}{}", host.name(), identity.suffix);
        let file = folder.join(format!("{name}.cnf"));
        let mixed = layout.older_root().is_dir();
        fs::write(&file, option_file(&name, host.address(), number, identity, mixed))
            .map_err(GroupError::io(format!("can't write {}", file.display())))?;
        Ok(Self {
            host: host.name().to_owned(),
            address: host.address(),
            option_file: format!("/data/{name}.cnf"),
            data: folder.join(&name),
            socket: folder.join(format!("{name}.sock")),
            error_log: folder.join(format!("{name}.err")),
            root: super::first_root(layout),
            process: None,
        })
    }

    /// Its data directory.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Its host's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its address on the segment.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its unix socket, on which `root` needs no password.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its error log.
    pub fn error_log(&self) -> &Path {
        &self.error_log
    }

    /// Its process, while the lab believes it to run.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Starts mysqld on its host. Returns before it answers.
    pub fn start(&mut self, host: &Host) -> Result<(), GroupError> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.error_log)
            .map_err(GroupError::io(format!("can't open {}", self.error_log.display())))?;
        let child = host
            .command_in(&self.root, "/usr/sbin/mysqld")
            .arg(format!("--defaults-file={}", self.option_file))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(GroupError::io(format!("can't start mysqld on {}", self.host)))?;
        self.process = Some(child);
        Ok(())
    }

    /// From its next start on it listens at its own address alone, or, as by MySQL's default, at every one.
    pub fn listen_at_own_address_alone(&self, alone: bool) -> Result<(), GroupError> {
        let file = self.data.with_extension("cnf");
        let failed = || GroupError::io(format!("can't rewrite {}", file.display()));
        let text = fs::read_to_string(&file).map_err(failed())?;
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("bind_address")).collect();
        let bound = format!("bind_address = {}", self.address);
        if alone {
            lines.insert(1, &bound);
        }
        fs::write(&file, lines.join("\n") + "\n").map_err(failed())
    }

    /// Whether its process is there. A process that has ended is reaped.
    pub fn is_running(&mut self) -> bool {
        let running = self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)));
        if !running {
            self.process = None;
        }
        running
    }

    /// Waits until a server that was told to shut down has ended, and kills it after `patience`.
    ///
    /// It answers for seconds after the order. With a commit of a client still waiting for the group, MySQL 9.7 then stands
    /// still for about a minute (`Plugin 'group_replication' is stopping`); that commit is rolled back either way.
    pub fn wait_end(&mut self, patience: Duration) -> Result<(), GroupError> {
        let since = Instant::now();
        while self.is_running() {
            if since.elapsed() > patience {
                return self.kill();
            }
            std::thread::sleep(KNOCK_EVERY);
        }
        Ok(())
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) -> Result<(), GroupError> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let failed = || GroupError::io(format!("can't kill mysqld on {}", self.host));
        process.kill().map_err(failed())?;
        process.wait().map(drop).map_err(failed())
    }

    /// Lets its process stand still (SIGSTOP): its connections stay open, and nothing is answered.
    pub fn freeze(&self) -> Result<(), GroupError> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on (SIGCONT). One that does not stand still does not notice.
    pub fn thaw(&self) -> Result<(), GroupError> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), GroupError> {
        let Some(process) = &self.process else { return Ok(()) };
        // It is not reaped yet, so that the pid can be no other process's.
        let pid = Pid::from_raw(i32::try_from(process.id()).unwrap_or(i32::MAX));
        kill(pid, signal).map_err(|cause| {
            GroupError::io(format!("can't send {signal} to mysqld on {}", self.host))(cause.into())
        })
    }

    /// Waits until it takes a connection, or has ended.
    pub(super) fn wait_for_answer(&self, limit: Duration) -> Result<(), GroupError> {
        let since = Instant::now();
        while self.admin_within(LOOK_LIMIT).is_err() {
            if since.elapsed() > limit {
                let what = format!("mysqld on {} does not answer", self.host);
                return Err(GroupError::TooLong { what, limit, words: self.last_words() });
            }
            std::thread::sleep(KNOCK_EVERY);
        }
        Ok(())
    }

    /// A connection as `root`, through the unix socket.
    pub fn admin(&self) -> Result<Conn, GroupError> {
        self.admin_within(STATEMENT_LIMIT)
    }

    fn admin_within(&self, limit: Duration) -> Result<Conn, GroupError> {
        let options = OptsBuilder::new()
            .user(Some("root"))
            .socket(self.socket.to_str())
            .read_timeout(Some(limit))
            .write_timeout(Some(limit));
        Conn::new(options).map_err(self.said("connecting"))
    }

    /// Runs one statement as `root` and drops what it returns.
    pub fn run(&self, statement: &str) -> Result<(), GroupError> {
        statement::run(&mut self.admin()?, statement).map_err(self.said(statement))
    }

    /// What it says of the group, now.
    pub fn view(&self) -> Result<ServerView, GroupError> {
        let statement = "SELECT MEMBER_HOST, MEMBER_STATE, MEMBER_ROLE, @@super_read_only \
                         FROM performance_schema.replication_group_members";
        let mut connection = self.admin_within(LOOK_LIMIT)?;
        let rows: Vec<(String, String, String, bool)> =
            connection.query(statement).map_err(self.said(statement))?;
        let super_read_only = rows.first().is_some_and(|row| row.3);
        let members = rows
            .into_iter()
            .map(|(host, state, role, _)| Member { address: host.parse().ok(), state, role })
            .collect();
        Ok(ServerView { seen_at: Instant::now(), members, super_read_only })
    }

    /// Whether it makes itself writable when it becomes the primary, by the member action of that name.
    pub(super) fn becomes_writable(&self) -> Result<bool, GroupError> {
        let statement = "SELECT enabled FROM performance_schema.replication_group_member_actions \
                         WHERE name = 'mysql_disable_super_read_only_if_primary'";
        let found: Option<bool> = self.admin()?.query_first(statement).map_err(self.said(statement))?;
        Ok(found.unwrap_or_default())
    }

    /// The transactions that it has: executed, or received and not yet applied when it died. Those it applies before it joins
    /// (MySQL 9.7 manual, 20.5.2 "Restarting a Group").
    pub(super) fn transactions(&self) -> Result<String, GroupError> {
        let statement = "SELECT CONCAT_WS(',', @@GLOBAL.gtid_executed, \
             (SELECT RECEIVED_TRANSACTION_SET FROM performance_schema.replication_connection_status \
             WHERE CHANNEL_NAME = 'group_replication_applier'))";
        let found: Option<String> = self.admin()?.query_first(statement).map_err(self.said(statement))?;
        Ok(found.unwrap_or_default())
    }

    /// Whether the first of two servers, by what each has, lacks a transaction of the other.
    pub(super) fn lacks(&self, first: &str, other: &str) -> Result<bool, GroupError> {
        let statement = "SELECT NOT GTID_SUBSET(?, ?)";
        let found: Option<bool> =
            self.admin()?.exec_first(statement, (other, first)).map_err(self.said(statement))?;
        Ok(found.unwrap_or_default())
    }

    /// Its version, as it writes it.
    pub(crate) fn version(&self) -> Result<String, GroupError> {
        let statement = "SELECT VERSION()";
        let found: Option<String> = self.admin()?.query_first(statement).map_err(self.said(statement))?;
        Ok(found.unwrap_or_default())
    }

    /// Its UUID.
    pub fn uuid(&self) -> Result<String, GroupError> {
        let statement = "SELECT @@server_uuid";
        let found: Option<String> = self.admin()?.query_first(statement).map_err(self.said(statement))?;
        Ok(found.unwrap_or_default())
    }

    /// The account that it fetches missing transactions with when it joins.
    pub(super) fn set_recovery_account(&self) -> Result<(), GroupError> {
        let (user, password) = RECOVERY;
        self.run(&format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_USER = '{user}', SOURCE_PASSWORD = '{password}' \
             FOR CHANNEL 'group_replication_recovery'"
        ))
    }

    /// Leaves the group, if it has been expelled, and joins the one that is there.
    pub(super) fn rejoin(&self) -> Result<(), GroupError> {
        // What exit_state_action may have left behind.
        self.run("SET GLOBAL offline_mode = OFF")?;
        // A member in ERROR must stop first. One that is OFFLINE answers with an error that says just that.
        let _ = self.run("STOP GROUP_REPLICATION");
        self.run("START GROUP_REPLICATION")
    }

    /// The end of its error log.
    pub fn last_words(&self) -> String {
        fs::read_to_string(&self.error_log)
            .map_or_else(|error| format!("(no error log: {error})"), |all| tail(&all))
    }

    /// For `map_err`: names the server and the statement.
    pub(crate) fn said(&self, statement: &str) -> impl FnOnce(mysql::Error) -> GroupError {
        let (host, statement) = (self.host.clone(), statement.to_owned());
        let words = self.last_words();
        move |cause| GroupError::Statement { host, statement, cause: Box::new(cause), words }
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// MySQL's own defaults, but for what Group Replication demands, and less memory.
fn option_file(name: &str, address: Ipv4Addr, number: u32, identity: Identity, mixed: bool) -> String {
    let Identity { group_name, mysql_port, .. } = identity;
    let group_port = identity.group_port();
    let stack = Identity::stack_options(name, mixed);
    let seeds: Vec<String> = databases().iter().map(|(_, member)| format!("{member}:{group_port}")).collect();
    let seeds = seeds.join(",");
    format!(
        "[mysqld]
user = root
server_id = {number}
port = {mysql_port}
datadir = /data/{name}
socket = /data/{name}.sock
pid_file = /data/{name}.pid
report_host = {address}
secure_file_priv = NULL
skip_name_resolve = ON
mysqlx = OFF
innodb_buffer_pool_size = 64M
innodb_redo_log_capacity = 64M
gtid_mode = ON
enforce_gtid_consistency = ON
plugin_load_add = group_replication.so
loose-group_replication_group_name = {group_name}
loose-group_replication_local_address = {address}:{group_port}
loose-group_replication_group_seeds = {seeds}
loose-group_replication_start_on_boot = OFF
loose-group_replication_recovery_get_public_key = ON
{stack}"
    )
}
