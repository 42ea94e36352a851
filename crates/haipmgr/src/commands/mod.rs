//! What each command does. Exit status: 0 done, 1 failed, 2 the command line or the configuration is wrong,
//! 3 another agent runs, 4 refused, 5 still under way. `status` has its own (`crate::status::judge`).

mod before_shutdown;
mod check;
mod drain;
mod drains;
mod explain;
mod history;
mod init;
mod pause;
mod pauses;
mod reload;
mod reloads;
pub(crate) mod replay;
mod run;
mod serving;
mod status;
mod stop;
mod switchover;
mod terminal;
mod this_host;
mod timings;
mod vip_prefix;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config;
use crate::self_protection;
use stop::NotStopped;

/// The command line or the configuration is wrong.
pub const BAD_INPUT: u8 = 2;
/// Another agent runs on this host (S4).
pub const ALREADY_RUNNING: u8 = 3;
/// A switchover or a drain was refused: nothing was tried.
pub const REFUSED: u8 = 4;
/// A switchover goes on, and is not watched any more.
pub const UNDER_WAY: u8 = 5;

pub use replay::{ReplayError, Replayed, replay};

/// haipmgr keeps a virtual IP on the primary of a MySQL Group Replication cluster.
#[derive(Debug, Parser)]
#[command(name = "haipmgr", version = crate::version::long())]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent in the foreground. SIGTERM and SIGINT end it and leave the VIP as it is; SIGHUP reopens the logs, and does what
    /// haipmgr reload does; SIGUSR1 reopens the logs alone.
    Run(File),
    /// End the agent that runs with this configuration. Leaves the VIP as it is, as SIGTERM does, unless --release is given.
    Stop {
        #[command(flatten)]
        file: File,
        /// Release the VIP first: its connections are closed, and the next primary's host can take it at once.
        #[arg(long)]
        release: bool,
        /// Release this cluster's VIP only; the others stay as they are.
        #[arg(long, value_name = "NAME", requires = "release")]
        cluster: Option<String>,
    },
    /// Have the agent that runs read its configuration anew. The file is checked as a whole first; only what has changed is begun anew.
    #[command(after_help = reload::EXAMPLES)]
    Reload(reload::Arguments),
    /// Show the whole cluster, from any member's host: members, roles, who holds each VIP by its answer, and what the agent here says.
    /// Changes nothing.
    #[command(after_help = status::EXAMPLES)]
    Status(status::Arguments),
    /// Write this host's configuration file: asks the local server and the kernel, and two questions. Writes the account's SQL where the
    /// account is not there yet.
    Init(init::Wishes),
    /// Make another member the primary, from any member's host: looks at what stands in the way first, and follows the VIP.
    #[command(after_help = switchover::EXAMPLES)]
    Switchover(switchover::Arguments),
    /// Before this host or its mysqld is stopped: make another member the primary, give the VIP up, and take none.
    #[command(after_help = drain::EXAMPLES)]
    Drain(drain::Arguments),
    /// Take VIPs again after a drain.
    Undrain(drain::Undrained),
    /// Pause the whole cluster's agents, or this host's: the VIP is taken nowhere and let go of nowhere by choice, until the pause ends by itself.
    #[command(after_help = pause::EXAMPLES)]
    Pause(pause::Arguments),
    /// End a pause before its time.
    Resume(pause::Resumed),
    /// Every switch of a VIP that this host has seen: when, why, from whom to whom, by whom, and what its time was spent on.
    #[command(after_help = history::EXAMPLES)]
    History(history::Arguments),
    /// Tell one switch as a story, or why the VIP is where it is.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Arguments),
    /// Check a configuration, this host, the segment, every member's server and the group: a line each, with what mends it. Starts,
    /// stops and changes nothing. Exit status 1 where something is a problem.
    #[command(after_help = check::EXAMPLES)]
    Check(check::Arguments),
    /// Convert a parameter.py: print the same configuration as TOML, with comments.
    Convert {
        /// The Python program's parameter.py; it is read, not executed.
        parameter_py: PathBuf,
    },
    /// Print the SQL that creates the configured MySQL account and its procedures.
    Sql(File),
    /// Replay a recorded trace: print each decision with its reason. Exit status 1 if a decision differs.
    Replay {
        /// The trace, `HAIPMGR_<port>.trace.jsonl`
        trace: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct File {
    /// The configuration: TOML, or the Python program's parameter.py.
    #[arg(long, value_name = "FILE", default_value = "/etc/haipmgr/haipmgr.toml")]
    config: PathBuf,
}

/// Does what the command line says.
pub fn execute(line: CommandLine) -> ExitCode {
    // Before any of them reads a password. Where it can't be had a command goes on; the agent says so in its log.
    let _ = self_protection::without_core_dumps();
    match line.command {
        Command::Run(file) => run::run(&file.config),
        Command::Stop { file, release, cluster } => stop_and_say(&file.config, release, cluster),
        Command::Init(wishes) => match init::init(&wishes) {
            Ok(next) => {
                say(&next);
                ExitCode::SUCCESS
            }
            Err(error) => {
                say(&format!("haipmgr: {error}"));
                ExitCode::FAILURE
            }
        },
        Command::Reload(arguments) => reload::reload(&arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Switchover(arguments) => switchover::switchover(&arguments),
        Command::Drain(arguments) => drain::drain(&arguments),
        Command::Undrain(arguments) => drain::undrain(&arguments),
        Command::Pause(arguments) => pause::pause(&arguments),
        Command::Resume(arguments) => pause::resume(&arguments),
        Command::History(arguments) => history::history(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Convert { parameter_py } => print_or_refuse(config::convert(&parameter_py), &parameter_py),
        Command::Sql(file) => print_or_refuse(check::sql(&file.config), &file.config),
        Command::Replay { trace } => replay_and_print(&trace),
    }
}

fn stop_and_say(file: &Path, release: bool, cluster: Option<String>) -> ExitCode {
    match stop::stop(file, release, cluster) {
        Ok(words) => {
            say(&words);
            ExitCode::SUCCESS
        }
        Err(NotStopped::Configuration(problems)) => refuse(&problems, file),
        Err(not_stopped) => {
            say(&format!("haipmgr: {not_stopped}"));
            match not_stopped {
                NotStopped::NoSuchCluster { .. } => ExitCode::from(BAD_INPUT),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn print_or_refuse(text: Result<String, config::Problems>, file: &Path) -> ExitCode {
    use std::io::Write as _;
    match text {
        Ok(text) => match std::io::stdout().lock().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(problems) => refuse(&problems, file),
    }
}

fn replay_and_print(trace: &Path) -> ExitCode {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    // Where standard output is closed, as by `| head`, there is nobody to print for.
    match replay::replay(trace, |line| drop(writeln!(out, "{line}"))) {
        Ok(replayed) => {
            say(&format!("{} steps decided as recorded, {} differently", replayed.same, replayed.different));
            if replayed.different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            say(&format!("haipmgr: {error}"));
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// Says all that is wrong with the configuration, on standard error.
fn refuse(problems: &config::Problems, file: &Path) -> ExitCode {
    let count = problems.list().len();
    let plural = if count == 1 { "" } else { "s" };
    say(&format!(
        "{problems}\nhaipmgr: {count} problem{plural} in {}; nothing was started, nothing was stopped",
        file.display()
    ));
    ExitCode::from(BAD_INPUT)
}

/// Writes to standard error; where that is closed there is nobody to tell.
fn say(text: &str) {
    use std::io::Write as _;
    let _nobody_listens = writeln!(std::io::stderr().lock(), "{text}");
}
