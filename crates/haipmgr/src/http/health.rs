//! How this host is for a load balancer or a supervisor, by what its own agent knows: the names are those that Patroni's users know.
//! Pure.

use decide::checks::Stage;
use decide::input::{MemberState, Role};
use decide::status::{Found, Has, Status};

use crate::control::report::{ClusterReport, Report, Told};

/// What the agent knows of its server is no older than this, in milliseconds, or it is not known.
const FRESH_MS: u64 = 1_500;

/// Whether it is as was asked, and a line that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) is_so: bool,
    pub(super) words: String,
}

impl Health {
    fn yes(words: impl Into<String>) -> Self {
        Self { is_so: true, words: words.into() }
    }

    fn no(words: impl Into<String>) -> Self {
        Self { is_so: false, words: words.into() }
    }
}

/// The cluster that is asked about: by its name, or the only one.
///
/// # Errors
/// There is no such one, or several and none named; in words.
pub(super) fn chosen<'r>(report: &'r Report, named: Option<&str>) -> Result<&'r ClusterReport, String> {
    let listed =
        || report.clusters.iter().map(|cluster| cluster.name.as_str()).collect::<Vec<_>>().join(", ");
    match (named, &report.clusters[..]) {
        (Some(named), clusters) => clusters
            .iter()
            .find(|cluster| cluster.name == named)
            .ok_or_else(|| format!("there is no such cluster here; there are: {}", listed())),
        (None, [only]) => Ok(only),
        (None, _) => {
            Err(format!("there are several clusters here: write ?cluster=NAME; there are: {}", listed()))
        }
    }
}

fn status(cluster: &ClusterReport) -> Result<&Status, Health> {
    match &cluster.told {
        Told::Status(status) => Ok(status),
        Told::Silent(why) => Err(Health::no(why.clone())),
    }
}

/// This host's row of the group, as its own server has just shown it with a majority.
fn own_row(status: &Status) -> Result<&decide::status::MemberStatus, Health> {
    let Some(group) = &status.group else {
        let why = status.stages.iter().find(|stage| stage.stage == Stage::Primary);
        return Err(Health::no(why.map_or("the local server shows no group", |stage| &stage.words)));
    };
    if group.age_ms > FRESH_MS {
        return Err(Health::no(format!("the local server was last heard {} ms ago", group.age_ms)));
    }
    if !group.majority {
        return Err(Health::no("the local server sees no majority of its group"));
    }
    let own =
        |member: &&decide::status::MemberStatus| member.address.is_some() && member.address == status.member;
    let row = group.members.iter().find(own);
    let row = row.ok_or_else(|| Health::no("the local server's own row is not known"))?;
    if row.state == MemberState::Online {
        Ok(row)
    } else {
        Err(Health::no(format!("the local server is {:?} in its group", row.state).to_uppercase()))
    }
}

/// `/primary`: this host's server is the writable primary, and the first VIP is here.
pub(super) fn primary(cluster: &ClusterReport) -> Health {
    let told = status(cluster).and_then(|status| own_row(status).map(|_| status));
    let status = match told {
        Ok(status) => status,
        Err(no) => return no,
    };
    let passed =
        |wanted| status.stages.iter().any(|stage| stage.stage == wanted && stage.found == Found::Passed);
    if !passed(Stage::Primary) {
        return Health::no("the local server is not the writable primary");
    }
    match status.vips.first() {
        Some(vip) if vip.state == Has::Holding => {
            Health::yes(format!("the primary, and {} is here", vip.address))
        }
        Some(vip) => Health::no(format!("the primary, but {} is not here: {}", vip.address, vip.words)),
        None => Health::no("there is no VIP"),
    }
}

/// `/replica`: this host's server is an ONLINE secondary in the majority; and, with `most_behind`, has no more than so many transactions
/// in its applier's queue.
pub(super) fn replica(cluster: &ClusterReport, most_behind: Option<u64>, behind: Option<u64>) -> Health {
    let row = match status(cluster).and_then(own_row) {
        Ok(row) => row,
        Err(no) => return no,
    };
    if row.role != Role::Secondary {
        return Health::no("the local server is the primary");
    }
    match (most_behind, behind) {
        (None, _) => Health::yes("an ONLINE secondary"),
        (Some(_), None) => Health::no("an ONLINE secondary; how far it is behind is not known"),
        (Some(most), Some(behind)) if behind > most => {
            Health::no(format!("an ONLINE secondary, behind by {behind} transactions"))
        }
        (Some(_), Some(behind)) => {
            Health::yes(format!("an ONLINE secondary, behind by {behind} transactions"))
        }
    }
}

/// `/readiness`: this host's server is ONLINE in the majority of its group, as its primary or a secondary.
pub(super) fn readiness(cluster: &ClusterReport) -> Health {
    match status(cluster).and_then(own_row) {
        Ok(row) => Health::yes(format!(
            "ONLINE, {}",
            if row.role == Role::Primary { "the primary" } else { "a secondary" }
        )),
        Err(no) => no,
    }
}

/// `/liveness`: every cluster's loop answers.
pub(super) fn liveness(report: &Report) -> Health {
    let silent = report.clusters.iter().find_map(|cluster| match &cluster.told {
        Told::Silent(why) => Some(format!("cluster {}: {why}", cluster.name)),
        Told::Status(_) => None,
    });
    silent.map_or_else(|| Health::yes("the agent runs"), Health::no)
}
