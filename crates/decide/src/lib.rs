//! The rules of haipmgr. What was seen goes in, what to do comes out; there is no clock, no IO, no async and no
//! randomness here. See ARCHITECTURE.md for the map and the invariants.

pub mod action;
mod claim;
mod contest;
mod copies;
pub mod decide;
mod dispute;
pub mod election;
pub mod event;
mod group_view;
mod hold;
mod lease;
pub mod planted;
pub mod policy;
pub mod reason;
pub mod signs;
pub mod stages;
pub mod state;
pub mod strays;
mod take_in;
pub mod time;
pub mod timings;
pub mod trace;
mod trial;

pub use crate::decide::{Decision, step};
