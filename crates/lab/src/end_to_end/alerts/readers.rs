//! VIPs for readers, of which nobody may have one while no secondary is fit (`when_no_reader = "nobody"`).

use std::net::IpAddr;
use std::time::Duration;

use super::Told;
use super::stories::{HALF_A_MINUTE, quiet};
use crate::agents::{Cluster, LAB};
use crate::end_to_end::Broken;
use crate::end_to_end::expect::rows_are_there;
use crate::experiment::Experiment;
use crate::segment::some_readers;

/// With two of them, and a member that comes back takes its share soon.
pub(super) const CLUSTER: Cluster =
    Cluster { readers: two, more: "reader_well_for = \"3s\"\nwhen_no_reader = \"nobody\"\n", ..LAB };
/// Longer than the alert of a VIP that nobody holds waits for, and shorter than that of a member that is not ready.
const STOPPED_FOR: Duration = HALF_A_MINUTE;

fn two() -> Vec<IpAddr> {
    some_readers(2)
}

pub(super) fn tell(experiment: &mut Experiment, told: &mut Told) -> Result<(), Broken> {
    experiment.lab.wait_readers(&two())?;
    quiet("at rest, with two VIPs for readers", told)?;
    stopped(experiment, told, 1, "one secondary stopped: the other serves all readers", &[])?;
    quiet("each secondary serves again", told)?;
    let fires = [("HaipmgrVipNotHeld", None)];
    stopped(experiment, told, 2, "no secondary left, and nobody is to serve readers", &fires)?;
    quiet("the secondaries serve again", told)
}

/// So many secondaries leave their group, and come back. Each time the writers' VIP stays with the primary.
fn stopped(
    experiment: &mut Experiment,
    told: &mut Told,
    count: usize,
    name: &str,
    fires: &[(&'static str, Option<String>)],
) -> Result<(), Broken> {
    let figures = experiment.watched(name, |experiment| {
        let primary = experiment.lab.group.primary()?;
        let places = experiment.lab.segment.databases.len();
        let stopped: Vec<usize> = (1..=count).map(|step| (primary + step) % places).collect();
        let recorded = told.stretch(name, fires, || {
            let servers = experiment.lab.group.servers();
            stopped.iter().try_for_each(|place| servers[*place].run("STOP GROUP_REPLICATION"))?;
            std::thread::sleep(STOPPED_FOR);
            Ok(())
        });
        let lab = &mut experiment.lab;
        let hosts: Vec<_> = stopped.iter().map(|place| (*place, &lab.segment.databases[*place])).collect();
        lab.group.heal_each(&hosts)?;
        recorded?;
        Ok::<_, Broken>(lab.wait_readers(&two())?)
    })?;
    rows_are_there(&figures)
}
