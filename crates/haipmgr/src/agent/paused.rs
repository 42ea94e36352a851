//! The operator's pause of one cluster's agent: its own host's word and the whole cluster's, kept in a file that outlives the
//! agent, and told to the rules as one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use decide::input::Event;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock;
use crate::journal::Log;
use crate::pause::{Pause, wall_ms};

/// The end of an agent waits no longer than this for its file.
const KEPT_WITHIN: Duration = Duration::from_millis(500);

/// What has been heard of pauses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Of this host's agent alone.
    pub host: Option<Pause>,
    /// Of the whole cluster's.
    pub cluster: Option<Pause>,
}

impl Heard {
    /// Gives whether there was any.
    fn forget_what_is_over(&mut self, now_ms: u64) -> bool {
        let is_over = |pause: &mut Pause| pause.left(now_ms).is_none();
        let (host, cluster) = (self.host.take_if(is_over), self.cluster.take_if(is_over));
        host.is_some() || cluster.is_some()
    }

    /// The pause that ends last, of those that are not over.
    fn longest(&self, now_ms: u64) -> Option<&Pause> {
        let both = [&self.host, &self.cluster].into_iter().flatten();
        both.filter(|pause| pause.left(now_ms).is_some()).max_by_key(|pause| pause.until_ms)
    }
}

/// One cluster's, on this host.
pub(super) struct Paused {
    heard: Heard,
    /// The end that the rules were told of last.
    told_until_ms: Option<u64>,
    /// One write after another.
    file: Arc<Mutex<PathBuf>>,
    /// The last of them.
    keeping: Option<JoinHandle<()>>,
    journal: Log,
}

impl Paused {
    /// As the file says; what is over by now counts no more.
    pub(super) fn read(file: PathBuf, journal: Log) -> Self {
        let mut heard = match read(&file) {
            Ok(heard) => heard,
            Err(error) => {
                journal.error(&format!(
                    "{}: {error}: whether this agent was paused is not known, so it is not; pause it again, or remove the file",
                    file.display()
                ));
                Heard::default()
            }
        };
        let over = heard.forget_what_is_over(wall_ms());
        for (whose, kept) in [(HOST, &heard.host), (CLUSTER, &heard.cluster)] {
            if let Some(pause) = kept {
                journal.info(&format!("still paused ({whose}) {pause}"));
            }
        }
        let file = Arc::new(Mutex::new(file));
        let mut paused = Self { heard, told_until_ms: None, file, keeping: None, journal };
        if over {
            paused.keep();
        }
        paused
    }

    /// What has been heard so far.
    pub(super) fn heard(&self) -> &Heard {
        &self.heard
    }

    /// This host's agent is paused; or it is to go on, whoever paused it: its server may not tell it of the cluster's end.
    pub(super) fn hear_of_host(&mut self, pause: Option<Pause>) {
        if pause.is_none() {
            self.hear(CLUSTER, |heard| &mut heard.cluster, None);
        }
        self.hear(HOST, |heard| &mut heard.host, pause);
    }

    /// The cluster is paused, or no longer.
    pub(super) fn hear_of_cluster(&mut self, pause: Option<Pause>) {
        self.hear(CLUSTER, |heard| &mut heard.cluster, pause);
    }

    fn hear(&mut self, whose: &str, of: impl Fn(&mut Heard) -> &mut Option<Pause>, pause: Option<Pause>) {
        let now_ms = wall_ms();
        let pause = pause.filter(|pause| pause.left(now_ms).is_some());
        let kept = of(&mut self.heard);
        if *kept == pause {
            return;
        }
        match (&kept, &pause) {
            (_, Some(pause)) => self.journal.info(&format!("paused ({whose}) {pause}")),
            (Some(before), None) if before.left(now_ms).is_some() => {
                self.journal.info(&format!("resumed by the operator ({whose})"));
            }
            _ => {}
        }
        *kept = pause;
        self.keep();
    }

    /// Where the disk is slow, nothing waits for it.
    fn keep(&mut self) {
        let (heard, file, journal) = (self.heard.clone(), Arc::clone(&self.file), self.journal.clone());
        self.keeping = Some(tokio::task::spawn_blocking(move || {
            let file = file.blocking_lock();
            if let Err(error) = write(&file, &heard) {
                journal.error(&format!(
                    "{}: {error}: the pause does not outlive this agent; see that it can write there",
                    file.display()
                ));
            }
        }));
    }

    /// Waits until the file says what has been heard, for whoever comes next; where the disk is slow, no longer than a moment.
    pub(super) async fn kept(&mut self) {
        if let Some(keeping) = self.keeping.take() {
            let _ = timeout(KEPT_WITHIN, keeping).await;
        }
    }

    /// The pause that the rules know of, where there is one.
    pub(super) fn counts(&self) -> Option<&Pause> {
        let mut both = [&self.heard.host, &self.heard.cluster].into_iter().flatten();
        both.find(|pause| Some(pause.until_ms) == self.told_until_ms)
    }

    /// What the rules are yet to be told.
    pub(super) fn news(&mut self) -> Option<Event> {
        let now_ms = wall_ms();
        // Whoever looks at its folder sees no pause that is over.
        if self.heard.forget_what_is_over(now_ms) {
            self.keep();
        }
        let longest = self.heard.longest(now_ms);
        let until_ms = longest.map(|pause| pause.until_ms);
        if until_ms == self.told_until_ms {
            return None;
        }
        self.told_until_ms = until_ms;
        let left = longest.and_then(|pause| pause.left(now_ms));
        Some(left.map_or(Event::Resume, |left| Event::Pause { until: clock::now() + left }))
    }
}

const HOST: &str = "this host";
const CLUSTER: &str = "the whole cluster";

fn read(file: &Path) -> io::Result<Heard> {
    match std::fs::read(file) {
        Ok(kept) => Ok(serde_json::from_slice(&kept)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Heard::default()),
        Err(error) => Err(error),
    }
}

/// In whole: what is read is never a part of it.
fn write(file: &Path, heard: &Heard) -> io::Result<()> {
    if *heard == Heard::default() {
        return match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let next = file.with_extension("new");
    std::fs::write(&next, serde_json::to_vec(heard)?)?;
    std::fs::rename(&next, file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_two_pauses_the_one_that_ends_last_counts_and_one_that_is_over_does_not() {
        let pause = |until_ms| Some(Pause::new(until_ms, "x", ""));
        let until = |host, cluster, now| Heard { host, cluster }.longest(now).map(|pause| pause.until_ms);
        assert_eq!(until(pause(2_000), pause(3_000), 1_000), Some(3_000));
        assert_eq!(until(pause(2_000), None, 1_000), Some(2_000));
        assert_eq!(until(pause(2_000), pause(1_000), 1_500), Some(2_000));
        assert_eq!(until(pause(2_000), pause(3_000), 3_000), None);
    }

    #[test]
    fn a_pause_that_is_over_is_forgotten_and_the_other_is_not() {
        let pause = |until_ms| Some(Pause::new(until_ms, "x", ""));
        let mut heard = Heard { host: pause(2_000), cluster: pause(3_000) };
        assert!(!heard.forget_what_is_over(1_999));
        assert!(heard.forget_what_is_over(2_000));
        assert_eq!(heard, Heard { host: None, cluster: pause(3_000) });
        assert!(heard.forget_what_is_over(3_000) && !heard.forget_what_is_over(3_001));
    }

    #[test]
    fn what_was_heard_is_kept_in_whole_and_goes_with_the_pause() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("paused_3306");
        assert_eq!(read(&file).unwrap(), Heard::default());
        let heard = Heard { host: None, cluster: Some(Pause::new(7, "root on db1", "why")) };
        write(&file, &heard).unwrap();
        assert_eq!(read(&file).unwrap(), heard);
        write(&file, &Heard::default()).unwrap();
        assert!(!file.exists());
        std::fs::write(&file, "{\"host\":{\"until").unwrap();
        assert!(read(&file).is_err());
    }
}
