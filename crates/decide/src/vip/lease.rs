//! The lease of an address that is held here: when it is renewed, on what evidence, and how a holder makes itself heard.

use std::time::Duration;

use super::machine::VipMachine;
use super::state::{Hold, VipState};
use crate::input::{Fact, Why};
use crate::moment::VipMoment;
use crate::output::{Action, Output, VipAction};
use crate::planted::planted;
use crate::policy::VipPolicy;
use crate::time::Time;
use crate::timers::Timer;

/// A lease is renewed where the kernel showed the address no longer ago than this: nobody else finds it free sooner than after
/// 60 ms, should it be gone since.
const RENEWED_ON_TIME: Duration = Duration::from_millis(50);
/// An agent that is starved never gets to the kernel's answer in time, and a kernel that is short of memory gives none: after so
/// many questions an older answer will do, or one that shows nothing, for the kernel renews only what is there.
/// Not where its server is certainly down: what lingers there for the clients alone is no loss.
const RENEWAL_LOOKS_WHEN_STARVED: u32 = 10;
/// A lease that is due within this part of its length is renewed now where the kernel has just shown the address, and its server is as it
/// should be: who looked for one VIP has looked for all, and many of a cluster come to be renewed together, after one look.
const RENEWED_ALONG: u32 = 12;
/// Time between two questions of who else has the VIP, from a holder whose server is heard of no more.
const ASK_WHILE_NOTHING_IS_HEARD: Duration = Duration::from_secs(1);
/// Time between two announcements while a member is not ONLINE in the group, at the most.
const ANNOUNCE_WHILE_ONE_IS_MISSING: Duration = Duration::from_secs(1);

impl VipMachine {
    /// Renews the lease, and announces where all is well.
    pub(crate) fn refresh(at: VipMoment<'_>, out: &mut Output, hold: &mut Hold, well: bool) {
        if !at.server_is_heard_of() && !planted!(at.group, RenewWithoutProof) {
            // Not even a time-out was told: what watches the server is stuck, and what it said last proves nothing.
            out.act(Action::AskServer);
            Self::note_lapsing(at, out, hold);
            Self::ask_who_else(at, out, hold);
            return;
        }
        Self::renew_when_due(at, out, hold, well);
        if let Some(due) = hold.next_renewal.filter(|due| *due > at.now) {
            out.wake(Timer::Renewal, due);
        }
        Self::make_itself_heard(at, out, hold, well);
    }

    /// Renews the lease where it is due and the kernel has just shown the address; else the kernel is asked.
    fn renew_when_due(at: VipMoment<'_>, out: &mut Output, hold: &mut Hold, well: bool) {
        let seen_at = at.facts.host.asked_at;
        // An answer that shows no addresses is no sight of this one.
        let shown = matches!(at.facts.host.fact, Fact::Known(_));
        let seen_just_now = shown && at.now.since(seen_at) <= RENEWED_ON_TIME;
        let along = at.policy.lease.filter(|_| seen_just_now && well && Self::may_renew(at, well));
        let soon = at.now + along.unwrap_or_default() / RENEWED_ALONG;
        let due = hold.next_renewal.filter(|due| soon >= *due);
        // Another's claim is settled first; the lease is thrice as long as a renewal may wait.
        let due =
            due.filter(|due| hold.dispute.is_none() || at.now.since(*due) > at.policy.dispute_limit * 2);
        let starved = hold.down_since.is_none()
            && hold.renewal_looks.is_some_and(|(looks, _)| looks >= RENEWAL_LOOKS_WHEN_STARVED);
        let seen = due.is_some_and(|due| seen_just_now || (seen_at >= due && starved));
        if due.is_some() && !seen {
            // The address may have been taken away, and the agent not have read of it yet: to renew it would be to add it
            // without asking anybody.
            let (looks, last) = hold.renewal_looks.unwrap_or((0, Time(0)));
            if at.now.since(last) >= RENEWED_ON_TIME {
                hold.renewal_looks = Some((looks.saturating_add(1), at.now));
            }
            out.act(Action::AskHost);
            out.wake(Timer::RenewalLook, at.now + RENEWED_ON_TIME);
        } else if due.is_some() {
            if Self::may_renew(at, well) {
                if !planted!(at.group, ForgetToRenew) {
                    out.order(VipAction::RenewAddress {
                        interface: hold.interface.clone(),
                        lifetime: Self::lifetime(at),
                    });
                }
                // A pause that no clock shows ends with a lease to renew: had another taken the VIP meanwhile, it answers.
                out.order(VipAction::AskWhoHasVip);
                hold.next_renewal = Self::next_renewal(at);
                hold.renewal_looks = None;
                hold.lapsing_at = None;
            } else {
                out.act(Action::AskServer);
                Self::note_lapsing(at, out, hold);
            }
        }
    }

    /// A lease that is due is not renewed: that this agent runs is noted until the lease is over.
    fn note_lapsing(at: VipMoment<'_>, out: &mut Output, hold: &mut Hold) {
        let (Some(due), Some(lease)) = (hold.next_renewal, at.policy.lease) else { return };
        if at.now >= due {
            hold.lapsing_at = Some(at.now);
            out.wake(Timer::Renewal, at.now + lease / 6);
        }
    }

    /// The kernel has dropped the address by itself: its lease was renewed last so long ago.
    pub(crate) fn lease_is_over(&self, at: VipMoment<'_>) -> bool {
        let (VipState::Holding(hold), Some(lease)) = (&self.state, at.policy.lease) else { return false };
        hold.next_renewal.is_some_and(|due| at.now >= due + lease - lease / 3)
    }

    /// An agent that did not run for longer than its lease holds nothing any more, and knows nothing: the kernel dropped
    /// the address, or the whole host was suspended, and another may have it. To renew now would be to take it unasked.
    /// One that ran, and let the lease lapse, knows what it knew.
    pub(crate) fn has_overslept(&self, at: VipMoment<'_>) -> bool {
        let (VipState::Holding(hold), Some(lease)) = (&self.state, at.policy.lease) else { return false };
        let ran = hold.lapsing_at.is_some_and(|ran| at.now.since(ran) <= lease / 3);
        self.lease_is_over(at) && !ran && !planted!(at.group, DontForgetAfterAPause)
    }

    /// Announces, or asks who else has the VIP, when that is due; not while another's claim is being settled.
    fn make_itself_heard(at: VipMoment<'_>, out: &mut Output, hold: &mut Hold, well: bool) {
        // One that lingers or knows nothing announces too where another may hold: whoever has the better right then knows.
        let missing = at.some_member_is_missing();
        if hold.dispute.is_some() {
            return;
        }
        // Whatever a holder waits for whose stage fails, or is paused in spite of: another that took it while neither heard the other does
        // not say so again soon.
        if !well && (at.facts.views.own.is_none() || (!missing && hold.recheck_since.is_some())) {
            return Self::ask_who_else(at, out, hold);
        }
        if !(well || missing) {
            return;
        }
        if at.now >= hold.next_announce {
            out.order(VipAction::Announce);
            hold.announced = hold.announced.saturating_add(1);
            let wait = announce_after(at.policy, hold.announced);
            let contested = Self::announce_against_a_stranger(at, hold);
            hold.next_announce = at.now + contested.map_or(wait, |most| wait.min(most));
        }
        if missing {
            hold.next_announce = hold.next_announce.min(at.now + ANNOUNCE_WHILE_ONE_IS_MISSING);
        }
        out.wake(Timer::Announce, hold.next_announce);
    }

    /// A holder that can prove nothing does not announce: it asks, and whoever has taken the VIP meanwhile answers.
    fn ask_who_else(at: VipMoment<'_>, out: &mut Output, hold: &mut Hold) {
        if at.now >= hold.next_announce {
            out.order(VipAction::AskWhoHasVip);
            hold.next_announce = at.now + ASK_WHILE_NOTHING_IS_HEARD;
        }
        hold.next_announce = hold.next_announce.min(at.now + ASK_WHILE_NOTHING_IS_HEARD);
        out.wake(Timer::Announce, hold.next_announce);
    }

    /// Whether what is known is fit to renew a lease on. An agent that stood still for a while still has what it knew before:
    /// that is asked about first. `well`: by its word all stages pass.
    fn may_renew(at: VipMoment<'_>, well: bool) -> bool {
        let not_asked = |why: &Why| *why == Why::NotAskedYet;
        let forgotten = matches!(&at.facts.server.fact, Fact::Unknown(why) if not_asked(why))
            || matches!(&at.facts.host.fact, Fact::Unknown(why) if not_asked(why));
        let age = at.now.since(at.facts.server.asked_at);
        let old = at.policy.lease.is_some_and(|lease| age > lease / 3);
        let forgets_not = planted!(at.group, DontForgetAfterAPause);
        let fit = !(forgotten || (well && old));
        fit || forgets_not || planted!(at.group, RenewWithoutProof)
    }

    /// How long the kernel is to keep the address unless it is renewed.
    pub(crate) fn lifetime(at: VipMoment<'_>) -> Option<Duration> {
        at.policy.lease.filter(|_| !planted!(at.group, LeaseForEver))
    }

    /// When the lease, where there is one, is to be renewed next: thrice in its length.
    pub(crate) fn next_renewal(at: VipMoment<'_>) -> Option<Time> {
        at.policy.lease.map(|lease| at.now + lease / 3)
    }
}

/// The wait after the `count`-th announcement: a burst that thins out, then a steady refresh.
pub(super) fn announce_after(policy: &VipPolicy, count: u32) -> Duration {
    let wait = match count {
        0 => 0,
        1 => 30,
        2 => 100,
        3 => 300,
        4 => 1000,
        5 => 3000,
        _ => return policy.announce_interval,
    };
    Duration::from_millis(wait).min(policy.announce_interval)
}
