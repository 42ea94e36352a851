//! What a host's own machine can do: be too busy, have no room left on its disk, not let the log be written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::expect::{followed, promise, untouched};
use super::members::restart_agents;
use super::{Broken, UnderTest};
use crate::agents::INSTALL_PATH;
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::host::Host;

/// How long every core is kept busy.
const BUSY_FOR: Duration = Duration::from_secs(60);
/// Busy threads for each core.
const THREADS_A_CORE: usize = 2;

/// Every core of the machine has more to do than it can, all hosts' alike.
pub(super) fn all_cores_busy(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("all cores busy for a minute", |_| {
        with_all_cores_busy(BUSY_FOR);
        Ok::<_, Broken>(())
    })?;
    untouched(&under_test.experiment, &figures)
}

/// Keeps every core of the machine busier than it can be.
pub(super) fn with_all_cores_busy(time: Duration) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..cores * THREADS_A_CORE {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        // The fault is that time passes.
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
    });
}

/// Everything the agents write is on a disk that is full; the VIP follows a switchover all the same.
pub(super) fn disk_full(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_another_folder(under_test, "disk full", "size=64k", restart_agents_unheard, |host| {
        let file = host.path(format!("{INSTALL_PATH}filler"));
        // Until there is no room: that it ends in an error is the point.
        let full = std::fs::write(&file, vec![b'x'; 1 << 20]);
        promise(full.is_err(), || "the disk is not full".to_owned())
    })
}

/// The folder of the log and all else can't be written any more. An agent that is started there is refused, for that is how a
/// wrong `install_path` looks; one that runs goes on.
pub(super) fn log_folder_read_only(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_another_folder(under_test, "log folder read-only", "size=64k,ro", |_| Ok(()), |_| Ok(()))
}

/// Covers every host's `install_path` with a small file system, does `then` to the agents, and switches over.
fn with_another_folder(
    under_test: &mut UnderTest,
    name: &str,
    options: &str,
    then: impl FnOnce(&mut Experiment) -> Result<(), Broken>,
    prepare: impl Fn(&Host) -> Result<(), Broken>,
) -> Result<String, Broken> {
    let restarted = under_test.experiment.watched(name, |experiment| {
        for host in &experiment.lab.segment.databases {
            program(host, &["mount", "-t", "tmpfs", "-o", options, "tmpfs", INSTALL_PATH])?;
            prepare(host)?;
        }
        then(experiment)
    });
    let outcome = restarted.and_then(|figures| untouched(&under_test.experiment, &figures));
    let moved = outcome.and_then(|pause| {
        let figures = under_test.experiment.run(Fault::Switchover)?;
        Ok(format!("{pause}; switchover: {}", followed(&figures)?))
    });
    for host in &under_test.experiment.lab.segment.databases {
        program(host, &["umount", "-l", INSTALL_PATH])?;
    }
    under_test.experiment.lab.wait_steady()?;
    restart_agents(&mut under_test.experiment)?;
    moved
}

/// Their logs can't be read, for they can't be written: that the VIP stays is what shows that they work.
fn restart_agents_unheard(experiment: &mut Experiment) -> Result<(), Broken> {
    let lab = &mut experiment.lab;
    for (agent, host) in lab.agents.iter_mut().zip(&lab.segment.databases) {
        agent.stop()?;
        agent.start(host)?;
    }
    lab.wait_steady()?;
    Ok(())
}

/// Runs a program on a host, which is to succeed.
pub(super) fn program(host: &Host, words: &[&str]) -> Result<(), Broken> {
    let what = || format!("{}: {}", host.name(), words.join(" "));
    let output = host.command(words[0]).args(&words[1..]).output().map_err(Broken::io(what()))?;
    promise(output.status.success(), || {
        format!("{}: {}", what(), String::from_utf8_lossy(&output.stderr).trim())
    })
}
