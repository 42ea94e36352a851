//! A holder whose ARP answers stay in: nobody on the segment can see by ARP that the VIP is there.

use std::time::Duration;

use super::agents::{AT_WORK, start_and_adopt, start_and_hear};
use super::expect::{promise, rows_are_there, untouched};
use super::field::check;
use super::machine::program;
use super::network::wait_for_holders;
use super::{Broken, UnderTest, logs};
use crate::agents::CONFIGURATION;
use crate::experiment::Experiment;
use crate::fault::{FaultError, holders};
use crate::host::Host;
use crate::packet_rules;

const ARP_IGNORE: &str = "/proc/sys/net/ipv4/conf/all/arp_ignore";
/// For how long nobody else is to take the VIP. Without an echo that says where it is, it is taken within a tenth of a second.
const NOTHING_FOR: Duration = Duration::from_secs(3);
/// How long the VIP may take to move when an agent is there again.
const MOVED_WITHIN: Duration = Duration::from_secs(3);

fn arp_ignore(host: &Host, value: &str) -> Result<(), Broken> {
    program(host, &["sh", "-c", &format!("echo {value} > {ARP_IGNORE}")])
}

/// The holder's kernel is told to answer no ARP question: `check` names it, and so does the agent when it is stopped.
pub(super) fn named(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let agent = under_test.layout.agent();
    let mark = logs::mark(&under_test.experiment, holder);
    let mut words = String::new();
    let figures = under_test.experiment.watched("arp_ignore = 8", |experiment| {
        arp_ignore(&experiment.lab.segment.databases[holder], "8")?;
        let said = check(&experiment.lab.segment.databases[holder], &agent, CONFIGURATION);
        experiment.lab.agents[holder].stop()?;
        let named = mark.wait_for(experiment, &["arp_ignore is 8"]);
        arp_ignore(&experiment.lab.segment.databases[holder], "0")?;
        start_and_adopt(experiment, holder)?;
        let said = said?;
        words = String::from_utf8_lossy(&said.stdout).into_owned();
        promise(said.status.code() == Some(1) && words.contains("arp_ignore is 8"), || {
            format!("check ended with {}: {words}", said.status)
        })?;
        named
    })?;
    untouched(&under_test.experiment, &figures)?;
    Ok(words.lines().find(|line| line.starts_with("problem")).unwrap_or_default().to_owned())
}

/// By `arp_ignore`, as guides to direct routing have it.
pub(super) fn ignored_without_an_agent(under_test: &mut UnderTest) -> Result<String, Broken> {
    let name = "arp_ignore = 8, agent stopped, switchover";
    without_an_agent(under_test, name, |host| arp_ignore(host, "8"), |host| arp_ignore(host, "0"))
}

/// By a rule that drops what the host's kernel answers.
pub(super) fn dropped_without_an_agent(under_test: &mut UnderTest) -> Result<String, Broken> {
    let keep_in = |host: &Host| Ok(packet_rules::drop_arp_replies(host).map_err(FaultError::from)?);
    let let_out = |host: &Host| Ok(packet_rules::remove(host).map_err(FaultError::from)?);
    without_an_agent(under_test, "ARP replies dropped, agent stopped, switchover", keep_in, let_out)
}

/// The claimant sees by echo that the VIP is there, takes it not, and says what to do; that being done, the VIP moves.
fn without_an_agent(
    under_test: &mut UnderTest,
    name: &str,
    keep_in: impl Fn(&Host) -> Result<(), Broken>,
    let_out: impl Fn(&Host) -> Result<(), Broken>,
) -> Result<String, Broken> {
    let mut moved = Duration::ZERO;
    let figures = under_test.experiment.dethroning(name, |experiment, deed| {
        let old = experiment.lab.group.primary()?;
        let new = (old + 1) % experiment.lab.segment.databases.len();
        let outcome = keep_in(&experiment.lab.segment.databases[old])
            .and_then(|()| Ok(experiment.lab.agents[old].stop()?))
            .and_then(|()| stays_where_it_is(experiment, old, new));
        experiment.heals(deed);
        let_out(&experiment.lab.segment.databases[old])?;
        start_and_hear(experiment, old, AT_WORK)?;
        outcome?;
        moved = wait_for_holders(experiment, &[new], MOVED_WITHIN)?;
        Ok::<_, Broken>(())
    })?;
    rows_are_there(&figures)?;
    Ok(format!(
        "seen by echo, and not taken; moved {:.3} s after the agent there was at work again",
        moved.as_secs_f64()
    ))
}

fn stays_where_it_is(experiment: &mut Experiment, old: usize, new: usize) -> Result<(), Broken> {
    let mark = logs::mark(experiment, new);
    experiment.lab.group.switch_over(new)?;
    let host = experiment.lab.segment.databases[old].address();
    let said = mark.wait_for(
        experiment,
        &["ERROR", &format!("is up on {host}"), "answers no ARP question", "start haipmgr on that host"],
    );
    // What is shown is that nothing happens in this time.
    std::thread::sleep(NOTHING_FOR);
    let there = holders(&experiment.lab.segment)?;
    promise(there == [old], || {
        let names: Vec<String> = there.iter().map(|place| experiment.name(*place)).collect();
        format!("nobody lets the VIP go on {}, and it is on {names:?}", experiment.name(old))
    })?;
    said
}
