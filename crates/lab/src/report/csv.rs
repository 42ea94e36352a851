//! Each run's figures as a file of comma-separated values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::measure::{Figures, Reading};

/// The figures could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}; check that the folder exists and has space")]
pub struct NotWritten {
    path: PathBuf,
    cause: csv::Error,
}

#[derive(Serialize)]
struct Row<'a> {
    fault: &'a str,
    run: u32,
    host: &'a str,
    elected: Reading,
    vip_moved: Reading,
    outage: Reading,
    outage_less_elected: Reading,
    unheld: Reading,
    sleeper_woken: Reading,
    acknowledged: u64,
    failed: u64,
    lost: Option<u64>,
    two_holders: Reading,
    new_primary: Option<&'a str>,
    new_holder: Option<&'a str>,
}

/// Writes one line for each run, times in seconds. Empty: does not apply, or was not looked at. `never`: it did not happen.
///
/// # Errors
/// The file can't be written.
pub fn save(figures: &[Figures], path: &Path) -> Result<(), NotWritten> {
    let refuse = |cause| NotWritten { path: path.to_owned(), cause };
    let mut file = csv::Writer::from_path(path).map_err(refuse)?;
    let mut runs: BTreeMap<&str, u32> = BTreeMap::new();
    for figures in figures {
        let run = runs.entry(&figures.fault).and_modify(|run| *run += 1).or_insert(1);
        let row = Row {
            fault: &figures.fault,
            run: *run,
            host: &figures.host,
            elected: figures.elected,
            vip_moved: figures.vip_moved,
            outage: figures.outage,
            outage_less_elected: figures.beyond_election(),
            unheld: figures.unheld,
            sleeper_woken: figures.woken,
            acknowledged: figures.acknowledged,
            failed: figures.failed,
            lost: figures.lost,
            two_holders: figures.two_holders,
            new_primary: figures.primary.as_deref(),
            new_holder: figures.holder.as_deref(),
        };
        file.serialize(row).map_err(refuse)?;
    }
    file.flush().map_err(|cause| refuse(cause.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::table::tests::run;
    use super::*;

    #[test]
    fn runs_of_a_fault_are_numbered_and_what_is_not_known_stays_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figures.csv");
        let figures =
            [run("shutdown", Reading::After(800_000), Some(0)), run("shutdown", Reading::Never(1), None)];
        save(&figures, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("fault,run,host,elected,vip_moved,outage,"));
        assert_eq!(lines[1], "shutdown,1,db1,0.7,0.72,0.8,0.1,,,100,3,0,0.0,db2,db2");
        assert_eq!(lines[2], "shutdown,2,db1,0.7,0.72,never,never,,,100,3,,0.0,db2,db2");
    }
}
