//! `haipmgr switchover`: makes another member the primary, after a look at what stands in the way.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use decide::net::VipId;

use super::terminal::{Terminal, print};
use super::{BAD_INPUT, File, REFUSED, UNDER_WAY, refuse, say};
use crate::config::{self, Cluster, Config, PasswordError, Problems};
use crate::server_access::{Access, Endpoint, Limits, Password, servers};
use crate::switchover::carry_out::{self, Order, Outcome};
use crate::switchover::member::{Member, read_all};
use crate::switchover::plan::{Plan, Verdict, Wanted, plan};

/// How long each member's answer is waited for before anything is done.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What `--help` ends with.
pub(super) const EXAMPLES: &str = "Examples:
  haipmgr switchover --dry-run                what would happen, and what stands in the way
  haipmgr switchover --to 10.77.0.12          to this member, after a question
  haipmgr switchover --yes --reason upgrade   to the best member, without a question

Exit status: 0 done; 1 failed, nothing changed; 2 the command line or the configuration is wrong; 4 refused, nothing was tried;
5 still under way: it may still happen.";

/// Its arguments.
// A flag each.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: File,
    /// The cluster, where the configuration has several.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The member: its address, `MEMBER_HOST` or server UUID. By default the one that is fit and least behind.
    #[arg(long, value_name = "MEMBER")]
    to: Option<String>,
    /// Why: shown beside the order in the servers' process lists.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Print the plan and change nothing. Exit status 4 if it would be refused.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// After this long, say who holds it up. It goes on all the same: a switchover that has begun can't be called off.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = config::parse_duration)]
    timeout: Duration,
    /// Go on in spite of what does not end by itself.
    #[arg(long)]
    force: bool,
    /// After the timeout, end the sessions that hold it up, without asking.
    #[arg(long)]
    end_sessions: bool,
    /// Write a row through the VIP, over and over, as this MySQL account: the gap between two rows is the outage.
    #[arg(long, value_name = "ACCOUNT", requires = "write_password_file")]
    write_as: Option<String>,
    /// The file with that account's password in its only line (mode 600).
    #[arg(long, value_name = "FILE", requires = "write_as")]
    write_password_file: Option<PathBuf>,
}

/// Why the command line can't be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotUsable {
    #[error(transparent)]
    Configuration(#[from] Problems),
    #[error("there is no cluster {wanted:?} in the configuration; there is: {known}")]
    NoSuchCluster { wanted: String, known: String },
    #[error("the configuration has several clusters; give one with --cluster: {0}")]
    WhichCluster(String),
    #[error("--write-password-file: {0}")]
    Password(#[from] PasswordError),
    #[error("nobody can be asked (standard input is no terminal): give --yes, or --dry-run to see the plan")]
    NobodyToAsk,
}

pub(super) fn switchover(arguments: &Arguments) -> ExitCode {
    match attempt(arguments) {
        Ok(status) => status,
        Err(NotUsable::Configuration(problems)) => refuse(&problems, &arguments.file.config),
        Err(error) => {
            say(&format!("haipmgr: {error}"));
            ExitCode::from(BAD_INPUT)
        }
    }
}

fn attempt(arguments: &Arguments) -> Result<ExitCode, NotUsable> {
    let config = config::load(&arguments.file.config)?;
    let cluster = one_cluster(&config, arguments.cluster.as_deref())?;
    let terminal = Terminal::new();
    if !arguments.yes && !arguments.dry_run && !terminal.attended {
        return Err(NotUsable::NobodyToAsk);
    }
    let writer = writer(arguments)?;
    let wanted = Wanted { to: arguments.to.clone(), within: arguments.timeout, force: arguments.force };
    let Some(plan) = look(cluster, &wanted) else { return Ok(ExitCode::FAILURE) };
    print(plan.to_string().trim_end());
    let (Some((from, _)), Some(target)) = (&plan.from, &plan.target) else { return Ok(not_begun(&plan)) };
    if plan.verdict != Verdict::Go {
        return Ok(not_begun(&plan));
    }
    if arguments.dry_run {
        print(&format!("dry run    {} would be made the primary; nothing was changed", target.0));
        return Ok(ExitCode::SUCCESS);
    }
    let question = format!("make {} the primary in place of {from}?", target.0);
    if !arguments.yes && !Terminal::confirm(&question) {
        print("refused    by you; nothing was changed");
        return Ok(ExitCode::from(REFUSED));
    }
    let order = Order {
        cluster,
        from: *from,
        target: target.clone(),
        reason: &arguments.reason,
        within: arguments.timeout,
        // Somebody at the terminal ends it by Ctrl-C.
        leave_after: (!terminal.attended).then(|| 2 * arguments.timeout),
        end_sessions: arguments.end_sessions,
        vip: at_vip(cluster, writer.as_ref()),
        writes: writer.is_some(),
    };
    Ok(carry_out(order, terminal).map_or_else(|status| status, |()| ExitCode::SUCCESS))
}

/// Carries it out and says what came of it. Gives the exit status where it is not done.
pub(super) fn carry_out(order: Order<'_>, terminal: Terminal) -> Result<(), ExitCode> {
    Err(match servers::wait_for(carry_out::carry_out(order, &terminal)) {
        Ok(Outcome::Done(words)) => {
            print(&format!("done\n{words}"));
            return Ok(());
        }
        Ok(Outcome::NothingChanged(why)) => {
            say(&format!("haipmgr: failed: nothing changed: {why}"));
            ExitCode::FAILURE
        }
        Ok(Outcome::UnderWay(why)) => {
            say(&format!("haipmgr: still under way: {why}"));
            ExitCode::from(UNDER_WAY)
        }
        Err(error) => {
            say(&format!("haipmgr: failed: nothing changed: the system gives no descriptor: {error}"));
            ExitCode::FAILURE
        }
    })
}

/// Asks all members, and makes the plan; none where the system does not let it.
pub(super) fn look(cluster: &Cluster, wanted: &Wanted) -> Option<Plan> {
    let mut members = Member::all(cluster, ANSWER_LIMIT);
    match servers::wait_for(read_all(&mut members)) {
        Ok(readings) => Some(plan(&readings, wanted)),
        Err(error) => {
            say(&format!("haipmgr: failed: nothing changed: the system gives no descriptor: {error}"));
            None
        }
    }
}

fn not_begun(plan: &Plan) -> ExitCode {
    match &plan.verdict {
        Verdict::AlreadyThere => {
            print("done       it is the primary already; nothing was changed");
            ExitCode::SUCCESS
        }
        Verdict::Refused(reasons) => {
            for reason in reasons {
                say(&format!("haipmgr: refused: {reason}"));
            }
            ExitCode::from(REFUSED)
        }
        Verdict::Go => ExitCode::FAILURE,
    }
}

/// The one that is named, or the only one.
pub(super) fn one_cluster<'c>(config: &'c Config, wanted: Option<&str>) -> Result<&'c Cluster, NotUsable> {
    let known = || {
        let names: Vec<_> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        names.join(", ")
    };
    match (wanted, config.clusters.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(NotUsable::WhichCluster(known())),
        (Some(wanted), _) => one_of(config, wanted),
    }
}

/// The one that is named.
pub(super) fn one_of<'c>(config: &'c Config, wanted: &str) -> Result<&'c Cluster, NotUsable> {
    config.clusters.iter().find(|cluster| cluster.name == wanted).ok_or_else(|| {
        let names: Vec<_> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        NotUsable::NoSuchCluster { wanted: wanted.to_owned(), known: names.join(", ") }
    })
}

fn writer(arguments: &Arguments) -> Result<Option<(String, Password)>, NotUsable> {
    let (Some(account), Some(file)) = (&arguments.write_as, &arguments.write_password_file) else {
        return Ok(None);
    };
    let password = config::password_from_file(file)?;
    Ok(Some((account.clone(), Password::new(password.reveal()))))
}

/// How the VIP is looked at: by the agent's own account, where no other is given.
pub(super) fn at_vip(cluster: &Cluster, writer: Option<&(String, Password)>) -> Access {
    // The first is always there (`Policy::vips`).
    let vip = cluster.policy.address_of(VipId::FIRST).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let mut access = Access::of(cluster, Endpoint::Tcp(vip, cluster.mysql_port));
    access.limits = Limits::default();
    if let Some((user, password)) = writer {
        access.user.clone_from(user);
        access.password = password.clone();
    }
    access
}
