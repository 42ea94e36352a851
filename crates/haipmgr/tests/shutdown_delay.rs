//! The delay lock of a real agent, by a real D-Bus daemon, and a small logind of this file's own. Needs root, and `dbus-daemon`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use namespace::{LIMIT, in_new_namespace};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use zbus::message::Type;
use zbus::{Connection, Fd, Message, MessageStream, Variant, connection};

const LOGIND: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
/// What this logind allows.
const MOST: Duration = Duration::from_secs(3);
const LOG: &str = "HAIPMGR_3306.log";
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A D-Bus daemon, and a host's files.
struct Host {
    files: tempfile::TempDir,
    daemon: Option<Ended>,
}

/// Killed when it is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Host {
    async fn new() -> Self {
        let mut host = Self { files: tempfile::tempdir().unwrap(), daemon: None };
        let configuration = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
             <busconfig><listen>{}</listen><policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            host.address()
        );
        std::fs::write(host.path("bus.conf"), configuration).unwrap();
        let file = format!("--config-file={}", host.path("bus.conf").display());
        let daemon = Command::new("dbus-daemon").args([&file, "--nofork", "--nopidfile"]).spawn();
        host.daemon = Some(Ended(daemon.expect("dbus-daemon is missing: apt-get install dbus-daemon")));
        host.until("the bus is there", || UnixStream::connect(host.path("bus")).is_ok()).await;
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.path("bus").display())
    }

    async fn connect(&self) -> Connection {
        connection::Builder::address(self.address().as_str()).build().await.unwrap()
    }

    fn configure(&self, more: &str) {
        let folder = self.files.path().display();
        let text = format!(
            "lock = \"{folder}/haipmgr.lock\"\n{more}[[cluster]]\nname = \"orders\"\nvip = \"10.77.0.100\"\ngateway = \"10.77.0.254\"\n\
             mysql_port = 3306\nuser = \"haip\"\npassword = \"x\"\ninstall_path = \"{folder}/\"\n\
             [cluster.members]\n\"10.77.0.11\" = \"eth0\"\n"
        );
        std::fs::write(self.path("haipmgr.toml"), text).unwrap();
        std::fs::set_permissions(self.path("haipmgr.toml"), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haipmgr"));
        command.arg(word).arg("--config").arg(self.path("haipmgr.toml"));
        command.env("RUNTIME_DIRECTORY", self.path("run")).env("DBUS_SYSTEM_BUS_ADDRESS", self.address());
        command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn agent(&self) -> Ended {
        Ended(self.command("run").spawn().unwrap())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path(LOG)).unwrap_or_default()
    }

    async fn until(&self, what: &str, so: impl Fn() -> bool) {
        let since = Instant::now();
        while !so() {
            assert!(since.elapsed() < LIMIT, "not: {what}; {}", self.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn line(&self, text: &str) {
        self.until(text, || self.log().contains(text)).await;
    }
}

/// A lock that was given.
struct Given {
    asked: (String, String, String, String),
    held: Receiver,
}

impl Given {
    /// When nobody has it any more.
    async fn let_go(&mut self) {
        let read = timeout(LIMIT, self.held.read(&mut [0])).await;
        assert_eq!(read.expect("the lock is held on").unwrap(), 0);
    }

    fn is_held(&mut self) -> bool {
        self.held.try_read(&mut [0]).is_err()
    }
}

struct Login1 {
    bus: Connection,
    locks: UnboundedReceiver<Given>,
    refuses: Arc<AtomicBool>,
}

impl Login1 {
    async fn on(host: &Host) -> Self {
        let bus = host.connect().await;
        let (give, locks) = unbounded_channel();
        let refuses = Arc::new(AtomicBool::new(false));
        tokio::spawn(serve(bus.clone(), give, Arc::clone(&refuses)));
        bus.request_name(LOGIND).await.unwrap();
        Self { bus, locks, refuses }
    }

    async fn given(&mut self) -> Given {
        timeout(LIMIT, self.locks.recv()).await.expect("nobody asks for a lock").unwrap()
    }

    async fn says(&self, goes_down: bool) {
        says(&self.bus, goes_down).await;
    }
}

async fn says(bus: &Connection, goes_down: bool) {
    bus.emit_signal(None::<&str>, PATH, MANAGER, "PrepareForShutdown", &goes_down).await.unwrap();
}

async fn serve(bus: Connection, give: UnboundedSender<Given>, refuses: Arc<AtomicBool>) {
    let mut calls = MessageStream::from(&bus);
    while let Some(Ok(call)) = calls.next().await {
        if call.message_type() == Type::MethodCall {
            answer(&bus, &call, &give, refuses.load(Ordering::SeqCst)).await;
        }
    }
}

async fn answer(bus: &Connection, call: &Message, give: &UnboundedSender<Given>, refuses: bool) {
    let header = call.header();
    match header.member().map(zbus::names::MemberName::as_str) {
        Some("Get") => {
            let asked: (String, String) = call.body().deserialize().unwrap();
            assert_eq!(asked, (MANAGER.to_owned(), "InhibitDelayMaxUSec".to_owned()));
            let most = u64::try_from(MOST.as_micros()).unwrap();
            bus.reply(&header, &Variant::from(most)).await.unwrap();
        }
        Some("Inhibit") if refuses => {
            let denied = "org.freedesktop.DBus.Error.AccessDenied";
            bus.reply_error(&header, denied, &"Permission denied").await.unwrap();
        }
        Some("Inhibit") => {
            let (held, lock): (OwnedFd, OwnedFd) = nix::unistd::pipe().unwrap();
            bus.reply(&header, &Fd::from(lock)).await.unwrap();
            let held = Receiver::from_owned_fd(held).unwrap();
            give.send(Given { asked: call.body().deserialize().unwrap(), held }).unwrap();
        }
        other => panic!("{other:?} is called"),
    }
}

/// A host with a logind, and its agent by a configuration that says nothing of shutdowns.
async fn with_logind() -> (Host, Login1, Ended) {
    let host = Host::new().await;
    let login1 = Login1::on(&host).await;
    host.configure("");
    let agent = host.agent();
    (host, login1, agent)
}

#[test]
fn the_lock_is_taken_and_let_go_of_when_the_drain_has_ended_and_taken_again_if_the_host_stays_up() {
    in_new_namespace(|| async {
        let (host, mut login1, _agent) = with_logind().await;
        let mut lock = login1.given().await;
        let (what, who, _, mode) = &lock.asked;
        assert_eq!((what.as_str(), who.as_str(), mode.as_str()), ("shutdown", "haipmgr", "delay"));
        host.line("logind waits for haipmgr drain").await;

        let told = Instant::now();
        login1.says(true).await;
        lock.let_go().await;
        assert!(told.elapsed() < MOST, "{:?}", told.elapsed());
        host.line("to be drained within 2500ms: orders").await;
        // There is no server to ask: nothing is drained, and it says so.
        host.line("haipmgr drain --cluster orders: haipmgr: not drained").await;

        login1.says(false).await;
        let mut again = login1.given().await;
        host.line("haipmgr undrain --cluster orders: undrained").await;
        assert!(again.is_held());
    });
}

#[test]
fn whoever_is_not_logind_is_not_believed() {
    in_new_namespace(|| async {
        let (host, mut login1, _agent) = with_logind().await;
        let mut lock = login1.given().await;
        says(&host.connect().await, true).await;
        // One connection's words come in their order: when this is heard, the other's have been.
        login1.says(false).await;
        let _again = login1.given().await;
        assert!(!host.log().contains("goes down;"), "{}", host.log());
        lock.let_go().await;
    });
}

#[test]
fn a_reload_with_drain_on_shutdown_off_lets_the_lock_go_and_one_with_it_takes_it_again() {
    in_new_namespace(|| async {
        let (host, mut login1, _agent) = with_logind().await;
        let mut lock = login1.given().await;
        for (switch, taken) in [("false", false), ("true", true)] {
            host.configure(&format!("drain_on_shutdown = {switch}\n"));
            let mut reload = host.command("reload").spawn().unwrap();
            host.line(&format!("drain_on_shutdown: {} → {switch}", !taken)).await;
            if taken {
                lock = login1.given().await;
                assert!(lock.is_held());
            } else {
                lock.let_go().await;
            }
            assert!(reload.wait().unwrap().success());
        }
    });
}

#[test]
fn where_logind_refuses_or_there_is_none_or_no_bus_a_line_says_so_and_the_agent_goes_on() {
    in_new_namespace(|| async {
        let mut host = Host::new().await;
        host.configure("");
        let no_logind = host.agent();
        host.line("(drain_on_shutdown): no logind: ").await;
        drop(no_logind);
        let login1 = Login1::on(&host).await;
        login1.refuses.store(true, Ordering::SeqCst);
        let refused = host.agent();
        host.line("(drain_on_shutdown): logind refuses the lock: ").await;
        drop(refused);
        host.daemon = None;
        let mut no_bus = host.agent();
        host.line("(drain_on_shutdown): no D-Bus: ").await;
        host.until("it is asked how it is", || host.command("status").status().unwrap().code() != Some(3))
            .await;
        assert_eq!(no_bus.0.try_wait().unwrap(), None);
        assert_eq!(host.log().matches("(drain_on_shutdown)").count(), 3, "{}", host.log());
    });
}

#[test]
fn at_rest_its_thread_does_not_wake_up_once() {
    in_new_namespace(|| async {
        let host = Host::new().await;
        let mut login1 = Login1::on(&host).await;
        host.configure("");
        let agent = host.agent();
        let _lock = login1.given().await;
        host.line("logind waits for haipmgr drain").await;
        let switches = || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.0.id())).unwrap();
            let status = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")));
            let status =
                status.filter_map(Result::ok).find(|status| status.starts_with("Name:\tlogind\n")).unwrap();
            status.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap().to_owned()
        };
        // It goes to sleep once more after what it has just done.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = switches();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(switches(), before);
    });
}
