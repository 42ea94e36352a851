//! The control socket abused: whoever connects, in whatever way and however often, changes nothing of what the agent decides and when.
//!
//! Measured is how long the VIP is away each time that it is removed by hand: what the agent notices, decides and does is in it, and its
//! probes. Each abuse keeps the machine busy too, so that the same is done to a socket that is no agent's, in turns.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::agents::{AT_WORK, start_and_hear};
use super::expect::{promise, rows_are_there};
use super::machine::program;
use super::status_command::typed;
use super::{Broken, UnderTest};
use crate::agents::INSTALL_PATH;
use crate::experiment::Experiment;
use crate::fault::holders;

/// Each abuse has so many turns, and in each the VIP is taken away so often.
const TURNS: usize = 3;
const TAKEN_AWAY: usize = 4;
const CONNECTIONS: usize = 1_000;
/// How long the VIP may take to be back.
const BACK_LIMIT: Duration = Duration::from_secs(5);
/// Between two times that the VIP is taken away.
const PAUSE: Duration = Duration::from_millis(250);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// What must not be is that the agent waits for those who connect, which have this long to speak.
const LIMIT: Duration = Duration::from_secs(2);
/// The agents' control socket, on every host.
const SOCKET: &str = "/run/haipmgr/haipmgr.control";

/// Goes on until it is told that it is over, and gives how often it had its way.
type Abuse = fn(&Path, &AtomicBool) -> usize;

const ABUSES: [(&str, &[Abuse]); 5] = [
    ("a byte now and then", &[slow_writer]),
    ("lines of a megabyte", &[huge_line]),
    ("malformed lines", &[malformed]),
    ("a thousand connections", &[keep_open]),
    (
        "all of these and four that ask for status",
        &[
            slow_writer,
            huge_line,
            malformed,
            keep_open,
            ask_for_status,
            ask_for_status,
            ask_for_status,
            ask_for_status,
        ],
    ),
];

/// In the last of them, those from here on ask for status.
const ASK_FROM: usize = 4;

/// What was measured under one abuse.
#[derive(Default)]
struct Measured {
    /// Of a socket that is no agent's.
    beside: Vec<Duration>,
    /// Of the agent's.
    abused: Vec<Duration>,
}

/// Each abuse in turn, beside rest and beside the same done to a socket of nobody's; at last a full disk.
pub(super) fn socket_abused(under_test: &mut UnderTest) -> Result<String, Broken> {
    let (mut rest, mut full) = (Vec::new(), Vec::new());
    let mut all: [Measured; ABUSES.len()] = Default::default();
    let mut asked = 0;
    let figures = under_test.experiment.watched("the control socket abused", |experiment| {
        let holder = experiment.lab.group.primary()?;
        let socket = experiment.lab.segment.databases[holder].path(SOCKET);
        UnixStream::connect(&socket).map_err(Broken::io(format!("connecting to {}", socket.display())))?;
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1_024, 1_024));
        // Where it can't be raised, connecting says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
        let stand_in = StandIn::start(socket.with_extension("stand-in"))?;
        for _ in 0..TURNS {
            rest.extend(away(experiment, holder)?);
            for ((_, abuses), measured) in ABUSES.iter().zip(&mut all) {
                measured.beside.extend(under(experiment, holder, &stand_in.socket, abuses)?.0);
                let (abused, had_their_way) = under(experiment, holder, &socket, abuses)?;
                measured.abused.extend(abused);
                asked += had_their_way.iter().skip(ASK_FROM).sum::<usize>();
            }
        }
        stand_in.end();
        full = with_full_disk(experiment, holder)?;
        is_well_again(experiment, holder)
    })?;
    rows_are_there(&figures)?;
    let worst = all.iter().flat_map(|measured| &measured.abused).max().copied();
    let said = told(rest, full, &mut all) + &format!("; {asked} statuses answered in the last of these");
    promise(asked > 0, || format!("no status was answered under abuse: {said}"))?;
    promise(worst.is_some_and(|worst| worst < LIMIT), || said.clone())?;
    Ok(said)
}

/// `haipmgr status` is answered, and finds everything well.
fn is_well_again(experiment: &Experiment, holder: usize) -> Result<(), Broken> {
    let since = Instant::now();
    loop {
        let outcome = typed(experiment, holder, &[])?.is(0, ": well");
        if outcome.is_ok() || since.elapsed() > BACK_LIMIT {
            return outcome;
        }
    }
}

fn told(rest: Vec<Duration>, full: Vec<Duration>, all: &mut [Measured]) -> String {
    let words = |mut times: Vec<Duration>| {
        times.sort_unstable();
        let ms = |place: usize| times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1_000.0);
        format!(
            "{:.0} ms (worst {:.0}, of {})",
            ms(times.len() / 2),
            ms(times.len().saturating_sub(1)),
            times.len()
        )
    };
    let mut said = format!("VIP back after, at rest: {}", words(rest));
    for ((name, _), measured) in ABUSES.iter().zip(all) {
        let (beside, abused) = (std::mem::take(&mut measured.beside), std::mem::take(&mut measured.abused));
        said += &format!("; {name}: {}, at nobody's socket {}", words(abused), words(beside));
    }
    said + &format!("; disk full: {}", words(full))
}

/// How long the VIP is away each time that it is taken away.
fn away(experiment: &mut Experiment, holder: usize) -> Result<Vec<Duration>, Broken> {
    let mut all = Vec::new();
    for _ in 0..TAKEN_AWAY {
        let lab = &experiment.lab;
        lab.segment.remove_vip(&lab.segment.databases[holder])?;
        let since = Instant::now();
        while holders(&lab.segment)? != [holder] {
            promise(since.elapsed() < BACK_LIMIT, || "the VIP does not come back".to_owned())?;
            std::thread::sleep(LOOK_EVERY);
        }
        all.push(since.elapsed());
        // One after the other, not on top of each other.
        std::thread::sleep(PAUSE);
    }
    Ok(all)
}

/// The same while this socket is abused, and how often each of the abusers had its way.
fn under(
    experiment: &mut Experiment,
    holder: usize,
    socket: &Path,
    abuses: &[Abuse],
) -> Result<(Vec<Duration>, Vec<usize>), Broken> {
    let over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = abuses.iter().map(|abuse| scope.spawn(move || abuse(socket, over))).collect();
        let outcome = away(experiment, holder);
        over.store(true, Ordering::SeqCst);
        let had_their_way = threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect();
        outcome.map(|away| (away, had_their_way))
    })
}

/// The same where neither log nor state file can be written: the agent is started anew there, for one that runs has its log open.
fn with_full_disk(experiment: &mut Experiment, holder: usize) -> Result<Vec<Duration>, Broken> {
    let host = &experiment.lab.segment.databases[holder];
    program(host, &["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", INSTALL_PATH])?;
    let filled = std::fs::write(host.path(format!("{INSTALL_PATH}filler")), vec![b'x'; 1 << 20]);
    let lab = &mut experiment.lab;
    let started =
        lab.agents[holder].stop().and_then(|()| lab.agents[holder].start(&lab.segment.databases[holder]));
    let measured = match started {
        Ok(()) => lab.wait_steady().map_err(Broken::from).and_then(|_| away(experiment, holder)),
        Err(error) => Err(error.into()),
    };
    program(&experiment.lab.segment.databases[holder], &["umount", "-l", INSTALL_PATH])?;
    experiment.lab.agents[holder].stop()?;
    start_and_hear(experiment, holder, AT_WORK)?;
    promise(filled.is_err(), || "the disk was not full".to_owned())?;
    measured
}

/// A socket of nobody's.
struct StandIn {
    socket: PathBuf,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl StandIn {
    fn start(socket: PathBuf) -> Result<Self, Broken> {
        let listener =
            UnixListener::bind(&socket).map_err(Broken::io(format!("listening at {}", socket.display())))?;
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        Ok(Self { socket, over, thread: std::thread::spawn(move || stand_in(&listener, &ends)) })
    }

    fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        // It waits for one more.
        let _ = UnixStream::connect(&self.socket);
        let _ = self.thread.join();
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Hears whoever connects for a moment, and answers.
fn stand_in(listener: &UnixListener, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let Ok((mut stream, _)) = listener.accept() else { continue };
        let _ = stream.set_read_timeout(Some(LOOK_EVERY * 5));
        let _ = stream.read(&mut [0; 1_024]);
        let _ = stream.write_all(&[b'x'; 2_000]);
    }
}

/// A thousand connections that say nothing.
fn keep_open(socket: &Path, over: &AtomicBool) -> usize {
    let mut all = Vec::new();
    while !over.load(Ordering::SeqCst) {
        if all.len() >= CONNECTIONS {
            all.clear();
        }
        all.extend(UnixStream::connect(socket).ok());
        std::thread::sleep(LOOK_EVERY);
    }
    all.len()
}

/// A byte now and then.
fn slow_writer(socket: &Path, over: &AtomicBool) -> usize {
    let mut written = 0;
    while !over.load(Ordering::SeqCst) {
        std::thread::sleep(LOOK_EVERY);
        let Ok(mut stream) = UnixStream::connect(socket) else { continue };
        while !over.load(Ordering::SeqCst) && stream.write_all(b"{").is_ok() {
            written += 1;
            std::thread::sleep(LOOK_EVERY * 50);
        }
    }
    written
}

fn huge_line(socket: &Path, over: &AtomicBool) -> usize {
    let line = vec![b'['; 1 << 20];
    repeat(socket, over, &line)
}

fn malformed(socket: &Path, over: &AtomicBool) -> usize {
    repeat(socket, over, b"{\"protocol\":1,\"request\":{\"status\":\xff\n")
}

fn repeat(socket: &Path, over: &AtomicBool, line: &[u8]) -> usize {
    let mut times = 0;
    while !over.load(Ordering::SeqCst) {
        std::thread::sleep(LOOK_EVERY);
        let Ok(mut stream) = UnixStream::connect(socket) else { continue };
        // The agent may have heard enough before all of it is written, and end the connection.
        let _ = stream.write_all(line);
        let _ = stream.read(&mut [0; 256]);
        times += 1;
    }
    times
}

/// As fast as it is answered; gives how often it was.
fn ask_for_status(socket: &Path, over: &AtomicBool) -> usize {
    let mut answered = 0;
    while !over.load(Ordering::SeqCst) {
        std::thread::sleep(LOOK_EVERY);
        let Ok(mut stream) = UnixStream::connect(socket) else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut answer = String::new();
        let asked = stream.write_all(b"{\"protocol\":1,\"request\":{\"status\":{\"cluster\":null}}}\n");
        if asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.contains("\"stages\"") {
            answered += 1;
        }
    }
    answered
}
