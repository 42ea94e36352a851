//! What only the kernel can do, below whatever observes and acts: netlink, packet sockets and their filters, raw sockets,
//! `sock_diag`, who is at the other end of a Unix socket. It carries bytes, and decides nothing.
//!
//! All `unsafe` of the project is here, in [`packet_socket`], [`peer_groups`] and [`host_names`], and each block says why it is sound.

pub mod echo_socket;
pub mod host_names;
pub mod neighbor_socket;
pub mod netlink;
mod packet_filter;
pub mod packet_keeper;
pub mod packet_socket;
pub mod peer_groups;
pub mod raw_socket;
pub mod route_message;
pub mod sock_diag;
