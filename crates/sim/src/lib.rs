//! Many agents' rules against a model group and a model segment: one virtual clock, one seed.
//!
//! Everything random comes from the seed, so a failing seed tells its story again, step by step.

pub mod fault;
pub mod group;
pub mod measure;
pub mod world;

pub use crate::fault::Fault;
pub use crate::world::{Chances, World};
