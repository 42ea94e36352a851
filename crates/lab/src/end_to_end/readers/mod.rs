//! VIPs for readers: each on a secondary that is fit, by itself and at once; and none moves that need not.
//!
//! | file | the one idea |
//! |---|---|
//! | `readers/cut_off.rs` | a reader's host that is cut off on the segment alone |
//! | `readers/deaths.rs` | what takes a reader's server or host away |
//! | `readers/behind.rs` | a secondary that falls behind, and one that is only busy |
//! | `readers/ordered.rs` | what an operator asks for: a switchover, a drain, a pause, an agent started anew |
//! | `readers/there_and_back.rs` | a VIP that comes back to a host that it left a moment ago |
//! | `readers/no_reader.rs` | no secondary is left, or none is fit |
//!
//! A lab without reader VIPs (`--readers`) has two of them for each of these tests, and none again after it.

pub(super) mod behind;
pub(super) mod cut_off;
pub(super) mod deaths;
pub(super) mod no_reader;
pub(super) mod ordered;
pub(super) mod there_and_back;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::expect::{changes, promise};
use super::{Broken, UnderTest};
use crate::agents::{self, Cluster, LAB};
use crate::experiment::Experiment;
use crate::fault::holders_of;
use crate::measure::entitled::{ENTITLED_WITHIN, longest};
use crate::measure::readers::longest_pause;
use crate::measure::{Holding, Reading};
use crate::record::now_us;
use crate::segment::{all_readers, readers, some_readers};

/// A member that comes back has its share again soon, for tests that are not about that.
const SOON_WELL: &str = "reader_well_for = \"3s\"\n";
/// Once clients read through a VIP that is up, they have a line of good reads in the recording after this.
const FIRST_READS: Duration = Duration::from_millis(1_500);
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn two() -> Vec<IpAddr> {
    some_readers(2)
}

/// [`with_readers_anywhere`], and no reader VIP stayed on a host that may not have it, by what the witnesses could see.
fn with_readers(
    under_test: &mut UnderTest,
    more: &'static str,
    work: impl FnOnce(&mut UnderTest) -> Result<String, Broken>,
) -> Result<String, Broken> {
    with_readers_anywhere(under_test, more, |under_test| {
        let since = now_us();
        let words = work(under_test)?;
        Ok(format!("{words}; {}", entitled(&under_test.experiment, since)?))
    })
}

/// Gives the agents reader VIPs where they have none, with these keys, has clients read through them, and does the work once each VIP is
/// where it belongs. Then all is as it was.
fn with_readers_anywhere(
    under_test: &mut UnderTest,
    more: &'static str,
    work: impl FnOnce(&mut UnderTest) -> Result<String, Broken>,
) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    experiment.lab.wait_steady()?;
    let of_lab = !readers().is_empty();
    let vips = if of_lab { readers } else { two };
    if !(of_lab && more.is_empty()) {
        configure(experiment, Cluster { more, readers: vips, ..LAB })?;
    }
    experiment.read_through(&vips())?;
    experiment.wait_readers()?;
    std::thread::sleep(FIRST_READS);
    let outcome = work(under_test);
    let experiment = &mut under_test.experiment;
    experiment.lab.wait_steady()?;
    experiment.read_through(&readers())?;
    configure(experiment, LAB)?;
    experiment.lab.wait_steady()?;
    outcome
}

/// Gives all agents another file, and starts them anew. VIPs that the file does not have any more are taken away: a stopped agent leaves
/// them where they are.
fn configure(experiment: &mut Experiment, cluster: Cluster) -> Result<(), Broken> {
    experiment.lab.wait_steady()?;
    experiment.lab.stop_agents()?;
    let kept = (cluster.readers)();
    for host in &experiment.lab.segment.databases {
        agents::configure(host, &[cluster])?;
        for address in experiment.lab.segment.addresses(host)? {
            if all_readers().contains(&address) && !kept.contains(&address) {
                experiment.lab.segment.remove_address(host, address)?;
            }
        }
    }
    experiment.lab.start_agents()?;
    experiment.lab.wait_steady()?;
    Ok(())
}

/// No reader VIP stayed on a host that was not entitled to it, but for as long as a word holds.
fn entitled(experiment: &Experiment, since_us: u64) -> Result<String, Broken> {
    let overstays = experiment.overstays(since_us);
    let Some(longest) = longest(&overstays) else { return Ok("none on a host that may not".to_owned()) };
    promise(longest.lasted <= ENTITLED_WITHIN, || {
        format!("{longest}, and another could have had it; {} s is the limit", ENTITLED_WITHIN.as_secs_f64())
    })?;
    Ok(format!("on a host that may not: {:.3} s at most", longest.lasted.as_secs_f64()))
}

/// Each reader VIP with the places of its hosts.
fn held(experiment: &Experiment) -> Result<BTreeMap<IpAddr, Vec<usize>>, Broken> {
    let vips = experiment.reader_vips();
    vips.into_iter().map(|vip| Ok((vip, holders_of(&experiment.lab.segment, vip)?))).collect()
}

/// The secondary with the first reader VIP.
fn a_reader(experiment: &Experiment) -> Result<usize, Broken> {
    let primary = experiment.lab.group.primary()?;
    let all = held(experiment)?;
    let mut secondaries = all.values().flatten().filter(|place| **place != primary);
    secondaries
        .next()
        .copied()
        .ok_or_else(|| Broken::NotAsPromised("no secondary has a reader VIP".to_owned()))
}

/// Waits until the reader VIPs are held in this way.
fn wait_until(
    experiment: &Experiment,
    what: &str,
    limit: Duration,
    is_so: impl Fn(&BTreeMap<IpAddr, Vec<usize>>) -> bool,
) -> Result<Duration, Broken> {
    let since = Instant::now();
    loop {
        let found = held(experiment)?;
        if is_so(&found) {
            return Ok(since.elapsed());
        }
        promise(since.elapsed() <= limit, || {
            format!("{what}: not so, even after {:.1} s: {found:?}", limit.as_secs_f64())
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// No reader VIP was removed or added anywhere since that moment.
fn none_moved(experiment: &Experiment, since_us: u64) -> Result<(), Broken> {
    let recording = experiment.recording();
    let mut touched = Vec::new();
    for vip in experiment.reader_vips() {
        touched.extend(changes(&recording, vip, since_us).map(|(recorded, there)| {
            let after = Duration::from_micros(recorded.at_us - since_us).as_secs_f64();
            format!("{vip} {} {after:.3} s: {}", if there { "added" } else { "removed" }, recorded.who)
        }));
    }
    promise(touched.is_empty(), || format!("reader VIPs were touched: {}", touched.join(", ")))
}

/// The longest pause of reads through any reader VIP since that moment, of both kinds of clients.
fn pauses(experiment: &Experiment, since_us: u64) -> Reading {
    let recording = experiment.recording();
    let vips = experiment.reader_vips();
    let each = vips.iter().flat_map(|vip| {
        [false, true].map(|staying| longest_pause(&recording, *vip, staying, since_us, now_us()))
    });
    crate::measure::worst(each)
}

/// Which reader VIPs came to another host since that moment, with how long that took, in seconds.
fn moved(experiment: &Experiment, since_us: u64) -> Vec<(IpAddr, f64)> {
    let recording = experiment.recording();
    let first = |vip: IpAddr| {
        let holding = Holding::of(vip, &recording);
        let before = holding.at(since_us);
        let mut later = holding.changes().iter().filter(|change| change.at_us > since_us);
        let there = later.find(|change| change.hosts.difference(&before).next().is_some())?;
        Some((vip, Duration::from_micros(there.at_us - since_us).as_secs_f64()))
    };
    experiment.reader_vips().into_iter().filter_map(first).collect()
}

/// After the start: each is on one secondary, and they are spread as evenly as can be.
pub(super) fn each_on_its_own(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers(under_test, SOON_WELL, |under_test| {
        let experiment = &mut under_test.experiment;
        let since = now_us();
        // What is shown is that nothing happens in this time.
        std::thread::sleep(Duration::from_secs(10));
        none_moved(experiment, since)?;
        Ok(format!("{:?}; longest time between two reads {} s", held(experiment)?, pauses(experiment, since)))
    })
}
