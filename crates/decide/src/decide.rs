//! `step`: an event in, the VIP state moves, actions and reasons out.

use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::entitlement::Entitlement;
use crate::event::{Event, Fact, Frame, Server, StatMark};
use crate::planted::planted;
use crate::policy::Policy;
use crate::reason::{LetGo, Reason};
use crate::stages::Stages;
use crate::state::{State, Stranger, VipState};
use crate::time::Time;

/// The state file goes back to `1` after this many loops (S6).
pub(crate) const LOOPS_UNTIL_QUIET: u32 = 20;
/// Clients are tickled a second time this long after the first, and then closed here.
const TICKLE_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Connections left behind are closed here after this long, even if no new holder was heard.
const LEFT_BEHIND_LIMIT: Duration = Duration::from_secs(60);
/// … and after this long where the VIP was given up on command: the agent is to end.
const LEFT_BEHIND_LIMIT_AT_THE_END: Duration = Duration::from_secs(1);

/// Members' hardware addresses are asked for because of an unknown one at most this often; it is also their time to answer.
pub(crate) const LEARN_AT_MOST_EVERY: Duration = Duration::from_secs(1);
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

    /// Stage 5's return value in the legacy program's table (S13).
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
    turn.notice_parted_clocks(event);
    turn.notice_oversleeping(event);
    turn.take_in(event);
    if *event == Event::Stopping {
        turn.leave_as_it_is();
    } else {
        turn.name_stranger(event);
        turn.replace_copy();
        turn.advance();
        turn.remove_copies();
        turn.watch_orphan_syns();
        turn.run_due_timers();
    }
    turn.consider_expelling(event);
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
                | Action::AskWhoHasVip
                | Action::LearnNeighbors
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
    ///
    /// A kernel that slept with the agent did not drop the address: then it is removed here, as the kernel would have.
    fn notice_oversleeping(&mut self, event: &Event) {
        let (VipState::Holding(hold), Some(lease)) = (&self.state.vip_state, self.policy.lease) else {
            return;
        };
        let over = hold.next_renewal.is_some_and(|due| self.now >= due + lease - lease / 3);
        if !over || planted!(self.policy, DontForgetAfterAPause) {
            return;
        }
        let hold = hold.clone();
        self.ask_anew();
        self.state.vip_state = match event {
            Event::ClocksParted { suspended, .. } if *suspended > Duration::ZERO => {
                self.let_go(hold, LetGo::Suspended(*suspended))
            }
            _ => {
                self.say(Reason::LeaseOver(hold.interface));
                VipState::Absent
            }
        };
    }

    /// Of a pause in which nothing ran, not even the clocks, a step of the wall clock may be the only sign.
    fn notice_parted_clocks(&mut self, event: &Event) {
        let Event::ClocksParted { suspended, wall_step_ms } = *event else { return };
        self.say_aside(Reason::ClocksParted { suspended, wall_step_ms });
        self.ask_anew();
    }

    /// Nothing is known any more; all is asked.
    fn ask_anew(&mut self) {
        self.state.forget_facts(self.now);
        for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
            self.act(question);
        }
        self.ask_who_has_vip();
    }

    /// Where the VIP is here: another that has it answers, which is a dispute.
    pub(crate) fn ask_who_has_vip(&mut self) {
        if matches!(self.state.vip_state, VipState::Holding(_)) {
            self.act(Action::AskWhoHasVip);
        }
    }

    /// Asks for the members' hardware addresses, unless that was done a moment ago: a stranger's flood is not to
    /// become ours.
    pub(crate) fn learn_neighbors(&mut self) {
        if self.state.learnt_at.is_none_or(|at| self.now.since(at) >= LEARN_AT_MOST_EVERY) {
            self.state.learnt_at = Some(self.now);
            self.act(Action::LearnNeighbors);
        }
    }

    /// Names a host that is no member, once the members have had the time to tell their hardware addresses, and then
    /// once in a while as long as it is heard.
    fn name_stranger(&mut self, event: &Event) {
        let Some(stranger) = self.state.stranger else { return };
        if self.state.member_of(stranger.mac).is_some() {
            // It was a member all the time: what it said is taken up now, it may not say it again soon.
            self.state.stranger = None;
            // Not its question: one that still wants the address asks again, one that has taken it since does not.
            if stranger.says.is_use() && self.now.since(stranger.since) <= NAME_STRANGER_EVERY {
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
            self.say(if stranger.says.is_use() {
                Reason::Stranger(stranger.mac)
            } else {
                Reason::StrangerAsks(stranger.mac)
            });
            self.state.stranger = Some(Stranger { named_at: Some(self.now), ..stranger });
        } else if stranger.named_at.is_none() {
            self.wake(known_at);
        }
    }

    fn advance(&mut self) {
        let interface = match self.state.vip_interface(self.policy) {
            Fact::Known(interface) => Some(interface),
            Fact::Unknown(why) => {
                if matches!(self.state.vip_state, VipState::Absent | VipState::Claiming(_)) {
                    self.state.vip_state = VipState::Absent;
                    self.say(Reason::HostNotKnown(why));
                    return;
                }
                None
            }
        };
        self.state.vip_state = match (mem::replace(&mut self.state.vip_state, VipState::Absent), interface) {
            (VipState::Absent | VipState::Claiming(_), Some(Some(interface))) if self.state.giving_up => {
                let hold = self.hold_on(interface);
                self.let_go(hold, LetGo::Told)
            }
            (VipState::Absent | VipState::Claiming(_), _) if self.state.giving_up => {
                self.say(Reason::GivenUp);
                VipState::Absent
            }
            (VipState::Holding(hold), _) if self.state.giving_up => self.let_go(hold, LetGo::Told),
            (VipState::Absent | VipState::Claiming(_), Some(Some(interface))) => self.adopt(interface),
            (VipState::Absent, _) => self.consider_claiming(),
            (VipState::Claiming(claim), _) => self.pursue(claim),
            (VipState::Holding(hold), _) => self.keep(hold),
            (VipState::Releasing { since, interface, retry_at }, _) => {
                self.await_removal(since, interface, retry_at)
            }
        };
    }

    /// What is due whatever the VIP state: the state file, connections left behind, the safety net, the polling pace.
    fn run_due_timers(&mut self) {
        if let Some(due) = self.state.stat_quiet_at {
            if self.now >= due {
                self.state.stat_quiet_at = None;
                self.act(Action::WriteStat(StatMark::Quiet));
            } else {
                self.wake(due);
            }
        }
        if let Some(left) = self.state.left_behind {
            let limit = if self.state.giving_up { LEFT_BEHIND_LIMIT_AT_THE_END } else { LEFT_BEHIND_LIMIT };
            let due = left.tickled_at.map_or(left.at + limit, |at| at + TICKLE_AGAIN_AFTER);
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
            for question in [Action::AskHost, Action::AskServer, Action::AskGateway, Action::LearnNeighbors] {
                self.act(question);
            }
            self.ask_who_has_vip();
            self.state.next_look = self.now + self.policy.sleeptime;
        }
        self.wake(self.state.next_look);
        self.set_pace();
    }

    fn set_pace(&mut self) {
        let signed = self.is_alerted_by_sign();
        let alert = self.needs_fast_polling();
        let since = alert.then(|| self.state.pace.alert_since.unwrap_or(self.now));
        self.state.pace.alert_since = since;
        let every = match since {
            Some(since) if self.now.since(since) < self.policy.alert_limit => {
                self.wake(since + self.policy.alert_limit);
                self.policy.alert_interval.min(self.policy.poll_interval)
            }
            _ if signed => self.policy.alert_interval.min(self.policy.poll_interval),
            _ => self.policy.poll_interval,
        };
        if self.state.pace.every.unwrap_or(self.policy.poll_interval) != every {
            self.act(Action::PollEvery(every));
        }
        self.state.pace.every = Some(every);
    }

    fn needs_fast_polling(&self) -> bool {
        let vip_state = match &self.state.vip_state {
            VipState::Absent => false,
            VipState::Claiming(_) | VipState::Releasing { .. } => true,
            VipState::Holding(hold) => {
                hold.dispute.is_some()
                    || hold.recheck_since.is_some()
                    || !hold.confirmed
                    || hold.conflict.is_some_and(|conflict| conflict.owed_since.is_some())
            }
        };
        let server = match &self.state.server.fact {
            Fact::Known(Server::Member(view)) => {
                let holds = matches!(self.state.vip_state, VipState::Holding(_));
                view.unreachable() > 0
                    || match self.entitlement(view) {
                        Entitlement::Keep => true,
                        Entitlement::KeepUntilClaimed => holds,
                        Entitlement::Start | Entitlement::Nothing(_) => false,
                    }
            }
            Fact::Known(Server::Refused(_)) => true,
            Fact::Known(Server::NotInGroup(_)) => false,
            Fact::Unknown(why) => !why.server_lives(),
        };
        vip_state || server
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
