//! The model checker: the same `step` that the agent runs, on two or three hosts, with a bounded number of faults that may
//! come at any moment, in every order.
//!
//! # What is abstracted, and what that means
//! - **Time** comes in ticks of 100 ms, and no state knows what time it is: an agent's memory holds ages. So a group at rest is
//!   a small circle of states, and a fault, a recovery or nothing at all may follow after any number of ticks. The limits of the
//!   policy are scaled so that their order stays: probe < own answer < dispute < claim wait < linger < lease < patience.
//! - **Within a tick** everything that is due is handled, in every order of hosts, frames, answers and wake-ups. A tick is as long
//!   as the time between two probes, so hosts that run are out of step by up to one probe; on a real segment it is a hundredth.
//!   Frames reach a host in the order in which they were sent, as one switch and one socket leave them.
//! - **Between two ticks** the world changes: the group elects, a server learns of it, faults begin and end. What a server says is
//!   constant within a tick; what it said in an earlier one may arrive late.
//! - **Faults** are counted: so many in a run, of the kinds that the configuration names. Their ends, and all that the group does,
//!   cost nothing and may come at any moment or never. Lost and late messages are counted apart.
//! - **Ages** beyond every limit they are compared with are one and the same ([`normal`]); what can't touch the address (the
//!   state file, connections, orphan SYNs) is left out, and so is the safety net (`sleeptime`): the rules must do without it.
//!
//! Not in it: more than three hosts, more faults at once than a configuration allows, frames lost in
//! numbers, clocks that run at different speeds. The simulator has those.

pub mod agent;
pub mod checked;
pub mod configuration;
pub mod environment;
mod messages;
pub mod normal;
#[cfg(feature = "planted")]
pub mod planted;
pub mod survivor;
pub mod transition;
pub mod world;

pub use checked::{Checked, check, check_survivors};
pub use configuration::Configuration;
