//! The invariants of haipmgr, each defined once, with books of their own.
//!
//! Two halves. [`Book`] belongs to one agent and one VIP: it reads what the agent was told ([`decide::input`]) and what it ordered
//! ([`decide::output`]), and says whether the one follows from the other. [`outside`] looks at all hosts at once: who bears the
//! VIP, who hears whom, who is entitled to it in truth. Neither ever sees what the rules remember: a mistake in a rule's memory
//! would be a mistake of its judge too.
//!
//! Whoever watches feeds them: the simulator, the model checker, the property tests of the rules, the scenarios, the lab with
//! what it recorded. docs/invariants.md says each invariant in a sentence, and who checks it.

mod book;
mod claims;
mod excuses;
mod expelling;
mod inputs;
mod invariant;
mod judge;
mod limits;
mod normal;
pub mod outside;
pub mod placed;
mod reached;
mod reader_words;
mod word;

pub use book::Book;
pub use excuses::{Counts, Excuse};
pub use expelling::Expelling;
pub use invariant::{Breach, Broken, Invariant};
pub use judge::{Orders, Sight, Verdict};
pub use limits::Limits;
