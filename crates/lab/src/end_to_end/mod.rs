//! The tests that need all of it: one real group, brought up once, and each test leaves it whole for the next.
//!
//! A test whose name begins with an S-number proves that row of the seed document. Where a test fails, what it may have
//! left is repaired; where that fails too, the lab is brought up anew, so that the tests after it still say something.

mod agents;
mod contested;
mod elections;
mod expect;
mod failovers;
mod files;
mod interface;
mod lease;
mod logs;
mod machine;
mod many_clusters;
mod members;
mod network;
#[cfg(test)]
mod outcomes;
mod servers;
mod soak;
mod two_clusters;

use std::path::Path;
use std::time::Instant;

pub use soak::{Soak, soak};

use crate::agents::AgentError;
use crate::cost::CostError;
use crate::experiment::{Experiment, ExperimentError};
use crate::fault::FaultError;
use crate::group::GroupError;
use crate::host::HostError;
use crate::namespace::Layout;
use crate::scenario::ScenarioError;
use crate::segment::SegmentError;

/// Why a test failed.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Something is not as promised.
    #[error("{0}")]
    NotAsPromised(String),
    /// The experiment failed: the VIP or the writes did not come back.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// The lab failed.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The group failed.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The segment failed.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A host failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// An agent ended, or does not start or end.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A fault could not be done or undone.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// What an agent costs could not be measured.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// A file or process operation failed.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        cause: std::io::Error,
    },
}

impl Broken {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}

/// Why no test could be run.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// No test's name fits.
    #[error("no test has {} in its name. There are: {}", filters.join(" or "), names.join(", "))]
    NoSuchTest {
        /// What was asked for.
        filters: Vec<String>,
        /// All tests.
        names: Vec<&'static str>,
    },
    /// The lab does not come up.
    #[error(transparent)]
    Lab(#[from] ExperimentError),
}

/// How the tests went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many did what they should.
    pub passed: usize,
    /// How many did not, or could not be run any more.
    pub failed: usize,
}

/// What the tests are done to.
struct UnderTest {
    layout: Layout,
    experiment: Experiment,
}

/// Gives the figures to show beside "ok".
type Proof = fn(&mut UnderTest) -> Result<String, Broken>;

/// In this order: the first ones switch the VIP often, later ones read what was written of that.
const TESTS: &[(&str, Proof)] = &[
    ("switchover", failovers::switchover),
    ("s7_agent_restart_leaves_no_gap", agents::restart),
    ("s7_agent_upgrade", agents::upgrade),
    ("s7_agent_kill_9", agents::killed_and_started),
    ("lease_ends_for_an_agent_that_is_dead", agents::killed),
    ("s7_stopped_agent_leaves_the_vip_for_ever", lease::stopped),
    ("stop_release_gives_the_vip_up", lease::released),
    ("lease_too_long_is_refused", lease::too_long),
    ("agent_killed_then_mysqld", lease::agent_killed_then_server),
    ("agent_hung_then_mysqld_killed", lease::agent_hung_then_server),
    ("s4_second_agent_is_refused", agents::second_agent),
    ("vip_removed_by_hand", failovers::vip_removed_by_hand),
    ("gateway_lost", failovers::gateway_lost),
    ("s10_wrong_password", servers::wrong_password),
    ("s10_too_many_connections", servers::too_many_connections),
    ("hung_server_keeps_the_vip", servers::hung),
    ("s18_power_off", failovers::power_off),
    ("s19_shutdown", failovers::shutdown),
    ("s20_stop_group_replication", failovers::stop_group_replication),
    ("kill_9", failovers::kill_9),
    ("kill_9_after_agent_restarts", elections::kill_9_after_agent_restarts),
    ("expel_timeout_is_restored_after_agent_kill_9", elections::expel_timeout_is_restored),
    ("fence_command_that_succeeds", elections::power_off_fenced),
    ("fence_command_that_fails", elections::power_off_fence_fails),
    ("group_port_cut", failovers::group_port_cut),
    ("each_host_cut_off_for_3_s", network::short_cut),
    ("primary_is_not_heard", network::not_heard),
    ("primary_hears_nothing", network::hears_nothing),
    ("clients_cut_off_but_not_the_group", network::only_the_group),
    ("gateway_lost_for_the_primary_alone", network::gateway_lost_for_one),
    ("arp_cache_of_a_client_poisoned", contested::cache_poisoned),
    ("stranger_claims_the_vip", contested::stranger),
    ("stranger_has_the_vip", contested::stranger_has_it),
    ("vip_added_with_another_prefix", interface::copied),
    ("holders_interface_made_anew", interface::made_anew),
    ("holders_addresses_flushed", interface::flushed),
    ("holders_interface_set_down_and_up", interface::set_down_and_up),
    ("30_percent_of_frames_lost", network::lossy),
    ("server_hung_for_long_and_resumed", members::hung_for_long),
    ("server_killed_and_started_at_once", members::killed_and_started_at_once),
    ("all_of_a_host_killed_and_back", members::all_killed),
    ("rolling_restart", members::rolling_restart),
    ("whole_group_dies_and_starts", members::cold_start),
    ("two_members_left_then_one", members::two_then_one),
    ("account_locked", members::account_locked),
    ("offline_mode", members::offline_mode),
    ("a_thousand_connections_refused", members::a_thousand_refused),
    ("agent_hung", members::agent_hung),
    ("all_cores_busy_for_a_minute", machine::all_cores_busy),
    ("two_clusters_on_one_agent", two_clusters::neither_blocks_the_other),
    ("many_clusters_cost_little", many_clusters::cost_little),
    ("s6_stat_file_follows", files::stat_file_follows),
    ("s1_grep_warn_lists_exactly_the_switches", files::grep_warn_lists_the_switches),
    ("replay_decides_as_recorded", files::replay_decides_as_recorded),
    // What the agents could not write then is missing in their logs and traces.
    ("disk_full", machine::disk_full),
    ("log_folder_read_only", machine::log_folder_read_only),
];

/// Brings the lab up and runs the tests with one of `filters` in their name (all, without any); prints a line for each,
/// and the tally. With `out`, the recording and the figures are left in that folder.
///
/// # Errors
/// No test fits, or the lab does not come up at all.
pub fn run(layout: &Layout, filters: &[String], out: Option<&Path>) -> Result<Tally, NotRun> {
    let fits = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let chosen: Vec<_> = TESTS.iter().filter(|(name, _)| fits(name)).collect();
    if chosen.is_empty() {
        let names = TESTS.iter().map(|(name, _)| *name).collect();
        return Err(NotRun::NoSuchTest { filters: filters.to_vec(), names });
    }
    let mut tally = Tally::default();
    let mut under_test = UnderTest { layout: layout.clone(), experiment: Experiment::start(layout, false)? };
    for (done, (name, proof)) in chosen.iter().enumerate() {
        let since = Instant::now();
        let outcome = proof(&mut under_test);
        let took = since.elapsed().as_secs_f64();
        match outcome {
            Ok(figures) => {
                tally.passed += 1;
                println!(
                    "test {name} ok ({took:.1} s){}{figures}",
                    if figures.is_empty() { "" } else { ": " }
                );
            }
            Err(reason) => {
                tally.failed += 1;
                println!("test {name} FAILED ({took:.1} s)\n  {reason}");
                println!("{}", logs::last_lines(&under_test.experiment));
                match make_whole(under_test) {
                    Ok(whole) => under_test = whole,
                    Err(error) => {
                        println!("the lab does not come up any more: {error}");
                        tally.failed += chosen.len() - done - 1;
                        println!("\n{} passed, {} failed", tally.passed, tally.failed);
                        return Ok(tally);
                    }
                }
            }
        }
    }
    if let Some(folder) = out {
        let picture = under_test.experiment.save(folder, "haipmgr's end-to-end tests")?;
        println!("picture: {}", picture.display());
    }
    under_test.experiment.finish();
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    Ok(tally)
}

/// Repairs what a failed test may have left, or brings the lab up anew.
fn make_whole(mut under_test: UnderTest) -> Result<UnderTest, Broken> {
    let Err(error) = under_test.experiment.lab.repair() else { return Ok(under_test) };
    println!("  the lab is brought up anew, for it can't be repaired: {error}");
    let UnderTest { layout, mut experiment } = under_test;
    experiment.lab.end()?;
    experiment.finish();
    let experiment = Experiment::start(&layout, false)?;
    Ok(UnderTest { layout, experiment })
}
