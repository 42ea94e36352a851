//! What a switchover meets on the old primary and on the target.

use std::net::IpAddr;
use std::time::Duration;

use super::{Obstacle, Weight};
use crate::switchover::member::{Reading, Said};
use crate::switchover::session::{Does, MOST_SESSIONS, Session};

/// Idle in a transaction for so long: nobody is at work on it. In whole seconds, as the server counts.
const IDLE: Duration = Duration::from_secs(1);

pub(super) fn on_old_primary(server: IpAddr, said: &Said, within: Duration) -> Vec<Obstacle> {
    let mut found = of_sessions(server, said, |session| {
        let idle_long = session.since >= IDLE;
        match session.does {
            Does::GlobalReadLock | Does::TableLock => Some(Weight::Blocks),
            Does::Explicit | Does::MaybeExplicit => {
                Some(if idle_long { Weight::Blocks } else { Weight::Slows })
            }
            Does::Ddl | Does::Writes if session.since >= within => Some(Weight::Blocks),
            Does::Ddl | Does::Writes => idle_long.then_some(Weight::Slows),
            // Nothing is lost of one that has changed nothing.
            Does::Implicit => (said.rows_changed(session.id) != Some(0)).then_some(Weight::Lost),
            Does::BackupLock => Some(Weight::Note),
            // Told with the others, where they are known.
            Does::Prepared => said.prepared.is_err().then_some(Weight::Note),
        }
    });
    let note = |words: String, weight| Obstacle { server, session: None, weight, words };
    match &said.prepared {
        Ok(prepared) if !prepared.is_empty() => found.push(note(
            format!(
                "prepared XA transactions: {}; nothing of them is lost, they can be committed on {server} or on the new primary",
                prepared.join(", ")
            ),
            Weight::Note,
        )),
        Ok(_) => {}
        Err(why) => found.push(note(format!("prepared XA transactions are not known: {why}"), Weight::Note)),
    }
    if let Err(why) = &said.changed
        && found.iter().any(|obstacle| obstacle.weight == Weight::Lost)
    {
        found.push(note(
            format!("how many rows open transactions have changed is not known: {why}"),
            Weight::Note,
        ));
    }
    found
}

/// Who holds up a switchover that is under way, on the old primary and on the target.
pub(crate) fn holders(readings: &[Reading], from: IpAddr, within: Duration) -> Vec<Obstacle> {
    let said = readings.iter().filter_map(|reading| Some((reading.address, reading.said.as_ref().ok()?)));
    let mut found: Vec<_> =
        said.flat_map(|(server, said)| {
            if server == from { on_old_primary(server, said, within) } else { on_target(server, said) }
        })
        .filter(|obstacle| matches!(obstacle.weight, Weight::Blocks | Weight::Unknown | Weight::Slows))
        .collect();
    found.sort_by_key(|obstacle| obstacle.weight);
    found
}

/// Sessions there are read-only: what holds a switchover up are locks.
pub(super) fn on_target(server: IpAddr, said: &Said) -> Vec<Obstacle> {
    of_sessions(server, said, |session| match session.does {
        Does::GlobalReadLock | Does::TableLock => Some(Weight::Blocks),
        Does::BackupLock => Some(Weight::Note),
        _ => None,
    })
}

fn of_sessions(server: IpAddr, said: &Said, weigh: impl Fn(&Session) -> Option<Weight>) -> Vec<Obstacle> {
    let (sessions, all) = match &said.sessions {
        Ok((sessions, all)) => (sessions, *all),
        Err(why) => {
            let words = format!("{server}: whether a session is in the way: {why}");
            return vec![Obstacle { server, session: None, weight: Weight::Unknown, words }];
        }
    };
    let of = |session: &Session, weight| {
        let consequence = consequence(server, session, said);
        let words = format!("{server}: {session}; {consequence}");
        Obstacle { server, session: Some(session.id), weight, words }
    };
    let mut found: Vec<_> =
        sessions.iter().filter_map(|session| Some(of(session, weigh(session)?))).collect();
    let shown = u64::try_from(sessions.len()).unwrap_or(u64::MAX);
    if all > shown && shown >= MOST_SESSIONS {
        let words = format!(
            "{server}: {} more sessions of shorter standing are in a transaction, run a statement that writes or hold a lock",
            all - shown
        );
        found.push(Obstacle { server, session: None, weight: Weight::Note, words });
    }
    found
}

/// What the session does to the switchover, and what can be done.
fn consequence(server: IpAddr, session: &Session, said: &Said) -> String {
    let kill = session.kill();
    match session.does {
        Does::GlobalReadLock => {
            format!("no server may take writes until it is released; on {server}: {kill}")
        }
        Does::TableLock => format!("writes stop until they are released; on {server}: {kill}"),
        Does::Explicit | Does::MaybeExplicit => {
            format!(
                "MySQL waits for its end without limit, and writes go on meanwhile; COMMIT it, or on {server}: {kill}"
            )
        }
        Does::Ddl => {
            format!("MySQL waits for it, and runs it again on the new primary; or on {server}: {kill}")
        }
        Does::Writes => {
            format!("MySQL waits for its end, and other writes go on meanwhile; or on {server}: {kill}")
        }
        Does::BackupLock => "the switchover does not wait for it; changes of tables do".to_owned(),
        Does::Prepared => "nothing of it is lost".to_owned(),
        Does::Implicit => match said.rows_changed(session.id) {
            Some(rows) => format!("its COMMIT will fail (error 1290): {rows} changed rows are lost"),
            None => "its COMMIT will fail (error 1290): what it has changed is lost".to_owned(),
        },
    }
}
