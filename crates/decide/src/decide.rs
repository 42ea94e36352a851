//! `step`: an event in, the tenure moves, actions and reasons out.

use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Outcome};
use crate::event::{
    Event, Fact, Frame, Gateway, GroupView, Host, MemberState, Says, Seen, Server, StatMark, ViewId,
};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::stages::Stages;
use crate::state::{State, Stranger, Tenure};
use crate::time::Time;

/// The state file goes back to `1` after this many loops (S6).
const LOOPS_UNTIL_QUIET: u32 = 20;
/// Clients are tickled a second time this long after the first, and then closed here.
const TICKLE_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Connections left behind are closed here after this long, even if no new holder was heard.
const LEFT_BEHIND_LIMIT: Duration = Duration::from_secs(60);
/// After an attempt to add the address failed, it is not asked for again for this long.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Members' hardware addresses are asked for because of an unknown one at most this often; it is also their time to answer.
const LEARN_AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// A stranger that goes on is named again after this long.
const NAME_STRANGER_EVERY: Duration = Duration::from_secs(60);

/// What `step` decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// To be carried out in this order.
    pub actions: Vec<Action>,
    /// Why. The last one says how things stand; those before it happened on the way. Never empty.
    pub reasons: Vec<Reason>,
    /// Come back then, with [`Event::Wake`], if nothing else is seen before.
    pub wake_at: Time,
    /// Stages 1–4, as the facts stand.
    pub stages: Stages,
}

impl Decision {
    /// How things stand.
    pub fn reason(&self) -> Option<&Reason> {
        self.reasons.last()
    }

    /// Stage 5's return value in the seed's table (S13).
    pub fn stage_5(&self) -> u8 {
        self.reasons.iter().map(Reason::stage_5).find(|value| *value != 1).unwrap_or(1)
    }
}

/// Takes one event in and decides. Pure: the same arguments always give the same result.
pub fn step(policy: &Policy, state: &mut State, event: &Event, now: Time) -> Decision {
    let mut turn = Turn {
        policy,
        state,
        now,
        actions: Vec::new(),
        reasons: Vec::new(),
        asides: Vec::new(),
        wake_at: None,
    };
    turn.notice_oversleeping();
    turn.take_in(event);
    if *event == Event::Stopping {
        turn.leave_as_it_is();
    } else {
        turn.name_stranger(event);
        turn.advance();
        turn.watch_strays();
        turn.keep_house();
    }
    turn.elect(event);
    let Turn { actions, mut reasons, asides, wake_at, .. } = turn;
    if reasons.is_empty() {
        reasons.push(Reason::Releasing);
    }
    reasons.splice(0..0, asides);
    let wake_at = wake_at.unwrap_or(now + policy.sleeptime);
    Decision { actions, reasons, wake_at, stages: state.stages(policy) }
}

/// One call of `step`.
pub(crate) struct Turn<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) state: &'a mut State,
    pub(crate) now: Time,
    actions: Vec<Action>,
    reasons: Vec<Reason>,
    /// Reasons that say nothing of the VIP.
    asides: Vec<Reason>,
    wake_at: Option<Time>,
}

impl Turn<'_> {
    pub(crate) fn act(&mut self, action: Action) {
        let question = matches!(
            action,
            Action::AskServer
                | Action::AskGateway
                | Action::AskHost
                | Action::AskPeer(_)
                | Action::LearnNeighbours
                | Action::ReadExpelTimeout
        );
        if !(question && self.actions.contains(&action)) {
            self.actions.push(action);
        }
    }

    pub(crate) fn say(&mut self, reason: Reason) {
        self.reasons.push(reason);
    }

    /// Says something that is not about the VIP.
    pub(crate) fn say_aside(&mut self, reason: Reason) {
        self.asides.push(reason);
    }

    pub(crate) fn wake(&mut self, at: Time) {
        self.wake_at = Some(self.wake_at.map_or(at, |already| already.min(at)));
    }

    /// Writes the state file after a switch, and plans its way back to `1` (S6).
    pub(crate) fn mark_switch(&mut self, mark: StatMark) {
        self.act(Action::WriteStat(mark));
        self.state.stat_quiet_at = Some(self.now + self.policy.sleeptime * LOOPS_UNTIL_QUIET);
    }

    /// An agent that did not run for longer than its lease holds nothing any more, and knows nothing: the kernel dropped
    /// the address, or the whole host was suspended, and another may have it. To renew now would be to take it unasked.
    fn notice_oversleeping(&mut self) {
        let (Tenure::Holding(hold), Some(lease)) = (&self.state.tenure, self.policy.lease) else { return };
        let over = hold.next_renewal.is_some_and(|due| self.now >= due + lease - lease / 3);
        if !over {
            return;
        }
        self.say(Reason::LeaseOver(hold.card.clone()));
        self.state.forget_facts(self.now);
        self.state.tenure = Tenure::Absent;
        for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
            self.act(question);
        }
    }

    fn take_in(&mut self, event: &Event) {
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
            Event::Neighbour { address, mac } => {
                if self.policy.members.contains_key(address) {
                    self.state.macs.insert(*address, *mac);
                    self.state.alive_at.insert(*address, self.now);
                }
            }
            Event::Done { action, outcome: Outcome::Failed(text) } => self.take_in_failure(action, text),
            Event::StatFile(found) => self.take_in_stat(*found),
            // `elect` takes these in.
            Event::MemberPort { .. }
            | Event::ExpelTimeout(_)
            | Event::ExpelTimeoutLeft(_)
            | Event::Fenced { .. }
            | Event::Done { .. }
            | Event::Stopping
            | Event::Wake => {}
        }
    }

    fn take_in_host(&mut self, seen: &Seen<Host>) {
        if seen.asked_at < self.state.host.asked_at {
            return;
        }
        let came_up = |card: &str| match (&self.state.host.fact, &seen.fact) {
            (Fact::Known(before), Fact::Known(after)) => !runs(before, card) && runs(after, card),
            _ => false,
        };
        let announce_again = matches!(&self.state.tenure, Tenure::Holding(hold) if came_up(&hold.card));
        if let (true, Tenure::Holding(hold)) = (announce_again, &mut self.state.tenure) {
            hold.announced = 0;
            hold.next_announce = self.now;
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
        if still_lost {
            // The count grows with each probe; as a reason it is one and the same.
            self.state.gateway.asked_at = seen.asked_at;
        } else {
            self.state.gateway = seen.clone();
        }
    }

    fn take_in_frame(&mut self, frame: Frame) {
        let Frame { from, says } = frame;
        if says == Says::Probe && self.state.other_holder.is_some_and(|(holder, _)| holder == from) {
            // Who asks for the address does not have it.
            self.state.other_holder = None;
        }
        if says != Says::Probe {
            self.state.other_holder = Some((from, self.now));
            if self.state.member_of(from).is_some()
                && let Some(left) = &mut self.state.left_behind
                && left.tickled_at.is_none()
            {
                left.tickled_at = Some(self.now);
                // First: a new connection's SYN is to be there before clients are told to reconnect.
                self.act(Action::PassOnStragglers(from));
                self.act(Action::TickleClients);
            }
        }
        match mem::replace(&mut self.state.tenure, Tenure::Absent) {
            Tenure::Holding(mut hold) => {
                self.frame_while_holding(&mut hold, from, says);
                self.state.tenure = Tenure::Holding(hold);
            }
            Tenure::Claiming(mut claim) => {
                self.frame_while_claiming(&mut claim, from, says);
                self.state.tenure = Tenure::Claiming(claim);
            }
            other => self.state.tenure = other,
        }
    }

    /// Asks for the members' hardware addresses, unless that was done a moment ago: a stranger's flood is not to
    /// become ours.
    pub(crate) fn learn_neighbours(&mut self) {
        if self.state.learnt_at.is_none_or(|at| self.now.since(at) >= LEARN_AT_MOST_EVERY) {
            self.state.learnt_at = Some(self.now);
            self.act(Action::LearnNeighbours);
        }
    }

    /// Names a host that is no member, once the members have had the time to tell their hardware addresses, and then
    /// once in a while as long as it is heard.
    fn name_stranger(&mut self, event: &Event) {
        let Some(stranger) = self.state.stranger else { return };
        if self.state.member_of(stranger.mac).is_some() {
            // It was a member all the time: what it said is taken up now, it may not say it again soon.
            self.state.stranger = None;
            if self.now.since(stranger.since) <= NAME_STRANGER_EVERY {
                self.take_in_frame(Frame { from: stranger.mac, says: stranger.says });
            }
            return;
        }
        let known_at = stranger.since + LEARN_AT_MOST_EVERY;
        let heard = matches!(event, Event::Frame(frame) if frame.from == stranger.mac);
        let due = match stranger.named_at {
            None => self.now >= known_at,
            Some(at) => heard && self.now.since(at) >= NAME_STRANGER_EVERY,
        };
        if due {
            self.say(Reason::Stranger(stranger.mac));
            self.state.stranger = Some(Stranger { named_at: Some(self.now), ..stranger });
        } else if stranger.named_at.is_none() {
            self.wake(known_at);
        }
    }

    fn take_in_failure(&mut self, action: &Action, text: &str) {
        self.say(Reason::Failed(text.to_owned()));
        let unconfirmed = matches!(&self.state.tenure, Tenure::Holding(hold) if !hold.confirmed);
        if matches!(action, Action::AddAddress { .. }) && unconfirmed {
            self.state.tenure = Tenure::Absent;
            self.state.retry_at = self.now + RETRY_AFTER_FAILURE;
        }
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

    fn advance(&mut self) {
        let card = match self.state.vip_card(self.policy) {
            Fact::Known(card) => Some(card),
            Fact::Unknown(why) => {
                if matches!(self.state.tenure, Tenure::Absent | Tenure::Claiming(_)) {
                    self.state.tenure = Tenure::Absent;
                    self.say(Reason::HostNotKnown(why));
                    return;
                }
                None
            }
        };
        self.state.tenure = match (mem::replace(&mut self.state.tenure, Tenure::Absent), card) {
            (Tenure::Absent | Tenure::Claiming(_), Some(Some(card))) => self.adopt(card),
            (Tenure::Absent, _) => self.consider_claiming(),
            (Tenure::Claiming(claim), _) => self.pursue(claim),
            (Tenure::Holding(hold), _) => self.keep(hold),
            (Tenure::Releasing { since, card, retry_at }, _) => self.see_it_go(since, card, retry_at),
        };
    }

    /// What is due whatever the tenure: the state file, connections left behind, the safety net, the polling pace.
    fn keep_house(&mut self) {
        if let Some(due) = self.state.stat_quiet_at {
            if self.now >= due {
                self.state.stat_quiet_at = None;
                self.act(Action::WriteStat(StatMark::Quiet));
            } else {
                self.wake(due);
            }
        }
        if let Some(left) = self.state.left_behind {
            let due = left.tickled_at.map_or(left.at + LEFT_BEHIND_LIMIT, |at| at + TICKLE_AGAIN_AFTER);
            if self.now < due {
                self.wake(due);
            } else {
                if left.tickled_at.is_some() {
                    self.act(Action::TickleClients);
                }
                self.act(Action::DestroyConnections);
                self.state.left_behind = None;
            }
        }
        if self.now >= self.state.next_look {
            for question in [Action::AskHost, Action::AskServer, Action::AskGateway, Action::LearnNeighbours]
            {
                self.act(question);
            }
            self.state.next_look = self.now + self.policy.sleeptime;
        }
        self.wake(self.state.next_look);
        self.set_pace();
    }

    fn set_pace(&mut self) {
        let alert = self.something_in_the_air();
        let since = alert.then(|| self.state.pace.alert_since.unwrap_or(self.now));
        self.state.pace.alert_since = since;
        let every = match since {
            Some(since) if self.now.since(since) < self.policy.alert_limit => {
                self.wake(since + self.policy.alert_limit);
                self.policy.alert_interval.min(self.policy.poll_interval)
            }
            _ => self.policy.poll_interval,
        };
        if self.state.pace.every.unwrap_or(self.policy.poll_interval) != every {
            self.act(Action::PollEvery(every));
        }
        self.state.pace.every = Some(every);
    }

    fn something_in_the_air(&self) -> bool {
        let tenure = match &self.state.tenure {
            Tenure::Absent => false,
            Tenure::Claiming(_) | Tenure::Releasing { .. } => true,
            Tenure::Holding(hold) => hold.dispute.is_some() || hold.doubt_since.is_some() || !hold.confirmed,
        };
        let server = match &self.state.server.fact {
            Fact::Known(Server::Member(view)) => {
                view.unreachable() > 0 || (view.is_primary() && view.super_read_only)
            }
            Fact::Known(Server::Refused(_)) => true,
            Fact::Known(Server::NotInGroup(_)) => false,
            Fact::Unknown(why) => !why.server_lives(),
        };
        tenure || server
    }
}

/// The wait after the `count`-th announcement: a burst that thins out, then a steady refresh.
pub(crate) fn announce_after(policy: &Policy, count: u32) -> Duration {
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

fn runs(host: &Host, card: &str) -> bool {
    host.cards.iter().any(|known| known.name == card && known.running)
}

/// The view of a member that is ONLINE with a majority: no other's view is worth remembering.
fn view_of(seen: &Seen<Server>) -> Option<crate::event::ViewId> {
    let Fact::Known(Server::Member(group)) = &seen.fact else { return None };
    let online =
        |group: &GroupView| group.local_member().is_some_and(|local| local.state == MemberState::Online);
    (online(group) && group.has_majority()).then(|| group.view.clone()).flatten()
}
