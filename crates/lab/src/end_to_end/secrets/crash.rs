//! What ends by a signal that dumps core, where the limit allows one of any size: the kernel itself says whether it dumped.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agents::CONFIGURATION;
use crate::end_to_end::agents::{AT_WORK, start_and_hear};
use crate::end_to_end::expect::promise;
use crate::end_to_end::{Broken, UnderTest};
use crate::host::Host;

const SIGNALS: [Signal; 2] = [Signal::SIGABRT, Signal::SIGSEGV];
/// How long a command may take until it has read the password, and to end.
const WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Where a core of what is not protected may be left, and is removed.
const FOLDER: &str = "/var/lib/cores";

/// An agent, and a command that has the password; and beside them a program that is not protected.
pub(super) fn all_kinds(under_test: &mut UnderTest) -> Result<String, Broken> {
    let place = (under_test.experiment.lab.wait_steady()? + 1) % under_test.experiment.lab.agents.len();
    let (soft, hard) = getrlimit(Resource::RLIMIT_CORE).map_err(os("reading the limit on core dumps"))?;
    setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY)
        .map_err(os("raising the limit on core dumps, which takes root"))?;
    let outcome = with_limit_raised(under_test, place);
    setrlimit(Resource::RLIMIT_CORE, soft, hard).map_err(os("lowering the limit on core dumps"))?;
    // Under the old limit again.
    under_test.experiment.lab.agents[place].stop()?;
    start_and_hear(&mut under_test.experiment, place, AT_WORK)?;
    outcome
}

fn os(what: &'static str) -> impl FnOnce(nix::Error) -> Broken {
    move |cause| Broken::io(what)(cause.into())
}

fn with_limit_raised(under_test: &mut UnderTest, place: usize) -> Result<String, Broken> {
    let host = &under_test.experiment.lab.segment.databases[place];
    promise(unprotected(host)?.core_dumped(), || {
        "this machine dumps no core of anything: that none is dumped of haipmgr shows nothing; \
         see /proc/sys/kernel/core_pattern"
            .to_owned()
    })?;
    under_test.experiment.lab.agents[place].stop()?;
    for signal in SIGNALS {
        start_and_hear(&mut under_test.experiment, place, AT_WORK)?;
        let ended = under_test.experiment.lab.agents[place].end_by(signal)?;
        by_signal_without_core("the agent", signal, ended)?;
    }
    start_and_hear(&mut under_test.experiment, place, AT_WORK)?;
    for signal in SIGNALS {
        let ended = command(under_test, place, signal)?;
        by_signal_without_core("haipmgr status", signal, Some(ended))?;
    }
    Ok("no core of an agent or a command, ended by SIGABRT and SIGSEGV, where a program beside them leaves one".to_owned())
}

fn by_signal_without_core(what: &str, signal: Signal, ended: Option<ExitStatus>) -> Result<(), Broken> {
    let by_it = ended.is_some_and(|status| status.signal() == Some(signal as i32));
    promise(by_it, || format!("{what} was not ended by {signal}: {ended:?}"))?;
    promise(!ended.is_some_and(|status| status.core_dumped()), || format!("{what} dumped core at {signal}"))
}

/// A program that lets the kernel dump it.
fn unprotected(host: &Host) -> Result<ExitStatus, Broken> {
    let script = format!("mkdir -p {FOLDER} && cd {FOLDER} && kill -ABRT $$");
    let status = host.command("/bin/sh").args(["-c", &script]).status();
    let status = status.map_err(Broken::io("running a program that dumps core"))?;
    std::fs::remove_dir_all(host.path(FOLDER)).map_err(Broken::io(format!("removing {FOLDER}")))?;
    Ok(status)
}

/// `haipmgr status --watch`, ended once it has shown what it learned with the password.
fn command(under_test: &UnderTest, place: usize, signal: Signal) -> Result<ExitStatus, Broken> {
    let host = &under_test.experiment.lab.segment.databases[place];
    let failed = || Broken::io("running haipmgr status --watch");
    // Where a core would be left, should there be one.
    let script = format!("mkdir -p {FOLDER} && cd {FOLDER} && exec \"$@\"");
    let mut child = host
        .command("/bin/sh")
        .args(["-c", &script, "sh"])
        .arg(under_test.layout.agent())
        .args(["status", "--watch", "1", "--config", CONFIGURATION])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed())?;
    let outcome = ended_by(&mut child, signal);
    // It has ended, unless something failed.
    let _ = child.kill();
    let _ = child.wait();
    std::fs::remove_dir_all(host.path(FOLDER)).map_err(Broken::io(format!("removing {FOLDER}")))?;
    outcome
}

fn ended_by(child: &mut Child, signal: Signal) -> Result<ExitStatus, Broken> {
    use std::io::Read as _;
    let failed = || Broken::io("waiting for haipmgr status --watch");
    if let Some(output) = &mut child.stdout {
        output.read_exact(&mut [0; 64]).map_err(failed())?;
    }
    let since = Instant::now();
    loop {
        // Again and again, as an agent is ended.
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX)), signal)
            .map_err(os("sending haipmgr status a signal"))?;
        if let Some(status) = child.try_wait().map_err(failed())? {
            return Ok(status);
        }
        promise(since.elapsed() < WITHIN, || format!("haipmgr status does not end by {signal}"))?;
        std::thread::sleep(LOOK_EVERY);
    }
}
