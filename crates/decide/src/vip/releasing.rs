//! Letting go of the VIP, waiting until it is gone, and what is done for the clients that it leaves behind.

use std::time::Duration;

use super::machine::VipMachine;
use super::state::{Hold, LeftBehind, VipState};
use crate::checks::Verdict;
use crate::input::{Fact, Why};
use crate::moment::VipMoment;
use crate::net::Mac;
use crate::output::{Action, LetGo, Output, Reason, StatMark, VipAction};
use crate::time::Time;
use crate::timers::Timer;

/// An address that is still there this long after its removal is removed again.
const REMOVE_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Clients are tickled a second time this long after the first, and then closed here.
const TICKLE_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Connections left behind are closed here after this long, even if no new holder was heard.
const LEFT_BEHIND_LIMIT: Duration = Duration::from_secs(60);
/// … and after this long where the VIP was given up on command: the agent is to end.
const LEFT_BEHIND_LIMIT_AT_THE_END: Duration = Duration::from_secs(1);
/// … and with IPv6: what a server sends from an address that is gone still reaches the client, which would go on reading from it.
/// Long enough for an interface that is set down and up, which takes the address away for that time.
const LEFT_BEHIND_LIMIT_V6: Duration = Duration::from_secs(3);

impl VipMachine {
    pub(crate) fn let_go(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        hold: Hold,
        because: LetGo,
    ) -> VipState {
        // Before the address goes, so that nothing is missed.
        out.order(VipAction::KeepLatePackets { interface: hold.interface.clone() });
        let claimant = hold.dispute.map(|dispute| dispute.claimant);
        let lately = hold.settled.filter(|(_, until)| at.now < *until).map(|(member, _)| member);
        let to = claimant.or(lately).and_then(|member| at.mac_of(member));
        Self::remove(out, &hold.interface, to);
        out.mark_switch(StatMark::Stopped);
        self.left_behind = Some(LeftBehind { at: at.now, tickled_at: None });
        out.say(Reason::Stopped { interface: hold.interface.clone(), because });
        out.wake(Timer::RemoveAgain, at.now + REMOVE_AGAIN_AFTER);
        VipState::Releasing {
            since: at.now,
            interface: hold.interface,
            retry_at: at.now + REMOVE_AGAIN_AFTER,
        }
    }

    /// Takes the address away, tells the network, and lists who is connected: in this order, for a connection that is made after it was
    /// looked for is in no list. Its client may have said all that it has to say, and wait for a server that can't answer from an address
    /// that is gone; nothing of it arrives late then, and nobody tells it. Once the address is gone none is made any more, and those that
    /// were are still there. The word that it is free does not wait for the list.
    fn remove(out: &mut Output, interface: &str, to: Option<Mac>) {
        out.order(VipAction::RemoveAddress { interface: interface.to_owned() });
        out.order(VipAction::AnnounceRelease(to));
        out.order(VipAction::ListConnections);
    }

    /// The address went without this agent: its lease ran out while the agent stood still, or somebody removed it. Its clients stay
    /// connected where it comes back here; where another has it, or nobody for too long, they are not to go on with this server.
    pub(super) fn remember_clients(&mut self, at: VipMoment<'_>, out: &mut Output) {
        out.order(VipAction::ListConnections);
        self.left_behind = Some(LeftBehind { at: at.now, tickled_at: None });
        out.wake(Timer::LeftBehind, at.now + Self::left_behind_limit(at));
    }

    fn left_behind_limit(at: VipMoment<'_>) -> Duration {
        if at.facts.giving_up {
            LEFT_BEHIND_LIMIT_AT_THE_END
        } else if at.policy.address.is_ipv6() {
            LEFT_BEHIND_LIMIT_V6
        } else {
            LEFT_BEHIND_LIMIT
        }
    }

    /// Waits until the kernel shows the address gone; removes it again where it does not.
    pub(crate) fn await_removal(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        since: Time,
        interface: String,
        retry_at: Time,
    ) -> VipState {
        let gone = at.vip_interface() == Fact::Known(None);
        if gone && at.facts.host.asked_at < since {
            // Older than the deed: it went before, and may have been put back since by a renewal that did not know.
            out.act(Action::AskHost);
        } else if gone {
            if at.facts.giving_up {
                out.say(Reason::GivenUp);
                return VipState::Absent;
            }
            if at.facts.server.asked_at >= since || at.verdict_to_start() != Verdict::Up {
                return self.consider_claiming(at, out);
            }
            // It may have yielded because its server was silent: to claim on what that said before would hold up whoever it
            // yielded to.
            out.act(Action::AskServer);
            out.say(Reason::Releasing);
            out.wake(Timer::RemoveAgain, at.now + REMOVE_AGAIN_AFTER);
            return VipState::Releasing { since, interface, retry_at };
        }
        let retry_at = if at.now >= retry_at {
            Self::remove(out, &interface, None);
            out.act(Action::AskHost);
            at.now + REMOVE_AGAIN_AFTER
        } else {
            retry_at
        };
        out.wake(Timer::RemoveAgain, retry_at);
        out.say(Reason::Releasing);
        VipState::Releasing { since, interface, retry_at }
    }
    /// The agent stops: the VIP stays as it is (S7), so a lease becomes an address without an end; but not where nothing
    /// has been heard of the server for so long that the lease would not be renewed either, nor while another's claim or use
    /// of the address is not answered yet. Where it is gone, it stays gone. An agent that has not heard its server once since it
    /// started, or stood still, has proven nothing: it orders nothing, and the address keeps the lifetime that it has.
    pub(crate) fn leave_as_it_is(&mut self, at: VipMoment<'_>, out: &mut Output) {
        let (VipState::Holding(hold), Some(lease)) = (&self.state, at.policy.lease) else {
            return out.say(Reason::Stopping);
        };
        let nothing_heard = at.facts.server.fact == Fact::Unknown(Why::NotAskedYet);
        if nothing_heard || (hold.confirmed && at.vip_interface() == Fact::Known(None)) {
            return out.say(Reason::Stopping);
        }
        let interface = hold.interface.clone();
        let claimed =
            hold.dispute.is_some() || hold.conflict.is_some_and(|conflict| conflict.owed_since.is_some());
        if hold.confirmed && hold.down_since.is_none() && !claimed && at.server_is_heard_of() {
            out.order(VipAction::RenewAddress { interface: interface.clone(), lifetime: None });
            out.say(Reason::StoppingForEver(interface));
        } else {
            out.say(Reason::StoppingUnderLease(interface, lease));
        }
    }

    /// The clients that the VIP left behind: tickled a second time, and then closed here.
    pub(crate) fn close_left_behind(&mut self, at: VipMoment<'_>, out: &mut Output) {
        let Some(left) = self.left_behind else { return };
        let limit = left.at + Self::left_behind_limit(at);
        let due = left.tickled_at.map_or(limit, |tickled_at| tickled_at + TICKLE_AGAIN_AFTER);
        if at.now < due {
            return out.wake(Timer::LeftBehind, due);
        }
        if left.tickled_at.is_some() {
            out.order(VipAction::TickleClients);
        }
        out.order(VipAction::DestroyConnections);
        self.left_behind = None;
    }
}
