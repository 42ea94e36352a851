//! The faults, and which alerts are expected of each. Each story is recorded by itself, begins with a quiet stretch, and comes back to one.
//!
//! Some alerts last for minutes by what they are (`increase` over ten of them): they come last.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::Told;
use crate::agents::{Cluster, LAB};
use crate::end_to_end::agents::{ADOPTED, AT_WORK, start_and_hear};
use crate::end_to_end::contested::claim_by_gratuitous_arp;
use crate::end_to_end::drain::says;
use crate::end_to_end::expect::{followed, rows_are_there};
use crate::end_to_end::history::typed;
use crate::end_to_end::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::{Fault, FaultError};
use crate::packet_rules;

/// How long nothing happens at the beginning, and between two faults: what should last can only be seen by letting time pass.
const QUIET: Duration = Duration::from_secs(15);
/// The same after a fault, before it is quiet again: the second that is being scraped, and the next.
const SETTLED: Duration = Duration::from_secs(2);
/// How long a fault lasts whose alert waits for 30 s, or for a minute.
const HALF_A_MINUTE: Duration = Duration::from_secs(45);
const A_MINUTE: Duration = Duration::from_secs(80);
/// A member without a majority, where the others have one: longer than the alert of a group without waits for, and shorter than that of a
/// member, which has been without since the group called the others silent.
const CUT_OFF_FOR: Duration = Duration::from_secs(35);
/// A server is slow for as long as the average over two minutes takes to rise, and the minute that the alert waits.
const SLOW_FOR: Duration = Duration::from_secs(180);
/// It stands still for so long, and goes on for so long, in turns: shorter than the agent's `query_limit`.
const STANDS_STILL: Duration = Duration::from_millis(400);
const GOES_ON: Duration = Duration::from_millis(60);
/// A pause that is recorded for so many seconds is told to promtool as one of so many minutes. The alert waits for an hour.
const FORGOTTEN: Duration = Duration::from_secs(66);
/// How long a hook may take to be run and counted.
const HOOK_IS_RUN: Duration = Duration::from_secs(6);
/// How long a stranger's claim may take to be told in the log, and counted.
const CONFLICT_IS_TOLD: Duration = Duration::from_secs(8);

const HOOK_THAT_SUCCEEDS: &str = "on_acquire = [\"/bin/true\"]\n";
const HOOK_THAT_FAILS: &str = "on_acquire = [\"/bin/false\"]\n";

/// Faults in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Story {
    /// A planned switchover; kill -9 of the primary's mysqld; one member without a majority; a group without one
    Members,
    /// An agent restarted, and killed; the agents' account turned away; a pause that nobody ends
    Agents,
    /// A slow server; a stranger that uses the VIP; a hook that fails
    Surroundings,
}

type Firing = (&'static str, Option<String>);

impl Story {
    /// Each.
    pub(super) const ALL: [Self; 3] = [Self::Members, Self::Agents, Self::Surroundings];

    /// How the agents are configured.
    pub(super) fn cluster(self) -> Cluster {
        let more = match self {
            Self::Members => HOOK_THAT_SUCCEEDS,
            Self::Agents => "",
            Self::Surroundings => HOOK_THAT_FAILS,
        };
        Cluster { more, ..LAB }
    }

    /// Whether all that an agent can show is in its recording: switches with their outage, hooks, what was not known.
    pub(super) fn has_everything(self) -> bool {
        self == Self::Members
    }

    pub(super) fn tell(self, under_test: &mut UnderTest, told: &mut Told) -> Result<(), Broken> {
        let experiment = &mut under_test.experiment;
        match self {
            Self::Members => {
                quiet("at rest", told)?;
                switchover(experiment, told)?;
                primary_killed(experiment, told)?;
                primary_cut_off(experiment, told)?;
                majority_lost(experiment, told)
            }
            Self::Agents => {
                an_hour_at_rest(told)?;
                agent_restarted(experiment, told)?;
                agent_killed(experiment, told)?;
                account_turned_away(experiment, told)?;
                pause_forgotten(experiment, told)
            }
            Self::Surroundings => {
                quiet("at rest", told)?;
                slow_server(experiment, told)?;
                stranger(experiment, told)?;
                failing_hook(experiment, told)
            }
        }
    }
}

fn quiet(name: &str, told: &mut Told) -> Result<(), Broken> {
    std::thread::sleep(SETTLED);
    told.stretch(name, &[], || {
        std::thread::sleep(QUIET);
        Ok(())
    })
}

/// On every host.
fn everywhere(alert: &'static str, experiment: &Experiment) -> Vec<Firing> {
    (0..experiment.lab.agents.len()).map(|place| (alert, Some(experiment.name(place)))).collect()
}

fn switchover(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    told.stretch("a planned switchover", &[], || {
        followed(&experiment.run(Fault::Switchover)?)?;
        std::thread::sleep(QUIET);
        Ok(())
    })
}

fn primary_killed(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let figures = experiment.dethroning("kill -9 of the primary's mysqld", |experiment, deed| {
        let old = experiment.lab.group.primary()?;
        let fires = [("HaipmgrMemberNotReady", Some(experiment.name(old)))];
        told.stretch("kill -9 of the primary's mysqld, which stays down", &fires, || {
            if let Some(server) = experiment.lab.group.server_mut(old) {
                server.kill()?;
            }
            experiment.wait_followed(old)?;
            std::thread::sleep(A_MINUTE);
            Ok(())
        })?;
        experiment.heals(deed);
        let lab = &mut experiment.lab;
        Ok::<_, Broken>(lab.group.heal(old, &lab.segment.databases[old])?)
    })?;
    followed(&figures)?;
    quiet("the member is back", told)
}

/// The others are a majority, so that the one which sees none is no matter of the whole group.
fn primary_cut_off(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let figures =
        experiment.dethroning("the primary alone is cut off in the group", |experiment, deed| {
            let old = experiment.lab.group.primary()?;
            let recorded = told.stretch("the primary alone is cut off in the group", &[], || {
                packet_rules::cut_group_port(&experiment.lab.segment.databases[old])
                    .map_err(FaultError::from)?;
                experiment.wait_followed(old)?;
                std::thread::sleep(CUT_OFF_FOR);
                Ok(())
            });
            experiment.heals(deed);
            let lab = &mut experiment.lab;
            packet_rules::remove(&lab.segment.databases[old]).map_err(FaultError::from)?;
            lab.group.heal(old, &lab.segment.databases[old])?;
            recorded
        })?;
    followed(&figures)?;
    quiet("it is back in its group", told)
}

/// The two other members stand still: what is left is no majority, and lets go of the VIP.
fn majority_lost(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let figures = experiment.watched("two members of three hang", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let mut fires = everywhere("HaipmgrMemberNotReady", experiment);
        fires.extend([("HaipmgrNoMajority", None), ("HaipmgrVipNotHeld", None)]);
        let others: Vec<usize> = (0..experiment.lab.agents.len()).filter(|place| *place != primary).collect();
        let recorded = told.stretch("two members of three hang: no majority", &fires, || {
            others.iter().try_for_each(|other| experiment.lab.group.servers()[*other].freeze())?;
            std::thread::sleep(A_MINUTE);
            Ok(())
        });
        others.iter().try_for_each(|other| experiment.lab.group.servers()[*other].thaw())?;
        experiment.lab.repair()?;
        recorded
    })?;
    rows_are_there(&figures)?;
    quiet("the group is whole again", told)
}

fn an_hour_at_rest(told: &mut Told) -> Result<(), Broken> {
    told.stretch("at rest", &[], || {
        std::thread::sleep(FORGOTTEN);
        Ok(())
    })?;
    let minutes = told.stretches.last().map(|last| last.as_minutes("the same, as an hour", &[]));
    told.stretches.extend(minutes);
    Ok(())
}

fn agent_restarted(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let holder = experiment.lab.wait_steady()?;
    told.stretch("the holder's agent restarted", &[], || {
        experiment.lab.agents[holder].stop()?;
        start_and_hear(experiment, holder, ADOPTED)?;
        std::thread::sleep(QUIET);
        Ok(())
    })
}

fn agent_killed(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let holder = experiment.lab.wait_steady()?;
    let other = (holder + 1) % experiment.lab.agents.len();
    let fires = [("HaipmgrAgentDown", Some(experiment.name(other)))];
    told.stretch("a secondary's agent killed", &fires, || {
        experiment.lab.agents[other].kill()?;
        std::thread::sleep(HALF_A_MINUTE);
        Ok(())
    })?;
    start_and_hear(experiment, other, AT_WORK)?;
    quiet("its agent is back", told)
}

/// As when somebody changes the password in the database alone.
fn account_turned_away(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let figures = experiment.watched("the agents' password no longer fits", |experiment| {
        let holder = experiment.lab.group.primary()?;
        let mut fires = everywhere("HaipmgrMemberNotReady", experiment);
        fires.push(("HaipmgrNoProof", Some(experiment.name(holder))));
        let injected = Fault::WrongPassword.inject(&mut experiment.lab.scene())?;
        let recorded = told.stretch("the agents' password no longer fits", &fires, || {
            std::thread::sleep(A_MINUTE);
            Ok(())
        });
        injected.heal(&mut experiment.lab.scene())?;
        recorded
    })?;
    rows_are_there(&figures)?;
    quiet("it fits again", told)
}

fn pause_forgotten(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let paused = ["pause", "--for", "3h", "--reason", "recorded"];
    told.stretch("a pause of a minute", &[], || {
        says(&typed(experiment, 0, &paused)?, 0, "confirmed")?;
        std::thread::sleep(FORGOTTEN);
        Ok(())
    })?;
    says(&typed(experiment, 0, &["resume"])?, 0, "resumed")?;
    let fires = everywhere("HaipmgrPaused", experiment);
    let minutes = told.stretches.last().map(|last| last.as_minutes("the same, as one of an hour", &fires));
    told.stretches.extend(minutes);
    quiet("resumed", told)
}

/// A secondary's server stands still again and again, too shortly for the group or the agent to give it up.
fn slow_server(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let figures = experiment.watched("a slow server", |experiment| {
        let slow = (experiment.lab.group.primary()? + 1) % experiment.lab.agents.len();
        let server = &experiment.lab.group.servers()[slow];
        let fires = [("HaipmgrServerSlow", Some(experiment.name(slow)))];
        let recorded = told.stretch("a server that takes 0.2 s for each answer", &fires, || {
            let since = Instant::now();
            while since.elapsed() < SLOW_FOR {
                server.freeze()?;
                std::thread::sleep(STANDS_STILL);
                server.thaw()?;
                std::thread::sleep(GOES_ON);
            }
            Ok(())
        });
        server.thaw()?;
        recorded
    })?;
    rows_are_there(&figures)
}

/// The last word of a slow server is two minutes old by then.
fn stranger(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    std::thread::sleep(A_MINUTE);
    quiet("the server answers as ever", told)?;
    let holder = experiment.lab.wait_steady()?;
    let figures = experiment.watched("a stranger claims the VIP", |experiment| {
        let fires = [("HaipmgrAddressConflict", Some(experiment.name(holder)))];
        told.stretch("a machine that is no member claims the VIP", &fires, || {
            let since = Instant::now();
            while since.elapsed() < CONFLICT_IS_TOLD {
                claim_by_gratuitous_arp(&experiment.lab.segment.gateway)?;
                std::thread::sleep(Duration::from_millis(700));
            }
            Ok(())
        })
    })?;
    rows_are_there(&figures)
}

/// The conflict is told for five minutes, so it is still there.
fn failing_hook(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    let old = experiment.lab.wait_steady()?;
    followed(&experiment.run(Fault::Switchover)?)?;
    let new = experiment.lab.wait_steady()?;
    std::thread::sleep(HOOK_IS_RUN);
    let fires = [
        ("HaipmgrAddressConflict", Some(experiment.name(old))),
        ("HaipmgrHookFailed", Some(experiment.name(new))),
    ];
    told.stretch("on_acquire failed at a switchover", &fires, || {
        std::thread::sleep(QUIET);
        Ok(())
    })
}
