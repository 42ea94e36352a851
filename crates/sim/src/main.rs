//! Runs schedules by the million; prints what was measured, and failing schedules made short, as timelines.
#![cfg_attr(feature = "planted", allow(clippy::too_many_lines))]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sim::campaign::{Campaign, Failure};
use sim::schedule::Schedule;
use sim::shrink::{failure, shrink};
use sim::timeline::timeline;

/// Many agents' rules against a model group and a model segment, under faults made from seeds.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many schedules to run.
    #[arg(long, default_value_t = 10_000)]
    schedules: u64,
    /// So many hosts in each, 2 to 7; or as each seed says.
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..=7))]
    members: Option<u8>,
    /// The first schedule's seed; the others' follow.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Nothing is wrong but that the segment loses this share of all frames, in percent, while the VIP changes hands.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=99))]
    loss_alone: Option<u8>,
    /// Every schedule has so many reader VIPs; 0: as many as its seed says. Without it one schedule in sixteen has some.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=3))]
    readers: Option<u8>,
    /// Every schedule has a second VIP for writers, on an interface of its own. Without it one schedule in sixteen has.
    #[arg(long)]
    own_interface: bool,
    /// End after so many failures.
    #[arg(long, default_value_t = 1)]
    failures: usize,
    /// Print the timeline of this seed's schedule, and nothing else.
    #[arg(long, conflicts_with = "replay")]
    show: bool,
    /// Run the schedule in this file again, and print its timeline.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Do not make failing schedules short.
    #[arg(long)]
    as_they_are: bool,
    /// Plant this mistake in the rules, or each in turn (`all`).
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "MISTAKE")]
    planted: Option<String>,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
enum BadInput {
    #[error("{}: {error}; give a file with a schedule as a failing run prints it", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{}: {error}; give a file with a schedule as a failing run prints it", path.display())]
    NotASchedule { path: PathBuf, error: serde_json::Error },
    #[cfg(feature = "planted")]
    #[error("--planted {0}: no such mistake; there are: all, {1}")]
    NoSuchMistake(String, String),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, BadInput> {
    #[allow(unused_mut, reason = "changed where mistakes can be planted")]
    let mut campaign = Campaign {
        schedules: arguments.schedules,
        seed: arguments.seed,
        members: arguments.members.map(usize::from),
        loss_alone: arguments.loss_alone,
        readers: arguments.readers,
        own_interface: arguments.own_interface,
        failures: arguments.failures,
        #[cfg(feature = "planted")]
        planted: None,
    };
    #[cfg(feature = "planted")]
    if let Some(name) = &arguments.planted {
        if name == "all" {
            return Ok(planted::table(&campaign));
        }
        campaign.planted = Some(planted::find(name)?);
    }
    if let Some(path) = &arguments.replay {
        return replay(path.clone(), &campaign);
    }
    if arguments.show {
        let schedule = campaign.schedule(arguments.seed);
        println!("{}", timeline(&schedule));
        return Ok(failure(&schedule).is_none());
    }
    let findings = campaign.run();
    println!("{findings}");
    for failed in &findings.failures {
        print_failure(failed, arguments.as_they_are);
    }
    Ok(findings.failures.is_empty())
}

fn replay(path: PathBuf, campaign: &Campaign) -> Result<bool, BadInput> {
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return Err(BadInput::Unreadable { path, error }),
    };
    #[allow(unused_mut, unused_variables, reason = "changed where mistakes can be planted")]
    let mut schedule: Schedule =
        serde_json::from_str(&text).map_err(|error| BadInput::NotASchedule { path, error })?;
    #[cfg(feature = "planted")]
    {
        schedule.planted = campaign.planted;
    }
    let _ = campaign;
    println!("{}", timeline(&schedule));
    Ok(failure(&schedule).is_none())
}

fn print_failure(failed: &Failure, as_it_is: bool) {
    println!("\n==== {} in the schedule of seed {}", failed.invariant, failed.seed);
    let short = if as_it_is { failed.schedule.clone() } else { shrink(&failed.schedule) };
    println!("{}", timeline(&short));
    match serde_json::to_string(&short) {
        Ok(text) => println!("write this to a file and run it again with --replay FILE:\n{text}"),
        Err(error) => println!("this schedule can't be written down: {error}"),
    }
}

#[cfg(feature = "planted")]
mod planted {
    use super::{BadInput, Campaign, shrink};
    use decide::planted::Planted;

    pub(super) fn find(name: &str) -> Result<Planted, BadInput> {
        let names = || Planted::EACH.map(|mistake| format!("{mistake:?}")).join(", ");
        let found = Planted::EACH.into_iter().find(|mistake| format!("{mistake:?}") == name);
        found.ok_or_else(|| BadInput::NoSuchMistake(name.to_owned(), names()))
    }

    /// Runs each until it is caught. Gives whether all were.
    pub(super) fn table(campaign: &Campaign) -> bool {
        println!("| planted mistake | caught after so many schedules | by | the shortest schedule |");
        println!("|---|---|---|---|");
        let mut all = true;
        for mistake in Planted::EACH {
            let findings = Campaign { planted: Some(mistake), ..campaign.clone() }.run();
            let Some(failed) = findings.failures.first() else {
                all = false;
                println!("| {mistake:?} | not caught in {} | | |", findings.count());
                continue;
            };
            let short = shrink(&failed.schedule);
            let faults: Vec<_> = short.faults.iter().map(|timed| timed.fault.to_string()).collect();
            let faults = if faults.is_empty() { "none is needed".to_owned() } else { faults.join("; ") };
            let count = failed.seed.wrapping_sub(campaign.seed) + 1;
            println!("| {mistake:?} | {count} | {} | {faults} |", failed.invariant);
        }
        all
    }
}
