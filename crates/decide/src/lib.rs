//! The rules of haipmgr. What was seen goes in, what to do comes out; there is no clock, no IO, no async and no
//! randomness here. See ARCHITECTURE.md for the map and the invariants.

pub mod action;
pub mod event;
pub mod policy;
pub mod time;
