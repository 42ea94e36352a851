//! What the agent writes: the state file (S6), the log (S1), the traces.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::agents::{ADOPTED, AT_WORK, start_and_hear};
use super::expect::{followed, promise};
use super::{Broken, UnderTest, logs};
use crate::agents::{self, Cluster, INSTALL_PATH, LAB};
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::measure::Holding;
use crate::record::now_us;
use crate::segment::{all_readers, vip};

const STAT_FILE: &str = "/var/lib/haipmgr/stat_3306";
const TRACE_FILE: &str = "/var/lib/haipmgr/HAIPMGR_3306.trace.jsonl";
/// Loops after which the state file says 1 again (S6).
const LOOPS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// 2 on the host that the VIP was started on, 0 on the one it was stopped on, 1 again 20 loops later.
pub(super) fn stat_file_follows(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    let quick = Cluster { sleeptime: 1, ..LAB };
    reconfigure(experiment, &[quick])?;
    let outcome = look_at_the_stat_file(experiment, quick.sleeptime);
    reconfigure(experiment, &[LAB])?;
    outcome
}

fn look_at_the_stat_file(experiment: &mut Experiment, sleeptime: u32) -> Result<String, Broken> {
    let old = experiment.lab.wait_steady()?;
    let figures = experiment.run(Fault::Switchover)?;
    followed(&figures)?;
    let moved_us = figures.injected_us + micros(figures.vip_moved.seconds().unwrap_or_default());
    let new = experiment.lab.wait_steady()?;
    for (place, wanted) in [(old, "0"), (new, "2")] {
        let found = stat(experiment, place)?;
        promise(found == wanted, || {
            format!("{STAT_FILE} of {} says {found:?}, not {wanted:?}", experiment.name(place))
        })?;
    }
    let due = Duration::from_secs(u64::from(LOOPS * sleeptime));
    let since = Instant::now();
    loop {
        let marks = [stat(experiment, old)?, stat(experiment, new)?];
        let after = Duration::from_micros(now_us().saturating_sub(moved_us));
        if marks == ["1", "1"] {
            let (seconds, due) = (after.as_secs_f64(), due.as_secs_f64());
            promise(seconds >= due - 1.0, || {
                format!("the state files say 1 again already after {seconds:.1} s")
            })?;
            return Ok(format!("0 and 2 at once, 1 again after {seconds:.1} s (20 loops: {due} s)"));
        }
        promise(marks.iter().all(|mark| ["0", "1", "2"].contains(&mark.as_str())), || {
            format!("a state file holds neither 0, 1 nor 2: {marks:?}")
        })?;
        promise(since.elapsed() <= due + Duration::from_secs(5), || {
            format!("20 loops and 5 s later the state files still say {marks:?}")
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
}

fn micros(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds.max(0.0)).as_micros()).unwrap_or_default()
}

fn stat(experiment: &Experiment, place: usize) -> Result<String, Broken> {
    fs::read_to_string(experiment.lab.segment.databases[place].path(STAT_FILE))
        .map_err(Broken::io(format!("{STAT_FILE} of {}", experiment.name(place))))
}

/// Gives all agents another file, and starts them anew. The VIP stays where it is (S7).
pub(super) fn reconfigure(experiment: &mut Experiment, clusters: &[Cluster]) -> Result<(), Broken> {
    let holder = experiment.lab.wait_steady()?;
    for place in 0..experiment.lab.agents.len() {
        let lab = &mut experiment.lab;
        lab.agents[place].stop()?;
        agents::configure(&lab.segment.databases[place], clusters)?;
        start_and_hear(experiment, place, if place == holder { ADOPTED } else { AT_WORK })?;
    }
    experiment.lab.wait_steady()?;
    Ok(())
}

/// S1, over all that happened since the lab came up: `grep -i warn` finds a line for each time the VIP was started or
/// stopped, and nothing else, in every log that the agents wrote. Of reader VIPs it finds none: their moves are of another level.
pub(super) fn grep_warn_lists_the_switches(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    experiment.lab.wait_steady()?;
    let holding = Holding::of(vip(), &experiment.recording());
    let (mut switches, mut lines) = (0, 0);
    for (place, host) in experiment.lab.segment.databases.iter().enumerate() {
        let name = host.name();
        let folder = host.path(INSTALL_PATH);
        let entries =
            fs::read_dir(&folder).map_err(Broken::io(format!("can't list {INSTALL_PATH} of {name}")))?;
        for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|is| is == "log"))
        {
            let log = fs::read_to_string(entry.path()).map_err(Broken::io(format!("a log of {name}")))?;
            lines += log.lines().count();
            for line in log.lines() {
                let found = line.to_lowercase().contains("warn");
                let moved = line.contains("VIP started on") || line.contains("VIP stopped on");
                let is_switch = moved && !is_about_any_of(line, &all_readers());
                promise(found == is_switch, || {
                    format!(
                        "{name}: {} grep -i warn: {line}",
                        if found { "found by" } else { "not found by" }
                    )
                })?;
            }
        }
        let log = logs::whole(experiment, place);
        // Of the lab's own VIP, and not of those that were in its file for a while.
        let about =
            |words| log.lines().filter(|line| line.contains(words) && !is_about_another_vip(line)).count();
        // One that is put behind the host's own address is away for a moment, and no switch.
        let (started, put_behind) = (about("VIP started on"), about("it was put behind it"));
        let seen = times_taken(&holding, name);
        promise(started + put_behind == seen, || {
            format!(
                "{name}: the kernel got the VIP {seen} times, and the log tells of {started} starts and {put_behind} times that it was put behind the host's own address"
            )
        })?;
        switches += log.lines().filter(|line| line.to_lowercase().contains("warn")).count();
    }
    promise(switches > 0, || "the VIP was never switched: there is nothing to be found".to_owned())?;
    Ok(format!("{switches} switches among {lines} lines"))
}

fn is_about_any_of(line: &str, vips: &[IpAddr]) -> bool {
    vips.iter().any(|vip| line.contains(&format!("{vip}: ")))
}

/// A line names its VIP where the cluster has several.
fn is_about_another_vip(line: &str) -> bool {
    let named = line.split_once("] ").and_then(|(_, words)| words.split_once(": "));
    named.and_then(|(name, _)| name.parse::<IpAddr>().ok()).is_some_and(|named| named != vip())
}

fn times_taken(holding: &Holding, host: &str) -> usize {
    let mut before = false;
    let mut taken = 0;
    for change in holding.changes() {
        let now = change.hosts.contains(host);
        taken += usize::from(now && !before);
        before = now;
    }
    taken
}

/// `haipmgr replay` of each trace: the rules, given what was seen, decide as they did.
pub(super) fn replay_decides_as_recorded(under_test: &mut UnderTest) -> Result<String, Broken> {
    let program = under_test.layout.agent();
    let mut told = Vec::new();
    for host in &under_test.experiment.lab.segment.databases {
        let name = host.name();
        if !host.path(TRACE_FILE).exists() {
            continue;
        }
        let output = host
            .command(&program)
            .args(["replay", TRACE_FILE])
            .output()
            .map_err(Broken::io("can't run haipmgr replay"))?;
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        promise(output.status.success() && words.ends_with(" 0 differently"), || {
            format!("{name}: replay ended with {}: {words}", output.status)
        })?;
        told.push(format!("{name}: {words}"));
    }
    promise(!told.is_empty(), || "no agent has written a trace".to_owned())?;
    Ok(told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_about_another_vip_where_it_names_one() {
        let line = |words: &str| {
            format!(
                "2026-11-30 16:02:09.512+00:00 WARN  [lab] {words}VIP started on eth0: this server is the primary"
            )
        };
        for own in [String::new(), format!("{}: ", vip())] {
            assert!(!is_about_another_vip(&line(&own)), "{own}");
        }
        for other in ["10.78.0.100: ", "fd77::110: "] {
            assert!(is_about_another_vip(&line(other)), "{other}");
        }
    }
}
