//! `haipmgr switchover` on a real group: each refusal provoked, with its exit status and sentence; what is done, and what is waited for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::expect::{followed, promise, untouched};
use super::{Broken, UnderTest};
use crate::agents::{CONFIGURATION, write};
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::group::{AGENT_USER, CLIENT_PASSWORD, CLIENT_USER, Server};
use crate::statement;

/// Exit statuses (docs/switchover.md).
const DONE: i32 = 0;
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const REFUSED: i32 = 4;
const UNDER_WAY: i32 = 5;

/// An idle transaction counts as one that does not end by itself from a second on; the server counts whole seconds.
const IDLE_FOR: Duration = Duration::from_millis(2_100);
/// A statement that changes nothing, and pushes another out of the server's statement history.
const FORGETS: &str = "DO 1";
/// How long a member that joins may take to be seen RECOVERING.
const RECOVERS_WITHIN: Duration = Duration::from_secs(20);
/// Rows that the target is behind, more than it may be.
const BEHIND: usize = 1_100;
/// The primary, a member to switch to, and the host that the command is typed on.
struct Places {
    old: usize,
    to: usize,
    typed_on: usize,
}

impl Places {
    fn of(experiment: &Experiment) -> Result<Self, Broken> {
        let old = experiment.lab.group.primary()?;
        let members = experiment.lab.segment.databases.len();
        Ok(Self { old, to: (old + 1) % members, typed_on: (old + 2) % members })
    }
}

fn typed(experiment: &Experiment, on: usize, arguments: &[&str]) -> Result<Output, Broken> {
    let all: Vec<&str> = ["switchover"].iter().chain(arguments).copied().collect();
    Ok(experiment.lab.agents[on].command(&experiment.lab.segment.databases[on], &all)?)
}

fn words(said: &Output) -> String {
    String::from_utf8_lossy(&[said.stdout.as_slice(), said.stderr.as_slice()].concat()).into_owned()
}

/// That it ended with this status, and said all of this.
fn says(said: &Output, status: i32, sentences: &[&str]) -> Result<(), Broken> {
    let words = words(said);
    promise(said.status.code() == Some(status), || format!("{}, and not {status}: {words}", said.status))?;
    for sentence in sentences {
        promise(words.contains(sentence), || format!("it does not say {sentence:?}: {words}"))?;
    }
    Ok(())
}

/// A session of a server in which these statements were run, and which stays open.
fn session(server: &Server, statements: &[&str]) -> Result<Conn, Broken> {
    session_of(server, "root", statements)
}

/// The same of this account.
fn session_of(server: &Server, account: &str, statements: &[&str]) -> Result<Conn, Broken> {
    let password = (account != "root").then_some(CLIENT_PASSWORD);
    let options = OptsBuilder::new().user(Some(account)).pass(password).socket(server.socket().to_str());
    let mut connection = Conn::new(options).map_err(server.said("connecting"))?;
    for statement in statements {
        statement::run(&mut connection, statement).map_err(server.said(statement))?;
    }
    Ok(connection)
}

fn address(experiment: &Experiment, place: usize) -> String {
    experiment.lab.segment.databases[place].address().to_string()
}

/// On the old primary, on the target and in the group: what does not end by itself, with nothing changed.
pub(super) fn refuses(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("haipmgr switchover, refused", |experiment| {
        let Places { old, to, typed_on } = Places::of(experiment)?;
        let (old_at, to_at) = (address(experiment, old), address(experiment, to));
        let servers = experiment.lab.group.servers();
        servers[old].run("CREATE TABLE IF NOT EXISTS lab.held (id INT PRIMARY KEY)")?;
        let ask = |arguments: &[&str]| typed(experiment, typed_on, arguments);
        let refused = |sentences: &[&str]| says(&ask(&["--yes", "--to", &to_at])?, REFUSED, sentences);

        for (statements, sentence) in [
            (
                &["BEGIN", "INSERT INTO lab.held VALUES (1)"][..],
                "is in a transaction opened by BEGIN, idle for",
            ),
            (
                &["SET autocommit = 0", "BEGIN", "INSERT INTO lab.held VALUES (1)"],
                "is in a transaction opened by BEGIN, idle for",
            ),
            (&["LOCK TABLES lab.held WRITE"], "holds table locks (LOCK TABLES)"),
        ] {
            let held = session(&servers[old], statements)?;
            let id = held.connection_id();
            // What is waited for is that nobody is at work on it.
            std::thread::sleep(IDLE_FOR);
            refused(&[
                sentence,
                &format!("session {id} on {old_at} does not end by itself"),
                &format!("on {old_at}: KILL {id}"),
            ])?;
        }
        for (statements, sentence) in [
            (&["FLUSH TABLES WITH READ LOCK"][..], "holds the global read lock"),
            (&["LOCK TABLES lab.held READ"], "holds table locks (LOCK TABLES)"),
        ] {
            let held = session(&servers[to], statements)?;
            refused(&[
                sentence,
                &format!("{to_at} is not fit: 1 of its sessions would hold the switchover up"),
                &format!("on {to_at}: KILL {}", held.connection_id()),
            ])?;
        }
        refused_target(experiment, typed_on, old, to)?;
        says(&ask(&["--to", &to_at])?, USAGE, &["nobody can be asked", "--yes"])?;
        says(&ask(&["--yes", "--to", "db9"])?, REFUSED, &["db9 is no member that answers here"])?;
        says(&ask(&["--yes", "--to", &old_at])?, DONE, &["it is the primary already; nothing was changed"])?;
        says(&ask(&["--dry-run"])?, DONE, &["would be made the primary; nothing was changed"])?;
        servers[old].run("DROP TABLE lab.held")?;
        Ok::<_, Broken>(())
    })?;
    untouched(&under_test.experiment, &figures)
}

/// A target that is behind, does not answer, or is not ONLINE.
fn refused_target(experiment: &Experiment, typed_on: usize, old: usize, to: usize) -> Result<(), Broken> {
    let to_at = address(experiment, to);
    let servers = experiment.lab.group.servers();
    let refused = |sentence: &str| {
        says(&typed(experiment, typed_on, &["--yes", "--to", &to_at])?, REFUSED, &[sentence])
    };
    {
        let mut held = session(&servers[to], &["FLUSH TABLES WITH READ LOCK"])?;
        let mut writer = session(&servers[old], &[])?;
        for row in 0..BEHIND {
            statement::run(&mut writer, format!("REPLACE INTO lab.held VALUES ({row})"))
                .map_err(servers[old].said("REPLACE"))?;
        }
        refused("it is behind by")?;
        statement::run(&mut held, "UNLOCK TABLES").map_err(servers[to].said("UNLOCK TABLES"))?;
    }
    servers[to].freeze()?;
    let silent = refused(&format!("{to_at} is not fit: its server cannot be asked"));
    servers[to].thaw()?;
    silent?;
    servers[to].run("STOP GROUP_REPLICATION")?;
    let stopped = refused(&format!("{to_at} is not fit: it is not in the primary's group"));
    servers[to].run("START GROUP_REPLICATION")?;
    stopped
}

/// What lasts in other ways: a transaction whose beginning nobody remembers, a read lock, a long statement, a member that recovers; and the
/// person who is asked and says no.
pub(super) fn refuses_what_lasts(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures =
        under_test.experiment.watched("haipmgr switchover, refused for what lasts", |experiment| {
            let Places { old, to, typed_on } = Places::of(experiment)?;
            let (old_at, to_at) = (address(experiment, old), address(experiment, to));
            let server = &experiment.lab.group.servers()[old];
            server.run("CREATE TABLE IF NOT EXISTS lab.held (id INT PRIMARY KEY)")?;
            let ask = |arguments: &[&str]| typed(experiment, typed_on, arguments);
            // Ten statements later the server's history has its beginning no more.
            let mut forgotten = vec!["SET autocommit = 0", "BEGIN", "INSERT INTO lab.held VALUES (1)"];
            forgotten.extend([FORGETS; 12]);
            for (statements, sentence) in [
                (forgotten.as_slice(), "under autocommit = 0, perhaps opened by BEGIN, idle for"),
                (&["FLUSH TABLES WITH READ LOCK"][..], "holds the global read lock"),
            ] {
                let held = session(server, statements)?;
                let id = held.connection_id();
                if statements.len() > 1 {
                    // What is waited for is that nobody is at work on it.
                    std::thread::sleep(IDLE_FOR);
                }
                let named = format!("session {id} on {old_at} does not end by itself");
                says(&ask(&["--yes", "--to", &to_at])?, REFUSED, &[sentence, &named])?;
            }
            a_long_statement(experiment, typed_on, old, &to_at)?;
            server.run("DROP TABLE lab.held")?;
            a_target_that_recovers(experiment, typed_on, old, to)?;
            asked_and_said_no(experiment, typed_on, &to_at)?;
            says(
                &ask(&["--yes", "--cluster", "no"])?,
                USAGE,
                &["there is no cluster \"no\"", "there is: lab"],
            )?;
            let no_file =
                ["--yes", "--write-as", CLIENT_USER, "--write-password-file", "/etc/haipmgr/no.password"];
            says(&ask(&no_file)?, USAGE, &["--write-password-file: ", "/etc/haipmgr/no.password"])?;
            let found = experiment.lab.group.primary()?;
            promise(found == old, || format!("each was refused, and {found} leads"))
        })?;
    untouched(&under_test.experiment, &figures)
}

fn a_long_statement(experiment: &Experiment, typed_on: usize, old: usize, to_at: &str) -> Result<(), Broken> {
    let server = &experiment.lab.group.servers()[old];
    let mut busy = session(server, &[])?;
    let id = busy.connection_id();
    let work =
        std::thread::spawn(move || statement::run(&mut busy, "REPLACE INTO lab.held SELECT SLEEP(60)"));
    // What is waited for is that it has run for longer than the limit below.
    std::thread::sleep(IDLE_FOR);
    let said = typed(experiment, typed_on, &["--yes", "--to", to_at, "--timeout", "1s"]);
    server.run(&format!("KILL {id}"))?;
    // It ends with the error of whoever was killed.
    let _ = work.join();
    let named = format!("session {id} on {} does not end by itself", address(experiment, old));
    says(&said?, REFUSED, &["has run a statement that writes for", &named])
}

/// A table that its applier is to write is locked: it stays RECOVERING until that is released.
fn a_target_that_recovers(
    experiment: &Experiment,
    typed_on: usize,
    old: usize,
    to: usize,
) -> Result<(), Broken> {
    let servers = experiment.lab.group.servers();
    servers[to].run("STOP GROUP_REPLICATION")?;
    let held = session(&servers[to], &["LOCK TABLES lab.ledger READ"])?;
    // The client writes what it will have to catch up with.
    std::thread::sleep(Duration::from_millis(500));
    servers[to].run("START GROUP_REPLICATION")?;
    let to_at = address(experiment, to);
    let shown_as = |wanted: &str| {
        let state =
            || Ok::<_, Broken>(servers[old].view()?.state_of(servers[to].address()).map(str::to_owned));
        let since = Instant::now();
        while state()?.as_deref() != Some(wanted) {
            promise(since.elapsed() < RECOVERS_WITHIN, || {
                format!("{to_at} is not {wanted}: {:?}", state().ok())
            })?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok::<_, Broken>(())
    };
    shown_as("RECOVERING")?;
    let said = typed(experiment, typed_on, &["--yes", "--to", &to_at]);
    drop(held);
    says(&said?, REFUSED, &[&format!("{to_at} is not fit: it is RECOVERING, not ONLINE")])?;
    // What comes next is to be refused for its own reason.
    shown_as("ONLINE")
}

/// At a terminal, which `script` makes.
fn asked_and_said_no(experiment: &Experiment, typed_on: usize, to_at: &str) -> Result<(), Broken> {
    let host = &experiment.lab.segment.databases[typed_on];
    let program = experiment.lab.agents[typed_on].program().display().to_string();
    let line = format!("{program} switchover --config {CONFIGURATION} --to {to_at}");
    let mut command = host.command("script");
    command.args(["-qec", &line, "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Broken::io("can't run script"))?;
    if let Some(mut keys) = child.stdin.take() {
        keys.write_all(b"no\n").map_err(Broken::io("can't type"))?;
    }
    let said = child.wait_with_output().map_err(Broken::io("can't wait for script"))?;
    let question = format!("make {to_at} the primary in place of");
    says(&said, REFUSED, &[&question, "refused    by you; nothing was changed"])
}

/// A session that is at work in a transaction opened by BEGIN, one short statement after the other.
pub(super) struct AtWork {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl AtWork {
    /// Its connection is closed, and nothing of it committed.
    pub(super) fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = self.thread.join();
    }
}

pub(super) fn at_work(server: &Server) -> Result<AtWork, Broken> {
    let mut held = session(server, &["BEGIN", "INSERT INTO lab.ledger (id, note) VALUES (0, 'held')"])?;
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let thread = std::thread::spawn(move || {
        while !is_over.load(Ordering::SeqCst) && statement::run(&mut held, "DO SLEEP(0.2)").is_ok() {}
    });
    Ok(AtWork { over, thread })
}

/// Done, with a row written through the VIP; and what it says of work that is lost, of XA and of backups, which hold nothing up.
pub(super) fn done(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut told = String::new();
    let figures = under_test.experiment.dethroning("haipmgr switchover, done", |experiment, deed| {
        let Places { old, typed_on, .. } = Places::of(experiment)?;
        let host = &experiment.lab.segment.databases[typed_on];
        write(host, "/etc/haipmgr/app.password", &format!("{CLIENT_PASSWORD}\n"), 0o600)?;
        let server = &experiment.lab.group.servers()[old];
        server.run(&format!("GRANT INSERT, DELETE ON haipmgr.written_through_vip TO '{CLIENT_USER}'@'%'"))?;
        server.run("CREATE TABLE lab.held (id INT PRIMARY KEY)")?;
        let lost = session(server, &["SET autocommit = 0", "INSERT INTO lab.held VALUES (1)"])?;
        let _prepared = session(
            server,
            &["XA START 'x1'", "INSERT INTO lab.held VALUES (2)", "XA END 'x1'", "XA PREPARE 'x1'"],
        )?;
        let _backup = session(server, &["LOCK INSTANCE FOR BACKUP"])?;
        let said = typed(
            experiment,
            typed_on,
            &[
                "--yes",
                "--reason",
                "a test",
                "--write-as",
                CLIENT_USER,
                "--write-password-file",
                "/etc/haipmgr/app.password",
            ],
        )?;
        told = words(&said);
        let id = lost.connection_id();
        says(
            &said,
            DONE,
            &[
                &format!("session {id} (root@localhost) is in a transaction under autocommit = 0"),
                "error 1290): 1 changed rows are lost",
                "lost       the work of 1 transaction under autocommit = 0",
                "prepared XA transactions: 0x7831",
                "holds the backup lock (LOCK INSTANCE FOR BACKUP)",
                "s between two rows written through the VIP",
            ],
        )?;
        let new = experiment.wait_followed(old)?;
        experiment.heals(deed);
        let servers = experiment.lab.group.servers();
        // Of what was prepared nothing is lost: it can still be committed where it was prepared, once that takes writes again.
        servers[old].run("XA ROLLBACK 'x1'")?;
        servers[new].run("DROP TABLE lab.held")?;
        Ok::<_, Broken>(())
    })?;
    let gap = told.lines().find(|line| line.starts_with("gap")).unwrap_or_default();
    Ok(format!("{}; {gap}", followed(&figures)?))
}

/// Forced past a transaction: at its limit it names the session and goes on; left alone, it still happens.
pub(super) fn still_under_way(under_test: &mut UnderTest) -> Result<String, Broken> {
    held_up(
        under_test,
        "haipmgr switchover, held up",
        "root",
        |experiment, Places { old, typed_on, .. }, session| {
            let forced = ["--yes", "--force", "--timeout", "1s", "--end-sessions"];
            let named = format!("session {session} (root@localhost) is in a transaction opened by BEGIN");
            says(
                &typed(experiment, *typed_on, &forced)?,
                UNDER_WAY,
                &[
                    "MySQL: Primary Switch: waiting for pending transactions to finish",
                    "1s are over, and the switchover is still under way; it can't be called off, and may still happen",
                    &format!("held up by {}: {named}", address(experiment, *old)),
                    &format!("not ended  session {session}: "),
                    &format!("type on {}: KILL {session}", address(experiment, *old)),
                    "still under way: 2s are over",
                ],
            )?;
            says(&typed(experiment, *typed_on, &forced)?, REFUSED, &["a switchover is under way already"])
        },
    )
}

/// Ctrl-C ends the watching, and says what goes on.
pub(super) fn interrupted(under_test: &mut UnderTest) -> Result<String, Broken> {
    held_up(
        under_test,
        "haipmgr switchover, interrupted",
        CLIENT_USER,
        |experiment, Places { typed_on, .. }, _| {
            let host = &experiment.lab.segment.databases[*typed_on];
            let mut command = host.command(experiment.lab.agents[*typed_on].program());
            command.args(["switchover", "--config", CONFIGURATION, "--yes", "--force"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().map_err(Broken::io("can't run haipmgr switchover"))?;
            let mut lines = BufReader::new(child.stdout.take().ok_or_else(no_output)?).lines();
            let begun = lines.any(|line| line.is_ok_and(|line| line.contains("MySQL: Primary Switch")));
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            kill(pid, Signal::SIGINT).map_err(|cause| Broken::io("can't interrupt haipmgr")(cause.into()))?;
            let said = child.wait_with_output().map_err(Broken::io("can't wait for haipmgr switchover"))?;
            promise(begun, || format!("it never said what MySQL is at: {}", words(&said)))?;
            says(
                &said,
                UNDER_WAY,
                &["you stopped watching", "can't be called off and goes on", "it may still happen"],
            )
        },
    )
}

fn no_output() -> Broken {
    Broken::NotAsPromised("haipmgr switchover has no standard output".to_owned())
}

/// Told to, it ends the session that holds it up, and is done.
pub(super) fn ends_the_session(under_test: &mut UnderTest) -> Result<String, Broken> {
    let outcome = held_up(
        under_test,
        "haipmgr switchover, session ended",
        CLIENT_USER,
        |experiment, Places { old, typed_on, .. }, session| {
            let server = &experiment.lab.group.servers()[*old];
            server.run(&format!("GRANT CONNECTION_ADMIN ON *.* TO '{AGENT_USER}'@'%'"))?;
            let forced = ["--yes", "--force", "--timeout", "1s", "--end-sessions"];
            let said = typed(experiment, *typed_on, &forced)?;
            says(
                &said,
                DONE,
                &[&format!("ended      session {session} on {}", address(experiment, *old)), "\ngap  "],
            )
        },
    );
    let group = &under_test.experiment.lab.group;
    group.servers()[group.primary()?]
        .run(&format!("REVOKE IF EXISTS CONNECTION_ADMIN ON *.* FROM '{AGENT_USER}'@'%'"))?;
    outcome
}

/// Has a session of this account in a transaction that BEGIN opened on the primary while `work` is done, and then ends it: the
/// switchover has happened or happens now.
fn held_up(
    under_test: &mut UnderTest,
    name: &str,
    account: &str,
    work: impl FnOnce(&Experiment, &Places, u32) -> Result<(), Broken>,
) -> Result<String, Broken> {
    let figures = under_test.experiment.dethroning(name, |experiment, deed| {
        let places = Places::of(experiment)?;
        let server = &experiment.lab.group.servers()[places.old];
        let statements = ["BEGIN", "INSERT INTO lab.ledger (id, note) VALUES (0, 'held')"];
        let held = session_of(server, account, &statements)?;
        // What is waited for is that nobody is at work on it.
        std::thread::sleep(IDLE_FOR);
        let outcome = work(experiment, &places, held.connection_id());
        drop(held);
        outcome?;
        experiment.wait_followed(places.old)?;
        experiment.heals(deed);
        Ok::<_, Broken>(())
    })?;
    periods_are_back(&under_test.experiment)?;
    followed(&figures)
}

/// Without the procedures nothing is taken for granted, and nothing is changed.
pub(super) fn without_procedures(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures =
        under_test.experiment.watched("haipmgr switchover without its procedures", |experiment| {
            let Places { old, typed_on, .. } = Places::of(experiment)?;
            let server = &experiment.lab.group.servers()[old];
            for procedure in ["make_primary", "changed_rows", "shorten_checkpoint_period"] {
                server.run(&format!(
                    "REVOKE EXECUTE ON PROCEDURE haipmgr.{procedure} FROM '{AGENT_USER}'@'%'"
                ))?;
            }
            server.run(&format!("REVOKE XA_RECOVER_ADMIN ON *.* FROM '{AGENT_USER}'@'%'"))?;
            let said = typed(experiment, typed_on, &["--yes"]);
            let host = &experiment.lab.segment.databases[typed_on];
            experiment.lab.group.make_agents_account(&experiment.lab.agents[typed_on].sql(host)?)?;
            says(
                &said?,
                FAILED,
                &[
                    "prepared XA transactions are not known: the account lacks XA_RECOVER_ADMIN",
                    "the first write may wait 0.3 s longer: the account may not call the procedure haipmgr.shorten_checkpoint_period",
                    "failed: nothing changed: the account may not call the procedure haipmgr.make_primary",
                    "run what haipmgr sql prints on the primary",
                ],
            )
        })?;
    untouched(&under_test.experiment, &figures)
}

/// The command, and its gap as a client sees it.
pub(super) fn follows(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.run(Fault::SwitchoverCommand)?;
    periods_are_back(&under_test.experiment)?;
    followed(&figures)
}

/// What was shortened on the target while the switchover was under way is as it was.
fn periods_are_back(experiment: &Experiment) -> Result<(), Broken> {
    let statement = "SELECT @@GLOBAL.replica_checkpoint_period = 300";
    for server in experiment.lab.group.servers() {
        let back: Option<bool> = server.admin()?.query_first(statement).map_err(server.said(statement))?;
        promise(back == Some(true), || "replica_checkpoint_period was not put back".to_owned())?;
    }
    Ok(())
}
