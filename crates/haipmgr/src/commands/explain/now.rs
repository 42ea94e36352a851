//! Why a VIP is where it is, by the end of the trace and the kernel's addresses, and what would have to change for it to move.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use decide::State;
use decide::checks::{Finding, Stage};
use decide::facts::Reach;
use decide::fitness::Fitness;
use decide::net::VipId;
use decide::output::Said;
use decide::policy::{GatewayLost, Policy, ReaderPolicy, VipPolicy, VipRole, WhenNoReader};
use decide::vip::VipState;

use super::stretch::{self, Stretch};
use crate::clock;
use crate::commands::terminal::print;
use crate::config::{Cluster, DecisionTrace, format_duration};
use crate::history::Record;

/// What is older than this is not called current: the agent looks at everything at least this often.
const CURRENT_FOR: Duration = Duration::from_secs(10);

/// Tells of one cluster. False: nothing is recorded of it.
pub(super) fn tell(cluster: &Cluster, records: &[Record]) -> bool {
    let trace = cluster.trace_file();
    let stretch = stretch::last(&trace);
    let age = stretch.as_ref().and_then(|stretch| age(stretch, &trace));
    let state = stretch.as_ref().map(|stretch| stretch.play(|_, _| {}));
    for (id, vip) in &cluster.policy.vips {
        print(&where_it_is(&cluster.name, vip.address, here(vip.address)));
        if let Some(record) = records.iter().rev().find(|record| record.vip == vip.address) {
            print(&format!("  last switch seen here, {}: {}", record.at, record.sentence));
        }
        if let (Some(stretch), Some(state)) = (&stretch, &state) {
            for line in of_vip(stretch, state, *id, age, cluster) {
                print(&line);
            }
        } else {
            print(&format!(
                "  nothing is recorded in {}: no switch since the agent first ran, or decision_trace is \"off\"",
                trace.display()
            ));
        }
    }
    stretch.is_some()
}

fn where_it_is(name: &str, vip: IpAddr, here: Option<String>) -> String {
    match here {
        Some(interface) => {
            format!("{name}: the VIP {vip} is on this host, on {interface} (the kernel says so now)")
        }
        None => format!("{name}: the VIP {vip} is not on this host (the kernel says so now)"),
    }
}

/// The interface that bears it.
fn here(vip: IpAddr) -> Option<String> {
    nix::ifaddrs::getifaddrs().into_iter().flatten().find_map(|entry| {
        let address = entry.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let own = v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))?;
        // The C library tells the address's label, which begins with the interface.
        let interface = entry.interface_name.split(':').next().unwrap_or_default().to_owned();
        (own == vip).then_some(interface)
    })
}

/// How old the last step is. The agent's clock begins anew at each boot: then the file's own age is all that is known.
fn age(stretch: &Stretch, trace: &std::path::Path) -> Option<Duration> {
    let modified = std::fs::metadata(trace).and_then(|file| file.modified()).ok()?;
    let of_file = SystemTime::now().duration_since(modified).unwrap_or_default();
    let (ended, now) = (stretch.ended()?, clock::now());
    let by_clock = now.since(ended);
    let same_boot = ended <= now && by_clock.abs_diff(of_file) < Duration::from_secs(60);
    Some(if same_boot { by_clock } else { of_file })
}

fn of_vip(
    stretch: &Stretch,
    state: &State,
    vip: VipId,
    age: Option<Duration>,
    cluster: &Cluster,
) -> Vec<String> {
    let mut lines = Vec::new();
    let ago =
        age.map_or_else(|| "at a time that is not known".to_owned(), |age| format!("{} ago", in_words(age)));
    let mut stands = None;
    let words = |said: &Said| said.words(&stretch.policy);
    stretch.play(|played, _| stands = played.decision.said_of(vip).map(words).or(stands.take()));
    let stands = stands.unwrap_or_else(|| "nothing was decided about it".to_owned());
    lines.push(format!("  by the last recorded decision, {ago}: {stands}"));
    for (stage, finding, _) in state.stages(&stretch.policy).each() {
        lines.push(match finding {
            Finding::Passed => format!("    {stage} passed"),
            Finding::Failed(cause) => format!("    {stage} failed: {cause}"),
            Finding::Unknown(why) => format!("    {stage} was not known: {why}"),
        });
    }
    if age.is_none_or(|age| age > CURRENT_FOR) {
        let kept = if cluster.decision_trace == DecisionTrace::Switches {
            "the agent records the moments around each switch (decision_trace = \"switches\")"
        } else {
            "the agent has recorded nothing since"
        };
        lines.push(format!("  that is old: {kept}; what it has seen since is not in it"));
    }
    let held = state.vips.get(&vip).is_some_and(|machine| matches!(machine.state, VipState::Holding(_)));
    if let Some(limits) = stretch.policy.vips.get(&vip) {
        lines.push(
            if held { "  it would leave this host if:" } else { "  it would come to this host if:" }
                .to_owned(),
        );
        let conditions = match (held, limits.role) {
            (true, VipRole::Writer) => leaves_if(limits),
            (true, VipRole::Reader) => reader_leaves_if(limits, &stretch.policy.group.readers),
            (false, VipRole::Writer) => comes_if(state, &stretch.policy),
            (false, VipRole::Reader) => reader_comes_if(state, &stretch.policy, vip),
        };
        lines.extend(conditions.into_iter().map(|condition| format!("    - {condition}")));
    }
    lines
}

/// What takes a VIP away from its holder.
fn leaves_if(limits: &VipPolicy) -> Vec<String> {
    let in_short = format_duration;
    let mut all = vec![
        "another member becomes the primary, takes writes, and claims it (a failover, or haipmgr switchover)"
            .to_owned(),
        "this server sees no majority of its group, or is no longer in it".to_owned(),
        format!(
            "mysqld here dies: it stays to refuse clients until the new primary claims it, {} at most",
            in_short(limits.linger)
        ),
        format!("this server does not answer for {} (hung_patience)", in_short(limits.hung_patience)),
    ];
    all.push(match limits.gateway_lost {
        GatewayLost::Release => "the gateway does not answer (gateway_lost = \"release\")".to_owned(),
        GatewayLost::HoldWithMajority => {
            "the gateway does not answer and this server is not the primary in a majority (gateway_lost = \"hold-with-majority\")".to_owned()
        }
    });
    if let Some(lease) = limits.lease {
        all.push(format!(
            "the agent here dies or hangs: the kernel drops it within {} (lease)",
            in_short(lease)
        ));
    }
    all.push("somebody types haipmgr drain or haipmgr stop --release here".to_owned());
    all
}

/// What keeps a VIP from coming.
fn comes_if(state: &State, policy: &Policy) -> Vec<String> {
    let mut all = Vec::new();
    for (stage, finding, _) in state.stages(policy).each() {
        match finding {
            Finding::Passed => {}
            Finding::Failed(cause) => all.push(format!("{stage} passes (last seen: {cause})")),
            Finding::Unknown(why) => all.push(format!("{stage} becomes known and passes (last seen: {why})")),
        }
    }
    if state.facts.giving_up {
        all.push("somebody types haipmgr undrain here: this host is drained".to_owned());
    }
    all.push(
        "and no other host answers for the address, or its holder yields to this server as the primary"
            .to_owned(),
    );
    all
}

/// What takes a reader VIP away from its holder.
fn reader_leaves_if(limits: &VipPolicy, readers: &ReaderPolicy) -> Vec<String> {
    let mut all = vec![
        "another member that is fit to serve readers claims it: by what every member says of itself it belongs there".to_owned(),
        "this server is no longer ONLINE in the majority of its group, does not answer, or becomes the primary, and another member is fit".to_owned(),
    ];
    if readers.max_transactions.is_some() || readers.max_age.is_some() {
        all.push(format!(
            "this server is too far behind (reader_max_behind) for {} (reader_behind_for), and another member is fit",
            format_duration(readers.behind_for)
        ));
    }
    if readers.when_none == WhenNoReader::Nobody {
        all.push("no member is fit to serve readers (when_no_reader = \"nobody\")".to_owned());
    }
    all.push("the gateway does not answer".to_owned());
    all.push(
        "too few of the other members that are ONLINE answer this host on the segment for 4 s".to_owned(),
    );
    if let Some(lease) = limits.lease {
        all.push(format!(
            "the agent here dies or hangs: the kernel drops it within {} (lease)",
            format_duration(lease)
        ));
    }
    all.push("somebody types haipmgr drain or haipmgr stop --release here".to_owned());
    all
}

/// What keeps a reader VIP from coming.
fn reader_comes_if(state: &State, policy: &Policy, vip: VipId) -> Vec<String> {
    let mut all = Vec::new();
    for (stage, finding, _) in state.stages(policy).each() {
        // Whether this server leads is not what it is about.
        if stage != Stage::Primary && *finding != Finding::Passed {
            all.push(format!("{stage} passes"));
        }
    }
    let readers = &state.facts.readers;
    if let Some(Reach { answered, others, .. }) = readers.reach.filter(Reach::is_cut_off) {
        all.push(format!(
            "enough of the other members answer on the segment (last known: {answered} of {others})"
        ));
    }
    if readers.own != Some(Fitness::Ready) {
        let own = readers.own.map_or_else(|| "not known".to_owned(), |own| own.to_string());
        all.push(format!("this host is ready to serve readers (last known: {own})"));
    }
    match readers.placed.as_ref().map(|placed| placed.get(&vip)) {
        Some(Some(member)) => all.push(format!(
            "it belongs here by what every member says of itself (last known: on {member}); what is shared evenly stays where it is"
        )),
        Some(None) => all.push("a member is fit to serve readers".to_owned()),
        None => all.push("the other members have been heard".to_owned()),
    }
    all.push("and no other host answers for the address, or its holder yields".to_owned());
    all
}

/// An age, as a person would say it.
fn in_words(age: Duration) -> String {
    match age.as_secs() {
        0..=9 => format!("{:.1} s", age.as_secs_f64()),
        seconds @ 10..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_words() {
        for (seconds, words) in
            [(3, "3.0 s"), (60, "60 s"), (600, "10 min"), (7_380, "2 h 3 min"), (864_000, "10 days")]
        {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn what_would_move_a_held_vip_names_the_configured_limits() {
        let mut limits = VipPolicy::new([10, 77, 0, 100].into());
        limits.gateway_lost = GatewayLost::HoldWithMajority;
        let told = leaves_if(&limits).join("\n");
        for word in ["1m at most", "30s (hung_patience)", "hold-with-majority", "within 10s (lease)"] {
            assert!(told.contains(word), "{word}: {told}");
        }
    }
}
