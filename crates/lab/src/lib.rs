//! The lab.
pub mod client;
pub mod measure;
pub mod record;
pub mod report;
pub mod witness;
