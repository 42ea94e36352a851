//! What one server says of itself, asked every few milliseconds through its unix socket.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

use super::{WitnessError, tell_now};
use crate::client::{timed_out, words};
use crate::record::{GroupShown, MemberShown, Role, What, now_us};

/// After this long without an answer the server counts as silent. A hung server hides nobody: each has its own witness.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Between two attempts to connect to a server that is not there.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

const QUESTION: &str = "\
SELECT COALESCE(m.MEMBER_STATE, ''), COALESCE(m.MEMBER_ROLE, ''), @@super_read_only, s.VIEW_ID, \
(SELECT COUNT(*) FROM performance_schema.replication_group_members), \
(SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE MEMBER_STATE = 'UNREACHABLE'), \
here.id, \
(SELECT GROUP_CONCAT(CONCAT(MEMBER_ID, ' ', MEMBER_STATE, ' ', MEMBER_ROLE) ORDER BY MEMBER_ID) \
FROM performance_schema.replication_group_members) \
FROM (SELECT @@server_uuid AS id) AS here \
LEFT JOIN performance_schema.replication_group_members AS m ON m.MEMBER_ID = here.id \
LEFT JOIN performance_schema.replication_group_member_stats AS s ON s.MEMBER_ID = here.id";

/// How to reach the server.
pub(super) struct Account {
    pub(super) socket: PathBuf,
    pub(super) user: String,
    pub(super) password: String,
}

type Answer = (String, String, bool, Option<String>, u32, u32, String, Option<String>);

/// Tells what the server says of itself whenever that changes, until nobody listens.
pub(super) fn watch(who: &str, account: &Account, every: Duration) -> Result<(), WitnessError> {
    let options = OptsBuilder::new()
        .socket(Some(account.socket.to_string_lossy()))
        .user(Some(account.user.as_str()))
        .pass(Some(account.password.as_str()))
        .read_timeout(Some(ANSWER_LIMIT))
        .write_timeout(Some(ANSWER_LIMIT))
        .max_allowed_packet(Some(1 << 20));
    let (mut told, mut shown) = (None, None);
    let mut connection = None;
    loop {
        let asked_us = now_us();
        let (what, pause) = match ask(&mut connection, &options) {
            Ok((role, group)) => {
                if shown.as_ref() != Some(&group) {
                    tell_now(who, What::Group(group.clone()))?;
                    shown = Some(group);
                }
                (What::Role(role), every)
            }
            Err(cause) => {
                (connection, shown) = (None, None);
                let asked_us = timed_out(&cause).then_some(asked_us);
                (What::NoRole { why: words(&cause), asked_us }, RECONNECT_PAUSE)
            }
        };
        if told.as_ref().is_none_or(|told| is_news(told, &what)) {
            tell_now(who, what.clone())?;
            told = Some(what);
        }
        thread::sleep(pause);
    }
}

/// That it still does not answer is none.
fn is_news(told: &What, what: &What) -> bool {
    match (told, what) {
        (What::NoRole { why: before, .. }, What::NoRole { why, .. }) => before != why,
        _ => told != what,
    }
}

fn ask(connection: &mut Option<Conn>, options: &OptsBuilder) -> Result<(Role, GroupShown), mysql::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Conn::new(options.clone())?),
    };
    let answer: Option<Answer> = connection.query_first(QUESTION)?;
    let (state, role, super_read_only, view, members, unreachable, own, rows) = answer.unwrap_or_default();
    let view = view.filter(|view| !view.is_empty());
    let group =
        GroupShown { own, members: rows.iter().flat_map(|rows| rows.split(',')).map(shown).collect() };
    let primaries = group.members.iter().filter(|member| member.role == "PRIMARY").count();
    let primaries = u32::try_from(primaries).unwrap_or(u32::MAX);
    Ok((Role { state, role, super_read_only, view, members, unreachable, primaries }, group))
}

/// A row of the group: its three columns with blanks between.
fn shown(row: &str) -> MemberShown {
    let mut columns = row.splitn(3, ' ').map(str::to_owned);
    let mut next = || columns.next().unwrap_or_default();
    MemberShown { id: next(), state: next(), role: next() }
}
