//! The lease of an address that is held here: when it is renewed, on what evidence, and how a holder makes itself heard.

use std::time::Duration;

use crate::action::Action;
use crate::decide::{Turn, announce_after};
use crate::event::{Fact, MemberState, Why};
use crate::planted::planted;
use crate::state::Hold;
use crate::time::Time;

/// A lease is renewed where the kernel showed the address no longer ago than this: nobody else finds it free sooner than after
/// 60 ms, should it be gone since.
const RENEWED_ON_TIME: Duration = Duration::from_millis(50);
/// An agent that is starved never gets to the kernel's answer in time: after so many questions it is content with an older one.
/// Not where its server is certainly down: what lingers there for the clients alone is no loss.
const RENEWAL_LOOKS_WHEN_STARVED: u32 = 10;
/// Time between two questions of who else has the VIP, from a holder whose server is heard of no more.
const ASK_WHILE_NOTHING_IS_HEARD: Duration = Duration::from_secs(1);
/// Time between two announcements while a member is not ONLINE in the group, at the most.
const ANNOUNCE_WHILE_ONE_IS_MISSING: Duration = Duration::from_secs(1);

impl Turn<'_> {
    /// Renews the lease, and announces where all is well.
    pub(crate) fn refresh(&mut self, hold: &mut Hold, well: bool) {
        if !self.server_is_heard_of() && !planted!(self.policy, RenewWithoutProof) {
            // Not even a time-out was told: what watches the server is stuck, and what it said last proves nothing.
            self.act(Action::AskServer);
            self.ask_who_else(hold);
            return;
        }
        let due = hold.next_renewal.filter(|due| self.now >= *due);
        // Another's claim is settled first; the lease is thrice as long as a renewal may wait.
        let due =
            due.filter(|due| hold.dispute.is_none() || self.now.since(*due) > self.policy.dispute_limit * 2);
        let seen_at = self.state.host.asked_at;
        let seen_just_now = self.now.since(seen_at) <= RENEWED_ON_TIME;
        let starved = hold.down_since.is_none()
            && hold.renewal_looks.is_some_and(|(looks, _)| looks >= RENEWAL_LOOKS_WHEN_STARVED);
        let seen = due.is_some_and(|due| seen_just_now || (seen_at >= due && starved));
        if due.is_some() && !seen {
            // The address may have been taken away, and the agent not have read of it yet: to renew it would be to add it
            // without asking anybody.
            let (looks, last) = hold.renewal_looks.unwrap_or((0, Time(0)));
            if self.now.since(last) >= RENEWED_ON_TIME {
                hold.renewal_looks = Some((looks.saturating_add(1), self.now));
            }
            self.act(Action::AskHost);
            self.wake(self.now + RENEWED_ON_TIME);
        } else if due.is_some() {
            if self.may_renew(well) {
                if !planted!(self.policy, ForgetToRenew) {
                    self.act(Action::RenewAddress {
                        interface: hold.interface.clone(),
                        lifetime: self.lifetime(),
                    });
                }
                // A pause that no clock shows ends with a lease to renew: had another taken the VIP meanwhile, it answers.
                self.act(Action::AskWhoHasVip);
                hold.next_renewal = self.next_renewal();
                hold.renewal_looks = None;
            } else {
                self.act(Action::AskServer);
            }
        }
        if let Some(due) = hold.next_renewal.filter(|due| *due > self.now) {
            self.wake(due);
        }
        // One that lingers or knows nothing announces too where another may hold: whoever has the better right then knows.
        let missing = self.some_member_is_missing();
        if hold.dispute.is_some() {
            return;
        }
        if !well && self.state.last_own_view.is_none() {
            return self.ask_who_else(hold);
        }
        if !(well || missing) {
            return;
        }
        if self.now >= hold.next_announce {
            self.act(Action::Announce);
            hold.announced = hold.announced.saturating_add(1);
            let wait = announce_after(self.policy, hold.announced);
            let contested = self.announce_against_a_stranger(hold);
            hold.next_announce = self.now + contested.map_or(wait, |most| wait.min(most));
        }
        if missing {
            hold.next_announce = hold.next_announce.min(self.now + ANNOUNCE_WHILE_ONE_IS_MISSING);
        }
        self.wake(hold.next_announce);
    }

    /// A holder that can prove nothing does not announce: it asks, and whoever has taken the VIP meanwhile answers.
    fn ask_who_else(&mut self, hold: &mut Hold) {
        if self.now >= hold.next_announce {
            self.act(Action::AskWhoHasVip);
            hold.next_announce = self.now + ASK_WHILE_NOTHING_IS_HEARD;
        }
        hold.next_announce = hold.next_announce.min(self.now + ASK_WHILE_NOTHING_IS_HEARD);
        self.wake(hold.next_announce);
    }

    /// Whether what is known is fit to renew a lease on. An agent that stood still for a while still has what it knew before:
    /// that is asked about first. `well`: by its word all stages pass.
    fn may_renew(&self, well: bool) -> bool {
        let not_asked = |why: &Why| *why == Why::NotAskedYet;
        let forgotten = matches!(&self.state.server.fact, Fact::Unknown(why) if not_asked(why))
            || matches!(&self.state.host.fact, Fact::Unknown(why) if not_asked(why));
        let age = self.now.since(self.state.server.asked_at);
        let old = self.policy.lease.is_some_and(|lease| age > lease / 3);
        let forgets_not = planted!(self.policy, DontForgetAfterAPause);
        let fit = !(forgotten || (well && old));
        fit || forgets_not || planted!(self.policy, RenewWithoutProof)
    }

    /// The server's answers, or time-outs, have not ended altogether.
    pub(crate) fn server_is_heard_of(&self) -> bool {
        let heard_of = self.policy.hung_patience.max(self.policy.poll_interval * 2);
        self.now.since(self.state.server.asked_at) <= heard_of
    }

    /// A member of the cluster is not ONLINE in the group, or none is known to be: cut off, paused or down. When it comes
    /// back it may still hold the VIP in an old view, and learns by an announcement that another does.
    fn some_member_is_missing(&self) -> bool {
        self.state.own_view().is_none_or(|view| {
            let online = view.members.iter().filter(|member| member.state == MemberState::Online).count();
            online < self.policy.members.len()
        })
    }

    /// How long the kernel is to keep the address unless it is renewed.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.policy.lease.filter(|_| !planted!(self.policy, LeaseForEver))
    }

    /// When the lease, where there is one, is to be renewed next: thrice in its length.
    pub(crate) fn next_renewal(&self) -> Option<Time> {
        self.policy.lease.map(|lease| self.now + lease / 3)
    }
}
