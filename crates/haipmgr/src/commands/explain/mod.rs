//! `haipmgr explain`: a switch as a story, played from the trace; or why a VIP is where it is.
//!
//! | file | the one idea |
//! |---|---|
//! | `stretch.rs` | the part of a trace that a step is in, or that ends it |
//! | `story.rs` | steps become lines with relative times |
//! | `switch.rs` | one switch: what the history kept of it, and its story |
//! | `now.rs` | how it stands by the end of the trace, and what would have to change |

mod now;
mod story;
mod stretch;
mod switch;

use std::process::ExitCode;

use super::history::{NoHistory, all, say_what_was_not_read};
use super::terminal::print;
use super::{File, say};
use crate::config::Cluster;
use crate::history::Record;

/// What `--help` ends with.
pub(super) const EXAMPLES: &str = "Examples:
  haipmgr explain last                          the newest switch that this host has seen
  haipmgr explain 3306-20261129T013012.345Z     this one; haipmgr history prints the IDs
  haipmgr explain now                           why the VIP is where it is, and what would move it

Nothing is asked of anybody: it reads the history and the trace beside the log.
Exit status: 0 told; 1 there is no such switch, or nothing is recorded; 2 the command line or the configuration is wrong.";

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A switch's ID, or its beginning, as haipmgr history prints it; "last"; or "now".
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    file: File,
    /// This cluster only.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

pub(super) fn explain(arguments: &Arguments) -> ExitCode {
    match attempt(arguments) {
        Ok(status) => status,
        Err(error) => error.say(&arguments.file),
    }
}

fn attempt(arguments: &Arguments) -> Result<ExitCode, NoHistory> {
    let (config, history) = all(&arguments.file, arguments.cluster.as_deref())?;
    if arguments.id == "now" {
        let clusters = super::history::chosen(&config, arguments.cluster.as_deref())?;
        let told: Vec<bool> =
            clusters.into_iter().map(|cluster| now::tell(cluster, &history.records)).collect();
        return Ok(if told.into_iter().any(|told| told) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    say_what_was_not_read(&history);
    let record = match find(&history.records, &arguments.id) {
        Ok(record) => record,
        Err(why) => {
            say(&format!("haipmgr: {why}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let cluster = config.clusters.iter().find(|cluster| cluster.name == record.cluster);
    for line in switch::tell(record, cluster.map(Cluster::trace_file).as_deref()) {
        print(&line);
    }
    Ok(ExitCode::SUCCESS)
}

/// The switch of this ID, or the only one whose ID begins so, or the last.
fn find<'r>(records: &'r [Record], id: &str) -> Result<&'r Record, String> {
    if id == "last" {
        return records.last().ok_or_else(|| "no switch of a VIP is in the history".to_owned());
    }
    if let Some(exact) = records.iter().find(|record| record.id == id) {
        return Ok(exact);
    }
    let alike: Vec<_> = records.iter().filter(|record| record.id.starts_with(id)).collect();
    match alike.as_slice() {
        [only] => Ok(only),
        [] => Err(format!("there is no switch {id:?} in the history; haipmgr history prints the IDs")),
        several => {
            Err(format!("{} switches have an ID that begins with {id:?}; give all of one", several.len()))
        }
    }
}
