//! The rules of haipmgr. What was seen goes in, what to do comes out; there is no clock, no IO, no async and no
//! randomness here. See ARCHITECTURE.md for the map and the invariants.

pub mod action;
mod claim;
pub mod decide;
pub mod election;
pub mod event;
mod group_view;
mod hold;
pub mod policy;
pub mod reason;
pub mod stages;
pub mod state;
pub mod strays;
pub mod time;
pub mod trace;

pub use crate::decide::{Decision, step};
