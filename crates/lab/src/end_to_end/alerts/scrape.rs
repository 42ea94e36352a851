//! Every agent's `/metrics`, asked for each second from its own host, as a Prometheus with `scrape_interval: 1s` does.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::LISTEN;
use crate::end_to_end::Broken;
use crate::experiment::Experiment;

const EVERY: Duration = Duration::from_secs(1);
/// An answer that takes longer is none, as with Prometheus's `scrape_timeout`.
const LIMIT: Duration = Duration::from_millis(800);

/// What came of one scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scraped {
    /// The text.
    Answer(String),
    /// Nobody answered, or not in time, or with another status than 200.
    Nothing,
    /// The machine was too busy to ask in that second.
    NotAsked,
}

/// What was scraped of each host, a second after the other.
#[derive(Debug)]
pub(super) struct Recorded(pub(super) Vec<(String, Vec<Scraped>)>);

impl Recorded {
    /// How long that was.
    pub(super) fn seconds(&self) -> usize {
        self.0.iter().map(|(_, scraped)| scraped.len()).max().unwrap_or_default()
    }
}

/// A thread for each host.
#[derive(Debug)]
pub(super) struct Scraper {
    began: Instant,
    ends: Arc<AtomicBool>,
    threads: Vec<(String, JoinHandle<Option<Vec<Scraped>>>)>,
}

impl Scraper {
    pub(super) fn begin(experiment: &Experiment) -> Result<Self, Broken> {
        let (began, ends) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let mut threads = Vec::new();
        for host in &experiment.lab.segment.databases {
            let ends = Arc::clone(&ends);
            let thread = host.spawn_in_network(move || scrape_until(began, &ends))?;
            threads.push((host.name().to_owned(), thread));
        }
        Ok(Self { began, ends, threads })
    }

    /// The second that is being scraped.
    pub(super) fn second(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    pub(super) fn finish(self) -> Recorded {
        self.ends.store(true, Ordering::Relaxed);
        let each = self.threads.into_iter().map(|(name, thread)| {
            // A thread that panicked has scraped nothing, and every alert that is expected of it will be missed.
            (name, thread.join().ok().flatten().unwrap_or_default())
        });
        Recorded(each.collect())
    }
}

fn scrape_until(began: Instant, ends: &AtomicBool) -> Vec<Scraped> {
    let mut all = Vec::new();
    for second in 0_u32.. {
        let (due, late) = (began + EVERY * second, began + EVERY * (second + 1));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if ends.load(Ordering::Relaxed) {
            break;
        }
        all.push(if Instant::now() >= late {
            Scraped::NotAsked
        } else {
            scrape().map_or(Scraped::Nothing, Scraped::Answer)
        });
    }
    all
}

/// One answer, asked for on the agent's own host.
pub(in super::super) fn scrape() -> Option<String> {
    let address: SocketAddr = LISTEN.parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: haipmgr\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let is_whole = head.starts_with("HTTP/1.1 200 ") && body.ends_with("# EOF\n");
    is_whole.then(|| body.to_owned())
}
