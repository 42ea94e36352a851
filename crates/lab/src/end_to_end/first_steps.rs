//! From a group to a configuration that runs (`haipmgr init`); and the password, which shows nowhere.

use std::fs;
use std::path::Path;

use super::agents::{ADOPTED, AT_WORK, start_and_hear};
use super::expect::{promise, untouched};
use super::files::reconfigure;
use super::{Broken, UnderTest};
use crate::agents::{CONFIGURATION, INSTALL_PATH, LAB, PASSWORD_FILE};
use crate::experiment::Experiment;
use crate::group::{AGENT_PASSWORD, AGENT_USER};
use crate::segment::vip;

const NEW_FILE: &str = "/etc/haipmgr/init.toml";
const NEW_USER: &str = "haip_of_init";
const NEW_PASSWORD: &str = "/etc/haipmgr/init.password";
const NEW_SQL: &str = "/etc/haipmgr/account.sql";

/// Gives exit status and all that it said.
fn haipmgr(under_test: &UnderTest, place: usize, words: &[&str]) -> Result<(Option<i32>, String), Broken> {
    let host = &under_test.experiment.lab.segment.databases[place];
    let output = host
        .command(under_test.layout.agent())
        .args(words)
        .output()
        .map_err(Broken::io(format!("haipmgr {}", words.join(" "))))?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

fn read(experiment: &Experiment, place: usize, file: &str) -> Result<String, Broken> {
    fs::read_to_string(experiment.lab.segment.databases[place].path(file))
        .map_err(Broken::io(format!("{file} of {}", experiment.name(place))))
}

/// Each host's agent is given the file that `haipmgr init` writes there, and the VIP stays.
pub(super) fn init_runs(under_test: &mut UnderTest) -> Result<String, Broken> {
    let outcome = init_and_run(under_test);
    as_before(&mut under_test.experiment)?;
    outcome
}

/// The lab's own account has its rights again, and the agents use it, before the other goes.
fn as_before(experiment: &mut Experiment) -> Result<(), Broken> {
    let primary = experiment.lab.group.primary()?;
    let sql = experiment.lab.agents[primary].sql(&experiment.lab.segment.databases[primary])?;
    experiment.lab.group.grant_to_agents_account(&sql.replace(NEW_USER, AGENT_USER))?;
    reconfigure(experiment, &[LAB])?;
    let primary = experiment.lab.group.primary()?;
    experiment.lab.group.servers()[primary].run(&format!("DROP USER IF EXISTS '{NEW_USER}'@'%'"))?;
    for host in &experiment.lab.segment.databases {
        for file in [NEW_FILE, NEW_PASSWORD, NEW_SQL] {
            // Where the test failed, not each is there.
            let _ = fs::remove_file(host.path(file));
        }
    }
    Ok(())
}

fn init_and_run(under_test: &mut UnderTest) -> Result<String, Broken> {
    let vip = vip().to_string();
    let primary = under_test.experiment.lab.wait_steady()?;
    let words =
        ["init", "--vip", &vip, "--user", NEW_USER, "--password-file", NEW_PASSWORD, "--output", NEW_FILE];
    let (status, said) = haipmgr(under_test, primary, &words)?;
    let asks = format!("mysql -u root -p < {NEW_SQL}");
    promise(status == Some(1) && said.contains(&asks), || format!("{status:?}, no account yet: {said}"))?;
    let sql = read(&under_test.experiment, primary, NEW_SQL)?;
    let server = &under_test.experiment.lab.group.servers()[primary];
    for statement in sql.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        server.run(statement)?;
    }
    let mut written = Vec::new();
    for place in 0..under_test.experiment.lab.agents.len() {
        let hosts = &under_test.experiment.lab.segment.databases;
        if place != primary {
            // The same password on every host, as init says.
            fs::copy(hosts[primary].path(NEW_PASSWORD), hosts[place].path(NEW_PASSWORD))
                .map_err(Broken::io("copying the password file"))?;
        }
        let (status, said) = haipmgr(under_test, place, &words)?;
        promise(status == Some(0), || format!("init: {status:?}, {said}"))?;
        let (status, said) = haipmgr(under_test, place, &["check", "--config", NEW_FILE])?;
        promise(status == Some(0) && said.contains("\n0 problems, "), || {
            format!("check: {status:?}, {said}")
        })?;
        written.push(
            read(&under_test.experiment, place, NEW_FILE)?.lines().skip(1).collect::<Vec<_>>().join("\n"),
        );
    }
    promise(written.iter().all(|text| *text == written[0]), || {
        format!("the hosts' files differ: {written:?}")
    })?;
    let (status, said) = haipmgr(under_test, primary, &words)?;
    promise(status == Some(1) && said.contains("there already"), || {
        format!("a second init: {status:?}, {said}")
    })?;
    let figures = under_test.experiment.watched("agents with the file of init", |experiment| {
        for place in 0..experiment.lab.agents.len() {
            experiment.lab.agents[place].stop()?;
            let host = &experiment.lab.segment.databases[place];
            fs::copy(host.path(NEW_FILE), host.path(CONFIGURATION))
                .map_err(Broken::io("copying the file"))?;
            start_and_hear(experiment, place, if place == primary { ADOPTED } else { AT_WORK })?;
        }
        Ok::<_, Broken>(())
    })?;
    untouched(&under_test.experiment, &figures)
}

/// In all that the agents of this lab have written and show so far, and in what the commands say.
pub(super) fn password_shows_nowhere(under_test: &mut UnderTest) -> Result<String, Broken> {
    under_test.experiment.lab.wait_steady()?;
    let (mut looked_at, mut bytes) = (0, 0);
    let mut look = |what: &str, content: &[u8]| {
        looked_at += 1;
        bytes += content.len();
        let shown = content.windows(AGENT_PASSWORD.len()).any(|part| part == AGENT_PASSWORD.as_bytes());
        promise(!shown, || format!("{what} shows the password of {AGENT_USER}"))
    };
    for place in 0..under_test.experiment.lab.agents.len() {
        for words in [&["check", "--config", CONFIGURATION][..], &["sql", "--config", CONFIGURATION]] {
            look(&words.join(" "), haipmgr(under_test, place, words)?.1.as_bytes())?;
        }
        let lab = &under_test.experiment.lab;
        let (host, agent) = (&lab.segment.databases[place], &lab.agents[place]);
        let pid = agent.pid().unwrap_or_default();
        let mut files = vec![agent.messages().to_owned()];
        files.extend(
            ["cmdline", "environ", "comm"].map(|name| Path::new("/proc").join(pid.to_string()).join(name)),
        );
        let folder =
            fs::read_dir(host.path(INSTALL_PATH)).map_err(Broken::io(format!("listing {INSTALL_PATH}")))?;
        files.extend(folder.flatten().map(|entry| entry.path()).filter(|path| path.is_file()));
        for file in files {
            let content = fs::read(&file).map_err(Broken::io(format!("reading {}", file.display())))?;
            look(&file.display().to_string(), &content)?;
        }
        // The same reader does see it where it is.
        let secret = read(&under_test.experiment, place, PASSWORD_FILE)?;
        promise(look(PASSWORD_FILE, secret.as_bytes()).is_err(), || {
            "the password file does not hold it".to_owned()
        })?;
    }
    Ok(format!("not in {looked_at} files and answers, {bytes} bytes"))
}
