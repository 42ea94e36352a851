//! The alert rules of packaging/monitoring, on metrics recorded from real faults: every agent's `/metrics` is scraped each second while a
//! fault is done to its cluster, and Prometheus's own `promtool test rules` then says which alerts fired when.
//!
//! | file | the one idea |
//! |---|---|
//! | `scrape.rs` | every agent asked each second, as Prometheus asks |
//! | `series.rs` | what was scraped, as promtool's input: pure |
//! | `expected.rs` | which alerts fire in which stretch of a recording, as promtool's questions: pure |
//! | `promtool.rs` | Prometheus's own program |
//! | `stories.rs` | the faults, and what is expected of each |
//! | `agents.rs` | those of agents: restarted, killed, held up, turned away, paused, drained |
//! | `readers.rs` | those of VIPs for readers |
//!
//! In each stretch exactly the alerts that are named fire, and no other at any moment of it: so that an alert is quiet where it should
//! be is looked at as well as that it fires.

mod agents;
mod expected;
mod promtool;
mod readers;
mod scrape;
mod series;
mod stories;

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use self::expected::Stretch;
use self::promtool::Promtool;
use self::scrape::Scraper;
pub(super) use self::scrape::scrape;
pub use self::stories::Story;
use super::agents::{ADOPTED, AT_WORK, start_and_hear};
use super::expect::promise;
use super::{Broken, NotRun, Tally, UnderTest, logs, prove};
use crate::agents::{Cluster, configure_under};
use crate::experiment::Experiment;
use crate::namespace::Layout;
use crate::segment::all_readers;

/// The rules, as they are packaged.
const RULES: &str = include_str!("../../../../../packaging/monitoring/alerts.yml");
/// The dashboard, as it is packaged.
const DASHBOARD: &str = include_str!("../../../../../packaging/monitoring/grafana.json");
/// Where each agent answers, on its own host.
const LISTEN: &str = "127.0.0.1:9640";

/// Brings the lab up, goes through these stories (all, where none is named), and says of each what the rules made of it. The recordings
/// go into `out`.
///
/// # Errors
/// The lab does not come up at all.
pub fn alerts(layout: &Layout, stories: &[Story], out: &Path) -> Result<Tally, NotRun> {
    let stories = if stories.is_empty() { &Story::ALL } else { stories };
    let mut under_test = UnderTest { layout: layout.clone(), experiment: Experiment::start(layout, false)? };
    let mut tally = Tally::default();
    for story in stories {
        let began = Instant::now();
        let outcome = prove(&mut under_test, |under_test| judged(under_test, *story, out));
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(figures) => {
                tally.passed += 1;
                println!("ok      {story:?} {seconds:.0} s\n{figures}");
            }
            Err(reason) => {
                tally.failed += 1;
                println!(
                    "FAILED  {story:?} {seconds:.0} s: {reason}\n{}",
                    logs::last_lines(&under_test.experiment)
                );
                under_test = super::one_lab::make_whole(under_test)?;
            }
        }
    }
    under_test.experiment.finish();
    Ok(tally)
}

/// Records a story and asks promtool about it.
fn judged(under_test: &mut UnderTest, story: Story, out: &Path) -> Result<String, Broken> {
    let promtool = Promtool::find(&under_test.layout)?;
    answer_http(&mut under_test.experiment, &story.cluster())?;
    let mut told = Told { scraper: Scraper::begin(&under_test.experiment)?, stretches: Vec::new() };
    story.tell(under_test, &mut told)?;
    let recorded = told.scraper.finish();
    let series = series::all(&recorded);
    let mut queries = dashboard_queries()?;
    queries.retain(|query| story.shows(query));
    let seconds = recorded.seconds();
    let document =
        expected::document(&series, &told.stretches, &expected::Answered { queries: &queries, seconds });
    std::fs::create_dir_all(out).map_err(Broken::io(format!("can't make {}", out.display())))?;
    let kept = out.join(format!("{story:?}.yml").to_lowercase());
    std::fs::write(&kept, &document).map_err(Broken::io(format!("can't write {}", kept.display())))?;

    let (as_expected, words) = promtool.test(RULES, &document)?;
    promise(as_expected, || format!("the rules do not do what is expected of {}:\n{words}", kept.display()))?;
    fails_where_silence_is_demanded(&promtool, &series, &told.stretches)?;
    let each = told.stretches.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let asked = if queries.is_empty() {
        String::new()
    } else {
        format!("; each of the dashboard's {} queries gives something", queries.len())
    };
    Ok(format!("{each}\n        {} series of {seconds} s{asked}", series.len()))
}

/// The same recording, of which nothing is expected to fire: promtool must object to each stretch in which something did.
fn fails_where_silence_is_demanded(
    promtool: &Promtool,
    series: &series::All,
    stretches: &[Stretch],
) -> Result<(), Broken> {
    for stretch in stretches.iter().filter(|stretch| !stretch.is_silent()) {
        let demanded = expected::document(series, &[stretch.silenced()], &expected::Answered::default());
        let (passed, _) = promtool.test(RULES, &demanded)?;
        promise(!passed, || format!("promtool finds no alert in the stretch where some fired: {stretch}"))?;
    }
    Ok(())
}

/// Every query of the dashboard, of all clusters.
fn dashboard_queries() -> Result<Vec<String>, Broken> {
    let dashboard: Value = serde_json::from_str(DASHBOARD)
        .map_err(|error| Broken::NotAsPromised(format!("grafana.json is no JSON: {error}")))?;
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries = targets.filter_map(|target| target["expr"].as_str());
    let queries = queries.map(|query| query.replace("$cluster", ".*").replace("$__rate_interval", "1m"));
    let queries: Vec<String> = queries.collect();
    promise(!queries.is_empty(), || "grafana.json has no query".to_owned())?;
    Ok(queries)
}

/// A story as it is being told.
struct Told {
    scraper: Scraper,
    stretches: Vec<Stretch>,
}

impl Told {
    /// In the time that `work` takes exactly these alerts fire.
    fn stretch(
        &mut self,
        name: &str,
        fire: &[(&'static str, Option<String>)],
        work: impl FnOnce() -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let from = self.scraper.second();
        work()?;
        self.stretches.push(Stretch::new(name, from, self.scraper.second(), fire));
        Ok(())
    }

    /// What is amiss in the time that `work` takes is so for too short a time: these alerts are on their way to fire, and none does.
    fn too_short(
        &mut self,
        name: &str,
        pending: &[(&'static str, Option<String>)],
        work: impl FnOnce() -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        self.stretch(name, &[], work)?;
        let last = self.stretches.pop();
        self.stretches.extend(last.map(|last| last.with_pending(pending)));
        Ok(())
    }
}

/// Has every agent of the lab answer over HTTP. The VIP stays where it is (S7); reader VIPs that the agents' file does not have any more are
/// taken away, for a stopped agent leaves them.
fn answer_http(experiment: &mut Experiment, cluster: &Cluster) -> Result<(), Broken> {
    let holder = experiment.lab.wait_steady()?;
    experiment.lab.stop_agents()?;
    let kept = (cluster.readers)();
    for host in &experiment.lab.segment.databases {
        configure_under(host, &format!("listen = \"{LISTEN}\"\n"), &[*cluster])?;
        for address in experiment.lab.segment.addresses(host)? {
            if all_readers().contains(&address) && !kept.contains(&address) {
                experiment.lab.segment.remove_address(host, address)?;
            }
        }
    }
    for place in 0..experiment.lab.agents.len() {
        start_and_hear(experiment, place, if place == holder { ADOPTED } else { AT_WORK })?;
    }
    experiment.lab.wait_steady()?;
    Ok(())
}
