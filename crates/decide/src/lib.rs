//! The rules of haipmgr. What was seen goes in, what to do comes out; there is no clock, no IO, no async and no
//! randomness here. See ARCHITECTURE.md for the map and the invariants.

pub mod action;
mod claim;
mod conflict;
mod copies;
pub mod decide;
mod dispute;
pub mod entitlement;
pub mod event;
pub mod expel;
mod group_view;
mod hold;
mod lease;
pub mod orphan_syns;
pub mod planted;
pub mod policy;
mod post_claim_check;
pub mod reason;
pub mod signs;
pub mod stages;
pub mod state;
mod take_in;
pub mod time;
pub mod timings;
pub mod trace;

pub use crate::decide::{Decision, step};
