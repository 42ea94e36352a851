//! One real MySQL server, alone with the test in namespaces of its own.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use decide::input::{Event, Fact, GroupView, Seen, Server as Answer};
use haipmgr::observe::mysql::{Access, Endpoint, Limits, Password, ServerWatch, Servers, account_sql, watch};
use haipmgr::tally::Tally;
use mysql::prelude::Queryable;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

pub const PORT: u16 = 3306;
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const PASSWORD: &str = "Correct-horse-1";

const HELP: &str = "Set HAIPMGR_LAB_MYSQL_ROOT to the root that holds usr/sbin/mysqld. To get one: cargo run -p haipmgr-lab -- provision";
const NEEDS_ROOT: &str = "This test makes namespaces. Run it as root, or as an ordinary user under: \
                          unshare --user --map-root-user --mount --pid --fork --mount-proc cargo test -p haipmgr";

/// Runs in the namespaces that `unshare` made: `$1` the private MySQL's root, `$2` the server's folder, then mysqld's
/// arguments. Mounts end with the namespace.
const SCRIPT: &str = r#"
set -e
root=$1 folder=$2; shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder/root"
cd "$folder/root"
mkdir usr proc dev tmp etc data
for link in lib lib64 bin sbin; do ln -s usr/$link $link; done
mount --bind "$root/usr" usr
mount -t proc proc proc
for device in null zero random urandom; do touch dev/$device; mount --bind /dev/$device dev/$device; done
echo root:x:0:0:root:/:/bin/sh > etc/passwd
mount --bind "$folder/data" data
exec chroot . /usr/sbin/mysqld --no-defaults --user=root --datadir=/data/mysql --secure-file-priv=NULL \
    --lc-messages-dir=/usr/share/mysql --log-error=/data/error.log "$@"
"#;

/// What each server is started with.
const ARGUMENTS: &[&str] = &[
    "--socket=/data/mysqld.sock",
    "--mysqlx=OFF",
    "--innodb-buffer-pool-size=16M",
    "--innodb-redo-log-capacity=8M",
    "--server-id=1",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
];

/// What a server with Group Replication is started with besides.
pub const GROUP: &[&str] = &[
    "--plugin-load-add=group_replication.so",
    "--group-replication-group-name=aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "--group-replication-local-address=127.0.0.1:33061",
    "--group-replication-group-seeds=127.0.0.1:33061",
    "--group-replication-start-on-boot=OFF",
    "--report-host=127.0.0.1",
];

fn mysql_root() -> PathBuf {
    let root = std::env::var_os("HAIPMGR_LAB_MYSQL_ROOT").map(PathBuf::from);
    let root = root.unwrap_or_else(|| panic!("No MySQL server to test against. {HELP}"));
    assert!(root.join("usr/sbin/mysqld").exists(), "{} has no usr/sbin/mysqld. {HELP}", root.display());
    root
}

fn spawn(folder: &Path, arguments: &[&str]) -> Child {
    std::fs::create_dir_all(folder.join("root")).unwrap();
    std::fs::create_dir_all(folder.join("data")).unwrap();
    Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT, "sh"])
        .arg(mysql_root())
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A data directory just initialized by this very mysqld; made once, kept under target/, and copied for each server.
fn empty_data() -> &'static Path {
    static DATA: OnceLock<PathBuf> = OnceLock::new();
    DATA.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let mysqld = std::fs::metadata(mysql_root().join("usr/sbin/mysqld")).unwrap();
        let data = target.join(format!("mysql-data-{}-{}", mysqld.len(), mysqld.mtime()));
        if !data.exists() {
            let folder = TempDir::new_in(target).unwrap();
            let status = spawn(folder.path(), &["--initialize-insecure"]).wait().unwrap();
            assert!(status.success(), "mysqld --initialize-insecure failed: {}", log(folder.path()));
            // Whole or not at all; another test program may have been quicker.
            let renamed = std::fs::rename(folder.path().join("data"), &data);
            assert!(renamed.is_ok() || data.exists(), "{renamed:?}");
        }
        data
    })
}

fn log(folder: &Path) -> String {
    let log = folder.join("data/error.log");
    std::fs::read_to_string(&log)
        .or_else(|_| std::fs::read_to_string(log.with_extension("log.err")))
        .unwrap_or_default()
}

pub struct Server {
    folder: TempDir,
    child: Child,
}

impl Server {
    /// Starts one and waits until it answers. This thread, and those it starts from now on, are in the server's network
    /// namespace.
    pub fn start(arguments: &[&str]) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "{NEEDS_ROOT}");
        unshare(CloneFlags::CLONE_NEWNET).expect(NEEDS_ROOT);
        bring_loopback_up();
        let folder = TempDir::new().unwrap();
        let copied = Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(empty_data())
            .arg(folder.path().join("data"))
            .status()
            .unwrap();
        assert!(copied.success());
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let arguments: Vec<&str> = ARGUMENTS.iter().chain(arguments).copied().collect();
        let child = spawn(folder.path(), &arguments);
        let server = Self { folder, child };
        server.wait_until_it_answers();
        let account = account_sql("haip").replace("put the password here", PASSWORD);
        server.sql("SET sql_log_bin = 0");
        for statement in account.split_terminator(";\n") {
            server.sql(statement);
        }
        server
    }

    fn wait_until_it_answers(&self) {
        let started = Instant::now();
        while self.try_root().is_err() {
            assert!(
                started.elapsed() < Duration::from_mins(1),
                "mysqld did not start: {}",
                log(self.folder.path())
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_root(&self) -> mysql::Result<mysql::Conn> {
        let socket = self.socket();
        mysql::Conn::new(
            mysql::OptsBuilder::new()
                .socket(Some(socket.to_string_lossy()))
                .user(Some("root"))
                .prefer_socket(false),
        )
    }

    /// A connection of the administrator's.
    pub fn root(&self) -> mysql::Conn {
        self.try_root().unwrap()
    }

    pub fn sql(&self, statement: &str) {
        run(&mut self.root(), statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    pub fn bootstrap(&self) {
        self.sql("SET GLOBAL group_replication_bootstrap_group = ON");
        self.sql("START GROUP_REPLICATION");
        self.sql("SET GLOBAL group_replication_bootstrap_group = OFF");
    }

    /// How many connections were ever made to it.
    pub fn connections(&self) -> u64 {
        self.counted("Connections")
    }

    /// One of its status variables that count.
    pub fn counted(&self, variable: &str) -> u64 {
        let shown = format!("SHOW GLOBAL STATUS LIKE '{variable}'");
        let row: (String, u64) = self.root().query_first(shown).unwrap().unwrap();
        row.1
    }

    /// Says when the kernel ended the server's connections.
    pub fn witness(&self) -> JoinHandle<Instant> {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        let mut packet = [0; 1024];
        assert!(stream.read(&mut packet).unwrap() > 0, "the server sent no greeting");
        std::thread::spawn(move || {
            while stream.read(&mut packet).is_ok_and(|read| read > 0) {}
            Instant::now()
        })
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("data/mysqld.sock")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("data/mysql").join(name)
    }

    pub fn over_socket(&self) -> Access {
        Access { endpoint: Endpoint::Socket(self.socket()), ..self.over_tcp() }
    }

    #[allow(clippy::unused_self, reason = "the address is the server's, in whose namespace the test is")]
    pub fn over_tcp(&self) -> Access {
        Access {
            endpoint: Endpoint::Tcp(LOOPBACK, PORT),
            user: "haip".to_owned(),
            password: Password::new(PASSWORD),
            tls_ca: None,
            tls_client: None,
            limits: Limits::default(),
            shows: Vec::new(),
        }
    }

    /// mysqld itself, which runs under `unshare`.
    pub fn signal(&self, signal: Signal) {
        let parent = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        let mysqld =
            children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("mysqld has ended");
        kill(Pid::from_raw(mysqld), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // --kill-child takes mysqld, and with it its namespaces, along.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bring_loopback_up() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        let driver = tokio::spawn(connection);
        handle.link().set(rtnetlink::LinkUnspec::new_with_index(1).up().build()).execute().await.unwrap();
        driver.abort();
    });
}

/// A watch whose facts can be waited for.
pub struct Watched {
    pub watch: ServerWatch,
    seen: Receiver<(Instant, Seen<Answer>)>,
}

impl Watched {
    pub fn new(access: Access, every: Duration) -> Self {
        let (sender, seen) = mpsc::channel();
        // Its own thread, which is in the server's network namespace.
        let watch = watch(&Servers::default(), access, every, Tally::default(), move |event| {
            if let Event::Server(seen) = event {
                let _ = sender.send((Instant::now(), seen));
            }
        });
        Self { watch: watch.unwrap(), seen }
    }

    /// The next fact, whatever it is.
    pub fn next(&self) -> Seen<Answer> {
        self.seen.recv_timeout(Duration::from_secs(30)).expect("nothing was told for 30 s").1
    }

    /// Waits for such a fact, told or kept as nothing new; when it was told, and what it was.
    pub fn until(&self, what: &str, holds: impl Fn(&Fact<Answer>) -> bool) -> (Instant, Seen<Answer>) {
        let end = Instant::now() + Duration::from_secs(30);
        let mut last = None;
        while Instant::now() < end {
            let told = self.seen.recv_timeout(Duration::from_millis(50)).ok();
            let Some((at, seen)) = told.or_else(|| Some((Instant::now(), self.watch.unchanged()?))) else {
                continue;
            };
            if holds(&seen.fact) {
                return (at, seen);
            }
            last = Some(seen);
        }
        panic!("not told within 30 s: {what}; last: {last:?}")
    }

    pub fn until_member(&self, what: &str, holds: impl Fn(&GroupView) -> bool) -> (Instant, GroupView) {
        let (at, seen) =
            self.until(what, |fact| matches!(fact, Fact::Known(Answer::Member(view)) if holds(view)));
        match seen.fact {
            Fact::Known(Answer::Member(view)) => (at, view),
            _ => unreachable!("what was waited for is a member's view"),
        }
    }

    /// What was told since the last look.
    pub fn told(&self) -> Vec<Fact<Answer>> {
        self.seen.try_iter().map(|(_, seen)| seen.fact).collect()
    }
}

/// Runs one statement and reads all that it returns: the crate's own `query_drop` says Ok where the error comes after the columns.
pub fn run(connection: &mut mysql::Conn, statement: &str) -> Result<(), mysql::Error> {
    let mut returned = connection.query_iter(statement)?;
    while let Some(rows) = returned.iter() {
        for row in rows {
            row?;
        }
    }
    Ok(())
}
