//! A real MySQL group, a real client and real faults, on one machine.
//!
//! Everything happens inside namespaces of the lab's own: nothing on the real host's network is touched, and when the
//! lab ends, however it ends, the kernel takes all of it away.

pub mod agents;
pub mod bench;
pub mod browser;
pub mod client;
pub mod clients;
pub mod consistency;
pub mod cost;
pub mod end_to_end;
pub mod experiment;
pub mod fault;
pub mod group;
pub mod host;
pub mod load;
pub mod measure;
pub mod namespace;
mod obstacle;
pub mod packet_rules;
pub mod page;
pub mod provision;
mod reader;
pub mod record;
pub mod report;
pub mod scenario;
pub mod segment;
mod statement;
pub mod witness;
