//! `haipmgr drain` before a host or its mysqld goes down, and `undrain` after it.

use std::process::Output;
use std::time::Duration;

use mysql::prelude::Queryable as _;

use super::agents::{AT_WORK, start_and_hear};
use super::expect::{followed, promise, rows_are_there, untouched};
use super::network::wait_for_holders;
use super::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::{Fault, holders};

/// For how long a host that is to stay without the VIP is watched.
const NOTHING_FOR: Duration = Duration::from_secs(2);
/// How long the VIP may take to leave a host, or to be back.
const MOVED_WITHIN: Duration = Duration::from_secs(3);

/// As `systemctl stop mysql` does it with the drop-in.
pub(super) fn then_shutdown(under_test: &mut UnderTest) -> Result<String, Broken> {
    followed(&under_test.experiment.run(Fault::DrainShutdown)?)
}

fn typed(experiment: &Experiment, on: usize, command: &str) -> Result<Output, Broken> {
    Ok(experiment.lab.agents[on].command(&experiment.lab.segment.databases[on], &[command])?)
}

/// That it ended with this status, and said this.
pub(super) fn says(said: &Output, status: i32, sentence: &str) -> Result<(), Broken> {
    let words =
        String::from_utf8_lossy(&[said.stdout.as_slice(), said.stderr.as_slice()].concat()).into_owned();
    promise(said.status.code() == Some(status) && words.contains(sentence), || {
        format!("{}, and not {status} with {sentence:?}: {words}", said.status)
    })
}

/// A drained host takes no VIP though its server becomes the primary, also when its agent is started anew, until it is undrained.
pub(super) fn takes_none(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.dethroning(
        "a drained host's server made the primary",
        |experiment, deed| {
            let old = experiment.lab.group.primary()?;
            let drained = (old + 1) % experiment.lab.segment.databases.len();
            says(&typed(experiment, drained, "drain")?, 0, "not this host: no switchover is needed")?;
            experiment.lab.group.switch_over(drained)?;
            let mut nobody = wait_for_holders(experiment, &[], MOVED_WITHIN).map(drop);
            if nobody.is_ok() {
                experiment.lab.agents[drained].stop()?;
                start_and_hear(experiment, drained, AT_WORK)?;
                // What is shown is that nothing happens in this time.
                std::thread::sleep(NOTHING_FOR);
                let there = holders(&experiment.lab.segment)?;
                nobody = promise(there.is_empty(), || {
                    format!("drained, and started anew, and the VIP is on {there:?}")
                });
            }
            let undrained = typed(experiment, drained, "undrain");
            let back = wait_for_holders(experiment, &[drained], MOVED_WITHIN);
            experiment.heals(deed);
            nobody?;
            says(&undrained?, 0, "undrained: this host may take the VIP of lab again")?;
            back?;
            Ok::<_, Broken>(())
        },
    )?;
    rows_are_there(&figures)?;
    Ok(format!("nobody held the VIP for {} s, until the host was undrained", figures.unheld))
}

/// Where the primary can't be moved away, the VIP stays as well.
pub(super) fn refuses(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("haipmgr drain, refused", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let server = &experiment.lab.group.servers()[primary];
        let mut held = server.admin()?;
        for statement in ["BEGIN", "INSERT INTO lab.ledger (id, note) VALUES (0, 'held')"] {
            held.query_drop(statement).map_err(server.said(statement))?;
        }
        // What is waited for is that nobody is at work on it.
        std::thread::sleep(NOTHING_FOR + Duration::from_millis(100));
        let said = typed(experiment, primary, "drain")?;
        says(&said, 4, &format!("session {} on ", held.connection_id()))?;
        says(&said, 4, "not drained: the VIP of lab stays as it is")
    })?;
    untouched(&under_test.experiment, &figures)
}
