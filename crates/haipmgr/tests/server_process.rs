//! The local server's process, a real one: its end and what is written to its error log are told at once.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod segment;

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use decide::input::{Event, ProcessSign};
use haipmgr::observe::server_process::{NotFound, ProcessReport, ProcessWatch, ServerProcesses};
use segment::{Host, LIMIT};
use tempfile::TempDir;

const MEMBER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORT: u16 = 3306;
/// Nothing is looked at in turn that often, so what is there within this came by itself, on a busy machine too.
const AT_ONCE: Duration = Duration::from_secs(1);
/// For how long a successor is looked out for.
const WAIT: Duration = Duration::from_secs(3);

/// A process by the name of mysqld that listens at the port, and whose standard error is a file.
struct Mysqld {
    process: Child,
    error_log: File,
}

fn start_mysqld(host: &Host, folder: &Path, on: &'static str) -> Mysqld {
    let program: PathBuf = folder.join("mysqld");
    if !program.exists() {
        symlink("/bin/sleep", &program).expect("a program by that name");
    }
    let log = folder.join("error.log");
    let error_log = File::options().create(true).append(true).open(&log).expect("its log");
    let stderr = error_log.try_clone().expect("its log");
    let process = host.run(move |_| async move {
        let listener = TcpListener::bind((on.parse::<IpAddr>().unwrap(), PORT)).expect("the port");
        // The process has the socket from here on, and nobody else.
        Command::new(program)
            .arg("600")
            .stdin(OwnedFd::from(listener))
            .stderr(stderr)
            .spawn()
            .expect("started")
    });
    // The kernel lets the parent go on before the new program has its name.
    let comm = format!("/proc/{}/comm", process.id());
    let since = Instant::now();
    while std::fs::read_to_string(&comm).expect("its name") != "mysqld\n" {
        assert!(since.elapsed() < LIMIT, "it is not called mysqld");
        std::thread::yield_now();
    }
    Mysqld { process, error_log }
}

impl Drop for Mysqld {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Watched {
    watch: ProcessWatch,
    told: Receiver<Event>,
    reported: Receiver<ProcessReport>,
    _thread: ServerProcesses,
}

fn watch(host: &Host) -> Watched {
    host.run(|_| async {
        let thread = ServerProcesses::start().expect("a thread");
        let ((tell, told), (report, reported)) = (channel(), channel());
        let watch = thread.watch(
            (MEMBER, PORT),
            WAIT,
            move |event| drop(tell.send(event)),
            move |text| drop(report.send(text)),
            None,
        );
        Watched { watch, told, reported, _thread: thread }
    })
}

impl Watched {
    fn found(&self) -> ProcessReport {
        self.watch.server_answers();
        let report = self.reported.recv_timeout(LIMIT).expect("a report");
        assert!(self.tells(ProcessSign::Watched));
        report
    }

    fn tells(&self, sign: ProcessSign) -> bool {
        let since = Instant::now();
        let told = self.told.recv_timeout(LIMIT);
        assert!(since.elapsed() < AT_ONCE, "told after {:?}", since.elapsed());
        told == Ok(Event::Process(sign))
    }
}

fn is_found(report: &ProcessReport, server: &Mysqld) -> bool {
    matches!(report, ProcessReport::Found { pid, name, log: Ok(()) }
        if *pid == i32::try_from(server.process.id()).unwrap() && name == "mysqld")
}

fn the_end_is_told(on: &'static str) {
    let (host, folder) = (Host::new(), TempDir::new().unwrap());
    let mut server = start_mysqld(&host, folder.path(), on);
    let watched = watch(&host);
    assert!(watched.told.recv_timeout(Duration::from_millis(100)).is_err(), "nothing before it answers");
    let report = watched.found();
    assert!(is_found(&report, &server), "{report:?}");
    server.process.kill().expect("killed");
    assert!(watched.tells(ProcessSign::Ended));
    server.process.wait().expect("its status");

    let next = start_mysqld(&host, folder.path(), on);
    assert!(watched.tells(ProcessSign::MayStart));
    let report = watched.found();
    assert!(is_found(&report, &next), "{report:?}");
}

#[test]
fn the_end_of_a_server_that_listens_on_ipv4_is_told_at_once_and_the_next_one_is_found() {
    the_end_is_told("127.0.0.1");
}

#[test]
fn the_end_of_a_server_that_listens_everywhere_is_told_at_once_and_the_next_one_is_found() {
    the_end_is_told("::");
}

#[test]
fn a_server_that_is_started_is_told_of_before_it_listens() {
    let (host, folder) = (Host::new(), TempDir::new().unwrap());
    let mut server = start_mysqld(&host, folder.path(), "0.0.0.0");
    let watched = watch(&host);
    watched.found();
    server.process.kill().expect("killed");
    assert!(watched.tells(ProcessSign::Ended));
    server.process.wait().expect("its status");
    let program = folder.path().join("mysqld");
    let starts = host.run(move |_| async move { Command::new(program).arg("600").spawn().expect("started") });
    let error_log = File::open("/dev/null").unwrap();
    let _ends = Mysqld { process: starts, error_log };
    assert!(watched.tells(ProcessSign::MayStart));
}

#[test]
fn a_server_of_another_host_of_this_machine_is_no_successor_and_the_wait_for_one_ends() {
    let (host, elsewhere, folder) = (Host::new(), Host::new(), TempDir::new().unwrap());
    let mut server = start_mysqld(&host, folder.path(), "0.0.0.0");
    let watched = watch(&host);
    watched.found();
    let since = Instant::now();
    server.process.kill().expect("killed");
    assert!(watched.tells(ProcessSign::Ended));
    let _in_a_container = start_mysqld(&elsewhere, folder.path(), "0.0.0.0");
    let told = watched.told.recv_timeout(LIMIT).expect("that nobody looks out any more");
    assert_eq!(told, Event::Process(ProcessSign::MayStart));
    assert!(since.elapsed() >= WAIT * 9 / 10, "after {:?}", since.elapsed());
}

#[test]
fn what_is_written_to_the_error_log_is_told_at_once() {
    let (host, folder) = (Host::new(), TempDir::new().unwrap());
    let mut server = start_mysqld(&host, folder.path(), "0.0.0.0");
    let watched = watch(&host);
    let report = watched.found();
    assert!(is_found(&report, &server), "{report:?}");
    for _ in 0..3 {
        writeln!(server.error_log, "A new primary was elected").expect("written");
        assert!(watched.tells(ProcessSign::WroteToItsLog));
    }
}

#[test]
fn a_log_that_is_written_to_without_pause_is_told_of_some_times_a_second() {
    let (host, folder) = (Host::new(), TempDir::new().unwrap());
    let mut server = start_mysqld(&host, folder.path(), "0.0.0.0");
    let watched = watch(&host);
    let report = watched.found();
    assert!(is_found(&report, &server), "{report:?}");
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(2) {
        writeln!(server.error_log, "Access denied").expect("written");
        std::thread::sleep(Duration::from_micros(200));
    }
    let told = watched.told.try_iter().count();
    assert!((30..=70).contains(&told), "20 at once and 20 a second: {told}");
    server.process.kill().expect("killed");
    let until = Instant::now() + LIMIT;
    while watched.told.recv_timeout(until - Instant::now()).expect("its end")
        != Event::Process(ProcessSign::Ended)
    {}
}

#[test]
fn a_server_whose_standard_error_is_no_file_is_watched_for_its_end_alone() {
    let host = Host::new();
    let process = host.run(|_| async {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("the port");
        let mut sleep = Command::new("/bin/sleep");
        sleep.arg("600").stdin(OwnedFd::from(listener)).stderr(Stdio::null()).spawn().expect("started")
    });
    let watched = watch(&host);
    let report = watched.found();
    let text = report.to_string();
    assert!(matches!(report, ProcessReport::Found { log: Err(_), .. }), "{text}");
    assert!(text.contains("its standard error is no file; set log_error to a file"), "{text}");
    drop(Mysqld { process, error_log: File::open("/dev/null").unwrap() });
    assert!(watched.tells(ProcessSign::Ended));
}

#[test]
fn a_process_that_cannot_be_found_is_reported_once_and_costs_nothing_else() {
    let (host, elsewhere, folder) = (Host::new(), Host::new(), TempDir::new().unwrap());
    let _in_a_container = start_mysqld(&elsewhere, folder.path(), "0.0.0.0");
    let watched = watch(&host);
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        watched.watch.server_answers();
        std::thread::sleep(Duration::from_millis(20));
    }
    let reports: Vec<_> = watched.reported.try_iter().collect();
    assert!(
        matches!(&reports[..], [ProcessReport::NotFound { cause: NotFound::NoListener, .. }]),
        "{reports:?}"
    );
    assert!(watched.told.try_recv().is_err());
}
