//! From what was read to candidates, obstacles and a verdict. Pure.

use core::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::member::{Reading, Row, Said};
use super::session::{Does, Session};

/// A member with more transactions in its applier's queue is not fit: it would take seconds to take writes.
const MOST_BEHIND: u64 = 1000;
/// Idle in a transaction for so long: nobody is at work on it. In whole seconds, as the server counts.
const IDLE: Duration = Duration::from_secs(1);

/// What is to be done, and what stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The primary of now, and its name.
    pub(crate) from: Option<(IpAddr, String)>,
    /// Every member of the configuration but the primary.
    pub(crate) candidates: Vec<Candidate>,
    /// Whom it makes the primary: address and UUID.
    pub(crate) target: Option<(IpAddr, String)>,
    /// What it would meet on the old primary and on the target.
    pub(crate) obstacles: Vec<Obstacle>,
    /// What comes of it.
    pub(crate) verdict: Verdict,
}

/// A member that may become the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its address.
    pub(crate) address: IpAddr,
    /// `MEMBER_HOST`, where it is known.
    pub(crate) name: String,
    /// Transactions in its applier's queue.
    pub(crate) queue: Option<u64>,
    /// Why it is not fit; nothing: it is.
    pub(crate) unfit: Vec<Unfit>,
    id: String,
    obstacles: Vec<Obstacle>,
}

/// Why a member is not fit to become the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Its server does not answer.
    Unreachable(String),
    /// By the primary's word.
    State(String),
    /// It is in another group than the primary, or in none.
    NotAMember,
    /// MySQL leaves the lead to the lowest version (manual, "Primary Election Algorithm").
    Version { own: String, lowest: String },
    /// Transactions in its applier's queue.
    Behind(u64),
    /// Sessions on it that would hold the switchover up.
    Blocked(usize),
}

impl Unfit {
    /// Whether MySQL would do it all the same.
    fn can_be_forced(&self) -> bool {
        matches!(self, Self::Behind(_) | Self::Blocked(_))
    }
}

/// Something on a server that a switchover meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The server.
    pub(crate) server: IpAddr,
    /// The session to end, if it is one.
    pub(crate) session: Option<u64>,
    /// What it does to the switchover.
    pub(crate) weight: Weight,
    /// In words.
    words: String,
}

/// What an obstacle does to a switchover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// It does not end by itself: refused, unless forced.
    Blocks,
    /// It may be one that does not end by itself, for it could not be looked at.
    Unknown,
    /// Its work is lost.
    Lost,
    /// The switchover waits for it.
    Slows,
    /// Good to know.
    Note,
}

/// What comes of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It can be carried out.
    Go,
    /// The wanted member is the primary.
    AlreadyThere,
    /// It is not carried out, for these reasons.
    Refused(Vec<String>),
}

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The member: address, `MEMBER_HOST` or UUID; the best, where none is named.
    pub(crate) to: Option<String>,
    /// Within how long.
    pub(crate) within: Duration,
    /// In spite of what does not end by itself.
    pub(crate) force: bool,
}

/// Makes the plan.
pub(crate) fn plan(readings: &[Reading], wanted: &Wanted) -> Plan {
    let spoke = |reading: &Reading| reading.said.clone().ok().map(|said| (reading.address, said));
    let Some((from, primary)) = readings.iter().filter_map(spoke).find(|(_, said)| said.is_primary()) else {
        return no_primary(readings);
    };
    let own = primary.own();
    let named = own.map_or_else(String::new, |own| own.host.clone());
    let others = readings.iter().filter(|reading| reading.address != from);
    let candidates: Vec<_> = others.map(|reading| candidate(reading, &primary)).collect();
    let mut obstacles = on_old_primary(from, &primary, wanted.within);
    let is_wanted = |address: IpAddr, name: &str, id: &str| {
        let same = |to: &String| *to == address.to_string() || to == name || to == id;
        wanted.to.as_ref().is_some_and(same)
    };
    let from = Some((from, named.clone()));
    if from.as_ref().is_some_and(|(address, _)| is_wanted(*address, &named, &primary.id)) {
        return Plan { from, candidates, target: None, obstacles, verdict: Verdict::AlreadyThere };
    }
    let chosen = match &wanted.to {
        Some(_) => candidates.iter().find(|one| is_wanted(one.address, &one.name, &one.id)),
        None => best(&candidates, wanted.force),
    };
    let reasons = match chosen {
        None => vec![nobody(&candidates, wanted)],
        Some(chosen) => {
            obstacles.extend(chosen.obstacles.iter().cloned());
            against(chosen, &obstacles, wanted.force)
        }
    };
    let target = chosen.map(|chosen| (chosen.address, chosen.id.clone()));
    obstacles.sort_by_key(|obstacle| obstacle.weight);
    let verdict = if reasons.is_empty() { Verdict::Go } else { Verdict::Refused(reasons) };
    Plan { from, candidates, target, obstacles, verdict }
}

fn no_primary(readings: &[Reading]) -> Plan {
    let words = readings.iter().map(|reading| match &reading.said {
        Ok(said) => {
            format!("{}: {}", reading.address, said.own().map_or("in no group", |own| own.state.as_str()))
        }
        Err(why) => format!("{}: {why}", reading.address),
    });
    let words = words.collect::<Vec<_>>().join("; ");
    let reason = format!("no member is ONLINE, PRIMARY and in the majority ({words})");
    Plan {
        from: None,
        candidates: Vec::new(),
        target: None,
        obstacles: Vec::new(),
        verdict: Verdict::Refused(vec![reason]),
    }
}

/// Each source of reasons is one more line here.
fn candidate(reading: &Reading, primary: &Said) -> Candidate {
    let said = reading.said.as_ref();
    let id = said.map_or_else(|_| String::new(), |said| said.id.clone());
    let row = primary.members.iter().find(|row| row.id == id);
    let queue = said.ok().and_then(Said::own).and_then(|own| own.queue);
    let obstacles = said.map_or_else(|_| Vec::new(), |said| on_target(reading.address, said));
    let blocking = obstacles.iter().filter(|obstacle| obstacle.weight == Weight::Blocks).count();
    let mut unfit = Vec::new();
    match (said, row) {
        (Err(why), _) => unfit.push(Unfit::Unreachable(why.clone())),
        (Ok(_), None) => unfit.push(Unfit::NotAMember),
        (Ok(_), Some(row)) => {
            if row.state != "ONLINE" {
                unfit.push(Unfit::State(row.state.clone()));
            }
            unfit.extend(not_the_lowest(row, &primary.members));
        }
    }
    unfit.extend(queue.filter(|queue| *queue > MOST_BEHIND).map(Unfit::Behind));
    unfit.extend((blocking > 0).then_some(Unfit::Blocked(blocking)));
    let name = row.map_or_else(String::new, |row| row.host.clone());
    Candidate { address: reading.address, name, queue, unfit, id, obstacles }
}

fn not_the_lowest(row: &Row, members: &[Row]) -> Option<Unfit> {
    let number = |version: &str| -> Vec<u64> {
        version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
    };
    let others = members.iter().filter(|member| !member.version.is_empty());
    let lowest = others.min_by_key(|member| number(&member.version))?;
    let higher = number(&row.version) > number(&lowest.version);
    higher.then(|| Unfit::Version { own: row.version.clone(), lowest: lowest.version.clone() })
}

/// Fit, and with the shortest queue; where forced, also one that is only behind or blocked.
fn best(candidates: &[Candidate], force: bool) -> Option<&Candidate> {
    let fit = candidates.iter().filter(|one| one.unfit.iter().all(|unfit| force && unfit.can_be_forced()));
    fit.min_by_key(|one| (one.unfit.len(), one.queue.unwrap_or(u64::MAX)))
}

fn nobody(candidates: &[Candidate], wanted: &Wanted) -> String {
    match &wanted.to {
        Some(to) => {
            let known: Vec<_> = candidates.iter().map(|one| one.address.to_string()).collect();
            format!("{to} is no member that answers here; the others are {}", known.join(", "))
        }
        None => "no other member is fit to become the primary".to_owned(),
    }
}

/// What speaks against this one.
fn against(chosen: &Candidate, obstacles: &[Obstacle], force: bool) -> Vec<String> {
    let unfit = chosen.unfit.iter().filter(|unfit| !(force && unfit.can_be_forced()));
    let unfit = unfit.map(|unfit| format!("{} is not fit: {unfit}", chosen.address));
    let weighs = |weight| obstacles.iter().filter(move |obstacle| !force && obstacle.weight == weight);
    let blocks =
        weighs(Weight::Blocks).map(|obstacle| format!("it does not end by itself: {}", obstacle.words));
    let unknown = weighs(Weight::Unknown).map(|obstacle| format!("not known: {}", obstacle.words));
    unfit.chain(blocks).chain(unknown).collect()
}

fn on_old_primary(server: IpAddr, said: &Said, within: Duration) -> Vec<Obstacle> {
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
            Does::BackupLock | Does::Prepared => Some(Weight::Note),
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
fn on_target(server: IpAddr, said: &Said) -> Vec<Obstacle> {
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
    if all > shown && shown >= 60 {
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

impl Plan {
    /// How many transactions would be lost.
    pub(crate) fn lost(&self) -> usize {
        self.obstacles.iter().filter(|obstacle| obstacle.weight == Weight::Lost).count()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((address, name)) = &self.from {
            writeln!(f, "primary    {}", both(*address, name))?;
        }
        for candidate in &self.candidates {
            let target = self.target.as_ref().is_some_and(|(address, _)| *address == candidate.address);
            let mark = if target { "->" } else { "  " };
            writeln!(f, "candidate {mark} {candidate}")?;
        }
        for obstacle in &self.obstacles {
            let kind = match obstacle.weight {
                Weight::Blocks => "blocks",
                Weight::Unknown => "not known",
                Weight::Lost => "loses work",
                Weight::Slows => "slows",
                Weight::Note => "note",
            };
            writeln!(f, "{kind:<10} {}", obstacle.words)?;
        }
        let lost = self.lost();
        if lost > 0 {
            writeln!(f, "{lost} transactions under autocommit = 0 lose their work")?;
        }
        Ok(())
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

fn both(address: IpAddr, name: &str) -> String {
    if name.is_empty() || name == address.to_string() {
        address.to_string()
    } else {
        format!("{address} ({name})")
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", both(self.address, &self.name))?;
        let words: Vec<_> = self.unfit.iter().map(ToString::to_string).collect();
        match (words.is_empty(), self.queue) {
            (true, Some(0)) => write!(f, "  fit"),
            (true, Some(queue)) => write!(f, "  fit, {queue} transactions to apply first"),
            (true, None) => write!(f, "  fit, its queue is not known"),
            (false, _) => write!(f, "  not fit: {}", words.join("; ")),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "its server cannot be asked: {why}"),
            Self::State(state) => write!(f, "it is {state}, not ONLINE"),
            Self::NotAMember => f.write_str("it is not in the primary's group"),
            Self::Version { own, lowest } => {
                write!(
                    f,
                    "its version is {own}, and a member of {lowest} is in the group: MySQL lets only the lowest lead"
                )
            }
            Self::Behind(queue) => {
                write!(f, "it is behind by {queue} transactions (--force takes it all the same)")
            }
            Self::Blocked(count) => write!(f, "{count} of its sessions would hold the switchover up"),
        }
    }
}
