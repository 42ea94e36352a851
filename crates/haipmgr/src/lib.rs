//! The haipmgr agent: observes one host, lets `decide` decide, acts. ARCHITECTURE.md has the map.

pub mod act;
pub mod clock;
pub mod commands;
pub mod config;
pub mod journal;
pub mod lock;
pub mod netlink;
pub mod observe;
pub mod packet_socket;
pub mod wire;
