//! haipmgr beside what stands before a group on an application's host, with the very files of packaging/examples: HAProxy, which asks
//! haipmgr's health checks, and MySQL Router, which sends writes to the VIP.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable as _;
use mysql::{Conn, OptsBuilder};

use super::agents::{ADOPTED, AT_WORK, start_and_hear};
use super::expect::{followed, promise};
use super::files::reconfigure;
use super::{Broken, UnderTest};
use crate::agents::{self, CONFIGURATION, LAB};
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::group::{CLIENT_PASSWORD, CLIENT_USER};
use crate::namespace::Layout;
use crate::record::now_us;
use crate::statement;

const HAPROXY: &str = include_str!("../../../../packaging/examples/haproxy.cfg");
const ROUTER: &str = include_str!("../../../../packaging/examples/mysqlrouter.conf");
/// What stands in the sample for the token.
const TO_BE_PUT_THERE: &str = "PUT-THE-TOKEN-HERE";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const TOKEN_FILE: &str = "/etc/haipmgr/http.token";
const LISTEN: &str = "listen = \"0.0.0.0:9640\"\nlisten_beyond_this_host = true\nlisten_token_file = \"/etc/haipmgr/http.token\"\n";
/// The samples' ports.
const WRITES: u16 = 6446;
const READS: u16 = 6447;
/// Before the proxy's next look, and the writer's next attempt.
const PAUSE: Duration = Duration::from_millis(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long the proxy may take until it sends somebody to a server.
const UP_WITHIN: Duration = Duration::from_secs(15);
/// How long the writer may write nothing, in seconds: HAProxy looks twice a second, and then ten times.
const GAP: f64 = 2.0;
/// Rows that are waited for before a fault and after it.
const ROWS: usize = 50;
/// Readers that are asked where they came to.
const READERS: usize = 12;

/// A program on the client's host, ended with this.
struct Proxy {
    process: Child,
    files: Vec<PathBuf>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself: that was told where a connection failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

/// Starts a program of the servers' root on the client's host, with this file.
fn start(
    layout: &Layout,
    experiment: &Experiment,
    (program, arguments): (&str, &[&str]),
    (name, text): (&str, &str),
) -> Result<Proxy, Broken> {
    let file = layout.root().join("etc").join(name);
    fs::write(&file, text).map_err(Broken::io(format!("writing {}", file.display())))?;
    let messages = layout.log().join(format!("client.{name}"));
    let failed = || Broken::io(format!("starting {program} (Debian's package)"));
    let output = fs::File::create(&messages).map_err(failed())?;
    let mut command = experiment.lab.segment.client.rooted_command(program);
    command.args(arguments).arg(format!("/etc/{name}")).stdin(Stdio::null());
    command.stdout(output.try_clone().map_err(failed())?).stderr(output);
    Ok(Proxy { process: command.spawn().map_err(failed())?, files: vec![file] })
}

fn options(port: u16) -> OptsBuilder {
    OptsBuilder::new()
        .ip_or_hostname(Some("127.0.0.1"))
        .tcp_port(port)
        .user(Some(CLIENT_USER))
        .pass(Some(CLIENT_PASSWORD))
        .prefer_socket(false)
        .max_allowed_packet(Some(1 << 20))
        .tcp_connect_timeout(Some(ANSWER_WITHIN))
        .read_timeout(Some(ANSWER_WITHIN))
        .write_timeout(Some(ANSWER_WITHIN))
}

/// Which server a new connection at this port comes to.
fn server_behind(experiment: &Experiment, port: u16) -> Result<Option<String>, Broken> {
    let asked = experiment.lab.segment.client.in_network(|| {
        let mut connection = Conn::new(options(port)).ok()?;
        connection.query_first::<String, _>("SELECT @@hostname").ok().flatten()
    })?;
    Ok(asked)
}

fn wait_for_server(experiment: &Experiment, port: u16) -> Result<String, Broken> {
    let since = Instant::now();
    loop {
        if let Some(server) = server_behind(experiment, port)? {
            return Ok(server);
        }
        promise(since.elapsed() < UP_WITHIN, || format!("nobody is behind port {port} of the proxy"))?;
        std::thread::sleep(PAUSE);
    }
}

/// Rows, one after the other, each with the server that took it; a broken connection is made anew.
struct Writer {
    rows: Arc<Mutex<Vec<(u64, String)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<()>>>,
}

impl Writer {
    fn start(experiment: &Experiment) -> Result<Self, Broken> {
        let (rows, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, told) = (Arc::clone(&rows), Arc::clone(&stop));
        let thread = experiment.lab.segment.client.spawn_in_network(move || {
            while !told.load(Ordering::Relaxed) {
                // What fails is tried again: for how long nothing comes through is what is measured.
                let _ = write_on(&kept, &told);
                std::thread::sleep(PAUSE);
            }
        })?;
        Ok(Self { rows, stop, thread: Some(thread) })
    }

    fn rows(&self) -> Vec<(u64, String)> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wait_for_more(&self) -> Result<(), Broken> {
        let (before, since) = (self.rows().len(), Instant::now());
        while self.rows().len() < before + ROWS {
            promise(since.elapsed() < UP_WITHIN, || "no row comes through the proxy".to_owned())?;
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that has panicked wrote nothing, which was told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn write_on(rows: &Mutex<Vec<(u64, String)>>, stop: &AtomicBool) -> Result<(), mysql::Error> {
    let mut connection = Conn::new(options(WRITES))?;
    let server: String = connection.query_first("SELECT @@hostname")?.unwrap_or_default();
    while !stop.load(Ordering::Relaxed) {
        statement::run(&mut connection, "INSERT INTO lab.through_a_proxy () VALUES ()")?;
        rows.lock().unwrap_or_else(PoisonError::into_inner).push((now_us(), server.clone()));
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// With HAProxy, haipmgr's word is all: writes follow `/primary`, reads are spread by `/replica`.
pub(super) fn haproxy(under_test: &mut UnderTest) -> Result<String, Broken> {
    let UnderTest { layout, experiment } = under_test;
    let holder = experiment.lab.wait_steady()?;
    for place in 0..experiment.lab.agents.len() {
        experiment.lab.agents[place].stop()?;
        let host = &experiment.lab.segment.databases[place];
        agents::write(host, CONFIGURATION, &format!("{LISTEN}{}", agents::configuration(&[LAB])), 0o644)?;
        agents::write(host, TOKEN_FILE, &format!("{TOKEN}\n"), 0o600)?;
        start_and_hear(experiment, place, if place == holder { ADOPTED } else { AT_WORK })?;
    }
    let text = HAPROXY.replace(TO_BE_PUT_THERE, TOKEN);
    let outcome = start(layout, experiment, ("/usr/sbin/haproxy", &["-db", "-f"]), ("haproxy.cfg", &text))
        .and_then(|_proxy| through(experiment, true));
    reconfigure(experiment, &[LAB])?;
    outcome
}

/// With MySQL Router, the VIP is all: its writes go where the VIP is.
pub(super) fn router(under_test: &mut UnderTest) -> Result<String, Broken> {
    let UnderTest { layout, experiment } = under_test;
    experiment.lab.wait_steady()?;
    let router = ("/usr/bin/mysqlrouter", &["--user=root", "--config"][..]);
    let _proxy = start(layout, experiment, router, ("mysqlrouter.conf", ROUTER))?;
    through(experiment, false)
}

/// A planned switchover and a dead mysqld, while a writer writes through the proxy.
fn through(experiment: &mut Experiment, readers_avoid_the_primary: bool) -> Result<String, Broken> {
    let primary = experiment.lab.group.primary()?;
    experiment.lab.group.servers()[primary].run(
        "CREATE TABLE IF NOT EXISTS lab.through_a_proxy (id BIGINT AUTO_INCREMENT PRIMARY KEY, at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6))",
    )?;
    let readers = settled(experiment, &experiment.name(primary), readers_avoid_the_primary)?;
    promise(readers.len() > 1, || format!("all readers come to one server: {readers:?}"))?;
    let writer = Writer::start(experiment)?;
    let mut told = vec![format!("reads at {}", readers.join(", "))];
    for fault in [Fault::Switchover, Fault::Kill9] {
        writer.wait_for_more()?;
        let figures = experiment.run(fault)?;
        followed(&figures)?;
        writer.wait_for_more()?;
        let elected = figures.elected.seconds().unwrap_or_default();
        told.push(format!("{}: {}", fault.name(), gap(&writer, figures.injected_us, elected)?));
        let (primary, rows) = (experiment.lab.group.primary()?, writer.rows());
        let last = rows.last().map(|(_, server)| server.clone()).unwrap_or_default();
        promise(last == experiment.name(primary), || {
            format!("writes go to {last}, and not to the new primary")
        })?;
    }
    Ok(told.join("; "))
}

/// Waits until writes come to the primary, and readers only where they should: HAProxy takes every server for well until it has asked once.
/// Gives where readers come to.
fn settled(experiment: &Experiment, primary: &str, readers_avoid_it: bool) -> Result<Vec<String>, Broken> {
    let since = Instant::now();
    loop {
        let (server, readers) = (wait_for_server(experiment, WRITES)?, readers(experiment)?);
        let well = server == primary && !(readers_avoid_it && readers.iter().any(|reader| reader == primary));
        if well {
            return Ok(readers);
        }
        promise(since.elapsed() < UP_WITHIN, || {
            format!("{primary} is the primary; writes come to {server}, reads to {readers:?}")
        })?;
        std::thread::sleep(PAUSE);
    }
}

fn readers(experiment: &Experiment) -> Result<Vec<String>, Broken> {
    let mut servers = vec![wait_for_server(experiment, READS)?];
    let since = Instant::now();
    let mut asked = 0;
    // A proxy may need a moment until it knows each of them.
    while asked < READERS || (servers.len() < 2 && since.elapsed() < UP_WITHIN) {
        servers.extend(server_behind(experiment, READS)?);
        servers.sort_unstable();
        servers.dedup();
        asked += 1;
    }
    Ok(servers)
}

/// The longest time between two rows since then, and that it is not much longer than the election.
fn gap(writer: &Writer, from: u64, elected: f64) -> Result<String, Broken> {
    let rows = writer.rows();
    let before = rows.iter().map(|(at, _)| *at).take_while(|at| *at < from).last();
    let times: Vec<u64> =
        before.into_iter().chain(rows.iter().map(|(at, _)| *at).filter(|at| *at >= from)).collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let longest = Duration::from_micros(longest).as_secs_f64();
    promise(longest > 0.0 && longest <= elected + GAP, || {
        format!("the writer behind the proxy waited for {longest:.3} s, and the election took {elected:.3} s")
    })?;
    Ok(format!("elected {elected:.3} s, longest time between two rows {longest:.3} s"))
}
