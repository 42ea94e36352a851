//! `haipmgr drain` before a host or its mysqld goes down, and `undrain` after it.

use std::process::Output;
use std::time::Duration;

use super::agents::{AT_WORK, start_and_hear};
use super::expect::{followed, promise, rows_are_there, untouched};
use super::network::wait_for_holders;
use super::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::{Fault, holders};
use crate::statement;

/// For how long a host that is to stay without the VIP is watched.
const NOTHING_FOR: Duration = Duration::from_secs(2);
/// How long the VIP may take to leave a host, or to be back.
const MOVED_WITHIN: Duration = Duration::from_secs(3);

/// What outlives the agent of a drained host.
const DRAINED: &str = "/var/lib/haipmgr/drained_3306";
const READ_LOCK: &str = "FLUSH TABLES WITH READ LOCK";

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
            statement::run(&mut held, statement).map_err(server.said(statement))?;
        }
        // What is waited for is that nobody is at work on it.
        std::thread::sleep(NOTHING_FOR + Duration::from_millis(100));
        let said = typed(experiment, primary, "drain")?;
        says(&said, 4, &format!("session {} on ", held.connection_id()))?;
        says(&said, 4, "not drained: the VIP of lab stays as it is")
    })?;
    untouched(&under_test.experiment, &figures)
}

/// Nobody else can become the primary: the VIP stays, and so does the primary.
pub(super) fn without_a_candidate(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("haipmgr drain without a candidate", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let servers = experiment.lab.group.servers();
        let mut held = Vec::new();
        for (_, server) in servers.iter().enumerate().filter(|(place, _)| *place != primary) {
            let mut session = server.admin()?;
            statement::run(&mut session, READ_LOCK).map_err(server.said(READ_LOCK))?;
            held.push(session);
        }
        let said = typed(experiment, primary, "drain");
        drop(held);
        let said = said?;
        says(&said, 4, "not drained: no other member is fit to become the primary")?;
        says(&said, 4, "not fit: 1 of its sessions would hold the switchover up")?;
        says(&said, 4, "not drained: the VIP of lab stays as it is")
    })?;
    untouched(&under_test.experiment, &figures)
}

/// On a host that is not the primary's: its agent hangs, is dead, or can't write the file that outlives it.
pub(super) fn could_not(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("haipmgr drain, not done", |experiment| {
        let on = (experiment.lab.group.primary()? + 1) % experiment.lab.segment.databases.len();
        let host = &experiment.lab.segment.databases[on];
        let other = experiment.lab.agents[on].command(host, &["drain", "--cluster", "no"])?;
        says(&other, 2, "there is no cluster \"no\" in /etc/haipmgr/haipmgr.toml; there is: lab")?;
        // A folder has its name.
        let file = host.path(DRAINED);
        std::fs::create_dir(&file).map_err(Broken::io(format!("making {}", file.display())))?;
        let not_kept = typed(experiment, on, "drain");
        std::fs::remove_dir(&file).map_err(Broken::io(format!("removing {}", file.display())))?;
        says(&typed(experiment, on, "undrain")?, 0, "undrained")?;
        let not_kept = not_kept?;
        says(&not_kept, 1, "done, but it does not outlive the agent: /var/lib/haipmgr/drained_3306: ")?;
        experiment.lab.agents[on].freeze()?;
        let hung = typed(experiment, on, "drain");
        experiment.lab.agents[on].kill()?;
        let dead = typed(experiment, on, "drain");
        start_and_hear(experiment, on, AT_WORK)?;
        let (hung, dead) = (hung?, dead?);
        for said in [&hung, &dead] {
            says(said, 1, "not this host: no switchover is needed")?;
        }
        says(&hung, 1, "it is hung; end it with kill -9")?;
        says(&dead, 1, "no agent runs here with this configuration")
    })?;
    untouched(&under_test.experiment, &figures)
}
