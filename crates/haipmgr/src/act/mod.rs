//! What carries an action out: address, announcements, sockets, state file. Never imports `observe`.

pub mod address;
pub mod announce;
pub mod expel;
pub mod fence;
pub mod sockets;
pub mod statfile;
pub mod stragglers;
pub mod strays;
