//! Moving over from another tool, by the commands of docs/moving.md: the client goes on writing through the VIP, and two hosts never
//! have it.

use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use super::agents::{ADOPTED, AT_WORK, start_and_hear};
use super::expect::{followed, promise, rows_are_there};
use super::network::wait_for_holders;
use super::{Broken, UnderTest};
use crate::agents::{self, Agent, CONFIGURATION, INSTALL_PATH, Program};
use crate::bench::Tool;
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::group::{AGENT_PASSWORD, AGENT_USER};
use crate::measure::Holding;
use crate::namespace::Layout;
use crate::record::{What, now_us};
use crate::segment::{GATEWAY, INTERFACE, VIP, databases, vip};

/// How long the other tool may take to have the VIP.
const OTHER_HOLDS_WITHIN: Duration = Duration::from_secs(20);
/// How long the VIP may take to be on the primary's host alone when the other tool has ended everywhere.
const BACK_WITHIN: Duration = Duration::from_secs(3);
/// How long the client may go without a row while one tool takes the other's place, in seconds. A tool that takes the VIP away as it
/// ends has it put back in a tenth of a second; the client's next attempt is up to a second later.
const GAP: f64 = 1.5;
/// The client has written again for this long before the next step.
const ROWS: usize = 100;
const WRITES_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

const LEGACY: &str = "/var/lib/haipmgr/legacy.sh";
const PARAMETER_PY: &str = "/etc/haipmgr/parameter.py";

/// keepalived takes the VIP away as it ends; haipmgr, begun beside it, puts it back.
pub(super) fn from_keepalived(under_test: &mut UnderTest) -> Result<String, Broken> {
    from_tool(under_test, Tool::Keepalived)
}

/// vip-manager leaves the VIP; haipmgr has it by then.
pub(super) fn from_vip_manager(under_test: &mut UnderTest) -> Result<String, Broken> {
    from_tool(under_test, Tool::VipManager)
}

fn from_tool(under_test: &mut UnderTest, tool: Tool) -> Result<String, Broken> {
    let UnderTest { layout, experiment } = under_test;
    let lab = &experiment.lab;
    let pairs = lab.segment.databases.iter().zip(lab.group.servers());
    let prepared: Result<Vec<_>, _> =
        pairs.map(|(host, server)| tool.prepare(layout, host, server)).collect();
    let name = format!("moving over from {}", tool.name());
    moved_over(experiment, prepared?, &name, |experiment, others, order| {
        // Beside the other tool: what it holds is adopted on the primary's host.
        for place in order {
            let says = if Some(place) == order.last() { ADOPTED } else { AT_WORK };
            start_and_hear(experiment, *place, says)?;
        }
        for place in order {
            others[*place].stop()?;
        }
        Ok(())
    })
}

/// The loop of the Python program, in place of it: a lock, a state file, a look every second, and a VIP that a plain kill leaves.
pub(super) fn from_the_python_program(under_test: &mut UnderTest) -> Result<String, Broken> {
    let UnderTest { layout, experiment } = under_test;
    let mut legacy = Vec::new();
    let mut next = Vec::new();
    for host in &experiment.lab.segment.databases {
        agents::write(host, LEGACY, &legacy_loop(layout), 0o755)?;
        agents::write(host, PARAMETER_PY, &parameter_py(), 0o600)?;
        let program = Program { path: LEGACY.into(), arguments: Vec::new(), rooted: false };
        legacy.push(Agent::of_programs(vec![program], layout, host, "legacy"));
        let arguments = ["run", "--config", PARAMETER_PY].map(OsString::from).to_vec();
        let program = Program { path: layout.agent(), arguments, rooted: false };
        next.push(Agent::of_programs(vec![program], layout, host, "parameter-py"));
    }
    let outcome =
        moved_over(experiment, legacy, "moving over from the Python program", |experiment, old, order| {
            host_by_host(experiment, old, &mut next, order)
        });
    for agent in &mut next {
        agent.kill()?;
    }
    for host in &experiment.lab.segment.databases {
        for file in [LEGACY, PARAMETER_PY] {
            fs::remove_file(host.path(file)).map_err(Broken::io(format!("removing {file}")))?;
        }
    }
    outcome
}

/// Each host goes over by itself, the old program on the others; then each to TOML.
fn host_by_host(
    experiment: &mut Experiment,
    old: &mut [Agent],
    next: &mut [Agent],
    order: &[usize],
) -> Result<(), Broken> {
    for place in order {
        old[*place].stop()?;
        let mark = super::logs::mark(experiment, *place);
        next[*place].start(&experiment.lab.segment.databases[*place])?;
        mark.wait_for(experiment, &[if Some(place) == order.last() { ADOPTED } else { AT_WORK }])?;
    }
    for place in order {
        let host = &experiment.lab.segment.databases[*place];
        let printed = host
            .command(next[*place].program())
            .args(["convert", PARAMETER_PY])
            .output()
            .map_err(Broken::io("running haipmgr convert"))?;
        promise(printed.status.success(), || String::from_utf8_lossy(&printed.stderr).into_owned())?;
        agents::write(host, CONFIGURATION, &String::from_utf8_lossy(&printed.stdout), 0o600)?;
        next[*place].stop()?;
        start_and_hear(experiment, *place, if Some(place) == order.last() { ADOPTED } else { AT_WORK })?;
    }
    Ok(())
}

/// The other tool has the VIP on every host; then `work` puts haipmgr in its place, told in which order: the primary's host last. Then
/// a switchover, by haipmgr alone.
fn moved_over(
    experiment: &mut Experiment,
    mut others: Vec<Agent>,
    name: &str,
    work: impl FnOnce(&mut Experiment, &mut [Agent], &[usize]) -> Result<(), Broken>,
) -> Result<String, Broken> {
    let mut told = String::new();
    let outcome = experiment.watched(name, |experiment| {
        let holder = other_holds(experiment, &mut others)?;
        let order: Vec<usize> = (0..others.len()).filter(|place| *place != holder).chain([holder]).collect();
        wait_for_rows(experiment, now_us())?;
        let from = now_us();
        work(experiment, &mut others, &order)?;
        wait_for_holders(experiment, &[holder], BACK_WITHIN)?;
        wait_for_rows(experiment, now_us())?;
        told = without_a_gap(experiment, from, now_us())?;
        Ok::<_, Broken>(())
    });
    for other in &mut others {
        other.kill()?;
    }
    // Where it failed half way, what is missing.
    experiment.lab.start_agents()?;
    let moved = outcome.and_then(|figures| rows_are_there(&figures).map(|()| told));
    let after = moved.and_then(|told| {
        let after = followed(&experiment.run(Fault::Switchover)?)?;
        Ok(format!("{told}; a switchover after it: {after}"))
    });
    for place in 0..experiment.lab.agents.len() {
        agents::configure(&experiment.lab.segment.databases[place], &[agents::LAB])?;
    }
    super::files::reconfigure(experiment, &[agents::LAB])?;
    after
}

/// haipmgr ends everywhere, the other tool begins, and has the VIP on the primary's host.
fn other_holds(experiment: &mut Experiment, others: &mut [Agent]) -> Result<usize, Broken> {
    let holder = experiment.lab.group.primary()?;
    experiment.lab.stop_agents()?;
    let segment = &experiment.lab.segment;
    segment.remove_vip(&segment.databases[holder])?;
    for (other, host) in others.iter_mut().zip(&segment.databases) {
        other.start(host)?;
    }
    wait_for_holders(experiment, &[holder], OTHER_HOLDS_WITHIN)?;
    for other in others {
        other.check()?;
    }
    Ok(holder)
}

fn rows(experiment: &Experiment, from: u64, to: u64) -> Vec<u64> {
    let recording = experiment.recording();
    let times = recording.all().iter().filter_map(|recorded| match &recorded.what {
        What::Insert { outcome, .. } if outcome.is_acknowledged() => Some(recorded.at_us),
        _ => None,
    });
    times.filter(|at| (from..to).contains(at)).collect()
}

fn wait_for_rows(experiment: &Experiment, since_us: u64) -> Result<(), Broken> {
    let since = Instant::now();
    while rows(experiment, since_us, u64::MAX).len() < ROWS {
        promise(since.elapsed() < WRITES_WITHIN, || "the client does not write through the VIP".to_owned())?;
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The longest time between two rows, and for how long nobody and two hosts had the VIP.
fn without_a_gap(experiment: &Experiment, from: u64, to: u64) -> Result<String, Broken> {
    let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
    let mut times = rows(experiment, from, to);
    times.sort_unstable();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(to - from);
    let holding = Holding::of(vip(), &experiment.recording());
    let two = holding.two_holders(from, to);
    if two > 0 {
        return Err(Broken::Never(format!("two hosts had the VIP for {:.3} s", seconds(two))));
    }
    let nobody = holding
        .stretches(from, to)
        .iter()
        .filter(|(_, _, hosts)| hosts.is_empty())
        .map(|(start, end, _)| end - start)
        .sum();
    let (longest, nobody) = (seconds(longest), seconds(nobody));
    promise(longest <= GAP, || format!("the client wrote nothing for {longest:.3} s"))?;
    Ok(format!(
        "longest time between two rows {longest:.3} s, nobody had the VIP for {nobody:.3} s, never two; {} rows while moving over",
        times.len()
    ))
}

/// What the Python program does, with a look each second.
fn legacy_loop(layout: &Layout) -> String {
    let mysql = layout.programs().join("mysql");
    format!(
        "#!/bin/sh
echo $$ >/root/HAIPMGR$(hostname).lock
trap 'rm -f /root/HAIPMGR$(hostname).lock; exit 0' TERM
while :; do
    host=$(ip -4 -o address show dev {INTERFACE} | sed -n 's/.* \\(10\\.77\\.0\\.1[0-9]\\)\\/.*/\\1/p')
    leads=$({} --user={AGENT_USER} --password='{AGENT_PASSWORD}' --host=$host --batch --skip-column-names --connect-timeout=1 --execute=\"SELECT COUNT(*) FROM \\
        performance_schema.replication_group_members WHERE MEMBER_ID = @@server_uuid AND MEMBER_STATE = 'ONLINE' AND MEMBER_ROLE = 'PRIMARY'\" 2>/dev/null)
    there=$(ip -4 -o address show dev {INTERFACE} to {VIP})
    if [ \"$leads\" = 1 ] && [ -z \"$there\" ]; then
        ip address add {VIP}/32 dev {INTERFACE} && printf 2 >{INSTALL_PATH}stat_3306
    elif [ \"$leads\" = 0 ] && [ -n \"$there\" ]; then
        ip address del {VIP}/32 dev {INTERFACE} && printf 0 >{INSTALL_PATH}stat_3306
    fi
    sleep 1 & wait $!
done
",
        mysql.display()
    )
}

fn parameter_py() -> String {
    let members: Vec<String> =
        databases().iter().map(|(_, address)| format!("\"{address}\":\"{INTERFACE}\"")).collect();
    format!(
        "par_var = {{\"vip\":\"{VIP}\",\"cluser_ip\":{{{}}},\"ip_gateway\":\"{GATEWAY}\",\"mysql_port\":\"3306\",\"inter_port\":\"33061\",\
         \"passwd\":\"{AGENT_PASSWORD}\",\"user\":\"{AGENT_USER}\",\"platfrom\":\"linux\",\"sleeptime\":7,\"install_path\":\"{INSTALL_PATH}\"}}\n",
        members.join(",")
    )
}
