//! One row for each member: its own word, and where it says nothing, what the others' servers or the agent show of it. Pure.

use std::net::IpAddr;
use std::time::Duration;

use decide::input::Role;
use serde::Serialize;

use super::holders::held_by;
use super::picture::{AgentShown, Known, Picture, Row, Server};
use super::words::ms;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberRow {
    /// Its address, as in `members`.
    pub(super) address: IpAddr,
    /// `MEMBER_HOST`.
    pub(super) name: Option<String>,
    /// `MEMBER_ID`.
    pub(super) id: Option<String>,
    /// Its role.
    pub(super) role: Option<MemberRole>,
    /// `MEMBER_STATE`.
    pub(super) state: Option<String>,
    /// It takes writes, by its own word.
    pub(super) writable: Option<bool>,
    /// Transactions in its applier's queue, by its own word: nobody else knows it exactly.
    pub(super) queue: Option<u64>,
    /// `MEMBER_VERSION`.
    pub(super) version: Option<String>,
    /// VIPs that its host answers for, or bears where it is this one; none: that could not be seen.
    pub(super) vips: Option<Vec<IpAddr>>,
    /// The agent that shows itself on its server; none: no agent does. Why, where that is not known.
    pub(super) agent: Known<Option<AgentShown>>,
    /// How old all of this is, but for the VIPs; none: nobody said anything of it.
    pub(super) age: Option<Duration>,
    /// Whose word it is.
    pub(super) said_by: Option<SaidBy>,
    /// Why its own server does not answer now.
    pub(super) silent: Option<String>,
}

/// A member's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MemberRole {
    /// The one that takes writes.
    Primary,
    /// All others.
    Secondary,
    /// In no group.
    None,
}

/// Whose word something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SaidBy {
    /// The member's own server.
    Itself,
    /// The server of this member.
    Member(IpAddr),
    /// The server of this host, as its agent heard it.
    Agent,
}

impl MemberRow {
    /// What is shown as its state.
    pub(super) fn is_online(&self) -> bool {
        self.state.as_deref() == Some("ONLINE") && self.said_by == Some(SaidBy::Itself)
    }
}

/// All members, in the order of `members`.
pub(super) fn member_rows(picture: &Picture) -> Vec<MemberRow> {
    picture.servers.iter().map(|server| row_of(picture, server)).collect()
}

/// Of its own word and another's, the one that is current counts, and its own before another's.
fn row_of(picture: &Picture, server: &Server) -> MemberRow {
    let mut row = MemberRow {
        address: server.address,
        name: None,
        id: None,
        role: None,
        state: None,
        writable: None,
        queue: None,
        version: None,
        vips: held_by(picture, server.address),
        agent: Err(server.silent.clone().unwrap_or_else(|| "its server was not asked".to_owned())),
        age: None,
        said_by: None,
        silent: server.silent.clone(),
    };
    let by_others = seen_by_others(picture, server).or_else(|| seen_by_agent(picture, server));
    let own = server.said.as_ref().filter(|_| server.silent.is_none() || by_others.is_none());
    if let Some((word, age)) = own {
        row.id = Some(word.id.clone());
        row.writable = Some(word.writable);
        if server.silent.is_none() {
            row.agent.clone_from(&word.agent);
        }
        if let Some(own) = word.own() {
            row.show(own);
            row.queue = own.queue;
        }
        (row.age, row.said_by) = (Some(*age), Some(SaidBy::Itself));
    } else if let Some((seen, age, by)) = by_others {
        row.id = Some(seen.id.clone());
        row.show(&seen);
        (row.age, row.said_by) = (Some(age), Some(by));
    }
    row
}

impl MemberRow {
    fn show(&mut self, row: &Row) {
        self.name = Some(row.host.clone());
        self.state = Some(row.state.clone());
        self.role = Some(match row.state.as_str() {
            "OFFLINE" | "ERROR" => MemberRole::None,
            _ if row.primary => MemberRole::Primary,
            _ => MemberRole::Secondary,
        });
        self.version = Some(row.version.clone()).filter(|version| !version.is_empty());
    }
}

/// The youngest word of another member's server on this one: it is found by its UUID, by its address as its name, or because it is the
/// only one that is nobody else's.
fn seen_by_others(picture: &Picture, server: &Server) -> Option<(Row, Duration, SaidBy)> {
    let known = |id: &str| {
        let is = |other: &&Server| other.said.as_ref().is_some_and(|(word, _)| word.id == id);
        picture.servers.iter().find(is).map(|other| other.address)
    };
    let nameless = picture.servers.iter().filter(|other| other.said.is_none()).count();
    let speaks = |other: &&Server| other.address != server.address && other.silent.is_none();
    let words = picture.servers.iter().filter(speaks).filter_map(|other| {
        let (word, age) = other.said.as_ref()?;
        let nobodys: Vec<_> = word.rows.iter().filter(|row| known(&row.id).is_none()).collect();
        let is_it = |row: &&Row| {
            known(&row.id) == Some(server.address)
                || row.host.parse() == Ok(server.address)
                || (server.said.is_none() && nameless == 1 && nobodys.len() == 1 && nobodys[0].id == row.id)
        };
        let row = word.rows.iter().find(is_it)?;
        Some((row.clone(), *age, SaidBy::Member(other.address)))
    });
    words.min_by_key(|(_, age, _)| *age)
}

/// What the agent's own server showed of it.
fn seen_by_agent(picture: &Picture, server: &Server) -> Option<(Row, Duration, SaidBy)> {
    let group = picture.status()?.group.as_ref()?;
    let seen = group.members.iter().find(|member| member.address == Some(server.address))?;
    let row = Row {
        id: seen.id.clone(),
        host: seen.host.clone(),
        state: seen.state.to_string(),
        primary: seen.role == Role::Primary,
        version: String::new(),
        queue: None,
    };
    Some((row, ms(group.age_ms), SaidBy::Agent))
}
