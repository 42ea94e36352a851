//! `haipmgr status` on a real group: what it shows is what the lab sees itself, in time, whatever hangs or is dead.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::agents::{AT_WORK, start_and_hear};
use super::expect::{promise, rows_are_there, untouched};
use super::network::wait_for_holders;
use super::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::holders;
use crate::segment::{vip, vips};

/// How long one may take. Promised are 0.3 s; this is what a busy machine must keep.
const WITHIN: Duration = Duration::from_secs(1);
/// How often it is typed for its time.
const LOOKS: usize = 20;
/// What half of them take at the most (docs/status.md).
const USUALLY_WITHIN: Duration = Duration::from_millis(300);
/// One after another.
const HELD_UP_AT_MOST: usize = 5;
/// How long the VIP may take to be back.
const BACK_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Typed {
    status: Option<i32>,
    words: String,
    took: Duration,
}

pub(super) fn typed(experiment: &Experiment, on: usize, arguments: &[&str]) -> Result<Typed, Broken> {
    let all: Vec<&str> = ["status"].iter().chain(arguments).copied().collect();
    let since = Instant::now();
    let Output { status, stdout, stderr } =
        experiment.lab.agents[on].command(&experiment.lab.segment.databases[on], &all)?;
    let words = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    Ok(Typed { status: status.code(), words, took: since.elapsed() })
}

impl Typed {
    pub(super) fn is(&self, status: i32, sentence: &str) -> Result<(), Broken> {
        promise(self.status == Some(status) && self.words.contains(sentence), || {
            format!("{:?}, and not {status} with {sentence:?}: {}", self.status, self.words)
        })
    }

    fn in_time(&self) -> Result<(), Broken> {
        promise(self.took < WITHIN, || format!("it took {:?}: {}", self.took, self.words))
    }

    /// The lab's cluster in the document.
    fn cluster(&self) -> Result<Value, Broken> {
        let document: Value = serde_json::from_str(&self.words)
            .map_err(|error| Broken::NotAsPromised(format!("{error} in {}", self.words)))?;
        promise(document["format"] == 1 && document["exit_status"] == self.status.unwrap_or(-1), || {
            format!("{:?}, and the document: {document}", self.status)
        })?;
        Ok(document["clusters"][0].clone())
    }
}

fn address(experiment: &Experiment, place: usize) -> String {
    experiment.lab.segment.databases[place].address().to_string()
}

/// That what is shown of members and VIP is what the lab's own eyes see.
fn agrees(experiment: &Experiment, cluster: &Value) -> Result<(), Broken> {
    let (primary, held) = (experiment.lab.group.primary()?, holders(&experiment.lab.segment)?);
    let seen: Vec<Value> = held.iter().map(|place| address(experiment, *place).into()).collect();
    // One writer in two families is on one host.
    for (number, _) in vips().iter().enumerate() {
        let shown = &cluster["vips"][number]["holders"];
        let named: Vec<_> =
            shown.as_array().into_iter().flatten().map(|holder| holder["member"].clone()).collect();
        promise(named == seen, || format!("holders are {seen:?}, and it shows {cluster}"))?;
    }
    for (place, server) in experiment.lab.group.servers().iter().enumerate() {
        let member = &cluster["members"][place];
        let role = if place == primary { "primary" } else { "secondary" };
        let right = member["address"] == address(experiment, place)
            && member["id"] == server.uuid()?
            && member["role"] == role
            && member["state"] == "ONLINE"
            && member["said_by"] == "itself"
            && member["writable"] == (place == primary)
            && member["queue"].is_u64()
            && member["age_ms"].as_u64().is_some_and(|age| age <= 300)
            && member["vips"].as_array().map(Vec::len)
                == Some(if held.contains(&place) { vips().len() } else { 0 });
        promise(right, || format!("{} is {role}, and it shows {member}", experiment.name(place)))?;
    }
    Ok(())
}

/// That each member's agent is shown, by its server, with this version and one configuration.
fn agents_are_shown(cluster: &Value) -> Result<(), Broken> {
    let agents: Vec<&Value> =
        cluster["members"].as_array().into_iter().flatten().map(|member| &member["agent"]).collect();
    let ours = &cluster["agent"]["version"];
    let right = |agent: &&Value| {
        agent["version"].as_str().is_some_and(|version| version.starts_with(ours.as_str().unwrap_or("?")))
            && agent["configuration"].is_string()
            && agent["configuration"] == agents[0]["configuration"]
    };
    promise(!agents.is_empty() && agents.iter().all(right), || format!("ours is {ours}: {cluster}"))
}

/// The same where the machine was not held up meanwhile: what took so long shows all as old, and rightly.
fn prompt(experiment: &Experiment, on: usize, arguments: &[&str]) -> Result<Typed, Broken> {
    let mut said = typed(experiment, on, arguments)?;
    for _ in 0..HELD_UP_AT_MOST {
        if said.took < WITHIN {
            break;
        }
        said = typed(experiment, on, arguments)?;
    }
    Ok(said)
}

/// All is well, on every host, in every format, in time.
pub(super) fn well(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut took = Vec::new();
    let figures = under_test.experiment.watched("haipmgr status, all is well", |experiment| {
        let hosts = experiment.lab.segment.databases.len();
        for on in 0..hosts {
            let said = prompt(experiment, on, &["--format", "json"])?;
            said.is(0, "\"health\":\"well\"")?;
            let cluster = said.cluster()?;
            agrees(experiment, &cluster)?;
            let own = &cluster["status"];
            promise(own["mode"] == "running" && own["member"] == address(experiment, on), || {
                own.to_string()
            })?;
            let holds = holders(&experiment.lab.segment)?.contains(&on);
            promise((own["vips"][0]["state"] == "holding") == holds, || own.to_string())?;
            // On a busy machine a server's word on its agent may come after the time that it has: then it is not known.
            let since = Instant::now();
            let mut shown = agents_are_shown(&cluster);
            while shown.is_err() && since.elapsed() < BACK_LIMIT {
                shown = agents_are_shown(&prompt(experiment, on, &["--format", "json"])?.cluster()?);
            }
            shown?;
            prompt(experiment, on, &[])?.is(0, ": well")?;
            prompt(experiment, on, &["--extended"])?.is(0, "stage 3 (primary)")?;
            prompt(experiment, on, &["--format", "tsv"])?.is(0, "cluster\tmember\thost\trole\tstate")?;
            prompt(experiment, on, &["--cluster", "another"])?.is(2, "there is no cluster \"another\"")?;
        }
        for look in 0..LOOKS {
            let said = prompt(experiment, look % hosts, &[])?;
            said.is(0, ": well")?;
            took.push(said.took);
        }
        Ok::<_, Broken>(())
    })?;
    let pause = untouched(&under_test.experiment, &figures)?;
    took.sort();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    promise(median < USUALLY_WITHIN, || format!("status took {worst:?} at worst, {median:?} in the median"))?;
    Ok(format!(
        "{LOOKS} times haipmgr status: median {} ms, worst {} ms; {pause}",
        median.as_millis(),
        worst.as_millis()
    ))
}

/// On the host whose mysqld hangs, and on another.
pub(super) fn server_hangs(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut took = Vec::new();
    let figures = under_test.experiment.watched("haipmgr status, a mysqld hangs", |experiment| {
        let hosts = experiment.lab.segment.databases.len();
        let hung = (experiment.lab.group.primary()? + 1) % hosts;
        experiment.lab.group.servers()[hung].freeze()?;
        let there = typed(experiment, hung, &["--format", "json"]);
        let elsewhere = typed(experiment, (hung + 1) % hosts, &[]);
        experiment.lab.group.servers()[hung].thaw()?;
        let (there, elsewhere) = (there?, elsewhere?);
        there.is(1, "\"health\":\"degraded\"")?;
        let cluster = there.cluster()?;
        let member = &cluster["members"][hung];
        let right = member["silent"].is_string()
            && member["said_by"] != "itself"
            && cluster["vips"][0]["holders"].as_array().map(Vec::len) == Some(1);
        promise(right, || format!("{} hangs, and it shows {cluster}", experiment.name(hung)))?;
        elsewhere.is(1, &format!("{}: its server does not answer", address(experiment, hung)))?;
        for said in [&there, &elsewhere] {
            said.in_time()?;
            took.push(format!("{} ms", said.took.as_millis()));
        }
        Ok::<_, Broken>(())
    })?;
    untouched(&under_test.experiment, &figures)?;
    Ok(format!("on its host {}, on another {}", took[0], took[1]))
}

/// A dead agent, and one that hangs: the holder is named all the same.
pub(super) fn no_agent(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut took = Vec::new();
    let figures = under_test.experiment.watched("haipmgr status without an agent", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let on = (primary + 1) % experiment.lab.segment.databases.len();
        experiment.lab.agents[on].freeze()?;
        let hung = typed(experiment, on, &[]);
        experiment.lab.agents[on].kill()?;
        let (dead, document) = (typed(experiment, on, &[]), typed(experiment, on, &["--format", "json"]));
        start_and_hear(experiment, on, AT_WORK)?;
        let (hung, dead) = (hung?, dead?);
        let holder = format!(": {} (answers on the segment, now)", address(experiment, primary));
        for said in [&hung, &dead] {
            said.is(3, &holder)?;
            said.is(3, "Agent on this host: none")?;
            said.in_time()?;
            took.push(format!("{} ms", said.took.as_millis()));
        }
        hung.is(3, "does not answer within 200 ms")?;
        dead.is(3, "no agent runs here with this configuration")?;
        agrees(experiment, &document?.cluster()?)
    })?;
    untouched(&under_test.experiment, &figures)?;
    Ok(format!("agent hung: {}, dead: {}; the holder was named", took[0], took[1]))
}

/// The agents are stopped, which leaves the VIP, and somebody removes it.
pub(super) fn nobody_holds(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("haipmgr status, nobody holds the VIP", |experiment| {
        let holder = experiment.lab.group.primary()?;
        for agent in &mut experiment.lab.agents {
            agent.stop()?;
        }
        let lab = &experiment.lab;
        lab.segment.remove_vip(&lab.segment.databases[holder])?;
        let said: Vec<_> = (0..lab.agents.len()).map(|on| typed(experiment, on, &[])).collect();
        for on in 0..said.len() {
            start_and_hear(experiment, on, AT_WORK)?;
        }
        wait_for_holders(experiment, &[holder], BACK_LIMIT)?;
        for said in said {
            let said = said?;
            said.is(4, &format!("nobody holds {}: no host answers for it", vip()))?;
            said.is(4, "no agent runs here")?;
            said.in_time()?;
        }
        Ok::<_, Broken>(())
    })?;
    rows_are_there(&figures)?;
    Ok("status 4 on each host, and 0 again with the agents".to_owned())
}
