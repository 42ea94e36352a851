//! What servers go through: hung and resumed, all of a host dead, restarted in turn, all of them dead, fewer and fewer, and
//! accounts that no longer open.

use std::time::{Duration, Instant};

use mysql::{Conn, OptsBuilder};

use super::agents::{ADOPTED, AT_WORK, start_and_hear};
use super::expect::{followed, promise, rows_are_there, untouched};
use super::network::{moves, wait_for_holders};
use super::{Broken, UnderTest, logs};
use crate::agents::Agent;
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::group::{AGENT_USER, MYSQL_PORT, Server};
use crate::segment::vip;

/// How long a state that is to change nothing is kept up.
const ENDURED_FOR: Duration = Duration::from_secs(3);
/// How long a holder may take to let go when its server turns every client away.
const OFFLINE_LIMIT: Duration = Duration::from_secs(4);
/// How long the VIP may take to be back when there is a primary to have it.
const BACK_LIMIT: Duration = Duration::from_secs(5);
const REFUSED: usize = 1000;

/// The primary's mysqld stands still until another leads, and goes on then, sure of itself.
pub(super) fn hung_for_long(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.dethroning("mysqld hung for long, resumed", |experiment, deed| {
        let old = experiment.lab.group.primary()?;
        experiment.lab.group.servers()[old].freeze()?;
        let outcome = experiment.wait_followed(old);
        experiment.heals(deed);
        let lab = &mut experiment.lab;
        lab.group.servers()[old].thaw()?;
        lab.group.heal(old, &lab.segment.databases[old])?;
        outcome?;
        Ok::<_, Broken>(())
    })?;
    promise(moves(&under_test.experiment, &figures) == 2, || {
        "the VIP did more than leave the old primary and come to the new one".to_owned()
    })?;
    followed(&figures)
}

/// The primary's mysqld is killed and started again at once, as a service manager does it. It listens, takes writes, and is in
/// no group: a row that a client wrote there would be acknowledged, and lost.
pub(super) fn killed_and_started_at_once(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures =
        under_test.experiment.dethroning("mysqld killed and started at once", |experiment, deed| {
            let lab = &mut experiment.lab;
            let old = lab.group.primary()?;
            if let Some(server) = lab.group.server_mut(old) {
                server.kill()?;
                server.start(&lab.segment.databases[old])?;
            }
            let outcome = experiment.wait_followed(old);
            experiment.heals(deed);
            let lab = &mut experiment.lab;
            lab.group.heal(old, &lab.segment.databases[old])?;
            outcome?;
            Ok::<_, Broken>(())
        })?;
    followed(&figures)
}

/// kill -9 of the agent and the server on the primary's host, whose kernel and interface live on; then both come back.
pub(super) fn all_killed(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures =
        under_test.experiment.dethroning("all of a host killed, and back", |experiment, deed| {
            let old = experiment.lab.group.primary()?;
            experiment.lab.agents[old].kill()?;
            if let Some(server) = experiment.lab.group.server_mut(old) {
                server.kill()?;
            }
            let outcome = experiment.wait_followed(old);
            experiment.heals(deed);
            let lab = &mut experiment.lab;
            lab.group.heal(old, &lab.segment.databases[old])?;
            start_and_hear(experiment, old, AT_WORK)?;
            outcome?;
            Ok::<_, Broken>(())
        })?;
    rows_are_there(&figures)?;
    promise(figures.holder == figures.primary && figures.primary.is_some(), || {
        format!("{:?} is primary, and {:?} took the VIP", figures.primary, figures.holder)
    })?;
    Ok(format!(
        "elected {}, VIP moved {}, outage {} s (the kernel's lease ends first)",
        figures.elected, figures.vip_moved, figures.outage
    ))
}

/// Each server is shut down and started again, the primary last, as an upgrade does it.
pub(super) fn rolling_restart(under_test: &mut UnderTest) -> Result<String, Broken> {
    let first = under_test.experiment.lab.wait_steady()?;
    let places = under_test.experiment.lab.segment.databases.len();
    let mut worst: f64 = 0.0;
    for step in 1..places {
        let figures = under_test.experiment.watched("rolling restart: a secondary", |experiment| {
            let place = (first + step) % places;
            experiment.lab.group.servers()[place].run("SHUTDOWN")?;
            restart(experiment, place)
        })?;
        untouched(&under_test.experiment, &figures)?;
        worst = worst.max(figures.outage.seconds().unwrap_or_default());
    }
    let last = under_test.experiment.run(Fault::Shutdown)?;
    Ok(format!("secondaries: longest time between two rows {worst:.3} s; primary: {}", followed(&last)?))
}

/// Waits until a server that was shut down has ended, starts it and has it join its group.
fn restart(experiment: &mut Experiment, place: usize) -> Result<(), Broken> {
    let lab = &mut experiment.lab;
    if let Some(server) = lab.group.server_mut(place) {
        server.wait_end(Duration::from_secs(10))?;
    }
    Ok(lab.group.heal(place, &lab.segment.databases[place])?)
}

/// Every mysqld dies at once; they are started again, and the group is formed anew by its most advanced member.
pub(super) fn cold_start(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut back = Duration::ZERO;
    let figures = under_test.experiment.watched("the whole group dies", |experiment| {
        let lab = &mut experiment.lab;
        for place in 0..lab.segment.databases.len() {
            if let Some(server) = lab.group.server_mut(place) {
                server.kill()?;
            }
        }
        let primary = lab.group.cold_start(&lab.segment.databases)?;
        let since = Instant::now();
        wait_for_holders(experiment, &[primary], BACK_LIMIT)?;
        back = since.elapsed();
        Ok::<_, Broken>(())
    })?;
    rows_are_there(&figures)?;
    Ok(format!(
        "on the primary {:.2} s after all three were ONLINE; outage {} s",
        back.as_secs_f64(),
        figures.outage
    ))
}

/// The secondaries leave one after the other: what is left of the group is a majority of itself.
pub(super) fn two_then_one(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("two members left, then one", |experiment| {
        let lab = &mut experiment.lab;
        let primary = lab.group.primary()?;
        let places = lab.segment.databases.len();
        let others: Vec<usize> = (1..places).map(|step| (primary + step) % places).collect();
        let mut outcome = Ok(());
        for place in &others {
            outcome = outcome.and(lab.group.servers()[*place].run("STOP GROUP_REPLICATION"));
            // The fault is that time passes.
            std::thread::sleep(ENDURED_FOR);
        }
        for place in others {
            // Whole only when all are back: here each is but started.
            lab.group.servers()[place].run("START GROUP_REPLICATION")?;
        }
        lab.wait_steady()?;
        Ok::<_, Broken>(outcome?)
    })?;
    untouched(&under_test.experiment, &figures)
}

/// An administrator locks the agents' account: a living server that can't be asked.
pub(super) fn account_locked(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.watched("account locked", |experiment| {
        let primary = &experiment.lab.group.servers()[holder];
        primary.run(&format!("ALTER USER '{AGENT_USER}'@'%' ACCOUNT LOCK"))?;
        let ended = experiment.lab.group.servers().iter().try_for_each(end_agents_connections);
        let told =
            ended.map_err(Broken::from).and_then(|()| mark.wait_for(experiment, &["Account is locked"]));
        std::thread::sleep(ENDURED_FOR);
        primary.run(&format!("ALTER USER '{AGENT_USER}'@'%' ACCOUNT UNLOCK"))?;
        told?;
        mark.wait_for(experiment, &["VIP kept: all stages pass"])
    })?;
    untouched(&under_test.experiment, &figures)
}

pub(super) fn end_agents_connections(server: &Server) -> Result<(), crate::group::GroupError> {
    crate::fault::end_agent_connections(&mut server.admin()?, server).map(drop)
}

/// The primary turns every ordinary client away: its VIP serves nobody, and nobody else may write.
pub(super) fn offline_mode(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut gone = Duration::ZERO;
    let held_by = under_test.experiment.lab.wait_steady()?;
    let figures = under_test.experiment.watched("offline mode", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let server = &experiment.lab.group.servers()[primary];
        server.run("SET GLOBAL offline_mode = ON")?;
        let outcome = wait_for_holders(experiment, &[], OFFLINE_LIMIT);
        server.run("SET GLOBAL offline_mode = OFF")?;
        gone = outcome?;
        wait_for_holders(experiment, &[primary], BACK_LIMIT)?;
        Ok::<_, Broken>(())
    })?;
    rejoin_after_offline_mode(&mut under_test.experiment, held_by)?;
    rows_are_there(&figures)?;
    Ok(format!("let go after {:.1} s; outage {} s", gone.as_secs_f64(), figures.outage))
}

/// What a member that was in offline mode does not hear any more (findings/offline-mode-stops-member-actions.sh) is not left to later tests.
pub(super) fn rejoin_after_offline_mode(experiment: &mut Experiment, member: usize) -> Result<(), Broken> {
    let lab = &mut experiment.lab;
    lab.group.join_anew(member, &lab.segment.databases[member])?;
    lab.wait_steady()?;
    Ok(())
}

/// A thousand clients are turned away at `max_connections`, the agents among them.
pub(super) fn a_thousand_refused(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let mut refused = 0;
    let figures = under_test.experiment.watched("1,000 connections refused", |experiment| {
        let injected = Fault::TooManyConnections.inject(&mut experiment.lab.scene())?;
        let client = &experiment.lab.segment.client;
        let outcome = client.in_network(|| (0..REFUSED).filter(|_| !connects()).count());
        injected.heal(&mut experiment.lab.scene())?;
        refused = outcome?;
        mark.wait_for(experiment, &["too many connections", "VIP kept: all stages pass"])
    })?;
    promise(refused > REFUSED / 2, || format!("only {refused} of {REFUSED} connections were refused"))?;
    Ok(format!("{refused} refused; {}", untouched(&under_test.experiment, &figures)?))
}

fn connects() -> bool {
    let options = OptsBuilder::new()
        .ip_or_hostname(Some(vip().to_string()))
        .tcp_port(MYSQL_PORT)
        .user(Some(crate::group::CLIENT_USER))
        .pass(Some(crate::group::CLIENT_PASSWORD))
        .tcp_connect_timeout(Some(Duration::from_secs(1)));
    Conn::new(options).is_ok()
}

/// For longer than its lease: the kernel takes the VIP away; it is back when the agent goes on. Shorter: nothing happens.
pub(super) fn agent_hung(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let short = under_test.experiment.watched("agent hung for 3 s", |experiment| {
        experiment.lab.agents[holder].freeze()?;
        // The fault is that time passes.
        std::thread::sleep(ENDURED_FOR);
        experiment.lab.agents[holder].thaw()?;
        Ok::<_, Broken>(())
    })?;
    let pause = untouched(&under_test.experiment, &short)?;
    let (mut gone, mut back) = (Duration::ZERO, Duration::ZERO);
    let long = under_test.experiment.watched("agent hung for longer than its lease", |experiment| {
        experiment.lab.agents[holder].freeze()?;
        let outcome = wait_for_holders(experiment, &[], super::agents::LEASE_LIMIT);
        experiment.lab.agents[holder].thaw()?;
        gone = outcome?;
        back = wait_for_holders(experiment, &[holder], BACK_LIMIT)?;
        Ok::<_, Broken>(())
    })?;
    rows_are_there(&long)?;
    Ok(format!(
        "3 s: {pause}; longer: the kernel dropped it after {:.1} s, back {:.2} s after the agent went on",
        gone.as_secs_f64(),
        back.as_secs_f64()
    ))
}

/// Every agent anew, with the VIP where it is.
pub(super) fn restart_agents(experiment: &mut crate::experiment::Experiment) -> Result<(), Broken> {
    let holder = experiment.lab.group.primary()?;
    for place in 0..experiment.lab.agents.len() {
        Agent::stop(&mut experiment.lab.agents[place])?;
        start_and_hear(experiment, place, if place == holder { ADOPTED } else { AT_WORK })?;
    }
    Ok(())
}
