//! What was seen goes into memory: the facts, the newest view, who uses the address, what failed.

use std::mem;
use std::time::Duration;

use crate::action::{Action, Outcome};
use crate::decide::{LOOPS_UNTIL_QUIET, Turn};
use crate::event::{
    Event, Fact, Frame, Gateway, GroupView, Host, MemberState, Says, Seen, Server, StatMark, ViewId,
};
use crate::reason::Reason;
use crate::state::VipState;

/// After an attempt to add the address failed, it is not asked for again for this long.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// After a renewal failed, or came too late to be carried out, it is tried again after this long. The lease outlives several.
const RENEW_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A server that was not heard for longer than this has stood still, or this host has.
const SILENCE: Duration = Duration::from_secs(1);

impl Turn<'_> {
    /// Takes what was seen into memory.
    pub(crate) fn take_in(&mut self, event: &Event) {
        match event {
            Event::Host(seen) => self.take_in_host(seen),
            Event::Server(seen) => self.take_in_server(seen),
            Event::Peer { member, seen } => {
                if let Some(view) = view_of(seen) {
                    self.state.remember_view(&view);
                }
                let peer = self.state.peers.entry(*member).or_default();
                if peer.waiting_since.is_some_and(|asked| asked <= seen.asked_at) {
                    peer.waiting_since = None;
                }
                if peer.seen.as_ref().is_none_or(|known| known.asked_at <= seen.asked_at) {
                    peer.seen = Some(seen.clone());
                }
            }
            Event::Gateway(seen) => self.take_in_gateway(seen),
            Event::Frame(frame) => self.take_in_frame(*frame),
            Event::ReceiveUp(hearing) => self.state.receive_down = !hearing,
            Event::Neighbor { address, mac } => {
                if self.policy.members.contains_key(address) {
                    self.state.macs.insert(*address, *mac);
                    self.state.alive_at.insert(*address, self.now);
                }
            }
            Event::Done { action, outcome: Outcome::Failed(text) } => self.take_in_failure(action, text),
            Event::Done { action: Action::RenewAddress { interface, .. }, outcome: Outcome::Gone } => {
                self.take_in_gone(interface);
            }
            Event::StatFile(found) => self.take_in_stat(*found),
            Event::Process(sign) => self.act_on_sign(*sign),
            Event::Release => self.state.giving_up = true,
            // `elect` takes these in.
            Event::MemberPort { .. }
            | Event::ExpelTimeout(_)
            | Event::ExpelTimeoutLeft(_)
            | Event::Fenced { .. }
            | Event::Done { .. }
            | Event::ClocksParted { .. }
            | Event::Stopping
            | Event::Wake => {}
        }
    }

    fn take_in_host(&mut self, seen: &Seen<Host>) {
        if seen.asked_at < self.state.host.asked_at {
            return;
        }
        let came_up = |interface: &str| match (&self.state.host.fact, &seen.fact) {
            (Fact::Known(before), Fact::Known(after)) => !runs(before, interface) && runs(after, interface),
            _ => false,
        };
        let announce_again =
            matches!(&self.state.vip_state, VipState::Holding(hold) if came_up(&hold.interface));
        if let (true, VipState::Holding(hold)) = (announce_again, &mut self.state.vip_state) {
            hold.announced = 0;
            hold.next_announce = self.now;
        }
        if self.state.host.fact != seen.fact {
            // An interface that came back may take the address now.
            self.state.retry_at = self.now;
        }
        self.state.host = seen.clone();
    }

    fn take_in_server(&mut self, seen: &Seen<Server>) {
        let late = seen.asked_at < self.state.server.asked_at;
        // An answer that comes too late for all else still shows how far the group is.
        if let Some(view) = view_of(seen) {
            self.state.remember_view(&view);
            // A group that was born anew has no order with the one before it; ours is the one to follow.
            let other_group = |newest: &ViewId| !late && !newest.is_of_the_same_group(&view);
            if self.state.newest_view.as_ref().is_none_or(other_group) {
                self.state.newest_view = Some(view.clone());
            }
            if self.state.last_own_view.as_ref().is_none_or(|last| !last.is_newer_than(&view)) {
                self.state.last_own_view = Some(view);
            }
        }
        if late {
            return;
        }
        // Silence and the refusals of a server that lives have patiences of their own: each counts from its own start.
        let lives = |fact: &Fact<Server>| matches!(fact, Fact::Unknown(why) if why.server_lives());
        let same_kind = lives(&seen.fact) == lives(&self.state.server.fact);
        self.state.server_unknown_since = match &seen.fact {
            Fact::Known(_) => None,
            Fact::Unknown(_) => {
                Some(self.state.server_unknown_since.filter(|_| same_kind).unwrap_or(seen.asked_at))
            }
        };
        if let Fact::Known(Server::Member(_)) = &seen.fact {
            let silence = SILENCE.max(self.policy.poll_interval * 3);
            if self.state.spoke_at.is_some_and(|at| self.now.since(at) > silence) {
                self.state.spoke_again_at = Some(self.now);
            }
            self.state.spoke_at = Some(self.now);
        }
        if let Fact::Known(server) = &seen.fact {
            self.state.started_anew = matches!(server, Server::Refused(_));
        }
        self.state.server = seen.clone();
    }

    fn take_in_gateway(&mut self, seen: &Seen<Gateway>) {
        if seen.asked_at < self.state.gateway.asked_at {
            return;
        }
        let still_lost = matches!(
            (&self.state.gateway.fact, &seen.fact),
            (Fact::Known(Gateway::Lost { .. }), Fact::Known(Gateway::Lost { .. }))
        );
        let lost = matches!(seen.fact, Fact::Known(Gateway::Lost { .. }));
        if let VipState::Holding(hold) = &mut self.state.vip_state
            && lost
            && !still_lost
            && hold.recheck_since.is_some()
        {
            // Another stage failed before; that was no doubt of the gateway, which is to be looked at a second time too (S13).
            hold.recheck_since = Some(self.now);
            self.act(Action::AskGateway);
        }
        if still_lost {
            // The count grows with each probe; as a reason it is one and the same.
            self.state.gateway.asked_at = seen.asked_at;
        } else {
            self.state.gateway = seen.clone();
        }
    }

    pub(crate) fn take_in_frame(&mut self, frame: Frame) {
        let Frame { from, says } = frame;
        if !says.is_use() && self.state.other_holder.is_some_and(|(holder, _)| holder == from) {
            // Who asks for the address, or says that it is free, does not have it.
            self.state.other_holder = None;
        }
        if says.is_use() {
            self.state.other_holder = Some((from, self.now));
            if self.state.member_of(from).is_some()
                && let Some(left) = &mut self.state.left_behind
                && left.tickled_at.is_none()
            {
                left.tickled_at = Some(self.now);
                // First: a new connection's SYN is to be there before clients are told to reconnect.
                self.act(Action::ForwardLatePackets(from));
                self.act(Action::TickleClients);
            }
        }
        match mem::replace(&mut self.state.vip_state, VipState::Absent) {
            VipState::Holding(mut hold) => {
                self.frame_while_holding(&mut hold, from, says);
                self.state.vip_state = VipState::Holding(hold);
            }
            VipState::Claiming(mut claim) => {
                self.frame_while_claiming(&mut claim, from, says);
                self.state.vip_state = VipState::Claiming(claim);
            }
            other => {
                if says == Says::Probe
                    && let Some(member) = self.state.member_of(from)
                {
                    self.state.claimants.insert(member, self.now);
                }
                self.state.vip_state = other;
            }
        }
    }

    fn take_in_failure(&mut self, action: &Action, text: &str) {
        self.say(Reason::Failed(text.to_owned()));
        if let (Action::SendProbe, VipState::Claiming(claim)) = (action, &mut self.state.vip_state) {
            // A probe that was not sent is not unanswered.
            claim.probes = 0;
        }
        let unconfirmed = matches!(&self.state.vip_state, VipState::Holding(hold) if !hold.confirmed);
        if let (Action::RenewAddress { lifetime: Some(_), .. }, VipState::Holding(hold)) =
            (action, &mut self.state.vip_state)
        {
            // It is decided anew, on what is known then.
            hold.next_renewal = Some(self.now + RENEW_AGAIN_AFTER);
        }
        if matches!(action, Action::AddAddress { .. }) && unconfirmed {
            self.state.vip_state = VipState::Absent;
            self.state.retry_at = self.now + RETRY_AFTER_FAILURE;
        }
    }

    /// The kernel found no VIP to renew on this interface: somebody else has removed it.
    fn take_in_gone(&mut self, interface: &str) {
        if let Fact::Known(host) = &mut self.state.host.fact {
            host.addresses.retain(|there| there.address != self.policy.vip || there.interface != interface);
            self.state.host.asked_at = self.now;
        }
        self.act(Action::AskHost);
    }

    fn take_in_stat(&mut self, found: Option<(StatMark, Duration)>) {
        let quiet_after = self.policy.sleeptime * LOOPS_UNTIL_QUIET;
        match found {
            Some((StatMark::Quiet, _)) => {}
            Some((_, age)) if age < quiet_after => {
                self.state.stat_quiet_at = Some(self.now + quiet_after.saturating_sub(age));
            }
            Some(_) | None => self.act(Action::WriteStat(StatMark::Quiet)),
        }
    }
}

fn runs(host: &Host, interface: &str) -> bool {
    host.interfaces.iter().any(|known| known.name == interface && known.running)
}

/// The view of a member that is ONLINE with a majority: no other's view is worth remembering.
fn view_of(seen: &Seen<Server>) -> Option<crate::event::ViewId> {
    let Fact::Known(Server::Member(group)) = &seen.fact else { return None };
    let online =
        |group: &GroupView| group.local_member().is_some_and(|local| local.state == MemberState::Online);
    (online(group) && group.has_majority()).then(|| group.view.clone()).flatten()
}
