//! Doors for `fuzz/`, which stands outside this crate: what reads bytes from outside and is no one else's business. Nothing
//! here does anything of its own, and nothing else uses it.

use std::io;
use std::path::Path;

use decide::input::{Host, Server};
use decide::output::StatMark;
use decide::time::Time;
use linux::route_message::RouteMessage;
use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};

use crate::act::{expel, statfile};
use crate::commands::replay::{ReplayError, Replayed, replay_text};
pub use crate::config::fuzzing::{configuration, converted, length_of_time, password, passwords};
use crate::history::ReadHistory;
use crate::lock;
use crate::observe::link::View;
use crate::observe::mysql::query::{COLUMNS, understand};
use crate::server_access::session::{Form, rows_in};
use crate::server_access::versions::Columns;

/// How many columns a row of the server's answer has.
pub const MYSQL_COLUMNS: usize = COLUMNS;

/// What rows say of a server: those of 8.0.2 and later, or those of 5.7.
///
/// # Errors
/// In words.
pub fn mysql_rows(since_8_0_2: bool, rows: Vec<[Option<String>; MYSQL_COLUMNS]>) -> Result<Server, String> {
    understand(Columns { role: since_8_0_2, view: true }, rows)
}

/// The rows that an answer of these packets gives, to a query or to a prepared statement; none as long as its end is missing.
///
/// # Errors
/// In words.
pub fn mysql_answer(prepared: bool, packets: &[&[u8]]) -> Result<Option<Vec<Vec<Option<String>>>>, String> {
    let form = if prepared { Form::Binary } else { Form::Text };
    rows_in(form, packets.iter().copied()).map_err(|error| error.to_string())
}

/// What a host has, by the interfaces and addresses in netlink messages that follow one another; the names of all interfaces in them,
/// loopback ones too; and whether one of these very addresses, told of again, would be news.
pub fn host_of(messages: &[u8]) -> (Host, Vec<String>, bool) {
    let (mut links, mut addresses, mut again) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = messages;
    while let Ok(taken) = NetlinkBuffer::new_checked(&rest).map(|message| message.length() as usize) {
        if let Ok(message) = NetlinkMessage::<RouteMessage>::deserialize(rest) {
            match &message.payload {
                NetlinkPayload::InnerMessage(RouteMessage::NewLink(link)) => links.push(link.clone()),
                NetlinkPayload::InnerMessage(RouteMessage::NewAddress(address)) => {
                    addresses.push(address.clone());
                    again.push(message.payload);
                }
                _ => {}
            }
        }
        rest = rest.get(taken.next_multiple_of(4)..).unwrap_or_default();
    }
    let view = View::new(Time(0), &links, &addresses);
    let news = again.iter().any(|told| view.differs_from(told));
    let names = links.iter().filter_map(|link| link.name.clone());
    (view.host, names.collect(), news)
}

/// The value to which the expel timeout is to be put back, in a file of this content.
///
/// # Errors
/// It holds none.
pub fn expel_timeout(content: &[u8]) -> io::Result<u32> {
    expel::kept_in(content)
}

/// The mark in a state file (S6) of this content.
///
/// # Errors
/// It can't be read.
pub fn stat_mark(content: &[u8]) -> io::Result<Option<StatMark>> {
    statfile::mark_in(content)
}

/// The process that a lock file of this content names.
pub fn lock_holder(content: &[u8]) -> Option<i32> {
    lock::process_in(content)
}

/// What a history file of this content holds.
pub fn history(content: &[u8]) -> ReadHistory {
    ReadHistory::of(content)
}

/// Plays a trace of this content again.
///
/// # Errors
/// It is no trace.
pub fn replay(content: &[u8], mut print: impl FnMut(&str)) -> Result<Replayed, ReplayError> {
    replay_text(Path::new("/fuzz"), content, &mut print)
}
