//! What `haipmgr status` shows: every source asked at the same time, each within a limit, and what they say put side by side. Below
//! `commands`, above `server_access` and `control`.
//!
//! | file | the one idea |
//! |---|---|
//! | `servers.rs` | each member's own server, asked directly |
//! | `segment.rs` | who answers for an address on the segment |
//! | `kernel.rs` | this host's addresses, and how long the kernel keeps them |
//! | `due.rs` | when the servers are asked again, by one who looks several times a second: pure |
//! | `gather.rs` | all of these and the agent, at the same time |
//! | `picture.rs` | what was seen, as data: pure |
//! | `member_row.rs` | one row for each member, from whoever said something of it: pure |
//! | `holders.rs` | who holds each VIP, by its answer: pure |
//! | `judge.rs` | whether that is well: pure |
//! | `words.rs` | ages and unknowns in words: pure |
//! | `table.rs`, `tsv.rs`, `json.rs` | the renderings: pure |
//!
//! Nobody's belief is shown as a fact: a VIP is where it answers, a server is what it says itself, and each says how old its word is.
//! What could not be seen is "not known", with the reason, and never "no".

mod due;
pub(crate) mod gather;
mod holders;
pub(crate) mod json;
pub(crate) mod judge;
mod kernel;
mod member_row;
pub(crate) mod picture;
mod segment;
mod servers;
pub(crate) mod table;
pub(crate) mod tsv;
mod words;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests {
    mod schema;
}
