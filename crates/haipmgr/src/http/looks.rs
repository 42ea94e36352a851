//! Who asks over HTTP is answered from a look that is taken no more often than is good for those who are looked at: the agents' loops lose
//! no more than a tenth of their time to it, and the members' servers are asked once a second, or twice while something changes,
//! however many ask.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::metrics::{self, Shown};
use crate::config::{Cluster, Config};
use crate::control::report::Report;
use crate::control::{Doors, look};
use crate::history::{self, Record};
use crate::journal::Journal;
use crate::status::gather::Watched;
use crate::status::json::json;
use crate::status::picture::Picture;

/// A look at the agents is good for so long …
const REPORT_FOR: Duration = Duration::from_millis(20);
/// … and after one that took long, for this many times as long.
const REST: u32 = 10;
/// A look at the whole cluster is good for so long from its beginning …
const WHOLE_FOR: Duration = Duration::from_millis(200);
/// … and where it took as long as that, for those who waited for it meanwhile.
const WHOLE_FOR_THOSE_WHO_WAITED: Duration = Duration::from_millis(30);
/// So many of the last switches of a cluster are shown at the most.
pub(super) const MOST_SWITCHES: usize = 1_000;

/// Until when it is good, and what was seen.
type Good<T> = (Instant, Arc<T>);

/// What everybody is answered from.
pub(super) struct Looks {
    doors: Doors,
    journal: Journal,
    config: Arc<Config>,
    since: Instant,
    report: Mutex<Option<Good<Report>>>,
    whole: Mutex<(Watched, Option<Good<Whole>>)>,
}

/// The whole cluster, as `haipmgr status` shows it.
pub(super) struct Whole {
    /// `haipmgr status --format json`.
    pub(super) json: String,
    /// What it was made of.
    pub(super) pictures: Vec<Picture>,
}

impl Looks {
    /// Inside a tokio runtime.
    pub(super) fn new(config: Arc<Config>, doors: Doors, journal: Journal) -> Self {
        let whole = Mutex::new((Watched::often(&config), None));
        Self { doors, journal, config, since: Instant::now(), report: Mutex::new(None), whole }
    }

    /// What this host's agents say of themselves.
    pub(super) async fn report(&self) -> Arc<Report> {
        let mut last = self.report.lock().await;
        let begun = Instant::now();
        if let Some((good_until, report)) = &*last
            && begun < *good_until
        {
            return Arc::clone(report);
        }
        let report = Arc::new(look(&self.doors.all(), self.since, |_| true).await);
        let ended = Instant::now();
        *last = Some((ended + REPORT_FOR.max((ended - begun) * REST), Arc::clone(&report)));
        report
    }

    /// The whole cluster: every member's server and the segment are asked too.
    ///
    /// # Errors
    /// It can't be written as JSON; none is known.
    pub(super) async fn whole(&self) -> Result<Arc<Whole>, serde_json::Error> {
        let (watched, last) = &mut *self.whole.lock().await;
        let begun = Instant::now();
        if let Some((good_until, whole)) = last
            && begun < *good_until
        {
            return Ok(Arc::clone(whole));
        }
        let (at, pictures) = watched.look().await;
        let json = json(&pictures, &format!("{at:.3}"), begun.elapsed())?;
        let whole = Arc::new(Whole { json, pictures });
        let good_until = (begun + WHOLE_FOR).max(Instant::now() + WHOLE_FOR_THOSE_WHO_WAITED);
        *last = Some((good_until, Arc::clone(&whole)));
        Ok(whole)
    }

    /// `/metrics`.
    ///
    /// # Errors
    /// As [`metrics::text`].
    pub(super) async fn metrics(&self) -> Result<String, std::fmt::Error> {
        let report = self.report().await;
        let doors = self.doors.all();
        let counts = report.clusters.iter().map(|cluster| {
            let door = doors.iter().find(|door| door.cluster == cluster.name);
            door.map(|door| door.tally.counts()).unwrap_or_default()
        });
        let counts: Vec<_> = counts.collect();
        metrics::text(&Shown { report: &report, counts: &counts, lines: self.journal.lines() })
    }

    /// The last `most` switches of every cluster, or of the one that is named, the oldest first.
    ///
    /// # Errors
    /// In words: a history can't be read.
    pub(super) async fn switches(&self, named: Option<String>, most: usize) -> Result<Vec<Record>, String> {
        let wanted = |name: &str| named.as_deref().is_none_or(|named| named == name);
        let clusters = self.config.clusters.iter().filter(|cluster| wanted(&cluster.name));
        let files: Vec<_> = clusters.map(Cluster::history_file).collect();
        let read = move || {
            let mut all = Vec::new();
            for file in files {
                all.extend(history::read(&file).map_err(|error| error.to_string())?.records);
            }
            all.sort_by(|one: &Record, other: &Record| one.at.cmp(&other.at));
            let too_many = all.len().saturating_sub(most.min(MOST_SWITCHES));
            all.drain(..too_many);
            Ok(all)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(read) => read,
            Err(error) => Err(format!("the history was not read: {error}")),
        }
    }
}
