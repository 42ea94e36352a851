//! What the agents' logs say (S5), from a mark on.

use std::fs;
use std::time::{Duration, Instant};

use super::Broken;
use crate::agents::{self, INSTALL_PATH};
use crate::experiment::Experiment;

/// How long a line may take to be in the log.
const LINE_LIMIT: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Lines shown of each agent's log when a test failed.
const SHOWN: usize = 15;

/// Where a test keeps a log that it removes, once in a lab.
pub(super) const BEFORE: &str = "/var/lib/haipmgr/HAIPMGR_3306.before.log";

/// How far the log of the agent in this place has come.
pub(super) struct Mark {
    place: usize,
    bytes: usize,
}

pub(super) fn mark(experiment: &Experiment, place: usize) -> Mark {
    Mark { place, bytes: whole(experiment, place).len() }
}

/// The whole log of the agent in this place, with what a test removed of it.
pub(super) fn whole(experiment: &Experiment, place: usize) -> String {
    let host = &experiment.lab.segment.databases[place];
    // Not there, or not yet, is as good as empty.
    let parts = [BEFORE, agents::LOG].map(|part| fs::read(host.path(part)).unwrap_or_default());
    String::from_utf8_lossy(&parts.concat()).into_owned()
}

impl Mark {
    /// What was written since.
    pub(super) fn since(&self, experiment: &Experiment) -> String {
        whole(experiment, self.place).get(self.bytes..).unwrap_or_default().to_owned()
    }

    /// Waits until all of these stand in what was written since, in this order, other lines between them or not.
    pub(super) fn wait_for(&self, experiment: &Experiment, texts: &[&str]) -> Result<(), Broken> {
        let since = Instant::now();
        loop {
            let written = self.since(experiment);
            let missing = first_missing(&written, texts);
            let Some(missing) = missing else { return Ok(()) };
            if since.elapsed() > LINE_LIMIT {
                let host = experiment.name(self.place);
                return Err(Broken::NotAsPromised(format!(
                    "the log of {host} does not say {missing:?} within {} s; it says:\n{written}",
                    LINE_LIMIT.as_secs()
                )));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Waits until one of the logs says all of these, in this order: what a survivor may leave to another that was quicker.
pub(super) fn wait_for_any(marks: &[Mark], experiment: &Experiment, texts: &[&str]) -> Result<(), Broken> {
    let since = Instant::now();
    while !marks.iter().any(|mark| first_missing(&mark.since(experiment), texts).is_none()) {
        if since.elapsed() > LINE_LIMIT {
            return Err(Broken::NotAsPromised(format!(
                "no log says {texts:?} within {} s; they say:\n{}",
                LINE_LIMIT.as_secs(),
                marks.iter().map(|mark| mark.since(experiment)).collect::<Vec<_>>().join("\n")
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn first_missing<'a>(written: &str, texts: &[&'a str]) -> Option<&'a str> {
    let mut rest = written;
    for text in texts {
        match rest.split_once(text) {
            Some((_, after)) => rest = after,
            None => return Some(text),
        }
    }
    None
}

/// The end of each agent's log.
pub(super) fn last_lines(experiment: &Experiment) -> String {
    ends(experiment, |place| whole(experiment, place))
}

/// The end of each agent's log of the cluster on this MySQL port.
pub(super) fn last_lines_of(experiment: &Experiment, mysql_port: u16) -> String {
    let log = format!("{INSTALL_PATH}HAIPMGR_{mysql_port}.log");
    ends(experiment, |place| {
        // Not there is as good as empty.
        fs::read_to_string(experiment.lab.segment.databases[place].path(&log)).unwrap_or_default()
    })
}

fn ends(experiment: &Experiment, log_of: impl Fn(usize) -> String) -> String {
    let places = 0..experiment.lab.segment.databases.len();
    let each = places.map(|place| {
        let log = log_of(place);
        let lines: Vec<&str> = log.lines().collect();
        let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n    ");
        format!("  the agent on {} last said:\n    {shown}", experiment.name(place))
    });
    each.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::first_missing;

    #[test]
    fn texts_must_stand_in_their_order() {
        assert_eq!(first_missing("one\ntwo\n", &["one", "two"]), None);
        assert_eq!(first_missing("two\none\n", &["one", "two"]), Some("two"));
        assert_eq!(first_missing("", &["one"]), Some("one"));
    }
}
