//! Many agents' rules against a model group and a model segment: one virtual clock, one seed.
//!
//! Everything random comes from the seed, so a failing seed tells its story again, step by step.

pub mod campaign;
pub mod fault;
pub mod group;
pub mod measure;
pub mod model;
pub mod nic;
pub mod schedule;
pub mod shrink;
pub mod timeline;
pub mod world;

pub use crate::fault::{Fault, Who};
pub use crate::schedule::{Outcome, Schedule};
pub use crate::world::{Chances, World};

/// A third of the time went into the system's allocator: views and memories are copied at each step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
