//! What sees: each module turns one source into facts, and decides nothing. Never imports `act`.

pub mod gateway;
pub mod link;
pub mod member_port;
pub mod mysql;
pub mod neighbour;
mod token_bucket;
