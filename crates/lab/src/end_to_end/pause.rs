//! `haipmgr pause` and `resume`, of the whole cluster and of one host.

use std::process::Output;
use std::time::{Duration, Instant};

use super::agents::{AT_WORK, start_and_hear};
use super::drain::says;
use super::expect::{followed, never_two_holders, promise, rows_are_there, untouched};
use super::history::address;
use super::members::rejoin_after_offline_mode;
use super::network::{GATEWAY_LIMIT, wait_for_holders};
use super::{Broken, UnderTest, logs};
use crate::experiment::Experiment;
use crate::fault::holders;
use crate::group::AGENT_USER;
use crate::statement;

/// For how long hosts that are to take nothing are watched.
const NOTHING_FOR: Duration = Duration::from_secs(2);
/// How long the VIP may take to leave a host, or to be where it belongs.
const MOVED_WITHIN: Duration = Duration::from_secs(3);
/// MySQL's own time, for nobody is expelled sooner while the cluster is paused; and some.
const ELECTED_WITHIN: Duration = Duration::from_secs(40);
/// A pause that ends by itself, in the agents' words and as a length.
const SHORT: (&str, Duration) = ("6s", Duration::from_secs(6));

/// The agent's file of a pause.
const FILE: &str = "/var/lib/haipmgr/paused_3306";

/// With it the table can be read, and the group's copy of it can't be written.
const LOCK: &str = "LOCK TABLES haipmgr.pauses READ";

fn typed(experiment: &Experiment, on: usize, arguments: &[&str]) -> Result<Output, Broken> {
    Ok(experiment.lab.agents[on].command(&experiment.lab.segment.databases[on], arguments)?)
}

/// The whole cluster is paused, and the primary's server dies: the group elects another, and the VIP stays where it is, until the cluster
/// is resumed.
pub(super) fn cluster_then_kill_9(under_test: &mut UnderTest) -> Result<String, Broken> {
    let mut moved = Duration::ZERO;
    let figures = under_test.experiment.dethroning("kill -9 while paused", |experiment, deed| {
        let old = experiment.lab.group.primary()?;
        let other = (old + 1) % experiment.lab.segment.databases.len();
        let marks: Vec<_> =
            (0..experiment.lab.agents.len()).map(|place| logs::mark(experiment, place)).collect();
        let paused = typed(experiment, other, &["pause", "--for", "10m", "--reason", "it's a test"])?;
        let elected = heard_everywhere(experiment, &paused, &marks).and_then(|()| {
            if let Some(server) = experiment.lab.group.server_mut(old) {
                server.kill()?;
            }
            stays_until_elected(experiment, old)
        });
        let resumed = typed(experiment, other, &["resume"]);
        let follows = elected.and_then(|primary| {
            moved = wait_for_holders(experiment, &[primary], MOVED_WITHIN)?;
            Ok(())
        });
        experiment.heals(deed);
        // Its server can't tell it.
        let told = typed(experiment, old, &["resume", "--host"]);
        let lab = &mut experiment.lab;
        lab.group.heal(old, &lab.segment.databases[old])?;
        follows?;
        says(&resumed?, 1, "NOT confirmed")?;
        says(&told?, 0, "resumed")
    })?;
    rows_are_there(&figures)?;
    Ok(format!("the VIP stayed until the cluster was resumed, and moved {:.2} s later", moved.as_secs_f64()))
}

fn heard_everywhere(experiment: &Experiment, paused: &Output, marks: &[logs::Mark]) -> Result<(), Broken> {
    says(paused, 0, "confirmed")?;
    says(paused, 0, "it's a test")?;
    marks
        .iter()
        .try_for_each(|mark| mark.wait_for(experiment, &["paused (the whole cluster) until", "it's a test"]))
}

/// Until another leads, and for a while after that, the VIP is on this host alone.
fn stays_until_elected(experiment: &Experiment, old: usize) -> Result<usize, Broken> {
    let since = Instant::now();
    let mut led = None;
    loop {
        let there = holders(&experiment.lab.segment)?;
        promise(there == [old], || format!("paused, and the VIP is on {there:?} and not on {old}"))?;
        match (led, experiment.lab.group.primary()) {
            (Some((primary, at)), _) if Instant::now().duration_since(at) >= NOTHING_FOR => {
                return Ok(primary);
            }
            (None, Ok(primary)) if primary != old => led = Some((primary, Instant::now())),
            _ => {}
        }
        promise(since.elapsed() <= ELECTED_WITHIN, || "the group elects no other primary".to_owned())?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One host is paused for a while, and its agent is started anew meanwhile: it takes no VIP though its server becomes the primary, until the
/// pause is over by itself.
pub(super) fn ends_by_itself(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures =
        under_test.experiment.dethroning("a paused host's server made the primary", |experiment, deed| {
            let old = experiment.lab.group.primary()?;
            let next = (old + 1) % experiment.lab.segment.databases.len();
            let since = Instant::now();
            says(&typed(experiment, next, &["pause", "--host", "--for", SHORT.0])?, 0, "paused until")?;
            experiment.lab.agents[next].stop()?;
            start_and_hear(experiment, next, "still paused (this host) until")?;
            experiment.lab.group.switch_over(next)?;
            wait_for_holders(experiment, &[], MOVED_WITHIN)?;
            wait_for_holders(experiment, &[next], SHORT.1 + MOVED_WITHIN)?;
            let after = since.elapsed();
            experiment.heals(deed);
            let file = experiment.lab.segment.databases[next].path(FILE);
            let wait = Instant::now();
            while file.exists() && wait.elapsed() < MOVED_WITHIN {
                std::thread::sleep(Duration::from_millis(5));
            }
            promise(!file.exists(), || format!("{FILE} is still there, and the pause is over"))?;
            promise(after >= SHORT.1, || {
                format!("paused for {}, and the VIP is taken after {after:?}", SHORT.0)
            })
        })?;
    rows_are_there(&figures)?;
    Ok(format!("nobody held the VIP for {} s, until the pause was over", figures.unheld))
}

/// The holder's host is paused, and the primary moves: the claim is yielded to as ever.
pub(super) fn holder_yields(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures =
        under_test.experiment.dethroning("switchover from a paused holder", |experiment, deed| {
            let old = experiment.lab.group.primary()?;
            let next = (old + 1) % experiment.lab.segment.databases.len();
            says(&typed(experiment, old, &["pause", "--host"])?, 0, "paused until")?;
            experiment.lab.group.switch_over(next)?;
            let outcome = experiment.wait_followed(old);
            experiment.heals(deed);
            let resumed = typed(experiment, old, &["resume", "--host"])?;
            outcome?;
            says(&resumed, 0, "resumed")
        })?;
    let words = followed(&figures)?;
    never_two_holders(&figures)?;
    Ok(format!("{words}; two holders {} s", figures.two_holders))
}

/// As docs/pause.md has it: a paused holder keeps the VIP where another would let go by choice, and does not put back what is removed.
pub(super) fn holder_fault_by_fault(under_test: &mut UnderTest) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let figures = under_test.experiment.watched("a paused holder, fault by fault", |experiment| {
        let lab = &experiment.lab;
        let kept = |what: &str, after: Duration| {
            // What is shown is that nothing happens in this time.
            std::thread::sleep(after);
            let there = holders(&lab.segment)?;
            promise(there == [holder], || format!("{what}: paused, and the VIP is on {there:?}"))
        };
        says(&typed(experiment, holder, &["pause", "--host"])?, 0, "paused until")?;
        lab.segment.set_gateway(false)?;
        let gateway_lost = kept("the gateway is gone", GATEWAY_LIMIT);
        lab.segment.set_gateway(true)?;
        let server = &lab.group.servers()[holder];
        server.run("SET GLOBAL offline_mode = ON")?;
        let offline = kept("offline mode", MOVED_WITHIN);
        server.run("SET GLOBAL offline_mode = OFF")?;
        lab.segment.remove_vip(&lab.segment.databases[holder])?;
        std::thread::sleep(NOTHING_FOR);
        let removed = holders(&lab.segment);
        says(&typed(experiment, holder, &["resume", "--host"])?, 0, "resumed")?;
        let back = wait_for_holders(experiment, &[holder], MOVED_WITHIN);
        gateway_lost?;
        offline?;
        let there = removed?;
        promise(there.is_empty(), || format!("removed by hand while paused, and the VIP is on {there:?}"))?;
        back.map(drop)
    })?;
    rejoin_after_offline_mode(&mut under_test.experiment, holder)?;
    rows_are_there(&figures)?;
    Ok(format!("nobody held the VIP for {} s: from its removal until the host was resumed", figures.unheld))
}

/// A member whose server is silent, one that the group copies nothing to, and a host without an agent are named; and what is no pause is
/// not said to be ended.
pub(super) fn names_who_has_it_not(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("haipmgr pause, not everywhere", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let members = experiment.lab.segment.databases.len();
        let (other, third) = ((primary + 1) % members, (primary + 2) % members);
        let named = format!("{}  NOT confirmed: ", address(experiment, other));
        let servers = experiment.lab.group.servers();
        servers[other].freeze()?;
        let silent = typed(experiment, third, &["pause", "--for", "10m"]);
        servers[other].thaw()?;
        let silent = silent?;
        says(&silent, 1, &named)?;
        says(&silent, 1, "the cluster lab is paused, but not confirmed by every member: on those, type haipmgr pause --host")?;
        says(&silent, 1, &format!("{}  confirmed", address(experiment, third)))?;
        says(&typed(experiment, third, &["resume"])?, 0, "ended      the pause of lab until")?;
        says(&typed(experiment, third, &["resume"])?, 0, "note       the cluster lab was not paused")?;

        let locked = {
            let mut session = servers[other].admin()?;
            statement::run(&mut session, LOCK).map_err(servers[other].said(LOCK))?;
            typed(experiment, third, &["pause", "--for", "1s"])?
        };
        says(&locked, 1, &format!("{named}the group has not copied it there within 5 s"))?;
        says(&typed(experiment, third, &["resume"])?, 0, "note       the pause of lab was over already: until")?;

        experiment.lab.agents[third].stop()?;
        let no_agent = typed(experiment, third, &["pause"]);
        let resumed = typed(experiment, primary, &["resume"]);
        start_and_hear(experiment, third, AT_WORK)?;
        let no_agent = no_agent?;
        says(&no_agent, 1, &format!("{}  confirmed", address(experiment, third)))?;
        says(&no_agent, 1, "this host's agent: no agent runs here with this configuration")?;
        says(&resumed?, 0, "resumed")?;
        says(&typed(experiment, third, &["pause", "--cluster", "no"])?, 2, "there is no cluster \"no\"")?;
        for length in ["0s", "25h", "soon"] {
            says(&typed(experiment, third, &["pause", "--for", length])?, 2, "--for")?;
        }
        Ok::<_, Broken>(())
    })?;
    untouched(&under_test.experiment, &figures)
}

/// Each that is missing is named, with what mends it; nothing is paused, and nothing is left behind.
pub(super) fn without_rights(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("haipmgr pause without its rights", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let server = &experiment.lab.group.servers()[primary];
        let on = (primary + 1) % experiment.lab.segment.databases.len();
        let sql = experiment.lab.agents[on].sql(&experiment.lab.segment.databases[on])?;
        let no_call = "nothing was changed: the account may not call the procedure haipmgr.pause; run what haipmgr sql prints on the primary";
        let mend = "run what haipmgr sql prints on the primary";
        let marks: Vec<_> =
            (0..experiment.lab.agents.len()).map(|place| logs::mark(experiment, place)).collect();
        for (statement, sentences) in [
            (format!("REVOKE EXECUTE ON PROCEDURE haipmgr.pause FROM '{AGENT_USER}'@'%'"), [no_call, mend]),
            ("DROP PROCEDURE haipmgr.pause".to_owned(), [no_call, mend]),
            ("DROP TABLE haipmgr.pauses".to_owned(), ["nothing was changed: ", mend]),
            ("DROP SCHEMA haipmgr".to_owned(), ["nothing was changed: ", mend]),
            (
                format!("REVOKE SELECT ON haipmgr.pauses FROM '{AGENT_USER}'@'%'"),
                ["it was ordered, and can't be read back from the primary: ", mend],
            ),
        ] {
            server.run(&statement)?;
            let said = typed(experiment, on, &["pause", "--for", "10m"]);
            // Before an agent may read it; where there is no table, there is no row.
            let _ = server.run("DELETE FROM haipmgr.pauses");
            experiment.lab.group.make_agents_account(&sql)?;
            let said = said?;
            for sentence in sentences {
                says(&said, 1, sentence)?;
            }
        }
        for (place, mark) in marks.iter().enumerate() {
            let log = mark.since(experiment);
            promise(!log.contains("paused ("), || format!("{} was paused: {log}", experiment.name(place)))?;
        }
        Ok::<_, Broken>(())
    })?;
    untouched(&under_test.experiment, &figures)
}
