//! `haipmgr status`, typed on one host after the other while a step of the soak is under way, and what the witnesses of the segment
//! hear there meanwhile.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::agreement::{Kept, Look};
use crate::agents::{CONFIGURATION, INSTALL_PATH};
use crate::end_to_end::{Broken, UnderTest};
use crate::record::{Recorded, Recorder, now_us};
use crate::segment::{INTERFACE, readers, vips};

/// Between two looks, on two hosts.
const PAUSE: Duration = Duration::from_millis(300);
/// What a witness saw is told within this.
const TOLD_WITHIN: Duration = Duration::from_millis(600);

/// What was shown on all hosts during a step.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) looks: Vec<Look>,
    /// How long the command took each time.
    pub(super) took: Vec<Duration>,
    /// The command printed no picture: what it said, the first time and how often.
    pub(super) refused: Option<(String, usize)>,
    /// Frames about the VIPs, by the host that heard them.
    pub(super) heard: Vec<Recorded>,
}

/// Asks until it is told to end.
#[derive(Debug)]
pub(super) struct Asking {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Looked>,
    listeners: Vec<Child>,
    recorder: Recorder,
}

/// One host, to be asked again and again.
struct Asked {
    command: Command,
    drained: PathBuf,
    paused: PathBuf,
}

impl Asking {
    /// Begins.
    ///
    /// # Errors
    /// A witness does not start.
    pub(super) fn start(under_test: &UnderTest) -> Result<Self, Broken> {
        let UnderTest { layout, experiment } = under_test;
        let recorder = Recorder::default();
        let mut listeners = Vec::new();
        for host in &experiment.lab.segment.databases {
            for vip in vips().into_iter().chain(readers()) {
                let mut command = host.command(layout.lab());
                command.args(["witness", "arp", "--who", host.name(), "--interface", INTERFACE, "--vip"]);
                command.arg(vip.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
                let mut child = command.spawn().map_err(Broken::io("starting a witness of the segment"))?;
                if let Some(output) = child.stdout.take() {
                    recorder.attach().witness(host.name(), output);
                }
                listeners.push(child);
            }
        }
        let hosts = experiment.lab.segment.databases.iter().map(|host| {
            let mut command = host.command(layout.agent());
            command.args(["status", "--format", "json", "--config", CONFIGURATION]);
            let file = |name: &str| host.path(format!("{INSTALL_PATH}{name}_3306"));
            Asked { command, drained: file("drained"), paused: file("paused") }
        });
        let hosts: Vec<Asked> = hosts.collect();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::spawn(move || ask_in_turns(hosts, &ends));
        Ok(Self { over, thread, listeners, recorder })
    }

    /// Asks every host once more, ends, and gives all that was shown, when what the witnesses saw of it has been told.
    pub(super) fn end(self) -> Looked {
        self.over.store(true, Ordering::SeqCst);
        let mut looked = self.thread.join().unwrap_or_default();
        std::thread::sleep(TOLD_WITHIN);
        for mut listener in self.listeners {
            // Closing its input ends it; the kill is for one that does not look.
            drop(listener.stdin.take());
            let _ = listener.kill();
            let _ = listener.wait();
        }
        while let Some(heard) = self.recorder.next_within(Duration::ZERO) {
            looked.heard.push(heard);
        }
        looked.heard.sort_by_key(|heard| heard.at_us);
        looked
    }
}

fn ask_in_turns(mut hosts: Vec<Asked>, over: &AtomicBool) -> Looked {
    let mut looked = Looked::default();
    let mut last_round = 0;
    // Once over, each host has its turn once more.
    while last_round < hosts.len() {
        for (on, host) in hosts.iter_mut().enumerate() {
            last_round = if over.load(Ordering::SeqCst) { last_round + 1 } else { 0 };
            host.look(on, &mut looked);
            let since = Instant::now();
            while !over.load(Ordering::SeqCst) && since.elapsed() < PAUSE {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    looked
}

impl Asked {
    fn look(&mut self, on: usize, looked: &mut Looked) {
        let before = [&self.drained, &self.paused].map(age_ms);
        let (begun_us, since) = (now_us(), Instant::now());
        let output = self.command.output();
        let (took, ended_us) = (since.elapsed(), now_us());
        let wall = jiff::Timestamp::now();
        let after = [&self.drained, &self.paused].map(age_ms);
        looked.took.push(took);
        let refusal = match output {
            Err(error) => error.to_string(),
            Ok(output) => match picture(&output.stdout) {
                Some((at, cluster)) => {
                    let since_us = u64::try_from(wall.duration_since(at).as_micros()).unwrap_or(0);
                    // The wall clock may have been set meanwhile.
                    let printed_us = ended_us.saturating_sub(since_us).clamp(begun_us, ended_us);
                    let kept = |file: usize| Kept::of(before[file], after[file]);
                    let (drained, paused) = (kept(0), kept(1));
                    looked.looks.push(Look { on, begun_us, printed_us, ended_us, cluster, drained, paused });
                    return;
                }
                None => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            },
        };
        looked.refused.get_or_insert((refusal, 0)).1 += 1;
    }
}

/// When the document was printed, and its first cluster.
fn picture(document: &[u8]) -> Option<(jiff::Timestamp, Value)> {
    let mut document: Value = serde_json::from_slice(document).ok()?;
    let at = document["at"].as_str()?.parse().ok()?;
    Some((at, document["clusters"][0].take())).filter(|(_, cluster)| cluster.is_object())
}

/// How old a file is, where it is there.
fn age_ms(file: &PathBuf) -> Option<u64> {
    let written = fs::metadata(file).and_then(|found| found.modified()).ok()?;
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    u64::try_from(age.as_millis()).ok()
}
