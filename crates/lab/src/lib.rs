//! The lab.
pub mod client;
pub mod record;
pub mod witness;
