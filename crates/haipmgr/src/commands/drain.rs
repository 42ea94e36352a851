//! `haipmgr drain` and `haipmgr undrain`: this host is about to go down, and is back.
//!
//! It never makes things worse: where the primary can't be moved away, nothing is given up either, and the stop that follows costs what it
//! would have cost without.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::switchover::{at_vip, carry_out, look};
use super::terminal::{Terminal, print};
use super::this_host::ThisHost;
use super::{BAD_INPUT, File, REFUSED, refuse, say};
use crate::config::{self, Cluster};
use crate::control::message::{Answer, Request};
use crate::control::{self, Patience};
use crate::switchover::carry_out::Order;
use crate::switchover::plan::{Plan, Verdict, Wanted};

/// What `--help` ends with.
pub(super) const EXAMPLES: &str = "Examples:
  haipmgr drain                     before this host, or its mysqld, is stopped
  haipmgr drain --timeout 60s       the same with more patience

The agent goes on, and takes no VIP until haipmgr undrain or the next boot.
Exit status: 0 done; 1 failed; 2 the command line or the configuration is wrong; 4 refused; 5 the switchover is still under way.
In all but the first, the VIP stays as it is.";

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: File,
    /// This cluster only; the others stay as they are.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// How long it may take.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = config::parse_duration)]
    timeout: Duration,
    /// Why: shown beside the order in the servers' process lists.
    #[arg(long, value_name = "TEXT", default_value = "drain")]
    reason: String,
}

/// Whom `undrain` is about.
#[derive(Debug, clap::Args)]
pub(super) struct Undrained {
    #[command(flatten)]
    file: File,
    /// This cluster only.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

pub(super) fn drain(arguments: &Arguments) -> ExitCode {
    each(&arguments.file.config, arguments.cluster.as_deref(), |socket, cluster| {
        move_primary_away(cluster, arguments)?;
        ask(socket, &Request::Drain { cluster: Some(cluster.name.clone()) })
    })
}

pub(super) fn undrain(arguments: &Undrained) -> ExitCode {
    each(&arguments.file.config, arguments.cluster.as_deref(), |socket, cluster| {
        ask(socket, &Request::Undrain { cluster: Some(cluster.name.clone()) })
    })
}

/// Does it for the cluster that is named, or for each. The first that fails gives the exit status; the others are done all the same.
pub(super) fn each(
    file: &Path,
    named: Option<&str>,
    work: impl Fn(&Path, &Cluster) -> Result<(), ExitCode>,
) -> ExitCode {
    let config = match config::load(file) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems, file),
    };
    let socket = config.control_socket();
    let wanted = |cluster: &&Cluster| named.is_none_or(|named| named == cluster.name);
    let done: Vec<_> = config.clusters.iter().filter(wanted).map(|cluster| work(&socket, cluster)).collect();
    if done.is_empty() {
        let known: Vec<_> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        let named = named.unwrap_or_default();
        say(&format!(
            "haipmgr: there is no cluster {named:?} in {}; there is: {}",
            file.display(),
            known.join(", ")
        ));
        return ExitCode::from(BAD_INPUT);
    }
    done.into_iter().find_map(Result::err).unwrap_or(ExitCode::SUCCESS)
}

/// A switchover to the best member, where this host's server is the primary.
fn move_primary_away(cluster: &Cluster, arguments: &Arguments) -> Result<(), ExitCode> {
    let half = arguments.timeout / 2;
    let wanted = Wanted { to: None, within: half, force: false };
    let plan = look(cluster, &wanted).ok_or(ExitCode::FAILURE)?;
    let own = ThisHost::read().member_address(cluster);
    let is_here = |address: IpAddr| own == Some(address);
    match &plan.from {
        Some((from, _)) if is_here(*from) => {}
        Some((from, _)) => {
            print(&format!("primary    {from}, not this host: no switchover is needed"));
            return Ok(());
        }
        None => return refused(cluster, &plan),
    }
    print(plan.to_string().trim_end());
    let (Verdict::Go, Some((from, _)), Some(target)) = (&plan.verdict, &plan.from, &plan.target) else {
        return refused(cluster, &plan);
    };
    let order = Order {
        cluster,
        from: *from,
        target: target.clone(),
        reason: &arguments.reason,
        within: half,
        leave_after: Some(arguments.timeout),
        end_sessions: false,
        vip: at_vip(cluster, None),
        writes: false,
    };
    // Nobody is asked anything while a host goes down.
    carry_out(order, Terminal { attended: false })
}

fn refused(cluster: &Cluster, plan: &Plan) -> Result<(), ExitCode> {
    if let Verdict::Refused(reasons) = &plan.verdict {
        for reason in reasons {
            say(&format!("haipmgr: not drained: {reason}"));
        }
    }
    say(&format!("haipmgr: not drained: the VIP of {} stays as it is", cluster.name));
    Err(ExitCode::from(REFUSED))
}

fn ask(socket: &Path, request: &Request) -> Result<(), ExitCode> {
    let failed = |words: &str| {
        say(&format!("haipmgr: {words}"));
        Err(ExitCode::FAILURE)
    };
    match control::ask(socket, request, Patience::ORDER) {
        Ok(Answer::Done(words)) => {
            print(&words);
            Ok(())
        }
        Ok(Answer::Failed(words)) => failed(&words),
        Ok(Answer::Status(_) | Answer::Reload(_)) => failed("the agent answered what was not asked for"),
        Err(error) => failed(&error.to_string()),
    }
}
