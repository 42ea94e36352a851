//! The tests that need all of it: a real group, brought up once, and each test leaves it whole for the next.
//!
//! They mostly wait, so several labs share them (`side_by_side`): each takes the next test from a queue (`queue`) when it is done
//! with its last (`one_lab`). A test whose name begins with an S-number proves that row of the seed document. Where a test fails, what it may
//! have left is repaired; where that fails too, the lab is brought up anew, so that the tests after it still say something.

mod abuse;
mod agents;
mod alerts;
mod arp_kept_in;
mod check;
mod contested;
mod drain;
mod elections;
mod expect;
mod failovers;
mod families;
mod field;
mod files;
mod first_steps;
mod history;
mod hooks;
mod interface;
mod lease;
mod legacy_monitors;
mod logs;
mod machine;
mod many_clusters;
mod members;
mod moving;
mod network;
mod night;
mod one_lab;
#[cfg(test)]
mod outcomes;
mod own_interface;
mod pause;
mod proxies;
mod queue;
mod readers;
mod refusals;
mod reload;
mod rights;
mod secondaries;
mod secrets;
mod servers;
mod side_by_side;
mod soak;
mod stacks;
mod standby;
mod status_command;
mod switchover_command;
mod switchovers;
mod two_clusters;
mod upgrade;
mod vips;
mod webhook;

pub use alerts::{Story, alerts};
pub use one_lab::{Share, run_from_queue};
pub use side_by_side::{Labs, run_side_by_side};
pub use soak::{Soak, soak};
pub use upgrade::upgrade;

use crate::agents::AgentError;
use oracle::Breach;

use crate::cost::CostError;
use crate::experiment::{Experiment, ExperimentError};
use crate::fault::FaultError;
use crate::group::GroupError;
use crate::host::HostError;
use crate::measure::Judged;
use crate::namespace::Layout;
use crate::record::now_us;
use crate::scenario::ScenarioError;
use crate::segment::SegmentError;

/// Why a test failed.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Something is not as promised.
    #[error("{0}")]
    NotAsPromised(String),
    /// What is never to happen, however busy the machine is: two holders, a lost row.
    #[error("{0}")]
    Never(String),
    /// An invariant is broken.
    #[error("{}: {}", .0.invariant, .0.words)]
    Breach(Breach),
    /// The oracle says so of the whole test, which came to this by itself.
    #[error("{judged}\n  The test: {outcome}")]
    Judged {
        /// What it says.
        judged: Box<Judged>,
        /// The figures, or why it failed.
        outcome: String,
    },
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
    /// Another tool could not be set up.
    #[error(transparent)]
    OtherTool(#[from] crate::bench::BenchError),
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

impl Broken {
    /// Whether it may be a matter of time, and so of a machine that other things kept busy.
    fn may_be_the_machine(&self) -> bool {
        !matches!(self, Self::Never(_) | Self::Breach(_) | Self::Judged { .. })
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
    /// The labs' common queue of tests can't be made, read or written.
    #[error("the queue of tests: {what}: {cause}")]
    Queue {
        /// What was being done, to which file.
        what: String,
        /// The system's answer.
        cause: std::io::Error,
    },
    /// What a failed test has left can't be mended.
    #[error("the lab does not come up any more: {0}")]
    NotWhole(Box<Broken>),
    /// Another lab can't be started beside this one.
    #[error("can't start a lab: {0}")]
    NoLab(std::io::Error),
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

/// Does a test, and asks the oracle about all that was recorded meanwhile.
fn prove(
    under_test: &mut UnderTest,
    proof: impl FnOnce(&mut UnderTest) -> Result<String, Broken>,
) -> Result<String, Broken> {
    let since = now_us();
    let rights = rights::of_agents(&under_test.experiment);
    let outcome = proof(under_test).and_then(|figures| {
        let left = rights::of_agents(&under_test.experiment);
        rights::unchanged(rights.as_ref(), left.as_ref()).map(|()| figures)
    });
    let judged = under_test.experiment.judged().since(since);
    if judged.broken.is_empty() {
        return outcome;
    }
    Err(Broken::Judged {
        judged: Box::new(judged),
        outcome: outcome.unwrap_or_else(|error| error.to_string()),
    })
}

/// When a test is run, where several labs run tests side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// At any time, in whichever lab is free.
    Anytime,
    /// In every lab, after all [`When::Anytime`]: it reads what the tests before it left in the logs and traces.
    InEachLab,
    /// After those, in whichever lab is free: what the agents could not write then is missing in their logs and traces.
    Last,
    /// When no other lab runs: it takes the whole machine, or measures tenths of a second.
    Alone,
}

/// One end-to-end test.
#[derive(Clone, Copy, Debug)]
struct Test {
    name: &'static str,
    proof: Proof,
    when: When,
}

const fn anytime(name: &'static str, proof: Proof) -> Test {
    Test { name, proof, when: When::Anytime }
}

const fn at(when: When, name: &'static str, proof: Proof) -> Test {
    Test { name, proof, when }
}

/// Each is begun in this order: those that take longest first, lest one lab be at one of them when the others are done.
const TESTS: &[Test] = &[
    anytime("s16_state_file_read_each_minute", legacy_monitors::state_file),
    anytime("rolling_restart", members::rolling_restart),
    at(When::Alone, "two_clusters_on_one_agent", two_clusters::neither_blocks_the_other),
    anytime("arp_cache_of_a_client_poisoned", contested::cache_poisoned),
    anytime("switchover", failovers::switchover),
    anytime("switchover_statement", switchovers::statement),
    anytime("switchover_transaction", switchovers::transaction),
    anytime("switchover_command_refuses", switchover_command::refuses),
    anytime("switchover_command_refuses_what_lasts", switchover_command::refuses_what_lasts),
    anytime("switchover_command_done", switchover_command::done),
    anytime("switchover_command_still_under_way", switchover_command::still_under_way),
    anytime("switchover_command_interrupted", switchover_command::interrupted),
    anytime("switchover_command_ends_the_session", switchover_command::ends_the_session),
    anytime("switchover_command_without_procedures", switchover_command::without_procedures),
    anytime("switchover_command_follows", switchover_command::follows),
    anytime("switchover_to_a_paused_host", refusals::to_a_paused_host),
    anytime("paused_cluster_is_neither_switched_nor_drained", refusals::while_paused),
    anytime("what_mysql_refuses_changes_nothing", refusals::by_mysql),
    anytime("without_a_majority_nothing_is_ordered", refusals::without_a_majority),
    at(When::Alone, "history_of_a_switchover", history::switchover),
    at(When::Alone, "history_of_kill_9", history::kill_9),
    anytime("history_of_a_primary_that_another_had_expelled", history::expelled_by_another),
    at(When::Alone, "history_of_a_vip_removed_by_hand", history::removed_by_hand),
    anytime("hooks_once_for_each_switch", hooks::once_for_each_switch),
    anytime("hook_of_a_conflict", hooks::words::conflict),
    anytime("hook_of_trouble", hooks::words::trouble),
    anytime("hook_that_hangs_is_ended", hooks::limit::ended),
    anytime("webhook_over_https_once_for_each_switch", webhook::over_https),
    anytime("drain_then_shutdown", drain::then_shutdown),
    anytime("drained_host_takes_no_vip", drain::takes_none),
    anytime("drain_refused_leaves_the_vip", drain::refuses),
    anytime("drain_without_a_candidate_leaves_the_vip", drain::without_a_candidate),
    anytime("drain_whose_time_is_over", refusals::drain_out_of_time),
    anytime("drain_says_what_it_could_not_do", drain::could_not),
    anytime("paused_cluster_moves_no_vip_after_kill_9", pause::cluster_then_kill_9),
    anytime("pause_outlives_the_agent_and_ends_by_itself", pause::ends_by_itself),
    anytime("paused_holder_yields_to_a_claim", pause::holder_yields),
    anytime("paused_holder_fault_by_fault", pause::holder_fault_by_fault),
    anytime("pause_names_who_has_it_not", pause::names_who_has_it_not),
    anytime("pause_without_rights_or_tables", pause::without_rights),
    anytime("reload_of_a_bad_file_changes_nothing", reload::bad_file),
    anytime("reload_adds_and_removes_a_vip", reload::second_vip),
    anytime("reload_changes_a_vip", reload::vip_changed),
    anytime("reload_rotates_the_password", reload::password_rotated),
    at(When::Alone, "moving_over_from_keepalived", moving::from_keepalived),
    at(When::Alone, "moving_over_from_vip_manager", moving::from_vip_manager),
    at(When::Alone, "moving_over_from_the_python_program", moving::from_the_python_program),
    at(When::Alone, "haproxy_follows_the_health_checks", proxies::haproxy),
    at(When::Alone, "router_before_the_vip", proxies::router),
    at(When::Alone, "secrets_show_nowhere", secrets::show_nowhere),
    anytime("reload_refuses_a_password_that_nobody_knows", reload::password_refused),
    anytime("reload_adds_and_removes_a_member", reload::member_changed),
    anytime("reload_by_a_signal_of_the_same_file", reload::signal_alone),
    anytime("reload_keeps_drain_and_pause", reload::keeps_drain_and_pause),
    anytime("s7_agent_restart_leaves_no_gap", agents::restart),
    anytime("s7_agent_upgrade", agents::upgrade),
    anytime("s7_agent_kill_9", agents::killed_and_started),
    anytime("lease_ends_for_an_agent_that_is_dead", agents::killed),
    anytime("s7_stopped_agent_leaves_the_vip_for_ever", lease::stopped),
    anytime("agent_stopped_on_old_knowledge", lease::stopped_on_old_knowledge),
    anytime("stop_release_gives_the_vip_up", lease::released),
    at(When::Alone, "lease_too_long_is_refused", lease::too_long),
    anytime("agent_killed_then_mysqld", lease::agent_killed_then_server),
    anytime("agent_hung_then_mysqld_killed", lease::agent_hung_then_server),
    anytime("agent_hung_then_switchover", lease::woken_after_the_lease),
    anytime("s4_second_agent_is_refused", agents::second_agent),
    anytime("vip_removed_by_hand", failovers::vip_removed_by_hand),
    anytime("gateway_lost", failovers::gateway_lost),
    anytime("s10_wrong_password", servers::wrong_password),
    anytime("s10_too_many_connections", servers::too_many_connections),
    anytime("hung_server_keeps_the_vip", servers::hung),
    anytime("s15_members_online_by_sql", legacy_monitors::members_online),
    anytime("s17_processes", legacy_monitors::processes),
    anytime("s18_power_off", failovers::power_off),
    anytime("s19_shutdown", failovers::shutdown),
    anytime("s20_stop_group_replication", failovers::stop_group_replication),
    anytime("kill_9", failovers::kill_9),
    anytime("secondary_kill_9", secondaries::kill_9),
    anytime("secondary_power_off", secondaries::power_off),
    anytime("secondary_joins_again", secondaries::rejoin),
    anytime("readers_each_on_its_own_secondary", readers::each_on_its_own),
    at(When::Alone, "reader_kill_9", readers::deaths::kill_9),
    at(When::Alone, "reader_comes_back", readers::deaths::comes_back),
    anytime("reader_power_off", readers::deaths::power_off),
    anytime("reader_cable_pulled", readers::deaths::cable_pulled),
    anytime("reader_cut_off_on_the_segment", readers::cut_off::on_the_segment),
    anytime("reader_stop_group_replication", readers::deaths::stop_group_replication),
    anytime("reader_shutdown", readers::deaths::shutdown),
    anytime("reader_server_hung", readers::deaths::hung),
    anytime("reader_falls_behind", readers::behind::falls_behind),
    at(When::Alone, "busy_minute_moves_no_reader_vip", readers::behind::busy_moves_nothing),
    anytime("readers_all_behind", readers::behind::all_behind_primary),
    anytime("readers_all_behind_any_online", readers::behind::all_behind_any_online),
    anytime("switchover_to_a_reader", readers::ordered::switchover),
    at(When::Alone, "reader_agent_restart_and_upgrade", readers::ordered::agent_restart),
    anytime("reader_drained", readers::ordered::drain),
    anytime("reader_vip_comes_back_to_a_port_used_again", readers::there_and_back::port_used_again),
    anytime("reader_dies_while_the_cluster_is_paused", readers::ordered::pause),
    anytime("last_reader_gone", readers::no_reader::primary),
    anytime("last_reader_shut_down", readers::no_reader::shut_down),
    anytime("last_reader_gone_and_nobody_is_to_serve", readers::no_reader::nobody),
    anytime("kill_9_after_agent_restarts", elections::kill_9_after_agent_restarts),
    anytime("expel_timeout_is_restored_after_agent_kill_9", elections::expel_timeout_is_restored),
    anytime("fence_command_that_succeeds", elections::power_off_fenced),
    anytime("fence_command_that_fails", elections::power_off_fence_fails),
    anytime("silent_host_without_power_is_expelled", elections::power_off_of_a_silent_host),
    anytime("silent_host_away_for_3_s_is_waited_for", elections::blip_where_silent_hosts_go),
    anytime("group_port_cut", failovers::group_port_cut),
    anytime("group_port_refused", stacks::group_port_refused),
    anytime("member_joins_while_connections_are_used_up", stacks::joins_while_connections_are_used_up),
    anytime("tls_reloaded", stacks::tls_reloaded),
    anytime("each_host_cut_off_for_3_s", network::short_cut),
    anytime("primary_is_not_heard", network::not_heard),
    anytime("primary_hears_nothing", network::hears_nothing),
    anytime("clients_cut_off_but_not_the_group", network::only_the_group),
    anytime("gateway_lost_for_the_primary_alone", network::gateway_lost_for_one),
    anytime("stranger_claims_the_vip", contested::stranger),
    anytime("stranger_has_the_vip", contested::stranger_has_it),
    anytime("vip_added_with_another_prefix", interface::copied),
    anytime("vip_with_a_network_of_its_own", vips::with_a_network),
    anytime("vips_with_other_gateways", vips::with_gateways),
    anytime("vip_on_an_interface_of_its_own", own_interface::moves),
    anytime("vip_on_a_virtual_interface", own_interface::on_virtual_interfaces),
    anytime("holders_interface_made_anew", interface::made_anew),
    anytime("holders_addresses_flushed", interface::flushed),
    anytime("holders_interface_set_down_and_up", interface::set_down_and_up),
    anytime("30_percent_of_frames_lost", network::lossy),
    anytime("server_hung_for_long_and_resumed", members::hung_for_long),
    anytime("server_killed_and_started_at_once", members::killed_and_started_at_once),
    anytime("all_of_a_host_killed_and_back", members::all_killed),
    anytime("whole_group_dies_and_starts", members::cold_start),
    anytime("two_members_left_then_one", members::two_then_one),
    anytime("account_locked", members::account_locked),
    anytime("offline_mode", members::offline_mode),
    anytime("a_thousand_connections_refused", members::a_thousand_refused),
    anytime("agent_hung", members::agent_hung),
    anytime("login_thrown_out_by_init_connect", field::login_thrown_out),
    anytime("vip_on_a_members_loopback", field::copy_on_loopback),
    anytime("holders_hardware_address_changed", field::other_hardware_address),
    anytime("mysqld_does_not_listen_at_the_vip", field::server_listens_elsewhere),
    anytime("check_names_what_does_not_fit_the_host", field::check_names_what_does_not_fit),
    anytime("check_finds_what_is_planted", check::finds_what_is_planted),
    anytime("check_is_silent_on_a_good_group", check::silent_on_a_good_group),
    anytime("run_folder_cleared_then_stopped", field::run_folder_cleared),
    anytime("log_and_state_file_removed", field::files_removed),
    anytime("account_needs_a_certificate", field::account_needs_certificate),
    anytime("arp_kept_in_by_the_holder", arp_kept_in::named),
    anytime("arp_ignored_by_a_holder_without_an_agent", arp_kept_in::ignored_without_an_agent),
    anytime("arp_dropped_by_a_holder_without_an_agent", arp_kept_in::dropped_without_an_agent),
    anytime("new_primary_stays_read_only", field::new_primary_stays_read_only),
    anytime("primary_made_read_only", field::primary_made_read_only),
    anytime("standby_group_vip_follows_the_primary", standby::follows_the_read_only_primary),
    anytime("group_goes_multi_primary_and_back", field::multi_primary),
    at(When::Alone, "vip_removed_while_the_gateway_asks", failovers::removed_while_the_gateway_asks),
    at(When::Alone, "a_nights_work", night::work),
    at(When::Alone, "status_without_an_agent", status_command::no_agent),
    at(When::Alone, "status_where_nobody_holds_the_vip", status_command::nobody_holds),
    at(When::Alone, "status_of_a_whole_group", status_command::well),
    at(When::Alone, "status_where_a_server_hangs", status_command::server_hangs),
    at(When::Alone, "control_socket_abused", abuse::socket_abused),
    at(When::Alone, "switchover_backlog", switchovers::backlog),
    at(When::Alone, "switchover_ddl", switchovers::ddl),
    at(When::Alone, "all_cores_busy_for_a_minute", machine::all_cores_busy),
    anytime("many_clusters_cost_little", many_clusters::cost_little),
    anytime("s6_stat_file_follows", files::stat_file_follows),
    anytime("init_writes_a_file_that_runs", first_steps::init_runs),
    at(When::InEachLab, "s1_grep_warn_lists_exactly_the_switches", files::grep_warn_lists_the_switches),
    at(When::InEachLab, "replay_decides_as_recorded", files::replay_decides_as_recorded),
    at(When::InEachLab, "password_shows_nowhere", first_steps::password_shows_nowhere),
    at(When::Last, "disk_full", machine::disk_full),
    at(When::Last, "log_folder_read_only", machine::log_folder_read_only),
];

/// The tests with one of `filters` in their name; all, without any. A word that is a test's whole name means that test alone.
fn chosen(filters: &[String]) -> Result<Vec<Test>, NotRun> {
    let is_a_name = |filter: &str| TESTS.iter().any(|test| test.name == filter);
    let means = |filter: &str, name: &str| name == filter || (!is_a_name(filter) && name.contains(filter));
    let fits = |name: &str| filters.is_empty() || filters.iter().any(|filter| means(filter, name));
    let chosen: Vec<Test> = TESTS.iter().filter(|test| fits(test.name)).copied().collect();
    if chosen.is_empty() {
        let names = TESTS.iter().map(|test| test.name).collect();
        return Err(NotRun::NoSuchTest { filters: filters.to_vec(), names });
    }
    Ok(chosen)
}
