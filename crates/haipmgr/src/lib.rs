//! The haipmgr agent: observes one host, lets `decide` decide, acts. ARCHITECTURE.md has the map.

pub mod act;
pub mod agent;
pub mod clock;
pub mod commands;
pub mod config;
pub mod control;
#[doc(hidden)]
pub mod fuzzing;
pub mod journal;
pub mod lock;
pub mod observe;
pub mod pause;
pub mod recorder;
pub mod self_protection;
pub mod server_access;
pub mod service_manager;
mod switchover;
pub mod trace_file;
pub mod version;
