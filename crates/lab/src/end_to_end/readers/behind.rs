//! A secondary that falls behind gives its reader VIP away once that has lasted; a busy minute moves nothing.

use std::time::Duration;

use super::super::expect::{promise, untouched};
use super::super::machine::with_all_cores_busy;
use super::super::{Broken, UnderTest};
use super::{a_reader, held, moved, none_moved, pauses, wait_until, with_readers, with_readers_anywhere};
use crate::experiment::Experiment;
use crate::record::now_us;
use crate::statement;

/// What a lab's own client writes in half a second.
const SMALL: &str = "reader_max_behind = 100\nreader_behind_for = \"2s\"\nreader_well_for = \"3s\"\n";
/// The same with more patience.
const PATIENT: &str = "reader_max_behind = 100\nreader_behind_for = \"6s\"\nreader_well_for = \"3s\"\n";
/// Behind for 2 s, which is looked for once a second; and the client needs a while to write so much.
const MOVED_WITHIN: Duration = Duration::from_secs(8);
/// What was missed is applied, and it has been well for 3 s.
const BACK_WITHIN: Duration = Duration::from_secs(20);
/// With it a secondary applies nothing, and serves readers.
const HOLD: &str = "FLUSH TABLES WITH READ LOCK";
/// How long a secondary is held up, again and again.
const A_MOMENT: Duration = Duration::from_secs(2);
const MOMENTS: usize = 3;
const BUSY_FOR: Duration = Duration::from_secs(20);

/// A session that holds a secondary's applier up until it is dropped.
fn hold_up(experiment: &Experiment, place: usize) -> Result<mysql::Conn, Broken> {
    let server = &experiment.lab.group.servers()[place];
    let mut session = server.admin()?;
    statement::run(&mut session, HOLD).map_err(server.said(HOLD))?;
    Ok(session)
}

/// It can't apply anything: its VIP goes to another, and comes back when all is applied and it has been well for a while.
pub(in super::super) fn falls_behind(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers(under_test, SMALL, |under_test| {
        let (mut words, mut since) = (String::new(), now_us());
        let figures = under_test.experiment.watched("a reader falls behind", |experiment| {
            let behind = a_reader(experiment)?;
            since = now_us();
            let held_up = hold_up(experiment, behind)?;
            let gone = wait_until(experiment, "the one that is behind has no reader VIP", MOVED_WITHIN, |all| {
                all.values().all(|holders| holders.len() == 1 && holders[0] != behind)
            });
            let pause = pauses(experiment, since);
            drop(held_up);
            let gone = gone?;
            let back = wait_until(experiment, "it has its share again", BACK_WITHIN, |all| {
                all.values().any(|holders| holders == &[behind])
            })?;
            words = format!(
                "given away {:.1} s after the applier stood still, reads paused {pause} s; its share {:.1} s after it went on",
                gone.as_secs_f64(),
                back.as_secs_f64()
            );
            Ok::<_, Broken>(())
        })?;
        untouched(&under_test.experiment, &figures)?;
        Ok(words)
    })
}

/// Behind for less than `reader_behind_for`, again and again, and every core busy.
pub(in super::super) fn busy_moves_nothing(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers(under_test, PATIENT, |under_test| {
        let mut pause = String::new();
        let figures = under_test.experiment.watched("a busy minute of readers", |experiment| {
            let since = now_us();
            for _ in 0..MOMENTS {
                let held_up = hold_up(experiment, a_reader(experiment)?)?;
                // What is shown is that nothing happens in this time.
                std::thread::sleep(A_MOMENT);
                drop(held_up);
                std::thread::sleep(A_MOMENT);
            }
            with_all_cores_busy(BUSY_FOR);
            none_moved(experiment, since)?;
            pause = pauses(experiment, since).to_string();
            Ok::<_, Broken>(())
        })?;
        untouched(&under_test.experiment, &figures)?;
        Ok(format!("nothing moved; longest time between two reads {pause} s"))
    })
}

/// All secondaries are behind, and the operator wants them to serve all the same.
pub(in super::super) fn all_behind_any_online(under_test: &mut UnderTest) -> Result<String, Broken> {
    const ANY: &str = "reader_max_behind = 100\nreader_behind_for = \"2s\"\nreader_well_for = \"3s\"\nwhen_no_reader = \"any_online\"\n";
    with_readers_anywhere(under_test, ANY, |under_test| {
        all_behind(under_test, |experiment, since| {
            let primary = experiment.lab.group.primary()?;
            let secondaries_serve =
                held(experiment)?.values().any(|holders| holders.first() != Some(&primary));
            promise(secondaries_serve, || "any_online, and no secondary serves".to_owned())?;
            let moves = moved(experiment, since).len();
            Ok(format!("{moves} of the reader VIPs moved, and secondaries still serve"))
        })
    })
}

/// All secondaries are behind: the primary serves, whose answers are the newest.
pub(in super::super) fn all_behind_primary(under_test: &mut UnderTest) -> Result<String, Broken> {
    with_readers_anywhere(under_test, SMALL, |under_test| {
        all_behind(under_test, |experiment, _| {
            let primary = experiment.lab.group.primary()?;
            let at = wait_until(experiment, "the primary has all reader VIPs", MOVED_WITHIN, |all| {
                all.values().all(|holders| holders == &[primary])
            })?;
            Ok(format!(
                "on the primary {:.1} s after the others had been held up for a while",
                at.as_secs_f64()
            ))
        })
    })
}

fn all_behind(
    under_test: &mut UnderTest,
    shows: impl FnOnce(&mut Experiment, u64) -> Result<String, Broken>,
) -> Result<String, Broken> {
    let mut words = String::new();
    let figures = under_test.experiment.watched("all readers fall behind", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let since = now_us();
        let places = 0..experiment.lab.segment.databases.len();
        let held_up: Result<Vec<_>, Broken> =
            places.filter(|place| *place != primary).map(|place| hold_up(experiment, place)).collect();
        // Longer than it takes to be called behind.
        std::thread::sleep(MOVED_WITHIN);
        let found = shows(experiment, since);
        drop(held_up?);
        words = found?;
        experiment.wait_readers()?;
        Ok::<_, Broken>(())
    })?;
    untouched(&under_test.experiment, &figures)?;
    Ok(words)
}
