//! Three MySQL servers, from empty disks to one group, and back to one group after a fault.
//!
//! The lab speaks to the servers through their unix sockets, never over the segment: what it breaks there must not
//! keep it from seeing or healing.

mod server;
mod stack;
mod template;

use std::time::{Duration, Instant};

pub use server::{Member, Server, ServerView};
pub use stack::{Stack, stack};

use crate::host::Host;
use crate::namespace::Layout;
use crate::statement;

/// MySQL's port, on every host.
pub const MYSQL_PORT: u16 = 3306;
/// The agents' account.
pub const AGENT_USER: &str = "haip";
/// Its password.
pub const AGENT_PASSWORD: &str = "haip-Secret$1";
/// The writing client's account.
pub const CLIENT_USER: &str = "app";
/// Its password.
pub const CLIENT_PASSWORD: &str = "app-Secret1";

/// What tells one group from another that runs on the same hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Ends the names of its servers' files; empty for the lab's own group.
    pub suffix: &'static str,
    /// `group_replication_group_name`: any UUID will do, but it must be the same everywhere.
    pub group_name: &'static str,
    /// MySQL's port, on every host.
    pub mysql_port: u16,
    /// The port that Group Replication has of its own with the stack XCOM, on every host.
    xcom_port: u16,
}

/// The lab's own group, whose VIP the clients write through.
pub const FIRST: Identity = Identity {
    suffix: "",
    group_name: "5ea1ab1e-0000-4000-8000-000000000001",
    mysql_port: MYSQL_PORT,
    xcom_port: 33061,
};
/// Another one on the same hosts, for agents that serve two.
pub const SECOND: Identity = Identity {
    suffix: "-second",
    group_name: "5ea1ab1e-0000-4000-8000-000000000002",
    mysql_port: 3307,
    xcom_port: 33071,
};

/// How long a server may take from its start to its first answer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The same where it upgrades its data directory first: half a minute alone, minutes on a busy machine.
const UPGRADE_LIMIT: Duration = Duration::from_secs(300);
/// What makes a new primary writable.
const ACTION: &str = "'mysql_disable_super_read_only_if_primary', 'AFTER_PRIMARY_ELECTION'";
/// How long an order about it may take until every server has it; one that has not is made to join anew.
const ACTION_TAKES: Duration = Duration::from_secs(2);
/// How long it may take until every server has it enabled, or disabled.
const ACTION_LIMIT: Duration = Duration::from_secs(20);
/// How long the group may take until all members are ONLINE. A member that died must be expelled before it can come
/// back, which takes 21 s with MySQL's defaults.
const WHOLE_LIMIT: Duration = Duration::from_secs(120);
/// A server that has not answered for this long is killed, to be started again. MySQL 9.7 takes a minute to shut down when a
/// client's commit was under way as it left the group.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pause between two attempts to join: a refused attempt takes seconds itself.
const JOIN_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Why the group could not be made, asked or healed.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// A file or process operation failed.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done, to which file.
        what: String,
        /// The system's answer.
        cause: std::io::Error,
    },
    /// The first server's data directory could not be made.
    #[error("mysqld --initialize-insecure ended with {status}. Its last words:\n{words}")]
    NotInitialised {
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The tail of its output.
        words: String,
    },
    /// A statement failed.
    #[error("{host}: {statement}: {cause}. The server's last words:\n{words}")]
    Statement {
        /// The server's host.
        host: String,
        /// What was asked.
        statement: String,
        /// What the server or the library answered.
        cause: Box<mysql::Error>,
        /// The tail of its error log.
        words: String,
    },
    /// Something did not happen in time.
    #[error("{what}, even after {}. {words}", limit.as_secs_f64())]
    TooLong {
        /// What did not happen.
        what: String,
        /// How long was waited.
        limit: Duration,
        /// What the servers say of it.
        words: String,
    },
    /// No server leads the group.
    #[error("the group has no primary that a majority agrees on. {words}")]
    NoPrimary {
        /// What each server says.
        words: String,
    },
}

impl GroupError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}

/// The root of the mysqld that the servers begin with: the older one, where there is one.
fn first_root(layout: &Layout) -> std::path::PathBuf {
    let older = layout.older_root();
    if older.is_dir() { older } else { layout.root() }
}

/// The servers, in the order of [`crate::segment::databases`].
#[derive(Debug)]
pub struct Group {
    servers: Vec<Server>,
    /// A group is born once. A second bootstrap would make a second group.
    born: bool,
}

impl Group {
    /// Makes the data directories, starts the servers, and waits until all are ONLINE in one group.
    pub fn start(
        layout: &Layout,
        hosts: &[Host],
        identity: Identity,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, GroupError> {
        progress("making an empty database");
        template::make(layout, &hosts[0])?;
        let mut servers = Vec::new();
        for (number, host) in (1..).zip(hosts) {
            let server = Server::prepare(layout, host, number, identity)?;
            template::copy(layout, server.data())?;
            servers.push(server);
        }
        template::remove(layout)?;
        let mut group = Self { servers, born: false };
        progress("starting the servers");
        for (server, host) in group.servers.iter_mut().zip(hosts) {
            server.start(host)?;
        }
        for server in &group.servers {
            server.wait_for_answer(START_LIMIT)?;
            server.set_recovery_account()?;
        }
        progress("forming the group");
        group.bootstrap(0)?;
        for server in &group.servers[1..] {
            server.run("START GROUP_REPLICATION")?;
        }
        group.wait_whole(WHOLE_LIMIT)?;
        Ok(group)
    }

    fn bootstrap(&mut self, first: usize) -> Result<(), GroupError> {
        if self.born {
            return Ok(());
        }
        self.born = true;
        let first = &self.servers[first];
        let mut connection = first.admin()?;
        for statement in [
            "SET GLOBAL group_replication_bootstrap_group = ON",
            "START GROUP_REPLICATION",
            "SET GLOBAL group_replication_bootstrap_group = OFF",
        ] {
            statement::run(&mut connection, statement).map_err(first.said(statement))?;
        }
        Ok(())
    }

    /// Makes the agents' account and procedures anew, by the text that `haipmgr sql` prints: so it is seen to work.
    pub fn make_agents_account(&self, sql: &str) -> Result<(), GroupError> {
        let primary = &self.servers[self.primary()?];
        let mut connection = primary.admin()?;
        let sql = format!("DROP USER IF EXISTS '{AGENT_USER}'@'%';\n{sql}")
            .replace("put the password here", AGENT_PASSWORD);
        for statement in sql.split_terminator(";\n") {
            statement::run(&mut connection, statement).map_err(primary.said(statement))?;
        }
        Ok(())
    }

    /// Gives the agents' account again what the text that `haipmgr sql` prints gives it: a procedure that another's SQL has made anew is
    /// nobody's until it is granted.
    pub fn grant_to_agents_account(&self, sql: &str) -> Result<(), GroupError> {
        let primary = &self.servers[self.primary()?];
        let mut connection = primary.admin()?;
        let of_agents = format!("'{AGENT_USER}'@");
        for statement in
            sql.split_terminator(";\n").filter(|line| line.starts_with("GRANT") && line.contains(&of_agents))
        {
            statement::run(&mut connection, statement).map_err(primary.said(statement))?;
        }
        Ok(())
    }

    /// All servers.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// A server to start, stop or kill.
    pub fn server_mut(&mut self, number: usize) -> Option<&mut Server> {
        self.servers.get_mut(number)
    }

    /// Starts the newer mysqld in the place of a server that was told to shut down, waits until its data directory is upgraded, and
    /// [`Self::heal`]s it.
    pub(crate) fn upgrade(&mut self, place: usize, host: &Host, layout: &Layout) -> Result<(), GroupError> {
        let server = &mut self.servers[place];
        server.wait_end(SHUTDOWN_PATIENCE)?;
        server.root = layout.root();
        server.start(host)?;
        server.wait_for_answer(UPGRADE_LIMIT)?;
        self.heal(place, host)
    }

    /// What each server says of the group, and when it was asked. A server that does not answer gives its error.
    pub fn views(&self) -> Vec<Result<ServerView, GroupError>> {
        self.servers.iter().map(Server::view).collect()
    }

    /// The place, in [`Group::servers`], of the member that a majority calls primary and that takes writes.
    pub fn primary(&self) -> Result<usize, GroupError> {
        let views = self.views();
        let votes = |address| {
            let agrees = |view: &&ServerView| view.primary() == Some(address);
            views.iter().flatten().filter(agrees).count()
        };
        self.servers
            .iter()
            .zip(&views)
            .position(|(server, view)| {
                2 * votes(server.address()) > self.servers.len()
                    && view.as_ref().is_ok_and(|view| !view.super_read_only)
            })
            .ok_or_else(|| GroupError::NoPrimary { words: self.describe() })
    }

    /// Whether every server says that all are ONLINE.
    pub fn is_whole(&self) -> bool {
        self.views().iter().all(|view| {
            view.as_ref().is_ok_and(|view| {
                view.members.len() == self.servers.len()
                    && view.members.iter().all(|member| member.state == "ONLINE")
            })
        })
    }

    /// Waits until every server says that all are ONLINE, and they agree on a primary that takes writes.
    pub fn wait_whole(&self, limit: Duration) -> Result<usize, GroupError> {
        let since = Instant::now();
        loop {
            if self.is_whole()
                && let Ok(primary) = self.primary()
            {
                return Ok(primary);
            }
            if since.elapsed() > limit {
                let what = "the group is not whole".to_owned();
                return Err(GroupError::TooLong { what, limit, words: self.describe() });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the primary's own view has this member no more.
    pub fn wait_without(&self, member: usize, limit: Duration) -> Result<(), GroupError> {
        let since = Instant::now();
        let gone = || {
            let view = self.servers[self.primary()?].view()?;
            Ok::<_, GroupError>(view.state_of(self.servers[member].address()).is_none())
        };
        while !gone()? {
            if since.elapsed() > limit {
                let what = format!("{} is not expelled", self.servers[member].host());
                return Err(GroupError::TooLong { what, limit, words: self.describe() });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Makes another member primary, and returns its place.
    pub fn switch_over(&self, to: usize) -> Result<usize, GroupError> {
        let uuid = self.servers[to].uuid()?;
        self.servers[to].run(&format!("SELECT group_replication_set_as_primary('{uuid}')"))?;
        Ok(to)
    }

    /// Whether new primaries become writable (MySQL's member action of that name), said on the primary. Waits until every server has it so: it
    /// travels with the group's messages, and the next switchover may come before it. A member that was in offline mode since it joined hears of
    /// one such change and of none after it (findings/offline-mode-stops-member-actions.sh): it is made to join anew, and is told then.
    pub fn make_new_primaries_writable(&self, primary: usize, writable: bool) -> Result<(), GroupError> {
        let set = if writable { "enable" } else { "disable" };
        self.servers[primary].run(&format!("SELECT group_replication_{set}_member_action({ACTION})"))?;
        let since = Instant::now();
        let mut joined_anew = false;
        loop {
            let has_it = |server: &&Server| server.becomes_writable().is_ok_and(|is| is == writable);
            let deaf: Vec<&Server> = self.servers.iter().filter(|server| !has_it(server)).collect();
            if deaf.is_empty() && self.is_whole() {
                return Ok(());
            }
            if since.elapsed() > ACTION_LIMIT {
                let what = format!("not every server has {ACTION} {set}d");
                return Err(GroupError::TooLong { what, limit: ACTION_LIMIT, words: self.describe() });
            }
            if !joined_anew && since.elapsed() > ACTION_TAKES {
                joined_anew = true;
                for server in deaf.iter().filter(|server| server.address() != self.servers[primary].address())
                {
                    server.rejoin()?;
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// A member leaves the group and joins it again, and the group is whole: what only a join mends.
    pub(crate) fn join_anew(&mut self, number: usize, host: &Host) -> Result<(), GroupError> {
        self.servers[number].rejoin()?;
        self.heal(number, host)
    }

    /// Brings a member back, whatever became of it, and waits until the group is whole. Never makes a new group.
    pub fn heal(&mut self, number: usize, host: &Host) -> Result<(), GroupError> {
        self.heal_each(&[(number, host)])
    }

    /// The same of several at once: the group is whole only when all of them are back.
    pub(crate) fn heal_each(&mut self, members: &[(usize, &Host)]) -> Result<(), GroupError> {
        let since = Instant::now();
        let mut answered = vec![since; members.len()];
        loop {
            let mut all_at_work = true;
            for ((number, host), answered) in members.iter().zip(&mut answered) {
                match self.nudge(*number, host, answered) {
                    Ok(at_work) => all_at_work &= at_work,
                    Err(error) if since.elapsed() > WHOLE_LIMIT => return Err(error),
                    Err(_) => {
                        all_at_work = false;
                        std::thread::sleep(JOIN_AGAIN_AFTER);
                    }
                }
            }
            if all_at_work && self.is_whole() {
                return Ok(());
            }
            if since.elapsed() > WHOLE_LIMIT {
                let what = "not every member comes back to the group".to_owned();
                return Err(GroupError::TooLong { what, limit: WHOLE_LIMIT, words: self.describe() });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Starts a server that does not run, kills one that hangs, and has it join the group where it is not in it. Gives whether it
    /// was found in the group. It fails while the group still counts on the member's former life, until that is expelled.
    fn nudge(&mut self, number: usize, host: &Host, answered: &mut Instant) -> Result<bool, GroupError> {
        // Looked at each time: after SHUTDOWN the process goes on for seconds, and answers, before it ends.
        let server = &mut self.servers[number];
        if server.view().is_ok() {
            *answered = Instant::now();
        } else if answered.elapsed() > SHUTDOWN_PATIENCE {
            server.kill()?;
        }
        if !server.is_running() {
            server.start(host)?;
            server.wait_for_answer(START_LIMIT)?;
            *answered = Instant::now();
        }
        // So is this: a member that was cut off calls itself ONLINE until it learns that it was expelled.
        let state = server.view().ok().and_then(|view| view.state_of(server.address()).map(str::to_owned));
        let at_work = matches!(state.as_deref(), Some("ONLINE" | "RECOVERING"));
        if !at_work {
            server.rejoin()?;
        }
        Ok(at_work)
    }

    /// Starts all servers after all have died, and forms the group anew: by the one that has every transaction that any of them
    /// has. Returns its place once all are ONLINE.
    pub fn cold_start(&mut self, hosts: &[Host]) -> Result<usize, GroupError> {
        for (server, host) in self.servers.iter_mut().zip(hosts) {
            server.start(host)?;
        }
        let mut has = Vec::new();
        for server in &self.servers {
            server.wait_for_answer(START_LIMIT)?;
            has.push(server.transactions()?);
        }
        let mut first = 0;
        for (place, server) in self.servers.iter().enumerate() {
            if server.lacks(&has[first], &has[place])? {
                first = place;
            }
        }
        self.born = false;
        self.bootstrap(first)?;
        // A member that was killed as it had just joined may fail once more before it is ONLINE.
        let others: Vec<_> = hosts.iter().enumerate().filter(|(place, _)| *place != first).collect();
        self.heal_each(&others)?;
        self.wait_whole(WHOLE_LIMIT)
    }

    /// Kills all servers. Their files stay.
    pub fn end(&mut self) -> Result<(), GroupError> {
        self.servers.iter_mut().try_for_each(Server::kill)
    }

    /// In one line, what each server says.
    pub fn describe(&self) -> String {
        let each = self.servers.iter().map(|server| match server.view() {
            Ok(view) if view.state_of(server.address()).is_none_or(|state| state == "ERROR") => {
                format!("{} says: {view}; its last words:\n{}", server.host(), server.last_words())
            }
            Ok(view) => match server.becomes_writable() {
                Ok(true) => format!("{} says: {view}", server.host()),
                _ => format!("{} says: {view}; as a new primary it would stay read-only", server.host()),
            },
            Err(_) => format!("{} does not answer; its last words:\n{}", server.host(), server.last_words()),
        });
        each.collect::<Vec<_>>().join("; ")
    }
}
