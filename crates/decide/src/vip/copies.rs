//! Copies of the VIP where none may be, and a VIP that another program keeps removing.

use std::time::Duration;

use super::machine::VipMachine;
use super::state::VipState;
use crate::input::{Fact, HostAddress};
use crate::moment::VipMoment;
use crate::output::{Output, Reason, VipAction};
use crate::timers::Timer;

/// A copy that is still there this long after it was ordered away is ordered away again.
const TIDY_EVERY: Duration = Duration::from_millis(500);
/// So many removals by others …
const REMOVALS: usize = 3;
/// … within this time are a program's, not a hand's.
const REMOVALS_WITHIN: Duration = Duration::from_secs(60);
/// It is said again after this long.
const NAME_REMOVALS_EVERY: Duration = Duration::from_secs(600);

impl VipMachine {
    /// A copy of the VIP with another prefix length is on the interface on which it is held under a lease: it has none, and
    /// would stay as a second holder when the VIP leaves. The lease is renewed at once, where anything renews it, and
    /// what carries that out removes the other prefixes: so the VIP is never away. Without a lease the predecessor's
    /// address, whatever its prefix, is this host's VIP, and leaves with it.
    pub(crate) fn replace_copy(&mut self, at: VipMoment<'_>, out: &mut Output) {
        let (Fact::Known(host), VipState::Holding(hold)) = (&at.facts.host.fact, &mut self.state) else {
            return;
        };
        let own = at.policy.prefix_length();
        let is_copy = |there: &&HostAddress| {
            there.address == at.policy.address && there.interface == hold.interface && there.prefix != own
        };
        let Some(copy) = host.addresses.iter().find(is_copy) else { return };
        if hold.next_renewal.is_none_or(|due| at.now >= due) {
            return;
        }
        let again_at = self.tidied_at.map_or(at.now, |at| at + TIDY_EVERY);
        if at.now >= again_at {
            self.tidied_at = Some(at.now);
            hold.next_renewal = Some(at.now);
            let reason = Reason::CopyWithPrefix(hold.interface.clone(), copy.prefix);
            out.say_aside(reason);
        }
        out.wake(Timer::CopyReplaced, at.now.max(again_at) + TIDY_EVERY);
    }

    /// Removes a copy of the VIP from an interface that is not the VIP's at this host: nobody holds it there, and nothing would remove it
    /// when the VIP leaves.
    pub(crate) fn remove_copies(&mut self, at: VipMoment<'_>, out: &mut Output) {
        let Fact::Known(host) = &at.facts.host.fact else { return };
        let Some(own_interface) = at.home() else { return };
        let is_copy =
            |there: &&HostAddress| there.address == at.policy.address && there.interface != own_interface;
        let Some(interface) = host.addresses.iter().find(is_copy).map(|copy| copy.interface.clone()) else {
            return;
        };
        let again_at = self.removed_copy_at.map_or(at.now, |at| at + TIDY_EVERY);
        if at.now < again_at {
            out.wake(Timer::CopyRemoved, again_at);
            return;
        }
        self.removed_copy_at = Some(at.now);
        out.wake(Timer::CopyRemoved, at.now + TIDY_EVERY);
        out.say_aside(Reason::CopyElsewhere(interface.clone()));
        out.order(VipAction::RemoveAddress { interface });
    }

    /// The VIP went away from this interface, and not by this agent.
    pub(crate) fn note_removal(&mut self, at: VipMoment<'_>, out: &mut Output, interface: &str) {
        let now = at.now;
        self.removals.retain(|at| now.since(*at) < REMOVALS_WITHIN);
        self.removals.push(now);
        let times = self.removals.len();
        let named = self.removals_named_at.is_some_and(|at| now.since(at) < NAME_REMOVALS_EVERY);
        if times >= REMOVALS && !named {
            self.removals_named_at = Some(now);
            out.say_aside(Reason::RemovedAgain(interface.to_owned(), times));
        }
        if times > REMOVALS * 4 {
            self.removals.remove(0);
        }
    }
}
