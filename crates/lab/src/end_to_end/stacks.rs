//! What depends on the group's communication stack: with MYSQL the members hear each other on the clients' port, by accounts, TLS and
//! connections like anybody's.

use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use super::elections::{PATIENCE, proven};
use super::expect::{followed, promise, untouched};
use super::members::end_agents_connections;
use super::{Broken, UnderTest, logs};
use crate::experiment::Experiment;
use crate::fault::{Fault, FaultError};
use crate::group::{AGENT_USER, Server, Stack, stack};
use crate::packet_rules;

/// How long the agents may take to log in again.
const LOGGED_IN_WITHIN: Duration = Duration::from_secs(5);
/// How long a member may take to join: seconds, and longer where the machine is busy.
const JOINED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A firewall on the primary's host refuses whoever comes to the group's port, and its server lives. With the stack XCOM MySQL's port
/// answers, so that nothing is proven; with MYSQL it refuses, and the member counts as dead: it is expelled without patience, though
/// it is but cut off.
pub(super) fn group_port_refused(under_test: &mut UnderTest) -> Result<String, Broken> {
    let old = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, old);
    let figures = under_test.experiment.dethroning("the group's port refuses", |experiment, deed| {
        let host = &experiment.lab.segment.databases[old];
        packet_rules::refuse_group_port(host).map_err(FaultError::from)?;
        let outcome = experiment.wait_followed(old);
        experiment.heals(deed);
        let lab = &mut experiment.lab;
        let host = &lab.segment.databases[old];
        packet_rules::remove(host).map_err(FaultError::from)?;
        lab.group.heal(old, host)?;
        outcome?;
        Ok::<_, Broken>(())
    })?;
    mark.wait_for(&under_test.experiment, &["VIP stopped on"])?;
    if stack() == Stack::Mysql {
        return proven(&figures);
    }
    let told = followed(&figures)?;
    promise(figures.elected.seconds().is_some_and(|seconds| seconds >= PATIENCE), || {
        format!("elected after {} s, though MySQL's port answers", figures.elected)
    })?;
    Ok(told)
}

/// Clients have used up the primary's connections, the agents' too, and a member joins: with the stack MYSQL by a connection to that port,
/// which its account's `CONNECTION_ADMIN` gives it.
pub(super) fn joins_while_connections_are_used_up(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mut joined = Duration::ZERO;
    let figures = under_test.experiment.watched("connections used up, a member joins", |experiment| {
        let injected = Fault::TooManyConnections.inject(&mut experiment.lab.scene())?;
        let servers = experiment.lab.group.servers();
        let outcome = leaves_and_joins(&servers[(holder + 1) % servers.len()]);
        injected.heal(&mut experiment.lab.scene())?;
        joined = outcome?;
        Ok::<_, Broken>(())
    })?;
    let pause = untouched(&under_test.experiment, &figures)?;
    Ok(format!("joined after {:.1} s; {pause}", joined.as_secs_f64()))
}

/// Gives how long it took to be ONLINE again by its own word: the primary takes no question.
fn leaves_and_joins(server: &Server) -> Result<Duration, Broken> {
    server.run("STOP GROUP_REPLICATION")?;
    let since = Instant::now();
    server.run("START GROUP_REPLICATION")?;
    while server.view()?.state_of(server.address()) != Some("ONLINE") {
        promise(since.elapsed() < JOINED_WITHIN, || {
            format!("{} does not join while the primary's connections are used up", server.host())
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(since.elapsed())
}

/// Every server gets another certificate while it runs, and wants TLS of everybody from then on; the agents log in anew, and a member
/// joins anew.
pub(super) fn tls_reloaded(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let figures = under_test.experiment.watched("TLS reloaded", |experiment| {
        // Beside the server's certificate its data directory has a second one of the same authority.
        let outcome = certificate(experiment, "client", true)
            .and_then(|()| {
                let servers = experiment.lab.group.servers();
                Ok(servers.iter().try_for_each(end_agents_connections)?)
            })
            .and_then(|()| agents_are_logged_in(experiment))
            .and_then(|()| {
                let lab = &mut experiment.lab;
                let other = (holder + 1) % lab.group.servers().len();
                lab.group.servers()[other].run("STOP GROUP_REPLICATION")?;
                Ok(lab.group.heal(other, &lab.segment.databases[other])?)
            });
        outcome.and(certificate(experiment, "server", false))
    })?;
    untouched(&under_test.experiment, &figures)
}

/// Every server takes the certificate of this name, and `wanted`: takes no TCP connection without TLS.
fn certificate(experiment: &Experiment, name: &str, wanted: bool) -> Result<(), Broken> {
    let switch = if wanted { "ON" } else { "OFF" };
    // A joining member's own connections have TLS where they are told to; with the stack MYSQL they are from the start.
    let joins_by_tls = if wanted || stack() == Stack::Mysql { "ON" } else { "DEFAULT" };
    for server in experiment.lab.group.servers() {
        for statement in [
            format!("SET GLOBAL ssl_cert = '{name}-cert.pem'"),
            format!("SET GLOBAL ssl_key = '{name}-key.pem'"),
            "ALTER INSTANCE RELOAD TLS".to_owned(),
            format!("SET GLOBAL group_replication_recovery_use_ssl = {joins_by_tls}"),
            format!("SET GLOBAL require_secure_transport = {switch}"),
        ] {
            server.run(&statement)?;
        }
    }
    Ok(())
}

/// Waits until each server has a connection of its agent's.
fn agents_are_logged_in(experiment: &Experiment) -> Result<(), Broken> {
    let since = Instant::now();
    let statement =
        format!("SELECT COUNT(*) FROM performance_schema.processlist WHERE USER = '{AGENT_USER}'");
    for server in experiment.lab.group.servers() {
        let mut admin = server.admin()?;
        while admin.query_first(&statement).map_err(server.said(&statement))? == Some(0) {
            promise(since.elapsed() < LOGGED_IN_WITHIN, || {
                format!("the agent does not log in to {} any more", server.host())
            })?;
            std::thread::sleep(LOOK_EVERY);
        }
    }
    Ok(())
}
