//! `haipmgr check` and `haipmgr sql`: what would run, whether it can, and the account it needs.

use core::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;

use super::run::in_words;
use super::this_host::ThisHost;
use super::vip_prefix;
use super::{BAD_INPUT, File, print_or_refuse, refuse};
use crate::act::address::Label;
use crate::check::line::{Line, OfCluster, Report};
use crate::check::{Here, look};
use crate::config::{self, Cluster, Config, Problems, Source, missing_programs};
use crate::observe::{arp_kept_in, listening, network_service};
use crate::server_access::account::whole_sql;
use crate::server_access::{Access, Endpoint};

/// Shown under `check --help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  haipmgr check --config /etc/haipmgr/haipmgr.toml                                   everything; as root, for some of it needs that
  haipmgr check --config haipmgr.toml --offline                                      the file alone
  haipmgr check --config /etc/haipmgr/haipmgr.toml --format json | jq '.clusters[].lines[] | select(.level != \"ok\")'

Each line is ok, advice or problem, and says what mends it (docs/check.md). Exit status: 0 no problem, 1 a problem, 2 the file is wrong.";

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: File,
    /// Look at the file alone: no server, no kernel, no network.
    #[arg(long)]
    offline: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What would run, then a line for each thing that was looked at.
    Text,
    /// The lines alone, with a format number (docs/check.md).
    Json,
}

/// Checks, and prints.
pub(super) fn check(arguments: &Arguments) -> ExitCode {
    let path = &arguments.file.config;
    let config = match config::load(path) {
        Ok(config) => config,
        Err(problems) => return wrong_file(arguments.format, &problems, path),
    };
    let report = report(&config, arguments.offline);
    let text = match arguments.format {
        Format::Text => what_would_run(&config) + &lines_in_words(&report),
        Format::Json => report.json(),
    };
    let printed = print_or_refuse(Ok(text), path);
    if report.problems == 0 { printed } else { ExitCode::FAILURE }
}

/// All that is wrong with the file: in words on standard error, and as JSON on standard output too.
fn wrong_file(format: Format, problems: &Problems, path: &Path) -> ExitCode {
    if format == Format::Json {
        let line = |problem: &config::Problem| {
            let place = problem.at.map(|place| format!("{}:{}: ", place.line, place.column));
            let says = format!("{}{}", place.unwrap_or_default(), problem.text);
            Line::problem("file", says, "correct the file (docs/configuration.md)")
        };
        let lines = problems.list().iter().map(line).collect();
        let report = Report::new(path.display().to_string(), vec![OfCluster { cluster: None, lines }]);
        // Where that can't be written either, the exit status says it.
        let _ = print_or_refuse(Ok(report.json()), path);
        return ExitCode::from(BAD_INPUT);
    }
    refuse(problems, path)
}

fn report(config: &Config, offline: bool) -> Report {
    let mut all = vec![OfCluster { cluster: None, lines: of_the_file(config) }];
    all.extend(config.clusters.iter().map(|cluster| {
        let lines = if offline { Vec::new() } else { of_the_world(config, cluster) };
        OfCluster { cluster: Some(cluster.name.clone()), lines }
    }));
    Report::new(config.path.display().to_string(), all)
}

fn of_the_file(config: &Config) -> Vec<Line> {
    let mut lines = vec![Line::ok("file", "every key is understood, and the values fit together")];
    lines.extend(config.remarks.iter().map(|remark| {
        Line::advice("password-file", remark.clone(), "chmod 600 that file; a TOML file would be refused")
    }));
    lines
}

fn of_the_world(config: &Config, cluster: &Cluster) -> Vec<Line> {
    let host = ThisHost::read();
    let Some(here) = host.here(cluster) else {
        let why = host.not_a_member(cluster).unwrap_or_default();
        return vec![Line::not_looked_at("this-host", why, "run haipmgr check on each member's host")];
    };
    let mut lines = fits(cluster, &host, &here);
    lines.extend(look(config, cluster, &here));
    lines
}

/// What `run` says at its start too: whether the configuration fits this host.
fn fits(cluster: &Cluster, host: &ThisHost, here: &Here) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |name, well: String, remarks: Vec<String>, mend: &str| {
        if remarks.is_empty() {
            lines.push(Line::ok(name, well));
        }
        lines.extend(remarks.into_iter().map(|remark| Line::problem(name, remark, mend)));
    };
    let well = format!("this host is member {} by {}", here.own, here.interface);
    add(
        "this-host",
        well,
        host.remarks(cluster),
        "correct the configuration on every host; see: ip -br address",
    );
    if !cluster.hooks.is_empty() {
        let missing = missing_programs(&cluster.hooks);
        add("hooks", "every hook's program is there".to_owned(), missing, "put the program there, mode 755");
    }
    if cluster.policy.vips.values().any(|vip| vip.prefix.is_some()) {
        let problems = vip_prefix::problems(cluster, host, Path::new("/"));
        let well = "a VIP with a network of its own is neither source of this host's connections nor goes with another address";
        add("vip-prefix", well.to_owned(), problems, "as it says; docs/vips.md");
    }
    for interface in here.interfaces() {
        let arp = arp_kept_in::remark(interface).into_iter().collect();
        let mend = format!(
            "sysctl -w net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.{interface}.arp_ignore=0, and in /etc/sysctl.d"
        );
        add("arp-ignore", "this host answers ARP".to_owned(), arp, &mend);
        let leased = cluster.policy.longest_lease().is_some();
        add(
            "network-service",
            format!("no network service removes addresses from {interface}"),
            network_service::remarks(interface, leased),
            "as it says; docs/manual.md, \"Network services that remove the VIP\"",
        );
    }
    let vips = cluster.policy.vips.values().map(|vip| vip.address);
    let deaf = listening::remarks(vips, cluster.mysql_port).filter_map(|(_, remark)| remark);
    let mend = "bind_address = * in the server's option file, and a restart of mysqld";
    // What is well is said of every member's server by its own word.
    for remark in deaf {
        lines.push(Line::problem("bind-address", remark, mend));
    }
    lines.extend(here.interfaces().map(|interface| match Label::new(interface, cluster.mysql_port) {
        (label, None) => Line::ok("label", format!("the VIP is labelled {label}")),
        (_, Some(note)) => Line::advice(
            "label",
            note,
            format!("ip link set {interface} name a shorter one, if tools look for the label"),
        ),
    }));
    lines
}

/// What `run` would do with this file.
fn what_would_run(config: &Config) -> String {
    let kind = match config.source {
        Source::Toml => "TOML",
        Source::ParameterPy => "a parameter.py",
    };
    let mut text =
        format!("{}: {kind}, no problems found\nlock: {}\n", config.path.display(), config.lock.display());
    for cluster in &config.clusters {
        let _never_fails = write!(
            text,
            "[{}] {}\n  connects as {} by {}\n  log:  {}\n  stat: {} (back to 1 after {})\n",
            cluster.name,
            in_words(cluster),
            cluster.user,
            cluster.socket.as_ref().map_or_else(|| "TCP".to_owned(), |socket| socket.display().to_string()),
            cluster.log_file().display(),
            cluster.stat_file().display(),
            config::format_duration(cluster.stat_shown_for()),
        );
        for vip in cluster.policy.reader_vips().filter_map(|vip| cluster.policy.address_of(vip)) {
            let file = cluster.reader_stat_file(vip);
            let _never_fails = writeln!(text, "  stat of {vip}, for readers: {}", file.display());
        }
    }
    text
}

fn lines_in_words(report: &Report) -> String {
    let mut text = String::new();
    for of in &report.clusters {
        if let (Some(name), false) = (&of.cluster, of.lines.is_empty()) {
            let _never_fails = writeln!(text, "\ncluster {name}:");
        }
        for line in &of.lines {
            let _never_fails = writeln!(text, "{line}");
        }
    }
    let _never_fails = writeln!(text, "\n{}", report.in_words());
    text
}

/// How to reach the local server; none where no address of this host is a member's.
pub(super) fn local_access(cluster: &Cluster) -> Option<Access> {
    let endpoint = match &cluster.socket {
        Some(socket) => Endpoint::Socket(socket.clone()),
        None => Endpoint::Tcp(ThisHost::read().member_address(cluster)?, cluster.mysql_port),
    };
    Some(Access::of(cluster, endpoint))
}

/// The statements that make each cluster's account. The password is left for the reader to fill in.
pub(super) fn sql(path: &Path) -> Result<String, Problems> {
    let config = config::load(path)?;
    let mut text = String::new();
    for cluster in &config.clusters {
        let _never_fails = write!(
            text,
            "-- Cluster {}: run this on its primary. Group Replication copies the account to the other members.\n{}",
            cluster.name.replace(char::is_control, " "),
            whole_sql(&cluster.user),
        );
    }
    Ok(text)
}
