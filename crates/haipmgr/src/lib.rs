//! The haipmgr agent: observes one host, lets `decide` decide, acts. ARCHITECTURE.md has the map.

pub mod act;
pub mod agent;
mod check;
pub mod clock;
pub mod commands;
pub mod config;
pub mod control;
mod file_writer;
#[doc(hidden)]
pub mod fuzzing;
pub mod history;
pub mod hooks;
pub mod http;
pub mod journal;
pub mod lock;
pub mod observe;
pub mod pause;
pub mod recorder;
#[cfg(test)]
mod schema;
pub mod self_protection;
pub mod server_access;
pub mod service_manager;
pub mod shutdown_delay;
mod status;
mod switchover;
pub mod tally;
pub mod trace_file;
pub mod version;
