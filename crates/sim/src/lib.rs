//! Many agents' rules against a model group and a model segment: one virtual clock, one seed.
//!
//! Everything random comes from the seed, so a failing seed tells its story again, step by step.

pub mod campaign;
pub mod fault;
pub mod group;
pub mod measure;
pub mod model;
pub mod schedule;
pub mod shrink;
pub mod timeline;
pub mod world;

pub use crate::fault::{Fault, Who};
pub use crate::schedule::{Outcome, Schedule};
pub use crate::world::{Chances, World};
