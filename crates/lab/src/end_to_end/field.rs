//! What people reported of virtual IPs for databases, tried here: a login that is thrown out, copies of the VIP, another hardware
//! address, files that somebody removed, settings of a host or a server that don't go with a VIP.

use std::process::Output;
use std::time::{Duration, Instant};

use super::agents::{AT_WORK, start_and_adopt, start_and_hear};
use super::expect::{changes, promise, untouched};
use super::machine::program;
use super::network::wait_for_holders;
use super::{Broken, UnderTest, logs};
use crate::agents::{CONFIGURATION, INSTALL_PATH, LAB, LOG, configuration, write};
use crate::experiment::Experiment;
use crate::fault::end_agent_connections;
use crate::host::Host;
use crate::segment::{INTERFACE, VIP, vip};

/// Longer than `hung_patience`, 30 s: until then a server that says nothing keeps its VIP in any case.
const LONGER_THAN_PATIENCE: Duration = Duration::from_secs(36);
/// Lines that an agent may write of one trouble in that time.
const LINES: usize = 12;
/// How long a copy of the VIP may be on any interface. What is promised is at once; this is what a busy machine must keep.
const COPY_GONE_WITHIN: Duration = Duration::from_secs(1);
/// How soon a client is to be sent to the new hardware address. Promised are 0.2 s.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(1);
/// How long is waited for what should come long before.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A hardware address that no host here has.
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0x77, 0, 0x11];
/// Where another configuration is written, to be checked.
const OTHER_FILE: &str = "/etc/haipmgr/other.toml";

/// The primary throws the agent's account out after each login, with a text that names another connection each time.
pub(super) fn login_thrown_out(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let (mark, said) = (logs::mark(&under_test.experiment, holder), "error 1184");
    let mut words = String::new();
    let figures = under_test.experiment.watched("init_connect throws the agent out", |experiment| {
        let server = &experiment.lab.group.servers()[holder];
        let mut admin = server.admin()?;
        server.run("CREATE TABLE lab.logins (at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), PRIMARY KEY (at))")?;
        server.run("SET GLOBAL init_connect = 'INSERT INTO lab.logins VALUES (DEFAULT)'")?;
        end_agent_connections(&mut admin, server)?;
        // The fault is that time passes.
        std::thread::sleep(LONGER_THAN_PATIENCE);
        words = mark.since(experiment);
        server.run("SET GLOBAL init_connect = ''")?;
        server.run("DROP TABLE lab.logins")?;
        mark.wait_for(experiment, &[said, "VIP kept: all stages pass"])
    })?;
    let lines = words.lines().count();
    promise(lines <= LINES, || format!("{lines} lines in {} s:\n{words}", LONGER_THAN_PATIENCE.as_secs()))?;
    let errors = words.lines().filter(|line| line.contains("ERROR") && line.contains(said)).count();
    promise(errors == 1, || format!("{errors} errors, not one:\n{words}"))?;
    let pause = untouched(&under_test.experiment, &figures)?;
    Ok(format!("{lines} lines in {} s; {pause}", LONGER_THAN_PATIENCE.as_secs()))
}

/// The VIP is put on a secondary's loopback, as guides to direct routing have it; then before its agent starts.
pub(super) fn copy_on_loopback(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let place = (holder + 1) % under_test.experiment.lab.segment.databases.len();
    let mark = logs::mark(&under_test.experiment, place);
    let since_us = crate::record::now_us();
    under_test.experiment.watched("the VIP on a secondary's loopback", |experiment| {
        for scope in ["global", "host"] {
            add_to_loopback(&experiment.lab.segment.databases[place], scope)?;
            wait_gone_from_loopback(&experiment.lab.segment.databases[place])?;
        }
        experiment.lab.agents[place].stop()?;
        add_to_loopback(&experiment.lab.segment.databases[place], "host")?;
        start_and_hear(experiment, place, AT_WORK)?;
        wait_gone_from_loopback(&experiment.lab.segment.databases[place])
    })?;
    mark.wait_for(&under_test.experiment, &["a copy of the VIP is on lo", "a copy of the VIP is on lo"])?;
    let host = under_test.experiment.name(place);
    let recording = under_test.experiment.recording();
    let mut added = None;
    let mut stayed = Vec::new();
    for (seen, there) in changes(&recording, vip(), since_us) {
        promise(seen.who == host, || format!("the VIP itself was touched, on {}", seen.who))?;
        match added.take() {
            None if there => added = Some(seen.at_us),
            Some(at_us) => stayed.push(Duration::from_micros(seen.at_us - at_us)),
            None => {}
        }
    }
    promise(stayed.len() == 3, || format!("three copies, and these went: {stayed:?}"))?;
    // The third was there before the agent.
    let worst = stayed.iter().take(2).max().copied().unwrap_or_default();
    promise(worst <= COPY_GONE_WITHIN, || format!("a copy stayed for {worst:?}"))?;
    Ok(format!("gone after {stayed:?}, the last of them with the agent's start"))
}

fn add_to_loopback(host: &Host, scope: &str) -> Result<(), Broken> {
    program(host, &["ip", "address", "add", &whole(), "dev", "lo", "scope", scope])
}

/// The VIP with its full prefix length.
fn whole() -> String {
    format!("{}/{}", vip(), if vip().is_ipv4() { 32 } else { 128 })
}

/// Also takes it away where it stays, so that the next test finds the lab whole.
fn wait_gone_from_loopback(host: &Host) -> Result<(), Broken> {
    let since = Instant::now();
    loop {
        let shown = host.command("ip").args(["-br", "address", "show", "dev", "lo"]).output();
        let shown = shown.map_err(Broken::io("can't run ip"))?;
        if !String::from_utf8_lossy(&shown.stdout).contains(&vip().to_string()) {
            return Ok(());
        }
        if since.elapsed() > PATIENCE {
            program(host, &["ip", "address", "del", &whole(), "dev", "lo"])?;
            let text = format!("{} still has the VIP on lo after {} s", host.name(), PATIENCE.as_secs());
            return Err(Broken::NotAsPromised(text));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The holder's interface gets another hardware address, as a bond's does when its other port takes over.
pub(super) fn other_hardware_address(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let mut took = Duration::ZERO;
    let figures = under_test.experiment.watched("another hardware address", |experiment| {
        let segment = &experiment.lab.segment;
        let host = &segment.databases[holder];
        let before = segment.mac(host)?;
        set_mac(host, OTHER_MAC)?;
        let since = Instant::now();
        let outcome = wait_way(experiment, OTHER_MAC);
        took = since.elapsed();
        set_mac(host, before)?;
        let back = wait_way(experiment, before);
        outcome.and(back)?;
        mark.wait_for(experiment, &["its hardware address changed; the VIP is announced again"])
    })?;
    promise(took <= ANNOUNCED_WITHIN, || {
        format!("the client learned the new address after {:.3} s", took.as_secs_f64())
    })?;
    Ok(format!(
        "the client's cache had it {:.3} s after the command; {}",
        took.as_secs_f64(),
        untouched(&under_test.experiment, &figures)?
    ))
}

fn set_mac(host: &Host, mac: [u8; 6]) -> Result<(), Broken> {
    let text = mac.map(|byte| format!("{byte:02x}")).join(":");
    program(host, &["ip", "link", "set", INTERFACE, "address", &text])
}

fn wait_way(experiment: &Experiment, mac: [u8; 6]) -> Result<(), Broken> {
    let since = Instant::now();
    while experiment.lab.segment.clients_way_to_the_vip()? != Some(mac) {
        promise(since.elapsed() <= PATIENCE, || {
            format!("the client still goes elsewhere after {} s", PATIENCE.as_secs())
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The next primary's mysqld listens at its host's own address alone: its clients are refused, and everybody says why.
pub(super) fn server_listens_elsewhere(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let place = (holder + 1) % under_test.experiment.lab.segment.databases.len();
    let agent = under_test.layout.agent();
    let mark = logs::mark(&under_test.experiment, place);
    let lab = &mut under_test.experiment.lab;
    restart_listening(lab, place, true)?;
    let said = check(&lab.segment.databases[place], &agent, CONFIGURATION)?;
    lab.group.switch_over(place)?;
    let named = mark.wait_for(&under_test.experiment, &["VIP started on", "clients of the VIP"]);
    let lab = &mut under_test.experiment.lab;
    lab.group.switch_over(holder)?;
    restart_listening(lab, place, false)?;
    lab.wait_steady()?;
    named?;
    let words = String::from_utf8_lossy(&said.stdout).into_owned();
    promise(said.status.code() == Some(1) && words.contains("problem  bind-address"), || {
        format!("check ended with {}: {words}", said.status)
    })?;
    Ok(words.lines().find(|line| line.starts_with("problem")).unwrap_or_default().to_owned())
}

fn restart_listening(
    lab: &mut crate::scenario::Lab,
    place: usize,
    own_address_alone: bool,
) -> Result<(), Broken> {
    let host = &lab.segment.databases[place];
    if let Some(server) = lab.group.server_mut(place) {
        server.run("SHUTDOWN")?;
        server.wait_end(Duration::from_secs(10))?;
        server.listen_at_own_address_alone(own_address_alone)?;
    }
    Ok(lab.group.heal(place, host)?)
}

pub(super) fn check(host: &Host, agent: &std::path::Path, file: &str) -> Result<Output, Broken> {
    let output = host.command(agent).args(["check", "--config", file]).output();
    output.map_err(Broken::io("can't run haipmgr check"))
}

/// What can't be right on this host is named by `haipmgr check`, which ends with a failure.
pub(super) fn check_names_what_does_not_fit(under_test: &mut UnderTest) -> Result<String, Broken> {
    let lab = &under_test.experiment.lab;
    let host = &lab.segment.databases[0];
    let right = configuration(&[LAB]);
    let own = format!("\"{}\" = \"{INTERFACE}\"", host.address());
    let vip = format!("\"{VIP}\"");
    let wrong = [
        (own.clone(), own.replace(INTERFACE, "eth9"), &["eth9", "no such interface", "eth0 ("][..]),
        (own.clone(), own.replace(INTERFACE, "lo"), &["loopback"]),
        (vip.clone(), "\"10.77.0.255\"".to_owned(), &["10.77.0.255 is the broadcast address"]),
        (vip, "\"10.77.0.0\"".to_owned(), &["10.77.0.0 is the network address"]),
        (
            "\"10.77.0.254\"".to_owned(),
            "\"10.99.0.254\"".to_owned(),
            &["10.99.0.254 is in none of the networks"],
        ),
    ];
    let agent = under_test.layout.agent();
    for (is, to_be, words) in &wrong {
        write(host, OTHER_FILE, &right.replace(is, to_be), 0o644)?;
        let said = check(host, &agent, OTHER_FILE)?;
        let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
        promise(!said.status.success(), || format!("{to_be}: check is content: {text}"))?;
        for word in *words {
            promise(text.contains(word), || format!("{to_be}: {word:?} is not in what check says: {text}"))?;
        }
    }
    let said = check(host, &agent, CONFIGURATION)?;
    promise(said.status.success(), || format!("the right one: {}", String::from_utf8_lossy(&said.stdout)))?;
    Ok(format!("{} mistakes named", wrong.len()))
}

/// The agent's folder under /run is cleared; `haipmgr stop` finds the agent all the same.
pub(super) fn run_folder_cleared(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let agent = under_test.layout.agent();
    let mark = logs::mark(&under_test.experiment, holder);
    let (mut words, mut logged) = (String::new(), String::new());
    let figures = under_test.experiment.watched("/run/haipmgr cleared, agent stopped", |experiment| {
        let host = &experiment.lab.segment.databases[holder];
        program(host, &["rm", "-rf", "/run/haipmgr"])?;
        let said = host.command(&agent).args(["stop", "--config", CONFIGURATION]).output();
        let said = said.map_err(Broken::io("can't run haipmgr stop"))?;
        // Ended already, or not: it is reaped.
        experiment.lab.agents[holder].stop()?;
        logged = mark.since(experiment);
        start_and_adopt(experiment, holder)?;
        String::from_utf8_lossy(&said.stderr).trim().clone_into(&mut words);
        promise(said.status.success(), || format!("stop ended with {}: {words}", said.status))
    })?;
    // Which of the two is first: the command finds no socket, or the agent finds that it has none.
    let command_says = words.contains("was gone") && words.contains("process");
    let agent_says = logged.contains("was removed while the agent runs");
    promise(command_says || agent_says, || format!("nobody says what happened: {words}\n{logged}"))?;
    untouched(&under_test.experiment, &figures)?;
    Ok(words)
}

/// The log and the state file are removed while the agent runs.
pub(super) fn files_removed(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let host = &under_test.experiment.lab.segment.databases[holder];
    let state = format!("{INSTALL_PATH}stat_3306");
    // What it says of earlier switches is still to be compared (S1).
    program(host, &["cp", LOG, logs::BEFORE])?;
    program(host, &["rm", LOG, &state])?;
    // Something to be said.
    add_to_loopback(host, "host")?;
    wait_gone_from_loopback(host)?;
    let since = Instant::now();
    while !(host.path(LOG).exists() && host.path(&state).exists()) {
        promise(since.elapsed() <= 2 * PATIENCE, || {
            let there = |file: &str| if host.path(file).exists() { "back" } else { "still away" };
            format!("the log is {}, the state file {}", there(LOG), there(&state))
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(format!("both back {:.1} s after the next line", since.elapsed().as_secs_f64()))
}

/// The account is made to need a certificate: the VIP stays, and the log says what may be missing.
pub(super) fn account_needs_certificate(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.watched("REQUIRE X509", |experiment| {
        let server = &experiment.lab.group.servers()[holder];
        let user = crate::group::AGENT_USER;
        server.run(&format!("ALTER USER '{user}'@'%' REQUIRE X509"))?;
        end_agent_connections(&mut server.admin()?, server)?;
        let named = mark.wait_for(experiment, &["tls_cert and tls_key are missing"]);
        server.run(&format!("ALTER USER '{user}'@'%' REQUIRE NONE"))?;
        named.and_then(|()| mark.wait_for(experiment, &["VIP kept: all stages pass"]))
    })?;
    untouched(&under_test.experiment, &figures)
}

/// A new primary that nobody makes writable: nobody holds the VIP until somebody does, and its host says why.
pub(super) fn new_primary_stays_read_only(under_test: &mut UnderTest) -> Result<String, Broken> {
    let old = under_test.experiment.lab.wait_steady()?;
    let new = (old + 1) % under_test.experiment.lab.segment.databases.len();
    let mark = logs::mark(&under_test.experiment, new);
    let experiment = &mut under_test.experiment;
    let servers = |experiment: &Experiment, place: usize, statement: &str| {
        experiment.lab.group.servers()[place].run(statement)
    };
    experiment.lab.group.make_new_primaries_writable(old, false)?;
    experiment.lab.group.switch_over(new)?;
    let away = wait_for_holders(experiment, &[], PATIENCE);
    let named = mark.wait_for(experiment, &["has been the primary and read-only"]);
    let still_away = wait_for_holders(experiment, &[], Duration::ZERO);
    servers(experiment, new, "SET GLOBAL super_read_only = OFF")?;
    servers(experiment, new, "SET GLOBAL read_only = OFF")?;
    let back = wait_for_holders(experiment, &[new], PATIENCE);
    experiment.lab.group.make_new_primaries_writable(new, true)?;
    experiment.lab.wait_steady()?;
    away?;
    named?;
    still_away?;
    Ok(format!("taken {:.2} s after it was made writable", back?.as_secs_f64()))
}

/// The primary is made read-only by hand: the VIP stays, with an ERROR.
pub(super) fn primary_made_read_only(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.watched("super_read_only by hand", |experiment| {
        let server = &experiment.lab.group.servers()[holder];
        server.run("SET GLOBAL super_read_only = ON")?;
        let named = mark
            .wait_for(experiment, &["ERROR", "not writable (super_read_only is on): clients can't write"]);
        server.run("SET GLOBAL super_read_only = OFF")?;
        server.run("SET GLOBAL read_only = OFF")?;
        named
    })?;
    untouched(&under_test.experiment, &figures)
}

/// The group goes multi-primary, and back.
pub(super) fn multi_primary(under_test: &mut UnderTest) -> Result<String, Broken> {
    let first = under_test.experiment.lab.wait_steady()?;
    let experiment = &mut under_test.experiment;
    let server =
        |experiment: &Experiment, statement: &str| experiment.lab.group.servers()[first].run(statement);
    server(experiment, "SELECT group_replication_switch_to_multi_primary_mode()")?;
    let left = wait_for_holders(experiment, &[], PATIENCE);
    server(experiment, "SELECT group_replication_switch_to_single_primary_mode()")?;
    let primary = experiment.lab.wait_steady()?;
    let left = left?;
    Ok(format!("left after {:.2} s; then on {}", left.as_secs_f64(), experiment.name(primary)))
}
