//! `haipmgr history` and `haipmgr explain` on a real group: each switch is told once by the host that it came to and once by the one that it
//! left, with the right code, and with the outage that a client had.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::expect::{followed, promise, rows_are_there};
use super::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::measure::Reading;
use crate::scenario::Lab;
use crate::segment::vip;

/// A line is written once the servers have been asked about it, which is off the decision's path.
pub(super) const TOLD_WITHIN: Duration = Duration::from_secs(6);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a group may take to find out that a member is silent, 5 s and some, and to expel it, on a busy machine.
const EXPELLED_WITHIN: Duration = Duration::from_secs(30);
/// So near to what a client measures, in seconds. Promised is 0.1; the rest is the client's own waiting on a busy machine.
const AS_MEASURED: f64 = 0.5;
/// Lines of a story.
const STORY: std::ops::RangeInclusive<usize> = 10..=30;

pub(super) fn typed(experiment: &Experiment, on: usize, arguments: &[&str]) -> Result<Output, Broken> {
    Ok(experiment.lab.agents[on].command(&experiment.lab.segment.databases[on], arguments)?)
}

pub(super) fn words(said: &Output) -> String {
    String::from_utf8_lossy(&[said.stdout.as_slice(), said.stderr.as_slice()].concat()).into_owned()
}

/// All switches that the host in this place tells of, of the VIP that the clients connect through.
fn switches(experiment: &Experiment, on: usize) -> Result<Vec<Value>, Broken> {
    let said = typed(experiment, on, &["history", "--format", "json"])?;
    let all = serde_json::from_slice::<Value>(&said.stdout).unwrap_or_default();
    match &all["switches"] {
        Value::Array(switches) if said.status.success() => {
            let of_it = |switch: &&Value| switch["vip"] == vip().to_string();
            Ok(switches.iter().filter(of_it).cloned().collect())
        }
        _ => Err(Broken::NotAsPromised(format!("{}: {}", said.status, words(&said)))),
    }
}

/// How many switches each host has told of.
struct Before(Vec<usize>);

impl Before {
    fn of(experiment: &Experiment) -> Result<Self, Broken> {
        let places = 0..experiment.lab.segment.databases.len();
        Ok(Self(places.map(|on| Ok::<_, Broken>(switches(experiment, on)?.len())).collect::<Result<_, _>>()?))
    }

    /// The only new switch of this kind that the host tells of, with its code.
    fn only(&self, experiment: &Experiment, on: usize, kind: &str, code: &str) -> Result<Value, Broken> {
        let since = Instant::now();
        loop {
            let mut new = switches(experiment, on)?.split_off(self.0[on]);
            new.retain(|switch| switch["kind"] == kind);
            if !new.is_empty() || since.elapsed() > TOLD_WITHIN {
                promise(new.len() == 1 && new[0]["code"] == code, || {
                    format!("{} tells of {new:#?}, and not of one {code} that {kind}", experiment.name(on))
                })?;
                return Ok(new.swap_remove(0));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// The story of a switch is of the promised length and says all of this.
pub(super) fn explained(
    experiment: &Experiment,
    on: usize,
    switch: &Value,
    told: &[&str],
) -> Result<(), Broken> {
    let said = typed(experiment, on, &["explain", switch["id"].as_str().unwrap_or_default()])?;
    let words = words(&said);
    promise(said.status.success() && STORY.contains(&words.lines().count()), || {
        format!("{}: a story of {} lines: {words}", said.status, words.lines().count())
    })?;
    for sentence in told {
        promise(words.contains(sentence), || format!("the story does not say {sentence:?}: {words}"))?;
    }
    Ok(())
}

/// Waits until this member leads a group in which the other is no more.
fn leads_without(lab: &Lab, leads: usize, gone: usize) -> Result<(), Broken> {
    let (leader, gone) = (lab.segment.databases[leads].address(), lab.segment.databases[gone].address());
    let since = Instant::now();
    loop {
        let view = lab.group.servers()[leads].view()?;
        if view.primary() == Some(leader) && view.state_of(gone).is_none() {
            return Ok(());
        }
        promise(since.elapsed() < EXPELLED_WITHIN, || {
            format!("{leader} does not lead without {gone}: {view}")
        })?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The sum of the split is what was measured from outside. Gives both in words.
fn adds_up(switch: &Value, measured: Reading) -> Result<String, Broken> {
    let told = switch["outage"]["total_ms"].as_f64().map(|ms| ms / 1000.0);
    let near =
        told.zip(measured.seconds()).is_some_and(|(told, measured)| (told - measured).abs() <= AS_MEASURED);
    promise(near, || {
        format!("measured from outside: {measured} s; the history says {:#}", switch["outage"])
    })?;
    let told = told.unwrap_or_default();
    Ok(format!(
        "the history says {told:.3} s, of which MySQL's {} ms; seen from outside {measured} s",
        switch["outage"]["mysql_ms"]
    ))
}

pub(super) fn is(switch: &Value, field: &str, wanted: &str) -> Result<(), Broken> {
    let found = switch.pointer(field).and_then(Value::as_str);
    promise(found == Some(wanted), || format!("{field} is {found:?}, and not {wanted:?}: {switch:#}"))
}

pub(super) fn address(experiment: &Experiment, place: usize) -> String {
    experiment.lab.segment.databases[place].address().to_string()
}

/// Who ordered it, and why, is told by the new holder, though the order was typed on a third host.
pub(super) fn switchover(under_test: &mut UnderTest) -> Result<String, Broken> {
    let before = Before::of(&under_test.experiment)?;
    let old = under_test.experiment.lab.wait_steady()?;
    let members = under_test.experiment.lab.segment.databases.len();
    let (to, typed_on) = ((old + 1) % members, (old + 2) % members);
    let figures =
        under_test.experiment.dethroning("haipmgr switchover, with a reason", |experiment, deed| {
            let to = address(experiment, to);
            let said = typed(
                experiment,
                typed_on,
                &["switchover", "--yes", "--to", &to, "--reason", "kernel: 6.12"],
            )?;
            promise(said.status.success(), || format!("{}: {}", said.status, words(&said)))?;
            experiment.wait_followed(old)?;
            experiment.heals(deed);
            Ok::<_, Broken>(())
        })?;
    let told = followed(&figures)?;
    let experiment = &under_test.experiment;
    let came = before.only(experiment, to, "came", "SWITCHOVER")?;
    let left = before.only(experiment, old, "left", "SWITCHOVER")?;
    is(&came, "/by/who", &format!("root on {}", experiment.name(typed_on)))?;
    is(&came, "/by/reason", "kernel: 6.12")?;
    is(&came, "/from/address", &address(experiment, old))?;
    is(&came, "/to/address", &address(experiment, to))?;
    is(&left, "/to/address", &address(experiment, to))?;
    is(&left, "/by/reason", "kernel: 6.12")?;
    explained(experiment, to, &came, &["kernel: 6.12", "the group was told to make", "VIP started on"])?;
    explained(experiment, old, &left, &["asks for the VIP: a claim", "VIP stopped on"])?;
    Ok(format!("{told}; {}", adds_up(&came, figures.outage)?))
}

pub(super) fn kill_9(under_test: &mut UnderTest) -> Result<String, Broken> {
    let before = Before::of(&under_test.experiment)?;
    let old = under_test.experiment.lab.wait_steady()?;
    let figures = under_test.experiment.run(Fault::Kill9)?;
    let told = followed(&figures)?;
    let experiment = &under_test.experiment;
    let places = 0..experiment.lab.segment.databases.len();
    let to = places.into_iter().find(|place| figures.holder.as_ref() == Some(&experiment.name(*place)));
    let Some(to) = to else {
        return Err(Broken::NotAsPromised(format!("no host holds the VIP: {:?}", figures.holder)));
    };
    let came = before.only(experiment, to, "came", "PRIMARY_DIED")?;
    let left = before.only(experiment, old, "left", "PRIMARY_DIED")?;
    is(&came, "/by/how", "automatic")?;
    is(&came, "/from/address", &address(experiment, old))?;
    is(&left, "/to/address", &address(experiment, to))?;
    explained(experiment, to, &came, &["mysqld died", "UNREACHABLE", "VIP started on"])?;
    explained(experiment, old, &left, &["mysqld is not running", "VIP stopped on"])?;
    Ok(format!("{told}; {}", adds_up(&came, figures.outage)?))
}

/// Another member finds out that the primary is gone and has it expelled before the next primary's agent looks: that one never sees it as
/// UNREACHABLE, as if it had left. The agent stands still meanwhile: a member whose network is cut finds out sooner too, but then, on a busy
/// machine, MySQL 9.7.4's group may stand still for ever when the primary dies, though two of three members hear each other.
pub(super) fn expelled_by_another(under_test: &mut UnderTest) -> Result<String, Broken> {
    let old = under_test.experiment.lab.wait_steady()?;
    let members = under_test.experiment.lab.segment.databases.len();
    let next = (old + 1) % members;
    // Of those that see a silent member, the one that has been in the group the longest has it expelled.
    let server = &under_test.experiment.lab.group.servers()[next];
    server.run("STOP GROUP_REPLICATION")?;
    server.run("SET GLOBAL group_replication_member_weight = 90")?;
    server.run("START GROUP_REPLICATION")?;
    under_test.experiment.lab.wait_steady()?;
    let before = Before::of(&under_test.experiment)?;
    let figures = under_test.experiment.dethroning(
        "kill -9, and one member finds out sooner",
        |experiment, deed| {
            let lab = &mut experiment.lab;
            lab.agents[next].freeze()?;
            if let Some(server) = lab.group.server_mut(old) {
                server.kill()?;
            }
            let expelled = leads_without(lab, next, old);
            lab.agents[next].thaw()?;
            let followed = experiment.wait_followed(old);
            experiment.heals(deed);
            let lab = &mut experiment.lab;
            lab.group.servers()[next].run("SET GLOBAL group_replication_member_weight = DEFAULT")?;
            lab.group.heal(old, &lab.segment.databases[old])?;
            expelled?;
            promise(followed? == next, || "another member was elected".to_owned())
        },
    )?;
    let experiment = &under_test.experiment;
    let came = before.only(experiment, next, "came", "PRIMARY_DIED")?;
    let sentence = came["sentence"].as_str().unwrap_or_default();
    is(&came, "/from/address", &address(experiment, old))?;
    promise(sentence.contains("its port refused afterwards, and it was UNREACHABLE for "), || {
        format!("not by what the members' servers say afterwards: {sentence}")
    })?;
    Ok(format!("{}; {sentence}", followed(&figures)?))
}

pub(super) fn removed_by_hand(under_test: &mut UnderTest) -> Result<String, Broken> {
    let before = Before::of(&under_test.experiment)?;
    let holder = under_test.experiment.lab.wait_steady()?;
    let figures = under_test.experiment.run(Fault::VipRemovedByHand)?;
    rows_are_there(&figures)?;
    let experiment = &under_test.experiment;
    before.only(experiment, holder, "left", "REMOVED_BY_HAND")?;
    let came = before.only(experiment, holder, "came", "REMOVED_BY_HAND")?;
    explained(experiment, holder, &came, &["removed by hand or by another program", "VIP started on"])?;
    let now = typed(experiment, holder, &["explain", "now"])?;
    let story = words(&now);
    let told = ["is on this host, on eth0", "by the last recorded decision", "it would leave this host if:"];
    for sentence in told {
        promise(now.status.success() && story.contains(sentence), || format!("not {sentence:?}: {story}"))?;
    }
    adds_up(&came, figures.vip_moved)
}
