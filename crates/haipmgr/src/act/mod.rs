//! What carries an action out: address, announcements, sockets, state file. Never imports `observe`.

pub mod address;
pub mod announce;
pub mod expel;
pub mod fence;
pub mod late_packets;
pub mod orphan_syns;
pub mod sockets;
pub mod statfile;
