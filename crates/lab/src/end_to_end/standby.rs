//! A group that is kept read-only on purpose, as a `ClusterSet`'s replica cluster is: its VIP follows the primary where the file says so.

use std::time::Duration;

use super::expect::promise;
use super::network::wait_for_holders;
use super::reload::{and_back, follow};
use super::{Broken, UnderTest};
use crate::agents::{Cluster, LAB};
use crate::experiment::Experiment;

/// How long is waited for what should come long before.
const PATIENCE: Duration = Duration::from_secs(5);

/// With `read_only_primary = "follow"` the VIP moves with the role, though no member takes writes; and it stays when the group becomes the
/// one that takes them.
pub(super) fn follows_the_read_only_primary(under_test: &mut UnderTest) -> Result<String, Broken> {
    let old = under_test.experiment.lab.wait_steady()?;
    let new = (old + 1) % under_test.experiment.lab.segment.databases.len();
    let mut moved = Duration::ZERO;
    let experiment = &mut under_test.experiment;
    let outcome = and_back(experiment, |experiment| {
        follow(experiment, &[Cluster { more: "read_only_primary = \"follow\"\n", ..LAB }])?;
        experiment.lab.group.make_new_primaries_writable(old, false)?;
        run(experiment, old, "SET GLOBAL super_read_only = ON")?;
        experiment.lab.group.switch_over(new)?;
        moved = wait_for_holders(experiment, &[new], PATIENCE)?;
        let read_only = experiment.lab.group.servers()[new].view()?.super_read_only;
        promise(read_only, || {
            "the new primary takes writes: the group is none that is kept read-only".to_owned()
        })
    });
    // However it went: the group is made one that takes writes, and the VIP stays where it is.
    run(experiment, new, "SET GLOBAL super_read_only = OFF")?;
    run(experiment, new, "SET GLOBAL read_only = OFF")?;
    experiment.lab.group.make_new_primaries_writable(new, true)?;
    experiment.lab.wait_steady()?;
    outcome?;
    wait_for_holders(experiment, &[new], Duration::ZERO)?;
    Ok(format!("on the read-only primary {:.2} s after the group named it", moved.as_secs_f64()))
}

fn run(experiment: &Experiment, place: usize, statement: &str) -> Result<(), Broken> {
    Ok(experiment.lab.group.servers()[place].run(statement)?)
}
