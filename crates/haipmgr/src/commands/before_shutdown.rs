//! What the agent does when logind says that the host goes down: what `haipmgr drain` does, for as long as logind waits. A thread of its
//! own, an ordinary one: nothing of it takes time from the thread that decides.
//!
//! `haipmgr drain` itself is run, as a program, for each cluster: it asks servers, waits and prints, and whatever becomes of it the agent
//! goes on.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use tokio::process::Command;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::config::{Config, format_duration};
use crate::journal::Log;
use crate::self_protection::as_ordinary_thread;
use crate::shutdown_delay::{Lock, Logind, Unavailable, Word};

/// This program, also when another has taken its place in the file system.
const OURSELVES: &str = "/proc/self/exe";
/// As much as `haipmgr drain` takes by itself, however long logind would wait.
const DRAIN_AT_MOST: Duration = Duration::from_secs(20);
/// It ends so much sooner, so that what it says is heard.
const SPARE: Duration = Duration::from_millis(200);
/// So many clusters at a time.
const AT_ONCE: usize = 16;
/// D-Bus was there, and is gone: its daemon is perhaps started anew. Seconds between the attempts.
const AGAIN_AFTER: [u64; 4] = [1, 10, 60, 600];
/// Only what is touched costs memory.
const STACK: usize = 1 << 20;

/// Waits for logind's word, until it is dropped.
pub(super) struct BeforeShutdown {
    clusters: watch::Sender<BTreeSet<String>>,
    /// Dropped, the thread ends, and lets the lock go.
    _stop: oneshot::Sender<()>,
}

impl BeforeShutdown {
    /// None where the configuration does not want it. `drained`: the clusters that are drained already.
    pub(super) fn begin(
        config: &Config,
        drained: watch::Receiver<BTreeSet<String>>,
        log: &Log,
    ) -> Option<Self> {
        if !config.drain_on_shutdown {
            return None;
        }
        let (clusters, told) = watch::channel(names(config));
        let (stop, stopped) = oneshot::channel();
        let work = Work { file: config.path.clone(), clusters: told, drained, log: log.clone() };
        match start(work, stopped) {
            Ok(()) => Some(Self { clusters, _stop: stop }),
            Err(cause) => {
                log.error(&not_to_be_had(&cause));
                None
            }
        }
    }

    /// The clusters are these from now on.
    pub(super) fn follow(&self, config: &Config) {
        self.clusters.send_replace(names(config));
    }
}

fn names(config: &Config) -> BTreeSet<String> {
    config.clusters.iter().map(|cluster| cluster.name.clone()).collect()
}

fn start(work: Work, stopped: oneshot::Receiver<()>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("logind".to_owned()).stack_size(STACK);
    let serve = move || {
        runtime.block_on(async move {
            tokio::select! {
                // The sender is never used, only dropped.
                _ = stopped => {}
                () = work.go_on() => {}
            }
        });
        runtime.shutdown_background();
    };
    thread.spawn(|| as_ordinary_thread(serve)).map(drop)
}

/// What the thread knows.
struct Work {
    file: PathBuf,
    clusters: watch::Receiver<BTreeSet<String>>,
    drained: watch::Receiver<BTreeSet<String>>,
    log: Log,
}

impl Work {
    /// For as long as logind can be listened to.
    async fn go_on(mut self) {
        let mut attempts = AGAIN_AFTER.iter();
        let mut was_there = false;
        loop {
            let why = match Logind::open().await {
                Err(why) => why,
                Ok(logind) => {
                    self.log
                        .info("logind waits for haipmgr drain before the host goes down (drain_on_shutdown)");
                    attempts = AGAIN_AFTER.iter();
                    was_there = true;
                    match self.listen(logind).await {
                        Some(why) => why,
                        None => return,
                    }
                }
            };
            let again = attempts.next().filter(|_| was_there);
            let again_in = again.map_or_else(String::new, |after| format!("; tried again in {after} s"));
            self.log.info(&format!("{}{again_in}", not_to_be_had(&why)));
            match again {
                Some(after) => sleep(Duration::from_secs(*after)).await,
                None => return,
            }
        }
    }

    /// None where the host goes down, and D-Bus with it.
    async fn listen(&mut self, mut logind: Logind) -> Option<Unavailable> {
        let mut draining: Option<(JoinHandle<()>, BTreeSet<String>)> = None;
        loop {
            match logind.next().await {
                Ok(Word::GoesDown(lock)) => {
                    let drained = self.drained.borrow().clone();
                    let clusters: BTreeSet<_> =
                        self.clusters.borrow().difference(&drained).cloned().collect();
                    let work = drain(self.file.clone(), clusters.clone(), lock, self.log.clone());
                    draining = Some((tokio::spawn(work), clusters));
                }
                Ok(Word::GoesOn) => {
                    let Some((draining, clusters)) = draining.take() else { continue };
                    // What was to be drained is; or its time is over.
                    drop(draining.await);
                    self.undrain(&clusters).await;
                }
                Err(why) => return draining.is_none().then_some(why),
            }
        }
    }

    /// What was drained before stays so.
    async fn undrain(&self, clusters: &BTreeSet<String>) {
        self.log.info("logind says that the host does not go down after all");
        for cluster in clusters {
            let begun = Instant::now();
            say(&self.log, "undrain", cluster, begun, run("undrain", &self.file, cluster, &[]).await);
        }
    }
}

/// Drains, and lets the lock go when that is done or its time is over.
async fn drain(file: PathBuf, clusters: BTreeSet<String>, lock: Lock, log: Log) {
    let within = lock.within.min(DRAIN_AT_MOST);
    let limit = format_duration(within);
    log.info(&format!(
        "logind says that the host goes down; to be drained within {limit}: {}",
        listed(&clusters)
    ));
    let patience = format_duration(within.saturating_sub(SPARE).max(within / 2));
    let options = ["--timeout", &patience, "--reason", "the host goes down"];
    let mut left = clusters.clone();
    let (file, log, options) = (&file, &log, &options);
    let each = iter(clusters.clone()).map(|cluster: String| async move {
        let begun = Instant::now();
        say(log, "drain", &cluster, begun, run("drain", file, &cluster, options).await);
        cluster
    });
    let all = each.buffer_unordered(AT_ONCE).for_each(|ended: String| {
        left.remove(&ended);
        std::future::ready(())
    });
    if timeout(within, all).await.is_err() {
        log.error(&format!("not drained within {limit}: {}; the host goes down all the same", listed(&left)));
    }
    drop(lock);
}

/// Runs one of this program's commands for one cluster, as an ordinary process.
async fn run(command: &str, file: &Path, cluster: &str, options: &[&str]) -> std::io::Result<Output> {
    let mut prepared = Command::new(OURSELVES);
    prepared.arg(command).arg("--config").arg(file).args(["--cluster", cluster]).args(options);
    prepared.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    prepared.spawn()?.wait_with_output().await
}

/// How it ended, and the last that it said.
fn say(log: &Log, command: &str, cluster: &str, begun: Instant, ended: std::io::Result<Output>) {
    match ended {
        Ok(ended) => {
            let words = if ended.status.success() { ended.stdout } else { ended.stderr };
            let words = String::from_utf8_lossy(&words);
            let last = words.lines().next_back().unwrap_or_default();
            let line = format!(
                "haipmgr {command} --cluster {cluster}: {last} ({}, after {} ms)",
                ended.status,
                begun.elapsed().as_millis()
            );
            if ended.status.success() { log.info(&line) } else { log.error(&line) }
        }
        Err(cause) => log.error(&format!("haipmgr {command} --cluster {cluster} can't be run: {cause}")),
    }
}

fn listed(clusters: &BTreeSet<String>) -> String {
    if clusters.is_empty() {
        return "nothing, for all is drained".to_owned();
    }
    clusters.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn not_to_be_had(why: &dyn Display) -> String {
    format!("no haipmgr drain before the host goes down (drain_on_shutdown): {why}")
}
