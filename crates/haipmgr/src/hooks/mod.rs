//! What the operator has run when something happens to a VIP: a program, or a web address that is sent a message. A thread for each cluster
//! that has any, an ordinary one, one hook after the other: nothing decides by them, and nothing waits for them.
//!
//! | file | the one idea |
//! |---|---|
//! | `queue.rs` | what is run next, and when: pure |
//! | `message.rs` | what a hook is told: pure |
//! | `program.rs` | a program, ended when it takes too long |
//! | `webhook.rs` | one POST, over HTTP or HTTPS |
//! | `runner.rs` | the thread |
//!
//! A switch is told once, by the host that took the VIP and kept it, and by the one that let go. docs/hooks.md has every word.

mod message;
mod program;
mod queue;
mod runner;
mod webhook;

pub use self::message::Message;
pub use self::runner::Hooks;
pub(crate) use self::runner::wait_for_the_last;
