//! A planned switchover: what stands in its way, whom it makes the primary, and how it goes. Below `commands`, above `server_access`.
//!
//! | file | the one idea |
//! |---|---|
//! | `member.rs` | one member's server: the questions, and what its answers say |
//! | `session.rs` | a session that a switchover meets: what it does, and whether the switchover waits for it |
//! | `plan.rs` | from what was read to candidates, obstacles and a verdict: pure |
//! | `vip.rs` | which server answers at the VIP, asked or written to over and over |
//! | `checkpoint.rs` | the target's `replica_checkpoint_period`, shortened while it is under way |
//! | `carry_out.rs` | the order to the group, and what is seen until it is done |
//!
//! What MySQL does in each case was measured on 9.7.4 (docs/switchover.md). It never gives `group_replication_set_as_primary` its second
//! argument: that makes refused writes of a wait, for everybody.

pub(crate) mod carry_out;
mod checkpoint;
pub(crate) mod member;
pub(crate) mod plan;
pub(crate) mod session;
pub(crate) mod vip;
