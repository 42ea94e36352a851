//! The rules of haipmgr. What was seen goes in, what to do comes out; there is no clock, no IO, no async and no
//! randomness here. See ARCHITECTURE.md for the map and the invariants.

pub mod checks;
pub mod driver;
pub mod entitlement;
pub mod expel;
pub mod facts;
pub mod fitness;
pub mod history;
pub mod input;
mod moment;
pub mod net;
pub mod output;
pub mod planted;
pub mod policy;
mod polling;
pub mod readers;
pub mod status;
mod step;
pub mod time;
pub mod timers;
pub mod timings;
pub mod trace;
pub mod vip;

pub use crate::polling::{Pace, Polling};
pub use crate::step::{Decision, State, step, step_and_timers};
