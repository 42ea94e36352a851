//! The agent's loop: what the driver (`decide::driver`) asks for, one thing after the other, with the clock read anew before
//! each. What it means is the edges' business, so that a test can put a clock and edges of its own here.

use decide::State;
use decide::driver::{Driver, Next, Settled};
use decide::input::Event;
use decide::output::{Action, Outcome};
use decide::policy::Policy;
use decide::time::Time;

/// What the loop stands on.
pub(super) trait Edges {
    /// The time.
    fn now(&mut self) -> Time;
    /// Pushes what has arrived, without waiting.
    fn push_arrived(&mut self, driver: &mut Driver);
    /// Pushes what lies unread in kernel and tasks, where the agent was held up or is to stop; with `addresses`, this host's
    /// addresses too, asked for now.
    async fn push_unread(&mut self, driver: &mut Driver, addresses: bool);
    /// Shown before each step.
    fn before(&mut self, now: Time, state: &State, event: &Event);
    /// Shown after each step, before its deeds.
    fn decided(&mut self, driver: &Driver, event: &Event);
    /// Carries one deed out.
    async fn carry_out(&mut self, deed: &Action) -> Outcome;
    /// All of one decision's deeds are done, or dropped.
    async fn settled(&mut self, settled: &Settled);
}

/// Lets the agent do all that can be done now. Gives when to go on, if nothing arrives before; none: it has stopped.
pub(super) async fn drive(driver: &mut Driver, policy: &Policy, edges: &mut impl Edges) -> Option<Time> {
    loop {
        edges.push_arrived(driver);
        let now = edges.now();
        match driver.next(policy, now, |state, event| edges.before(now, state, event)) {
            Next::Decided(event) => edges.decided(driver, &event),
            Next::Deed(action) => {
                let outcome = edges.carry_out(&action).await;
                driver.done(outcome);
            }
            Next::Settled(settled) => edges.settled(&settled).await,
            Next::ReadUnread { addresses } => edges.push_unread(driver, addresses).await,
            Next::Wait { until } => return Some(until),
            Next::Ended => return None,
        }
    }
}

#[cfg(test)]
#[path = "drive/tests.rs"]
mod tests;
