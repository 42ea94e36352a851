//! What is heard of the VIP on the segment, and from whom.

use std::mem;
use std::time::Duration;

use super::machine::VipMachine;
use super::state::{Stranger, VipState};
use crate::input::{Frame, Says};
use crate::moment::VipMoment;
use crate::output::{Output, Reason, VipAction};
use crate::timers::Timer;

/// A stranger that goes on is named again after this long.
const NAME_STRANGER_EVERY: Duration = Duration::from_secs(60);

impl VipMachine {
    /// A frame about the VIP.
    pub(super) fn take_in_frame(&mut self, at: VipMoment<'_>, out: &mut Output, frame: Frame) {
        let Frame { from, says } = frame;
        if !says.is_use() && self.other_holder.is_some_and(|(holder, _)| holder == from) {
            // Who asks for the address, or says that it is free, does not have it.
            self.other_holder = None;
        }
        if says.is_use() {
            self.other_holder = Some((from, at.now));
            if at.member_of(from).is_some()
                && let Some(left) = &mut self.left_behind
                && left.tickled_at.is_none()
            {
                left.tickled_at = Some(at.now);
                // First: a new connection's SYN is to be there before clients are told to reconnect.
                out.order(VipAction::ForwardLatePackets(from));
                out.order(VipAction::TickleClients);
                if at.policy.address.is_ipv6() {
                    // The old server would go on serving them from the address that is gone. Not sooner: a client that is reset
                    // before the new holder is there connects to nobody.
                    out.order(VipAction::DestroyConnections);
                    self.left_behind = None;
                }
            }
        }
        if let Some(stranger) = &mut self.stranger
            && stranger.mac == from
            && stranger.named_at.is_some_and(|named_at| at.now.since(named_at) >= NAME_STRANGER_EVERY)
        {
            // It goes on: named again.
            stranger.named_at = None;
        }
        match mem::replace(&mut self.state, VipState::Absent) {
            VipState::Holding(mut hold) => {
                self.frame_while_holding(at, out, &mut hold, from, says);
                self.state = VipState::Holding(hold);
            }
            VipState::Claiming(mut claim) => {
                Self::frame_while_claiming(at, out, &mut claim, from, says);
                self.state = VipState::Claiming(claim);
            }
            other => {
                if says == Says::Probe
                    && let Some(member) = at.member_of(from)
                {
                    self.claimants.insert(member, at.now);
                }
                self.state = other;
            }
        }
    }

    /// Names a host that is no member, once the members have had the time to tell their hardware addresses, and then
    /// once in a while as long as it is heard.
    pub(super) fn name_stranger(&mut self, at: VipMoment<'_>, out: &mut Output) {
        let Some(stranger) = self.stranger else { return };
        if at.member_of(stranger.mac).is_some() {
            // It was a member all the time: what it said is taken up now, it may not say it again soon.
            self.stranger = None;
            // Not its question: one that still wants the address asks again, one that has taken it since does not.
            if stranger.says.is_use() && at.now.since(stranger.since) <= NAME_STRANGER_EVERY {
                self.take_in_frame(at, out, Frame { from: stranger.mac, says: stranger.says });
            }
            return;
        }
        let known_at = stranger.since + at.members_known_within();
        let due = match stranger.named_at {
            None => at.now >= known_at,
            Some(_) => false,
        };
        if due {
            out.say(if stranger.says.is_use() {
                Reason::Stranger(stranger.mac)
            } else {
                Reason::StrangerAsks(stranger.mac)
            });
            self.stranger = Some(Stranger { named_at: Some(at.now), ..stranger });
        } else if stranger.named_at.is_none() {
            out.wake(Timer::NameStranger, known_at);
        }
    }
}
