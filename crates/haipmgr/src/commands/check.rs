//! `haipmgr check` and `haipmgr sql`: what would run, and the account it needs.

use core::fmt::Write as _;
use std::collections::BTreeSet;
use std::path::Path;

use decide::event::Fact;

use super::run::in_words;
use super::this_host::{self, ThisHost};
use super::timings;
use crate::act::expel;
use crate::config::{self, Cluster, Problems, Source};
use crate::observe::network_service;
use crate::server_access::account::{account_sql, election_sql, pause_sql, switchover_sql};
use crate::server_access::{Access, Endpoint};

/// What `check` prints.
pub(super) struct Checked {
    pub(super) text: String,
    /// Nothing is in it that does not fit this host.
    pub(super) fits: bool,
}

/// What `run` would do with this file.
pub(super) fn check(path: &Path) -> Result<Checked, Problems> {
    let config = config::load(path)?;
    let kind = match config.source {
        Source::Toml => "TOML",
        Source::ParameterPy => "a parameter.py",
    };
    let mut text =
        format!("{}: {kind}, no problems found\nlock: {}\n", path.display(), config.lock.display());
    let mut fits = true;
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
        let _never_fails = writeln!(text, "  dead: {}", expels_sooner(cluster));
        let (server, lease) = timings::in_words(cluster);
        for line in server {
            let _never_fails = writeln!(text, "  server: {line}");
        }
        let _never_fails = writeln!(text, "  lease: {lease}");
        if let Some(words) = ThisHost::read().not_a_member(cluster) {
            let _never_fails = writeln!(text, "  host: {words}");
        }
        for remark in this_host::remarks(cluster) {
            fits = false;
            let _never_fails = writeln!(text, "ERROR {remark}");
        }
        let interfaces: BTreeSet<_> = cluster.policy.group.members.values().collect();
        let leased = cluster.policy.longest_lease().is_some();
        for remark in interfaces.into_iter().flat_map(|interface| network_service::remarks(interface, leased))
        {
            let _never_fails = writeln!(text, "ERROR {remark}");
        }
    }
    for remark in &config.remarks {
        let _never_fails = writeln!(text, "ERROR {remark}");
    }
    Ok(Checked { text, fits })
}

/// Whether a dead member can be expelled sooner than by MySQL alone: asks the local server, where it is one.
fn expels_sooner(cluster: &Cluster) -> String {
    if !cluster.policy.group.elects() {
        return "wake_expel and proven_dead are off: a dead member is expelled by MySQL alone (21 s with its defaults)"
            .to_owned();
    }
    let Some(access) = local_access(cluster) else {
        return "not checked: no address of this host is a member's address".to_owned();
    };
    match expel::read_once(access) {
        Fact::Known(seconds) => {
            format!("can be expelled on time: group_replication_member_expel_timeout is {seconds} s here")
        }
        Fact::Unknown(why) => {
            format!("is expelled no sooner than by MySQL alone (21 s with its defaults): {why}")
        }
    }
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
            "-- Cluster {}: run this on its primary. Group Replication copies the account to the other members.\n{}\
             -- So that a dead member is expelled on time (wake_expel, proven_dead): three procedures, which run with the\n\
             -- rights of an account that nobody can log in as. They need MySQL 8.0.18 or later; everything else works without them.\n{}\
             -- For haipmgr switchover and haipmgr drain: two more, a privilege, and a table of one row. MySQL 8.0.13 or later.\n\
             -- Only if you want it, afterwards: for switchover --write-as APP, GRANT INSERT, DELETE ON haipmgr.written_through_vip TO 'APP'@'%',\n\
             -- and so that switchover can end a session that holds it up, GRANT CONNECTION_ADMIN ON *.* TO this account\n{}\
             -- For haipmgr pause of the whole cluster: a table of one row, and the two procedures that write it\n{}",
            cluster.name.replace(char::is_control, " "),
            account_sql(&cluster.user),
            election_sql(&cluster.user),
            switchover_sql(&cluster.user),
            pause_sql(&cluster.user),
        );
    }
    Ok(text)
}
