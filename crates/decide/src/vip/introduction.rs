//! On an interface that no member's address is on nobody knows whose hardware address is whose, and a member's claim would be a
//! stranger's. So each agent says there which member it is: once a second, at once when the interface is heard again, and before the first
//! probe of a claim. Of several VIPs on one interface the first speaks for all.

use std::time::Duration;

use super::machine::VipMachine;
use crate::moment::VipMoment;
use crate::output::{Output, VipAction};
use crate::planted::planted;
use crate::time::Time;
use crate::timers::Timer;

/// Time between two words.
const SAY_EVERY: Duration = Duration::from_secs(1);

impl VipMachine {
    /// Says it when it is due.
    pub(super) fn introduce(&mut self, at: VipMoment<'_>, out: &mut Output) {
        if at.elsewhere() != Some(at.vip) {
            return;
        }
        if self.introduced_at.is_none_or(|said| at.now >= said + SAY_EVERY) {
            self.say_member(at, out);
        }
        if let Some(said) = self.introduced_at {
            out.wake(Timer::SayMember, said + SAY_EVERY);
        }
    }

    /// A claim that began then is about to ask the network: whoever has the VIP is to know whose claim it is.
    pub(super) fn introduce_before_claim(&mut self, at: VipMoment<'_>, out: &mut Output, since: Time) {
        if self.introduced_at.is_none_or(|said| said < since) {
            self.say_member(at, out);
        }
    }

    /// Nothing is said of a VIP on the members' own interface, nor where the interface is of no use: then there is nobody to hear it.
    fn say_member(&mut self, at: VipMoment<'_>, out: &mut Output) {
        self.introduced_at = None;
        if planted!(at.group, NeverSayWhichMember) {
            return;
        }
        if let (Some(_), Some(member), Ok(from)) = (at.elsewhere(), at.own_address(), at.asker()) {
            out.order(VipAction::SayMember { member, from });
            self.introduced_at = Some(at.now);
        }
    }
}
