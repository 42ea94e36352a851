//! What sees: each module turns one source into facts, and decides nothing. Never imports `act`.

pub mod arp_kept_in;
pub mod backlog;
pub(crate) mod foreign_files;
pub mod gateway;
pub mod group_settings;
pub(crate) mod interface_address;
pub mod link;
pub mod listening;
pub mod member_port;
pub mod mysql;
pub mod neighbor;
pub mod network_service;
pub mod pauses;
pub mod server_process;
mod token_bucket;
pub mod vip_echo;
