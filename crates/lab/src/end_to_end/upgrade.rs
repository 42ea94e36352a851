//! A rolling upgrade: the group begins with an older server, and each member is upgraded in turn. In a mixed group only a member of the
//! lowest version is elected (MySQL 9.7 manual, 20.8.1 "Combining Different Member Versions in a Group"), so that the primary moves.

use super::expect::{followed, promise, untouched};
use super::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::namespace::Layout;

/// Goes through it on a lab of its own, and gives the figures, a line each.
///
/// # Errors
/// The lab does not come up, or the VIP is not where it should be.
pub fn upgrade(layout: &Layout) -> Result<String, Broken> {
    let mut under_test = UnderTest { layout: layout.clone(), experiment: Experiment::start(layout, false)? };
    let told = in_turn(&mut under_test)?;
    under_test.experiment.finish();
    Ok(told)
}

fn in_turn(under_test: &mut UnderTest) -> Result<String, Broken> {
    let first = under_test.experiment.lab.wait_steady()?;
    let places = under_test.experiment.lab.segment.databases.len();
    let old = version(under_test, first)?;
    let upgraded = (first + 1) % places;
    let mut lines = vec![format!("the group begins with {old}")];
    let figures = upgrade_secondary(under_test, upgraded)?;
    lines.push(format!("a secondary upgraded to {}: {figures}", version(under_test, upgraded)?));

    let figures = under_test.experiment.run(Fault::Kill9)?;
    let second = under_test.experiment.lab.group.primary()?;
    let leads = version(under_test, second)?;
    promise(leads == old, || format!("a member of version {leads} was elected beside one of {old}"))?;
    lines.push(format!("the primary killed, one of {leads} elected: {}", followed(&figures)?));

    for place in (0..places).filter(|place| ![upgraded, second].contains(place)) {
        lines.push(format!("another secondary upgraded: {}", upgrade_secondary(under_test, place)?));
    }
    let layout = under_test.layout.clone();
    let figures = under_test.experiment.dethroning("the primary upgraded", |experiment, deed| {
        experiment.lab.group.servers()[second].run("SHUTDOWN")?;
        let outcome = experiment.wait_followed(second);
        experiment.heals(deed);
        upgrade_server(experiment, second, &layout)?;
        outcome?;
        Ok::<_, Broken>(())
    })?;
    lines.push(format!("the primary upgraded last: {}", followed(&figures)?));
    let last = under_test.experiment.lab.wait_steady()?;
    lines.push(format!("all have {}", version(under_test, last)?));
    Ok(lines.join("\n"))
}

fn upgrade_secondary(under_test: &mut UnderTest, place: usize) -> Result<String, Broken> {
    let layout = under_test.layout.clone();
    let figures = under_test.experiment.watched("a secondary upgraded", |experiment| {
        experiment.lab.group.servers()[place].run("SHUTDOWN")?;
        upgrade_server(experiment, place, &layout)
    })?;
    untouched(&under_test.experiment, &figures)
}

fn upgrade_server(experiment: &mut Experiment, place: usize, layout: &Layout) -> Result<(), Broken> {
    let lab = &mut experiment.lab;
    Ok(lab.group.upgrade(place, &lab.segment.databases[place], layout)?)
}

fn version(under_test: &UnderTest, place: usize) -> Result<String, Broken> {
    Ok(under_test.experiment.lab.group.servers()[place].version()?)
}
